"""Focusing belief propagation for weights on the sphere: messages are drawn to a dense region.

Of y replicas of a weight, tied to a common centre with stiffness γ and taken to be alike, one is
followed; the others act on it through the centre.  With its own precision A = λ + Σ A_p and field B
= Σ B_p they add

    γA₂/(γ + A₂),  γB₂/(γ + A₂)   with  A₂ = (y − 1) γA/(γ + A),  B₂ = (y − 1) γB/(γ + A),

and λ keeps |W|² = N.  γ rises geometrically; mean weights are the configuration.  After a first
solution is found messages go on to the end of the protocol, and the last solution is kept, since
the region is the denser the larger γ; they end earlier where the mean square of the means passes
``most``: beyond, λ meets its bound.  Where the fixed point is unique, all trials on the same
patterns end in it, up to rounding: seeds then differ by their patterns alone.

Source: C. Baldassi, C. Borgs, J. T. Chayes, A. Ingrosso, C. Lucibello, L. Saglietti, R. Zecchina,
PNAS 113, E7655 (2016), arXiv:1605.06444, of ±1 weights; here of continuous ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.networks.algorithm import Algorithm, Candidate, Run
from lsg_ray.networks.families.committee import Arena, committee_of
from lsg_ray.networks.relaxed_bp import Focus, RelaxedBP
from lsg_ray.networks.trial import Purpose, trial_generator
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import Spec
from lsg_ray.typing import Floats


class Options(BaseModel, extra="forbid", frozen=True):
    """Options of focusing belief propagation; ``training.epochs`` bounds the sweeps."""

    y: float = Field(10.0, gt=1, le=1e6, description="Replicas y.")
    gamma_start: float = Field(0.05, gt=0, description="First stiffness γ.")
    gamma_end: float = Field(10.0, gt=0, description="Last stiffness γ.")
    steps: int = Field(25, ge=2, le=10_000, description="Values of γ, in geometric progression.")
    sweeps: int = Field(12, ge=1, le=10_000, description="Sweeps at each γ.")
    damping: float = Field(0.6, ge=0, lt=1, description="Share of old messages in new ones.")
    most: float = Field(
        0.95, gt=0, le=1, description="Mean square of mean weights beyond which it ends."
    )
    stop: Literal["first", "last"] = Field(
        "last", description="End at the first solution, or follow γ to the end and keep the last."
    )


def misfits(spec: Spec) -> Iterable[str]:
    """Yield a line for each field that does not fit."""
    options = Options(**spec.training.options)
    if options.gamma_end < options.gamma_start:
        yield (
            f"training.options: gamma_end {options.gamma_end:g} given; at least gamma_start "
            f"{options.gamma_start:g} is needed"
        )


def trainer(spec: Spec, arena: Arena, device: str | None) -> Run:
    """Return what runs trials."""
    del device
    family, options = committee_of(spec), Options(**spec.training.options)
    ((units, n),) = spec.network.shapes
    schedule = np.geomspace(options.gamma_start, options.gamma_end, options.steps)
    gammas = np.repeat(schedule, options.sweeps)[: spec.training.epochs]

    def wrong(means: Floats) -> int:
        return int(family.errors(spec.network, family.stored(means)[None], arena.train)[0])

    def one(configuration: int, trial: int) -> Candidate:
        seed = seed_sequence(spec.ensemble.seed, Stream.TRIAL, configuration, trial)
        bp = RelaxedBP(arena.train, units, n, trial_generator(seed, Purpose.START))
        bp.control(focus=Focus(options.y, float(gammas[0])))
        times, snapshots = spec.snapshot_steps, []
        kept, found = bp.means, False
        sweep = 0
        for sweep, gamma in enumerate(gammas, 1):
            if sweep - 1 in times:
                snapshots.append(family.stored(bp.means))
            bp.sweep(options.damping, focus=Focus(options.y, float(gamma)))
            means = bp.means
            if not np.isfinite(means).all():
                break
            solved = wrong(means) == 0
            if solved or not found:
                kept, found = means, solved
            if (solved and options.stop == "first") or np.mean(means**2) > options.most:
                break
        accuracy, weights, columns = family.outcome(spec, arena, kept, sweep)
        # What comes after the end is as at the end.
        snapshots += [weights] * (len(times) - len(snapshots))
        return Candidate(accuracy, weights, columns, np.array(snapshots) if times else None)

    def run(configurations: Sequence[int], trial: int) -> list[Candidate]:
        return [one(configuration, trial) for configuration in configurations]

    return run


ALGORITHM = Algorithm(
    "spherical-focusing-bp", ("spherical-perceptron", "spherical-committee"), trainer,
    config=Options, misfits=misfits,
)  # fmt: skip
