"""Initial weights of networks of real weights, by the variance of each or Glorot's range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lsg_ray.networks.relu_network import glorot_uniform
from lsg_ray.networks.trial import Purpose, trial_generator
from lsg_ray.registry import ALGORITHMS, FAMILIES
from lsg_ray.spec import NetworkSpec, TrainingSpec
from lsg_ray.typing import Array


def initial_weights(
    network: NetworkSpec, training: TrainingSpec, seeds: Sequence[np.random.SeedSequence]
) -> Array:
    """Draw weights by `training.options`: N(0, C/in) where they have a variance C, else Glorot's.

    Returns
    -------
    (networks, N) float32.
    """
    algorithm = ALGORITHMS[training.algorithm or FAMILIES[network.family].algorithm]
    options = algorithm.config and algorithm.config.model_validate(training.options)
    variance: float | None = getattr(options, "initial_variance", None)
    if variance is None:
        return glorot_uniform(network, seeds)
    return normal_weights(network, seeds, variance)


def normal_weights(
    network: NetworkSpec, seeds: Sequence[np.random.SeedSequence], variance: float
) -> Array:
    """Draw weights from N(0, C/in), C = ``variance``, biases zero: (networks, N) float32.

    C = 2 is K. He et al., ICCV 2015, for ReLU units; C = 1 keeps fields of ±1 units at variance 1.
    """
    weights = np.zeros((len(seeds), network.n_weights), np.float32)
    for row, seed in zip(weights, seeds, strict=True):
        rng = trial_generator(seed, Purpose.INITIAL)
        for (out, columns), where in zip(network.shapes, network.layer_slices, strict=True):
            inputs = columns - network.biases
            drawn = np.sqrt(variance / inputs) * rng.standard_normal((out, inputs))
            row[where].reshape(out, columns)[:, :inputs] = drawn
    return weights
