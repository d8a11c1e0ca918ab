"""Solutions around a configuration of ±1 weights: how many there are at a distance, by messages.

With external fields γ W̃ on the weights of a machine, and ln Z of belief propagation
(`lsg_ray.kernels.message_passing`),

    F(γ) = ln Z/N,   S = Σ_i W̃_i ⟨W_i⟩/N,   D = (1 − S)/2,   Σ(D) = F(γ) − γ S,

so that e^{NΣ(D)} solutions lie at Hamming distance N D of W̃, of e^{N H₂(D)} configurations.  γ
goes from large to 0, with the messages of one field to the next; at γ = 0 these are all solutions.
Σ is a Legendre transform: where it is not concave in D, nothing is seen.  Where messages do not
converge, results are NaN.

Source: C. Baldassi et al., Phys. Rev. Lett. 115, 128101 (2015); PNAS 113, E7655 (2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from lsg_ray.errors import InputError
from lsg_ray.minima.theory.gaussian import binary_entropy
from lsg_ray.networks.factor_graph import FactorGraph
from lsg_ray.typing import Flags, Floats, Ints, Signs

#: Fields γ by default: distances from 0.01 to those of all solutions.
GAMMAS = (2.5, 2.0, 1.6, 1.3, 1.05, 0.85, 0.7, 0.55, 0.42, 0.3, 0.2, 0.1, 0.0)
#: Damping that is tried where messages do not converge.
STRONGER = (0.6, 0.85)
#: Largest number of weights that are enumerated.
MOST_ENUMERATED = 24


class Enumerator(NamedTuple):
    """The curve of one reference, each (γ,).

    entropy Σ in nats per weight and distance D, NaN where messages have not converged; bound H₂(D);
    log_partition F; overlap S; converged; sweeps, of all dampings; residual, the largest last
    change of a message.
    """

    entropy: Floats
    distance: Floats
    bound: Floats
    log_partition: Floats
    overlap: Floats
    converged: Flags
    sweeps: Ints
    residual: Floats


def weight_enumerator(
    graph: FactorGraph,
    reference: Floats,
    gammas: Sequence[float] = GAMMAS,
    *,
    damping: float = 0.3,
    tolerance: float = 1e-6,
    max_sweeps: int = 500,
) -> Enumerator:
    """Count the solutions around one reference (K, n).

    Messages start from zero; the graph is left with those of the last field.  Where they do not
    converge, more damping is tried, and the next field begins anew.  Cost of a sweep: O(P N).

    >>> graph = FactorGraph(np.ones((0, 1, 5), np.int8))
    >>> curve = weight_enumerator(graph, np.ones((1, 5)), [1.0])
    >>> bool(np.allclose(curve.entropy, curve.bound)), round(float(curve.distance[0]), 4)
    (True, 0.1192)
    """
    rows = []
    graph.start()
    for gamma in gammas:
        external = gamma * reference
        sweeps, residual = 0, np.inf
        for strength in (damping, *(one for one in STRONGER if one > damping)):
            convergence = graph.solve(external, strength, tolerance, max_sweeps)
            sweeps, residual = sweeps + convergence.sweeps, convergence.residual
            if convergence.converged:
                break
            graph.start()
        converged = bool(residual <= tolerance)
        values = (np.nan,) * 5
        if converged:
            total = external + graph.fields
            overlap = float(np.mean(reference * np.tanh(total)))
            free = graph.log_partition(total) / graph.n_weights
            distance = (1 - overlap) / 2
            bound = float(binary_entropy(np.array(distance))) if 0 < distance < 1 else 0.0
            values = (free - gamma * overlap, distance, bound, free, overlap)
        rows.append((*values, converged, sweeps, residual))
    return Enumerator(*map(np.array, zip(*rows, strict=True)))


def all_solutions(
    graph: FactorGraph, *, damping: float = 0.3, tolerance: float = 1e-6, max_sweeps: int = 500
) -> tuple[float, bool]:
    """Return the entropy of all solutions per weight, in nats, and whether messages have converged.

    NaN where they have not.
    """
    curve = weight_enumerator(
        graph, np.zeros(graph.shape), (0.0,), damping=damping, tolerance=tolerance,
        max_sweeps=max_sweeps,
    )  # fmt: skip
    return float(curve.entropy[0]), bool(curve.converged[0])


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

    Raises
    ------
    InputError
        More than 24 weights.

    Notes
    -----
    2^N sums.

    >>> enumerate_solutions(np.ones((1, 1, 3), np.int8), np.ones((1, 3), np.int8)).solutions
    array([1, 3, 0, 0])
    """
    units, n = reference.shape
    size = units * n
    if size > MOST_ENUMERATED:
        raise InputError(f"{size} weights given; at most {MOST_ENUMERATED} are enumerated")
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
