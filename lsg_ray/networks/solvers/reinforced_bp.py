"""Reinforced belief propagation: the fields of a sweep stay, in part, as external fields.

    H_t = Σ_p u_p + r_t H_{t−1},   r_t = 1 − (1 − ρ)^t,

so that weights decide little by little, those with the strongest fields first, until their signs
solve the patterns.  At random: H_{t−1} is added whole with probability r_t, weight by weight.
ρ = 0 is plain belief propagation, read without decimation.

Source: A. Braunstein, R. Zecchina, Phys. Rev. Lett. 96, 030201 (2006).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.networks.algorithm import Algorithm, Run
from lsg_ray.networks.factor_graph import FactorGraph, warm_up
from lsg_ray.networks.families.committee import Arena
from lsg_ray.networks.solvers.sweeps import check_memory, misfits, trainer_of
from lsg_ray.spec import Spec
from lsg_ray.typing import Floats, Signs


class Options(BaseModel, extra="forbid", frozen=True):
    """Options of reinforced belief propagation; ``training.epochs`` bounds its sweeps."""

    rate: float = Field(
        0.002, ge=0, lt=1, description="Rate ρ of reinforcement; 0 is plain belief propagation."
    )
    random: bool = Field(
        False, description="Whether fields are reinforced in full at random, instead of in part."
    )
    damping: float = Field(0.3, ge=0, lt=1, description="Share of the old message in the new one.")
    start: float = Field(0.01, gt=0, description="Standard deviation of the first messages.")
    noise: float = Field(
        0.1, ge=0,
        description="Standard deviation of random fields on the weights; at 0 most trials end "
        "in the same solution.",
    )  # fmt: skip


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


def trainer(spec: Spec, arena: Arena, device: str | None) -> Run:
    """Return what runs trials."""
    del device
    options = Options(**spec.training.options)
    return trainer_of(spec, arena, lambda x, units: partial(reinforced, x, units, options))


ALGORITHM = Algorithm(
    "reinforced-bp", ("perceptron", "committee"), trainer, config=Options, misfits=misfits,
    check=check_memory, warm_up=lambda _: warm_up(),
)  # fmt: skip
