"""Entropic least-action learning (eLAL): replicas of least-action learning that attract each other.

y replicas start at random and learn by least action, each from mini-batches of its own order.
After each mini-batch all move towards their mean W̄,

    W^a ← W^a + γ (W̄ − W^a),

and γ grows by δγ an epoch, from γ₀.  The result is W̄, once the replicas have collapsed onto it and
it makes no error.  Without the coupling each replica stops at the first solution that it meets;
with it, they can only stop where solutions lie close together.

Source: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.  The rule in
detail, and the defaults, are of this package.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from lsg_ray.networks.families.committee import Stop
from lsg_ray.networks.solvers.committee_trial import SPHERICAL, End, Trial, algorithm, spread
from lsg_ray.networks.solvers.least_action import least_action


class Options(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Options of entropic least-action learning."""

    step: float = Field(0.2, gt=0, description="Step size η, for weights of norm √n per unit.")
    replicas: int = Field(7, ge=2, le=1000, description="Number of replicas y.")
    coupling: float = Field(0.0, ge=0, le=1, description="Coupling γ₀ of the first epoch.")
    coupling_step: float = Field(1e-3, gt=0, le=1, description="Growth of γ per epoch.")
    collapsed: float = Field(
        1e-4,
        gt=0,
        lt=1,
        description="Mean square distance from the mean, relative to its square, "
        "at which replicas have collapsed.",
    )


def solve(trial: Trial, options: Options) -> End:
    """Train until the replicas are one solution, or the epochs are used up.

    Cost: 2 y N P flop an epoch.
    """
    w = trial.starts(options.replicas)
    for epoch in range(trial.epochs):
        coupling = min(1.0, options.coupling + epoch * options.coupling_step)
        for rows in trial.batches(options.replicas):
            trial.step(w)
            for replica, own in zip(w, rows, strict=True):
                least_action(replica, trial.patterns, own, options.step)
            w += coupling * (w.mean(axis=0) - w)
        if spread(w) < options.collapsed:
            centre = w.mean(axis=0)
            if trial.errors(centre[None])[0] == 0:
                return End(centre, epoch + 1, Stop.SOLVED)
    return End(w.mean(axis=0), trial.epochs, Stop.EPOCHS)


ALGORITHM = algorithm("entropic-least-action", SPHERICAL, Options, solve)
