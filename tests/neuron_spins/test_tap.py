"""TAP solutions against derivatives of the free energy, enumeration and dense matrices."""

import itertools

import numpy as np
import pytest
import torch

from lsg_ray.neuron_spins.bonds import glass_temperature
from lsg_ray.neuron_spins.tap import fields_of, free_energy, is_zero, merge, plefka, quench, solve

from .conftest import dense, random_bonds


def solved(T, h=None, starts=6, **options):
    bonds = random_bonds((12, 8, 5), spike=3.0)
    network = fields_of(bonds, h)
    rng = np.random.default_rng(0)
    spins = quench(network, rng.choice([-1.0, 1.0], (25, starts)))
    return network, solve(network, 0.95 * spins, T, **options)


@pytest.mark.parametrize("field", [0.0, 0.4])
def test_solutions__are_stationary_points_of_the_free_energy(field):
    h = field * np.random.default_rng(1).standard_normal(25)
    network, found = solved(1.5, h, tolerance=1e-10)
    assert found.converged.any()
    J = torch.tensor(dense(network.bonds))
    for m in found.m[:, found.converged].T:
        x = torch.tensor(m, requires_grad=True)
        q = 1 - x**2
        p = torch.stack([(1 + x) / 2, (1 - x) / 2])
        F = -torch.tensor(h) @ x - x @ J @ x / 2 - q @ J**2 @ q / 6 + 1.5 * (p * p.log()).sum()
        (slope,) = torch.autograd.grad(F, x)
        assert slope.abs().max() < 1e-7
        assert free_energy(network, m[:, None], 1.5)[0] == pytest.approx(F.item() / 25, rel=1e-12)


def test_magnetizations__are_those_of_enumeration_at_high_temperature():
    """What TAP leaves out is of order β³J³: at twice the temperature an eighth, or less."""
    bonds = random_bonds((5, 4, 3))
    field = np.random.default_rng(2).standard_normal(12)
    states = np.array(list(itertools.product([-1.0, 1.0], repeat=12)))
    errors = []
    for T in (4.0, 8.0):
        h = T * 0.2 * field  # βh is the same
        energy = -states @ h - 0.5 * np.einsum("ij,ij->i", states @ dense(bonds), states)
        weight = np.exp(-energy / T)
        exact = weight @ states / weight.sum()
        network = fields_of(bonds, h)
        found = solve(network, np.zeros((12, 1)), T, tolerance=1e-12)
        assert found.converged.all()
        F = np.log(weight.sum()) / 12 + free_energy(network, found.m, T)[0] / T
        errors.append([np.abs(found.m[:, 0] - exact).max(), abs(F)])
    assert np.max(errors) < 3e-3
    assert (np.divide(*errors) > 6).all()


def test_quench__aligns_every_spin_with_its_field():
    bonds = random_bonds((30, 20, 10))
    s = quench(fields_of(bonds), np.random.default_rng(0).choice([-1.0, 1.0], (60, 5)))
    assert (s * bonds.fields(s) >= 0).all()
    assert set(np.unique(s)) == {-1.0, 1.0}


def test_plefka_number__is_the_radius():
    network = fields_of(random_bonds((12, 8, 5)))
    m = np.random.default_rng(0).uniform(-0.9, 0.9, (25, 3))
    for column, number in zip(m.T, plefka(network, m, 0.7), strict=True):
        q = np.diag(1 - column**2)
        radius = np.abs(np.linalg.eigvalsh(q @ dense(network.bonds) ** 2 @ q)).max()
        assert number == pytest.approx(radius / 0.7**2, rel=1e-3)


def test_small_starts__end_at_zero_which_is_no_state_below_the_glass_temperature():
    bonds = random_bonds((40, 30, 20))
    network, T = fields_of(bonds), 0.6 * glass_temperature(bonds)
    found = solve(network, np.full((90, 1), 1e-3), T)
    assert found.converged.all()
    assert is_zero(found.m).all()
    assert plefka(network, found.m, T)[0] > 1


def test_ordered_network__has_one_solution_up_to_its_flip():
    _, found = solved(1.5, starts=12)
    assert found.converged.all()
    states = merge(found.m, flip=True)
    assert states.counts[0] >= 10
    both = np.concatenate([found.m[:, :1], -found.m[:, :1]], axis=1)
    assert merge(both, flip=True).counts.tolist() == [2]
    assert merge(both, flip=False).counts.tolist() == [1, 1]


def test_free_energy__falls_at_every_sweep():
    network = fields_of(random_bonds((40, 30, 20)))
    T = 0.5 * glass_temperature(network.bonds)
    m = 0.95 * np.random.default_rng(0).choice([-1.0, 1.0], (90, 4))
    before = free_energy(network, m, T)
    for _ in range(30):
        m = solve(network, m, T, max_iterations=1).m
        after = free_energy(network, m, T)
        assert (after <= before + 1e-13).all()
        before = after


def test_few_iterations__are_told():
    _, found = solved(1.5, max_iterations=2)
    assert not found.converged.any()
    assert (found.steps == 2).all()
    assert (found.residual > 1e-6).all()
