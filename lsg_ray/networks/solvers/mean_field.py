"""Training in mean field of networks of binary weights (liquid-like paper, App. A and D).

Each weight is +1 with probability sigmoid(θ); the fields θ are trained, then configurations are
drawn and used with their signs and no noise; the best of a trial is its candidate.  The mathematics
of a step stands in `lsg_ray.kernels.meanfield`.

Two engines train, behind the one function `train`:

- ``numba``: one network at a time, float32; the result of a network depends on its
  own seed only.
- ``torch``: networks stacked in batched products, on CPU or CUDA
  (`lsg_ray.networks.solvers.stacked`); noise is shared out by stack, so a result depends on the
  stack too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import read_only
from lsg_ray.networks.algorithm import Algorithm, Candidate
from lsg_ray.networks.binary_network import evaluate, loss_number
from lsg_ray.networks.family import OF_RELU, not_neutral
from lsg_ray.networks.layout import Layout, chunk_examples
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

if TYPE_CHECKING:
    from lsg_ray.networks.families.binary import Arena

#: Networks that the torch engine trains together, configurations 0 to 63, 64 to 127, ...: fixed,
#: since they share their noise.
STACK = 64


class Frozen(NamedTuple):
    """Parts held at random ±1 while the rest is trained: θ = ±field (liquid core, LL Sec. IV)."""

    parts: tuple[str, ...] = ()
    field: float = 10.0

    def weights(self, network: NetworkSpec) -> Flags:
        """Return which weights are held, (N,)."""
        held = np.zeros(network.n_weights, bool)
        for part in self.parts:
            held[network.parts[part]] = True
        return held


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
        Architecture and protocol; ``training.engine`` chooses the engine.
    x, y
        Training set: x (P, inputs) float32, y (P,): classes from 0, or ±1 for the hinge loss.
    seeds
        One per network, for example ``seed_sequence(seed, Stream.TRIAL, configuration, trial)``.
    loss
        ``cross_entropy`` over the outputs, or ``hinge``, max(0, 1 − y z), for one output.
    frozen
        Parts that keep their random signs.
    times
        Steps, ascending, after which the fields are kept; 0 for the start.
    device
        Of the torch engine: ``cpu``, ``cuda``, ...; by default CUDA where there is one.

    Returns
    -------
    Trained
        Fields and training curves.  A diverged network has fields that are not finite.

    Raises
    ------
    InputError
        Shapes or labels do not fit the network.

    Notes
    -----
    About 7 N flop per example and epoch: 20-15-15-10 on 60,000 digits is 0.41 GFLOP an epoch.
    Memory: a mini-batch of activations, below 1 MB at these widths.
    """
    check_examples(network, x, y, loss)
    fields = initial_fields(network, training, seeds, frozen)
    weights = frozen.weights(network)
    held = tuple(bool(weights[layer].all()) for layer in network.layer_slices)
    if training.engine == "torch":
        from lsg_ray.networks.solvers.stacked import train_stack

        noise_seed = trial_seed(seeds[0], Purpose.NOISE)
        return train_stack(network, training, x, y, fields, noise_seed, loss, held, times, device)
    x, y = read_only(x, np.float32), read_only(y, np.int32)
    held_layers, steps = np.array(held), np.array(times, np.int64)
    results = [
        _train_one(network, training, x, y, start, seed, loss, held_layers, steps)
        for start, seed in zip(fields, seeds, strict=True)
    ]
    last, curves, kept = (np.array(column) for column in zip(*results, strict=True))
    return Trained(last, curves[..., 0], curves[..., 1], kept)


