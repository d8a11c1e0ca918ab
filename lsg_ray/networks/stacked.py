"""The torch engine: many networks of one architecture, stacked in batched products.

The same step as `lsg_ray.kernels.meanfield`, with a leading axis of networks: tensors are
(network, unit, example).  Gradients are written out, not taken by autograd, which halves the time
and the memory.  Mean and variance of a weight enter separately, so one step serves both

- networks of binary weights, μ = tanh(θ/2), s² = 1 − μ² (`train_stack`), and
- their real-valued twins, μ = w, s² = 0: the same architecture and activations, w₀ ~ N(0, 1), the
  second moment of a ±1 weight (`train_real_twin`), to compare with as the liquid-like paper does
  in App. F.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lsg_ray.networks.trial import Loss, Purpose, Trained, trial_generator, trial_seed
from lsg_ray.spec import NetworkSpec, TrainingSpec
from lsg_ray.typing import Array, Singles

if TYPE_CHECKING:
    from torch import Tensor

_TINY = 1e-30


def default_device() -> str:
    """Return ``cuda`` where torch sees one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def train_stack(
    network: NetworkSpec,
    training: TrainingSpec,
    x: Array,
    y: Array,
    fields: Singles,
    seed: np.random.SeedSequence,
    loss: Loss,
    held: Sequence[bool],
    device: str | None,
) -> Trained:
    """Train the fields (networks, N) of a stack; ``held`` names the layers that stay as they are.

    Batches and noise come from one torch generator, seeded with ``seed``.
    """
    return _train(network, training, x, y, fields, seed, loss, held, device, binary=True)


def train_real_twin(
    network: NetworkSpec,
    training: TrainingSpec,
    x: Array,
    y: Array,
    seeds: Sequence[np.random.SeedSequence],
    *,
    loss: Loss = "cross_entropy",
    device: str | None = None,
) -> Trained:
    """Train networks of real weights with the architecture and protocol of the binary ones.

    Parameters are those of `lsg_ray.networks.binary.train`; γ acts on the weights.  Returns a
    `Trained` whose ``fields`` are the weights, (networks, N) float32.
    """
    start = np.empty((len(seeds), network.n_weights), np.float32)
    for row, seed in zip(start, seeds, strict=True):
        row[:] = trial_generator(seed, Purpose.INITIAL).standard_normal(network.n_weights)
    held = (False,) * len(network.shapes)
    noise_seed = trial_seed(seeds[0], Purpose.NOISE)
    return _train(network, training, x, y, start, noise_seed, loss, held, device, binary=False)


def stack_gradient(
    network: NetworkSpec,
    fields: Array,
    x: Array,
    y: Array,
    noise: Sequence[Array],
    loss: Loss,
    gamma: float,
) -> tuple[float, Array]:
    """Loss and gradient of one network for given noise; see `lsg_ray.networks.binary.gradient`."""
    import torch

    theta = _split(network, torch.from_numpy(fields[None].copy()))
    inputs = torch.from_numpy(np.ascontiguousarray(x.T[None], fields.dtype))
    labels = torch.from_numpy(np.ascontiguousarray(y[None], np.int64))
    epsilon = [torch.from_numpy(np.ascontiguousarray(e[None], fields.dtype)) for e in noise]
    value, _, grads = _step(network, theta, inputs, labels, epsilon, loss, gamma, binary=True)
    flat = torch.cat([g.reshape(1, -1) for g in grads], dim=1)
    return float(value[0]), flat[0].numpy()


def _split(network: NetworkSpec, flat: Tensor) -> list[Tensor]:
    return [
        flat[:, where].reshape(len(flat), *shape).contiguous()
        for where, shape in zip(network.layer_slices, network.shapes, strict=True)
    ]


