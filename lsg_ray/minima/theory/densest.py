"""The densest regions of solutions: many replicas around a centre (y → ∞), at mutual overlap q₁.

The number of solutions around the best possible centre, e^{Nφ(q₁)}, is that of y → ∞ clones with
overlap q₁ (the centre is their barycentre, at overlap √q₁ with each, so at Hamming distance
(1 − √q₁)/2).  With q₀ = q₁ − δq/y and q̂₀ = q̂₁ − δq̂/y, Q = κ(q₁) and δQ = κ'(q₁)δq,

    binary: φ = −q̂(1 − q₁)/2 − (q̂ δq + q₁ δq̂)/2 + ∫Dz max_x[−x²/2 + ln 2cosh(√q̂ z + √δq̂ x)]
                + α e(q₁, δq)
    sphere: φ = min_δq { q₁/(2(1 − q₁ + δq)) + α e(q₁, δq) }        (relative to α = 0)
    e = ∫Dz max_x[−x²/2 + ln H(−(√Q z + √δQ x)/√(1 − Q))],

where the maxima are at h = √q̂ z + δq̂ tanh h and u = √Q z + δQ g(u), g(u) = R(−u/√(1−Q))/√(1−Q),
and φ is stationary where q₁ = ∫tanh² h, 1 − q₁ + δq = ∫z tanh h/√q̂, q̂ = ακ'(q₁)∫g².

Source: C. Baldassi, A. Ingrosso, C. Lucibello, L. Saglietti, R. Zecchina, Phys. Rev. Lett. 115,
128101 (2015); arXiv:1905.07833.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from lsg_ray.minima.theory.gaussian import (
    binary_entropy,
    grid,
    half_grid,
    hazard,
    hazard_slope,
    log_2cosh,
    log_tail,
)
from lsg_ray.minima.theory.machines import MachineName, Majority, kappa, majority, product_rule
from lsg_ray.minima.theory.replica_symmetric import WeightName
from lsg_ray.typing import Floats

#: For the fields of ±1 weights, which jump at z = 0 where δq̂ > 1: z ≥ 0 only.
_FIELDS = half_grid(1601)
_PATTERNS = grid(1601)
#: Largest number of Newton steps; a dozen are usual.
_STEPS = 200
#: Nodes per axis for committees of few units, whose e has kinks: accurate to some 1e-3.
_NODES_OF_UNITS = 21
#: Largest number of steps of an ascent over x.
_ASCENTS = 100
#: Range of ln δq that is searched.
_LOG_SPREAD = (-14.0, 14.0)


@dataclass(frozen=True)
class Densest:
    """The densest region at overlap q₁.

    Parameters
    ----------
    overlap
        Overlap q₁ of two solutions of the region.
    entropy
        Entropy φ per weight, in nats; on the sphere relative to all weights at that overlap.
    spread
        Spread δq; infinite where nearly all configurations at that distance are solutions, so that
        φ is its bound.
    residual
        Relative residual of the last equation; NaN where there is no solution.
    """

    overlap: float
    entropy: float
    spread: float
    residual: float

    @property
    def distance(self) -> float:
        """Hamming distance per weight to the centre, (1 − √q₁)/2."""
        return (1 - np.sqrt(self.overlap)) / 2

    @property
    def converged(self) -> bool:
        """Whether the equations hold to 1e-7."""
        return abs(self.residual) < 1e-7


def local_fields(a: Floats, pull: float) -> Floats:
    """Return the solution h > 0 of h = a + δq̂ tanh h for a ≥ 0, by Newton's method from above.

    h − δq̂ tanh h is convex for h > 0, so the steps descend.
    """
    h = a + pull
    for _ in range(_STEPS):
        t = np.tanh(h)
        step = (h - a - pull * t) / (1 - pull * (1 - t * t))
        h = h - step
        if np.max(np.abs(step)) < 1e-13 * (1 + pull):
            break
    return h


def stabilities(a: Floats, free: float, push: float) -> Floats:
    """Return the solution u of u = a + δQ g(u), by Newton's method from below.

    u − δQ g(u) is concave and increases, so the steps ascend.
    """
    scale = np.sqrt(free)
    u = np.array(a, dtype=np.float64)
    for _ in range(_STEPS):
        v = -u / scale
        g, slope = hazard(v) / scale, -hazard_slope(v) / free
        step = (u - a - push * g) / (1 - push * slope)
        u = u - step
        if np.max(np.abs(step)) < 1e-12:
            break
    return u


@dataclass(frozen=True)
class _Patterns:
    """The energetic term at (q₁, δq): its value and ακ'∫g² without α."""

    value: float
    force: float


