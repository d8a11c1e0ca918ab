"""Simulated annealing of ±1 weights on the number of errors.

Metropolis sweeps at inverse temperatures β that rise linearly from sweep to sweep, from the first
to the last value; an epoch is a sweep, N tried flips, each accepted with min(1, e^{−β ΔL_NE}).  It
ends at the first configuration without an error, else with ``training.epochs``, where the result is
the last configuration.  On the perceptron it fails for large N at any α, in exponential times: it
falls into isolated, not dense, solutions; see `replicated-annealing`.

Source: S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, Science 220, 671 (1983); as a baseline: C.
Baldassi et al., PNAS 113, E7655 (2016), arXiv:1605.06444.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.networks.families.committee import Patterns, Stop
from lsg_ray.networks.robust_ensemble import RobustEnsemble, Sampler
from lsg_ray.networks.solvers.committee_trial import (
    BINARY,
    BINARY_PARITY,
    End,
    Trial,
    algorithm,
    epochs_only,
)
from lsg_ray.networks.trial import Purpose
from lsg_ray.spec import Spec
from lsg_ray.typing import Floats


class Options(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Options of simulated annealing."""

    beta: float = Field(0.5, ge=0, description="Inverse temperature β of the first sweep.")
    last_beta: float = Field(5.0, ge=0, description="Inverse temperature β of the last sweep.")


def anneal(trial: Trial, replicas: int, betas: Floats, couplings: Floats, sampler: Sampler) -> End:
    """Sweep through temperatures and couplings until a replica, or the majority, is a solution.

    Parameters
    ----------
    trial
        The trial.
    replicas
        How many, y.
    betas, couplings
        β and γ of each sweep.
    sampler
        As of `RobustEnsemble.sweep`.

    Notes
    -----
    O(y N P) a sweep, and O(N P) for the errors of the majority.
    """
    machine = RobustEnsemble(trial.patterns, trial.starts(replicas), product=trial.family.product)
    rng = trial.rng(Purpose.NOISE)
    for sweep, (beta, coupling) in enumerate(zip(betas, couplings, strict=True)):
        trial.sweep(machine.weights)
        machine.sweep(rng, beta, coupling, sampler=sampler, stop=True)
        if machine.errors.min() == 0 or trial.errors(machine.centre)[0] == 0:
            return End(_best(trial, machine), sweep + 1, Stop.SOLVED)
    return End(_best(trial, machine), trial.epochs, Stop.EPOCHS)


def _best(trial: Trial, machine: RobustEnsemble) -> Floats:
    """Return the replica, or the majority of them, with the fewest errors."""
    candidates = np.concatenate([machine.weights, machine.centre])
    best: Floats = candidates[trial.errors(candidates).argmin()].astype(np.float64)
    return best


def solve(trial: Trial, options: Options) -> End:
    """Anneal until there is no error, or the sweeps are used up."""
    betas = np.linspace(options.beta, options.last_beta, trial.epochs)
    return anneal(trial, 1, betas, np.zeros(trial.epochs), "metropolis")


def warm_up(_: Spec) -> None:
    """Compile, or load from the cache on disk, what sweeps need."""
    one = Patterns(np.ones((1, 1, 1), np.float32), np.ones(1, np.int8))
    for product in (False, True):
        machine = RobustEnsemble(one, np.ones((1, 1, 1)), product=product)
        for sampler in get_args(Sampler):
            machine.sweep(np.random.default_rng(0), 1.0, sampler=sampler)


ALGORITHM = algorithm(
    "annealing", (*BINARY, BINARY_PARITY), Options, solve, misfits=epochs_only, warm_up=warm_up
)
