"""Curves s(d) between fields: independent weights, whose s and d are known at every field."""

import numpy as np
import pytest
import xarray

from lsg_ray.ising.annealing import anneal_scan
from lsg_ray.ising.curve import constant_energy_curve, entropy_curve, through_slopes
from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.field_scans import entropy_bound
from lsg_ray.ising.isoenergy import iso_energy

N = 40


@pytest.fixture(scope="module")
def independent():
    """Return a model without couplings, and a reference."""
    rng = np.random.default_rng(3)
    return (np.zeros((N, N)), rng.normal(0, 0.8, N)), rng.choice([-1, 1], N)


def exact(model, sigma, x, beta=1.0):
    """Return d, s, e of independent weights at fields x (F,), or (x, β) pair by pair."""
    H = np.multiply.outer(beta * np.ones_like(x), model[1]) + np.multiply.outer(x, sigma)
    m = np.tanh(H)
    d = (1 - m @ sigma / N) / 2
    return d, entropy_bound((1 - m) / 2).mean(axis=1), -m @ model[1] / N


def grid(step, end=3.0):
    return np.linspace(-end, end, round(2 * end / step) + 1)


def test_slopes_of_a_scan__are_those_of_the_equations(independent):
    """At one temperature ds/dd = 2x + β de/dd; only s − βe has the slope 2x."""
    model, sigma = independent
    scan = entropy_scan(model, sigma[None], grid(0.5), beta=1.5)
    x, small = scan["field"].values, 1e-4
    (d0, s0, e0), (d1, s1, e1) = (exact(model, sigma, x + a, 1.5) for a in (-small, small))
    np.testing.assert_allclose(scan["d_slope"][0, 0], (d1 - d0) / (2 * small), atol=1e-6)
    np.testing.assert_allclose(scan["s_slope"][0, 0], (s1 - s0) / (2 * small), atol=1e-5)
    legendre = (s1 - s0 - 1.5 * (e1 - e0)) / (d1 - d0)
    np.testing.assert_allclose(legendre, 2 * x, atol=1e-4)


def test_error_of_a_curve__falls_as_the_fourth_power_of_the_step(independent):
    """Where cubic polynomials win 16 times by half the step, straight lines win 4 times."""
    model, sigma = independent
    errors = []
    for step in (1.0, 0.5, 0.25):
        scan = entropy_scan(model, sigma[None], grid(step))
        pair = []
        for known in (scan, scan.drop_vars(["d_slope", "s_slope", "e"])):
            curve = entropy_curve(known, 10)
            d, s, _ = exact(model, sigma, curve["field"].values)
            pair.append(max(np.abs(curve["d"] - d).max(), np.abs(curve["s"] - s).max()))
        errors.append(pair)
    cubic, straight = np.array(errors).T
    assert (cubic < straight / 8).all()
    assert (cubic[:-1] / cubic[1:] > 11).all()
    assert (straight[:-1] / straight[1:] < 5).all()


def test_error_at_constant_energy__falls_as_the_fourth_power_of_the_step():
    """Without fields all weights count the same: s = H₂(d) and ds/dd = ln((1 − d)/d) = 2x."""
    errors = []
    for step in (0.5, 0.25, 0.125):
        x = grid(step)
        d = (1 - np.tanh(x)) / 2
        at, s = through_slopes(d, entropy_bound(d), 2 * x, 10)
        _, straight = through_slopes(d, entropy_bound(d), np.full(len(d), np.nan), 10)
        errors.append([np.abs(line - entropy_bound(at)).max() for line in (s, straight)])
    cubic, straight = np.array(errors).T
    assert (cubic < straight / 8).all()
    assert (cubic[:-1] / cubic[1:] > 11).all()


def test_curves_at_constant_energy__agree_with_a_fine_one(independent):
    model, _ = independent
    weak = np.abs(model[1]) < np.median(np.abs(model[1]))
    mixed = np.where(weak, -1, 1) * np.sign(model[1])  # of a low energy
    coarse, fine = (iso_energy(model, mixed[None], grid(step, 1.0)) for step in (0.25, 0.025))
    x = coarse["field"].values
    there = coarse["exists"].values[0, 0]
    d, s = (coarse[name].values[0, 0] for name in "ds")
    inside = there[1:] & there[:-1]
    assert inside.sum() >= 4
    np.testing.assert_allclose(  # ds/dd = 2x
        (np.diff(s) / np.diff(d))[inside], (x[1:] + x[:-1])[inside], atol=0.05
    )
    at, curve = (line[0, 0] for line in constant_energy_curve(coarse, 10))
    known = np.isfinite(at)
    order = np.argsort(fine["d"].values[0, 0])
    dense = (fine[name].values[0, 0][order] for name in "ds")
    at_fine, s_fine = (values[np.isfinite(values)] for values in dense)
    error = np.abs(np.interp(at[known], at_fine, s_fine) - curve[known])
    straight = np.abs(np.interp(at_fine, d[there][::-1], s[there][::-1]) - s_fine)
    assert error.max() < 3e-4
    assert error.max() < straight.max() / 4


