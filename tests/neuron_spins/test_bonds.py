"""Products, temperatures and modes of the bond matrix against dense linear algebra."""

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import brentq

from lsg_ray.neuron_spins import bonds as module
from lsg_ray.neuron_spins.bonds import (
    bethe_temperature,
    cut_of,
    glass_temperature,
    ordered_modes,
    top_eigenvalues,
)

from .conftest import dense, random_bonds


def roots(bonds):
    """Return real eigenvalues of K = [[J, −D], [I, 0]], descending."""
    J, n = dense(bonds), bonds.n_units
    D = np.diag((J**2).sum(axis=1))
    values = np.linalg.eigvals(np.block([[J, -D], [np.eye(n), np.zeros((n, n))]]))
    return np.sort(values[np.abs(values.imag) < 1e-9].real)[::-1]


def test_products__are_those_of_the_dense_matrix():
    bonds = random_bonds((7, 5, 4, 3))
    J = dense(bonds)
    np.testing.assert_allclose(J, J.T)
    m = np.random.default_rng(0).standard_normal((19, 2))
    np.testing.assert_allclose(bonds.fields(m), J @ m)
    np.testing.assert_allclose(bonds.squared().fields(m), J**2 @ m)
    np.testing.assert_allclose(bonds.squared_fields(m[:, 0]), J**2 @ m[:, 0])
    odd = bonds.colour(1)
    np.testing.assert_allclose(bonds.fields(m, 1), np.where(odd[:, None], J @ m, 0))
    assert J[np.ix_(odd, odd)].any() == J[np.ix_(~odd, ~odd)].any() == False  # noqa: E712


def test_glass_temperature__is_the_root_of_the_radius():
    bonds = random_bonds((50, 20, 30))
    radius = np.abs(np.linalg.eigvalsh(dense(bonds) ** 2)).max()
    assert glass_temperature(bonds) == pytest.approx(np.sqrt(radius), rel=1e-8)
    zero = bonds._replace(couplings=tuple(0 * w for w in bonds.couplings))
    assert glass_temperature(zero) == 0
    assert len(ordered_modes(zero, 0.0).temperatures) == 0
    assert np.isnan(bethe_temperature(zero, 0.0))


@pytest.mark.parametrize("limit", [0, 10_000], ids=["arnoldi", "dense"])
def test_modes__are_real_roots_of_the_quadratic_problem(limit, monkeypatch):
    monkeypatch.setattr(module, "_DENSE", limit)
    bonds = random_bonds((90, 60, 40), spike=2.5)
    glass = glass_temperature(bonds)
    cut = cut_of(glass, bonds.n_units)
    modes = ordered_modes(bonds, cut, k=1)
    expected = roots(bonds)
    expected = expected[expected > cut]
    assert len(expected) >= 1
    assert modes.converged
    np.testing.assert_allclose(modes.temperatures, expected, rtol=1e-6)
    J = dense(bonds)
    D = (J**2).sum(axis=1)
    for T, m in zip(modes.temperatures, modes.vectors.T, strict=True):
        np.testing.assert_allclose(T**2 * m - T * J @ m + D * m, 0, atol=1e-5)


def test_first_mode__is_the_first_zero_of_the_linearised_equations():
    bonds = random_bonds((90, 60, 40), spike=2.5)
    J = dense(bonds)
    D = np.diag((J**2).sum(axis=1))

    def least(T):
        return np.linalg.eigvalsh(np.eye(len(J)) + D / T**2 - J / T)[0]

    (T,) = ordered_modes(bonds, cut_of(glass_temperature(bonds), bonds.n_units)).temperatures[:1]
    assert least(1.3 * T) > 0
    assert brentq(least, 0.95 * T, 1.3 * T) == pytest.approx(T, rel=1e-5)


@pytest.mark.parametrize("strength", [1.6, 2.0, 3.0])
def test_spiked_model__melts_at_its_strength(strength):
    """T = θ up to fluctuations of order 1/√N = 4 % for N = 600; the mean of 4 samples: 2 %."""
    T = []
    for seed in range(4):
        bonds = random_bonds((300, 300), spike=strength, seed=seed)
        T.append(ordered_modes(bonds, cut_of(glass_temperature(bonds), 600), k=2).temperatures[0])
    assert np.mean(T) == pytest.approx(strength, rel=0.06)


def test_weak_spike__is_no_mode():
    bonds = random_bonds((300, 300), spike=0.8)
    assert not len(ordered_modes(bonds, cut_of(glass_temperature(bonds), 600)).temperatures)


def test_shuffled_networks__have_no_modes():
    """At most 3 of 60: the criterion that the cut was chosen for."""
    bonds = random_bonds((40, 20, 14), spike=2.5)
    assert len(ordered_modes(bonds, cut_of(glass_temperature(bonds), 74)).temperatures)
    rng, false = np.random.default_rng(0), 0
    for _ in range(60):
        null = bonds.shuffled(rng)
        modes = ordered_modes(null, cut_of(glass_temperature(null), 74))
        false += len(modes.temperatures) > 0
    assert false <= 3
    for own, other in zip(bonds.couplings, null.couplings, strict=True):
        np.testing.assert_array_equal(np.sort(own.ravel()), np.sort(other.ravel()))


def test_normal_network__has_the_mean_squares():
    bonds = random_bonds((200, 100, 80))
    null = bonds.gaussian(np.random.default_rng(0))
    np.testing.assert_allclose(null.variances, bonds.variances, rtol=0.06)


def test_bethe_hessian__is_singular_at_its_temperature():
    bonds = random_bonds((60, 50), spike=3.0)
    first = ordered_modes(bonds, cut_of(glass_temperature(bonds), 110)).temperatures[0]
    T = bethe_temperature(bonds, first)
    t = np.tanh(dense(bonds) / T)
    hessian = np.diag(1 + (t**2 / (1 - t**2)).sum(axis=1)) - t / (1 - t**2)
    assert np.linalg.eigvalsh(hessian)[0] == pytest.approx(0, abs=1e-4)
    assert abs(T / first - 1) < 0.05


@pytest.mark.parametrize("limit", [0, 10_000], ids=["lanczos", "dense"])
def test_top_eigenvalues__are_those_of_the_dense_matrix(limit, monkeypatch):
    monkeypatch.setattr(module, "_DENSE", limit)
    bonds = random_bonds((40, 30, 20))
    values, vectors = top_eigenvalues(bonds, 3)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(dense(bonds))[::-1][:3], rtol=1e-6)
    np.testing.assert_allclose(dense(bonds) @ vectors, values * vectors, atol=1e-5)


def test_memory__is_that_of_vectors():
    """Beside a network of 1.7 MB: 60 vectors of the Krylov space, its copies, and a few more."""
    bonds = random_bonds((700, 300), spike=2.0)
    tracemalloc.start()
    try:
        glass = glass_temperature(bonds)
        modes = ordered_modes(bonds, cut_of(glass, bonds.n_units))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(modes.temperatures)
    assert peak < 200 * 8 * bonds.n_units
