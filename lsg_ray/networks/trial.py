"""Types of all training engines: losses, random streams of a trial, results."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.spec import NetworkSpec
from lsg_ray.typing import Array, Floats, Singles

Loss = Literal["cross_entropy", "hinge"]


class Purpose(IntEnum):
    """Last element of an address in the seed tree: purpose of the random numbers of a trial."""

    INITIAL = 0
    NOISE = 1
    ORDER = 2
    DRAW = 3
    START = 4
    PARENT = 5


class Trained(NamedTuple):
    """Result of training a batch of networks.

    fields (networks, N) float32, or the weights of real-valued networks; loss and accuracy
    (networks, epochs) float64, averaged over each epoch while training, with noise; snapshots
    (networks, S, N) float32, fields after the requested steps.
    """

    fields: Singles
    loss: Floats
    accuracy: Floats
    snapshots: Singles


def trial_seed(seed: np.random.SeedSequence, purpose: Purpose) -> np.random.SeedSequence:
    """Return the address below a trial's ``seed`` for one purpose."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, int(purpose)))


def trial_generator(seed: np.random.SeedSequence, purpose: Purpose) -> np.random.Generator:
    """Return a NumPy generator (PCG64) for one purpose of a trial."""
    return np.random.Generator(np.random.PCG64(trial_seed(seed, purpose)))


def check_examples(network: NetworkSpec, x: Array, y: Array, loss: Loss = "cross_entropy") -> None:
    """Raise `InputError` unless x (P, inputs) and y (P,) fit the network and the loss."""
    if x.ndim != 2 or x.shape[1] != network.widths[0] or len(x) != len(y) or len(x) == 0:
        raise InputError(
            f"examples x {x.shape}, y {y.shape} given; "
            f"widths {list(network.widths)} need x (P, {network.widths[0]}) and y (P,), P > 0"
        )
    if loss == "hinge":
        good = network.widths[-1] == 1 and bool(np.isin(y, (-1, 1)).all())
        need = "one output and labels ±1"
    else:
        good = y.min() >= 0 and y.max() < network.widths[-1]
        need = f"labels from 0 to {network.widths[-1] - 1}"
    if not good:
        raise InputError(f"labels from {y.min()} to {y.max()} given; {loss} here needs {need}")
