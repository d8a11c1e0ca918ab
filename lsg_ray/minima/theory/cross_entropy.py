"""The cross-entropy landscape of the binary perceptron: errors, entropy, and flatness of minima.

Weights are drawn with e^{−b Σ_p f_γ(Δ_p)}, where Δ_p is the stability of pattern p and

    f_γ(x) = ln(1 + e^{−2γx})/(2γ),   K_b(x) = e^{−b f_γ(x)};

the replica-symmetric equations are those of solutions with ln ∫Du K_b(√q z + √(1−q) u) in place of
ln H, so q̂ = α∫Dz g̃², g̃ = E_K[u]/√(1 − q).  The entropy is S = φ + b e with the loss
e = α E[f_γ].  Where S = 0, at b_c, the state freezes, and what is there are the minimizers of the
loss; their share of errors is P_K(x < 0).

How many solutions (without errors) surround such a reference at overlap S = 1 − 2D is given by the
Franz–Parisi potential: solutions of overlap q with one another and S with the reference, t with
another reference, stationary in q, q̂, t, t̂ and Ŝ,

    φ = −q̂(1−q)/2 − Ŝ S + t̂ t + E ln 2cosh(t̂/√q̃̂ z + √(q̂ − t̂²/q̃̂) v + (Ŝ − t̂) w)
        + α E_{z,u~K,v} ln H(−M/√(1−q)),
    M = (t/√q̃) z + ((S−t)/√(1−q̃)) u + √(q − t²/q̃ − (S−t)²/(1−q̃)) v,

with q̃, q̃̂ of the reference and P(w|z) ∝ e^{√q̃̂ z w}.

Source: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from lsg_ray.minima.theory.gaussian import grid, log_2cosh
from lsg_ray.typing import Floats

#: Rules of the reference's state, z and u: the kernel moves u far out, to √q̃|z|/√(1 − q̃).
_FINE, _FAR = grid(241, 9.0), grid(1201, 36.0)
#: Rule of the weights' fields: near freezing tanh(√q̃̂ z) turns within 1/√q̃̂ ≈ 0.03.
_FIELDS = grid(8001)
#: Largest number of iterations of the potential's equations, and the change that ends them.
_ROUNDS, _SETTLED = 4000, 1e-9


class Kernel(NamedTuple):
    """Weight of a pattern of stability x: e^{−b f_γ(x)}; of solutions alone where γ is None."""

    b: float
    gamma: float | None

    def loss(self, x: Floats) -> Floats:
        """Return f_γ(x); 0 without γ."""
        if self.gamma is None:
            return np.zeros_like(x)
        return np.logaddexp(0, -2 * self.gamma * x) / (2 * self.gamma)

    def log(self, x: Floats) -> Floats:
        """Return ln K(x)."""
        if self.gamma is None:
            return np.where(x > 0, 0.0, -np.inf)
        return -self.b * self.loss(x)


class _Law(NamedTuple):
    """u given z under the kernel: ln of the integral (z,), and weights (z, u)."""

    log: Floats
    weight: Floats
    x: Floats


def _law(kernel: Kernel, q: float) -> _Law:
    x = np.sqrt(q) * _FINE.z[:, None] + np.sqrt(1 - q) * _FAR.z
    exponent = kernel.log(x) + np.log(_FAR.weight)
    top = exponent.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    law = np.exp(exponent - top)
    total = law.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _Law((top + np.log(total))[:, 0], law / total, x)


@dataclass(frozen=True)
class Reference:
    """The replica-symmetric state of weights drawn with a kernel.

    Parameters
    ----------
    alpha, kernel
        Number of patterns per weight, and their Boltzmann weight.
    overlap, conjugate
        Overlap q̃ and its conjugate.
    residual
        Residual of the equation for q̃.
    """

    alpha: float
    kernel: Kernel
    overlap: float
    conjugate: float
    residual: float

    @cached_property
    def _law(self) -> _Law:
        return _law(self.kernel, self.overlap)

    @cached_property
    def loss(self) -> float:
        """Mean loss per weight, α E[f_γ]."""
        each = (self._law.weight * self.kernel.loss(self._law.x)).sum(axis=1)
        return self.alpha * _FINE.mean(each)

    @cached_property
    def error_rate(self) -> float:
        """Share of patterns with x < 0; the step is spread over one node, for second order."""
        node = np.sqrt(1 - self.overlap) * (_FAR.z[1] - _FAR.z[0])
        below = np.clip(0.5 - self._law.x / node, 0, 1)
        return _FINE.mean((self._law.weight * below).sum(axis=1))

    @cached_property
    def entropy(self) -> float:
        """S = φ + b e per weight, in nats."""
        q, hat = self.overlap, self.conjugate
        phi = -hat * (1 - q) / 2 + _FIELDS.mean(log_2cosh(np.sqrt(hat) * _FIELDS.z))
        return phi + self.alpha * _FINE.mean(self._law.log) + self.kernel.b * self.loss


def reference(alpha: float, b: float, gamma: float) -> Reference:
    """Return the state of weights drawn with e^{−b Σ f_γ}.

    >>> round(reference(0.4, 100.0, 2.0).entropy, 4)
    0.1132
    """
    kernel = Kernel(b, gamma)

    def conjugate(q: float) -> float:
        law = _law(kernel, q)
        g = (law.weight @ _FAR.z) / np.sqrt(1 - q)
        return alpha * _FINE.mean(g * g)

    def excess(q: float) -> float:
        return q - _FIELDS.mean(np.tanh(np.sqrt(conjugate(q)) * _FIELDS.z) ** 2)

    q = float(brentq(excess, 0.0, 1 - 1e-4, xtol=1e-13))
    return Reference(alpha, kernel, q, conjugate(q), excess(q))


def solutions(alpha: float) -> Reference:
    """Return typical solutions as a reference: the kernel is a step."""
    from lsg_ray.minima.theory.replica_symmetric import symmetric_state

    state = symmetric_state(alpha)
    return Reference(alpha, Kernel(0.0, None), state.overlap, state.conjugate, state.residual)


def minimizers(alpha: float, gamma: float) -> Reference:
    """Return the minimizers of the loss: the state at b_c, where the entropy vanishes."""
    low, high = 1.0, 2.0
    while reference(alpha, high, gamma).entropy > 0:
        low, high = high, 2 * high
    log_b = brentq(
        lambda x: reference(alpha, np.exp(x), gamma).entropy, np.log(low), np.log(high), xtol=1e-9
    )
    return reference(alpha, float(np.exp(log_b)), gamma)
