"""Distances of every configuration to a few references: one histogram for each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import read_only
from lsg_ray.errors import InputError
from lsg_ray.results.graph import compute
from lsg_ray.results.records import reduce_tasks
from lsg_ray.statistics.configurations import Configurations, check_same_weights, ranges
from lsg_ray.statistics.copies import effective_groups, pairs_of_copies
from lsg_ray.statistics.euclidean import MAX_REFERENCES
from lsg_ray.statistics.pairs import PAIRS, as_words
from lsg_ray.statistics.signs import sign_sums
from lsg_ray.statistics.views import take_any
from lsg_ray.typing import Floats, Ints, Progress, Signs

#: Number of copies that are compared with references at a time.
COPIES_AT_ONCE = 2**14


class ReferenceCounts(NamedTuple):
    """Configurations by distance to each reference, and the magnetizations of the ensemble.

    counts: (R, N + 1); m: (N,); references: (R, N) ±1; rows: configurations; copies: pairs of
    copies, with their distances to each reference, (R, pairs) each, or None; independent: K of
    `lsg_ray.statistics.copies`, the rows if there are none.
    """

    counts: Ints
    m: Floats
    references: Signs
    rows: int
    copies: tuple[Ints, Ints] | None
    independent: float


def count_to_references(
    ensemble: Configurations, references: Configurations, progress: Progress | None = None
) -> ReferenceCounts:
    """Count configurations by their Hamming distance to each reference, in one pass."""
    check_same_weights(ensemble, references)
    ensemble.require(1, "distances to references")
    references.require(1, "references")
    if references.n_rows > MAX_REFERENCES:
        raise InputError(
            f"{references.n_rows:,} references given; at most {MAX_REFERENCES:,}: "
            "pass them as the other ensemble to have one histogram of all"
        )
    words = as_words(references.packed(0, references.n_rows))
    cuts = ranges(ensemble.n_rows, PAIRS.tile_rows, ensemble.grain)
    graph = reduce_tasks(_count, (ensemble, words), cuts), sign_sums(ensemble, cuts)
    counts, sums = compute(graph, progress)
    signs = references.rows(0, references.n_rows)
    copies = pairs_of_copies(ensemble)
    if copies is None:
        return ReferenceCounts(counts, sums.m, signs, sums.rows, None, float(sums.rows))
    distances = tuple(_distances(ensemble, signs, rows) for rows in (copies.first, copies.second))
    independent = effective_groups(copies.group)
    return ReferenceCounts(counts, sums.m, signs, sums.rows, distances, independent)  # type: ignore[arg-type]


def _distances(ensemble: Configurations, references: Signs, rows: Ints) -> Ints:
    """Return the distances of chosen rows to references, (R, rows)."""
    signs = references.astype(np.float32)
    distances = np.empty((len(references), len(rows)), np.int64)
    for start in range(0, len(rows), COPIES_AT_ONCE):
        some = slice(start, start + COPIES_AT_ONCE)
        agree = signs @ take_any(ensemble, rows[some]).astype(np.float32).T
        distances[:, some] = (ensemble.n_weights - agree) / 2
    return distances


def _count(ensemble: Configurations, references: NDArray[np.uint64], start: int, stop: int) -> Ints:
    from lsg_ray.kernels import hamming

    lanes = read_only(as_words(ensemble.packed(start, stop)).T, np.uint64)
    histograms = np.zeros((len(references), ensemble.n_weights + 1), np.int64)
    for row, histogram in enumerate(histograms):
        counts = np.zeros((hamming.COUNTERS, histogram.size), np.int64)
        reference = read_only(references[row : row + 1], np.uint64)
        hamming.count_distances(reference, lanes, False, counts)
        histogram += counts.sum(axis=0)
    return histograms
