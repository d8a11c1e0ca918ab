"""Networks of real weights with ReLU units: loss, gradient and Hessian of many at once.

A network maps an example x to class scores z_L,

    z_l = W_l a_{l−1} + b_l,  a_0 = x,  a_l = max(z_l, 0),        l = 1 … L,

(with a slope below zero where `NetworkSpec.leaky_slope` gives one, biases b where `biases` asks for
them, scores α z_L where the options give an output scale α), its loss −⟨ln softmax(z_L)_y⟩.
With δ_L = (softmax(z_L) − y)/n and the mask 1[z_l > 0],

    ∂W_l = δ_lᵀ a_{l−1},  δ_{l−1} = (δ_l W_l) ∘ 1[z_{l−1} > 0],

and along a direction V the derivative of all that (Pearlmutter's R, Neural Comp. 6, 147 (1994)) is

    Rz_l = V_l a_{l−1} + W_l Ra_{l−1},  Ra_l = Rz_l ∘ 1[z_l > 0],
    Rδ_L = p ∘ (Rz_L − p·Rz_L)/n,       (HV)_l = Rδ_lᵀ a_{l−1} + δ_lᵀ Ra_{l−1},

which is exact wherever no pre-activation is zero.  Everything is written out in batched products
over a stack of networks: half the time and memory of automatic differentiation, no Python per
network, and sparse examples are possible (`lsg_ray.networks.first_layer`).

A configuration is flat, layer after layer, each row-major ``[out, in]``; a bias is the last column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.networks.first_layer import Inputs, Rows
from lsg_ray.networks.trial import Purpose, trial_generator
from lsg_ray.spec import NetworkSpec
from lsg_ray.typing import Array, Floats

if TYPE_CHECKING:
    from torch import Tensor

#: Largest number of activations of a layer in a chunk of examples, when all are evaluated.
MAX_CHUNK_ACTIVATIONS = 1 << 19


class Layer(NamedTuple):
    """Weights (networks, out, in), packed for the examples in the first layer, and bias or None."""

    w: Tensor
    b: Tensor | None

    @property
    def tensors(self) -> list[Tensor]:
        """Tensors that are trained."""
        return [self.w] if self.b is None else [self.w, self.b]


class Evaluation(NamedTuple):
    """Mean loss and accuracy of each network: (networks,) float64."""

    loss: Floats
    accuracy: Floats


def glorot_uniform(network: NetworkSpec, seeds: Sequence[np.random.SeedSequence]) -> Array:
    """Draw weights uniformly from ±√(6/(in + out)), biases zero: (networks, N) float32.

    X. Glorot and Y. Bengio, AISTATS 2010, Eq. 16; spin-glass-lens paper, App. A.4.2.
    """
    weights = np.zeros((len(seeds), network.n_weights), np.float32)
    for row, seed in zip(weights, seeds, strict=True):
        rng = trial_generator(seed, Purpose.INITIAL)
        for (out, columns), where in zip(network.shapes, network.layer_slices, strict=True):
            inputs = columns - network.biases
            bound = np.sqrt(6 / (inputs + out))
            row[where].reshape(out, columns)[:, :inputs] = rng.uniform(-bound, bound, (out, inputs))
    return weights


def output_scale(network: NetworkSpec) -> float:
    """Return the factor α of the scores: large for lazy training, small for rich."""
    return float(network.options.get("output_scale", 1.0))


def layers_of(network: NetworkSpec, flat: Tensor, inputs: Inputs) -> list[Layer]:
    """Return copies of flat configurations (networks, N), the first layer packed for the examples.

    Each tensor has memory of its own and no gaps in it, as torch's fused optimisers need.
    """
    import torch

    whole, layers = torch.contiguous_format, []
    layer_shapes = zip(network.shapes, network.layer_slices, strict=True)
    for number, (shape, layer_slice) in enumerate(layer_shapes):
        w, b = flat[:, layer_slice].unflatten(1, shape), None
        if network.biases:
            w, b = w[..., :-1], w[..., -1].clone(memory_format=whole)
        layers.append(Layer(inputs.pack(w) if number == 0 else w.clone(memory_format=whole), b))
    return layers


def flat_of(network: NetworkSpec, layers: Sequence[Layer], inputs: Inputs) -> Tensor:
    """Return layers as flat configurations (networks, N); the inverse of `layers_of`."""
    import torch

    flat = []
    for number, layer in enumerate(layers):
        w = inputs.unpack(layer.w, network.shapes[0][0]) if number == 0 else layer.w
        if layer.b is not None:
            w = torch.cat([w, layer.b[..., None]], dim=2)
        flat.append(w.flatten(1))
    return torch.cat(flat, dim=1)


def forward(
    network: NetworkSpec,
    layers: Sequence[Layer],
    inputs: Inputs,
    rows: Rows,
    activate: Callable[[Tensor], Tensor] | None = None,
) -> list[Tensor]:
    """Return activations a_1 … a_{L−1}, (networks, n, units), and scores, (networks, classes, n).

    Classes come before examples, so that sums over the few classes run along many examples.
    ``activate`` maps the pre-activations of a hidden layer, by default to those of ReLU units.
    """
    import torch

    def rectified(z: Tensor) -> Tensor:
        if network.leaky_slope:
            return torch.nn.functional.leaky_relu_(z, network.leaky_slope)
        return z.clamp_(min=0)

    activate, scale = activate or rectified, output_scale(network)
    activations: list[Tensor] = []
    for number, (layer, (units, _)) in enumerate(zip(layers, network.shapes, strict=True)):
        if number == 0:
            z = inputs.product(layer.w, rows)
            z = z[..., :units] if z.shape[2] != units else z
        elif number + 1 < len(layers):
            z = torch.bmm(activations[-1], layer.w.transpose(1, 2))
        else:
            z = torch.bmm(layer.w, activations[-1].transpose(1, 2))
            z = z if layer.b is None else z.add_(layer.b[..., None])
            return [*activations, z if scale == 1 else z.mul_(scale)]
        if layer.b is not None:
            z += layer.b[:, None]
        activations.append(activate(z))
    raise AssertionError("a network has at least two layers")


def _loss_and_correct(scores: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compare scores (networks, classes, n) with labels y (networks, n) or (n,).

    Returns
    -------
    Sums of the loss and of correct answers, as in `Step`; labels (networks, 1, n); and
    exp(z − max z) (networks, classes, n).
    """
    labels = y.expand(len(scores), scores.shape[2])[:, None]
    own, largest = scores.gather(1, labels), scores.amax(1, keepdim=True)
    powers = (scores - largest).exp_()
    loss = _losses(own, largest, powers).sum((1, 2))
    return loss, correct_answers(scores, own, largest, labels), labels, powers


