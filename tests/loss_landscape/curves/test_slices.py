"""Minima and saddles of planes."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.curves.persistence import minima_of
from lsg_ray.loss_landscape.curves.slices import STAGE, slice_topology
from lsg_ray.loss_landscape.terrain import terrain_of
from lsg_ray.report.style import render
from tests.ensemble.mixture import synthetic


@pytest.fixture(scope="module")
def between(solutions):
    return slice_topology(
        solutions, plane="solutions", extent=0.5, points=17, examples=300, threshold=0.02
    )


def test_three_solutions_are_where_they_should_be(between, solutions):
    """Six solutions make two planes, of no solution in common."""
    loss = terrain_of(solutions, 300).loss(solutions.numpy())
    assert between.sizes["solution"] == 2
    assert between["solution"].values.tolist() == [0, 3]
    for row in range(2):
        plane = between["train_loss"].isel(solution=row, slice=0)
        corners = [plane.sel(a=a, b=b) for a, b in ((0, 0), (1, 0), (0, 1))]
        np.testing.assert_allclose(corners, loss[3 * row : 3 * row + 3], rtol=1e-3)


def test_minima_are_those_of_the_grid(between):
    for row in range(2):
        for part, name in enumerate(("train", "test")):
            one = between.isel(solution=row, slice=0, part=part)
            found = minima_of(np.log(one[f"{name}_loss"].values + 1e-4)).above(0.02)
            count = len(found.minimum)
            assert int(one["minima"]) == count
            np.testing.assert_allclose(one["birth"][:count], found.birth)
            np.testing.assert_allclose(one["death"][:count], found.death)
            if count > 1:
                assert float(one["gap"]) == pytest.approx(found.persistence[1:].mean())
                at = one.sel(a=one["saddle_a"][1], b=one["saddle_b"][1])[f"{name}_loss"]
                assert float(np.log(at + 1e-4)) == pytest.approx(found.death[1])
            else:
                assert np.isnan(one["gap"])
    assert int(between["minima"].max()) > 1


def test_errors_are_over_independent_planes(between):
    count = between["minima"].values[:, 0, 0]
    assert float(between["minima_mean"][0]) == pytest.approx(count.mean())
    error = count.std(ddof=1) / np.sqrt(2)
    assert float(between["minima_mean_stderr"][0]) == pytest.approx(error)


def test_random_planes(solutions):
    found = slice_topology(solutions, configurations=2, slices=2, points=9, examples=100)
    assert found["train_loss"].shape == (2, 2, 9, 9)
    assert (found["minima"] >= 1).all()
    centre = found["train_loss"].sel(a=0, b=0).values
    np.testing.assert_allclose(centre[:, 0], centre[:, 1], rtol=1e-5)
    assert (np.abs(found["cosine"]) < 0.2).all()
    shown = STAGE.shown(found)
    assert shown["slices"] == 4
    assert render(STAGE.figures[0].drawn({"": found})).startswith(b"\x89PNG")
    assert "4 planes" in STAGE.figures[0].captioned({"": found})[0]


def test_figure_of_a_merge_tree(between):
    assert render(STAGE.figures[0].drawn({"": between})).startswith(b"\x89PNG")
    caption, _ = STAGE.figures[0].captioned({"": between})
    assert "2 planes through three solutions" in caption


def test_what_has_no_slices(solutions, tmp_path):
    with pytest.raises(InputError, match="points 10 given; an odd number"):
        slice_topology(solutions, points=10)
    with pytest.raises(InputError, match="2 configurations; 3 are needed"):
        slice_topology(solutions, plane="solutions", configurations=2)
    with pytest.raises(InputError, match="networks of real weights are needed"):
        slice_topology(synthetic(tmp_path / "binary.zarr", 4, 30))


def test_figure_of_planes_with_one_minimum_each__says_so(solutions):
    found = slice_topology(
        solutions, configurations=2, slices=2, points=9, examples=100, threshold=50
    )
    (panel,) = [axes for axes in STAGE.figures[0].drawn({"": found}).axes[:3] if axes.texts]
    assert [text.get_text() for text in panel.texts] == ["one minimum in each"]
    assert panel.get_legend() is None
