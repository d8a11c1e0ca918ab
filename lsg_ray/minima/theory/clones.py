"""Finitely many clones of a solution, y of them, at fixed mutual overlap q₁: large deviations.

The number of groups of y solutions of overlap q₁ is e^{N y φ_y(q₁)} (robust ensemble), with overlap
q₀ of two groups.  With y = m and Q = κ(q),

    binary: φ = −q̂₁(1 − q₁)/2 + (m/2)(q₀q̂₀ − q₁q̂₁)
                + (1/m)∫Dz₀ ln ∫Dz₁ [2cosh(√q̂₀ z₀ + √(q̂₁ − q̂₀) z₁)]^m + α e
    sphere: φ = ½[((m−1)/m) ln(1−q₁) + (1/m) ln Δ + q₀/Δ] + α e,  Δ = 1 − q₁ + m(q₁ − q₀)
    e = (1/m)∫Dz₀ ln ∫Dz₁ H^m(−(√Q₀ z₀ + √(Q₁ − Q₀) z₁)/√(1 − Q₁)),

stationary in all but q₁ and m: with ⟨·⟩ the z₁-average tilted by the m-th power, q₁ = ∫⟨tanh²⟩,
q₀ = ∫⟨tanh⟩², q̂₀ = ακ'(q₀)∫⟨g⟩²; on the sphere q₀/Δ² = ακ'(q₀)∫⟨g⟩².  On the sphere φ is relative
to its value at α = 0.  The complexity Σ = −m² ∂φ/∂m of groups must not be negative; where it is,
there are no such groups, and φ means nothing.

Source: C. Baldassi et al., PNAS 113, E7655 (2016), arXiv:1605.06444.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from lsg_ray.minima.theory.gaussian import grid, hazard, log_2cosh, log_tail
from lsg_ray.minima.theory.machines import MachineName, kappa
from lsg_ray.minima.theory.replica_symmetric import WeightName
from lsg_ray.typing import Floats

#: Largest number of clones: beyond, fields of ±1 weights jump within a step, and y → ∞ is near.
MOST_CLONES = 64


#: Values of q₀/q₁ between which a solution is looked for.
_MARKS = np.linspace(0, 1, 9)


class _Grids(NamedTuple):
    """The rules for z₀ (a column) and z₁ (a row), whose m-th power shifts it by up to some √m."""

    z0: Floats
    weight0: Floats
    z1: Floats
    log_weight1: Floats

    def mean(self, values: Floats) -> float:
        return float(values @ self.weight0)


@cache
def _grids(m: float) -> _Grids:
    step = 0.06 if m <= 10 else 0.03
    outer, inner = (
        grid(2 * round(reach / step) + 1, reach) for reach in (8.0, min(8 + 2 * m**0.5, 30))
    )
    return _Grids(outer.z[:, None], outer.weight, inner.z[None, :], np.log(inner.weight))


@dataclass(frozen=True)
class Clones:
    """Groups of y clones.

    Parameters
    ----------
    clones, overlap
        Number of clones y, and their overlap q₁.
    entropy
        Entropy φ per weight and clone, in nats.
    complexity
        Complexity Σ per weight: logarithm of the number of groups; unphysical where negative.
    between
        Overlap q₀ of two groups.
    residual
        Residual of the equation for q₀.
    """

    clones: float
    overlap: float
    entropy: float
    complexity: float
    between: float
    residual: float

    @property
    def converged(self) -> bool:
        """Whether the equation for q₀ holds to 1e-8."""
        return abs(self.residual) < 1e-8


class _Tilted(NamedTuple):
    """ln of the z₁-integral of e^{m f}, (z₀,), and the tilted weights (z₀, z₁)."""

    log: Floats
    weight: Floats

    def mean(self, values: Floats) -> Floats:
        return (self.weight * values).sum(axis=1)


def _tilted(f: Floats, m: float) -> _Tilted:
    exponent = m * f + _grids(m).log_weight1
    top = exponent.max(axis=1, keepdims=True)
    weight = np.exp(exponent - top)
    total = weight.sum(axis=1, keepdims=True)
    return _Tilted((top + np.log(total))[:, 0], weight / total)


class _Fields(NamedTuple):
    """±1 weights at (q̂₀, q̂₁): moments, entropic term and its derivative in m."""

    q1: float
    q0: float
    value: float
    slope: float


def _fields(m: float, q0_hat: float, q1_hat: float) -> _Fields:
    z = _grids(m)
    x = np.sqrt(q0_hat) * z.z0 + np.sqrt(max(q1_hat - q0_hat, 0)) * z.z1
    f, t = log_2cosh(x), np.tanh(x)
    law = _tilted(f, m)
    total = z.mean(law.log)
    return _Fields(
        z.mean(law.mean(t * t)),
        z.mean(law.mean(t) ** 2),
        total / m,
        (z.mean(law.mean(f)) - total / m) / m,
    )


class _Patterns(NamedTuple):
    """Patterns at (q₀, q₁): ∫⟨g⟩²κ', energetic term and its derivative in m."""

    force: float
    value: float
    slope: float