def _losses(own: Tensor, largest: Tensor, powers: Tensor) -> Tensor:
    """Return −ln softmax(z)_y = ln Σ exp(z − max z) + (max z − z_y), (networks, 1, n) float64.

    Neither term is negative, so nothing cancels however large the scores are; the sum, which is
    close to 1 for a confident network, is computed in double precision to keep the difference.
    """
    import torch

    return powers.sum(1, keepdim=True, dtype=torch.float64).log_().add_(largest - own)


def correct_answers(scores: Tensor, own: Tensor, largest: Tensor, labels: Tensor) -> Tensor:
    """Count examples whose label is the first class of the largest score (networks,).

    Equal to `argmax`, which is slow in torch along this axis.  Ties are rare (networks whose units
    are all inactive have them) and handled where there are any.  NaN equals nothing: a diverged
    network has no correct answer.
    """
    import torch

    hit = own == largest
    top = scores == largest
    if bool((top.sum(1) > 1).any()):
        classes = torch.arange(scores.shape[1], device=scores.device)[:, None]
        hit &= ~(top & (classes < labels)).any(1, keepdim=True)
    return hit.sum((1, 2))


class Step(NamedTuple):
    """Sums over examples (networks,), of the loss, float64, and of correct answers; gradients."""

    loss: Any
    correct: Any
    gradients: list[Layer]


