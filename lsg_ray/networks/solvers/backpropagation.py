"""Descent of networks of real weights, the twins of binary ones, by their gradient.

Weights start at N(0, initial_std²) and every trained network is a candidate.  The mathematics of a
step is in `lsg_ray.kernels.backpropagation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import read_only
from lsg_ray.networks.algorithm import Algorithm, Candidate
from lsg_ray.networks.binary_network import evaluate, loss_number
from lsg_ray.networks.family import RELU_ONLY, not_neutral
from lsg_ray.networks.layout import Arena, Layout, chunk_examples
from lsg_ray.networks.solvers.mean_field import initial_fields
from lsg_ray.networks.trial import Loss, Purpose, Trained, check_examples, trial_seed
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import NetworkSpec, Spec, TrainingSpec
from lsg_ray.typing import Singles


def train(
    network: NetworkSpec,
    training: TrainingSpec,
    x: Singles,
    y: NDArray[np.integer],
    seeds: Sequence[np.random.SeedSequence],
    *,
    loss: Loss = "cross_entropy",
    times: Sequence[int] = (),
) -> Trained:
    """Train independent networks, one per seed, from their own random weights.

    Parameters
    ----------
    network, training
        Architecture and training protocol.
    x, y
        Training set: x (P, inputs) float32, y (P,): classes from 0, or ±1 for the hinge loss.
    seeds
        Seed of each network, such as ``seed_sequence(seed, Stream.TRIAL, configuration, trial)``.
    loss
        ``cross_entropy`` over the outputs, or ``hinge``, max(0, 1 − y z), for one output.
    times
        Steps, ascending, after which the weights are stored; 0 for the start.

    Returns
    -------
    Trained
        Weights and training curves.  A diverged network has weights that are not finite.

    Raises
    ------
    InputError
        Shapes or labels do not fit the network.

    Notes
    -----
    6 N flop per example and epoch.  Memory: 256 examples' activations.
    """
    from lsg_ray.kernels import backpropagation

    check_examples(network, x, y, loss)
    x, y = read_only(x, np.float32), read_only(y, np.int32)
    layout, steps = Layout(network.widths), np.array(times, np.int64)
    weights = layout.pad(initial_fields(network, training, seeds))
    history = np.zeros((len(seeds), training.epochs, 2))
    snapshots = np.zeros((len(seeds), len(times), weights.shape[1]), weights.dtype)
    for row, seed, curve, along in zip(weights, seeds, history, snapshots, strict=True):
        backpropagation.train(
            x=x, y=y, weights=row, widths=layout.widths, slope=network.leaky_slope,
            order_state=trial_seed(seed, Purpose.ORDER).generate_state(1, np.uint64),
            loss=loss_number(loss), batch_size=training.batch(len(x)), epochs=training.epochs,
            adam=training.optimizer == "adam", rate=training.learning_rate,
            decay_steps=training.decay_steps or 0, decay_factor=training.decay_factor,
            momentum=training.momentum, beta1=training.beta1, beta2=training.beta2,
            epsilon=training.epsilon, gamma=training.gamma, history=curve, times=steps,
            snapshots=along,
        )  # fmt: skip
    return Trained(
        weights[:, layout.positions],
        history[..., 0],
        history[..., 1],
        snapshots[..., layout.positions],
    )


def _run_trials(
    spec: Spec, arena: Arena, configurations: Sequence[int], trial: int
) -> list[Candidate]:
    """Train a network for each configuration; one that diverged is never accepted."""
    seeds = [seed_sequence(spec.ensemble.seed, Stream.TRIAL, c, trial) for c in configurations]
    trained = train(
        spec.network, spec.training, arena.x, arena.y, seeds,
        loss=spec.loss, times=spec.snapshot_steps,
    )  # fmt: skip
    examples = chunk_examples(arena.x, arena.y)
    candidates = []
    for weights, along in zip(trained.fields, trained.snapshots, strict=True):
        finite = bool(np.isfinite(weights).all())
        usable = weights if finite else np.zeros_like(weights)
        (accuracy,), _ = evaluate(spec.network, usable, arena.selection, spec.loss)
        (train_accuracy,), (train_loss,) = evaluate(spec.network, usable, examples, spec.loss)
        columns = {
            "epochs": spec.training.epochs,
            "train_accuracy": train_accuracy,
            "train_loss": train_loss,
        }
        candidates.append(
            Candidate(
                float(accuracy) if finite else np.nan,
                weights,
                columns,
                along if len(along) else None,
                float(train_loss) if finite else np.nan,
            )
        )
    return candidates


def warm_up() -> None:
    """Compile, or load from the cache on disk, the kernels of `train` and `evaluate`."""
    network = NetworkSpec(family="real", widths=(2, 2))
    x, y = np.ones((1, 2), np.float32), np.zeros(1, np.int32)
    train(network, TrainingSpec(epochs=1), x, y, [np.random.SeedSequence(0)])
    evaluate(network, np.ones((1, 4)), chunk_examples(x, y))


#: Fields that have one value with this algorithm.
FIXED_FIELDS = {"training.target_loss": None, "training.stack": None, "training.engine": "numba"}

ALGORITHM = Algorithm(
    "backpropagation",
    ("real",),
    trainer=lambda spec, arena, _: partial(_run_trials, spec, arena),
    misfits=lambda spec: not_neutral(spec, FIXED_FIELDS, RELU_ONLY),
    in_batches=True,
    warm_up=lambda _: warm_up(),
)
