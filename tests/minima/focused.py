"""Entropy of dense regions on an instance: y replicas of solutions around a centre, by messages.

At a fixed point of focusing belief propagation (`lsg_ray.networks.solvers.focusing_bp`), with h =
Σ_p u_p, H = h + f, a = A_γ(h), b = tanh a, l(x) = ln 2cosh x, and averages over the weights,

    C = ln Z_Bethe(H)/N − ⟨l(H)⟩ + ⟨l(h)⟩,
    ln Z/N = y C + ⟨y ln cosh γ − y ln cosh a + l(y a)⟩,
    S = ⟨tanh(γ + A(h, (y − 1) a))⟩,   A(h, x) = atanh(tanh h tanh x),
    Φ = C + ⟨ln cosh γ + a tanh(y a) − ln cosh a⟩,   Σ = Φ − γ S,

where Z = Σ_W̃ [Σ_W χ(W) e^{γ W·W̃}]^y over centres W̃ and solutions W.  Σ is the entropy of
solutions at distance D = (1 − S)/2 of the centre, and

    d ln Z/dγ = y N S,        d ln Z/dy = N Φ.

Source: C. Baldassi et al., PNAS 113, E7655 (2016), arXiv:1605.06444, App.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.minima.theory.gaussian import log_2cosh
from lsg_ray.networks.factor_graph import Convergence, FactorGraph
from lsg_ray.networks.solvers.focusing_bp import Focus, pull, through
from lsg_ray.typing import Floats


class Focused(NamedTuple):
    """Averages of replicas around a centre, per weight, in nats.

    log_partition ln Z/N; overlap S of a replica with the centre; potential Φ; entropy Σ of
    solutions around the centre; distance D = (1 − S)/2; external: entropy of centres, (ln Z −
    y N Φ)/N; convergence: how the messages ended.  All are NaN where they have not converged.
    """

    log_partition: float
    overlap: float
    potential: float
    entropy: float
    distance: float
    external: float
    convergence: Convergence


def settle(
    graph: FactorGraph, focus: Focus, *, damping: float = 0.5, tolerance: float = 1e-9,
    max_sweeps: int = 1000,
) -> Convergence:  # fmt: skip
    """Sweep at fixed γ and y, from the messages that there are, until none moves by more."""
    residual, sweeps = np.inf, 0
    while sweeps < max_sweeps and residual > tolerance:
        residual = graph.sweep(graph.fields + pull(focus, graph.fields), damping)
        sweeps += 1
    return Convergence(bool(residual <= tolerance), sweeps, residual)


def focused(
    graph: FactorGraph, focus: Focus, *, damping: float = 0.5, tolerance: float = 1e-9,
    max_sweeps: int = 1000,
) -> Focused:  # fmt: skip
    """Return the entropy of the region that y replicas find at coupling γ.

    Raises
    ------
    InputError
        γ negative or infinite, y below 1.
    """
    gamma, y = focus
    if not (0 <= gamma < np.inf and 1 <= y < np.inf):
        raise InputError(f"γ = {gamma:g}, y = {y:g} given; γ ≥ 0 and y ≥ 1, both finite")
    convergence = settle(graph, focus, damping=damping, tolerance=tolerance, max_sweeps=max_sweeps)
    if not convergence.converged:
        return Focused(*(np.nan,) * 6, convergence)
    h = graph.fields
    total = h + pull(focus, h)
    base = graph.log_partition(total) / graph.n_weights - np.mean(log_2cosh(total) - log_2cosh(h))
    a, of_gamma = through(gamma, h), _log_cosh(np.array(gamma))
    log_z = y * base + np.mean(y * of_gamma - y * _log_cosh(a) + log_2cosh(y * a))
    potential = base + np.mean(of_gamma + a * np.tanh(y * a) - _log_cosh(a))
    overlap = np.mean(np.tanh(gamma + _joined(h, (y - 1) * a)))
    return Focused(
        float(log_z), float(overlap), float(potential), float(potential - gamma * overlap),
        float(1 - overlap) / 2, float(log_z - y * potential), convergence,
    )  # fmt: skip


def _log_cosh(x: Floats) -> Floats:
    return log_2cosh(x) - np.log(2)


def _joined(h: Floats, x: Floats) -> Floats:
    """Return atanh(tanh h tanh x)."""
    joined: Floats = 0.5 * (log_2cosh(h + x) - log_2cosh(h - x))
    return joined
