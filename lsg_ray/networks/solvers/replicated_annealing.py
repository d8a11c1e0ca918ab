"""Replicated simulated annealing of ±1 weights, on the robust ensemble.

y replicas around a centre of ±1 weights that is traced out have the energy

    β E = β Σ_a L_NE(W^a) − Σ_i ln 2cosh(γ Σ_a W_i^a);

β and γ rise linearly from sweep to sweep.  The attraction of the replicas weighs configurations by
how many solutions lie around them, so that the annealing is led past the isolated solutions among
which a single one is trapped.  An epoch is a sweep: y N tried flips, by Metropolis, or by the
sampler with a reduced rejection rate, which proposes flips by the rates of the coupling and spends
none on those that it would refuse.  It ends at the first replica, or majority of the replicas,
without an error, else with ``training.epochs``, where the result is that of the
fewest errors.

Source: C. Baldassi et al., PNAS 113, E7655 (2016), arXiv:1605.06444; sampler: C. Baldassi, J. Stat.
Mech. (2017) 033301, arXiv:1608.05899.  The defaults are of this package.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from lsg_ray.networks.robust_ensemble import Sampler
from lsg_ray.networks.solvers import annealing
from lsg_ray.networks.solvers.committee_trial import (
    BINARY,
    BINARY_PARITY,
    End,
    Trial,
    algorithm,
    epochs_only,
    odd_replicas,
)
from lsg_ray.spec import Spec


class Options(annealing.Options):
    """Options of replicated simulated annealing."""

    replicas: int = Field(7, ge=2, le=1001, description="Number of replicas y, odd.")
    coupling: float = Field(0.0, ge=0, description="Coupling γ of the first sweep.")
    last_coupling: float = Field(1.0, ge=0, description="Coupling γ of the last sweep.")
    sampler: Sampler = Field(
        "metropolis",
        description="Kind of sampler: Metropolis, or flips proposed at the rates of the coupling.",
    )


def solve(trial: Trial, options: Options) -> End:
    """Anneal until a replica or their majority has no error, or the sweeps are used up."""
    betas = np.linspace(options.beta, options.last_beta, trial.epochs)
    couplings = np.linspace(options.coupling, options.last_coupling, trial.epochs)
    return annealing.anneal(trial, options.replicas, betas, couplings, options.sampler)


def misfits(spec: Spec) -> Iterator[str]:
    """Yield what does not fit: majorities that tie, snapshots within a sweep."""
    yield from epochs_only(spec)
    yield from odd_replicas(spec)


ALGORITHM = algorithm(
    "replicated-annealing",
    (*BINARY, BINARY_PARITY),
    Options,
    solve,
    misfits=misfits,
    warm_up=annealing.warm_up,
)