def _train(network, training, x, y, start, seed, loss, held, device, binary):  # type: ignore[no-untyped-def]
    import torch

    device = device or default_device()
    n, n_examples = len(start), len(x)
    batch = training.batch(n_examples)
    generator = torch.Generator(device=device)
    generator.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
    inputs = torch.tensor(x, dtype=torch.float32, device=device)
    labels = torch.tensor(y, dtype=torch.int64, device=device)
    weights = _split(network, torch.tensor(start, device=device))
    first = [torch.zeros_like(w) for w in weights]
    second = [torch.zeros_like(w) for w in weights]
    history = torch.zeros(training.epochs, 2, n, dtype=torch.float64, device=device)
    step = 0
    for epoch in range(training.epochs):
        order = torch.rand(n, n_examples, generator=generator, device=device).argsort(dim=1)
        for begin in range(0, n_examples, batch):
            rows = order[:, begin : begin + batch]
            a, target = inputs[rows].transpose(1, 2).contiguous(), labels[rows]
            noise = None
            if binary:
                shapes = [(n, out, rows.shape[1]) for out, _ in network.shapes]
                noise = [torch.randn(s, generator=generator, device=device) for s in shapes]
            value, correct, grads = _step(
                network, weights, a, target, noise, loss, training.gamma, binary
            )
            share = rows.shape[1] / n_examples
            history[epoch, 0] += value.double() * share
            history[epoch, 1] += correct.double() * share
            rate = training.learning_rate
            if training.decay_steps:
                rate /= training.decay_factor ** (step // training.decay_steps)
            step += 1
            for layer, grad in enumerate(grads):
                if not held[layer]:
                    moments = (first[layer], second[layer])
                    _update(training, weights[layer], grad, moments, rate, step)
    flat = torch.cat([w.reshape(n, -1) for w in weights], dim=1)
    curves = history.cpu().numpy()
    return Trained(flat.cpu().numpy(), curves[:, 0].T.copy(), curves[:, 1].T.copy())


def _update(
    training: TrainingSpec,
    weight: Tensor,
    grad: Tensor,
    moments: tuple[Tensor, Tensor],
    rate: float,
    step: int,
) -> None:
    first, second = moments
    if training.optimizer == "sgd":
        first.mul_(training.momentum).add_(grad)
        weight.sub_(first, alpha=rate)
        return
    first.lerp_(grad, 1 - training.beta1)
    second.mul_(training.beta2).addcmul_(grad, grad, value=1 - training.beta2)
    root = second.sqrt().div_((1 - training.beta2**step) ** 0.5).add_(training.epsilon)
    weight.addcdiv_(first, root, value=-rate / (1 - training.beta1**step))


def _step(
    network: NetworkSpec,
    weights: list[Tensor],
    a: Tensor,
    y: Tensor,
    noise: list[Tensor] | None,
    loss: Loss,
    gamma: float,
    binary: bool,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """One mini-batch: mean loss (networks,), accuracy (networks,), gradients per layer."""
    import torch

    n = a.shape[2]
    mu = [torch.tanh(w / 2) for w in weights] if binary else weights
    # 1 − tanh²(θ/2) without cancellation: Adam moves weights by gradients however small.
    var = [4 * torch.sigmoid(w) * torch.sigmoid(-w) for w in weights] if binary else None
    activations, ratios, z = [a], [], a
    for layer, (_, fan_in) in enumerate(network.shapes):
        a = activations[-1]
        z = torch.bmm(mu[layer], a)
        if var is not None and noise is not None:
            v = torch.bmm(var[layer], a * a)
            ratios.append(noise[layer] * v.clamp_min(_TINY).rsqrt())
            z.addcmul_(v, ratios[-1])
        if layer + 1 < len(weights):
            leaky = torch.nn.functional.leaky_relu(z, network.leaky_slope)
            activations.append(leaky.mul_(fan_in**-0.5))
    value, correct, delta = _loss_gradient(z, y, loss)
    grads: list[Any] = [None] * len(weights)
    for layer in range(len(weights) - 1, -1, -1):
        a = activations[layer]
        grad = torch.bmm(delta, a.transpose(1, 2))
        back = torch.bmm(mu[layer].transpose(1, 2), delta) if layer else None
        if var is not None:
            noisy = delta * ratios[layer]
            grad -= mu[layer] * torch.bmm(noisy, (a * a).transpose(1, 2))
            grad *= var[layer] / 2
            if back is not None:
                back += a * torch.bmm(var[layer].transpose(1, 2), noisy)
        grads[layer] = grad / n + gamma * weights[layer]
        if back is not None:
            scale = network.shapes[layer - 1][1] ** -0.5
            delta = back.mul_(scale)
            delta = torch.where(a > 0, delta, network.leaky_slope * delta)
    return value, correct, grads


def _loss_gradient(z: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
    import torch

    if loss == "hinge":
        label = y.to(z.dtype)
        margin = 1 - label * z[:, 0]
        delta = torch.where(margin > 0, -label, torch.zeros_like(label))[:, None]
        return margin.clamp_min(0).mean(1), (label * z[:, 0] > 0).to(z.dtype).mean(1), delta
    log_p = torch.log_softmax(z, dim=1)
    index = y[:, None]
    value = -log_p.gather(1, index)[:, 0].mean(1)
    delta = log_p.exp()
    # NaN counts as the largest for argmax, and equals nothing: it is never right.
    right = (z.argmax(1) == y) & (z.gather(1, index)[:, 0] == z.amax(1))
    correct = right.to(z.dtype).mean(1)
    delta.scatter_add_(1, index, torch.full_like(index, -1, dtype=z.dtype))
    return value, correct, delta
