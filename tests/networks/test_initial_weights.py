"""Initial weights by their variance, and scales of the outputs, of networks of real weights."""

import numpy as np
import pytest
import torch

from lsg_ray.networks.first_layer import DenseInputs
from lsg_ray.networks.initial_weights import initial_weights
from lsg_ray.networks.relu_network import evaluate, glorot_uniform, hessian_product, layers_of
from lsg_ray.networks.relu_network import loss_step as relu_step
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import parse_spec


def spec_of(family="relu", network=None, **training):
    tree = {"family": family, "widths": [64, 40, 10], **(network or {})}
    return parse_spec({"dataset": {"name": "digits"}, "network": tree, "training": training})


@pytest.mark.parametrize(("family", "C"), [("relu", 2.0), ("binarised", 1.0)])
def test_variance__is_as_given(family, C):
    """2,560 weights: their variance is right within 2.8 %; 12 % is over 4 σ."""
    options = {"initial_variance": 2.0} if family == "relu" else {}
    spec = spec_of(family, options=options, network={"biases": True})
    seeds = np.random.SeedSequence(0).spawn(2)
    w = initial_weights(spec.network, spec.training, seeds)
    first = w[:, spec.network.layer_slices[0]].reshape(2, 40, 65)
    assert first[..., :64].var() * 64 == pytest.approx(C, rel=0.12)
    assert not first[..., 64].any()
    np.testing.assert_array_equal(FAMILIES[family].starts(spec, seeds), w.astype(float))


def test_without_a_variance__starts_and_hashes_are_as_before():
    spec = spec_of()
    seeds = np.random.SeedSequence(0).spawn(1)
    given = initial_weights(spec.network, spec.training, seeds)
    np.testing.assert_array_equal(given, glorot_uniform(spec.network, seeds))
    assert "options" not in spec.canonical_json()


def test_output_scale__is_in_loss_gradient_and_hessian():
    """Against automatic differentiation, in float64."""
    network = spec_of(network={"options": {"output_scale": 2.5}}).network
    rng = np.random.default_rng(0)
    w = torch.tensor(0.2 * rng.standard_normal(network.n_weights))
    v = torch.tensor(rng.standard_normal(network.n_weights))
    x, y = rng.standard_normal((20, 64)), torch.tensor(rng.integers(0, 10, 20))
    inputs = DenseInputs(x, "cpu", torch.float64)

    def loss(flat):
        first, second = (
            flat[where].reshape(shape)
            for where, shape in zip(network.layer_slices, network.shapes, strict=True)
        )
        scores = 2.5 * (torch.tensor(x) @ first.T).clamp(min=0) @ second.T
        return torch.nn.functional.cross_entropy(scores, y)

    rows = torch.arange(20)[None]
    step = relu_step(network, layers_of(network, w[None], inputs), inputs, rows, y[rows], 1 / 20)
    flat = torch.cat([layer.w.ravel() for layer in step.gradients])
    np.testing.assert_allclose(flat, torch.autograd.functional.jacobian(loss, w), atol=1e-12)
    assert evaluate(network, w[None], inputs, y).loss[0] == pytest.approx(loss(w).item())
    product = hessian_product(network, w[None], v[None], inputs, y)[0]
    expected = torch.autograd.functional.vhp(loss, w, v)[1]
    np.testing.assert_allclose(product, expected, atol=1e-11)