def _patterns(machine: MachineName, m: float, q0: float, q1: float) -> _Patterns:
    k0, k1 = kappa(machine, q0), kappa(machine, q1)
    free = 1 - k1.at
    z = _grids(m)
    shared = np.sqrt(k0.at) * z.z0 + np.sqrt(max(k1.at - k0.at, 0)) * z.z1
    v = -shared / np.sqrt(free)
    f, g = log_tail(v), hazard(v) / np.sqrt(free)
    law = _tilted(f, m)
    total = z.mean(law.log)
    return _Patterns(
        k0.slope * z.mean(law.mean(g) ** 2), total / m, (z.mean(law.mean(f)) - total / m) / m
    )


def _conjugate(m: float, q0_hat: float, q1: float) -> float:
    """Return q̂₁ such that q₁ = ∫⟨tanh²⟩; q̂₀ where even that is too much."""

    def excess(gap: float) -> float:
        return _fields(m, q0_hat, q0_hat + gap).q1 - q1

    if excess(0.0) >= 0:
        return q0_hat
    high = 1.0
    while excess(high) < 0:
        high *= 2
    return q0_hat + float(brentq(excess, 0.0, high, xtol=1e-12))


def _binary(alpha: float, m: float, q1: float, machine: MachineName) -> Clones:
    def hats(q0: float) -> tuple[float, float]:
        q0_hat = alpha * _patterns(machine, m, q0, q1).force
        return q0_hat, _conjugate(m, q0_hat, q1)

    def excess(q0: float) -> float:
        return q0 - _fields(m, *hats(q0)).q0

    low, low_value = 0.0, -1.0
    for high in q1 * _MARKS[1:]:
        value = excess(high)
        if low_value <= 0 < value:
            break
        low, low_value = high, value
    else:
        return Clones(m, q1, np.nan, np.nan, np.nan, np.nan)
    q0 = float(brentq(excess, low, high, xtol=1e-12))
    q0_hat, q1_hat = hats(q0)
    own, given = _fields(m, q0_hat, q1_hat), _patterns(machine, m, q0, q1)
    coupling = 0.5 * (q0 * q0_hat - q1 * q1_hat)
    entropy = -0.5 * q1_hat * (1 - q1) + m * coupling + own.value + alpha * given.value
    slope = coupling + own.slope + alpha * given.slope
    return Clones(m, q1, entropy, -m * m * slope, q0, excess(q0))


def _spherical(alpha: float, m: float, q1: float, machine: MachineName) -> Clones:
    def width(q0: float) -> float:
        return 1 - q1 + m * (q1 - q0)

    def excess(q0: float) -> float:
        return q0 - alpha * width(q0) ** 2 * _patterns(machine, m, q0, q1).force

    if excess(q1) <= 0:
        return Clones(m, q1, np.nan, np.nan, np.nan, np.nan)
    q0 = float(brentq(excess, 0.0, q1, xtol=1e-13)) if excess(0.0) < 0 else 0.0
    given, delta, free = _patterns(machine, m, q0, q1), width(q0), width(0.0)
    entropy = 0.5 * (np.log(delta / free) / m + q0 / delta) + alpha * given.value
    slope = 0.5 * (
        -np.log(delta / free) / m**2
        + ((q1 - q0) / delta - q1 / free) / m
        - q0 * (q1 - q0) / delta**2
    )
    return Clones(m, q1, entropy, -m * m * (slope + alpha * given.slope), q0, excess(q0))


def clones(
    alpha: float,
    y: float,
    q1: float,
    weights: WeightName = "binary",
    machine: MachineName = "perceptron",
) -> Clones:
    """Return groups of y clones at mutual overlap q₁.

    >>> round(clones(0.784, 4, 0.98).entropy, 4)
    0.0002
    """
    solve = _binary if weights == "binary" else _spherical
    return solve(float(alpha), float(y), float(q1), machine)
