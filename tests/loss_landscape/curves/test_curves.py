"""The stage: types along directions of an ensemble."""

import warnings

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.exchange.importing import write_ensemble
from lsg_ray.loss_landscape.curves import directions
from lsg_ray.loss_landscape.curves.curves import STAGE, grids, loss_curves
from lsg_ray.loss_landscape.curves.slices import slice_topology
from lsg_ray.loss_landscape.curves.types import curve_type
from lsg_ray.loss_landscape.terrain import terrain_of
from lsg_ray.loss_landscape.valleys.asymmetry import valley_asymmetry
from lsg_ray.report.style import render
from tests.ensemble.mixture import synthetic


@pytest.fixture(scope="module")
def curves(solutions):
    return loss_curves(solutions, configurations=2, draws=2, examples=200)


def test_labels_are_those_of_the_curves(curves):
    assert curves["train_loss"].shape == (2, 9, 41)
    for part in ("train", "test"):
        for index in np.ndindex(2, 9):
            loss = curves[f"{part}_loss"].values[index]
            assert curves[f"{part}_label"].values[index] == curve_type(loss).label
        np.testing.assert_allclose(curves[f"{part}_share"].sum("label"), 1)
        assert (curves[f"{part}_share_stderr"] > 0).all()


def test_curves_are_at_the_solutions(curves, solutions):
    """λ = 0 is the solution, and λ = 1 towards another solution is that one."""
    terrain = terrain_of(solutions, 200)
    measures = terrain.measure(solutions.numpy()[:2])
    np.testing.assert_allclose(
        curves["train_loss"].values[:, :, 20], measures[0][:, None] + np.zeros(9), rtol=1e-4
    )
    position = curves["position"].values
    towards = curves["train_loss"].values[:, 2, int(np.flatnonzero(position[2] == 1)[0])]
    np.testing.assert_allclose(towards, measures[0][::-1], rtol=1e-3)
    assert (position[:, 20] == 0).all()


def test_the_curvature_is_that_of_the_curve_where_it_is_small(solutions):
    """Second differences along a short direction; ReLU kinks leave some per cent."""
    short = loss_curves(solutions, configurations=2, draws=2, length=0.05, examples=None)
    g, step = short["train_loss"].values, np.diff(short["position"].values)[:, :1].T
    second = (g[..., 24] + g[..., 16] - 2 * g[..., 20]) / (4 * step) ** 2
    gaussian = short["kind"].values == "gaussian"
    np.testing.assert_allclose(
        second[:, gaussian], short["curvature"].values[:, gaussian], rtol=0.3
    )
    top = short["kind"].values == "top"
    np.testing.assert_allclose(second[:, top], short["curvature"].values[:, top], rtol=0.15)


def test_the_first_grid_has_zero_and_one():
    grid = grids(43, 1)
    assert grid.shape == (7, 43)
    assert (grid[:, 21] == 0).all()
    np.testing.assert_allclose(grid[[0, 2]][:, [0, -1]], [[-1, 1], [-1, 2]])


def test_results_are_those_of_the_seed(solutions, curves):
    again = loss_curves(solutions, configurations=2, draws=2, examples=200)
    np.testing.assert_array_equal(again["train_loss"], curves["train_loss"])


def test_summary_and_figure(curves):
    shown = STAGE.shown(curves)
    assert shown["solutions"] == 2
    assert set(shown["train"]) == set(curves["construction"].values)
    figure = STAGE.figures[0]
    assert render(figure.drawn({"": curves})).startswith(b"\x89PNG")
    caption, text = figure.captioned({"": curves})
    assert "2 solutions" in caption
    assert text


def test_eigenvectors_that_have_not_converged_are_told(solutions, monkeypatch):
    monkeypatch.setattr(directions, "EIGEN_STEPS", 3)
    found = loss_curves(solutions, configurations=2, draws=2, examples=50)
    missing = int((~found["converged"]).sum())
    assert missing > 0
    assert STAGE.shown(found)["eigenvectors_converged"] == f"{4 - missing} of 4"
    assert f"{missing} have not converged" in STAGE.figures[0].captioned({"": found})[0]


def test_what_has_no_curves(solutions, tmp_path):
    with pytest.raises(InputError, match="points 42 given; an odd number"):
        loss_curves(solutions, points=42)
    with pytest.raises(InputError, match="1 configurations; 2 are needed"):
        loss_curves(solutions, configurations=1)
    with pytest.raises(InputError, match="networks of real weights are needed"):
        loss_curves(synthetic(tmp_path / "binary.zarr", 4, 30))


@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_equal_networks__have_no_direction_between_them_and_no_warning(tmp_path, scale):
    """Also of weights that are all zero: numbers that there are not are NaN, and nothing warns."""
    one = scale * np.random.default_rng(3).normal(size=20 * 6 + 6 * 5 + 5 * 10)
    network = {"family": "relu", "widths": [20, 6, 5, 10]}
    dataset = {"name": "digits", "components": 20}
    stored = write_ensemble(np.stack([one] * 3), tmp_path / "s", network=network, dataset=dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        curves = loss_curves(stored, draws=2, examples=50)
        planes = slice_topology(stored, slices=2, points=7, examples=50)
        valleys = valley_asymmetry(stored, directions=2, points=5, examples=50)
    assert np.isnan(curves["unit_curvature"][:, curves["kind"] == "solution"]).all()
    assert np.isfinite(planes["train_loss"]).all()
    if not scale:
        assert (valleys["asymmetry"].sel(quantity="train_loss") == 0).all()
    else:
        with pytest.raises(InputError, match=r"extent 1e\+15 given; the loss overflows"):
            slice_topology(stored, slices=2, points=7, examples=50, extent=1e15)
