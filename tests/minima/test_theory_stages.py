"""Stages of replica theory: results, figures, and one line for each bad input."""

import numpy as np
import pytest
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
    assert figure.drawn({"": theory}).axes
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
