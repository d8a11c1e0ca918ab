"""Training of ReLU networks, many at a time (spin-glass-lens paper, Sec. 4, App. A.4).

Every network of a stack starts from its own weights and goes through the examples in its own
order, as if it were alone.  Two engines train:

- ``torch``: batched products and optimizer steps of the stack, on CPU or CUDA
  (`lsg_ray.networks.solvers.stacked_descent`).
- ``numba``: one network after another, each step in the caches of one core
  (`lsg_ray.networks.solvers.single_descent`); weights differ from those by rounding.

Of a network whose scores have a scale α (`network.options`) the loss is divided by α², so that its
outputs move at the same speed whatever α is: weights move less the larger it is (L. Chizat,
E. Oyallon, F. Bach, NeurIPS 2019, arXiv:1812.07956).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from lsg_ray.datasets import Dataset
from lsg_ray.errors import InputError
from lsg_ray.networks.algorithm import Algorithm, Candidate, Run
from lsg_ray.networks.families.relu import CURVES, Arena, fixed_field, measured
from lsg_ray.networks.family import not_neutral
from lsg_ray.networks.first_layer import Inputs
from lsg_ray.networks.initial_weights import initial_weights
from lsg_ray.networks.relu_network import Evaluation, evaluate_layers, flat_of, layers_of, loss_step
from lsg_ray.networks.solvers.single_descent import SingleDescent, warm_up
from lsg_ray.networks.solvers.stacked_descent import Arithmetic, StackedDescent
from lsg_ray.networks.threads import one_thread
from lsg_ray.networks.trial import Purpose, trial_generator
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import NetworkSpec, Spec, TrainingSpec
from lsg_ray.typing import Array, Flags, Floats, Singles

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StackConfig:
    """Networks that are trained together.

    Parameters
    ----------
    networks
        Default number of networks of a stack, at most: more gain little on a CPU, and the last
        stack of an ensemble is trained whole.
    weight_bytes
        Most bytes of the weights of a stack by default.
    max_bytes
        Most bytes of memory of a stack; larger ones are refused.
    """

    networks: int = 8
    weight_bytes: int = 4 << 20
    max_bytes: int = 16 * 2**30


STACKS = StackConfig()


class DescentOptions(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Options of the descent of ReLU networks."""

    initial_variance: float | None = Field(
        None, gt=0, le=1e6,
        description="Initial variance C of weights, times their number of inputs; null for the "
        "uniform distribution of Glorot and Bengio.",
    )  # fmt: skip


RELU = Arithmetic(loss_step, evaluate_layers)


class Solutions(NamedTuple):
    """Trained networks.

    weights (networks, N) float32; epochs (networks,) int32, passes made; curves
    (networks, epochs, `CURVES`) float32, NaN after the last pass; reached (networks,), whether the
    loss target was met (true without one); train_loss, train_accuracy (networks,) float64, of the
    final weights on all training examples; snapshots (networks, S, N) float32, weights after the
    requested steps, or the final ones of a network that had ended before.
    """

    weights: Singles
    epochs: NDArray[np.int32]
    curves: Singles
    reached: Flags
    train_loss: Floats
    train_accuracy: Floats
    snapshots: Singles


class Related(NamedTuple):
    """What networks of a stack have from others.

    starts: (networks, N) weights that they start from, None for their own; reference: (networks, N)
    signs −1, 0 or +1 that the penalty γ Σ_i max(0, −s_i w_i) pulls their weights to; penalty: γ.
    """

    starts: Singles | None = None
    reference: Singles | None = None
    penalty: float = 0.0


