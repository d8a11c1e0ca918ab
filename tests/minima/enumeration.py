"""Solutions around a configuration of ±1 weights by enumeration, and by random flips: oracles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from lsg_ray.typing import Flags, Ints, Signs


def right_configurations(x: Signs, weights: Signs) -> Flags:
    """Return which configurations (rows, K, n) are right on patterns x (P, K or 1, n), by sums."""
    units = weights.shape[1]
    votes = np.zeros((len(weights), len(x)), np.int64)
    for unit in range(units):
        h = weights[:, unit].astype(np.int64) @ x[:, unit % x.shape[1]].T
        votes += np.sign(h)
    right: Flags = np.all(votes > 0, axis=1)
    return right


class Counts(NamedTuple):
    """Result of an enumeration: number of solutions by flips d = 0 … N, (N + 1,)."""

    solutions: Ints

    def log_partition(self, gamma: float) -> float:
        """Return F(γ) = ln Σ_d #(d) e^{γ(N − 2d)}/N."""
        n = len(self.solutions) - 1
        exponent = gamma * (n - 2 * np.arange(n + 1))
        good = self.solutions > 0
        return float(np.logaddexp.reduce(exponent[good] + np.log(self.solutions[good])) / n)

    def overlap(self, gamma: float) -> float:
        """Return S(γ)."""
        n = len(self.solutions) - 1
        s = n - 2 * np.arange(n + 1)
        with np.errstate(divide="ignore"):
            exponent = gamma * s + np.log(self.solutions)
        chance = np.exp(exponent - exponent.max())
        return float(chance @ s / chance.sum() / n)


def enumerate_solutions(x: Signs, reference: Signs) -> Counts:
    """Count the solutions at each distance of a reference (K, n), one by one.

    x (P, K or 1, n), labels absorbed.

    Notes
    -----
    2^N sums.

    >>> enumerate_solutions(np.ones((1, 1, 3), np.int8), np.ones((1, 3), np.int8)).solutions
    array([1, 3, 0, 0])
    """
    units, n = reference.shape
    size = units * n
    solutions = np.zeros(size + 1, np.int64)
    step = 2 ** min(size, 16)
    for start in range(0, 2**size, step):
        bits = np.arange(start, start + step)[:, None] >> np.arange(size) & 1
        flips = bits.sum(axis=1)
        weights = reference * (1 - 2 * bits).reshape(-1, units, n)
        good = right_configurations(x, weights.astype(np.int8))
        solutions += np.bincount(flips[good], minlength=size + 1)
    return Counts(solutions)


def sampled_entropy(
    x: Signs, reference: Signs, flips: int, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return ln(number of solutions at that many flips)/N by random flips, and its standard error.

    (−∞, NaN) where no draw is a solution.  Useful where these are not rare: for small N or flips.
    """
    units, n = reference.shape
    size = units * n
    order = np.argsort(rng.random((draws, size)), axis=1)[:, :flips]
    weights = np.repeat(reference.reshape(1, -1), draws, axis=0)
    np.put_along_axis(weights, order, -np.take_along_axis(weights, order, 1), 1)
    share = float(right_configurations(x, weights.reshape(-1, units, n)).mean())
    if share == 0:
        return -np.inf, np.nan
    ways = gammaln(size + 1) - gammaln(flips + 1) - gammaln(size - flips + 1)
    error = np.sqrt((1 - share) / share / draws)
    return float((ways + np.log(share)) / size), float(error / size)
