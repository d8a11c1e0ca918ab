"""Networks on lines and planes, beside the networks themselves one by one."""

import numpy as np
import pytest
import torch

from lsg_ray.networks.first_layer import SparseInputs, as_inputs
from lsg_ray.networks.relu_network import evaluate, flat_of, layers_of
from lsg_ray.networks.relu_subspace import Subspace, evaluate_subspace, subspace_step
from lsg_ray.spec import NetworkSpec

N = 24


def network_of(biases=True, widths=(5, 6, 4, 3), leaky_slope=0.0):
    return NetworkSpec(family="relu", widths=widths, leaky_slope=leaky_slope, biases=biases)


def problem(network, dtype=torch.float64, sparse=False):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(N, network.widths[0])), rng.integers(0, 3, N)
    if sparse:
        x = (x * (rng.random(x.shape) < 0.3)).astype(np.float32)
    w = rng.normal(0, 0.7, (2, network.n_weights))
    epsilon = rng.normal(0, 0.7, (4, network.n_weights))
    return as_inputs(x, "cpu", dtype), torch.tensor(y), w, epsilon


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_points_of_a_subspace_are_the_networks_there(biases, count):
    network = network_of(biases)
    inputs, y, w, epsilon = problem(network)
    c = np.random.default_rng(4).normal(size=(7, count))
    found = evaluate_subspace(network, w[0], epsilon[:count], c, inputs, y)
    exact = evaluate(network, w[0] + c @ epsilon[:count], inputs, y)
    np.testing.assert_allclose(found.loss, exact.loss, rtol=1e-12)
    np.testing.assert_array_equal(found.accuracy, exact.accuracy)


def test_sparse_examples_and_many_points(monkeypatch):
    """In batches of points; 20 units are no whole block of the sparse layout."""
    network = network_of(widths=(30, 20, 3))
    inputs, y, w, epsilon = problem(network, torch.float32, sparse=True)
    assert isinstance(inputs, SparseInputs)
    monkeypatch.setattr("lsg_ray.networks.relu_subspace.MAX_CHUNK_ACTIVATIONS", 64 * 20 * 4)
    c = np.random.default_rng(4).normal(size=(11, 2))
    found = evaluate_subspace(network, w[0], epsilon[:2], c, inputs, y)
    exact = evaluate(network, w[0] + c @ epsilon[:2], inputs, y)
    np.testing.assert_allclose(found.loss, exact.loss, rtol=1e-5)


@pytest.mark.parametrize("sparse", [True, False])
def test_slopes_along_directions_are_those_of_autograd(sparse):
    """Two networks, two directions, three points: an objective that is not linear in the losses."""
    network = network_of(leaky_slope=0.1)
    dtype = torch.float32 if sparse else torch.float64
    inputs, y, w, epsilon = problem(network, dtype, sparse)
    c = torch.tensor(np.random.default_rng(5).normal(size=(2, 3, 2)), dtype=dtype)
    rows = torch.tensor(np.random.default_rng(6).integers(0, N, (2, 10)))
    weights, along = (torch.tensor(values, dtype=dtype) for values in (w, epsilon))
    space = Subspace(
        inputs, layers_of(network, weights, inputs), layers_of(network, along, inputs), c
    )
    found = subspace_step(network, space, rows, y[rows], lambda loss: 1 / loss)
    slopes = flat_of(network, found.gradients, inputs)

    dense = torch.tensor(inputs.dense() if sparse else inputs.x.numpy(), dtype=torch.float64)
    variable = along.double().view(2, 2, -1).requires_grad_()
    points = weights.double()[:, None] + c.double() @ variable
    losses = torch.stack([
        torch.stack([loss_of(network, points[n, k], dense[rows[n]], y[rows[n]]) for k in range(3)])
        for n in range(2)
    ])  # fmt: skip
    losses.log().sum().backward()
    np.testing.assert_allclose(found.loss.numpy(), losses.detach().numpy(), rtol=1e-5)
    exact = variable.grad.view(4, -1).numpy()
    np.testing.assert_allclose(slopes.numpy(), exact, rtol=1e-3 if sparse else 1e-9, atol=1e-5)


def loss_of(network, flat, x, y):
    """Mean cross entropy of one network, as anyone would write it in PyTorch."""
    a = x
    for number, (shape, where) in enumerate(zip(network.shapes, network.layer_slices, strict=True)):
        w = flat[where].reshape(shape)
        z = a @ w[:, :-1].T + w[:, -1]
        a = torch.nn.functional.leaky_relu(z, network.leaky_slope)
        if number + 1 == len(network.shapes):
            return torch.nn.functional.cross_entropy(z, y)
    raise AssertionError