def train_networks(
    network: NetworkSpec,
    training: TrainingSpec,
    train: tuple[Inputs, Tensor],
    test: tuple[Inputs, Tensor],
    seeds: Sequence[np.random.SeedSequence],
    times: Sequence[int] = (),
    arithmetic: Arithmetic = RELU,
    related: Related | None = None,
) -> Solutions:
    """Train a stack of networks, one for each seed.

    Parameters
    ----------
    network, training
        Architecture and training protocol.
    train, test
        Examples from `as_inputs`, with their classes (n,) int64 on the same device.
    seeds
        Address of each network in the seed tree, for initial weights and order of examples.
    times
        Steps, ascending, after which weights are stored; 0 for the start.
    arithmetic
        That of ReLU networks, or of others of the same layout.
    related
        What the networks have from others: where they start, and signs that they are pulled to.

    Notes
    -----
    2 · 3 N flop per example and epoch, less for sparse inputs; memory: 16 N bytes per network and
    the activations of one mini-batch.  With ``training.target_loss`` the training loss is evaluated
    after each epoch (a third more time), and a network's weights are those of the epoch in which it
    first meets the target.
    """
    import torch

    inputs, y = train
    related = related or Related()
    drawn = related.starts
    if drawn is None:
        drawn = initial_weights(network, training, seeds)
    layers = layers_of(network, torch.from_numpy(drawn).to(inputs.device, inputs.dtype), inputs)
    descent: StackedDescent | SingleDescent
    if training.engine == "auto":
        raise InputError("training.engine: auto given; a run names an engine, and so must this")
    if training.engine == "numba":
        descent = SingleDescent(network, training, layers, inputs, times)
        layers = descent.layers
    else:
        descent = StackedDescent(network, training, layers, arithmetic)
        if related.reference is not None:
            signs = torch.from_numpy(related.reference).to(inputs.device, inputs.dtype)
            descent.pull_to(layers_of(network, signs, inputs), related.penalty)
    orders = [trial_generator(seed, Purpose.ORDER) for seed in seeds]
    n, networks = len(inputs), len(seeds)
    curves = np.full((networks, training.epochs, len(CURVES)), np.nan, np.float32)
    solutions = flat_of(network, layers, inputs)
    epochs = np.zeros(networks, np.int32)
    running = np.ones(networks, bool)
    final = np.full((2, networks), np.nan)
    snapshots = np.empty((networks, len(times), network.n_weights), np.float32)

    def record(step: int) -> None:
        if step in times:
            now = flat_of(network, layers, inputs)
            ended = torch.from_numpy(~running)
            now[ended] = solutions[ended]
            snapshots[:, times.index(step)] = now.to("cpu", torch.float32).numpy()

    record(0)
    for epoch in range(training.epochs):
        order = torch.from_numpy(np.stack([rng.permutation(n) for rng in orders]))
        mean = descent.epoch(inputs, y, order.to(inputs.device), record)
        tested = arithmetic.evaluate(network, layers, *test)
        values = np.stack([*mean, *tested], axis=1)
        curves[running, epoch] = values[running]
        epochs[running] = epoch + 1
        last = epoch + 1 == training.epochs
        if training.target_loss is None and not last:
            continue
        exact = arithmetic.evaluate(network, layers, inputs, y)
        target = np.inf if training.target_loss is None else training.target_loss
        # A diverged network has no loss, and will not recover.
        done = running & ((exact.loss <= target) | ~np.isfinite(exact.loss) | last)
        if done.any():
            rows = torch.from_numpy(done)
            solutions[rows] = flat_of(network, layers, inputs)[rows]
            final[:, done] = np.stack(exact)[:, done]
            running &= ~done
        if not running.any():
            break
    reached = np.isfinite(final[0])
    if training.target_loss is not None:
        reached &= final[0] <= training.target_loss
    weights = solutions.to("cpu", torch.float32).numpy()
    for index, time in enumerate(times):
        if time > descent.steps:  # all had ended before
            snapshots[:, index] = weights
    return Solutions(weights, epochs, curves, reached, final[0], final[1], snapshots)


