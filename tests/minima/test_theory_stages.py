"""Stages of replica theory: results, figures, and one line for each bad input."""

import numpy as np
import pytest
import xarray
from scipy.special import ndtr

import lsg_ray
from lsg_ray.errors import InputError
from lsg_ray.minima.cross_entropy_landscape import STAGE as CROSS_ENTROPY
from lsg_ray.minima.dense_regions import STAGE as DENSE
from lsg_ray.minima.replica_entropy import STAGE as ENTROPY


@pytest.mark.parametrize("weights", ["binary", "spherical"])
def test_entropy__is_drawn_with_its_capacity(weights):
    theory = lsg_ray.replica_entropy([0.2, 0.4, 0.8], weights=weights)
    assert theory.attrs["converged"]
    assert (np.diff(theory["entropy"]) < 0).all()
    assert (np.diff(theory["overlap"]) > 0).all()
    assert theory.attrs["capacity"] == pytest.approx(2 if weights == "spherical" else 0.8330786)
    (figure,) = ENTROPY.figures
    assert figure.drawn({"": theory}).axes
    assert "Capacity" in figure.captioned({"": theory})[0]


def test_parity__halves_the_volume_with_each_pattern():
    theory = lsg_ray.replica_entropy([0.25, 0.5], machine="parity", weights="spherical")
    np.testing.assert_allclose(theory["entropy"], [-0.25 * np.log(2), -0.5 * np.log(2)])
    assert lsg_ray.replica_entropy([0.5], machine="parity").attrs["capacity"] == 1


def test_parity__has_no_dense_regions():
    theory = lsg_ray.dense_regions(
        [0.5], overlaps=[0.6, 0.9], machine="parity", weights="spherical"
    )
    np.testing.assert_allclose(theory["entropy"].values, -0.5 * np.log(2))
    signs = lsg_ray.dense_regions([0.5], overlaps=[0.6, 0.9], machine="parity")
    np.testing.assert_allclose(signs["entropy"].values[0], signs["bound"].values - 0.5 * np.log(2))
    # Given the part of the fields that solutions share, a product of many signs is undecided.
    rng = np.random.default_rng(0)
    shared = np.sqrt(0.9 / 0.1) * rng.standard_normal((2000, 101))
    chance = 0.5 * (1 + np.prod(2 * ndtr(shared) - 1, axis=1))
    assert np.log(chance).mean() == pytest.approx(-np.log(2), abs=1e-3)


def test_dense_regions__beside_groups_of_clones():
    theory = lsg_ray.dense_regions([0.6], overlaps=[0.3, 0.7, 0.9], clone_counts=[2])
    assert np.isnan(theory["entropy"].values[0, 0])  # below the overlap of typical solutions
    known = theory["entropy"].values[0, 1:]
    assert (known < theory["bound"].values[1:]).all()
    # Two clones are freer than a region of all.
    assert (theory["clone_entropy"].values[0, 0, 1:] > known - 0.05).all()
    assert theory["monotone"].values.all()
    (figure,) = DENSE.figures
    (axes,) = figure.drawn({"": theory}).axes
    assert [text.get_text() for text in axes.texts] == ["$y$ = 2"]
    assert "clones" in figure.captioned({"": theory})[0]


def test_where_nearly_all_are_solutions__the_bound_is_reached():
    theory = lsg_ray.dense_regions([0.2], overlaps=[0.98])
    np.testing.assert_allclose(theory["entropy"].values[0], theory["bound"].values, rtol=1e-6)


def test_cross_entropy__between_typical_and_best():
    theory = lsg_ray.cross_entropy_landscape(0.3, gammas=[1.0], distances=[0.05])
    assert theory.attrs["converged"]
    entropy, typical, best = (theory[n].values.ravel()[0] for n in ("entropy", "typical", "best"))
    assert typical < entropy < best < theory["bound"].values[0]
    (figure,) = CROSS_ENTROPY.figures
    assert figure.drawn({"": theory}).axes
    assert "γ = 1" in figure.captioned({"": theory})[0]


