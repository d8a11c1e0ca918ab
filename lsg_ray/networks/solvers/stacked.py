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
    stack = _Stack(network, training, loss, torch.tensor(fields, device=device))
    history = torch.zeros(training.epochs, 2, n, dtype=torch.float64, device=device)
    snapshot_of = {0: stack.flat()} if 0 in times else {}
    for epoch in range(training.epochs):
        order = torch.rand(n, n_examples, generator=generator, device=device).argsort(dim=1)
        for begin in range(0, n_examples, batch):
            rows = order[:, begin : begin + batch]
            a, target = inputs[rows].transpose(1, 2).contiguous(), labels[rows]
            shapes = [(n, out, rows.shape[1]) for out, _ in network.shapes]
            noise = [torch.randn(s, generator=generator, device=device) for s in shapes]
            value, correct = stack.step(a, target, noise, held)
            share = rows.shape[1] / n_examples
            history[epoch, 0] += value.double() * share
            history[epoch, 1] += correct.double() * share
            if stack.steps in times:
                snapshot_of[stack.steps] = stack.flat()
    curves = history.cpu().numpy()
    along = [snapshot_of[time] for time in times]
    snapshots = np.stack(along, 1) if along else np.empty((n, 0, fields.shape[1]), np.float32)
    return Trained(stack.flat(), curves[:, 0].T.copy(), curves[:, 1].T.copy(), snapshots)


class _Stack:
    """Fields of a stack by layer, moments of the optimizer, and the number of steps made."""

    def __init__(
        self, network: NetworkSpec, training: TrainingSpec, loss: Loss, flat: Tensor
    ) -> None:
        import torch

        self.network, self.training, self.loss = network, training, loss
        self.theta = [
            flat[:, where].reshape(len(flat), *shape).contiguous()
            for where, shape in zip(network.layer_slices, network.shapes, strict=True)
        ]
        self.first, self.second = ([torch.zeros_like(t) for t in self.theta] for _ in range(2))
        self.steps = 0

    def flat(self) -> Singles:
        """Return copies of all layers side by side, (networks, N)."""
        import torch

        flat = torch.cat([t.reshape(len(t), -1) for t in self.theta], dim=1)
        values: Singles = flat.cpu().numpy()
        return values

    def step(
        self, a: Tensor, y: Tensor, noise: list[Tensor], held: Sequence[bool]
    ) -> tuple[Tensor, Tensor]:
        """Make a step on a mini-batch; return its mean loss and accuracy (networks,)."""
        value, correct, grads = self._gradients(a, y, noise)
        rate = self.training.learning_rate
        if self.training.decay_steps:
            rate /= self.training.decay_factor ** (self.steps // self.training.decay_steps)
        self.steps += 1
        for layer, grad in enumerate(grads):
            if not held[layer]:
                self._update(layer, grad, rate)
        return value, correct

    def _update(self, layer: int, grad: Tensor, rate: float) -> None:
        about, weight = self.training, self.theta[layer]
        first, second = self.first[layer], self.second[layer]
        if about.optimizer == "sgd":
            first.mul_(about.momentum).add_(grad)
            weight.sub_(first, alpha=rate)
            return
        first.lerp_(grad, 1 - about.beta1)
        second.mul_(about.beta2).addcmul_(grad, grad, value=1 - about.beta2)
        root = second.sqrt().div_((1 - about.beta2**self.steps) ** 0.5).add_(about.epsilon)
        weight.addcdiv_(first, root, value=-rate / (1 - about.beta1**self.steps))

    def _gradients(
        self, a: Tensor, y: Tensor, noise: list[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return mean loss (networks,), accuracy (networks,) and gradients per layer."""
        import torch

        from lsg_ray.kernels.meanfield import MIN_VARIANCE

        network, theta, n = self.network, self.theta, a.shape[2]
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
        value, correct, delta = _loss_gradient(z, y, self.loss)
        grads: list[Any] = [None] * len(theta)
        for layer in range(len(theta) - 1, -1, -1):
            a = activations[layer]
            grad = torch.bmm(delta, a.transpose(1, 2))
            noisy = delta * ratios[layer]
            grad -= mu[layer] * torch.bmm(noisy, (a * a).transpose(1, 2))
            grad *= var[layer] / 2
            grads[layer] = grad / n + self.training.gamma * theta[layer]
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
