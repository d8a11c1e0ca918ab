r"""Sign consistency of configurations: the share of weights of equal sign, of all pairs.

    SSR(a, b) = Σ_i 1[sign a_i = sign b_i] / Σ_i 1[a_i ≠ 0 and b_i ≠ 0],

the sum over weights that are zero in neither (arXiv:2405.12489).  For ±1 weights it is 1 − D/N,
with D the Hamming distance.  Of real weights, the bits of signs and of zeros are compared
(`lsg_ray.statistics.sign_bits`), layer by layer, and the sum over layers is the total.

Pairs share configurations: errors are from an analysis of variance over configurations
(`lsg_ray.statistics.pair_errors`); where some are related (copies, groups of `related-descent`),
over their groups.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.networks.solvers.related_descent import group_of
from lsg_ray.results.graph import compute, share
from lsg_ray.results.records import joined
from lsg_ray.stage import CONFIGURATIONS, ENSEMBLE, Figure, Stage
from lsg_ray.statistics.configurations import (
    Configurations,
    StoredConfigurations,
    as_configurations,
    check_same_weights,
    ranges,
)
from lsg_ray.statistics.copies import refuse_itself, together
from lsg_ray.statistics.distances import MAX_MATRIX_ENTRIES
from lsg_ray.statistics.pair_errors import between_error, within_error
from lsg_ray.statistics.sign_bits import SignBits, count_signs, sign_bits
from lsg_ray.statistics.views import Reordered
from lsg_ray.typing import ConfigurationsLike, Count, Floats, Ints, Progress, Singles


@dataclass(frozen=True)
class ConsistencyConfig:
    """Sizes of the computation.

    Parameters
    ----------
    tile_rows
        Most rows of a tile: a task compares two tiles, and holds their table of pairs.
    shared_bytes
        Largest set, as bits, that is read once and shared by the tasks; of a larger one, each task
        reads its own tiles.
    fine_bins
        Number of bins of [0, 1] that pairs are counted in first; those of the result join several.
    """

    tile_rows: int = 1024
    shared_bytes: int = 2**29
    fine_bins: int = 40_000


CONSISTENCY = ConsistencyConfig()


class _Compared(NamedTuple):
    """Pairs of two tiles; columns are the total and each layer.

    fine: counts in fine bins; sums: (5, columns) number of pairs, Σ, Σ of squares, smallest and
    largest; first, second: (units, columns) sums of the means of pairs of units, by unit of the
    first and of the second tile; squares: (columns,) Σ of their squares; table: all pairs, or None.
    """

    fine: Ints
    sums: Floats
    first: Floats
    second: Floats
    squares: Floats
    table: Singles | None


@public
def sign_consistency(
    ensemble: ConfigurationsLike,
    other: ConfigurationsLike | None = None,
    *,
    bins: Count = 100,
    matrix: bool = False,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Histogram the share of weights of equal sign, over all pairs of configurations.

    Parameters
    ----------
    ensemble
        Ensemble, view, or array (M, N), of real numbers or of ±1.
    other
        Another set, a store or an array file, for pairs between the two sets.
    bins
        Number of bins of the histogram, from the smallest to the largest share.
    matrix
        Whether to return the shares of all pairs as a matrix.
    progress
        Called with ``(tasks done, tasks in total)``.

    Returns
    -------
    xarray.Dataset
        Over ``bin`` (centres ``consistency``, with ``left`` and ``right``): ``pairs`` and
        ``probability``; over ``layer``: ``layer_mean`` with ``layer_mean_stderr``, ``layer_std``.
        With `matrix`, ``matrix`` (configuration, configuration_ or other), NaN where no weight is
        non-zero in both.  Attributes: ``mean``, ``mean_stderr`` (NaN of fewer than four independent
        configurations), ``std``, ``min``, ``max``; ``random_std``, 1/(2√N), the standard deviation
        of random signs; ``n_pairs``, ``configurations``, and ``independent``, the number of
        configurations that are not related, which the error is from.

    Raises
    ------
    InputError
        Fewer than two configurations, sets of other networks, one set twice, or a matrix beyond
        4·10⁸ entries.

    Notes
    -----
    M² N/128 words are compared, three times as many where weights are zero.  Memory: M N/4 bytes
    for the bits, up to `ConsistencyConfig.shared_bytes`, and tables of
    `ConsistencyConfig.tile_rows`² pairs.
    """
    first = as_configurations(ensemble)
    second = None if other is None else as_configurations(other)
    first.require(2 if second is None else 1, "pairs")
    if second is not None:
        second.require(1, "pairs")
        check_same_weights(first, second)
        refuse_itself(first, second)
    shape = (first.n_rows, (second or first).n_rows)
    if matrix and shape[0] * shape[1] > MAX_MATRIX_ENTRIES:
        raise InputError(
            f"a matrix of {shape[0]:,} × {shape[1]:,} pairs asked for; at most "
            f"{MAX_MATRIX_ENTRIES:,} entries: select fewer configurations, or use the histogram"
        )
    layers = _layers(first)
    sets = [_set_of(some, layers) for some in ([first] if second is None else [first, second])]
    found, tiles = _compare_sets(sets, layers, matrix, progress)
    result = _dataset(sets, found, tiles, first.n_weights, bins)
    if matrix:
        result = result.assign(matrix=_matrix(sets, found, tiles))
    return result.assign_attrs(
        first.provenance(), statistic="sign consistency", configurations=first.n_rows
    )


