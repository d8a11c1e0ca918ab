"""The state of the lowest free energy, and its entropy, by the cavity method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers
from lsg_ray.ising.branch import Branch
from lsg_ray.ising.cavity import Couplings
from lsg_ray.ising.model import IsingModel


class State(NamedTuple):
    """A solution: f and s per weight, whether it has converged, and is stable (`stability` > 0)."""

    f: float
    s: float
    converged: bool
    stable: bool


def bethe_entropy(
    model: IsingModel,
    beta: float = 1.0,
    field: ArrayLike = 0.0,
    *,
    reference: ArrayLike | None = None,
    known: Sequence[State] = (),
    tolerance: float = 1e-9,
    max_sweeps: int = 5000,
) -> State:
    """Return the state of the lowest free energy, by the cavity method.

    Stable solutions come first, then others that have converged.

    Parameters
    ----------
    model, beta
        Model and its inverse temperature, positive.
    field
        Field added to βh, in nats: one number, or (N,).
    reference
        (N,) ±1; solutions are searched from independent spins, and from spins that agree or
        disagree with it.  By default the signs of the fields.
    known
        Further solutions to choose from.
    tolerance
        Largest change of a message in a sweep at convergence.
    max_sweeps
        Largest number of sweeps.
    """
    n, couplings = model.n_spins, Couplings.at(model.J, beta)
    h = beta * model.h + np.broadcast_to(as_numbers(field, "field"), n)
    bias = np.where(h < 0, -1.0, 1.0) if reference is None else as_numbers(reference, "reference")
    states = list(known)
    for x in (0.0, 1.0, -1.0):
        branch = Branch(tolerance, max_sweeps)
        branch.go_to(x, h + x * bias, couplings)
        status, _ = branch.go_to(0.0, h, couplings)
        log_Z, exponent = branch.averages(h, couplings)
        stable = branch.stability(couplings) > 0 and branch.minimum
        states.append(State(-log_Z / (n * beta), (log_Z + exponent) / n, status.converged, stable))
    return min(states, key=lambda state: (not state.converged, not state.stable, state.f))
