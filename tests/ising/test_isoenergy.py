"""Iso-energy curves: the energy of the reference, β against enumeration, ds = 2x dd."""

import numpy as np
import pytest
import xarray

from lsg_ray.errors import InputError
from lsg_ray.ising.bp import belief_propagation
from lsg_ray.ising.energy_root import EnergyWalk, Options
from lsg_ray.ising.isoenergy import iso_energy
from lsg_ray.ising.model import IsingModel

from .test_bp import tree
from .test_entropy import exact_landscape, glass


def test_trees__have_the_exact_temperature():
    model = tree(9, 4, 0.8)
    sigma = np.sign(model.h)  # of low energy
    curve = iso_energy(model, sigma, np.linspace(-1, 1.5, 6))
    energy = float(model.energy(sigma)[0]) / 9
    there = curve["exists"].values[0, 0]
    assert there.any()
    for k in np.flatnonzero(there):
        beta = curve["beta"].values[0, :, k]
        assert np.ptp(beta) < 1e-6
        d, s, e, f = exact_landscape(model, sigma, float(curve["field"][k]), float(beta[0]))
        for name, value in (("d", d), ("s", s), ("e", energy), ("f", f)):
            np.testing.assert_allclose(curve[name].values[0, :, k], value, atol=1e-7)
        assert e == pytest.approx(energy, abs=1e-7)
    gone = ~curve["exists"]
    assert curve["d"].where(gone).isnull().all()


def test_curves__keep_the_energy_and_their_identity():
    """ds = β de + 2x dd with de = 0."""
    n, rng = 50, np.random.default_rng(0)
    model = IsingModel(glass(n, 1.5), 0.4 * rng.normal(size=n))
    sigma = np.sign(model.h)  # of low energy
    step = 1e-3
    xs = np.concatenate([[x - step, x, x + step] for x in (-0.6, 0.2, 0.8)])
    curve = iso_energy(model, sigma, xs, tolerance=1e-12)
    assert curve.attrs["exists"] == curve.attrs["converged"] == 1
    np.testing.assert_allclose(curve["e"], model.energy(sigma)[0] / n, atol=1e-8)
    s, d = (curve[name].values[0, 0].reshape(3, 3) for name in "sd")
    slope = (s[:, 2] - s[:, 0]) / (d[:, 2] - d[:, 0])
    np.testing.assert_allclose(slope, 2 * xs.reshape(3, 3)[:, 1], atol=1e-4)
    assert curve.attrs["verdict"] == "smooth"


def test_slopes__are_those_of_the_curve():
    """The search between fields takes slopes at their word."""
    n, rng = 30, np.random.default_rng(3)
    model = IsingModel(glass(n, 1.2), 0.4 * rng.normal(size=n))
    sigma = np.sign(model.h)
    energy, options = float(model.energy(sigma)[0]) / n, Options((0.1, 5.0), 1e-12, 5000, None)
    for x in (-0.7, 0.1, 0.9):
        walk = EnergyWalk(model, sigma, energy, options, 0)
        points = [walk.solution(x + step)[1] for step in (-1e-4, 0.0, 1e-4)]
        slope = (points[2].m - points[0].m) / 2e-4
        np.testing.assert_allclose(points[1].slope, slope, atol=2e-4 * np.abs(slope).max())
        root = points[1].state
        beta = (points[2].state.c - points[0].state.c) / 2e-4
        assert root.c_slope == pytest.approx(beta, rel=2e-4)
        moved = (points[2].state.H - points[0].state.H) / 2e-4
        np.testing.assert_allclose(root.H_slope, moved, atol=3e-4 * np.abs(moved).max())


def test_where_no_temperature_has_the_energy__says_so():
    model = IsingModel(np.zeros((4, 4)), np.ones(4))
    sigma, xs = [[1, 1, 1, -1]], [-1.0, 0.0, 1.0]  # 3 tanh(β + x) + tanh(β − x) = 2
    some = iso_energy(model, sigma, xs, betas=(0.5, 0.6))
    assert some["exists"].values[0].tolist() == [[False, True, False]] * 2
    assert some["beta"].values[0, :, 1] == pytest.approx(np.arctanh([0.5, 0.5]), abs=1e-8)
    assert np.isnan(some["d"].values[0][:, [0, 2]]).all()
    assert (some.attrs["exists"], some.attrs["converged"]) == (pytest.approx(1 / 3), 1.0)
    none = iso_energy(model, [[-1, -1, -1, -1]], xs)  # its energy needs β < 0
    assert (none.attrs["exists"], none.attrs["verdict"]) == (0.0, "undetermined")
    with pytest.raises(InputError, match="betas"):
        iso_energy(model, np.ones(4), betas=(2.0, 1.0))
    with pytest.raises(InputError, match="tolerance"):
        iso_energy(model, np.ones(4), tolerance=-1)