def cross_entropy_theory(gammas, rates):
    """A result of the stage with given rates of errors."""
    gammas, d = np.array(gammas), np.array([0.05, 0.1])
    curve = ("distance", -d)
    values = {"typical": curve, "best": curve, "bound": curve, "error_rate": ("gamma", rates)}
    entropy = (("gamma", "distance"), -np.outer(1 + 1 / gammas, d))
    converged = (("gamma", "distance"), np.ones((len(gammas), 2), bool))
    return xarray.Dataset(
        values | {"entropy": entropy, "converged": converged},
        {"gamma": gammas, "distance": d},
        {"alpha": 0.4, "converged": True},
    )


def test_cross_entropy__rates_that_are_too_small_are_drawn_as_such():
    theory = cross_entropy_theory([4, 0.25, 0.5, 1, 2], [1e-106, 0.04, 0.01, 6e-5, 2e-14])
    (figure,) = CROSS_ENTROPY.figures
    axes = figure.drawn({"": theory}).axes[1]
    above, below = axes.lines
    np.testing.assert_array_equal(above.get_xdata()[:3], [0.25, 0.5, 1])
    np.testing.assert_array_equal(above.get_ydata(), [0.04, 0.01, 6e-5, np.nan, np.nan])
    np.testing.assert_array_equal(below.get_xdata(), [2, 4])
    np.testing.assert_array_equal(below.get_ydata(), 1e-8)
    assert (below.get_marker(), below.get_label()) == ("v", "below 1e-8")
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert ticks == ["0.25", "0.5", "1", "2", "4"]
    assert not len(axes.get_xticks(minor=True))
    assert figure.captioned({"": theory})[0].endswith("wrong; open triangles: below 1e-8.")
    large = cross_entropy_theory([1.0], [0.1])
    assert len(figure.drawn({"": large}).axes[1].lines) == 1
    assert "triangles" not in figure.captioned({"": large})[0]


def test_cross_entropy__of_many_parameters_names_some():
    gammas = np.geomspace(0.1, 50, 40)
    left, right = (
        CROSS_ENTROPY.figures[0]
        .drawn({"": cross_entropy_theory(gammas, 0.1 * np.exp(-gammas))})
        .axes
    )
    ticks = right.get_xticks()
    assert set(ticks) < set(gammas)
    assert (np.diff(np.log(ticks)) > np.log(500) / 9.1).all()
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels[2] == "$\\gamma$ = 0.1"
    assert labels[-1] == "$\\gamma$ = 50"
    assert len(labels) == 9


def test_points_that_did_not_converge__are_left_out():
    theory = cross_entropy_theory([1.0, 2.0], [0.1, 0.1])
    theory["converged"][0, 0] = False
    theory.attrs["converged"] = False
    (figure,) = CROSS_ENTROPY.figures
    curves = [line.get_ydata() for line in figure.drawn({"": theory}).axes[0].lines[2:]]
    assert np.isnan(curves).tolist() == [[True, False], [False, False]]
    assert figure.captioned({"": theory})[0].endswith("Points that did not converge are left out.")


def test_symmetric_state__is_dotted_from_where_it_is_unstable():
    theory = lsg_ray.replica_entropy(
        [1.0, 2.0, 3.0, 4.0], weights="spherical", machine="committee-inf", limits=False
    )
    assert (theory["stability"].values < 0).tolist() == [False, False, True, True]
    solid, dotted = ENTROPY.figures[0].drawn({"": theory}).axes[0].lines[:2]
    assert np.isnan(solid.get_ydata()).tolist() == [False, False, True, True]
    assert np.isnan(dotted.get_ydata()).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lsg_ray.replica_entropy([-1]), "alpha .* given; numbers above 0 are needed"),
        (lambda: lsg_ray.replica_entropy([np.nan]), "alpha .* given"),
        (lambda: lsg_ray.replica_entropy([0.1], machine="tree"), "machine"),
        (lambda: lsg_ray.dense_regions([0.4], overlaps=[1.2]), "overlaps .* below 1"),
        (lambda: lsg_ray.dense_regions([0.4], clone_counts=[100]), "clone_counts .* below 65"),
        (
            lambda: lsg_ray.dense_regions([0.4], clone_counts=[3], machine="committee-3"),
            "leave them out",
        ),
        (lambda: lsg_ray.cross_entropy_landscape(0.9), "up to 0.8331"),
        (lambda: lsg_ray.cross_entropy_landscape(gammas=[0]), "gammas"),
        (lambda: lsg_ray.cross_entropy_landscape(distances=[0.6]), "distances"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
