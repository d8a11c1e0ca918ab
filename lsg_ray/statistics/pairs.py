"""Counting pairs of ±1 configurations by their Hamming distance, group by group, with errors.

Configurations are cut into G groups.  Pairs are counted between every two groups, so that the
spread between groups tells the error of any average over pairs, which share configurations and are
not independent.  With Y_gh the average between groups g and h, and Y_gh = μ + a_g + a_h + e_gh
(Hoeffding's decomposition of a U-statistic),

    Var(mean) = 4 σ_a²/G + 2 σ_e²/G²                  within one set,
    Var(mean) = σ_a²/G + σ_b²/H + σ_e²/(GH)           between two sets,

with the variance components estimated without bias (analysis of variance); what comes out below
half of its last term, by chance where σ_a² is small, is raised to that.  Configurations that are
copies of each other (`lsg_ray.statistics.copies`) are of one group.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import read_only
from lsg_ray.ensemble.schema import pack
from lsg_ray.errors import InputError
from lsg_ray.results.graph import compute, share
from lsg_ray.rng import Stream
from lsg_ray.statistics.configurations import Configurations, Packed, ranges, stream
from lsg_ray.statistics.copies import pairs_of_groups, together
from lsg_ray.statistics.signs import sign_sums
from lsg_ray.typing import Bytes, Floats, Ints, Progress

#: Groups of configurations that errors are estimated from.
GROUPS = 20
#: Fewest groups that give an error.
FEWEST_GROUPS = 4
#: Rows of a tile: a task counts the pairs between two tiles.
TILE_ROWS = 50_000
#: Rows that are loaded by a task, where a set is shared.
LOAD_ROWS = 2**14
#: Pairs of configurations that are worth a task.
TASK_PAIRS = 10_000_000
#: Sets up to this size are read once and shared by the tasks; larger ones are read by each task.
SHARED_BYTES = 2**28
#: Refuse what needs more memory than this.
MAX_BYTES = 8 * 2**30

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
    """Return a seeded random subset, held as bits in memory; all, if there are no more."""
    if count is None or count >= source.n_rows:
        return source
    if count < 2:
        raise InputError(f"{count} configurations asked for; pairs need at least 2 of them")
    rows = stream(seed, Stream.PAIRS).choice(source.n_rows, count, replace=False)
    return _held(source, np.sort(rows))


def _held(source: Configurations, rows: Ints) -> Packed:
    size = len(rows) * -(-source.n_weights // 8)
    if size > MAX_BYTES:
        raise InputError(
            f"{len(rows):,} configurations take {size / 2**30:.0f} GiB of memory; ask for fewer"
        )
    # A block at a time as signs, then as bits.
    pieces = [pack(source.take(some)) for some in np.array_split(rows, len(rows) // 65536 + 1)]
    groups = source.groups()
    return Packed(
        np.concatenate(pieces), source.n_weights, source.name,
        None if groups is None else groups[rows],
    )  # fmt: skip


def disjoint_pairs(
    first: Configurations, second: Configurations | None, count: int, seed: int
) -> Related:
    """Return the distances (count,) of random pairs that share no configuration.

    Such pairs are independent, but for copies, which are told.  Within one set there are M/2 of
    them, between two the smaller M.
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
        held = _held(first, rows[order]).bits
        place = np.empty(2 * count, np.int64)
        place[order] = np.arange(2 * count)
        a, b = held[place[:count]], held[place[count:]]
        related = _related([(first.groups(), rows)], count)
    else:
        rows, rows_ = (
            np.sort(rng.choice(some.n_rows, count, replace=False)) for some in (first, second)
        )
        a, b = _held(first, rows).bits, _held(second, rows_).bits
        order = rng.permutation(count)
        b = b[order]
        related = _related([(first.groups(), rows), (second.groups(), rows_[order])], count)
    found = np.empty(count, np.int64)
    for start in range(0, count, 65536):
        piece = slice(start, start + 65536)
        found[piece] = np.bitwise_count(a[piece] ^ b[piece]).sum(axis=1, dtype=np.int64)
    return Related(found, *related)


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
    set a task, and the sets themselves as bits up to `SHARED_BYTES`.
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
    places = [(i, j) for i in range(len(a)) for j in range(i if within else 0, len(b))]
    batches = _batches([(a[i], b[j]) for i, j in places])
    words = [_words(some) for some in ordered]
    # Dask would search a batch that is an argument for tasks, tile by tile.
    tasks = [partial(_count_tiles, within, n, pairs=batch) for batch in batches]
    leaves = [dask.delayed(task, pure=False)(words[0], words[-1]) for task in tasks]
    ones = [sign_sums(some, ranges(some.n_rows, TILE_ROWS, some.grain)) for some in sets]
    histograms, sums = compute((leaves, ones), progress)
    counts = np.zeros((groups[0], groups[-1], n + 1), np.int64)
    for (i, j), histogram in zip(places, itertools.chain(*histograms), strict=True):
        counts[a[i].group, b[j].group] += histogram
    return PairCounts(counts, sums[0].m, sums[-1].m, sums[0].rows, sums[-1].rows, within)


