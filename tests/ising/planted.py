"""Systems whose verdicts are known: ferromagnetic blocks, in a gauge, in a field, in weak noise.

A block of B spins with J = K/(B − 1) between them has uniform solutions only, so its fixed points
are those of one equation: for belief propagation μ = tanh(h + (B − 2) atanh(tanh J · μ)), for TAP
m = tanh(h + (B − 1)(J m − J² m (1 − m²))).
"""

from typing import NamedTuple

import numpy as np


class Block(NamedTuple):
    """Spins 0 … B − 1 of N, coupled by K/(B − 1), in a field; pattern: the gauge (N,)."""

    n: int
    size: int
    strength: float
    field: float
    pattern: np.ndarray

    @property
    def J(self):  # noqa: N802
        J = np.zeros((self.n, self.n))
        J[: self.size, : self.size] = self.strength / (self.size - 1)
        np.fill_diagonal(J, 0)
        return J * np.outer(self.pattern, self.pattern)

    @property
    def h(self):
        h = np.zeros(self.n)
        h[: self.size] = self.field
        return h * self.pattern


def random_block(rng, n=None, size=None, strength=None, field=None):
    n = int(rng.integers(40, 200)) if n is None else n
    size = int(rng.integers(5, n + 1)) if size is None else size
    strength = float(rng.uniform(0.6, 1.8)) if strength is None else strength
    field = float(rng.uniform(-0.3, 0.3)) if field is None else field
    return Block(n, size, strength, field, rng.choice([-1.0, 1.0], n))


def noise(rng, n, temperature):
    J = np.triu(rng.normal(size=(n, n)), 1) / np.sqrt(n) / temperature
    return J + J.T


def fixed_points(function, points=40_000):
    """Magnetizations at which an increasing or smooth function of m crosses zero."""
    m = np.tanh(np.linspace(-9, 9, points))
    values = function(m)
    crossing = np.flatnonzero(np.sign(values[1:]) != np.sign(values[:-1]))
    return m[crossing] - values[crossing] * (m[crossing + 1] - m[crossing]) / (
        values[crossing + 1] - values[crossing]
    )


def largest_gap(block):
    """Widest gap in d between the two stable branches of belief propagation, over all fields.

    The field at which m is a solution is in closed form, so a loop is where it falls as m grows.
    """
    b, t = block.size, np.tanh(block.strength / (block.size - 1))
    mu = np.tanh(np.linspace(-6, 6, 20_001))
    x = np.arctanh(mu) - (b - 2) * np.arctanh(t * mu)
    m = np.tanh(x + (b - 1) * np.arctanh(t * mu))
    falls = np.flatnonzero(np.diff(x) < 0)
    if not len(falls):
        return 0.0
    low, high = falls[0], falls[-1] + 1  # the spinodals: a local maximum and a local minimum of x
    lower, upper = slice(0, low + 1), slice(high, None)
    fields = np.linspace(x[high], x[low], 2001)
    gap = np.interp(fields, x[upper], m[upper]) - np.interp(fields, x[lower], m[lower])
    return float(gap.max()) * b / block.n / 2


def tap_minima(block):
    """Number of minima of the TAP free energy, and the least |curvature| of a stationary point."""
    b, J, h = block.size, block.strength / (block.size - 1), block.field
    k, o = (b - 1) * J, (b - 1) * J * J
    points = fixed_points(lambda m: h + k * m - o * m * (1 - m * m) - np.arctanh(m))
    slope = k - o * (1 - 3 * points**2) - 1 / (1 - points**2)
    curvature = -slope * (1 - points**2)
    return int((curvature > 0).sum()), float(np.abs(curvature).min()), len(points)