def stack_size(spec: Spec) -> int:
    """Return the number of networks that are trained together."""
    most = max(1, min(STACKS.networks, STACKS.weight_bytes // (4 * spec.network.n_weights)))
    return spec.training.stack or most


def check_memory(spec: Spec, dataset: Dataset) -> None:
    """Refuse a stack of networks that takes too much memory."""
    need = stack_bytes(spec, len(dataset.train.x))
    if need > STACKS.max_bytes:
        raise InputError(
            f"training.stack: {spec.stack} networks together take {need / 2**30:,.1f} GiB of "
            f"memory; at most {STACKS.max_bytes / 2**30:.0f}: lower training.stack, "
            "training.batch_size, training.epochs or network.widths"
        )


def trainer_of(arithmetic: Arithmetic) -> Callable[[Spec, Arena, str | None], Run]:
    """Return the trainer of an algorithm: it makes functions that run trials on a device."""

    def trainer(spec: Spec, arena: Arena, device: str | None) -> Run:
        sets = [part.on("cpu" if spec.training.engine == "numba" else device) for part in arena]

        def run(configurations: Sequence[int], trial: int) -> list[Candidate]:
            with one_thread():
                return _run(spec, sets, configurations, trial, arithmetic)

        return run

    return trainer


def stack_bytes(spec: Spec, n_examples: int) -> int:
    """Return the bytes of memory that training a stack takes: weights, activations and orders.

    For each weight these are the value, the gradient, two moments, the start and the solution.
    """
    network, training = spec.network, spec.training
    numbers = 6 * network.n_weights + len(CURVES) * training.epochs + 4 * n_examples
    numbers += 3 * training.batch(n_examples) * sum(network.widths[1:])
    return 4 * numbers * spec.stack


def _run(
    spec: Spec,
    sets: list[tuple[Inputs, Any]],
    configurations: Sequence[int],
    trial: int,
    arithmetic: Arithmetic,
) -> list[Candidate]:
    """Train trial number ``trial`` of some configurations, and measure the networks."""
    seeds = [seed_sequence(spec.ensemble.seed, Stream.TRIAL, c, trial) for c in configurations]
    train, _, test = sets
    times = spec.snapshot_steps
    trained = train_networks(spec.network, spec.training, train, test, seeds, times, arithmetic)
    return candidates(spec, sets, trained, arithmetic)


def candidates(
    spec: Spec,
    sets: Sequence[tuple[Inputs, Tensor]],
    trained: Solutions,
    arithmetic: Arithmetic = RELU,
) -> list[Candidate]:
    """Measure trained networks on the selection set and the test set: a candidate each.

    Parameters
    ----------
    spec
        Specification of the run.
    sets
        Training, selection and test set.
    trained
        Networks from `train_networks`.
    arithmetic
        That of ReLU networks, or of others of the same layout.
    """
    import torch

    def evaluated(examples: tuple[Inputs, Tensor]) -> Evaluation:
        flat = torch.as_tensor(trained.weights, device=examples[0].device)
        layers = layers_of(spec.network, flat, examples[0])
        return arithmetic.evaluate(spec.network, layers, *examples)

    _, selection, test = sets
    tested = evaluated(test)
    chosen = tested if spec.ensemble.selection == "test" else evaluated(selection)
    columns: dict[str, Array] = {
        **measured(chosen, tested),
        "train_accuracy": trained.train_accuracy,
        "train_loss": trained.train_loss,
        "epochs": trained.epochs,
        **{f"curve_{name}": trained.curves[:, :, index] for index, name in enumerate(CURVES)},
    }
    good = trained.reached & np.isfinite(trained.weights).all(axis=1) & np.isfinite(chosen.loss)
    return [
        Candidate(
            float(chosen.accuracy[k]) if good[k] else np.nan,
            trained.weights[k],
            {name: values[k] for name, values in columns.items()},
            trained.snapshots[k] if spec.snapshot_steps else None,
            train_loss=float(trained.train_loss[k]),
        )
        for k in range(len(trained.weights))
    ]


#: Fields that have one value with this algorithm; those that are like it are of one engine, too.
INITIAL_STD = {"training.initial_std": 0.0}
FIXED_FIELDS = {"training.engine": "torch", **INITIAL_STD}


def _misfits(spec: Spec) -> Iterable[str]:
    yield from not_neutral(spec, INITIAL_STD, fixed_field("relu"))
    if spec.training.engine == "cuda":
        yield "training.engine: 'cuda' given; relu networks have 'torch', 'numba' or 'auto'"


ALGORITHM = Algorithm(
    "descent", ("relu",), trainer_of(RELU), DescentOptions, stack=stack_size, check=check_memory,
    in_batches=True, misfits=_misfits,
    warm_up=lambda spec: warm_up() if spec.training.engine == "numba" else None,
)  # fmt: skip
