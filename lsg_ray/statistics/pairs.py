"""Counting pairs of ±1 configurations by their Hamming distance, group by group, with errors.

Configurations are cut into G groups.  Pairs are counted between every two groups, so that the
spread between groups gives the error of any average over pairs, which share configurations and are
not independent.  With Y_gh the average between groups g and h, and Y_gh = μ + a_g + a_h + e_gh
(Hoeffding's decomposition of a U-statistic),

    Var(mean) = 4 σ_a²/G + 2 σ_e²/G²                  within one set,
    Var(mean) = σ_a²/G + σ_b²/H + σ_e²/(GH)           between two sets,

with the variance components estimated without bias (analysis of variance); a result below
half of its last term, by chance where σ_a² is small, is raised to that.  Configurations that are
copies of each other (`lsg_ray.statistics.copies`) are of one group.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import read_only
from lsg_ray.ensemble.schema import pack
from lsg_ray.errors import InputError
from lsg_ray.results.graph import compute, share
from lsg_ray.rng import Stream
from lsg_ray.statistics.configurations import Configurations, ranges, stream
from lsg_ray.statistics.copies import pairs_of_groups, together
from lsg_ray.statistics.signs import sign_sums
from lsg_ray.statistics.views import Packed
from lsg_ray.typing import Bytes, Floats, Ints, Progress


@dataclass(frozen=True)
class PairsConfig:
    """Groups for errors, and sizes of the tasks that count pairs."""

    #: Groups of configurations that errors are estimated from, and the fewest that give an error.
    groups: int = 20
    min_groups: int = 4
    #: Rows of a tile: a task counts the pairs between two tiles.
    tile_rows: int = 50_000
    #: Rows that a task loads, where a set is shared.
    load_rows: int = 2**14
    #: Pairs of configurations that are worth a task.
    task_pairs: int = 10_000_000
    #: Largest set that is read once and shared by the tasks; a larger one is read by each task.
    shared_bytes: int = 2**28
    #: Most bytes of memory for configurations or neighbours.
    max_bytes: int = 8 * 2**30


PAIRS = PairsConfig()
Words = NDArray[np.uint64]


def as_words(bits: Bytes) -> Words:
    """Return rows of bits (rows, bytes) as 64-bit words (rows, words), zeros at the end."""
    words = np.zeros((len(bits), -(-bits.shape[1] // 8)), np.uint64)
    words.view(np.uint8)[:, : bits.shape[1]] = bits
    return words


class Related(NamedTuple):
    """Independent pairs of rows, as far as rows are: their distances, and which share copies.

    distances: (pairs,); first, second: (related,) numbers of pairs with rows of one configuration.
    """

    distances: Ints
    first: Ints
    second: Ints


class PairCounts(NamedTuple):
    """Pairs by Hamming distance between groups, and the magnetizations of both sets.

    counts: (G, H, N + 1); within one set only g ≤ h is filled.  m: (N,) of the first set, m_:
    of the second, the same array within one set.  rows, rows_: configurations.
    """

    counts: Ints
    m: Floats
    m_: Floats
    rows: int
    rows_: int
    within: bool


def choose_rows(source: Configurations, count: int | None, seed: int) -> Configurations:
    """Return a random subset, as bits in memory; all configurations, if there are no more."""
    if count is None or count >= source.n_rows:
        return source
    if count < 2:
        raise InputError(f"{count} configurations asked for; pairs need at least 2 of them")
    rows = stream(seed, Stream.PAIRS).choice(source.n_rows, count, replace=False)
    return _in_memory(source, np.sort(rows))


def _in_memory(source: Configurations, rows: Ints) -> Packed:
    size = len(rows) * -(-source.n_weights // 8)
    if size > PAIRS.max_bytes:
        raise InputError(
            f"{len(rows):,} configurations take {size / 2**30:.0f} GiB of memory; ask for fewer"
        )
    # A block at a time as signs, then as bits.
    blocks = [pack(source.take(some)) for some in np.array_split(rows, len(rows) // 65536 + 1)]
    groups = source.groups()
    return Packed(
        np.concatenate(blocks),
        source.n_weights,
        source.name,
        None if groups is None else groups[rows],
    )


def disjoint_pairs(
    first: Configurations, second: Configurations | None, count: int, seed: int
) -> Related:
    """Return the distances (count,) of random pairs that share no configuration.

    Such pairs are independent, except for copies, which are returned.  Within one set there are M/2
    of them, between two the smaller M.
    """
    most = first.n_rows // 2 if second is None else min(first.n_rows, second.n_rows)
    if not 1 <= count <= most:
        raise InputError(
            f"{count:,} pairs asked for; {most:,} share no configuration: ask for no more, or for "
            "all pairs of some configurations (--configurations)"
        )
    rng = stream(seed, Stream.PAIRS)
    if second is None:
        rows = rng.choice(first.n_rows, 2 * count, replace=False)
        order = np.argsort(rows)
        bits = _in_memory(first, rows[order]).bits
        index = np.empty(2 * count, np.int64)
        index[order] = np.arange(2 * count)
        a, b = bits[index[:count]], bits[index[count:]]
        related = _related([(first.groups(), rows)], count)
    else:
        rows, rows_ = (
            np.sort(rng.choice(some.n_rows, count, replace=False)) for some in (first, second)
        )
        a, b = _in_memory(first, rows).bits, _in_memory(second, rows_).bits
        order = rng.permutation(count)
        b = b[order]
        related = _related([(first.groups(), rows), (second.groups(), rows_[order])], count)
    distances = np.empty(count, np.int64)
    for start in range(0, count, 65536):
        block = slice(start, start + 65536)
        distances[block] = np.bitwise_count(a[block] ^ b[block]).sum(axis=1, dtype=np.int64)
    return Related(distances, *related)


def _related(sets: list[tuple[Ints | None, Ints]], count: int) -> tuple[Ints, Ints]:
    """Return which pairs share copies; row r of a set is of pair r mod count."""
    pairs = [pairs_of_groups(groups[rows]) for groups, rows in sets if groups is not None]
    numbers = np.concatenate([np.empty((0, 2), np.int64), *pairs]) % count
    both = np.unique(np.sort(numbers, axis=1), axis=0)
    both = both[both[:, 0] < both[:, 1]]
    return both[:, 0], both[:, 1]


def count_pairs(
    first: Configurations, second: Configurations | None = None, progress: Progress | None = None
) -> PairCounts:
    """Count all pairs within one set, or between two, by their Hamming distance.

    Cost: about 16 bit operations in a vector for each pair and 64 weights; memory: a tile of each
    set a task, and the sets themselves as bits up to 2²⁸ bytes.
    """
    import dask

    n = first.n_weights
    sets = [first] if second is None else [first, second]
    for some in sets:
        some.require(3 - len(sets), "pairs")
    ordered, begins = zip(*map(together, sets), strict=True)
    tiles = [
        _tiles(some, _groups(some, n, begin), begin)
        for some, begin in zip(ordered, begins, strict=True)
    ]
    groups = [some[-1].group + 1 for some in tiles]
    a, b = tiles[0], tiles[-1]
    within = second is None
    indices = [(i, j) for i in range(len(a)) for j in range(i if within else 0, len(b))]
    batches = _batches([(a[i], b[j]) for i, j in indices])
    words = [_words(some) for some in ordered]
    # Dask would search a batch that is an argument for tasks, tile by tile.
    tasks = [partial(_count_tiles, within, n, pairs=batch) for batch in batches]
    leaves = [dask.delayed(task, pure=False)(words[0], words[-1]) for task in tasks]
    ones = [sign_sums(some, ranges(some.n_rows, PAIRS.tile_rows, some.grain)) for some in sets]
    histograms, sums = compute((leaves, ones), progress)
    counts = np.zeros((groups[0], groups[-1], n + 1), np.int64)
    for (i, j), histogram in zip(indices, itertools.chain(*histograms), strict=True):
        counts[a[i].group, b[j].group] += histogram
    return PairCounts(counts, sums[0].m, sums[-1].m, sums[0].rows, sums[-1].rows, within)


class _Tile(NamedTuple):
    group: int
    start: int
    stop: int


def _groups(source: Configurations, n: int, begins: Ints | None) -> int:
    """Return the number of groups: fewer where the table of groups and distances would be large."""
    most = int(np.sqrt(PAIRS.shared_bytes / (8 * (n + 1))))
    return max(1, min(PAIRS.groups, source.n_rows if begins is None else len(begins), most))


def _tiles(source: Configurations, groups: int, begins: Ints | None) -> list[_Tile]:
    bounds = np.linspace(0, source.n_rows, groups + 1).astype(int)
    if begins is not None:  # copies stay together
        ends = np.r_[begins, source.n_rows]
        bounds = np.unique(ends[np.searchsorted(ends, bounds)])
    edges = bounds.tolist()
    return [
        _Tile(group, start, min(start + PAIRS.tile_rows, last))
        for group, (first, last) in enumerate(itertools.pairwise(edges))
        for start in range(first, last, PAIRS.tile_rows)
    ]


def _batches(pairs: list[tuple[_Tile, _Tile]]) -> list[list[tuple[_Tile, _Tile]]]:
    """Put pairs of tiles together until a task is worth its while."""
    batches: list[list[tuple[_Tile, _Tile]]] = [[]]
    size = 0
    for a, b in pairs:
        if size >= PAIRS.task_pairs:
            batches.append([])
            size = 0
        batches[-1].append((a, b))
        size += (a.stop - a.start) * (b.stop - b.start)
    return batches


def _words(source: Configurations) -> Any:
    """Return the whole set as a delayed array of words; or the set itself, if that is large."""
    import dask

    if source.n_rows * -(-source.n_weights // 64) * 8 > PAIRS.shared_bytes:
        return share(source)
    load, node = dask.delayed(_load, pure=False), share(source)
    blocks = [load(node, *cut) for cut in ranges(source.n_rows, PAIRS.load_rows, source.grain)]
    return dask.delayed(np.concatenate, pure=False)(blocks)


def _load(source: Configurations, start: int, stop: int) -> Words:
    return as_words(source.packed(start, stop))


def _count_tiles(
    within: bool,
    n: int,
    first: Configurations | Words,
    second: Configurations | Words,
    pairs: list[tuple[_Tile, _Tile]],
) -> list[Ints]:
    """Histogram the distances between pairs of tiles, (N + 1,) each; a block function."""
    from lsg_ray.kernels import hamming

    histograms = []
    for a, b in pairs:
        counts = np.zeros((hamming.COUNTERS, n + 1), np.int64)
        rows = read_only(_rows(first, a), np.uint64)
        lanes = read_only(_rows(second, b).T, np.uint64)
        hamming.count_distances(rows, lanes, within and a == b, counts)
        histograms.append(counts.sum(axis=0))
    return histograms


def _rows(some: Configurations | Words, tile: _Tile) -> Words:
    if isinstance(some, np.ndarray):
        return some[tile.start : tile.stop]
    return _load(some, tile.start, tile.stop)


def mean_error(counts: PairCounts, values: Floats) -> Floats:
    """Return the standard error of averages over pairs of functions of the distance.

    Parameters
    ----------
    counts
        Result of `count_pairs`.
    values
        (N + 1, F): F functions of the distance.

    Returns
    -------
    (F,); NaN where there are fewer than four groups.
    """
    return _error(counts, lambda cells: cells @ values, values.shape[1])


def probability_error(counts: PairCounts) -> Floats:
    """Return the standard error of the share of pairs at each distance, (N + 1,)."""
    n_bins, errors = counts.counts.shape[2], []
    for start in range(0, n_bins, 1024):
        some = slice(start, min(start + 1024, n_bins))
        errors.append(_error(counts, lambda c, s=some: c[..., s], some.stop - some.start))
    return np.concatenate(errors)


def _error(counts: PairCounts, average: Any, width: int) -> Floats:
    g, h, _ = counts.counts.shape
    if min(g, h) < PAIRS.min_groups:
        return np.full(width, np.nan)
    pairs = np.maximum(counts.counts.sum(axis=2), 1)[:, :, None]
    cells = average(counts.counts) / pairs
    return np.sqrt(_variance_within(cells) if counts.within else _variance_between(cells))


def _variance_within(cells: Floats) -> Floats:
    g = len(cells)
    upper = np.triu(np.ones((g, g)), 1)[:, :, None]
    Y = cells * upper
    Y = Y + Y.transpose(1, 0, 2)
    mean = Y.sum(axis=(0, 1)) / (g * (g - 1))
    a = (g - 1) / (g - 2) * (Y.sum(axis=1) / (g - 1) - mean)
    e = (Y - mean - a[:, None] - a[None]) * upper
    noise = (e**2).sum(axis=(0, 1)) / (g * (g - 1) / 2 - g)
    spread = (a**2).sum(axis=0) / (g - 1) - noise / (g - 2)
    own = 2 * noise / g**2  # pairs inside groups count in the average as well
    return np.maximum(4 * spread / g + own, own / 2)


def _variance_between(cells: Floats) -> Floats:
    g, h, _ = cells.shape
    mean = cells.mean(axis=(0, 1))
    a, b = cells.mean(axis=1) - mean, cells.mean(axis=0) - mean
    e = cells - mean - a[:, None] - b[None]
    noise = (e**2).sum(axis=(0, 1)) / ((g - 1) * (h - 1))
    spread_a = (a**2).sum(axis=0) / (g - 1) - noise / h
    spread_b = (b**2).sum(axis=0) / (h - 1) - noise / g
    own = noise / (g * h)
    return np.maximum(spread_a / g + spread_b / h + own, own / 2)


def poisson_binomial(p: Floats) -> Floats:
    """Distribution of the number of successes of independent trials.

    Parameters
    ----------
    p
        (..., N) success probabilities.

    Returns
    -------
    (..., N + 1), exact; O(N²).

    >>> poisson_binomial(np.array([0.5, 0.5])).tolist()
    [0.25, 0.5, 0.25]
    """
    *rest, n = p.shape
    distribution = np.zeros((*rest, n + 1))
    distribution[..., 0] = 1.0
    for i in range(n):
        q = p[..., i, None]
        failure = distribution[..., 1 : i + 2] * (1 - q)
        distribution[..., 1 : i + 2] = failure + distribution[..., : i + 1] * q
        distribution[..., 0] *= 1 - q[..., 0]
    return distribution
