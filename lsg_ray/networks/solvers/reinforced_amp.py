"""Reinforced approximate message passing for perceptrons of ±1 weights, at inverse temperature B.

Where messages u are small, they need not be stored: with labels absorbed, ξ ← sξ,

    V = Σ_i (1 − a_i²),   M_p = Σ_i ξ_pi a_i − V g_p,   g_p ← d/dM ln[e^−B + (1 − e^−B) Φ(M/√V)],
    h_i ← Σ_p ξ_pi g_p − a_i Σ_p dg_p/dM + r_t h_i,   a_i = tanh h_i,   r_t = 1 − (1 − ρ)^t,

and W = sign h.  At B = ∞ it may diverge: then it stops.  Patterns are packed as bits and read once
a sweep: O(P n) time, P n/8 bytes, and O(P + n) beside.

Source: D. L. Donoho, A. Maleki, A. Montanari, PNAS 106, 18914 (2009); with reinforcement on the
binary perceptron, arXiv:2607.27000.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lsg_ray.networks.solvers.sweeps import Messages, algorithm
from lsg_ray.typing import Array, Floats, Signs

#: Patterns whose sums are taken in float32 before they are added in float64.
_CHUNK = 1024
#: Smallest variance of a sum.
_NARROWEST = 1e-6


class Options(Messages):
    """Options of reinforced AMP; ``training.epochs`` bounds its sweeps."""

    rate: float = Field(0.003, ge=0, lt=1, description="Rate ρ of reinforcement.")
    inverse_temperature: float | None = Field(
        8.0,
        gt=0,
        description="Inverse temperature B: a wrong pattern has weight e^−B; null is infinity.",
    )
    clip: float = Field(30.0, gt=0, description="Largest field |h|.")
    start: float = Field(0.01, gt=0, description="Standard deviation of the first fields.")


def packed(x: Array) -> NDArray[np.uint32]:
    """Return patterns ±1 (P, n) as bits (P, ⌈n/32⌉), see `lsg_ray.kernels`.

    >>> packed(np.array([[1, -1, -1]]))
    array([[6]], dtype=uint32)
    """
    words = np.zeros((len(x), -(-x.shape[1] // 32)), "<u4")
    for start in range(0, len(x), _CHUNK):
        bits = np.packbits(x[start : start + _CHUNK] < 0, axis=1, bitorder="little")
        words[start : start + _CHUNK].view(np.uint8)[:, : bits.shape[1]] = bits
    return words


def amp(
    words: NDArray[np.uint32], n: int, options: Options, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield fields (1, n), those at random first, then after each sweep; not finite if it diverges.

    words: patterns from `packed`, labels absorbed.
    """
    from lsg_ray.kernels.approximate_message_passing import PATTERNS, sums

    width = 32 * words.shape[1]
    warm = options.inverse_temperature
    error_weight = 0.0 if warm is None else math.exp(-warm)
    h, g, stays = options.start * rng.standard_normal(n), np.zeros(len(words)), 1.0
    a, part = np.zeros(width, np.float32), np.empty(width, np.float32)
    lanes = np.empty((PATTERNS, 32), np.float32)
    bias = options.noise * rng.standard_normal(n)
    yield h[None]
    while True:
        a[:n] = np.tanh(h)
        variance = max(n - float(np.sum(a.astype(np.float64) ** 2)), _NARROWEST)
        said, slope = bias.copy(), 0.0
        for start in range(0, len(words), _CHUNK):
            some = slice(start, start + _CHUNK)
            part[:] = 0
            slope += sums(words[some], a, variance, error_weight, g[some], part, lanes)
            said += part[:n]
        stays *= 1 - options.rate
        h = said - a[:n] * slope + (1 - stays) * h
        h = np.clip(h, -options.clip, options.clip)  # NaN stays
        yield h[None]


def wrong(words: NDArray[np.uint32], weights: Array) -> int:
    """Return how many patterns, from `packed`, weights with these signs (n,) get wrong."""
    from lsg_ray.kernels.approximate_message_passing import PATTERNS, count_wrong

    signs = np.zeros(32 * words.shape[1], np.float32)
    signs[: len(weights)] = np.where(weights >= 0, 1, -1)
    return int(count_wrong(words, signs, np.empty((PATTERNS, 32), np.float32)))


def _of_patterns(x: Signs, _: int, options: Options, rng: np.random.Generator) -> Iterator[Floats]:
    return amp(packed(x[:, 0]), x.shape[-1], options, rng)


ALGORITHM = algorithm(
    "reinforced-amp", ("perceptron",), Options, _of_patterns, check=lambda *_: None
)
