"""Mined directions: constraints hold where it is said, and stacks change nothing."""

from dataclasses import replace

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.curves.mined import STAGE, mine_curves
from lsg_ray.loss_landscape.curves.mining import MINING, mine
from lsg_ray.loss_landscape.curves.targets import CURVE_TARGETS, SURFACE_TARGETS, TARGETS
from lsg_ray.loss_landscape.curves.types import CURVES, curve_type
from lsg_ray.loss_landscape.terrain import terrain_of
from lsg_ray.report.style import render
from tests.ensemble.mixture import synthetic

SHORT = replace(MINING, first=50, every=25, steps=150, batch=100)


def streams(count, seed=1):
    return [np.random.default_rng([seed, number]) for number in range(count)]


def excess(terrain, w, epsilon, target):
    """σ(h − h_0 − o) of the networks themselves, one by one."""
    points = (w + target.points @ epsilon.astype(np.float64)).astype(np.float32)
    h = np.log(terrain.loss(np.concatenate([w[None], points])) + CURVES.floor)
    return target.sense * (h[1:] - h[0] - target.offset)


def test_targets_are_those_of_the_oracle_curves():
    """Each oracle curve satisfies the constraints of its own type."""
    own = {
        "v-basin": lambda x: 4 * x**2 + 0.01,
        "v-side": lambda x: (x - 0.5) ** 2 + 0.01,
        "w-basin": lambda x: 8 * (x * (x - 0.8)) ** 2 + 0.01,
        "w-peak": lambda x: 4 * (x**2 - 0.36) ** 2 + 0.01,
        "vvv-basin": lambda x: 20 * (x * (x**2 - 0.64)) ** 2 + 0.01,
    }
    for name, curve in own.items():
        target = CURVE_TARGETS[name]
        h = np.log(curve(np.append(0, target.points[:, 0])) + CURVES.floor)
        assert (target.sense * (h[1:] - h[0] - target.offset) <= 1e-9).all(), name
        assert curve_type(curve(np.linspace(-1, 1, 41))).label == name


def test_points_of_surfaces_are_in_the_plane():
    assert SURFACE_TARGETS["saddle"].points.shape == (8, 2)
    radius = np.linalg.norm(SURFACE_TARGETS["bottle"].points, axis=1)
    assert sorted(np.unique(radius.round(6), return_counts=True)[1]) == [8, 8, 8]


@pytest.mark.parametrize("name", ["w-basin", "vvv-basin", "saddle"])
def test_constraints_hold_where_it_is_said(solutions, name):
    terrain = terrain_of(solutions, 300)
    weights, target = solutions.numpy()[:2], TARGETS[name]
    mined = mine(terrain, weights, target, streams(2), replace(SHORT, steps=400))
    assert mined.held.any()
    for w, epsilon, held in zip(weights, mined.epsilon, mined.held, strict=True):
        size = target.length * np.linalg.norm(w)
        gram = epsilon.astype(np.float64) @ epsilon.T
        np.testing.assert_allclose(gram, size**2 * np.eye(len(epsilon)), atol=1e-3 * size**2)
        if held:
            assert (excess(terrain, w, epsilon, target) <= -MINING.margin / 3 + 1e-3).all()


def test_a_stack_mines_what_each_network_would(solutions):
    terrain, target = terrain_of(solutions, 300), CURVE_TARGETS["w-basin"]
    weights = solutions.numpy()[:3]
    together = mine(terrain, weights, target, streams(3), SHORT)
    assert together.held.any()
    for row in range(3):
        alone = mine(terrain, weights[row : row + 1], target, streams(3)[row : row + 1], SHORT)
        assert alone.steps[0] == together.steps[row]
        np.testing.assert_allclose(alone.epsilon[0], together.epsilon[row], atol=2e-2)


@pytest.fixture(scope="module")
def mined(solutions):
    return mine_curves(solutions, configurations=3, stack=2, steps=120, batch=100, examples=300)


def test_labels_are_those_of_the_curves(mined, solutions):
    assert mined["train_loss"].shape == (5, 3, 41)
    for index in np.ndindex(5, 3):
        for part in ("train", "test"):
            loss = mined[f"{part}_loss"].values[index]
            assert mined[f"{part}_label"].values[index] == curve_type(loss).label
    loss = terrain_of(solutions, 300).loss(solutions.numpy()[:3])
    np.testing.assert_allclose(
        mined["train_loss"].values[:, :, 20], loss + np.zeros((5, 1)), rtol=1e-4
    )
    hits = (mined["train_label"].values == mined["type"].values[:, None]).mean(axis=1)
    for row, name in enumerate(mined["type"].values):
        assert float(mined["train_share"].sel(label=name)[row]) == pytest.approx(hits[row])


def test_surfaces_are_those_of_the_plane(mined):
    assert mined["surface_train_loss"].shape == (2, 1, 41, 41)
    at_zero = mined["surface_train_loss"].values[:, 0, 20, 20]
    np.testing.assert_allclose(at_zero, mined["train_loss"].values[0, 0, 20], rtol=1e-4)
    assert mined["formed"].dims == ("surface", "surface_solution", "part")


@pytest.mark.parametrize("surfaces", [0, 1])
def test_summary_and_figure(mined, surfaces):
    some = mined if surfaces else mined.drop_dims(["surface", "part"])
    shown = STAGE.shown(some)
    assert shown["solutions"] == 3
    assert ("formed" in shown) == bool(surfaces)
    assert render(STAGE.figures[0].drawn({"": some})).startswith(b"\x89PNG")
    assert "3 solutions" in STAGE.figures[0].captioned({"": some})[0]


def test_what_cannot_be_mined(solutions, tmp_path):
    with pytest.raises(InputError, match="points 42 given; an odd number"):
        mine_curves(solutions, points=42)
    with pytest.raises(InputError, match="networks of real weights are needed"):
        mine_curves(synthetic(tmp_path / "binary.zarr", 4, 30))
    with pytest.raises(InputError, match="learning_rate 0 given; it must be positive"):
        mine_curves(solutions, learning_rate=0)
