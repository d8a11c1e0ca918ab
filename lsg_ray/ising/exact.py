"""Boltzmann learning of small models by enumeration: the oracle of the other methods.

The log-likelihood per configuration, Σ_{i<j} J_ij C_ij + Σ_i h_i m_i − log Z(J, h), is concave; its
gradient is C_data − C_model, m_data − m_model.  All 2^N states are summed, N ≤ 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import numpy as np

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.fitted import FitMethod, FitOptions, Fitted, deviation
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.targets import Target
from lsg_ray.typing import Floats, NonNegative


@dataclass(frozen=True)
class ExactConfig:
    """Limits of a fit by enumeration."""

    #: Largest number of weights: 2^16 states are summed.
    max_weights: int = 16
    #: Couplings beyond this, in nats, stand for states that were never seen, and would grow for
    #: ever.
    diverged_nats: float = 10.0
    #: Iterations and evaluations of L-BFGS-B.
    max_iterations: int = 5000
    max_evaluations: int = 10_000


CONFIG = ExactConfig()


@public
def fit_exact(
    target: Target, *, tolerance: float = 1e-8, l2: NonNegative = 0.0, **run: Unpack[FitOptions]
) -> Fitted:
    """Maximise the likelihood over all states: minimise log Z − ½ Σ J_ij C_ij − Σ h_i m_i.

    Parameters
    ----------
    target
        Moments of at most 16 weights, none of which is frozen.
    seconds
        Not used: the fit ends by itself.
    tolerance
        Largest entry of the gradient at which the fit ends.
    l2
        Strength of the penalty ½ l2 Σ_{i<j} J_ij².  Positive for moments on the border, whose
        couplings diverge without it.
    """
    from scipy.optimize import minimize

    n = len(target.m)
    if n > CONFIG.max_weights:
        raise InputError(
            f"method 'exact' given for {n} weights; at most {CONFIG.max_weights}: use pcd"
        )
    upper = np.triu_indices(n, 1)
    history: dict[str, list[float]] = {"step": [], "delta": []}

    def unpack(x: Floats) -> IsingModel:
        J = np.zeros((n, n))
        J[upper] = x[n:]
        return IsingModel(J + J.T, x[:n])

    def loss(x: Floats) -> tuple[float, Floats]:
        exact = enumerate_model(unpack(x))
        value = exact.log_Z - x[:n] @ target.m - x[n:] @ target.C[upper]
        gradient = np.concatenate([exact.m - target.m, (exact.C - target.C)[upper]])
        gradient[n:] += l2 * x[n:]
        history["step"].append(len(history["step"]))
        history["delta"].append(deviation(exact.m, exact.C, target)[0])
        if (progress := run["progress"]) is not None:
            progress(len(history["step"]), 0)
        return float(value + 0.5 * l2 * (x[n:] @ x[n:])), gradient

    start = np.concatenate([np.arctanh(np.clip(target.m, -0.999999, 0.999999)), 0 * upper[0]])
    limits = {"maxiter": CONFIG.max_iterations, "maxfun": CONFIG.max_evaluations}
    solution = minimize(
        loss, start, jac=True, method="L-BFGS-B", options={**limits, "gtol": tolerance, "ftol": 0}
    )
    model = unpack(solution.x)
    exact = enumerate_model(model)
    own = deviation(exact.m, exact.C, target)
    residual = np.abs(loss(solution.x)[1]).max()
    converged = bool(residual < 10 * tolerance and np.abs(model.J).max() < CONFIG.diverged_nats)
    return Fitted(model.J, model.h, converged, int(solution.nit), own, history)


METHOD = FitMethod("exact", fit_exact)
