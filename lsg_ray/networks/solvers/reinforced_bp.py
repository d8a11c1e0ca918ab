"""Reinforced belief propagation: the fields of a sweep stay, in part, as external fields.

    H_t = Σ_p u_p + r_t H_{t−1},   r_t = 1 − (1 − ρ)^t,

so that weights decide little by little, those with the strongest fields first, until their signs
solve the patterns.  At random: H_{t−1} is added whole with probability r_t, weight by weight.
ρ = 0 is plain belief propagation, read without decimation.

Source: A. Braunstein, R. Zecchina, Phys. Rev. Lett. 96, 030201 (2006).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from lsg_ray.networks.factor_graph import FactorGraph
from lsg_ray.networks.solvers.committee_trial import BINARY
from lsg_ray.networks.solvers.sweeps import Messages, algorithm, check_memory
from lsg_ray.typing import Floats, Signs


class Options(Messages):
    """Options of reinforced belief propagation; ``training.epochs`` bounds its sweeps."""

    rate: float = Field(
        0.002, ge=0, lt=1, description="Rate ρ of reinforcement; 0 is plain belief propagation."
    )
    random: bool = Field(
        False, description="Whether fields are reinforced in full at random, instead of in part."
    )
    damping: float = Field(0.3, ge=0, lt=1, description="Share of the old message in the new one.")


def reinforced(
    x: Signs, units: int, options: Options, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield total fields (K, n), first those of random messages, then after each sweep.

    x (P, K or 1, n), labels absorbed.  Cost of a sweep: that of plain belief propagation.
    """
    graph = FactorGraph(x, units)
    graph.start(rng, options.start)
    bias = options.noise * rng.standard_normal(graph.shape)
    total, stays = graph.fields + bias, 1.0
    yield total
    while True:
        stays *= 1 - options.rate
        share: float | Floats = 1 - stays
        if options.random:
            share = (rng.random(graph.shape) < share).astype(np.float64)
        graph.sweep(total, options.damping)
        total = graph.fields + bias + share * total
        yield total


ALGORITHM = algorithm("reinforced-bp", BINARY, Options, reinforced, check_memory)
