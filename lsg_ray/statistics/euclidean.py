"""Euclidean distances between real-valued configurations, tile by tile.

‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b, in float64 relative to the mean of the first rows; where the terms
cancel almost completely (`EuclideanConfig.cancellation`), the difference itself is squared.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import xarray

from lsg_ray.errors import InputError
from lsg_ray.results.graph import compute
from lsg_ray.results.records import reduce_tasks
from lsg_ray.statistics.configurations import Configurations, ranges
from lsg_ray.typing import Floats, Ints, Progress

#: Pairs within one set, all pairs of two, or all of the first with each of the second apart.
Mode = Literal["within", "between", "references"]
#: Most references: the histograms of all are in memory.
MAX_REFERENCES = 10_000


@dataclass(frozen=True)
class EuclideanConfig:
    """Accuracy and sizes of the computation of Euclidean distances."""

    #: Squared distances below this share of the terms that they are the difference of are
    #: computed again from the difference of the rows.
    cancellation: float = 1e-7
    #: Largest tile of rows, in rows and in bytes.
    tile_rows: int = 2048
    tile_bytes: int = 2**26


EUCLIDEAN = EuclideanConfig()


def euclidean_distances(a: Floats, b: Floats) -> Floats:
    """Return the distances of rows (R, N) and (M, N): (R, M)."""
    shift = a[:256].mean(axis=0)
    a, b = a - shift, b - shift
    sizes = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None]
    squares = sizes - 2 * (a @ b.T)
    close = squares < EUCLIDEAN.cancellation * sizes
    for i in np.flatnonzero(close.any(axis=1)):
        squares[i, close[i]] = ((a[i] - b[close[i]]) ** 2).sum(axis=1)
    return np.sqrt(np.maximum(squares, 0))


def tiles_of(source: Configurations) -> list[tuple[int, int]]:
    """Cut rows into ranges that are in memory together."""
    return ranges(
        source.n_rows,
        min(EUCLIDEAN.tile_rows, max(1, EUCLIDEAN.tile_bytes // (8 * source.n_weights))),
    )


def _values(
    first: Configurations,
    second: Configurations,
    mode: Mode,
    a: tuple[int, int],
    b: tuple[int, int],
) -> Floats:
    """Return the distances of the pairs of two tiles, (histograms, pairs)."""
    distances = euclidean_distances(first.rows(*a), second.rows(*b))
    if mode == "references":
        return distances.T
    if mode == "within" and a == b:
        return distances[np.triu_indices(len(distances), 1)][None]
    return distances.reshape(1, -1)


class _Summary(NamedTuple):
    """Of each histogram: pairs, sum, sum of squares, smallest and largest distance."""

    pairs: Floats
    total: Floats
    squares: Floats
    low: Floats
    high: Floats


def _summarise(*tiles: object) -> _Summary:
    values = _values(*tiles)  # type: ignore[arg-type]
    low, high = values.min(axis=1, initial=np.inf), values.max(axis=1, initial=-np.inf)
    pairs = np.full(len(values), float(values.shape[1]))
    return _Summary(pairs, values.sum(axis=1), (values**2).sum(axis=1), low, high)


def _added(parts: list[_Summary]) -> _Summary:
    pairs, total, squares, low, high = (np.array(column) for column in zip(*parts, strict=True))
    return _Summary(pairs.sum(0), total.sum(0), squares.sum(0), low.min(0), high.max(0))


def _count(edges: Floats, *tiles: object) -> Ints:
    values = _values(*tiles)  # type: ignore[arg-type]
    return np.array([np.histogram(row, edges)[0] for row in values], np.int64)


def euclidean_histogram(
    first: Configurations,
    second: Configurations | None,
    references: Configurations | None,
    bins: int,
    progress: Progress | None,
) -> xarray.Dataset:
    """Histogram distances in equal bins from the smallest to the largest: two passes over pairs.

    Returns
    -------
    As `lsg_ray.statistics.distances.distances`, with coordinates ``left`` and ``right`` of bins.
    """
    mode: Mode = "references" if references else "between" if second else "within"
    other = references or second or first
    first.require(1 + (mode == "within"), "distances")
    other.require(1, "distances")
    if mode == "references" and other.n_rows > MAX_REFERENCES:
        raise InputError(f"{other.n_rows:,} references given; at most {MAX_REFERENCES:,}")
    if mode == "references":
        tiles = [(cut, (0, other.n_rows)) for cut in tiles_of(first)]
    elif mode == "between":
        tiles = list(itertools.product(tiles_of(first), tiles_of(other)))
    else:
        tiles = list(itertools.combinations_with_replacement(tiles_of(first), 2))
    shared = (first, other, mode)
    summary: _Summary = compute(reduce_tasks(_summarise, shared, tiles, _added))
    low, high = float(summary.low.min()), float(summary.high.max())
    margin = 0.0 if high > low else max(abs(high), 1.0) * 1e-9
    edges = np.linspace(low - margin, high + margin, bins + 1)
    counts: Ints = compute(reduce_tasks(_count, (edges, *shared), tiles), progress)
    mean = summary.total / summary.pairs
    std = np.sqrt(np.maximum(summary.squares / summary.pairs - mean**2, 0))
    dims = ("reference", "distance") if mode == "references" else ("distance",)
    counts = counts if mode == "references" else counts[0]
    total = counts.sum(axis=-1, keepdims=True)
    variables = {
        "pairs": (dims, counts, {"long_name": "pairs of configurations", "units": "1"}),
        "probability": (dims, counts / total, {"long_name": "share of pairs", "units": "1"}),
    }
    about = {"configurations": first.n_rows, "n_pairs": int(total.sum()), "min": low, "max": high}
    if mode == "references":
        variables["mean"] = (("reference",), mean, {"units": "1"})
        variables["std"] = (("reference",), std, {"units": "1"})
    else:
        about |= {"mean": float(mean[0]), "std": float(std[0])}
    coordinates = {
        "distance": ("distance", (edges[1:] + edges[:-1]) / 2, {"long_name": "distance"}),
        "left": ("distance", edges[:-1]),
        "right": ("distance", edges[1:]),
    }
    return xarray.Dataset(variables, coordinates, about)


def euclidean_matrix(first: Configurations, second: Configurations) -> Floats:
    """Return all distances as a matrix (M, M'); exactly zero on the diagonal of one set."""
    matrix = np.empty((first.n_rows, second.n_rows))
    for a, b in itertools.product(tiles_of(first), tiles_of(second)):
        matrix[slice(*a), slice(*b)] = euclidean_distances(first.rows(*a), second.rows(*b))
    if first is second:
        matrix = (matrix + matrix.T) / 2
        np.fill_diagonal(matrix, 0.0)
    return matrix
