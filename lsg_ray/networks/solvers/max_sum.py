"""Reinforced max-sum for perceptrons of ±1 weights: belief propagation at zero temperature.

    Ψ_i(t) = Σ_a u_ai + r_t Ψ_i(t − 1),   r_t = 1 − (1 − ρ)^t,

with u_ai a quantile of the cavity fields of pattern a (`lsg_ray.kernels.max_sum`), from Ψ(0) ~
N(0, 1), without which all would tie.  There is no energy scale but that: all fields are
proportional to it, W = sign Ψ does not depend on it, and where they grow or shrink too far they are
scaled.  Noise that stays would come to rule them: with it, loads of 0.6 fail that are solved so.

Source: C. Baldassi, A. Braunstein, J. Stat. Mech. (2015) P08008, arXiv:1505.05401.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.networks.solvers.sweeps import algorithm, check_memory
from lsg_ray.typing import Floats, Signs

#: Fields from 1/this to this stay as they are.
_FAR = 1e50


class Options(BaseModel, extra="forbid", frozen=True):
    """Options of reinforced max-sum; ``training.epochs`` bounds its sweeps."""

    rate: float = Field(0.003, ge=0, lt=1, description="Rate ρ of reinforcement.")
    damping: float = Field(0.0, ge=0, lt=1, description="Share of the old message in the new one.")


def max_sum(x: Signs, options: Options, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield total fields (1, n), those at random first, then after each sweep.

    x (P, 1, n) with n odd, labels absorbed.  Cost of a sweep: O(P n), two selections a pattern;
    memory 8 P n bytes.
    """
    from lsg_ray.kernels.max_sum import sweep

    n = x.shape[-1]
    u = np.zeros((len(x), n))
    total = rng.standard_normal((n,))
    stays = 1.0
    scratch = tuple(np.empty(n) for _ in range(4))
    yield total[None]
    while True:
        stays *= 1 - options.rate
        sweep(x[:, 0], u, total, options.damping, *scratch)
        total = scratch[-1] + (1 - stays) * total
        size = np.abs(total).max()
        if not 1 / _FAR < size < _FAR and size > 0:
            by = 2.0 ** -np.floor(np.log2(size))  # without rounding
            total *= by
            u *= by
        yield total[None]


ALGORITHM = algorithm(
    "max-sum",
    ("perceptron",),
    Options,
    lambda x, _, options, rng: max_sum(x, options, rng),
    check_memory,
)
