"""Training in mean field of networks of binary weights (liquid-like paper, App. A and D).

Each weight is +1 with probability sigmoid(θ); the fields θ are trained, then configurations are
drawn and used with their signs and no noise; the best of a trial is its candidate.  The mathematics
of a step is in `lsg_ray.kernels.meanfield`.

Three engines train, behind the one function `train`:

- ``numba``: one network at a time, float32; the result of a network depends on its
  own seed only.
- ``torch``: networks stacked in batched products, on CPU or CUDA
  (`lsg_ray.networks.solvers.stacked`); the networks of a stack share one noise stream, so a result
  depends on the stack too.
- ``cuda``: one network in each thread block of a GPU, float32, draws and their evaluation too
  (`lsg_ray.networks.solvers.thread_blocks`); the result of a network depends on its own seed only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import read_only
from lsg_ray.errors import InputError
from lsg_ray.networks.algorithm import Algorithm, Candidate, TrialNumbers
from lsg_ray.networks.binary_network import evaluate, loss_number
from lsg_ray.networks.family import RELU_ONLY, not_neutral
from lsg_ray.networks.layout import Arena, Layout, chunk_examples
from lsg_ray.networks.solvers import thread_blocks
from lsg_ray.networks.trial import (
    Loss,
    Purpose,
    Trained,
    check_examples,
    trial_generator,
    trial_seed,
)
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import NetworkSpec, Spec, TrainingSpec
from lsg_ray.typing import Flags, Floats, Ints, Signs, Singles

#: Number of networks that the torch engine trains together, configurations 0 to 63, 64 to 127, ...:
#: fixed, since they share their noise.
TORCH_STACK = 64


class Frozen(NamedTuple):
    """Parts fixed at random ±1 while others are trained: θ = ±field (liquid core, LL Sec. IV)."""

    parts: tuple[str, ...] = ()
    field: float = 10.0

    def weights(self, network: NetworkSpec) -> Flags:
        """Return the mask of fixed weights, (N,)."""
        fixed = np.zeros(network.n_weights, bool)
        for part in self.parts:
            fixed[network.parts[part]] = True
        return fixed


NOTHING_FROZEN = Frozen()


def initial_fields(
    network: NetworkSpec,
    training: TrainingSpec,
    seeds: Sequence[np.random.SeedSequence],
    frozen: Frozen = NOTHING_FROZEN,
) -> Singles:
    """Draw θ₀ ~ N(0, initial_std²), frozen parts at ±field: (networks, N) float32, one per seed."""
    fields = np.empty((len(seeds), network.n_weights), np.float32)
    for row, seed in zip(fields, seeds, strict=True):
        rng = trial_generator(seed, Purpose.INITIAL)
        row[:] = rng.normal(0.0, training.initial_std, network.n_weights)
        for part in frozen.parts:
            where = network.parts[part]
            signs = rng.integers(0, 2, where.stop - where.start) * 2 - 1
            row[where] = frozen.field * signs
    return fields


def train(
    network: NetworkSpec,
    training: TrainingSpec,
    x: Singles,
    y: NDArray[np.integer],
    seeds: Sequence[np.random.SeedSequence],
    *,
    loss: Loss = "cross_entropy",
    frozen: Frozen = NOTHING_FROZEN,
    times: Sequence[int] = (),
    device: str | None = None,
) -> Trained:
    """Train independent networks, one per seed, from their own random fields.

    Parameters
    ----------
    network, training
        Architecture and training protocol; ``training.engine`` selects the engine.
    x, y
        Training set: x (P, inputs) float32, y (P,): classes from 0, or ±1 for the hinge loss.
    seeds
        Seed of each network, such as ``seed_sequence(seed, Stream.TRIAL, configuration, trial)``.
    loss
        ``cross_entropy`` over the outputs, or ``hinge``, max(0, 1 − y z), for one output.
    frozen
        Parts whose signs are fixed at random.
    times
        Steps, ascending, after which the fields are stored; 0 for the start.
    device
        Device of the torch engine, such as ``cpu``; by default CUDA where it is available.

    Returns
    -------
    Trained
        Fields and training curves.  A diverged network has fields that are not finite.

    Raises
    ------
    InputError
        Shapes or labels do not fit the network, or the engine is ``auto``.

    Notes
    -----
    About 10 N flop per example and epoch: 0.41 GFLOP per epoch of 20-15-15-10 on 60,000 digits.
    Memory: a mini-batch of activations, below 1 MB at these widths.
    """
    check_examples(network, x, y, loss)
    if training.engine == "auto":
        raise InputError("training.engine: auto given; a run names an engine, and so must this")
    fields = initial_fields(network, training, seeds, frozen)
    weights = frozen.weights(network)
    held = tuple(bool(weights[layer].all()) for layer in network.layer_slices)
    if training.engine == "torch":
        from lsg_ray.networks.solvers.stacked import train_stack

        noise_seed = trial_seed(seeds[0], Purpose.NOISE)
        return train_stack(network, training, x, y, fields, noise_seed, loss, held, times, device)
    if training.engine == "cuda":
        return thread_blocks.train_blocks(network, training, x, y, fields, seeds, loss, held, times)
    x, y = read_only(x, np.float32), read_only(y, np.int32)
    held_layers, steps = np.array(held), np.array(times, np.int64)
    results = [
        _train_one(network, training, x, y, start, seed, loss, held_layers, steps)
        for start, seed in zip(fields, seeds, strict=True)
    ]
    last, curves, snapshots = (np.array(column) for column in zip(*results, strict=True))
    return Trained(last, curves[..., 0], curves[..., 1], snapshots)


def _train_one(
    network: NetworkSpec,
    training: TrainingSpec,
    x: Singles,
    y: NDArray[np.integer],
    fields: Singles,
    seed: np.random.SeedSequence,
    loss: Loss,
    held: Flags,
    times: Ints,
) -> tuple[Singles, Floats, Singles]:
    """Return the fields (N,) of one network, its history (epochs, 2) and its snapshots (S, N)."""
    from lsg_ray.kernels import meanfield
    from lsg_ray.kernels.elementary import STATE_SHAPE

    layout = Layout(network.widths)
    theta = layout.pad(fields)
    bits = trial_seed(seed, Purpose.NOISE).generate_state(int(np.prod(STATE_SHAPE)), np.uint32)
    order = trial_seed(seed, Purpose.ORDER).generate_state(1, np.uint64)
    history = np.zeros((training.epochs, 2))
    snapshots = np.zeros((len(times), theta.size), theta.dtype)
    meanfield.train(
        x=x, y=y, theta=theta, bits_state=bits.reshape(STATE_SHAPE), order_state=order,
        widths=layout.widths, frozen=held, slope=network.leaky_slope, loss=loss_number(loss),
        batch_size=training.batch(len(x)), epochs=training.epochs,
        adam=training.optimizer == "adam", rate=training.learning_rate,
        decay_steps=training.decay_steps or 0, decay_factor=training.decay_factor,
        momentum=training.momentum, beta1=training.beta1, beta2=training.beta2,
        epsilon=training.epsilon, gamma=training.gamma, history=history, times=times,
        snapshots=snapshots,
    )  # fmt: skip
    return theta[layout.positions], history, snapshots[:, layout.positions]


def draw(
    fields: NDArray[np.floating],
    draws: int,
    seed: np.random.SeedSequence,
    fixed: Flags | None = None,
    purpose: Purpose = Purpose.DRAW,
) -> Signs:
    """Draw configurations from P(σ_i = +1) = sigmoid(θ_i).

    Parameters
    ----------
    fields
        Fields θ (N,).
    draws
        Number of configurations.
    seed
        The trial's seed, as given to `train`.
    fixed
        Weights (N,) that take the sign of their field instead (frozen parts).
    purpose
        Stream of random numbers of the trial: for its configurations, or for random starts.

    Returns
    -------
    numpy.ndarray
        (draws, N) int8, ±1.
    """
    return _signs(fields, _levels(seed, draws, fields.size, purpose), fixed)


def _levels(
    seed: np.random.SeedSequence, draws: int, n_weights: int, purpose: Purpose = Purpose.DRAW
) -> Singles:
    """Draw uniform numbers in [0, 1), (draws, N), that probabilities are compared with."""
    return trial_generator(seed, purpose).random((draws, n_weights), dtype=np.float32)


def _signs(fields: NDArray[np.floating], levels: Singles, fixed: Flags | None) -> Signs:
    """Return +1 where the level is below sigmoid(θ), else −1."""
    with np.errstate(over="ignore"):
        plus = 1.0 / (1.0 + np.exp(-fields.astype(np.float32)))
    if fixed is not None:
        plus = np.where(fixed, fields > 0, plus)
    return np.where(levels < plus, np.int8(1), np.int8(-1))


def warm_up() -> None:
    """Compile, or load from the cache on disk, the kernels of `train` and `evaluate`."""
    network = NetworkSpec(widths=(2, 2))
    x, y = np.ones((1, 2), np.float32), np.zeros(1, np.int32)
    train(network, TrainingSpec(epochs=1), x, y, [np.random.SeedSequence(0)])
    evaluate(network, np.ones((1, 4)), chunk_examples(x, y))


class _Best(NamedTuple):
    """Best draw of a trial: weights (N,), accuracy, and snapshots (S, N), all ±1."""

    weights: Signs
    accuracy: float
    snapshots: Signs


def _best_on_cpu(
    spec: Spec, arena: Arena, fields: Singles, along: Singles, seed: np.random.SeedSequence,
    fixed: Flags,
) -> _Best:  # fmt: skip
    """Draw configurations of a network, and return the best."""
    levels = _levels(seed, spec.ensemble.draws, fields.size)
    drawn = _signs(fields, levels, fixed)
    accuracy, _ = evaluate(spec.network, drawn, arena.selection, spec.loss)
    best = int(np.argmax(accuracy))
    # Snapshots are drawn with the same random numbers as the candidate, so that a weight
    # changes its sign only with its field; a snapshot at the end is the candidate itself.
    return _Best(drawn[best], float(accuracy[best]), _signs(along, levels[best], fixed))


def _best_on_gpu(
    spec: Spec, arena: Arena, fields: Singles, along: Singles,
    seeds: Sequence[np.random.SeedSequence], fixed: Flags,
) -> list[_Best]:  # fmt: skip
    """As `_best_on_cpu`, for the networks of a launch.

    Accuracies of the best are those of `evaluate`, as stores have them: sums in another order may
    tip the answer to an example.
    """
    best, snapshots = thread_blocks.best_draws(
        spec.network, spec.loss, arena.selection, fields, seeds, spec.ensemble.draws, fixed, along
    )
    accuracy, _ = evaluate(spec.network, best, arena.selection, spec.loss)
    return [_Best(*row) for row in zip(best, accuracy.tolist(), snapshots, strict=True)]


def _run_trials(
    spec: Spec,
    arena: Arena,
    device: str | None,
    configurations: Sequence[int],
    trials: TrialNumbers,
) -> list[Candidate]:
    """Run one trial of each of some configurations and return the best draw of each.

    A network that diverged (fields not finite) has accuracy NaN and is never accepted.
    """
    ensemble, network = spec.ensemble, spec.network
    numbers = np.broadcast_to(trials, len(configurations)).tolist()
    seeds = [
        seed_sequence(ensemble.seed, Stream.TRIAL, *pair)
        for pair in zip(configurations, numbers, strict=True)
    ]
    frozen = Frozen(ensemble.frozen_parts, ensemble.frozen_field)
    trained = train(
        network,
        spec.training,
        arena.x,
        arena.y,
        seeds,
        loss=spec.loss,
        frozen=frozen,
        times=spec.snapshot_steps,
        device=device,
    )
    fixed = frozen.weights(network)
    finite = np.array([np.isfinite(fields).all() for fields in trained.fields])
    usable = np.where(finite[:, None], trained.fields, np.float32(0))
    if spec.training.engine == "cuda":
        chosen = _best_on_gpu(spec, arena, usable, trained.snapshots, seeds, fixed)
    else:
        rows = zip(usable, trained.snapshots, seeds, strict=True)
        chosen = [_best_on_cpu(spec, arena, *row, fixed) for row in rows]
    candidates = []
    for fields, best, good in zip(trained.fields, chosen, finite, strict=True):
        polarization = np.abs(np.tanh(fields / 2)).mean(dtype=np.float64)
        columns = {"epochs": spec.training.epochs, "polarization": polarization}
        if ensemble.store_fields:
            columns["fields"] = fields
        snapshots = best.snapshots if len(best.snapshots) else None
        reached = best.accuracy if good else np.nan
        candidates.append(Candidate(reached, best.weights, columns, snapshots))
    return candidates


#: Fields of other families, which have no value with this algorithm.
UNUSED_FIELDS = {"training.target_loss": None, "training.stack": None}


def _misfits(spec: Spec) -> Iterable[str]:
    yield from not_neutral(spec, UNUSED_FIELDS, RELU_ONLY)
    if spec.training.engine == "cuda":
        fault = thread_blocks.unfit(spec.network)
        if fault is not None:
            yield fault


ALGORITHM = Algorithm(
    "mean-field",
    ("binary",),
    trainer=lambda spec, arena, device: partial(_run_trials, spec, arena, device),
    misfits=_misfits,
    stack=lambda spec: TORCH_STACK if spec.training.engine == "torch" else 1,
    together=lambda spec: thread_blocks.CONFIG.trials if spec.training.engine == "cuda" else 1,
    warm_up=lambda spec: warm_up() if spec.training.engine == "numba" else None,
)
