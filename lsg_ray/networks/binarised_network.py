"""Networks of real weights with ±1 units: loss and straight-through gradient of many at once.

    z_l = W_l a_{l−1} + b_l,  a_0 = x,  a_l = sign z_l (+1 at zero),  scores s = α z_L,

    loss = Σ_{j ≠ y} max(0, 1 − s_y + s_j)²,  the squared hinge of several classes.

The derivative of sign is zero, so the gradient takes that of the hard tanh, 1[|z| < 1], for it:
δ_{l−1} = (δ_l W_l) ∘ 1[|z_{l−1}| < 1]; it is exact for the last layer.

Source: I. Hubara, M. Courbariaux, D. Soudry, R. El-Yaniv, Y. Bengio, "Binarized neural networks",
NeurIPS 2016, Eq. 4, for the estimator; loss and use of it: R. Barney, M. Winer, V. Galitski,
arXiv:2408.06421, as written up in the repository rknzhl/spin_glass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from lsg_ray.networks.first_layer import Inputs, Rows
from lsg_ray.networks.relu_network import (
    Evaluation,
    Layer,
    Step,
    backward,
    correct_answers,
    evaluate_chunks,
    forward,
    layers_of,
)
from lsg_ray.spec import NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor


def signs(z: Tensor) -> Tensor:
    """Return ±1, +1 at zero."""
    import torch

    return torch.where(z >= 0, 1.0, -1.0).to(z.dtype)


def _hinge(scores: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compare scores (networks, classes, n) with labels y (networks, n) or (n,).

    Returns
    -------
    Sums of the loss, float64, and of correct answers (networks,); ∂loss/∂scores of each example.
    """
    import torch

    labels = y.expand(len(scores), scores.shape[2])[:, None]
    own = scores.gather(1, labels)
    missing = (1 - own + scores).clamp_(min=0).scatter_(1, labels, 0.0)
    loss = missing.square().sum((1, 2), dtype=torch.float64)
    correct = correct_answers(scores, own, scores.amax(1, keepdim=True), labels)
    slope = 2 * missing
    return loss, correct, slope.scatter_(1, labels, -slope.sum(1, keepdim=True))


def loss_step(
    network: NetworkSpec,
    layers: Sequence[Layer],
    inputs: Inputs,
    rows: Rows,
    y: Tensor,
    share: float,
) -> Step:
    """Compute loss and straight-through gradient, as `relu_network.loss_step` of ReLU networks."""
    passes: list[Tensor] = []

    def activate(z: Tensor) -> Tensor:
        passes.append((z.abs() < 1).to(z.dtype))
        return signs(z)

    activations = forward(network, layers, inputs, rows, activate)
    loss, correct, slope = _hinge(activations[-1], y)

    def through(values: Tensor, number: int) -> Tensor:
        return values.mul_(passes[number])

    gradients = backward(network, layers, inputs, rows, activations, slope.mul_(share), through)
    return Step(loss, correct, gradients)


def evaluate(
    network: NetworkSpec, weights: ArrayLike | Tensor, inputs: Inputs, y: Tensor
) -> Evaluation:
    """Mean loss and accuracy of networks (networks, N) on all examples."""
    import torch

    flat = torch.as_tensor(weights, dtype=inputs.dtype, device=inputs.device)
    return evaluate_layers(network, layers_of(network, flat, inputs), inputs, y)


def evaluate_layers(
    network: NetworkSpec, layers: Sequence[Layer], inputs: Inputs, y: Tensor
) -> Evaluation:
    """Evaluate networks as `evaluate`, given as packed layers."""

    def sums(rows: slice) -> tuple[Tensor, Tensor]:
        scores = forward(network, layers, inputs, rows, signs)[-1]
        return _hinge(scores, y[rows])[:2]

    return evaluate_chunks(network, len(layers[0].w), inputs, y, sums)
