"""Histograms that respect what can occur.

Accuracies are multiples of one over the number of examples, magnetizations of 2/M, overlaps of
2/N.  Bins whose width is no multiple of that step hold now more, now fewer of the values that can
occur, and a smooth distribution looks like a comb.  Here every bin is a whole number of steps.
All functions conserve counts: the sum of density times width is the number of values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers
from lsg_ray.ensemble.ledger import REJECTION_BINS
from lsg_ray.errors import InputError
from lsg_ray.typing import Array, Floats, Ints


class Histogram(NamedTuple):
    """Counts (bins,) int64 between edges (bins + 1,), ascending, of any width."""

    counts: Ints
    edges: Floats

    @property
    def widths(self) -> Floats:
        """Width of each bin."""
        return np.diff(self.edges)

    def density(self, total: float | None = None) -> Floats:
        """Counts per unit of the axis, divided by `total` (by default their sum)."""
        norm = self.counts.sum() if total is None else total
        return self.counts / self.widths / max(norm, 1)


def lattice_histogram(
    counts: ArrayLike, values: ArrayLike, *, bins: int = 60, around: float = 0.0, smallest: int = 1
) -> Histogram:
    """Merge counts at equidistant values into about `bins` bins over the occupied range.

    Parameters
    ----------
    counts
        (values,) number of samples at each value.
    values
        (values,) ascending, equidistant: every value that can occur.
    bins
        Approximate number of bins.
    around
        Value that a bin is centred near, so that a symmetric distribution looks symmetric.
    smallest
        Smallest number of values in a bin.

    Returns
    -------
    Histogram
        Edges lie half a step beside the values; two empty bins surround the occupied ones.
    """
    number = as_numbers(counts, "counts", np.int64)
    positions = as_numbers(values, "values")
    step = positions[1] - positions[0] if len(positions) > 1 else 1.0
    occupied = np.flatnonzero(number)
    if not len(occupied):
        return Histogram(np.zeros(1, np.int64), np.array([positions[0], positions[-1] + step]))
    low, high = int(occupied[0]), int(occupied[-1])
    size = max(1, smallest, -(-(high - low + 1) // bins))
    centre = round((around - positions[0]) / step) - size // 2
    first = low - (low - centre) % size - size
    n_bins = (high - first) // size + 2
    bin_of = (np.arange(low, high + 1) - first) // size
    merged = np.bincount(bin_of, number[low : high + 1], n_bins).astype(np.int64)
    return Histogram(merged, positions[0] + step * (first + size * np.arange(n_bins + 1) - 0.5))


def mean_histogram(means: ArrayLike, count: int, *, bins: int = 40) -> Histogram:
    """Histogram means over `count` values of ±1: multiples of 2/M beside −1.

    For `count` above 20,000 the lattice has 20,000 steps, finer than any bin.
    """
    values = as_numbers(means, "means")
    n = min(count, 20_000)
    lattice = 2 * np.arange(n + 1) / n - 1
    index = np.clip(np.rint((values + 1) / 2 * n), 0, n).astype(np.int64)
    return lattice_histogram(np.bincount(index, minlength=n + 1), lattice, bins=bins)


def attainable_bins(n_examples: int) -> Ints:
    """Return the ledger's bin of each accuracy 0/n, 1/n, …, n/n, computed as the sampler does."""
    accuracy = np.arange(n_examples + 1) / n_examples
    return np.minimum((accuracy * REJECTION_BINS).astype(np.int64), REJECTION_BINS - 1)


