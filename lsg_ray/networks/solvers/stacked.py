"""The torch engine: many networks of one architecture, stacked in batched products.

The same step as `lsg_ray.kernels.meanfield`, with a leading axis of networks: tensors are
(network, unit, example).  Gradients are written out, not taken by autograd, which halves the time
and the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lsg_ray.networks.threads import default_device
from lsg_ray.networks.trial import Loss, Trained
from lsg_ray.spec import NetworkSpec, TrainingSpec
from lsg_ray.typing import Array, Singles

if TYPE_CHECKING:
    from torch import Tensor

#: Lower bound of variances, which avoids a division by zero.
MIN_VARIANCE = 1e-30


def train_stack(
    network: NetworkSpec,
    training: TrainingSpec,
    x: Array,
    y: Array,
    fields: Singles,
    seed: np.random.SeedSequence,
    loss: Loss,
    held: Sequence[bool],
    times: Sequence[int],
    device: str | None,
) -> Trained:
    """Train the fields (networks, N) of a stack; ``held`` marks the layers that are fixed.

    Batches and noise come from one torch generator, seeded with ``seed``.
    """
    import torch

    device = device or default_device()
    n, n_examples = len(fields), len(x)
    batch = training.batch(n_examples)
    generator = torch.Generator(device=device)
    generator.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
    inputs = torch.tensor(x, dtype=torch.float32, device=device)
    labels = torch.tensor(y, dtype=torch.int64, device=device)
    theta = _split(network, torch.tensor(fields, device=device))
    first, second = ([torch.zeros_like(t) for t in theta] for _ in range(2))
    history = torch.zeros(training.epochs, 2, n, dtype=torch.float64, device=device)
    step, snapshot_of = 0, {0: _flat(theta)} if 0 in times else {}
    for epoch in range(training.epochs):
        order = torch.rand(n, n_examples, generator=generator, device=device).argsort(dim=1)
        for begin in range(0, n_examples, batch):
            rows = order[:, begin : begin + batch]
            a, target = inputs[rows].transpose(1, 2).contiguous(), labels[rows]
            shapes = [(n, out, rows.shape[1]) for out, _ in network.shapes]
            noise = [torch.randn(s, generator=generator, device=device) for s in shapes]
            value, correct, grads = _step(network, theta, a, target, noise, loss, training.gamma)
            share = rows.shape[1] / n_examples
            history[epoch, 0] += value.double() * share
            history[epoch, 1] += correct.double() * share
            rate = training.learning_rate
            if training.decay_steps:
                rate /= training.decay_factor ** (step // training.decay_steps)
            step += 1
            for layer, grad in enumerate(grads):
                if not held[layer]:
                    _update(training, theta[layer], grad, (first[layer], second[layer]), rate, step)
            if step in times:
                snapshot_of[step] = _flat(theta)
    curves = history.cpu().numpy()
    along = [snapshot_of[time] for time in times]
    snapshots = np.stack(along, 1) if along else np.empty((n, 0, fields.shape[1]), np.float32)
    return Trained(_flat(theta), curves[:, 0].T.copy(), curves[:, 1].T.copy(), snapshots)


def _flat(theta: list[Tensor]) -> Singles:
    """Return copies of all layers side by side, (networks, N)."""
    import torch

    flat = torch.cat([t.reshape(len(t), -1) for t in theta], dim=1)
    values: Singles = flat.cpu().numpy()
    return values


def _split(network: NetworkSpec, flat: Tensor) -> list[Tensor]:
    return [
        flat[:, where].reshape(len(flat), *shape).contiguous()
        for where, shape in zip(network.layer_slices, network.shapes, strict=True)
    ]


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
    theta: list[Tensor],
    a: Tensor,
    y: Tensor,
    noise: list[Tensor],
    loss: Loss,
    gamma: float,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """One mini-batch: mean loss (networks,), accuracy (networks,), gradients per layer."""
    import torch

    n = a.shape[2]
    mu = [torch.tanh(t / 2) for t in theta]
    # 1 − tanh²(θ/2) without cancellation: Adam moves weights by gradients however small.
    var = [4 * torch.sigmoid(t) * torch.sigmoid(-t) for t in theta]
    activations, ratios, z = [a], [], a
    for layer, (_, fan_in) in enumerate(network.shapes):
        a = activations[-1]
        z = torch.bmm(mu[layer], a)
        v = torch.bmm(var[layer], a * a)
        ratios.append(noise[layer] * v.clamp_min(MIN_VARIANCE).rsqrt())
        z.addcmul_(v, ratios[-1])
        if layer + 1 < len(theta):
            leaky = torch.nn.functional.leaky_relu(z, network.leaky_slope)
            activations.append(leaky.mul_(fan_in**-0.5))
    value, correct, delta = _loss_gradient(z, y, loss)
    grads: list[Any] = [None] * len(theta)
    for layer in range(len(theta) - 1, -1, -1):
        a = activations[layer]
        grad = torch.bmm(delta, a.transpose(1, 2))
        noisy = delta * ratios[layer]
        grad -= mu[layer] * torch.bmm(noisy, (a * a).transpose(1, 2))
        grad *= var[layer] / 2
        grads[layer] = grad / n + gamma * theta[layer]
        if layer:
            back = torch.bmm(mu[layer].transpose(1, 2), delta)
            back += a * torch.bmm(var[layer].transpose(1, 2), noisy)
            delta = back.mul_(network.shapes[layer - 1][1] ** -0.5)
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
    # NaN is the largest for argmax, and equals nothing: it is never correct.
    right = (z.argmax(1) == y) & (z.gather(1, index)[:, 0] == z.amax(1))
    correct = right.to(z.dtype).mean(1)
    delta.scatter_add_(1, index, torch.full_like(index, -1, dtype=z.dtype))
    return value, correct, delta
