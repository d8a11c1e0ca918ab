"""Speed of Monte Carlo flips of ±1 weights against plain NumPy, in one run.

At toy size an ordinary test; at full size (N = 1,001, P = 600, 7 replicas):

    pytest tests/benchmarks/test_robust_ensemble.py --benchmark-enable -s
"""

import time

import numpy as np

from lsg_ray.networks.families.committee import Patterns
from lsg_ray.networks.robust_ensemble import RobustEnsemble, log_cosh


def machine_of(n, count, replicas):
    rng = np.random.default_rng(0)
    x = rng.choice([-1, 1], (count, 1, n)).astype(np.float32)
    patterns = Patterns(x, rng.choice([-1, 1], count).astype(np.int8))
    return RobustEnsemble(patterns, rng.choice([-1, 1], (replicas, 1, n)))


def metropolis_in_numpy(machine, beta, coupling, draws):
    """The same chain, flip by flip, for a perceptron."""
    y, n = machine.w.shape
    w, h, mu = machine.w.copy(), machine.h[:, 0].copy(), machine.mu.copy()
    errors = (h < 0).sum(axis=1)
    f = log_cosh(np.arange(y + 1.0), coupling)
    for site, level in draws:
        a, i = divmod(int(site * y * n), n)
        after = h[a] - 2 * w[a, i] * machine.x[i]
        change = (after < 0).sum() - errors[a]
        m = w[a, i] * mu[i]
        if level < np.exp(-(beta * change + f[abs(m)] - f[abs(m - 2)])):
            h[a], errors[a] = after, errors[a] + change
            mu[i] -= 2 * w[a, i]
            w[a, i] *= -1
    return w


def test_flips_against_numpy(full):
    """Times of the same flips, median of five; at full size 10 times at least."""
    n, count, moves = (1001, 600, 7007) if full else (31, 15, 200)
    machine, ours, theirs = machine_of(n, count, 7), [], []
    machine.sweep(np.random.default_rng(0), 1.0, 0.3, moves=1)
    for seed in range(5):
        draws = np.random.default_rng(seed).random((moves, 2))
        began = time.perf_counter()
        expected = metropolis_in_numpy(machine, 1.0, 0.3, draws)
        between = time.perf_counter()
        machine.sweep(np.random.default_rng(seed), 1.0, 0.3, moves=moves)
        ours.append(time.perf_counter() - between)
        theirs.append(between - began)
        np.testing.assert_array_equal(machine.w, expected)
    ratio = float(np.median(np.array(theirs) / np.array(ours)))
    print(f"\na flip: {np.median(ours) / moves * 1e6:.2f} µs, ratio to NumPy {ratio:.1f}")
    if full:
        assert ratio >= 10
