"""A differentiable committee: tanh units and the cross entropy with a scale.

With t_l = tanh(β ξ_l · W_l/√n) of units of norm |W_l| = √n, and the stability of a pattern
Δ = s Σ_l t_l/√K, the loss is the mean over patterns of

    f_γ(Δ) = −Δ/2 + ln(2 cosh γΔ)/(2γ) = ln(1 + e^{−2γΔ})/(2γ),
    f_γ′ = −1/(1 + e^{2γΔ}),        f_γ″ = (γ/2) sech²(γΔ),
    ∇_{W_l} loss = mean f_γ′(Δ) s β (1 − t_l²) ξ_l/√(K n).

β → ∞ gives the units of a committee; f_γ is linear for γ → 0, and max(0, −Δ) for γ → ∞.

Source: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.networks.families.committee import Patterns
from lsg_ray.typing import Floats, Ints


def cross_entropy(stability: Floats, gamma: float) -> Floats:
    """Return f_γ(Δ), without overflow.

    >>> round(float(cross_entropy(np.array(0.0), 2.0)), 4)  # ln 2/(2γ)
    0.1733
    """
    value: Floats = np.logaddexp(0.0, -2 * gamma * stability) / (2 * gamma)
    return value


def cross_entropy_slope(stability: Floats, gamma: float) -> Floats:
    """Return f_γ′(Δ) = −1/(1 + e^{2γΔ}), without overflow."""
    value: Floats = -0.5 * (1 - np.tanh(gamma * stability))
    return value


def loss_and_gradient(
    w: Floats, patterns: Patterns, rows: Ints, beta: float, gamma: float
) -> tuple[Floats, Floats]:
    """Return the loss (y,) and its gradient (y, K, n) of replicas, each on its own patterns.

    Parameters
    ----------
    w
        Weights (y, K, n), float64.
    patterns
        All patterns.
    rows
        Those of each replica, (y, B).
    beta, gamma
        Scales β of the units and γ of the loss, above 0.

    Notes
    -----
    4 y B N flop; the patterns of a replica's batch are copied in float64.
    """
    loss, gradient = np.empty(len(w)), np.empty_like(w)
    for replica, chosen in enumerate(rows):  # one at a time: its patterns stay in the cache
        loss[replica], gradient[replica] = _of_replica(w[replica], patterns, chosen, beta, gamma)
    return loss, gradient


def _of_replica(
    w: Floats, patterns: Patterns, rows: Ints, beta: float, gamma: float
) -> tuple[float, Floats]:
    units, n = w.shape
    x = patterns.x[rows].astype(np.float64).swapaxes(0, 1)  # (K or 1, B, n)
    s = patterns.s[rows].astype(np.float64)
    # Of shared inputs one product of matrices, which reads them once.
    h = (x[0] @ w.T).T if len(x) == 1 else (x @ w[..., None])[..., 0]
    t = np.tanh((beta / np.sqrt(n)) * h)  # (K, B)
    stability = s * t.sum(axis=0) / np.sqrt(units)
    share = cross_entropy_slope(stability, gamma) * s * (beta / np.sqrt(units * n) / len(rows))
    pull = share * (1 - t * t)
    gradient = pull @ x[0] if len(x) == 1 else (pull[:, None] @ x)[:, 0]
    return float(cross_entropy(stability, gamma).mean()), gradient


def on_sphere(w: Floats) -> Floats:
    """Return weights (..., K, n) with |W_l| = √n, in place."""
    w *= np.sqrt(w.shape[-1]) / np.linalg.norm(w, axis=-1, keepdims=True)
    return w
