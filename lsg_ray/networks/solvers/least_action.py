"""Least-action learning (LAL): the unit that is nearest to turning the output is moved.

For each pattern of a mini-batch that is wrong, at the weights before the batch,

    l* = argmin_{l ∈ A} |h_l|,   W_{l*} ← W_{l*} − η τ_{l*} ξ_{l*},

until no pattern is wrong.  To turn a unit of A mends the output, or brings it nearer: of a
committee A is the units with τ_l ≠ s, of a parity machine all of them.  The rule has no scale of
its own: η counts relative to |W|, which is √n at the start.  The batches of an epoch are a new
permutation of the patterns.

Source: G. J. Mitchison, R. M. Durbin, Biol. Cybern. 60, 345 (1989); as a baseline of wide flat
minima: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.networks.families.committee import Patterns, Stop, fields
from lsg_ray.networks.solvers.committee_trial import (
    SPHERICAL,
    SPHERICAL_PARITY,
    End,
    Trial,
    algorithm,
)
from lsg_ray.typing import Array, Floats


class Options(BaseModel, extra="forbid", frozen=True):
    """Options of least-action learning; epochs and the batch are those of ``training``."""

    step: float = Field(0.2, gt=0, description="Step size η, for weights of norm √n per unit.")


def least_action(
    w: Floats, patterns: Patterns, rows: Array, step: float, *, product: bool = False
) -> int:
    """Update w (K, n) in place for a mini-batch; return how many of its patterns were wrong.

    ``product``: whether the output is the product of the units, and not their majority.
    """
    x, s = patterns.x[rows].astype(np.float64), patterns.s[rows]
    h = fields(w[None], x)[0]
    tau = np.where(h >= 0, 1, -1)
    output = tau.prod(axis=1) if product else tau.sum(axis=1)
    wrong = np.flatnonzero(output * s <= 0)
    if len(wrong):
        turnable = np.ones_like(h, np.bool_) if product else tau != s[:, None]
        unit = np.where(turnable, np.abs(h), np.inf)[wrong].argmin(axis=1)
        inputs = x[wrong, unit if x.shape[1] > 1 else 0]
        np.add.at(w, unit, -step * tau[wrong, unit][:, None] * inputs)
    return len(wrong)


def solve(trial: Trial, options: Options) -> End:
    """Train until no pattern is wrong, or the epochs are used up.

    Cost: 2 N P flop an epoch.
    """
    w = trial.starts()
    for epoch in range(trial.epochs):
        wrong = 0
        for (rows,) in trial.batches():
            trial.step(w)
            wrong += least_action(
                w[0], trial.patterns, rows, options.step, product=trial.family.product
            )
        if wrong == 0:
            return End(w[0], epoch + 1, Stop.SOLVED)
    return End(w[0], trial.epochs, Stop.EPOCHS)


ALGORITHM = algorithm("least-action", (*SPHERICAL, SPHERICAL_PARITY), Options, solve)
