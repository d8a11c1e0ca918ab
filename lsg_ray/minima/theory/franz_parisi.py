"""Solutions around a reference: the Franz–Parisi potential of the binary perceptron.

How many solutions (without errors) surround a reference drawn with a kernel
(`lsg_ray.minima.theory.cross_entropy`) at overlap S = 1 − 2D: solutions of overlap q with one
another and S with the reference, t with another reference, stationary in q, q̂, t, t̂ and Ŝ,

    φ = −q̂(1−q)/2 − Ŝ S + t̂ t + E ln 2cosh(t̂/√q̃̂ z + √(q̂ − t̂²/q̃̂) v + (Ŝ − t̂) w)
        + α E_{z,u~K,v} ln H(−M/√(1−q)),
    M = (t/√q̃) z + ((S−t)/√(1−q̃)) u + √(q − t²/q̃ − (S−t)²/(1−q̃)) v,

with q̃, q̃̂ of the reference and P(w|z) ∝ e^{√q̃̂ z w};  q = E tanh², S = E w tanh,
t = E tanh(√q̃̂ z) tanh, q̂ = αE g², t̂ = αE g̃ g.  Around a typical solution the potential at
D = (1 − q̃)/2 is the entropy of all solutions.

Source: S. Franz, G. Parisi, J. Phys. I 5, 1401 (1995); H. Huang, Y. Kabashima, Phys. Rev. E 90,
052813 (2014); C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from lsg_ray.minima.theory.cross_entropy import Reference
from lsg_ray.minima.theory.gaussian import (
    clustered_grid,
    grid,
    hazard,
    log_2cosh,
    log_density,
    log_tail,
)
from lsg_ray.typing import Floats

#: Rules of z and v for fields, of z and v for patterns, and Gauss–Legendre for u on [−1, 1].
_FIELDS, _FIELD_NOISE = clustered_grid(301, 0.05), grid(61, 7.0)
_PATTERNS, _NOISE = grid(97, 7.5), grid(49, 7.0)
_NODES, _RULE = np.polynomial.legendre.leggauss(64)
#: Largest number of iterations of the equations for q and t, and the change that ends them.
_ROUNDS, _SETTLED = 2000, 1e-10


@dataclass(frozen=True)
class Around:
    """Solutions around a reference.

    Parameters
    ----------
    distance
        Distance D, the share of weights that differ from the reference.
    entropy
        Entropy φ per weight, in nats.
    overlap, other
        Overlap q of two such solutions, and t of one with another reference.
    residual
        Last change of q and t.
    """

    distance: float
    entropy: float
    overlap: float
    other: float
    residual: float

    @property
    def converged(self) -> bool:
        """Whether q and t have converged."""
        return self.residual < 1e-8


class _Hats(NamedTuple):
    q: float
    t: float
    s: float


class _Moments(NamedTuple):
    """E tanh², E w tanh, E tanh(√q̃̂ z) tanh, and E ln 2cosh."""

    q: float
    s: float
    t: float
    value: float


class _Potential:
    """The potential of one reference; what depends on it alone is computed once."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    @cached_property
    def _up(self) -> Floats:
        return expit(2 * np.sqrt(self.reference.conjugate) * _FIELDS.z)

    @cached_property
    def _patterns(self) -> tuple[Floats, Floats, Floats]:
        """Return nodes u (z, u), their weights under the kernel, and g̃ (z, 1)."""
        kernel, q = self.reference.kernel, self.reference.overlap
        root, free = np.sqrt(q), np.sqrt(1 - q)
        z = _PATTERNS.z[:, None]
        low, high = _range_of_law(self.reference)
        u = 0.5 * (low + high) + 0.5 * (high - low) * _NODES
        exponent = kernel.log(root * z + free * u) + log_density(u)
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True)) * _RULE
        weight /= weight.sum(axis=1, keepdims=True)
        return u, weight, (weight * u).sum(axis=1, keepdims=True) / free

    def moments(self, hats: _Hats) -> _Moments:
        hat = self.reference.conjugate
        rest = np.sqrt(max(hats.q - hats.t**2 / hat, 0.0))
        common = hats.t / np.sqrt(hat) * _FIELDS.z[:, None] + rest * _FIELD_NOISE.z
        shift = hats.s - hats.t
        q = s = t = value = 0.0
        sign_of_other = np.tanh(np.sqrt(hat) * _FIELDS.z)
        for w, chance in ((1.0, self._up), (-1.0, 1 - self._up)):
            x = common + shift * w
            tanh, law = np.tanh(x), _FIELDS.weight * chance
            mean = tanh @ _FIELD_NOISE.weight
            q += float(law @ (tanh**2 @ _FIELD_NOISE.weight))
            s += w * float(law @ mean)
            t += float((law * sign_of_other) @ mean)
            value += float(law @ (log_2cosh(x) @ _FIELD_NOISE.weight))
        return _Moments(q, s, t, value)

    def conjugates(self, q: float, t: float, s: float) -> tuple[float, float, float]:
        """Return q̂/α, t̂/α and E ln H."""
        u, law, own = self._patterns
        v, free = self._stabilities(q, t, s, u), np.sqrt(1 - q)
        g = hazard(v) / free
        g1, g2 = g @ _NOISE.weight, (g * g) @ _NOISE.weight
        value = log_tail(v) @ _NOISE.weight
        # The reference's own force of each example, not its mean, is u/√(1 − q̃).
        mean = _PATTERNS.weight
        return (
            float(mean @ (law * g2).sum(axis=1)),
            float(mean @ (own[:, 0] * (law * g1).sum(axis=1))),
            float(mean @ (law * value).sum(axis=1)),
        )

    def _stabilities(self, q: float, t: float, s: float, u: Floats) -> Floats:
        own = self.reference.overlap
        rest = max(q - t * t / own - (s - t) ** 2 / (1 - own), 0.0)
        known = t / np.sqrt(own) * _PATTERNS.z[:, None] + (s - t) / np.sqrt(1 - own) * u
        return -(known[..., None] + np.sqrt(rest) * _NOISE.z) / np.sqrt(1 - q)

    def field(self, q_hat: float, t_hat: float, s: float) -> float:
        """Return Ŝ such that S = E w tanh."""

        def excess(s_hat: float) -> float:
            return self.moments(_Hats(q_hat, t_hat, s_hat)).s - s

        low, high = -1.0, 1.0
        while excess(low) > 0:
            low *= 2
        while excess(high) < 0:
            high *= 2
        return float(brentq(excess, low, high, xtol=1e-12))