def _patterns(machine: MachineName, q1: float, spread: float) -> _Patterns:
    if machine in ("committee-3", "committee-5"):
        return _of_units(int(machine[-1]), q1, spread)
    k = kappa(machine, q1)
    free, push = 1 - k.at, k.slope * spread
    u = stabilities(np.sqrt(k.at) * _PATTERNS.z, free, push)
    v = -u / np.sqrt(free)
    g = hazard(v) / np.sqrt(free)
    return _Patterns(
        _PATTERNS.mean(-0.5 * push * g * g + log_tail(v)), k.slope * _PATTERNS.mean(g * g)
    )


def _of_units(units: int, q1: float, spread: float) -> _Patterns:
    """Return the same of a committee of K units: the best of local maxima over x in R^K.

    ln P is not concave; ascents start at x = 0 and where each smallest majority of units is
    pushed to be right.
    """
    z, weight = product_rule(units, _NODES_OF_UNITS)
    free, root = 1 - q1, np.sqrt(spread)
    base = np.sqrt(q1) * z
    pushed = (stabilities(base, free, spread) - base) / root
    best = np.full(z.shape[1], -np.inf)
    slope = np.zeros_like(z)
    least = (units + 1) // 2
    for chosen in ((), *itertools.combinations(range(units), least)):
        x = np.zeros_like(z)
        x[list(chosen)] = pushed[list(chosen)]
        value, x = _ascended(x, base, root, free)
        better = value > best
        best = np.where(better, value, best)
        slope = np.where(better, x / root, slope)
    return _Patterns(float(weight @ best), float(weight @ (slope**2).sum(axis=0)))


def _ascended(x: Floats, base: Floats, root: float, free: float) -> tuple[Floats, Floats]:
    """Return maxima of −|x|²/2 + ln P(base + root x) from x, by damped Newton steps."""
    eye = np.eye(len(x))
    damping = np.zeros(x.shape[1])

    def known(x: Floats) -> tuple[Floats, Majority]:
        law = majority((base + root * x) / np.sqrt(free), free)
        return law.log - 0.5 * (x * x).sum(axis=0), law

    value, law = known(x)
    for _ in range(_ASCENTS):
        gradient = root * law.slope - x
        if np.max(np.abs(gradient)) < 1e-8:
            break
        hessian = np.moveaxis(root**2 * law.curvature, -1, 0) - eye
        # A curvature that is not negative is shifted until it is.
        top = np.linalg.eigvalsh(hessian)[:, -1]
        shift = np.maximum(top + 0.1, 0) + damping
        step = -np.linalg.solve(hessian - shift[:, None, None] * eye, gradient.T[..., None])
        tried = x + step[..., 0].T
        now, its_law = known(tried)
        good = now >= value - 1e-14
        x = np.where(good, tried, x)
        value = np.where(good, now, value)
        law = Majority(*(np.where(good, new, old) for new, old in zip(its_law, law, strict=True)))
        damping = np.where(good, damping / 4, 4 * damping + 0.5)
    return value, x