def loss_step(
    network: NetworkSpec,
    layers: Sequence[Layer],
    inputs: Inputs,
    rows: Rows,
    y: Tensor,
    share: float | Callable[[Tensor], Tensor],
) -> Step:
    """Compute loss and gradient of ``share`` times the summed loss on some examples.

    ``y`` (networks, n) or (n,) classes; ``share`` may be a function of the summed losses
    (networks,) that returns a share for each network: the slope of an objective there.  Cost: 4
    multiply-adds per weight and example (2 in the first layer, whose inputs need no gradient).
    """
    import torch

    activations = forward(network, layers, inputs, rows)
    loss, correct, labels, powers = _loss_and_correct(activations[-1], y)
    weight = share(loss).to(powers.dtype)[:, None, None] if callable(share) else share
    delta = powers.mul_(weight / powers.sum(1, keepdim=True))
    own = torch.as_tensor(-weight, dtype=delta.dtype, device=delta.device)
    delta.scatter_add_(1, labels, own.expand(labels.shape))

    def through(values: Tensor, number: int) -> Tensor:
        return _masked(values, activations[number], network.leaky_slope)

    gradients = backward(network, layers, inputs, rows, activations, delta, through)
    return Step(loss, correct, gradients)


def backward(
    network: NetworkSpec, layers: Sequence[Layer], inputs: Inputs, rows: Rows,
    activations: Sequence[Tensor], delta: Tensor, through: Callable[[Tensor, int], Tensor],
) -> list[Layer]:  # fmt: skip
    """Return gradients of all layers from δ (networks, classes, n), that of the scores.

    ``through(values, number)`` multiplies by the derivative of the activation of hidden layer 0, ….
    """
    import torch

    gradients: list[Layer] = []
    scale = output_scale(network)
    delta = delta.transpose(1, 2) if scale == 1 else scale * delta.transpose(1, 2)
    for number in range(len(layers) - 1, -1, -1):
        b = None if layers[number].b is None else delta.sum(1)
        if number == 0:
            gradients.append(Layer(inputs.gradient(delta, rows), b))
            break
        a = activations[number - 1]
        gradients.append(Layer(torch.bmm(delta.transpose(1, 2), a), b))
        delta = through(torch.bmm(delta, layers[number].w), number - 1)
    return gradients[::-1]


def _masked(values: Tensor, a: Tensor, slope: float) -> Tensor:
    """Multiply by the derivative of the activation a, in place."""
    import torch

    if slope == 0:
        # In one pass: zero where the activation is not positive.
        return torch.ops.aten.threshold_backward(values, a, 0)
    return torch.where(a > 0, values, slope * values)


def hessian_product(
    network: NetworkSpec, weights: Tensor, directions: Tensor, inputs: Inputs, y: Tensor
) -> Tensor:
    """Hessian of the mean loss times a direction for each network.

    Parameters
    ----------
    network
        Architecture.
    weights, directions
        (networks, N); for several directions of one network, repeat its weights.
    inputs, y
        All examples, and their classes (n,).

    Returns
    -------
    (networks, N).  Cost: about 3 gradients.
    """
    import torch

    layers = layers_of(network, weights, inputs)
    along = layers_of(network, directions, inputs)
    total = [
        Layer(torch.zeros_like(v.w), None if v.b is None else torch.zeros_like(v.b)) for v in along
    ]
    for rows in _chunks(network, len(weights), len(inputs)):
        part = _curvature(network, layers, along, inputs, rows, y[rows], 1 / len(inputs))
        for sum_, term in zip(total, part, strict=True):
            for a, b in zip(sum_.tensors, term.tensors, strict=True):
                a += b
    return flat_of(network, total, inputs)


