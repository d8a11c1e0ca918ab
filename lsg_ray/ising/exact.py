"""Boltzmann learning of small models by enumeration: the oracle of the other methods.

The log-likelihood per configuration, Σ_{i<j} J_ij C_ij + Σ_i h_i m_i − log Z(J, h), is concave; its
gradient is C_data − C_model, m_data − m_model.  All 2^N states are summed, N ≤ `MAX_EXACT`.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.fitted import FitMethod, Fitted, deviation
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.targets import Target
from lsg_ray.typing import Floats, NonNegative, Progress

#: Largest model that is fitted by enumeration.
MAX_EXACT = 16
#: Couplings beyond this, in nats, stand for states that were never seen: they would grow for ever.
DIVERGED_NATS = 10.0


@public
def fit_exact(
    target: Target,
    *,
    seconds: float | None = None,  # noqa: ARG001
    seed: int = 0,  # noqa: ARG001
    threads: int | None = None,  # noqa: ARG001
    progress: Progress | None = None,
    tolerance: float = 1e-8,
    l2: NonNegative = 0.0,
) -> Fitted:
    """Maximise the likelihood over all states: minimise log Z − ½ Σ J_ij C_ij − Σ h_i m_i.

    Parameters
    ----------
    target
        Moments of 16 weights at most, none of which is frozen.
    seconds
        Not used: it ends by itself.
    tolerance
        Of the gradient, largest entry.
    l2
        Penalty ½ l2 Σ_{i<j} J_ij², for moments on the border, whose couplings diverge.
    """
    from scipy.optimize import minimize

    n = len(target.m)
    if n > MAX_EXACT:
        raise InputError(f"method 'exact' given for {n} weights; at most {MAX_EXACT}: use pcd")
    upper = np.triu_indices(n, 1)
    history: dict[str, list[float]] = {"step": [], "delta": []}

    def unpack(x: Floats) -> IsingModel:
        J = np.zeros((n, n))
        J[upper] = x[n:]
        return IsingModel(J + J.T, x[:n])

    def loss(x: Floats) -> tuple[float, Floats]:
        found = enumerate_model(unpack(x))
        value = found.log_Z - x[:n] @ target.m - x[n:] @ target.C[upper]
        gradient = np.concatenate([found.m - target.m, (found.C - target.C)[upper]])
        gradient[n:] += l2 * x[n:]
        history["step"].append(len(history["step"]))
        history["delta"].append(deviation(found.m, found.C, target)[0])
        if progress is not None:
            progress(len(history["step"]), 0)
        return float(value + 0.5 * l2 * (x[n:] @ x[n:])), gradient

    start = np.concatenate([np.arctanh(np.clip(target.m, -0.999999, 0.999999)), 0 * upper[0]])
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B",
        options={"maxiter": 5000, "maxfun": 10000, "gtol": tolerance, "ftol": 0},
    )  # fmt: skip
    model = unpack(found.x)
    exact = enumerate_model(model)
    own = deviation(exact.m, exact.C, target)
    residual = np.abs(loss(found.x)[1]).max()
    converged = bool(residual < 10 * tolerance and np.abs(model.J).max() < DIVERGED_NATS)
    return Fitted(model.J, model.h, converged, int(found.nit), own, history)


METHOD = FitMethod("exact", fit_exact)
