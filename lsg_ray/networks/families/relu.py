"""Networks of real weights with ReLU units (spin-glass-lens paper, Sec. 4).

Every trained network that reaches the training-loss target, if there is one, and the accuracy
threshold is a solution (`lsg_ray.networks.solvers.descent`); the arithmetic is that of
`lsg_ray.networks.relu_network`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.arrays import read_only
from lsg_ray.datasets import Dataset, Examples
from lsg_ray.ensemble.schema import ArrayLayout, scalars
from lsg_ray.networks.family import SCALAR_COLUMNS, Family, not_neutral
from lsg_ray.networks.first_layer import DenseInputs, Inputs, SparseInputs, as_inputs
from lsg_ray.networks.initial_weights import initial_weights
from lsg_ray.networks.relu_network import Evaluation, evaluate, output_scale
from lsg_ray.networks.threads import default_device, one_thread
from lsg_ray.networks.trial import check_examples
from lsg_ray.spec import NetworkSpec, Spec
from lsg_ray.typing import Array, Floats, Ints, Singles

if TYPE_CHECKING:
    from torch import Tensor


def fixed_field(family: str) -> str:
    """Return the message for a field that has one value for networks of a family."""
    return f"{family} networks have {{}}: leave it out"


#: Training curves, one value per pass.
CURVES = {
    "train_loss": "mean training loss during the pass",
    "train_accuracy": "training accuracy during the pass",
    "test_loss": "test loss after the pass",
    "test_accuracy": "test accuracy after the pass",
}


class ExampleSet(NamedTuple):
    """Examples as sent to workers: sparse rows or an array (n, inputs), and classes (n,)."""

    x: SparseInputs | Singles
    y: Ints

    def on(self, device: str | None = None) -> tuple[Inputs, Tensor]:
        """Return inputs and classes on a device, by default CUDA where there is one."""
        import torch

        device = device or default_device()
        labels = torch.tensor(self.y, device=device)
        if isinstance(self.x, SparseInputs) and device == "cpu":
            return self.x, labels
        x = self.x.dense() if isinstance(self.x, SparseInputs) else self.x
        return DenseInputs(x, device, torch.float32), labels


class Arena(NamedTuple):
    """Data of trials: training set, selection set and test set."""

    train: ExampleSet
    selection: ExampleSet
    test: ExampleSet


def example_set(examples: Examples) -> ExampleSet:
    """Convert examples for workers, to sparse rows where most entries are zero."""
    inputs = as_inputs(examples.x, "cpu")
    x = inputs if isinstance(inputs, SparseInputs) else read_only(examples.x, np.float32)
    return ExampleSet(x, read_only(examples.y, np.int64))


def measured(chosen: Evaluation, tested: Evaluation) -> dict[str, Floats]:
    """Return the columns of networks on the selection set and on the test set."""
    return {
        "accuracy": chosen.accuracy,
        "loss": chosen.loss,
        "test_accuracy": tested.accuracy,
        "test_loss": tested.loss,
    }


class Options(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Options of networks of real weights."""

    output_scale: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Scale α of the outputs: large for lazy training, small for rich.",
    )


