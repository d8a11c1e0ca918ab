"""Chains against enumeration, and their energies against recomputation."""

import itertools

import numpy as np
import pytest

from lsg_ray.neuron_spins.heat_bath import Ladders
from lsg_ray.neuron_spins.monte_carlo import sample_network
from lsg_ray.neuron_spins.tap import fields_of

from .conftest import dense, random_bonds

T = np.array([0.6, 1.0, 1.7])


def exact(bonds, h):
    """Return energy and magnetizations by enumeration, at each temperature."""
    n = bonds.n_units
    states = np.array(list(itertools.product([-1.0, 1.0], repeat=n)))
    energy = -states @ h - 0.5 * np.einsum("ij,ij->i", states @ dense(bonds), states)
    weight = np.exp(-(energy - energy.min())[:, None] / T)
    weight /= weight.sum(axis=0)
    return energy @ weight, states.T @ weight, states, weight


@pytest.mark.parametrize("exchange", [False, True])
def test_chains__sample_the_boltzmann_distribution(exchange):
    """Means over 40 ladders within 4.5 standard errors: a false alarm in 3,000 for 30 numbers."""
    bonds = random_bonds((4, 3, 3), variance=2.0, seed=1)
    h = 0.3 * np.random.default_rng(0).standard_normal(10)
    rng = np.random.default_rng(3)
    temperatures = T if exchange else T[:1]
    spins = rng.choice([-1.0, 1.0], (10, 40, len(temperatures)))
    chains = Ladders(bonds, h, 1 / temperatures, spins, rng)
    energies, m = [], []
    for sweep in range(600):
        chains.sweep()
        if sweep >= 100:
            energies.append(chains.energies.copy())
            m.append(chains.spins.copy())
    energy, magnetization, *_ = exact(bonds, h)
    for values, expected in (
        (np.mean(energies, axis=0), energy[: len(temperatures)]),
        *zip(np.mean(m, axis=0), magnetization[:, : len(temperatures)], strict=True),
    ):
        error = values.std(axis=0, ddof=1) / np.sqrt(40)
        assert (np.abs(values.mean(axis=0) - expected) <= 4.5 * error).all()
    if exchange:
        assert (chains.accepted > 0).all()
        assert (chains.accepted <= chains.offered).all()


def test_energies__are_those_of_the_spins():
    bonds = random_bonds((9, 7, 5, 3))
    h = np.random.default_rng(0).standard_normal(24)
    rng = np.random.default_rng(1)
    chains = Ladders(bonds, h, 1 / T, rng.choice([-1.0, 1.0], (24, 4, 3)), rng)
    J = dense(bonds)
    for _ in range(20):
        chains.sweep()
        s = chains.spins.reshape(24, -1).astype(float)
        energy = -h @ s - 0.5 * np.einsum("ij,ij->j", s, J @ s)
        np.testing.assert_allclose(chains.energies.ravel(), energy, rtol=1e-5, atol=1e-4)
    assert set(np.unique(chains.spins)) == {-1.0, 1.0}


def test_overlaps_and_order__are_those_of_enumeration():
    """⟨q²⟩ = Σ ⟨σ_iσ_j⟩²/N², by layer too; 4.5 standard errors of disjoint pairs, or 5 %."""
    bonds = random_bonds((4, 3, 3), variance=2.0, seed=1)
    scalars, layers, histogram, converged, _ = sample_network(
        fields_of(bonds), T, 40, 100, 300, 1, 21, np.random.default_rng(5)
    )
    energy, _, states, weight = exact(bonds, np.zeros(10))
    v = np.linalg.eigh(dense(bonds))[1][:, -1]
    for index in range(3):
        C = (states * weight[:, index, None]).T @ states
        mean, error = scalars[index].T
        expected = [energy[index] / 10, (C**2).sum() / 100]
        assert (np.abs(mean[:2] - expected) <= 4.5 * error[:2]).all()
        p = states @ v
        second, fourth = (weight[:, index] @ p**k for k in (2, 4))
        assert mean[2] == pytest.approx(0.5 * (3 - fourth / second**2), abs=0.05)
        assert mean[3] == pytest.approx(second / 10, rel=0.05)
        for layer, where in enumerate(bonds.layers):
            size = where.stop - where.start
            q = np.sqrt((C[where, where] ** 2).sum()) / size
            assert layers[index, layer] == pytest.approx(q, rel=0.05)
    np.testing.assert_allclose(histogram.sum(axis=1) * 2 / 21, 1)
    assert converged.all()
