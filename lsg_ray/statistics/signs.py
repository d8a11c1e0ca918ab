"""Counts of ±1 weights by bits: exact integers, however the work is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.networks.layout import read_only
from lsg_ray.results.records import reduce_tasks
from lsg_ray.statistics.configurations import Configurations, ranges
from lsg_ray.typing import Floats, Ints

if TYPE_CHECKING:
    from dask.delayed import Delayed


Planes = NDArray[np.uint64]


@dataclass(frozen=True)
class SignsConfig:
    """How much is transposed at a time."""

    #: Rows: 512 words a plane, six of which fit into the first cache.
    rows: int = 2**15
    #: Most signs.
    signs: int = 2**28


SIGNS = SignsConfig()
#: No triples.
NO_TRIPLES = np.empty((0, 3), np.int64)


class SignSums(NamedTuple):
    """Rows, rows with σ_i = +1, rows with σ_i ≠ σ_j (j > i), and rows with σ_iσ_jσ_k = +1."""

    rows: int
    ones: Ints
    differ: Ints
    odd: Ints

    @property
    def m(self) -> Floats:
        """Magnetizations (N,)."""
        return (2 * self.ones - self.rows) / self.rows


def sign_sums(
    source: Configurations,
    cuts: Iterable[tuple[int, int]],
    pairs: bool = False,
    triples: Ints = NO_TRIPLES,
) -> Delayed:
    """Return a graph of the counts over all rows; of pairs and triples only if asked for."""
    return reduce_tasks(count_signs, (source, triples, pairs), cuts)


def count_signs(
    source: Configurations, triples: Ints, pairs: bool, start: int, stop: int
) -> SignSums:
    """Count over rows start:stop; a block function."""
    from lsg_ray.kernels import bits

    n = source.n_weights
    ones, odd = np.zeros(n, np.int64), np.zeros(len(triples), np.int64)
    differ = np.zeros((n, n) if pairs else (0, 0), np.int64)
    rows = 0
    for planes, count in _planes(source, start, stop):
        bits.add_ones(planes, ones)
        bits.add_odd(planes, read_only(triples, np.int64), odd)
        if pairs:
            bits.add_disagreements(planes, differ)
        rows += count
    return SignSums(rows, ones, differ, odd)


class CrossSums(NamedTuple):
    """Rows; rows with σ_i = +1, of both sets one after the other; and rows with σ_i ≠ σ_j."""

    rows: int
    ones: Ints
    differ: Ints


def count_between(source: Configurations, split: int, start: int, stop: int) -> CrossSums:
    """Count over rows start:stop, for i < split and j ≥ split of all weights; a block function."""
    from lsg_ray.kernels import bits

    n = source.n_weights
    ones, differ = np.zeros(n, np.int64), np.zeros((split, n - split), np.int64)
    rows = 0
    for planes, count in _planes(source, start, stop):
        bits.add_ones(planes, ones)
        bits.add_disagreements_between(planes[:split], planes[split:], differ)
        rows += count
    return CrossSums(rows, ones, differ)


def _planes(source: Configurations, start: int, stop: int) -> Iterator[tuple[Planes, int]]:
    """Yield bit planes (N, words) of some rows at a time, and how many rows they are of."""
    from lsg_ray.kernels import bits

    n = source.n_weights
    at_once = _rows_at_once(n)
    for first, last in ranges(stop - start, at_once, source.grain):
        packed = read_only(source.packed(start + first, start + last), np.uint8)
        for low in range(0, len(packed), at_once):
            block = packed[low : low + at_once]
            planes = np.empty((n, -(-len(block) // 64)), np.uint64)
            bits.bit_planes(block, planes)
            yield planes, len(block)


def _rows_at_once(n: int) -> int:
    """Return the rows that are transposed at a time: fewer, in whole words, for large N."""
    return max(64, min(SIGNS.rows, SIGNS.signs // max(n, 1) // 64 * 64))
