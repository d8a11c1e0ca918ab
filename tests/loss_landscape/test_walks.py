import numpy as np
import pytest

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.terrain import terrain_of
from lsg_ray.loss_landscape.walks import WALKS, _flat_region, random_walk
from lsg_ray.networks.permutations import network_outputs


def numpy_loss(network, weights, x, y):
    z = network_outputs(network, weights[None], x)[0]
    z = z - z.max(axis=0)
    return float(np.mean(np.log(np.exp(z).sum(axis=0)) - z[y, np.arange(len(y))]))


def test_the_terrain_measures_what_numpy_does(deep):
    terrain = terrain_of(deep, None)
    data = load_dataset(deep.spec.dataset)
    weights = deep.numpy()
    measures = terrain.measure(weights)
    for row, w in enumerate(weights):
        train = numpy_loss(deep.spec.network, w, data.train.x, data.train.y)
        test = numpy_loss(deep.spec.network, w, data.test.x, data.test.y)
        np.testing.assert_allclose(measures[[0, 2], row], [train, test], rtol=1e-5)
    np.testing.assert_allclose(measures[3], deep.column("test_accuracy"))
    np.testing.assert_allclose(measures[0], deep.column("train_loss"), rtol=1e-5)


def test_a_subset_of_examples_is_drawn_by_seed(solutions):
    a, b, c = (terrain_of(solutions, 100, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.train.y, b.train.y)
    assert (a.train.y != c.train.y).any()
    assert len(a.train.y) == 100
    assert len(a.test.y) == len(load_dataset(solutions.spec.dataset).test.y)


def test_a_free_walk_goes_as_far_as_a_gaussian_one(solutions):
    # ‖w_t − w_0‖² / (σ² t) is χ² with N degrees of freedom: 5 standard deviations of its root.
    walk = random_walk(solutions, sigma=[0.01, 0.1], steps=20, configurations=3, walkers=2)
    n = solutions.n_weights
    expected = np.sqrt(n * np.arange(21)) * walk["sigma"].values[:, None]
    ratio = (walk["distance"].values / np.maximum(expected, 1e-9)[:, None, None])[..., 1:]
    assert np.abs(ratio - 1).max() < 5 / np.sqrt(2 * n)
    assert walk["distance"].values[..., 0].max() == 0


def test_a_walk_starts_at_its_solution_and_rises(solutions):
    walk = random_walk(solutions, sigma=[0.3], steps=12, examples=None)
    first = walk["train_loss"].isel(step=0, walker=0, sigma=0).values
    np.testing.assert_allclose(first, solutions.column("train_loss"), rtol=1e-5)
    assert (walk["train_loss"].isel(step=-1) > first.max()).all()
    assert (walk["flat_width"] < walk["distance"].isel(step=-1)).all()


def test_walks_are_repeatable_and_independent_of_their_number(solutions):
    few = random_walk(solutions, sigma=[0.05], steps=5, configurations=2)
    more = random_walk(solutions, sigma=[0.05, 0.1], steps=5, configurations=4)
    np.testing.assert_array_equal(few["train_loss"].values[0], more["train_loss"].values[0, :2])
    other = random_walk(solutions, sigma=[0.05], steps=5, configurations=2, seed=1)
    assert (few["train_loss"].values[..., 1:] != other["train_loss"].values[..., 1:]).all()


def test_a_constrained_walk_stays_below_the_loss_of_its_start(solutions):
    walk = random_walk(
        solutions, sigma=[0.003], steps=10, kind="constrained", configurations=3, examples=None
    )
    loss = walk["train_loss"].values
    assert (loss[..., 1:] <= loss[..., :1] + 1e-6).all()
    share = walk["share"].values
    assert ((share >= 0) & (share <= 1)).all()
    assert share.max() > 0
    np.testing.assert_allclose(share * 40, np.round(share * 40), atol=1e-9)


def test_a_constrained_walk_that_finds_no_move_stays(solutions):
    walk = random_walk(
        solutions, sigma=[3.0], steps=4, kind="constrained", trials=5, configurations=1
    )
    assert walk["share"].values.max() == 0
    assert walk["distance"].values.max() == 0


def test_metropolis_obeys_its_temperature(solutions):
    options = {"sigma": [0.02], "steps": 40, "kind": "metropolis", "configurations": 3}
    cold = random_walk(solutions, temperature=1e-9, **options)
    hot = random_walk(solutions, temperature=1e3, **options)
    assert (np.diff(cold["train_loss"].values, axis=-1) < 1e-6).all()
    assert hot["share"].values.min() == 1
    assert cold["share"].values.mean() < 0.7


def test_the_flat_region_is_interpolated():
    loss = np.array([[0.0, 0.05, 0.15, 0.4], [0.0, 0.0, 0.0, 0.0]])
    distance = np.array([[0.0, 1.0, 2.0, 3.0]] * 2)
    steps, width = _flat_region(loss, distance)
    assert pytest.approx(0.1) == WALKS.rise
    np.testing.assert_allclose(steps, [1.5, np.nan])
    np.testing.assert_allclose(width, [1.5, np.nan])


def test_finished_walks_are_kept(solutions, tmp_path):
    done = []
    options = {
        "sigma": [0.05],
        "steps": 5,
        "configurations": 3,
        "checkpoints": tmp_path / "checkpoints",
    }
    a = random_walk(solutions, **options)
    b = random_walk(solutions, **options, progress=lambda n, total: done.append((n, total)))
    np.testing.assert_array_equal(a["train_loss"].values, b["train_loss"].values)
    assert not done


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sigma": 0.0}, "sigma 0.0"),
        ({"sigma": [-1.0]}, "numbers above 0 are needed"),
        ({"sigma": [np.nan]}, "numbers above 0 are needed"),
        ({"sigma": "much"}, "numbers are needed"),
        ({"sigma": [0.1, 0.1]}, "each once"),
        ({"steps": 1}, "at least 4"),
        ({"kind": "drunken"}, "choose one of"),
        ({"kind": "metropolis"}, "metropolis walks need one"),
        ({"temperature": 1.0}, "temperature 1.0"),
        ({"kind": "metropolis", "temperature": -1.0}, "must be positive"),
        ({"configurations": 99}, "99 given"),
        ({"configurations": [77]}, "configuration 77"),
        ({"examples": -1}, "examples -1 given; at least 0"),
    ],
)
def test_bad_walks_are_refused(solutions, options, words):
    with pytest.raises(InputError, match=words):
        random_walk(solutions, **options)
