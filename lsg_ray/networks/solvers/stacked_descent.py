"""The engine ``torch`` of networks of real weights: a stack of them in batched products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lsg_ray.networks.first_layer import Inputs
from lsg_ray.networks.relu_network import Evaluation, Layer, Step, output_scale
from lsg_ray.spec import NetworkSpec, TrainingSpec
from lsg_ray.typing import Floats

if TYPE_CHECKING:
    from torch import Tensor


class Arithmetic(NamedTuple):
    """What is computed of a stack of networks: loss and gradients of a batch; an evaluation."""

    step: Callable[..., Step]
    evaluate: Callable[..., Evaluation]


class StackedDescent:
    """Training state of a stack of networks: torch's fused optimiser and its learning rate."""

    def __init__(
        self,
        network: NetworkSpec,
        training: TrainingSpec,
        layers: list[Layer],
        arithmetic: Arithmetic,
    ) -> None:
        import torch

        self.network, self.training, self.layers = network, training, layers
        self.arithmetic = arithmetic
        self.steps = 0
        self._signs: list[Layer] = []
        self._penalty = 0.0
        tensors = [tensor for layer in layers for tensor in layer.tensors]
        kind: Any = torch.optim.SGD
        own: dict[str, Any] = {"momentum": training.momentum}
        if training.optimizer == "adam":
            kind = torch.optim.Adam
            own = {"betas": (training.beta1, training.beta2), "eps": training.epsilon}
        rate, decay = training.learning_rate, training.gamma
        self.optimizer = kind(tensors, lr=rate, weight_decay=decay, fused=True, **own)
        steps = training.decay_steps or 2**62
        self.rate = torch.optim.lr_scheduler.StepLR(
            self.optimizer, steps, 1 / training.decay_factor
        )

    def pull_to(self, signs: list[Layer], penalty: float) -> None:
        """Add γ Σ max(0, −s w), with signs s of each weight, to what is minimised."""
        self._signs, self._penalty = signs, penalty

    def _add_penalty(self, gradients: Sequence[Layer]) -> None:
        for layer, signs, gradient in zip(self.layers, self._signs, gradients, strict=True):
            rows = zip(layer.tensors, signs.tensors, gradient.tensors, strict=True)
            for w, s, slope in rows:
                slope -= self._penalty * s * (s * w < 0)

    def epoch(
        self, inputs: Inputs, y: Tensor, order: Tensor, record: Callable[[int], None]
    ) -> tuple[Floats, Floats]:
        """Go once through the examples; return mean losses and accuracies (networks,)."""
        import torch

        n, size = len(inputs), self.training.batch(len(inputs))
        sums = torch.zeros(2, len(order), dtype=torch.float64, device=y.device)
        for begin in range(0, n, size):
            rows = order[:, begin : begin + size]
            share = 1 / (rows.shape[1] * output_scale(self.network) ** 2)
            step = self.arithmetic.step(self.network, self.layers, inputs, rows, y[rows], share)
            sums[0] += step.loss
            sums[1] += step.correct
            if self._signs:
                self._add_penalty(step.gradients)
            for layer, gradient in zip(self.layers, step.gradients, strict=True):
                for tensor, slope in zip(layer.tensors, gradient.tensors, strict=True):
                    tensor.grad = slope
            self.optimizer.step()
            if self.training.decay_steps:
                self.rate.step()
            self.steps += 1
            record(self.steps)
        loss, accuracy = (sums / n).cpu().numpy()
        return loss, accuracy
