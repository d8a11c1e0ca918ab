"""Magnetizations of units under their own reaction, against a bracketed root and the equation."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from lsg_ray.kernels.alignment import BLOCK, align


def test_roots_are_those_of_a_bracket():
    rng = np.random.default_rng(0)
    field, reaction = rng.normal(0, 4, 300), rng.gamma(1, 2, 300)
    field[:3], reaction[3:6] = (0.0, 1e-9, -300.0), 0.0
    m = np.empty(300)
    align(field, reaction, m)
    for f, r, found in zip(field, reaction, m, strict=True):
        low, high = min(f, 0.0) - 1e-12, max(f, 0.0) + 1e-12
        x = brentq(lambda x, f=f, r=r: x + r * np.tanh(x) - f, low, high, xtol=1e-14)
        np.testing.assert_allclose(found, np.tanh(x), atol=1e-11)


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(0, 2 * BLOCK + 3),
    scale=st.sampled_from([1e-8, 1.0, 1e3]),
    strength=st.sampled_from([0.0, 1.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_equation_holds(n, scale, strength, seed):
    rng = np.random.default_rng(seed)
    field, reaction = rng.normal(0, scale, n), rng.gamma(1, 1, n) * strength
    m = np.empty(n)
    align(field, reaction, m)
    # An error of m counts 1 + r times where tanh is steep.
    error = np.abs(m - np.tanh(field - reaction * m))
    assert (error <= 1e-11 * (1 + reaction)).all()
    assert (np.sign(m) == np.sign(field)).all()
