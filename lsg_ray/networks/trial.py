"""What all engines share: the names of losses, the random streams of one trial, the result."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np

from lsg_ray.typing import Floats, Singles

Loss = Literal["cross_entropy", "hinge"]


class Purpose(IntEnum):
    """Last element of an address in the seed tree: what a trial's random numbers are for."""

    INITIAL = 0
    NOISE = 1
    ORDER = 2
    DRAW = 3
    START = 4


class Trained(NamedTuple):
    """Result of training a batch of networks.

    fields (networks, N) float32, or the weights of real-valued networks; loss and accuracy
    (networks, epochs) float64, averaged over each epoch while training, with noise.
    """

    fields: Singles
    loss: Floats
    accuracy: Floats


def trial_seed(seed: np.random.SeedSequence, purpose: Purpose) -> np.random.SeedSequence:
    """Return the address below a trial's ``seed`` for one purpose."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, int(purpose)))


def trial_generator(seed: np.random.SeedSequence, purpose: Purpose) -> np.random.Generator:
    """Return a NumPy generator (PCG64) for one purpose of a trial."""
    return np.random.Generator(np.random.PCG64(trial_seed(seed, purpose)))