class _Weights:
    """Fields of ±1 weights at overlap q₁ with pull δq̂; q̂ such that q₁ = ∫tanh² h."""

    def __init__(self, q1: float, pull: float) -> None:
        def excess(log_hat: float) -> float:
            h = local_fields(np.exp(0.5 * log_hat) * _FIELDS.z, pull)
            return _FIELDS.mean(np.tanh(h) ** 2) - q1

        low, high = -60.0, 0.0
        while excess(high) < 0:
            high += 2
        self.pull = pull
        self.hat = float(np.exp(brentq(excess, low, high, xtol=1e-13)))
        self.h = local_fields(np.sqrt(self.hat) * _FIELDS.z, pull)
        tilted = _FIELDS.mean(_FIELDS.z * np.tanh(self.h)) / np.sqrt(self.hat)
        self.spread = tilted - (1 - q1)

    def entropy(self, q1: float) -> float:
        """Return φ at α = 0."""
        own = _FIELDS.mean(-0.5 * self.pull * np.tanh(self.h) ** 2 + log_2cosh(self.h))
        return own - 0.5 * (self.hat * (1 - q1) + self.hat * self.spread + q1 * self.pull)


def _binary(alpha: float, q1: float, machine: MachineName) -> Densest:
    root = np.sqrt(q1)
    limit = np.arctanh(root) / root  # beyond it the weights decide by themselves

    def excess(logit: float) -> float:
        weights = _Weights(q1, limit / (1 + np.exp(-logit)))
        if weights.spread <= 0:
            return 1.0
        force = alpha * _patterns(machine, q1, weights.spread).force
        return (weights.hat - force) / (weights.hat + force)

    marks = np.linspace(-12, 16, 29)
    values = [excess(mark) for mark in marks]
    for i in range(len(marks) - 1):
        if values[i] > 0 >= values[i + 1]:
            logit = float(brentq(excess, marks[i], marks[i + 1], xtol=1e-12))
            weights = _Weights(q1, limit / (1 + np.exp(-logit)))
            phi = weights.entropy(q1) + alpha * _patterns(machine, q1, weights.spread).value
            return Densest(q1, phi, weights.spread, excess(logit))
    if values[-1] > 0:  # δq → ∞: the region holds nearly all configurations at that distance
        return Densest(q1, float(bound(q1)), np.inf, 0.0)
    return Densest(q1, np.nan, np.nan, np.nan)


def _spherical(alpha: float, q1: float, machine: MachineName) -> Densest:
    def value(log_spread: float) -> float:
        spread = np.exp(log_spread)
        return 0.5 * q1 / (1 - q1 + spread) + alpha * _patterns(machine, q1, spread).value

    def excess(log_spread: float) -> float:
        spread = np.exp(log_spread)
        given = q1 / (1 - q1 + spread) ** 2
        force = alpha * _patterns(machine, q1, spread).force
        return (given - force) / (given + force)

    few = machine in ("committee-3", "committee-5")  # where one value takes a second
    marks = np.linspace(*_LOG_SPREAD, 15 if few else 57)
    values = [value(mark) for mark in marks]
    best = int(np.argmin(values))
    if best in (0, len(marks) - 1):
        return Densest(q1, values[best], float(np.exp(marks[best])), np.nan)
    low, high = marks[best - 1], marks[best + 1]
    if not few and excess(low) * excess(high) < 0:
        at = float(brentq(excess, low, high, xtol=1e-13))
    else:
        at = float(minimize_scalar(value, bounds=(low, high), method="bounded").x)
    return Densest(q1, value(at), float(np.exp(at)), excess(at))


def densest(
    alpha: float, q1: float, weights: WeightName = "binary", machine: MachineName = "perceptron"
) -> Densest:
    """Return the densest region at overlap q₁ > q of typical solutions.

    >>> round(float(densest(0.6, 0.81).entropy), 5)
    0.13115
    """
    solve = _binary if weights == "binary" else _spherical
    return solve(float(alpha), float(q1), machine)


def bound(q1: Floats | float) -> Floats:
    """Return the entropy H₂((1 − √q₁)/2) of all ±1 configurations at that distance of a centre."""
    return binary_entropy((1 - np.sqrt(q1)) / 2)
