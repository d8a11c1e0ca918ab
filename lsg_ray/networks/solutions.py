"""The protocol of an ensemble of ReLU networks: train, accept (spin-glass-lens paper, Sec. 4.4).

Configuration i is the first of the networks (i, 0), (i, 1), … that reaches the training-loss
target, if there is one, and the accuracy threshold (by default every network does).  Each starts
from its own weights and sees the examples in its own order, both from the address
``(seed, TRIAL, i, trial)``; networks are trained in stacks of `Spec.stack` configurations, always
whole, so a configuration does not depend on blocks, workers or retries.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lsg_ray.datasets import Dataset, Examples
from lsg_ray.errors import InputError
from lsg_ray.networks.descent import CURVES, train_networks
from lsg_ray.networks.inputs import DenseInputs, Inputs, SparseInputs, as_inputs
from lsg_ray.networks.layout import read_only
from lsg_ray.networks.relu import check_examples, evaluate
from lsg_ray.networks.sampling import Trials, fill_stacks
from lsg_ray.networks.stacked import default_device
from lsg_ray.networks.threads import one_thread
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import Spec
from lsg_ray.typing import Array, Floats, Ints, Singles

if TYPE_CHECKING:
    from torch import Tensor

#: Refuse stacks that take more memory than this.
MAX_BYTES = 16 * 2**30


class ExampleSet(NamedTuple):
    """Examples on their way to workers: sparse rows or an array (n, inputs), and classes (n,)."""

    x: SparseInputs | Singles
    y: Ints

    def on(self, device: str | None = None) -> tuple[Inputs, Tensor]:
        """Return inputs and classes on a device, by default CUDA where there is one."""
        import torch

        device = device or default_device()
        labels = torch.tensor(self.y, device=device)
        if isinstance(self.x, SparseInputs):
            if device == "cpu":
                return self.x, labels
            return DenseInputs(self.x.dense(), device, torch.float32), labels
        return DenseInputs(self.x, device, torch.float32), labels


class SolutionArena(NamedTuple):
    """What networks learn and are measured on."""

    train: ExampleSet
    selection: ExampleSet
    test: ExampleSet


class SampledSolutions(NamedTuple):
    """Accepted networks ``start, start + 1, ...``.

    weights (rows, N) float32; columns as `lsg_ray.ensemble.block.RealBlock` takes them; missed,
    accuracy of each network that missed (NaN: diverged, or above the loss target); seconds.
    """

    start: int
    weights: Singles
    columns: dict[str, Array]
    missed: Floats
    seconds: float


class _Network(NamedTuple):
    """One trained network: accuracy on the selection set (NaN: not accepted), and its numbers."""

    accuracy: float
    weights: Singles
    columns: dict[str, Any]
    train_loss: float


def stack_bytes(spec: Spec, n_examples: int) -> int:
    """Return the memory of training a stack: weights, activations and orders of one, times so many.

    Of each weight there are the value, the gradient, two moments, the start and the solution.
    """
    network, training = spec.network, spec.training
    numbers = 6 * network.n_weights + len(CURVES) * training.epochs + 4 * n_examples
    numbers += 3 * training.batch(n_examples) * sum(network.widths[1:])
    return 4 * numbers * spec.stack


def example_set(examples: Examples) -> ExampleSet:
    """Lay examples out for workers: sparse where they are."""
    found = as_inputs(examples.x, "cpu")
    x = found if isinstance(found, SparseInputs) else read_only(examples.x, np.float32)
    return ExampleSet(x, read_only(examples.y, np.int64))


def prepare_solutions(spec: Spec, dataset: Dataset) -> SolutionArena:
    """Lay a data set out for the networks of ``spec``; done once per run.

    Raises
    ------
    InputError
        They are not ReLU networks, the examples do not fit them, or a stack of them would take more
        than `MAX_BYTES`.
    """
    if spec.network.family != "relu":
        raise InputError(
            f"network.family: {spec.network.family!r} given; for 'relu' networks only, others are "
            "prepared by prepare"
        )
    check_examples(spec.network, dataset.train.x, dataset.train.y)
    need = stack_bytes(spec, len(dataset.train.x))
    if need > MAX_BYTES:
        raise InputError(
            f"training.stack: {spec.stack} networks together take {need / 2**30:,.1f} GiB of "
            f"memory; at most {MAX_BYTES / 2**30:.0f}: lower training.stack, training.batch_size, "
            "training.epochs or network.widths"
        )
    chosen = dataset.examples(spec.ensemble.selection)
    known = {id(part): example_set(part) for part in (dataset.train, dataset.test, chosen)}
    return SolutionArena(known[id(dataset.train)], known[id(chosen)], known[id(dataset.test)])


def sample_solutions(
    spec: Spec,
    arena: SolutionArena,
    start: int,
    rows: int,
    *,
    device: str | None = None,
    on_trial: Callable[[bool], None] | None = None,
) -> SampledSolutions:
    """Train configurations ``start`` to ``start + rows − 1`` of the ensemble of ``spec``.

    Parameters
    ----------
    spec
        The run.
    arena
        From `prepare_solutions`.
    start, rows
        Which configurations.
    device
        Of torch.
    on_trial
        Told after each network whether it was accepted.

    Raises
    ------
    AcceptanceError
        Fewer than one network in ``ensemble.give_up_after`` is accepted; the message shows the
        losses or accuracies seen and what to change.
    """
    began = time.perf_counter()
    sets = [part.on(device) for part in arena]
    seen: list[float] = []
    trials = Trials(spec, on_trial, partial(_advice, spec, seen))

    def run(configurations: list[int], trial: int) -> list[_Network]:
        found = _run(spec, sets, configurations, trial)
        seen.extend(network.train_loss for network in found)
        return found

    with one_thread():
        found = fill_stacks(spec.stack, start, rows, trials, run)
    networks = [network for _, network in found]
    names = networks[0].columns
    columns = {name: np.array([network.columns[name] for network in networks]) for name in names}
    return SampledSolutions(
        start=start,
        weights=np.array([network.weights for network in networks]),
        columns={**columns, "trial": np.array([trial for trial, _ in found], np.int32)},
        missed=np.array(trials.missed, np.float64),
        seconds=time.perf_counter() - began,
    )


def _run(
    spec: Spec, sets: list[tuple[Inputs, Any]], configurations: list[int], trial: int
) -> list[_Network]:
    """Train trial number ``trial`` of some configurations, and measure the networks."""
    seeds = [seed_sequence(spec.ensemble.seed, Stream.TRIAL, c, trial) for c in configurations]
    train, selection, test = sets
    found = train_networks(spec.network, spec.training, train, test, seeds)
    tested = evaluate(spec.network, found.weights, *test)
    chosen = tested
    if spec.ensemble.selection != "test":
        chosen = evaluate(spec.network, found.weights, *selection)
    columns: dict[str, Array] = {
        "accuracy": chosen.accuracy, "loss": chosen.loss,
        "test_accuracy": tested.accuracy, "test_loss": tested.loss,
        "train_accuracy": found.train_accuracy, "train_loss": found.train_loss,
        "epochs": found.epochs,
        **{f"curve_{name}": found.curves[:, :, place] for place, name in enumerate(CURVES)},
    }  # fmt: skip
    good = found.reached & np.isfinite(found.weights).all(axis=1) & np.isfinite(chosen.loss)
    return [
        _Network(
            float(chosen.accuracy[k]) if good[k] else np.nan,
            found.weights[k],
            {name: values[k] for name, values in columns.items()},
            float(found.train_loss[k]),
        )
        for k in range(len(configurations))
    ]


def _advice(spec: Spec, seen: list[float], accepted: int, missed: Array) -> str:
    training, ensemble = spec.training, spec.ensemble
    losses = np.array(seen)
    finite = losses[np.isfinite(losses)]
    head = f"{accepted} of {accepted + len(missed)} networks were accepted.\n"
    diverged = len(losses) - len(finite)
    if diverged:
        head += f"{diverged} diverged: lower training.learning_rate.\n"
    if len(finite):
        low, median, high = np.quantile(finite, [0, 0.5, 1])
        head += f"Training losses at the end: min {low:.4g}, median {median:.4g}, max {high:.4g}"
        if training.target_loss is not None:
            head += f"; the target is training.target_loss = {training.target_loss:g}"
        head += f", after {training.epochs} epochs at most.\n"
    good = missed[np.isfinite(missed)]
    if len(good):
        head += (
            f"Accuracies on the {ensemble.selection} set, of those that missed "
            f"ensemble.threshold = {ensemble.threshold:g}: {good.min():.4f} to {good.max():.4f}.\n"
        )
    return head + (
        "Raise training.epochs or training.target_loss, lower ensemble.threshold, or widen "
        "network.widths, each with another --out, as it makes another ensemble."
    )
