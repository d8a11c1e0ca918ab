"""Products, moments of fields, shuffling and evaluation against a few lines of NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lsg_ray.kernels import meanfield, products


@settings(max_examples=25, deadline=None)
@given(
    n_out=st.integers(1, 4),
    n_in=st.integers(1, 6),
    n=st.integers(1, 5),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_products(n_out, n_in, n, dtype, seed):
    n_out, n_in, n = 4 * n_out, 4 * n_in, 16 * n
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    mu, var, a = normal(n_out, n_in), normal(n_out, n_in), normal(n_in, n)
    delta, noise_delta = normal(n_out, n), normal(n_out, n)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-10}
    mean_z, var_z = normal(n_out, n), normal(n_out, n)
    products.forward(mu, var, a, mean_z, var_z, n)
    np.testing.assert_allclose(mean_z, mu @ a, **tolerance)
    np.testing.assert_allclose(var_z, var @ a**2, **tolerance)
    products.forward_mean(mu, a, mean_z, n)
    np.testing.assert_allclose(mean_z, mu @ a, **tolerance)
    mean_a, var_a = normal(n_in, n), normal(n_in, n)
    products.backward(mu, var, delta, noise_delta, mean_a, var_a, n)
    np.testing.assert_allclose(mean_a, mu.T @ delta, **tolerance)
    np.testing.assert_allclose(var_a, var.T @ noise_delta, **tolerance)
    mean_grad, var_grad = np.ones((n_out, n_in), dtype), np.ones((n_out, n_in), dtype)
    products.outer(delta, noise_delta, a, mean_grad, var_grad, n)
    np.testing.assert_allclose(mean_grad, 1 + delta @ a.T, **tolerance)
    np.testing.assert_allclose(var_grad, 1 + noise_delta @ (a**2).T, **tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 5e-7), (np.float64, 1e-14)])
def test_moments_of_fields_keep_small_variances(dtype, tolerance):
    """1 − tanh² is right where tanh rounds to 1: Adam moves weights by tiny gradients too."""
    theta = np.linspace(-60, 60, 1201).astype(dtype)
    mu, var = np.empty_like(theta), np.empty_like(theta)
    meanfield.moments_of_fields(theta, mu, var)
    half = theta.astype(np.float64) / 2
    np.testing.assert_allclose(mu, np.tanh(half), atol=tolerance)
    np.testing.assert_allclose(var, 1 / np.cosh(half) ** 2, rtol=2 * tolerance)


def test_shuffle_is_a_uniform_permutation():
    """Chi-square over the 120 permutations of five; false alarm for one seed in 10⁵."""
    state = np.array([3], np.uint64)
    counts: dict[tuple[int, ...], int] = {}
    order = np.arange(5)
    for _ in range(24_000):
        meanfield._shuffle(order, state)
        key = tuple(int(i) for i in order)
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 120
    assert stats.chisquare(list(counts.values())).pvalue > 1e-5