def test_first_bracket__where_nothing_converges_at_the_usual_temperature():
    """A glass far below its transition at β = 1; the reference's energy is that of β = 0.2."""
    n, rng = 60, np.random.default_rng(5)
    model = IsingModel(glass(n, 0.4), 0.1 * rng.normal(size=n))
    sigma = rng.choice([-1, 1], (4000, n))
    sigma = sigma[np.argmin(np.abs(model.energy(sigma) / n + 0.65))]
    assert not belief_propagation(model, max_sweeps=60, tolerance=1e-9).converged[0]
    curve = iso_energy(model, sigma, [-0.3, 0.0, 0.3], max_sweeps=60)
    assert curve["exists"].all()
    assert curve["converged"].all()
    assert (curve["beta"] < 0.5).all()
    np.testing.assert_allclose(curve["e"], model.energy(sigma)[0] / n, atol=1e-7)


def test_loops__of_blocks_at_constant_energy_do_not_depend_on_the_grid():
    """A block of 15 with its loop, in a bulk that keeps the energy."""
    n, rng = 90, np.random.default_rng(6)
    h = 0.6 * rng.normal(size=n)
    J = np.zeros((n, n))
    J[:15, :15] = 1.3 / 14
    np.fill_diagonal(J, 0)
    h[:15] = -0.05
    sigma = np.where(rng.random(n) < 0.75, np.sign(h), -np.sign(h))
    sigma[:15] = 1
    verdicts = [
        iso_energy((J, h), sigma, step * (np.arange(-count, count + 1) + shift)).attrs["verdict"]
        for step, count, shift in ((0.2, 4, 0.0), (0.2, 4, 0.5), (0.1, 8, 0.25))
    ]
    assert verdicts == ["first-order"] * 3


def test_missing_roots__inside_an_interval_are_passed_over():
    """Hopfield models with strong patterns: at some fields no temperature has the energy."""
    seen = 0
    for seed in range(12):
        n, rng = 40, np.random.default_rng(seed)
        patterns = rng.choice([-1.0, 1.0], (3, n))
        J = patterns.T @ patterns * 1.3 / n
        np.fill_diagonal(J, 0)
        sigma = np.where(rng.random(n) < 0.9, patterns[0], -patterns[0])
        curve = iso_energy(
            (J, 0.1 * rng.normal(size=n)), sigma, np.arange(-6, 7) * 0.4, max_sweeps=300
        )
        seen += int((~curve["exists"]).any())
        assert curve.attrs["verdict"] in ("smooth", "first-order", "undetermined")
    assert seen


def test_few_fields_with_a_root__tell_nothing():
    n = 20
    J = np.full((n, n), 0.5 / n)
    np.fill_diagonal(J, 0)
    sigma = np.resize([1, 1, 1, -1], n)
    for betas in ((1.4, 1.5), (0.9, 1.0)):
        curve = iso_energy((J, np.full(n, 0.1)), sigma, betas=betas)
        assert 0 < curve.attrs["exists"] < 0.1
        assert curve.attrs["verdict"] == "undetermined"


def test_refined_fields__are_added_where_the_distance_changes_fast():
    """The same as if all of them had been given; and none are added without the option."""
    couplings, sigma = np.full((6, 6), 0.05) - 0.05 * np.eye(6), [[1, 1, 1, 1, -1, 1]]
    model, xs = (couplings, np.full(6, 0.3)), np.linspace(-1, 1, 3)
    plain, finer = iso_energy(model, sigma, xs), iso_energy(model, sigma, xs, refine=1)
    assert plain["field"].values.tolist() == xs.tolist()
    assert set(xs) < set(finer["field"].values.tolist())
    xarray.testing.assert_equal(finer, iso_energy(model, sigma, finer["field"].values))