def _train_one(
    network: NetworkSpec, training: TrainingSpec, x: Singles, y: NDArray[np.integer],
    fields: Singles, seed: np.random.SeedSequence, loss: Loss, held: Flags, times: Ints,
) -> tuple[Singles, Floats, Singles]:  # fmt: skip
    """Return the fields (N,) of one network, its history (epochs, 2) and its snapshots (S, N)."""
    from lsg_ray.kernels import meanfield
    from lsg_ray.kernels.elementary import STATE_SHAPE

    layout = Layout(network.widths)
    theta = layout.pad(fields)
    bits = trial_seed(seed, Purpose.NOISE).generate_state(int(np.prod(STATE_SHAPE)), np.uint32)
    order = trial_seed(seed, Purpose.ORDER).generate_state(1, np.uint64)
    history = np.zeros((training.epochs, 2))
    kept = np.zeros((len(times), theta.size), theta.dtype)
    meanfield.train(
        x=x, y=y, theta=theta, bits_state=bits.reshape(STATE_SHAPE), order_state=order,
        widths=layout.widths, frozen=held, slope=network.leaky_slope, loss=loss_number(loss),
        batch_size=training.batch(len(x)), epochs=training.epochs,
        adam=training.optimizer == "adam", rate=training.learning_rate,
        decay_steps=training.decay_steps or 0, decay_factor=training.decay_factor,
        momentum=training.momentum, beta1=training.beta1, beta2=training.beta2,
        epsilon=training.epsilon, gamma=training.gamma, history=history, times=times,
        snapshots=kept,
    )  # fmt: skip
    return theta[layout.positions], history, kept[:, layout.positions]


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
        θ (N,).
    draws
        How many.
    seed
        The trial's seed, as given to `train`.
    fixed
        Weights (N,) that take the sign of their field instead (frozen parts).
    purpose
        Which stream of the trial: that of its configurations, or of random starts.

    Returns
    -------
    numpy.ndarray
        (draws, N) int8, ±1.
    """
    return _signs(fields, _levels(seed, draws, fields.size, purpose), fixed)


def _levels(
    seed: np.random.SeedSequence, draws: int, n_weights: int, purpose: Purpose = Purpose.DRAW
) -> Singles:
    """Draw what probabilities are compared with, (draws, N) uniform in [0, 1)."""
    return trial_generator(seed, purpose).random((draws, n_weights), dtype=np.float32)


def _signs(fields: NDArray[np.floating], levels: Singles, fixed: Flags | None) -> Signs:
    """Return +1 where the level is below sigmoid(θ), else −1."""
    with np.errstate(over="ignore"):
        plus = 1.0 / (1.0 + np.exp(-fields.astype(np.float32)))
    if fixed is not None:
        plus = np.where(fixed, fields > 0, plus)
    return np.where(levels < plus, np.int8(1), np.int8(-1))


def warm_up() -> None:
    """Compile, or load from the cache on disk, all that `train` and `evaluate` need."""
    network = NetworkSpec(widths=(2, 2))
    x, y = np.ones((1, 2), np.float32), np.zeros(1, np.int32)
    train(network, TrainingSpec(epochs=1), x, y, [np.random.SeedSequence(0)])
    evaluate(network, np.ones((1, 4)), chunk_examples(x, y))


def _run_trials(
    spec: Spec, arena: Arena, device: str | None, configurations: Sequence[int], trial: int
) -> list[Candidate]:
    """Run trial number ``trial`` of some configurations and return the best draw of each.

    A network that diverged (fields not finite) has accuracy NaN and is never accepted.
    """
    ensemble, network = spec.ensemble, spec.network
    seeds = [seed_sequence(ensemble.seed, Stream.TRIAL, c, trial) for c in configurations]
    frozen = Frozen(ensemble.frozen_parts, ensemble.frozen_field)
    trained = train(
        network, spec.training, arena.x, arena.y, seeds,
        loss=spec.loss, frozen=frozen, times=spec.snapshot_steps, device=device,
    )  # fmt: skip
    fixed = frozen.weights(network)
    candidates = []
    for fields, along, seed in zip(trained.fields, trained.snapshots, seeds, strict=True):
        finite = bool(np.isfinite(fields).all())
        usable = fields if finite else np.zeros_like(fields)
        levels = _levels(seed, ensemble.draws, fields.size)
        drawn = _signs(usable, levels, fixed)
        accuracy, _ = evaluate(network, drawn, arena.selection, spec.loss)
        best = int(np.argmax(accuracy))
        polarization = np.abs(np.tanh(fields / 2)).mean(dtype=np.float64)
        columns = {"epochs": spec.training.epochs, "polarization": polarization}
        if ensemble.store_fields:
            columns["fields"] = fields
        # Snapshots are drawn by the same numbers as the candidate, so that a weight changes its
        # sign only where its field does enough to; the last, at the end, is the candidate itself.
        snapshots = _signs(along, levels[best], fixed) if len(along) else None
        reached = float(accuracy[best]) if finite else np.nan
        candidates.append(Candidate(reached, drawn[best], columns, snapshots))
    return candidates


#: Fields that are of other families, without a value here.
OTHERS = {"training.target_loss": None, "training.stack": None}

ALGORITHM = Algorithm(
    "mean-field", ("binary",),
    trainer=lambda spec, arena, device: partial(_run_trials, spec, arena, device),
    misfits=lambda spec: not_neutral(spec, OTHERS, OF_RELU),
    stack=lambda spec: STACK if spec.training.engine == "torch" else 1,
    warm_up=lambda spec: warm_up() if spec.training.engine == "numba" else None,
)  # fmt: skip
