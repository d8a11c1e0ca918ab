"""The seed tree: every random number of a run has an address.

A stream is addressed by ``(seed, stage, index, ...)`` through `numpy.random.SeedSequence`, so a
result depends on what is computed and never on who computes it, in which order, or how often it
was retried.

Stages are fixed numbers: changing one changes every ensemble ever sampled.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """First element of a spawn key: which part of a run draws from the stream."""

    SUBSET = 0  # which training examples a scenario keeps
    TRIAL = 1  # (configuration, trial): initial fields, batches, noise, drawn configurations
    MAP = 2  # random starts and points of the t-SNE map
    PAIRS = 3  # configurations or pairs of them for distributions of overlaps and distances
    TRIPLES = 4  # triples of weights for third moments
    PERMUTE = 5  # random node permutations
    SYNTHETIC = 6  # synthetic ensembles
    MONTE_CARLO = 7  # spins of Ising models
    CAVITY = 8  # messages that belief propagation starts from
    TAP = 9  # magnetizations that the TAP equations start from
    RSB = 10  # nulls and triples of overlaps, samples of the test for modes
    GLASS = 11  # couplings of spin glasses, and where descents on them start
    LANDSCAPE = 12  # examples, walks, swaps and directions in the loss landscape
    DATA = 13  # generated data sets, splits, shuffles and noise of labels
    WEIGHTS = 14  # weights that are chosen at random


def seed_sequence(seed: int, stage: Stream, *index: int) -> np.random.SeedSequence:
    """Return the seed at address ``(seed, stage, *index)``.

    Parameters
    ----------
    seed
        Seed of the run, a non-negative integer.
    stage
        Which part of the run draws.
    index
        Position inside the stage, for example configuration and trial.

    Examples
    --------
    >>> seed_sequence(7, Stream.TRIAL, 12, 0).generate_state(1)
    array([83216884], dtype=uint32)
    """
    return np.random.SeedSequence(seed, spawn_key=(int(stage), *index))


def generator(seed: int, stage: Stream, *index: int) -> np.random.Generator:
    """Return a NumPy generator (PCG64) for the stream at ``(seed, stage, *index)``."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, stage, *index)))