def _curvature(
    network: NetworkSpec,
    layers: Sequence[Layer],
    along: Sequence[Layer],
    inputs: Inputs,
    rows: slice,
    y: Tensor,
    share: float,
) -> list[Layer]:
    """Return the contribution of some examples to the product of Hessian and direction."""
    import torch

    a = forward(network, layers, inputs, rows)
    slope, scale = network.leaky_slope, output_scale(network)
    ra: list[Tensor] = []
    for number, (layer, v) in enumerate(zip(layers, along, strict=True)):
        if number == 0:
            rz = inputs.product(v.w, rows)[..., : network.shapes[0][0]]
        else:
            rz = torch.bmm(a[number - 1], v.w.transpose(1, 2))
            rz += torch.bmm(ra[-1], layer.w.transpose(1, 2))
        rz = rz if v.b is None else rz + v.b[:, None]
        ra.append(_masked(rz, a[number], slope) if number + 1 < len(layers) else rz)
    p = a[-1].softmax(1).transpose(1, 2)
    # Scores are α z: α² in their own curvature, α in the gradient that curves what is below.
    r_delta = share * scale**2 * p * (ra[-1] - (p * ra[-1]).sum(2, keepdim=True))
    labels = y.expand(p.shape[:2])[..., None]
    delta = p.scatter_add(2, labels, p.new_full((), -1.0).expand(labels.shape)) * (share * scale)
    products: list[Layer] = []
    for number in range(len(layers) - 1, -1, -1):
        b = None if layers[number].b is None else r_delta.sum(1)
        if number == 0:
            products.append(Layer(inputs.gradient(r_delta, rows), b))
            break
        below = a[number - 1]
        w = torch.bmm(r_delta.transpose(1, 2), below)
        w += torch.bmm(delta.transpose(1, 2), ra[number - 1])
        products.append(Layer(w, b))
        r_delta = torch.bmm(r_delta, layers[number].w) + torch.bmm(delta, along[number].w)
        r_delta = _masked(r_delta, below, slope)
        delta = _masked(torch.bmm(delta, layers[number].w), below, slope)
    return products[::-1]


def evaluate(
    network: NetworkSpec, weights: ArrayLike | Tensor, inputs: Inputs, y: Tensor
) -> Evaluation:
    """Mean loss and accuracy of networks on all examples.

    Parameters
    ----------
    network
        Architecture.
    weights
        (networks, N), an array or a tensor.
    inputs, y
        Examples, and their classes (n,), on one device.

    Notes
    -----
    2 N flop per network and example, less for sparse examples; losses are summed in float64.
    """
    import torch

    flat = torch.as_tensor(weights, dtype=inputs.dtype, device=inputs.device)
    return evaluate_layers(network, layers_of(network, flat, inputs), inputs, y)


def evaluate_layers(
    network: NetworkSpec, layers: Sequence[Layer], inputs: Inputs, y: Tensor
) -> Evaluation:
    """Evaluate networks as `evaluate`, given as packed layers."""

    def sums(rows: slice) -> tuple[Tensor, Tensor]:
        return _loss_and_correct(forward(network, layers, inputs, rows)[-1], y[rows])[:2]

    return evaluate_chunks(network, len(layers[0].w), inputs, y, sums)


def evaluate_chunks(
    network: NetworkSpec, networks: int, inputs: Inputs, y: Tensor,
    sums: Callable[[slice], tuple[Tensor, Tensor]],
) -> Evaluation:  # fmt: skip
    """Add sums of loss and correct answers (networks,) over chunks of examples; take the means."""
    import torch

    loss = torch.zeros(networks, dtype=torch.float64, device=y.device)
    correct = torch.zeros(networks, dtype=torch.int64, device=y.device)
    for rows in _chunks(network, networks, len(inputs)):
        chunk_loss, chunk_correct = sums(rows)
        loss += chunk_loss
        correct += chunk_correct
    n = len(inputs)
    return Evaluation(loss.cpu().numpy() / n, correct.cpu().numpy() / n)


def _chunks(network: NetworkSpec, networks: int, n: int) -> Iterator[slice]:
    """Cut examples into chunks whose activations fit in the caches (or the memory of a GPU)."""
    widest = max(network.widths[1:])
    step = max(64, MAX_CHUNK_ACTIVATIONS // (networks * widest))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
