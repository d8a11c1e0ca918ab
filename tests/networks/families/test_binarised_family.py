"""Networks of ±1 units: forward pass, loss and straight-through gradient against plain torch."""

import numpy as np
import pytest
import torch

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import SpecError
from lsg_ray.networks import binarised_network
from lsg_ray.networks.first_layer import DenseInputs
from lsg_ray.networks.relu_network import layers_of
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import parse_spec


def spec_of(widths=(64, 12, 8, 10), network=None, ensemble=None, **training):
    return parse_spec({
        "dataset": {"name": "digits", "train_examples": 200},
        "network": {"family": "binarised", "widths": widths, **(network or {})},
        "training": {"epochs": 3, "batch_size": 50, "learning_rate": 0.01, "stack": 2, **training},
        "ensemble": {"count": 4, **(ensemble or {})},
    })  # fmt: skip


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return torch.where(z >= 0, 1.0, -1.0).to(z.dtype)

    @staticmethod
    def backward(ctx, slope):
        (z,) = ctx.saved_tensors
        return slope * (z.abs() < 1)


def reference(network, weights, x, y, scale):
    """Return loss sum and scores of one network, by automatic differentiation."""
    a = x
    pairs = list(zip(network.layer_slices, network.shapes, strict=True))
    for number, (where, shape) in enumerate(pairs):
        W = weights[where].reshape(shape)
        z = a @ W[:, :-1].T + W[:, -1] if network.biases else a @ W.T
        a = _Sign.apply(z) if number + 1 < len(pairs) else z
    scores = scale * a
    own = scores.gather(1, y[:, None])
    missing = (1 - own + scores).clamp(min=0) ** 2
    return (missing.sum(1) - missing.gather(1, y[:, None])[:, 0]).sum(), scores


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_loss_and_gradient__are_those_of_the_estimator(biases, scale):
    options = {"output_scale": scale} if scale != 1 else {}
    network = spec_of(network={"biases": biases, "options": options}).network
    rng = np.random.default_rng(0)
    flat = torch.tensor(0.3 * rng.standard_normal((2, network.n_weights)))
    x = rng.choice([-1.0, 1.0], (30, 64))
    y = torch.tensor(rng.integers(0, 10, 30))
    inputs = DenseInputs(x, "cpu", torch.float64)
    layers = layers_of(network, flat, inputs)
    rows = torch.arange(30).expand(2, 30)
    step = binarised_network.loss_step(network, layers, inputs, rows, y[rows], 1 / 30)
    evaluation = binarised_network.evaluate(network, flat, inputs, y)
    for row in range(2):
        w = flat[row].clone().requires_grad_()
        loss, scores = reference(network, w, torch.tensor(x), y, scale)
        (slope,) = torch.autograd.grad(loss / 30, w)
        assert float(step.loss[row]) == pytest.approx(loss.item(), rel=1e-12)
        assert evaluation.loss[row] == pytest.approx(loss.item() / 30, rel=1e-12)
        correct = (scores.argmax(1) == y).double()
        assert evaluation.accuracy[row] == pytest.approx(correct.mean().item())
        parts = []
        for layer in step.gradients:
            b = [] if layer.b is None else [layer.b[row, :, None]]
            parts.append(torch.cat([layer.w[row], *b], dim=1).ravel())
        np.testing.assert_allclose(torch.cat(parts), slope, atol=1e-12)
    outputs = FAMILIES["binarised"].outputs(network, flat.numpy(), x)
    np.testing.assert_allclose(outputs[1].T, scores.detach(), atol=1e-12)


def test_networks_learn__and_do_not_depend_on_blocks():
    spec = spec_of(epochs=8)
    arena = prepare(spec, load_dataset(spec.dataset))
    whole = sample_configurations(spec, arena, 0, 4)
    assert whole.columns["train_accuracy"].mean() > 0.5
    part = sample_configurations(spec, arena, 1, 2)
    np.testing.assert_array_equal(part.weights, whole.weights[1:3])
    measured = FAMILIES["binarised"].measure(spec, arena, whole.weights)
    np.testing.assert_allclose(measured["test_loss"], whole.columns["test_loss"], rtol=1e-6)


def test_inputs__are_signs_by_default():
    x = load_dataset(spec_of().dataset).train.x
    assert set(np.unique(x)) == {-1, 1}


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"network": {"leaky_slope": 0.1}}, "binarised networks have 0.0"),
        ({"widths": (64, 10)}, "binarised networks have hidden layers"),
        ({"algorithm": "descent"}, "binarised networks are trained by straight-through"),
        ({"options": {"initial_variance": 0}}, "greater than 0"),
        ({"network": {"options": {"output_scale": -1}}}, "greater than 0"),
    ],
)
def test_bad_input__is_refused(sections, says):
    with pytest.raises(SpecError, match=says):
        spec_of(**sections)
