import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.interpolation import (
    barrier,
    interpolate,
    most_swaps,
    random_swaps,
    swap_barriers,
)
from lsg_ray.loss_landscape.terrain import terrain_of
from lsg_ray.spec import NetworkSpec
from tests.ensemble.mixture import synthetic

ALPHAS = [-0.5, 0.0, 0.25, 0.5, 1.0, 1.5]


def test_a_path_is_measured_as_its_networks_are(solutions):
    path = interpolate(solutions, pairs=[(0, 3), (5, 1)], alphas=ALPHAS, examples=None)
    terrain = terrain_of(solutions, None)
    weights = solutions.numpy().astype(np.float64)
    for row, (i, j) in enumerate([(0, 3), (5, 1)]):
        networks = [(1 - a) * weights[i] + a * weights[j] for a in ALPHAS]
        measures = terrain.measure(np.array(networks, np.float32))
        np.testing.assert_allclose(path["train_loss"].values[row], measures[0], rtol=1e-5)
        np.testing.assert_allclose(path["test_accuracy"].values[row], measures[3], atol=1e-12)
        assert float(path["distance"][row]) == pytest.approx(
            np.linalg.norm(weights[i] - weights[j]), rel=1e-5
        )
    np.testing.assert_array_equal(path["first"], [0, 5])


def test_the_barrier_is_above_the_line_between_the_ends():
    alphas = np.linspace(-1, 2, 13)
    line = 1 + 2 * alphas
    np.testing.assert_allclose(barrier(alphas, line), 0, atol=1e-12)
    bump = line + np.where((alphas > 0) & (alphas < 1), 1.5, 0)
    assert float(barrier(alphas, bump)) == pytest.approx(1.5)
    assert float(barrier(alphas, line - 5 * (alphas < 0) + 9 * (alphas > 1))) == pytest.approx(0)


@pytest.mark.parametrize("name", ["solutions", "deep"])
def test_matching_lowers_barriers_and_distances(name, request):
    ensemble = request.getfixturevalue(name)
    plain = interpolate(ensemble, pairs=4)
    matched = interpolate(ensemble, pairs=4, alignment="matching")
    np.testing.assert_array_equal(plain["first"], matched["first"])
    assert (matched["distance"] <= plain["distance"] + 1e-6).all()
    assert float(matched["train_barrier"].mean()) < float(plain["train_barrier"].mean())
    ends = {"alpha": [0.0, 1.0]}
    np.testing.assert_allclose(
        plain["test_loss"].sel(ends), matched["test_loss"].sel(ends), rtol=1e-5
    )


@pytest.mark.parametrize("name", ["solutions", "deep"])
def test_permuted_copies_have_the_loss_of_the_original(name, request):
    ensemble = request.getfixturevalue(name)
    result = swap_barriers(ensemble, swaps=[1, 3, 6], configurations=3, repeats=2)
    loss = result["train_loss"].sel(alpha=[0.0, 1.0]).values
    np.testing.assert_allclose(loss[..., 0], loss[..., 1], rtol=1e-5)
    # The loss along the path is that of a network and of its mirror image.
    half = result["train_loss"].sel(alpha=[0.25, 0.75]).values
    np.testing.assert_allclose(half[..., 0], half[..., 1], rtol=1e-4)
    distance = result["distance"].mean(("solution", "repeat")).values
    assert (np.diff(distance) > 0).all()
    mean = result["train_barrier"].mean(("solution", "repeat")).values
    assert mean[2] > mean[0] >= 0


def test_swaps_are_disjoint_pairs_of_one_layer():
    network = NetworkSpec(family="relu", widths=(4, 7, 6, 3))
    rng = np.random.default_rng(1)
    assert most_swaps(network) == 6
    for k in range(1, 7):
        orders = random_swaps(network, k, rng)
        moved = sum(int((order != np.arange(len(order))).sum()) for order in orders)
        assert moved == 2 * k
        for order in orders:
            np.testing.assert_array_equal(order[order], np.arange(len(order)))


def test_swaps_reach_every_node():
    network = NetworkSpec(family="relu", widths=(4, 7, 6, 3))
    rng = np.random.default_rng(2)
    seen = [np.zeros(7), np.zeros(6)]
    for _ in range(400):
        for count, order in zip(seen, random_swaps(network, 2, rng), strict=True):
            count += order != np.arange(len(order))
    # 800 swaps of two of thirteen nodes (one of seven stays single): each about 123 times.
    assert min(map(min, seen)) > 70


def test_two_ensembles_are_paired_one_to_one(solutions, large_batches):
    path = interpolate(solutions, large_batches, pairs=10)
    assert path.sizes["pair"] == 4
    np.testing.assert_array_equal(path["first"], path["second"])
    end = path["train_loss"].sel(alpha=1.0).values
    np.testing.assert_allclose(end, large_batches.column("train_loss"), rtol=1e-5)


def test_bad_paths_are_refused(solutions, deep, tmp_path):
    with pytest.raises(InputError, match="the same network is needed"):
        interpolate(solutions, deep)
    with pytest.raises(InputError, match="hold 0 and 1"):
        interpolate(solutions, alphas=[0.1, 0.5])
    with pytest.raises(InputError, match="ascend"):
        interpolate(solutions, alphas=[1.0, 0.0])
    with pytest.raises(InputError, match="no such configurations"):
        interpolate(solutions, pairs=[(0, 99)])
    with pytest.raises(InputError, match="6 disjoint pairs"):
        swap_barriers(solutions, swaps=[7])
    with pytest.raises(InputError, match="1 to 6"):
        swap_barriers(solutions, swaps=[0])
    with pytest.raises(InputError, match="alignment"):
        interpolate(solutions, alignment="wishful")
    binary = synthetic(tmp_path / "binary.zarr", 10, 200)
    with pytest.raises(InputError, match="binary networks"):
        interpolate(binary)