def _range_of_law(reference: Reference) -> tuple[Floats, Floats]:
    """Return where u given z has nearly all of its weight: eight deviations around the mean."""
    kernel, q = reference.kernel, reference.overlap
    root, free = np.sqrt(q), np.sqrt(1 - q)
    z = _PATTERNS.z[:, None]
    if kernel.gamma is None:  # a Gaussian, cut: its tail beyond a has scale 1/a
        cut = np.maximum(-root / free * z, -9.0)
        return cut, np.maximum(9.0, cut + 40 / np.maximum(cut, 1.0))
    fine = np.linspace(-36, 36, 2401)
    exponent = kernel.log(root * z + free * fine) + log_density(fine)
    law = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    law /= law.sum(axis=1, keepdims=True)
    mean = (law @ fine)[:, None]
    deviation = np.sqrt(np.maximum((law @ fine**2)[:, None] - mean**2, 1e-4))
    return mean - 8 * deviation, mean + 8 * deviation


def around(reference: Reference, distance: float) -> Around:
    """Return the solutions at a distance D of a reference.

    >>> from lsg_ray.minima.theory.cross_entropy import solutions
    >>> round(around(solutions(0.4), 0.05).entropy, 4)
    0.1144
    """
    potential, alpha, s = _Potential(reference), reference.alpha, 1 - 2 * distance
    q, t = s * s + 0.3 * (1 - s * s), s * reference.overlap
    change = np.inf
    for _ in range(_ROUNDS):
        q_hat, t_hat, _ = (alpha * x for x in potential.conjugates(q, t, s))
        hats = _Hats(q_hat, t_hat, potential.field(q_hat, t_hat, s))
        now = potential.moments(hats)
        change = max(abs(now.q - q), abs(now.t - t))
        q, t = q + 0.5 * (now.q - q), t + 0.5 * (now.t - t)
        if change < _SETTLED:
            break
    q_force, t_force, value = potential.conjugates(q, t, s)
    q_hat, t_hat = alpha * q_force, alpha * t_force
    hats = _Hats(q_hat, t_hat, potential.field(q_hat, t_hat, s))
    phi = -q_hat * (1 - q) / 2 - hats.s * s + t_hat * t + potential.moments(hats).value
    return Around(distance, phi + alpha * value, q, t, change)
