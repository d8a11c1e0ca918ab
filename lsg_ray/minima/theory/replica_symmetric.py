"""Replica-symmetric entropy of the solutions of random patterns, and where it breaks down.

Binary weights, with overlap q of two solutions and its conjugate q̂:

    φ = −q̂(1 − q)/2 + ∫Dz ln 2cosh(√q̂ z) + α E(q),
    q = ∫Dz tanh²(√q̂ z),   q̂ = −2α E'(q);

weights on the sphere, relative to the volume of all weights (φ = 0 at α = 0):

    φ = ½[ln(1 − q) + q/(1 − q)] + α E(q),   q/(1 − q)² = −2α E'(q),

stable while 1/(1 − q)² > α E Σ_lm (∂_l∂_m ln P)² (de Almeida, Thouless).  E(q) is that of the
machine (`lsg_ray.minima.theory.machines`).  For parity machines q = 0 and every pattern halves the
volume: φ = ln 2 (1 − α) for ±1 weights, −α ln 2 on the sphere.  The capacity of ±1 weights is
where φ = 0; on the sphere it is where q → 1, E_z of the squared distance to the nearest right
fields being 1/α.

Source: W. Krauth, M. Mézard, J. Phys. France 50, 3057 (1989); E. Barkai, D. Hansel,
H. Sompolinsky, Phys. Rev. A 45, 4146 (1992); R. Monasson, R. Zecchina, Phys. Rev. Lett. 75, 2432
(1995).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from lsg_ray.minima.theory.gaussian import grid, log_2cosh
from lsg_ray.minima.theory.machines import MachineName, energetic, kappa

WeightName = Literal["binary", "spherical"]

#: Integration over the fields of ±1 weights.
_FIELDS = grid(1601)


@dataclass(frozen=True)
class SymmetricState:
    """A solution of the replica-symmetric equations.

    Parameters
    ----------
    alpha
        Number of patterns per weight.
    entropy
        Entropy φ per weight, in nats.
    overlap, conjugate
        Overlap q and its conjugate q̂ (on the sphere q̂ = q/(1 − q)²).
    stability
        1/(1 − q)² − α E Σ(∂∂ ln P)² times (1 − q)²: positive where the sphere's solution is
        stable; NaN of ±1 weights.
    residual
        Residual of the equation for q.
    """

    alpha: float
    entropy: float
    overlap: float
    conjugate: float
    stability: float
    residual: float

    @property
    def converged(self) -> bool:
        """Whether the equations hold to 1e-8."""
        return abs(self.residual) < 1e-8


def _binary(alpha: float, machine: MachineName) -> SymmetricState:
    def conjugate(q: float) -> float:
        return alpha * energetic(machine, q).force

    def excess(q: float) -> float:
        return q - _FIELDS.mean(np.tanh(np.sqrt(conjugate(q)) * _FIELDS.z) ** 2)

    q = _root(excess, 1 - 1e-6)
    if np.isnan(q):
        return SymmetricState(alpha, np.nan, np.nan, np.nan, np.nan, np.nan)
    hat = conjugate(q)
    entropy = (
        -hat * (1 - q) / 2
        + _FIELDS.mean(log_2cosh(np.sqrt(hat) * _FIELDS.z))
        + alpha * energetic(machine, q).value
    )
    return SymmetricState(alpha, entropy, q, hat, np.nan, excess(q))


def _spherical(alpha: float, machine: MachineName) -> SymmetricState:
    def excess(q: float) -> float:
        return q - alpha * (1 - q) ** 2 * energetic(machine, q).force

    q = _root(excess, 1 - 1e-6)
    if np.isnan(q):
        return SymmetricState(alpha, np.nan, np.nan, np.nan, np.nan, np.nan)
    term = energetic(machine, q, stiffness=True)
    entropy = 0.5 * (np.log1p(-q) + q / (1 - q)) + alpha * term.value
    stability = 1 - alpha * (1 - q) ** 2 * term.stiffness
    return SymmetricState(alpha, entropy, q, q / (1 - q) ** 2, stability, excess(q))


def _root(excess: Callable[[float], float], top: float) -> float:
    """Return the root in (0, top) of what is negative at 0; NaN if it has no sign change."""
    if excess(top) <= 0:
        return np.nan
    return float(brentq(excess, 0.0, top, xtol=1e-13, rtol=1e-13))


def symmetric_state(
    alpha: float, weights: WeightName = "binary", machine: MachineName = "perceptron"
) -> SymmetricState:
    """Return the replica-symmetric state at α.

    >>> state = symmetric_state(0.6)
    >>> round(state.entropy, 6), round(state.overlap, 6)
    (0.227785, 0.39105)
    """
    solve = _binary if weights == "binary" else _spherical
    return solve(float(alpha), machine)


def zero_entropy(machine: MachineName = "perceptron") -> float:
    """Return the capacity of ±1 weights: α where the entropy vanishes.

    >>> round(zero_entropy(), 6)
    0.833079
    """
    return float(brentq(lambda a: _binary(a, machine).entropy, 0.5, 1.0, xtol=1e-10))


def spherical_capacity(machine: MachineName = "perceptron") -> float:
    """Return the replica-symmetric capacity of weights on the sphere, where q → 1.

    For one effective field it is 2κ'(1); infinite for a tree of infinitely many sign units.

    >>> spherical_capacity()
    2.0
    """
    if machine == "committee-inf":
        return np.inf
    if machine in ("perceptron", "relu-inf"):
        return 2 * kappa(machine, 1.0).slope
    return 1 / _distance_of_units(int(machine[-1]))


def _distance_of_units(units: int) -> float:
    """Return E of the squared distance of K Gaussians to the nearest with a majority positive.

    Of n negative ones the n − (K−1)/2 smallest |z| must be turned, for n > (K−1)/2; the rank
    statistics are those of half-normal numbers: with U the law of z², E z²_(k:n).
    """
    from scipy.integrate import quad
    from scipy.special import comb
    from scipy.stats import halfnorm

    def smallest(n: int, k: int) -> float:
        def density(x: float) -> float:
            below = halfnorm.cdf(x)
            return n * comb(n - 1, k - 1) * below ** (k - 1) * (1 - below) ** (n - k)

        return quad(lambda x: x * x * density(x) * halfnorm.pdf(x), 0, 12, epsabs=1e-12)[0]

    half = (units - 1) // 2
    return sum(
        comb(units, n) / 2**units * sum(smallest(n, k) for k in range(1, n - half + 1))
        for n in range(half + 1, units + 1)
    )


def stability_limit(machine: MachineName = "committee-inf") -> float:
    """Return α above which the replica-symmetric state on the sphere is unstable (AT line).

    That of a perceptron is its capacity, 2.

    >>> round(stability_limit("committee-inf"), 4)
    2.9878
    """
    if machine == "perceptron":
        return 2.0
    low, high = 0.1, 0.2
    while _spherical(high, machine).stability > 0:
        low, high = high, 1.5 * high
    return float(brentq(lambda a: _spherical(a, machine).stability, low, high, xtol=1e-8))
