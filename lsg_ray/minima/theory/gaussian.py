"""Gaussian integrals: tails, hazard rates, and grids that integrate them.

H(x) = ∫_x^∞ Dz, Dz = e^{−z²/2} dz/√(2π), and R(v) = G(v)/H(v) with the density G.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr

from lsg_ray.typing import Floats

_LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)


class Grid(NamedTuple):
    """Nodes and weights of ∫Dz."""

    z: Floats
    weight: Floats

    def mean(self, values: Floats) -> float:
        """Return ∫Dz of values on the nodes, along the last axis summed to a number."""
        return float(np.sum(values * self.weight))


def grid(nodes: int = 1601, reach: float = 10.0) -> Grid:
    """Return the trapezoidal rule on [−reach, reach], of weights that sum to one.

    For analytic integrands it converges exponentially in the number of nodes, and unlike
    Gauss–Hermite it does not suffer from kinks far out.

    >>> round(grid().mean(grid().z ** 4), 12)
    3.0
    """
    z = np.linspace(-reach, reach, nodes)
    weight = np.exp(-0.5 * z * z)
    return Grid(z, weight / weight.sum())


def half_grid(nodes: int = 1601, reach: float = 10.0) -> Grid:
    """Return a rule for ∫Dz of even functions that may have a kink at 0: Simpson's on z ≥ 0.

    >>> round(half_grid().mean(np.abs(half_grid().z)), 8) == round((2 / np.pi) ** 0.5, 8)
    True
    """
    z = np.linspace(0, reach, nodes | 1)
    rule = np.ones_like(z)
    rule[1:-1:2], rule[2:-1:2] = 4, 2
    weight = rule * np.exp(-0.5 * z * z)
    return Grid(z, weight / weight.sum())


def clustered_grid(nodes: int = 301, width: float = 0.1, reach: float = 9.0) -> Grid:
    """Return a rule that is fine near z = 0: z = width sinh s, with equidistant s.

    >>> round(clustered_grid().mean(clustered_grid().z ** 2), 10)
    1.0
    """
    s = np.linspace(-1, 1, nodes) * np.arcsinh(reach / width)
    z = width * np.sinh(s)
    weight = np.cosh(s) * np.exp(-0.5 * z * z)
    return Grid(z, weight / weight.sum())


def log_density(v: Floats) -> Floats:
    """Return ln G(v)."""
    return -0.5 * v * v - _LOG_SQRT_2PI


def log_tail(v: Floats) -> Floats:
    """Return ln H(v), accurate far out."""
    return log_ndtr(-np.asarray(v))


def hazard(v: Floats) -> Floats:
    """Return R(v) = G(v)/H(v) = −d ln H/dv; it tends to v for large v, to 0 for small."""
    return np.exp(log_density(v) - log_tail(v))


def hazard_slope(v: Floats) -> Floats:
    """Return R'(v) = R(v)(R(v) − v), between 0 and 1."""
    r = hazard(v)
    return r * (r - v)


def log_2cosh(x: Floats) -> Floats:
    """Return ln 2cosh(x), for any x."""
    return np.logaddexp(x, -np.asarray(x))


def binary_entropy(d: Floats) -> Floats:
    """Return H₂(d) = −d ln d − (1−d) ln(1−d), in nats: the logarithm per weight of the number of
    configurations at Hamming distance d.

    >>> round(float(binary_entropy(0.5)), 6)
    0.693147
    """
    d = np.asarray(d, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = -d * np.log(d) - (1 - d) * np.log1p(-d)
    return np.where((d <= 0) | (d >= 1), 0.0, terms)