def accuracy_histograms(
    accepted: ArrayLike, rejected: ArrayLike, n_examples: int, threshold: float, *, bins: int = 50
) -> tuple[Histogram, Histogram]:
    """Histogram the accuracies of accepted and rejected trials between the same edges.

    The ledger counts rejected trials in bins of 0.005.  Each of them, or several together, is drawn
    as wide as the accuracies k/n that fall into it: from the first of them to the first of the
    next bin.  Bins are merged from the threshold outwards, so that it is an edge where it can be.

    Parameters
    ----------
    accepted
        (rows,) accuracies.
    rejected
        (`REJECTION_BINS`,) trials in each bin of the ledger.
    n_examples
        Number n of examples that the accuracy is computed on.
    threshold
        Smallest accuracy of accepted trials.
    bins
        Approximate number of bins over the occupied range.
    """
    ledger = as_numbers(rejected, "rejected", np.int64)
    if ledger.shape != (REJECTION_BINS,):
        raise InputError(
            f"rejected: counts of shape {ledger.shape} given; it must be ({REJECTION_BINS},)"
        )
    bin_of = attainable_bins(n_examples)
    hits = np.rint(as_numbers(accepted, "accepted") * n_examples).astype(np.int64)
    kept = np.bincount(bin_of[hits], minlength=REJECTION_BINS)
    occupied = np.flatnonzero(kept + ledger)
    low, high = (int(occupied[0]), int(occupied[-1])) if len(occupied) else (0, REJECTION_BINS - 1)
    size = max(1, -(-(high - low + 1) // bins))
    anchor = min(int(threshold * REJECTION_BINS + 1e-9), REJECTION_BINS - 1)
    borders = np.arange(low - (low - anchor) % size, high + size + 1, size)
    # a bin that no accuracy falls into would have no width: it is joined to the next
    first_hit, chosen = np.unique(np.searchsorted(bin_of, borders), return_index=True)
    if len(first_hit) < 2:
        first_hit, chosen = np.array([first_hit[0], first_hit[0] + 1]), np.array([0, 0])
    starts = np.clip(borders[chosen], 0, REJECTION_BINS)
    starts[0], starts[-1] = 0, REJECTION_BINS
    edges = first_hit / n_examples

    def merge(trials: Ints) -> Histogram:
        total = np.concatenate([[0], np.cumsum(trials)])
        return Histogram(np.diff(total[starts]), edges)

    return merge(kept), merge(ledger)


def block_average(C: Array, m: Array, largest: int) -> tuple[Floats, int]:
    """Return connected correlations C_ij − m_i m_j, averaged over square blocks if need be.

    Parameters
    ----------
    C, m
        (N, N) correlations and (N,) magnetizations.
    largest
        Largest side of the result.

    Returns
    -------
    connected, size
        (n, n) with n = ceil(N / size); pairs i = j are left out, and blocks of such pairs alone
        (the diagonal, for size 1) are NaN.  No N × N array is made for size > 1.
    """
    n_weights = len(m)
    size = max(1, -(-n_weights // largest))
    n = -(-n_weights // size)
    starts = np.arange(0, n_weights, size)
    extent = np.diff(np.append(starts, n_weights))
    image = np.empty((n, n))
    for row, (start, height) in enumerate(zip(starts, extent, strict=True)):
        strip = C[start : start + height] - np.outer(m[start : start + height], m)
        inside = np.arange(height)
        strip[inside, start + inside] = 0.0
        pairs = height * extent
        pairs[row] -= height
        sums = np.add.reduceat(strip.sum(axis=0), starts)
        image[row] = np.divide(sums, pairs, out=np.full(n, np.nan), where=pairs > 0)
    return image, size


def pair_histogram(
    C: Array, m: Array, groups: Ints, edges: Floats
) -> dict[tuple[int, int], Histogram]:
    """Histogram C_ij − m_i m_j over pairs i < j, by the groups of i and j, row by row.

    Parameters
    ----------
    C, m
        (N, N) correlations and (N,) magnetizations.
    groups
        (N,) number of the group (part) of each weight, ascending.
    edges
        Equidistant; values beyond them count in the outermost bins.

    Returns
    -------
    Histograms by (group of i, group of j); pairs of groups without pairs of weights are left out.
    """
    n_bins, n_groups = len(edges) - 1, int(groups.max()) + 1
    scale = n_bins / (edges[-1] - edges[0])
    counts = np.zeros((n_groups, n_groups, n_bins), np.int64)
    borders = np.searchsorted(groups, np.arange(n_groups + 1))
    for i in range(len(m) - 1):
        row = C[i, i + 1 :] - m[i] * m[i + 1 :]
        index = np.clip((row - edges[0]) * scale, 0, n_bins - 1).astype(np.int64)
        for other in range(groups[i], n_groups):
            part = index[max(borders[other] - i - 1, 0) : max(borders[other + 1] - i - 1, 0)]
            counts[groups[i], other] += np.bincount(part, minlength=n_bins)
    return {
        (a, b): Histogram(counts[a, b], edges)
        for a in range(n_groups)
        for b in range(a, n_groups)
        if counts[a, b].any()
    }
