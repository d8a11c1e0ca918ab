"""Small sets of weights to be imported."""

import numpy as np

from lsg_ray.spec import NetworkSpec


def signs(rows=60, n=12, seed=0):
    """Return ±1 (rows, N), int8."""
    return np.random.default_rng(seed).choice([-1, 1], (rows, n)).astype(np.int8)


def reals(rows=7, n=12, seed=0):
    """Return real weights (rows, N) of all sizes, float32."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, n)) * 10.0 ** rng.integers(-20, 12, n)).astype(np.float32)


#: Widths with 12 weights.
WIDTHS = (3, 2, 3)
NETWORK = NetworkSpec(widths=WIDTHS)
