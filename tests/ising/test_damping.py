"""Adaptive damping: grows where a residual stalls, up to a limit, and gives up."""

import numpy as np

from lsg_ray.ising.damping import AdaptiveDamping, DampingConfig


def test_damping__grows_where_the_residual_stalls_and_nothing_excuses_it():
    damping = AdaptiveDamping(DampingConfig(failures=2), count=3)
    for k, residual in enumerate((1.0, 0.95, 0.93, 0.92, 0.91)):
        damping.update(np.array([residual, residual, 0.5**k]), np.array([False, True, False]))
    assert damping.gamma.tolist() == [0.9375, 0.0, 0.0]
    assert damping.hopeless.tolist() == [True, False, False]
    damping.update(1.0, False, np.array([2]))
    assert damping.gamma.tolist() == [0.9375, 0.0, 0.5]
    for _ in range(5):
        damping.update(1.0, False)
    assert damping.gamma.tolist() == [0.95] * 3
    assert damping.hopeless.all()


def test_damping__is_the_same_alone_or_among_others():
    rng = np.random.default_rng(0)
    residuals = np.exp(-0.1 * np.arange(30))[:, None] * rng.uniform(0.5, 1.5, (30, 4))
    together = AdaptiveDamping(DampingConfig(), count=4)
    alone = [AdaptiveDamping(DampingConfig()) for _ in range(4)]
    for row in residuals:
        together.update(row, False)
        for one, value in zip(alone, row.tolist(), strict=True):
            one.update(value, False)
    assert together.gamma.tolist() == [one.gamma[0] for one in alone]
