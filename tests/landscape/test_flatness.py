import numpy as np
import pytest
import torch

from lsg_ray.errors import InputError
from lsg_ray.landscape.comparison import compare_minima
from lsg_ray.landscape.curvature import hessian_trace, top_eigenvalues
from lsg_ray.landscape.flatness import filter_normalised, flatness
from lsg_ray.landscape.surface import loss_surface
from lsg_ray.landscape.terrain import terrain_of
from lsg_ray.networks.inputs import as_inputs
from lsg_ray.networks.relu import hessian_product
from lsg_ray.spec import NetworkSpec

NETWORK = NetworkSpec(family="relu", widths=(5, 6, 4, 3), leaky_slope=0.0, biases=True)


def small_problem(networks=3, examples=40, seed=0):
    rng = np.random.default_rng(seed)
    weights = torch.tensor(rng.normal(0, 0.7, (networks, NETWORK.n_weights)))
    x, y = rng.normal(size=(examples, 5)), torch.tensor(rng.integers(0, 3, examples))
    return weights, as_inputs(x, "cpu", torch.float64), y


def dense_hessian(w, inputs, y):
    n = len(w)
    rows = hessian_product(NETWORK, w.expand(n, n).contiguous(), torch.eye(n).double(), inputs, y)
    return rows.numpy()


def test_eigenvalues_are_those_of_the_dense_hessian():
    weights, inputs, y = small_problem()
    found = top_eigenvalues(NETWORK, weights, inputs, y, 4, tolerance=1e-9)
    assert found.converged.all()
    for row, w in enumerate(weights):
        H = dense_hessian(w, inputs, y)
        np.testing.assert_allclose(H, H.T, atol=1e-12)
        exact = np.linalg.eigvalsh(H)[::-1][:4]
        np.testing.assert_allclose(found.eigenvalues[row], exact, rtol=1e-5)


def test_what_has_not_converged_says_so():
    weights, inputs, y = small_problem()
    found = top_eigenvalues(NETWORK, weights, inputs, y, 3, max_iterations=4, tolerance=1e-12)
    assert not found.converged.any()
    assert found.iterations == 4
    exact = [np.linalg.eigvalsh(dense_hessian(w, inputs, y))[-1] for w in weights]
    assert (found.eigenvalues[:, 0] <= np.array(exact) + 1e-12).all()


def test_all_eigenvalues_of_a_tiny_network_are_found():
    weights, inputs, y = small_problem(1)
    n = NETWORK.n_weights
    found = top_eigenvalues(NETWORK, weights, inputs, y, 5, max_iterations=10 * n, tolerance=0)
    assert found.iterations <= n
    exact = np.linalg.eigvalsh(dense_hessian(weights[0], inputs, y))[::-1][:5]
    np.testing.assert_allclose(found.eigenvalues[0], exact, rtol=1e-8)


def test_the_trace_is_unbiased():
    weights, inputs, y = small_problem()
    exact = np.array([np.trace(dense_hessian(w, inputs, y)) for w in weights])
    found, error = hessian_trace(NETWORK, weights, inputs, y, probes=400)
    # Three estimates, each beyond four standard errors once in 16,000 times.
    assert (np.abs(found - exact) < 4 * error).all()
    assert (error < 0.2 * np.abs(exact)).all()


def test_directions_are_as_long_as_the_weights_of_each_unit():
    rng = np.random.default_rng(3)
    w = rng.normal(size=NETWORK.n_weights)
    d = filter_normalised(NETWORK, w, rng.normal(size=(4, NETWORK.n_weights)))
    for place, shape in zip(NETWORK.layer_slices, NETWORK.shapes, strict=True):
        expected = np.linalg.norm(w[place].reshape(shape), axis=1)
        for row in d:
            size = np.linalg.norm(row[place].reshape(shape), axis=1)
            np.testing.assert_allclose(size, expected, rtol=1e-5)


def test_flatness_of_solutions(solutions):
    found = flatness(solutions, configurations=4, eigenvalues=2, examples=None)
    assert found["converged"].all()
    assert (found["residual"] <= 1e-3 * found["eigenvalue"].isel(rank=0)).all()
    np.testing.assert_allclose(found["train_loss"], solutions.column("train_loss")[:4], rtol=1e-5)
    assert (np.diff(found["rise"].mean("solution").values) > 0).all()
    assert found.attrs["top_eigenvalue_mean"] == pytest.approx(
        float(found["eigenvalue"].isel(rank=0).mean())
    )


def test_a_surface_passes_through_its_solution(solutions):
    found = loss_surface(solutions, configuration=2, points=5, extent=0.5, examples=None)
    assert float(found["train_loss"].sel(a=0, b=0)) == pytest.approx(
        solutions.column("train_loss")[2], rel=1e-5
    )
    assert found["train_loss"].shape == (5, 5)
    terrain = terrain_of(solutions, None)
    assert float(found["test_accuracy"].sel(a=0, b=0)) == pytest.approx(
        terrain.measure(solutions.take([2])["weights"])[3, 0]
    )


def test_minima_of_two_ensembles_are_compared(solutions, large_batches):
    found = compare_minima(solutions, large_batches, count=3, alphas=[-1, 0, 0.5, 1, 2])
    table = found["mean"].sel(quantity="test_accuracy").values
    expected = [e.column("test_accuracy")[:3].mean() for e in (solutions, large_batches)]
    np.testing.assert_allclose(table, expected)
    assert found["eigenvalue"].dims == ("side", "minimum", "rank")
    assert found["train_loss"].shape == (3, 5)
    one = found.sel(quantity="trace")
    difference = float(one["mean"][1] - one["mean"][0])
    error = float(np.sqrt((one["std"] ** 2).sum() / 3))
    assert float(one["z"]) == pytest.approx(difference / error)


@pytest.mark.parametrize(
    ("call", "options", "words"),
    [
        (flatness, {"radii": [-0.1]}, "must be positive"),
        (flatness, {"directions": 1}, "at least 2"),
        (flatness, {"probes": 1}, "at least 2"),
        (flatness, {"eigenvalues": 10**6}, "the network has"),
        (loss_surface, {"points": 4}, "odd number"),
        (loss_surface, {"extent": 0.0}, "must be positive"),
        (loss_surface, {"configuration": 50}, "configuration 50"),
    ],
)
def test_bad_input_is_refused(solutions, call, options, words):
    with pytest.raises(InputError, match=words):
        call(solutions, **options)