def _layers(source: Configurations) -> list[slice]:
    """Return the slices of layers; all weights are one where layers are not known."""
    layer = source.coordinates().get("layer", ("weight", np.zeros(source.n_weights)))[1]
    edges = [0, *(np.flatnonzero(np.diff(layer)) + 1).tolist(), source.n_weights]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


class _Set(NamedTuple):
    """Configurations, where each group of related ones begins, and tiles of whole groups.

    bits: a node of a graph, `SignBits` of all rows; None of a large set, which tasks read.
    """

    source: Configurations
    begins: Ints
    tiles: list[tuple[int, int]]
    bits: Any

    def rows(self, tile: tuple[int, int]) -> tuple[int, int]:
        """Return the first row of a tile, and the one after its last."""
        ends = np.r_[self.begins, self.source.n_rows]
        return int(ends[tile[0]]), int(ends[tile[1]])


def _set_of(given: Configurations, layers: list[slice]) -> _Set:
    import dask

    source, begins = together(given)
    if begins is None:
        begins = _groups(source)
    ends = np.r_[begins, source.n_rows]
    tiles, start = [], 0
    while start < len(begins):
        stop = int(np.searchsorted(ends, ends[start] + CONSISTENCY.tile_rows, "right")) - 1
        tiles.append((start, max(stop, start + 1)))
        start = tiles[-1][1]
    words = sum(-(-(some.stop - some.start) // 64) for some in layers)
    if source.n_rows * words * 16 > CONSISTENCY.shared_bytes:
        return _Set(source, begins, tiles, None)
    load, node = dask.delayed(sign_bits, pure=False), share(source)
    cuts = ranges(source.n_rows, CONSISTENCY.tile_rows, min(source.grain, source.n_rows))
    parts = [load(node, layers, *cut) for cut in cuts]
    return _Set(source, begins, tiles, dask.delayed(joined, pure=False)(parts))


def _groups(source: Configurations) -> Ints:
    """Return where groups of related networks begin: all rows, where none are related."""
    rows = np.arange(source.n_rows)
    if not isinstance(source, StoredConfigurations):
        return rows
    group = group_of(source.ensemble.spec)
    if group == 1:
        return rows
    owner = source.values("configuration", rows) // group
    return np.flatnonzero(np.diff(owner, prepend=-1))


def _compare_sets(
    sets: list[_Set], layers: list[slice], matrix: bool, progress: Progress | None
) -> tuple[list[_Compared], list[tuple[tuple[int, int], tuple[int, int]]]]:
    """Compare all tiles; return what is found, and which tiles each is of."""
    import dask

    a, b, within = sets[0], sets[-1], len(sets) == 1
    pairs = list(
        itertools.combinations_with_replacement(a.tiles, 2)
        if within
        else itertools.product(a.tiles, b.tiles)
    )
    leaves = []
    for one, two in pairs:
        given = [share(some.source) if some.bits is None else some.bits for some in (a, b)]
        # Dask would search lists that are arguments for tasks.
        task = partial(
            _compare,
            layers,
            matrix,
            within and one == two,
            (a.rows(one), b.rows(two)),
            (a.begins[slice(*one)], b.begins[slice(*two)]),
        )
        leaves.append(dask.delayed(task, pure=False)(*given))
    return compute(leaves, progress), pairs


def _compare(
    layers: list[slice],
    matrix: bool,
    same: bool,
    rows: tuple[tuple[int, int], ...],
    begins: tuple[Ints, Ints],
    first: Configurations | SignBits,
    second: Configurations | SignBits,
) -> _Compared:
    """Compare the rows of two tiles; a block function.  same: they are one tile."""
    a, b = _tile(first, layers, *rows[0]), _tile(second, layers, *rows[1])
    unlike = np.zeros((len(layers) + 1, len(a.positive), len(b.positive)), np.int64)
    common = np.zeros_like(unlike)
    start = 0
    for column, layer in enumerate(layers, 1):
        words = slice(start, start - (-(layer.stop - layer.start) // 64))
        unlike[column], common[column] = count_signs(a, b, words, layer.stop - layer.start)
        start = words.stop
    unlike[0], common[0] = unlike[1:].sum(axis=0), common[1:].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share_ = 1 - unlike / common
    edges = [begin - row[0] for begin, row in zip(begins, rows, strict=True)]
    return _summary(share_, same, edges, matrix)


def _tile(given: Configurations | SignBits, layers: list[slice], start: int, stop: int) -> SignBits:
    if isinstance(given, SignBits):
        return SignBits(given.positive[start:stop], given.nonzero[start:stop])
    return sign_bits(given, layers, start, stop)


def _summary(shares: Floats, same: bool, edges: list[Ints], matrix: bool) -> _Compared:
    """Summarise shares (columns, rows, rows'); edges: where units of both tiles begin."""
    table = shares[0].astype(np.float32) if matrix else None
    counts = np.diff(np.r_[edges[0], shares.shape[1]])[:, None] * np.diff(
        np.r_[edges[1], shares.shape[2]]
    )
    cells = np.add.reduceat(np.add.reduceat(shares, edges[0], axis=1), edges[1], axis=2) / counts
    upper = np.triu(np.ones(cells.shape[1:], bool), 1) if same else np.True_
    cells = np.where(upper, cells, 0.0)
    of_pairs = (
        np.triu(np.ones(shares.shape[1:], bool), 1) if same else np.ones(shares.shape[1:], bool)
    )
    values = [column[of_pairs & np.isfinite(column)] for column in shares]
    fine = np.minimum(
        (values[0] * CONSISTENCY.fine_bins).astype(np.int64), CONSISTENCY.fine_bins - 1
    )
    sums = [
        (len(v), v.sum(), (v**2).sum(), v.min(initial=np.inf), v.max(initial=-np.inf))
        for v in values
    ]
    return _Compared(
        np.bincount(fine, minlength=CONSISTENCY.fine_bins),
        np.array(sums).T,
        cells.sum(axis=2).T,
        cells.sum(axis=1).T,
        (cells**2).sum(axis=(1, 2)),
        table,
    )


def _dataset(
    sets: list[_Set], found: list[_Compared], tiles: list[Any], n: int, bins: int
) -> xarray.Dataset:
    columns = found[0].sums.shape[1]
    rows = [np.zeros((len(some.begins), columns)) for some in sets]
    for part, (one, two) in zip(found, tiles, strict=True):
        rows[0][slice(*one)] += part.first
        rows[-1][slice(*two)] += part.second
    squares = np.sum([part.squares for part in found], axis=0)
    fine = np.sum([part.fine for part in found], axis=0)
    error = (
        within_error(rows[0], squares)
        if len(sets) == 1
        else between_error(rows[0], rows[1], squares)
    )
    sums = np.stack([part.sums for part in found])
    count, total, square = sums[:, :3].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        std = np.sqrt(np.maximum(square / count - mean**2, 0))
    low, high = float(sums[:, 3, 0].min()), float(sums[:, 4, 0].max())
    histogram, edges = _coarse(fine, n, bins)
    layer, one = ("layer",), {"units": "1"}
    return xarray.Dataset(
        {
            "pairs": ("bin", histogram, {"long_name": "pairs of configurations", **one}),
            "probability": ("bin", histogram / max(1, histogram.sum()), one),
            "layer_mean": (layer, mean[1:], {"long_name": "mean sign consistency", **one}),
            "layer_mean_stderr": (layer, error[1:], one),
            "layer_std": (layer, std[1:], one),
        },
        {
            "consistency": ("bin", (edges[1:] + edges[:-1]) / 2, {"long_name": "sign consistency"}),
            "left": ("bin", edges[:-1]),
            "right": ("bin", edges[1:]),
            "layer": np.arange(columns - 1),
        },
        {
            "mean": float(mean[0]),
            "mean_stderr": float(error[0]),
            "std": float(std[0]),
            "min": low,
            "max": high,
            "random_std": 0.5 / float(np.sqrt(n)),
            "n_pairs": int(count[0]),
            "independent": min(map(len, rows)),
        },
    )


def _coarse(fine: Ints, n: int, bins: int) -> tuple[Ints, Floats]:
    """Join fine bins to at most ``bins`` from the smallest to the largest, not below 1/N wide."""
    size = CONSISTENCY.fine_bins
    filled = np.flatnonzero(fine)
    first, last = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, size)
    width = max(-(-(last - first) // bins), min(size, round(size / n)), 1)
    begins = np.arange(first, last, width)
    edges = np.r_[begins, begins[-1] + width] / size
    return np.add.reduceat(fine, begins), edges


def _matrix(sets: list[_Set], found: list[_Compared], tiles: list[Any]) -> Any:
    """Return the table of all pairs, in the order of the rows."""
    a, b, within = sets[0], sets[-1], len(sets) == 1
    table = np.empty((a.source.n_rows, b.source.n_rows), np.float32)
    for part, (one, two) in zip(found, tiles, strict=True):
        here = (slice(*a.rows(one)), slice(*b.rows(two)))
        assert part.table is not None  # asked for
        table[here] = part.table
        if within:
            table[here[::-1]] = part.table.T
    for axis, some in enumerate((a, b)):
        if isinstance(some.source, Reordered):
            table = np.take(table, np.argsort(some.source.order), axis)
    return (("configuration", "configuration_" if within else "other"), table, {"units": "1"})


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    names = ("mean", "mean_stderr", "std", "random_std", "min", "max", "n_pairs", "independent")
    return {name: result.attrs[name] for name in names} | {
        "layer_mean": result["layer_mean"].values,
        "layer_mean_stderr": result["layer_mean_stderr"].values,
    }


STAGE = Stage(
    "sign-consistency",
    sign_consistency,
    reads={"ensemble": ENSEMBLE, "other": CONFIGURATIONS},
    summary=_shown,
    figures=[
        Figure(
            "lsg_ray.report.figures.valleys:consistency_figure",
            "Signs that networks share",
            "consistency_caption",
            together=7,
        )
    ],
)
