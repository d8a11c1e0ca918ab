"""Relaxed belief propagation against enumeration, SciPy and a few lines of NumPy."""

import itertools

import numpy as np
import pytest
from scipy.special import erf, log_ndtr

from lsg_ray.kernels.relaxed_bp import free_entropy, majority, sweep


def enumerated(right):
    """Return the probability of a majority, by all 2^K outcomes."""
    total = 0.0
    for outcome in itertools.product([0, 1], repeat=len(right)):
        if sum(outcome) > len(right) // 2:
            total += np.prod(np.where(outcome, right, 1 - right))
    return total


@pytest.mark.parametrize("units", [1, 3, 5, 9])
def test_majority__is_enumerated(units):
    right = np.random.default_rng(units).random(units)
    total, asked = majority(right)
    assert total == pytest.approx(enumerated(right), rel=1e-12)
    for unit in range(units):
        with_, without = right.copy(), right.copy()
        with_[unit], without[unit] = 1, 0
        plus, minus = enumerated(with_), enumerated(without)
        assert asked[unit] == pytest.approx((plus - minus) / (plus + minus), rel=1e-12)


def cavity(A, B, x, precision, field):
    """Return cavity means, variances, and all fields' means and variances, in NumPy."""
    v = 1 / (precision - A)
    m = v * (field - B)
    x = np.broadcast_to(x, A.shape)
    return m, v, x, (x * m).sum(axis=2), (x * x * v).sum(axis=2)


def numpy_sweep(A, B, x, precision, field, damping):
    m, v, x, w, V = cavity(A, B, x, precision, field)
    right = (1 + erf(w / np.sqrt(2 * V))) / 2
    ask = np.array([majority(row)[1] for row in right])[:, :, None]
    w, V = w[:, :, None] - x * m, V[:, :, None] - x * x * v
    g = ask * np.sqrt(2 / (np.pi * V)) * np.exp(-(w**2) / (2 * V))
    g /= 1 + ask * erf(w / np.sqrt(2 * V))
    gamma = g * (g + w / V)
    return (damping * A + (1 - damping) * x * x * gamma, damping * B + (1 - damping) * x * g)


def drawn(units, shared, seed=0):
    rng = np.random.default_rng(seed)
    patterns, n = 12, 7
    A = 0.05 * rng.random((patterns, units, n))
    B = 0.2 * rng.standard_normal((patterns, units, n))
    x = rng.choice([-1.0, 1.0], (patterns, 1 if shared else units, n)) / np.sqrt(n)
    precision = 1.3 + A.sum(axis=0)
    field = B.sum(axis=0) + 0.3 * rng.standard_normal((units, n))
    return A, B, x, precision, field


@pytest.mark.parametrize(("units", "shared"), [(1, True), (3, False), (5, True)])
def test_sweep__is_that_of_numpy(units, shared):
    A, B, x, precision, field = drawn(units, shared)
    expected_A, expected_B = numpy_sweep(A, B, x, precision, field, 0.3)
    sums = np.empty_like(precision), np.empty_like(precision)
    sweep(A, B, x, precision, field, 0.3, *sums)
    np.testing.assert_allclose(A, expected_A, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(B, expected_B, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(sums[0], expected_A.sum(axis=0), rtol=1e-11)
    np.testing.assert_allclose(sums[1], expected_B.sum(axis=0), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("units", "shared"), [(1, False), (3, False), (3, True)])
def test_free_entropy__is_that_of_numpy(units, shared):
    A, B, x, precision, field = drawn(units, shared, 1)
    m, v, _, w, V = cavity(A, B, x, precision, field)
    if units == 1:
        nodes = log_ndtr(w / np.sqrt(V)).sum()
    else:
        right = (1 + erf(w / np.sqrt(2 * V))) / 2
        nodes = sum(np.log(majority(row)[0]) for row in right)
    D = 1 + A * v
    edges = -0.5 * np.log(D) + (B * m + 0.5 * B**2 * v - 0.5 * A * m**2) / D
    weights = 0.5 * np.log(2 * np.pi / precision) + 0.5 * field**2 / precision
    found = free_entropy(A, B, x, precision, field)
    assert found[0] == pytest.approx(nodes - edges.sum(), rel=1e-11)
    assert found[1] == pytest.approx(weights.sum(), rel=1e-12)


def test_sweep_far_from_right__stays_finite():
    A, B, x, precision, field = drawn(3, False, 2)
    field = -200.0 * np.sign(x[0]) * np.ones_like(field)
    sums = np.empty_like(precision), np.empty_like(precision)
    sweep(A, B, x, precision, field, 0.0, *sums)
    assert np.isfinite(A).all()
    assert np.isfinite(B).all()
    perceptron = drawn(1, True, 2)
    perceptron[4][...] = -200.0 * x[0, :1]
    A, B, x, precision, field = perceptron
    sweep(A, B, x, precision, field, 0.0, np.empty_like(field), np.empty_like(field))
    assert np.isfinite(A).all()
