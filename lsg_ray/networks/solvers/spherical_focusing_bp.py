"""Focusing belief propagation for weights on the sphere: messages are drawn to a dense region.

Of y replicas of a weight, tied to a common centre with stiffness γ and taken to be alike, one is
followed; the others act on it through the centre.  With its own precision A = λ + Σ A_p and field B
= Σ B_p they add

    γA₂/(γ + A₂),  γB₂/(γ + A₂)   with  A₂ = (y − 1) γA/(γ + A),  B₂ = (y − 1) γB/(γ + A),

and λ keeps |W|² = N.  γ rises geometrically; mean weights are the configuration.  After a first
solution is found messages go on to the end of the protocol, and the last solution is returned:
the region is the denser the larger γ; they end earlier where the mean square of the means passes
``most``: beyond, λ meets its bound.  Where the fixed point is unique, all trials on the same
patterns end in it, up to rounding: seeds then differ by their patterns alone.

Source: C. Baldassi, C. Borgs, J. T. Chayes, A. Ingrosso, C. Lucibello, L. Saglietti, R. Zecchina,
PNAS 113, E7655 (2016), arXiv:1605.06444, of ±1 weights; here of continuous ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.networks.families.committee import Stop
from lsg_ray.networks.relaxed_bp import Focus, RelaxedBP
from lsg_ray.networks.solvers.committee_trial import SPHERICAL, End, Trial, algorithm
from lsg_ray.networks.trial import Purpose
from lsg_ray.spec import Spec


class Options(BaseModel, extra="forbid", frozen=True):
    """Options of focusing belief propagation; ``training.epochs`` bounds the sweeps."""

    y: float = Field(10.0, gt=1, le=1e6, description="Number of replicas y.")
    gamma_start: float = Field(0.05, gt=0, description="First stiffness γ.")
    gamma_end: float = Field(10.0, gt=0, description="Last stiffness γ.")
    steps: int = Field(
        25, ge=2, le=10_000, description="Number of values of γ, in geometric progression."
    )
    sweeps: int = Field(12, ge=1, le=10_000, description="Number of sweeps at each γ.")
    damping: float = Field(0.6, ge=0, lt=1, description="Share of the old message in the new one.")
    most: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Mean square of the mean weights above which the solver stops.",
    )
    stop: Literal["first", "last"] = Field(
        "last", description="Whether to stop at the first solution, or to return the last along γ."
    )


def solve(trial: Trial, options: Options) -> End:
    """Follow the protocol; see the module.  Cost: 6 P N exponentials and roots a sweep."""
    schedule = np.geomspace(options.gamma_start, options.gamma_end, options.steps)
    gammas = np.repeat(schedule, options.sweeps)
    bp = RelaxedBP(trial.patterns, *trial.shape, trial.rng(Purpose.START))
    bp.control(focus=Focus(options.y, float(gammas[0])))
    solution, solved, sweep = bp.means, False, 0
    for sweep, gamma in enumerate(gammas[: trial.epochs], 1):
        trial.sweep(bp.means[None])
        bp.sweep(options.damping, focus=Focus(options.y, float(gamma)))
        means = bp.means
        if not np.isfinite(means).all():
            return End(solution, sweep, Stop.SOLVED if solved else Stop.DIVERGED)
        right = trial.errors(means[None])[0] == 0
        if right or not solved:
            solution, solved = means, right
        if np.mean(means**2) > options.most or (right and options.stop == "first"):
            break
    if solved:
        return End(solution, sweep, Stop.SOLVED)
    return End(solution, sweep, Stop.EPOCHS if sweep < len(gammas) else Stop.PROTOCOL)


def misfits(spec: Spec) -> Iterable[str]:
    """Yield a line for each field that does not fit."""
    options = Options(**spec.training.options)
    if options.gamma_end < options.gamma_start:
        yield (
            f"training.options: gamma_end {options.gamma_end:g} given; at least gamma_start "
            f"{options.gamma_start:g} is needed"
        )


ALGORITHM = algorithm("spherical-focusing-bp", SPHERICAL, Options, solve, misfits=misfits)