class _Tile(NamedTuple):
    group: int
    start: int
    stop: int


def _groups(source: Configurations, n: int, begins: Ints | None) -> int:
    """Return how many groups: fewer where the table of groups and distances would be large."""
    most = int(np.sqrt(SHARED_BYTES / (8 * (n + 1))))
    return max(1, min(GROUPS, source.n_rows if begins is None else len(begins), most))


def _tiles(source: Configurations, groups: int, begins: Ints | None) -> list[_Tile]:
    places = np.linspace(0, source.n_rows, groups + 1).astype(int)
    if begins is not None:  # copies stay together
        ends = np.r_[begins, source.n_rows]
        places = np.unique(ends[np.searchsorted(ends, places)])
    edges = places.tolist()
    return [
        _Tile(group, start, min(start + TILE_ROWS, last))
        for group, (first, last) in enumerate(itertools.pairwise(edges))
        for start in range(first, last, TILE_ROWS)
    ]


def _batches(pairs: list[tuple[_Tile, _Tile]]) -> list[list[tuple[_Tile, _Tile]]]:
    """Put pairs of tiles together until a task is worth its while."""
    batches: list[list[tuple[_Tile, _Tile]]] = [[]]
    size = 0
    for a, b in pairs:
        if size >= TASK_PAIRS:
            batches.append([])
            size = 0
        batches[-1].append((a, b))
        size += (a.stop - a.start) * (b.stop - b.start)
    return batches


def _words(source: Configurations) -> Any:
    """Return the whole set as a delayed array of words; or the set itself, if that is large."""
    import dask

    if source.n_rows * -(-source.n_weights // 64) * 8 > SHARED_BYTES:
        return share(source)
    load, given = dask.delayed(_load, pure=False), share(source)
    pieces = [load(given, *cut) for cut in ranges(source.n_rows, LOAD_ROWS, source.grain)]
    return dask.delayed(np.concatenate, pure=False)(pieces)


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

    found = []
    for a, b in pairs:
        counts = np.zeros((hamming.COUNTERS, n + 1), np.int64)
        rows = read_only(_rows(first, a), np.uint64)
        lanes = read_only(_rows(second, b).T, np.uint64)
        hamming.count_distances(rows, lanes, within and a == b, counts)
        found.append(counts.sum(axis=0))
    return found


def _rows(some: Configurations | Words, tile: _Tile) -> Words:
    if isinstance(some, np.ndarray):
        return some[tile.start : tile.stop]
    return _load(some, tile.start, tile.stop)


def mean_error(counts: PairCounts, values: Floats) -> Floats:
    """Return the standard error of averages over pairs of functions of the distance.

    Parameters
    ----------
    counts
        From `count_pairs`.
    values
        (N + 1, F): F functions of the distance.

    Returns
    -------
    (F,); NaN where there are fewer than `FEWEST_GROUPS` groups.
    """
    return _error(counts, lambda cells: cells @ values, values.shape[1])


def probability_error(counts: PairCounts) -> Floats:
    """Return the standard error of the share of pairs at each distance, (N + 1,)."""
    n_bins, errors = counts.counts.shape[2], []
    for start in range(0, n_bins, 1024):
        piece = slice(start, min(start + 1024, n_bins))
        errors.append(_error(counts, lambda c, p=piece: c[..., p], piece.stop - piece.start))
    return np.concatenate(errors)


def _error(counts: PairCounts, average: Any, width: int) -> Floats:
    g, h, _ = counts.counts.shape
    if min(g, h) < FEWEST_GROUPS:
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
    found = np.zeros((*rest, n + 1))
    found[..., 0] = 1.0
    for i in range(n):
        q = p[..., i, None]
        found[..., 1 : i + 2] = found[..., 1 : i + 2] * (1 - q) + found[..., : i + 1] * q
        found[..., 0] *= 1 - q[..., 0]
    return found