class _Relu(Family):
    name = "relu"
    about = "ReLU networks"
    signs = False
    differentiable = True
    config: ClassVar[type[BaseModel] | None] = Options
    #: Loss and accuracy of networks on examples.
    evaluation: ClassVar[Callable[..., Evaluation]] = staticmethod(evaluate)
    measures = ("accuracy", "loss", "test_accuracy", "test_loss")
    algorithm = "descent"
    study = "lsg_ray.studies:of_solutions"
    sections = ("lsg_ray.report.figures.training:training_section",)
    defaults: ClassVar = {
        "dataset": {"components": None},  # raw pixels: SG Sec. 4.1
        "network": {
            "widths": (784, 256, 10),  # SG App. A.2: 64 to 1,024 hidden units
            "leaky_slope": 0.0,  # SG Sec. 4.1: ReLU
        },
        "training": {
            "optimizer": "adam",  # SG Sec. 4.2, 4.5; SGD in Sec. 4.4
            "learning_rate": 1e-3,  # Adam's own, Kingma and Ba (2015); SG names none
            "batch_size": 256,  # SG Sec. 4.5
            "epochs": 50,
            "gamma": 0.0,  # SG: no penalty
            "initial_std": 0.0,  # Glorot uniform, SG App. A.4.2
            "engine": "torch",
        },
        "ensemble": {
            "count": 100,  # SG App. A.4.2: 100 or 200
            "threshold": 0.0,  # every trained network is a solution
            "draws": 1,
            "give_up_after": 3,
        },
    }

    def misfits(self, spec: Spec) -> Iterable[str]:
        widths = spec.network.widths
        neutral = {"ensemble.draws": 1, "ensemble.frozen_parts": (), "ensemble.store_fields": False}
        yield from not_neutral(spec, neutral, fixed_field(self.name))
        if spec.dataset.labels != "class":
            yield (
                f"dataset.labels: {spec.dataset.labels!r} given; {self.name} networks learn "
                "'class' labels"
            )
        if len(widths) < 3:
            yield f"network.widths: {list(widths)} given; {self.name} networks have hidden layers"

    def block_size(self, spec: Spec) -> int:
        return min(spec.stack, spec.ensemble.count)

    def columns(self, spec: Spec) -> tuple[ArrayLayout, ...]:
        names = (*self.measures, "train_accuracy", "train_loss", "trial", "epochs")
        columns = scalars({name: SCALAR_COLUMNS[name] for name in names})
        curves = [
            ArrayLayout(
                f"curve_{name}",
                "<f4",
                (spec.training.epochs,),
                ("configuration", "epoch"),
                {"description": f"{description}, NaN after the last"},
            )
            for name, description in CURVES.items()
        ]
        return (*columns, *curves)

    def prepare(self, spec: Spec, dataset: Dataset) -> Arena:
        check_examples(spec.network, dataset.train.x, dataset.train.y)
        chosen = dataset.examples(spec.ensemble.selection)
        known = {id(part): example_set(part) for part in (dataset.train, dataset.test, chosen)}
        return Arena(known[id(dataset.train)], known[id(chosen)], known[id(dataset.test)])

    def measure(self, spec: Spec, arena: Arena, weights: Array) -> Mapping[str, Floats]:
        with one_thread():
            chosen, tested = (
                self.evaluation(spec.network, weights, *part.on())
                for part in (arena.selection, arena.test)
            )
        return measured(chosen, tested)

    def evaluate(self, spec: Spec, weights: Array, x: Array, y: Array) -> tuple[Floats, Floats]:
        evaluation = self.evaluation(spec.network, weights, *example_set(Examples(x, y)).on())
        return evaluation.accuracy, evaluation.loss

    def starts(self, spec: Spec, seeds: Sequence[np.random.SeedSequence]) -> Floats:
        return initial_weights(spec.network, spec.training, seeds).astype(np.float64)

    def outputs(self, network: NetworkSpec, weights: Array, x: Array) -> Floats:
        return output_scale(network) * super().outputs(network, weights, x)

    def advice(self, spec: Spec, accepted: int, missed: Floats, losses: Floats) -> str:
        training, ensemble = spec.training, spec.ensemble
        finite = losses[np.isfinite(losses)]
        head = f"{accepted} of {accepted + len(missed)} networks were accepted.\n"
        diverged = len(losses) - len(finite)
        if diverged:
            head += f"{diverged} diverged: lower training.learning_rate.\n"
        if len(finite):
            low, median, high = np.quantile(finite, [0, 0.5, 1])
            head += (
                f"Training losses at the end: min {low:.4g}, median {median:.4g}, max {high:.4g}"
            )
            if training.target_loss is not None:
                head += f"; the target is training.target_loss = {training.target_loss:g}"
            head += f", after {training.epochs} epochs at most.\n"
        good = missed[np.isfinite(missed)]
        if len(good):
            head += (
                f"Accuracies on the {ensemble.selection} set, of those that missed "
                f"ensemble.threshold = {ensemble.threshold:g}: {good.min():.4f} to "
                f"{good.max():.4f}.\n"
            )
        return head + (
            "Raise training.epochs or training.target_loss, lower ensemble.threshold, or widen "
            "network.widths, each with another --out, as it makes another ensemble."
        )


FAMILY = _Relu()
