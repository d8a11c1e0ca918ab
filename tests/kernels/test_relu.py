"""Steps of single ReLU networks against autograd in double precision, and how they are laid out."""

import numpy as np
import pytest
import torch

from lsg_ray.errors import InputError
from lsg_ray.networks.first_layer import DenseInputs, SparseInputs
from lsg_ray.networks.relu_network import flat_of, glorot_uniform, layers_of
from lsg_ray.networks.solvers.single_descent import SingleDescent
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import NetworkSpec, TrainingSpec

#: At this rate a step is the gradient to the last bits: nothing is left of the weights.
RATE = 2.0**19


def on(x, kind):
    return SparseInputs(x) if kind == "sparse" else DenseInputs(x, "cpu", torch.float32)


def examples(n, inputs, kind, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, inputs)) * (rng.random((n, inputs)) < 0.3)
    x = (np.round(255 * x) / 255).astype(np.float32)
    return on(x, kind), x


def started(network, count=2):
    seeds = [seed_sequence(0, Stream.TRIAL, k, 0) for k in range(count)]
    flat = glorot_uniform(network, seeds)
    return flat + np.random.default_rng(1).normal(0, 0.1, flat.shape).astype(np.float32)


def descent_of(network, flat, inputs, times=(), **training):
    about = {"optimizer": "sgd", "learning_rate": RATE, "batch_size": None, "gamma": 0.0}
    training = TrainingSpec(**{**about, **training}, engine="numba")
    return SingleDescent(
        network, training, layers_of(network, torch.tensor(flat), inputs), inputs, times
    )


def by_autograd(network, flat, x, y):
    """Mean loss of one network, over α², and its gradient (N,), in float64."""
    w = torch.tensor(flat, dtype=torch.float64, requires_grad=True)
    a, scale = torch.tensor(x, dtype=torch.float64), network.options.get("output_scale", 1.0)
    for layer, (place, shape) in enumerate(zip(network.layer_slices, network.shapes, strict=True)):
        if layer:
            a = torch.nn.functional.leaky_relu(a, network.leaky_slope)
        weights = w[place].view(shape)
        a = a @ (weights[:, :-1] if network.biases else weights).T
        if network.biases:
            a = a + weights[:, -1]
    loss = torch.nn.functional.cross_entropy(scale * a, torch.tensor(y)) / scale**2
    loss.backward()
    return loss.item() * scale**2, w.grad.numpy()


@pytest.mark.parametrize("kind", ["sparse", "dense"])
@pytest.mark.parametrize("n", [1, 37, 64])
@pytest.mark.parametrize(
    "network",
    [
        {"widths": (50, 64, 10)},
        {"widths": (50, 64, 10), "biases": True},
        {"widths": (300, 5, 3), "leaky_slope": 0.1},
        {"widths": (45, 70, 20, 10), "biases": True, "options": {"output_scale": 3.0}},
        {"widths": (130, 200, 33, 17, 2), "leaky_slope": 0.2},
    ],
    ids=["one", "biases", "narrow", "scaled", "deep"],
)
def test_a_step_is_the_gradient_of_autograd(network, n, kind):
    network = NetworkSpec(family="relu", leaky_slope=network.pop("leaky_slope", 0.0), **network)
    flat, (inputs, x) = started(network), examples(n, network.widths[0], kind)
    y = np.random.default_rng(2).integers(0, network.widths[-1], n)
    descent = descent_of(network, flat, inputs)
    order = torch.from_numpy(np.stack([np.random.default_rng(k).permutation(n) for k in (3, 4)]))
    loss, accuracy = descent.epoch(inputs, torch.tensor(y), order, lambda _: None)
    moved = (flat - flat_of(network, descent.layers, inputs).numpy()) / RATE
    for k in range(2):
        value, gradient = by_autograd(network, flat[k], x, y)
        assert loss[k] == pytest.approx(value, rel=1e-5)
        assert 0 <= accuracy[k] <= 1
        for place in network.layer_slices:
            largest = np.abs(gradient[place]).max()
            np.testing.assert_allclose(
                moved[k, place], gradient[place], rtol=0, atol=1e-5 * largest
            )


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_weights_after_some_steps_are_those_of_a_run_that_ends_there(kind):
    """An epoch is cut where weights are looked at, and goes on with the same bytes."""
    network = NetworkSpec(family="relu", widths=(50, 20, 10), leaky_slope=0.0)
    flat, (inputs, x) = started(network), examples(60, 50, kind)
    y, order = torch.arange(60) % 10, torch.arange(60).expand(2, -1)
    seen = {}
    about = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 8}
    cut, whole = (
        descent_of(network, flat, inputs, times, **about) for times in ((0, 2, 5, 11), ())
    )

    def look(step):
        seen[step] = flat_of(network, cut.layers, inputs)

    for descent, record in ((cut, look), (whole, lambda _: None)):
        for _ in range(2):
            descent.epoch(inputs, y, order, record)
        assert descent.steps == 16
    assert sorted(seen) == [2, 5, 8, 11, 16]
    assert torch.equal(seen[16], flat_of(network, whole.layers, inputs))
    few = on(x[:40], kind)
    short = descent_of(network, flat, few, **about)
    short.epoch(few, y[:40], order[:, :40], lambda _: None)
    assert torch.equal(seen[5], flat_of(network, short.layers, inputs))


def test_a_network_depends_on_nothing_beside_it():
    network = NetworkSpec(family="relu", widths=(50, 20, 10), leaky_slope=0.0)
    flat, (inputs, _) = started(network, 3), examples(60, 50, "sparse")
    y, order = torch.arange(60) % 10, torch.arange(60).expand(3, -1)
    about = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 8}
    results = []
    for rows in (slice(0, 3), slice(1, 2)):
        descent = descent_of(network, flat[rows], inputs, **about)
        descent.epoch(inputs, y, order[rows], lambda _: None)
        results.append(flat_of(network, descent.layers, inputs))
    assert torch.equal(results[0][1], results[1][0])


def test_double_precision_needs_the_other_engine():
    network = NetworkSpec(family="relu", widths=(50, 20, 10), leaky_slope=0.0)
    inputs = DenseInputs(np.ones((3, 50)), "cpu", torch.float64)
    with pytest.raises(InputError, match=r"numba needs float32 on the cpu; set training\.engine"):
        descent_of(network, started(network), inputs)