def test_curves__are_straight_where_an_end_cannot_be_trusted(independent):
    model, sigma = independent
    scan = entropy_scan(model, sigma[None], grid(1.0))
    smooth = entropy_curve(scan)
    for name in ("converged", "stable"):
        lost = scan.copy(deep=True)
        lost[name][0, 0, 3] = False
        curve = entropy_curve(lost)
        line = curve["s"].values[0, 0]
        np.testing.assert_allclose(np.diff(line[16:32], 2)[np.r_[0:7, 8:14]], 0, atol=1e-12)
        np.testing.assert_array_equal(line[:17], smooth["s"].values[0, 0][:17])
        np.testing.assert_array_equal(curve["s"].values[0, 1], smooth["s"].values[0, 1])
    rising = scan.assign(d_slope=-scan["d_slope"])
    straight = entropy_curve(scan.drop_vars(["d_slope", "s_slope", "e"]))
    np.testing.assert_array_equal(entropy_curve(rising)["d"], straight["d"])


def test_distance__falls_all_the_way(independent):
    model, sigma = independent
    for step in (0.5, 1.0, 1.5, 3.0):
        curve = entropy_curve(entropy_scan(model, sigma[None], grid(step)), 40)
        assert (np.diff(curve["d"].values) < 0).all()


def test_points_that_are_not_of_a_concave_curve__are_joined_by_lines():
    d, slope = np.array([0.5, 0.4, 0.3]), np.array([0.0, 0.4, 0.8])
    s = np.array([0.69, 0.69 - 0.05, 0.69 - 0.06])  # mean slopes 0.5, 0.1: outside of both ends
    at, line = through_slopes(d, s, slope, 4)
    np.testing.assert_allclose(line, np.interp(-at, -d, s))
    holes = through_slopes(d, s, slope, 4, broken=np.array([True, False]))[1]
    assert np.isnan(holes).tolist() == [False, True, True, True] + [False] * 5
    missing, _ = through_slopes(np.array([0.5, np.nan, 0.3]), s, slope, 4)
    assert missing[[0, -1]].tolist() == [0.5, 0.3]
    assert np.isnan(missing[1:-1]).all()
    unknown = through_slopes(np.array([0.5, 0.4, 0.3]), np.array([0.69, 0.64, np.nan]), slope, 4)[1]
    np.testing.assert_allclose(unknown[:5], line[:5])  # up to the last point that is known
    assert np.isnan(unknown[5:]).all()


def test_scan_by_monte_carlo__has_no_corners(independent):
    """Its entropy has no slope of its own: it follows from fluctuations and energies."""
    model, sigma = independent
    scan = anneal_scan(model, sigma[None], grid(0.5, 2.0), chains=64, draws=30)
    curve = entropy_curve(scan, 10)
    exact_d, exact_s, _ = exact(model, sigma, curve["field"].values)
    errors = {"d": np.abs(curve["d"] - exact_d), "s": np.abs(curve["s"] - exact_s)}
    straight = entropy_curve(scan.drop_vars("d_slope"), 10)
    for name, wanted in (("d", exact_d), ("s", exact_s)):
        noise = 5 * float(scan[f"{name}_stderr"].max())
        assert errors[name].max() < 2e-3 + noise
        assert errors[name].mean() < np.abs(straight[name] - wanted).mean()
    turn = np.abs(np.diff(curve["s"].values[0, 0], 2))
    corner = np.abs(np.diff(straight["s"].values[0, 0], 2))
    assert turn.max() < corner.max() / 3


def test_slopes_of_differences__are_exact_for_parabolas_and_stop_at_breaks():
    x = np.array([-2.0, -1.0, 0.5, 1.0])
    scan = xarray.Dataset(
        {
            "d": (("reference", "direction", "field"), np.tile(0.5 - x / 8, (1, 2, 1))),
            "s": (("reference", "direction", "field"), np.tile(-(x**2), (1, 2, 1))),
            "e": (("reference", "direction", "field"), np.tile(-(x**2), (1, 2, 1))),
            "d_slope": (("reference", "direction", "field"), np.full((1, 2, 4), -1 / 8)),
        },
        {"field": x},
        {"beta": 1.0},
    )
    from lsg_ray.ising.curve import _slopes

    broken = np.zeros((1, 2, 3), bool)
    slopes = _slopes(scan, broken)["s"] + 2 * x / 8
    np.testing.assert_allclose(slopes[..., 1:-1], np.tile(-2 * x[1:-1], (1, 2, 1)))
    broken[0, 0, 1] = True
    slopes = _slopes(scan, broken)["s"] + 2 * x / 8
    np.testing.assert_allclose(slopes[0, 0], [3, 3, -1.5, -1.5])
    alone = _slopes(scan, np.ones((1, 2, 3), bool))["s"]
    assert np.isnan(alone).all()


def test_fields_of_monte_carlo__are_refined_too(independent):
    model, sigma = independent
    options = {"chains": 8, "draws": 4, "burn_in": 2}
    finer = anneal_scan(model, sigma[None], grid(1.0, 1.0), refine=1, **options)
    fields = finer["field"].values
    assert fields.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    xarray.testing.assert_equal(finer, anneal_scan(model, sigma[None], fields, **options))


def test_a_single_field__is_a_point():
    d, s = through_slopes(np.array([[0.3]]), np.array([[0.5]]), np.array([[1.0]]), 4)
    assert d.tolist() == [[0.3]]
    assert s.tolist() == [[0.5]]
