"""Training of ReLU networks, many at a time (spin-glass-lens paper, Sec. 4, App. A.4).

Every network of a stack starts from its own weights and goes through the examples in its own
order, as if it were alone; together they share the products and the optimiser's steps, which for
small networks cost mostly their calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.networks.inputs import Inputs
from lsg_ray.networks.relu import (
    Layer,
    evaluate_layers,
    flat_of,
    glorot_uniform,
    layers_of,
    loss_step,
)
from lsg_ray.networks.trial import Purpose, trial_generator
from lsg_ray.spec import NetworkSpec, TrainingSpec
from lsg_ray.typing import Flags, Floats, Singles

if TYPE_CHECKING:
    from torch import Tensor

#: Curves of training: means over an epoch while the weights change, and tests at its end.
CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


class Solutions(NamedTuple):
    """Trained networks.

    weights (networks, N) float32; epochs (networks,) int32, passes made; curves
    (networks, epochs, `CURVES`) float32, NaN after the last pass; reached (networks,), whether the
    loss target was met (true without one); train_loss, train_accuracy (networks,) float64, of the
    final weights on all training examples.
    """

    weights: Singles
    epochs: NDArray[np.int32]
    curves: Singles
    reached: Flags
    train_loss: Floats
    train_accuracy: Floats


def train_networks(
    network: NetworkSpec,
    training: TrainingSpec,
    train: tuple[Inputs, Tensor],
    test: tuple[Inputs, Tensor],
    seeds: Sequence[np.random.SeedSequence],
) -> Solutions:
    """Train a stack of networks, one for each seed.

    Parameters
    ----------
    network, training
        Architecture and protocol.
    train, test
        Examples from `as_inputs`, with their classes (n,) int64 on the same device.
    seeds
        One address in the seed tree for each network: initial weights and order of examples.

    Notes
    -----
    2 · 3 N flop an example and epoch, less for sparse inputs; memory 16 N bytes a network and
    activations of one mini-batch.  With ``training.target_loss`` the training loss is evaluated
    after each epoch (a third more time), and a network's weights are those of the epoch in which it
    first meets the target.
    """
    import torch

    inputs, y = train
    start = torch.from_numpy(glorot_uniform(network, seeds)).to(inputs.device, inputs.dtype)
    layers = layers_of(network, start, inputs)
    descent = _Descent(network, training, layers)
    orders = [trial_generator(seed, Purpose.ORDER) for seed in seeds]
    n, networks = len(inputs), len(seeds)
    curves = np.full((networks, training.epochs, len(CURVES)), np.nan, np.float32)
    found = flat_of(network, layers, inputs)
    epochs = np.zeros(networks, np.int32)
    running = np.ones(networks, bool)
    final = np.full((2, networks), np.nan)
    for epoch in range(training.epochs):
        order = torch.from_numpy(np.stack([rng.permutation(n) for rng in orders]))
        mean = descent.epoch(inputs, y, order.to(inputs.device))
        tested = evaluate_layers(network, layers, *test)
        values = np.stack([*mean, *tested], axis=1)
        curves[running, epoch] = values[running]
        epochs[running] = epoch + 1
        last = epoch + 1 == training.epochs
        if training.target_loss is None and not last:
            continue
        exact = evaluate_layers(network, layers, inputs, y)
        target = np.inf if training.target_loss is None else training.target_loss
        # A diverged network has no loss; waiting does not help it.
        done = running & ((exact.loss <= target) | ~np.isfinite(exact.loss) | last)
        if done.any():
            found[torch.from_numpy(done)] = flat_of(network, layers, inputs)[torch.from_numpy(done)]
            final[:, done] = np.stack(exact)[:, done]
            running &= ~done
        if not running.any():
            break
    reached = np.isfinite(final[0])
    if training.target_loss is not None:
        reached &= final[0] <= training.target_loss
    weights = found.to("cpu", torch.float32).numpy()
    return Solutions(weights, epochs, curves, reached, *final)


class _Descent:
    """A stack of networks on its way down: torch's fused optimiser, and its rate."""

    def __init__(self, network: NetworkSpec, training: TrainingSpec, layers: list[Layer]) -> None:
        import torch

        self.network, self.training, self.layers = network, training, layers
        tensors = [tensor for layer in layers for tensor in layer.tensors]
        shared: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.gamma}
        self.optimizer: Any
        if training.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(
                tensors, momentum=training.momentum, fused=True, **shared
            )
        else:
            betas = (training.beta1, training.beta2)
            self.optimizer = torch.optim.Adam(
                tensors, betas=betas, eps=training.epsilon, fused=True, **shared
            )
        steps = training.decay_steps or 2**62
        self.rate = torch.optim.lr_scheduler.StepLR(
            self.optimizer, steps, 1 / training.decay_factor
        )

    def epoch(self, inputs: Inputs, y: Tensor, order: Tensor) -> tuple[Floats, Floats]:
        """Go once through the examples; return mean losses and accuracies (networks,)."""
        import torch

        n, size = len(inputs), self.training.batch(len(inputs))
        sums = torch.zeros(2, len(order), dtype=torch.float64, device=y.device)
        for begin in range(0, n, size):
            rows = order[:, begin : begin + size]
            share = 1 / rows.shape[1]
            step = loss_step(self.network, self.layers, inputs, rows, y[rows], share)
            sums[0] += step.loss
            sums[1] += step.correct
            for layer, gradient in zip(self.layers, step.gradients, strict=True):
                for tensor, slope in zip(layer.tensors, gradient.tensors, strict=True):
                    tensor.grad = slope
            self.optimizer.step()
            if self.training.decay_steps:
                self.rate.step()
        loss, accuracy = (sums / n).cpu().numpy()
        return loss, accuracy
