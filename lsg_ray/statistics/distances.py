"""Distances between configurations: Hamming for ±1 weights, Euclidean for real-valued ones.

For ±1 weights everything is that of `lsg_ray.statistics.overlaps`, by d = D/N = (1 − q)/2, with D
the number of differing weights; the squared Euclidean distance is 4D.
"""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import public, read_only
from lsg_ray.errors import InputError
from lsg_ray.stage import CONFIGURATIONS, ENSEMBLE, Stage
from lsg_ray.statistics.configurations import Configurations, as_configurations, check_same_weights
from lsg_ray.statistics.euclidean import euclidean_histogram, euclidean_matrix
from lsg_ray.statistics.neighbours import nearest_neighbours
from lsg_ray.statistics.overlaps import SUMMARY, check_alone, overlaps
from lsg_ray.statistics.pairs import as_words
from lsg_ray.typing import ConfigurationsLike, Count, Natural, Progress, Seeded, Several

#: Largest matrix of distances, in entries: 20,000 × 20,000.
MAX_MATRIX_ENTRIES = 400_000_000


@public
def distances(
    ensemble: ConfigurationsLike,
    other: ConfigurationsLike | None = None,
    *,
    references: ConfigurationsLike | None = None,
    nearest: Natural = 0,
    matrix: bool = False,
    configurations: Several | None = None,
    pairs: Count | None = None,
    bins: Count = 100,
    **run: Unpack[Seeded],
) -> xarray.Dataset:
    """Histogram the distances within an ensemble, between two, or to references.

    Parameters
    ----------
    ensemble
        Ensemble, view, or array (M, N), of ±1 or of real numbers (then neither `pairs` nor nulls).
    other
        Another set, a store or an array file, for distances between the two sets.
    references
        Reference configurations (R, N), for distances of every configuration to each of them: one
        histogram for each.
    nearest
        Number of nearest configurations of each reference to return; with the ensemble itself as
        references, none is a neighbour of itself.
    matrix
        Whether to return all distances as a matrix: (configuration, configuration_),
        (configuration, other) or (reference, configuration).
    bins
        Number of bins of the histogram of Euclidean distances, from the smallest to the largest.
    configurations
        Number of configurations of each set, drawn without replacement, of which all pairs count.
    pairs
        Number of random pairs that share no configuration; by default all pairs.
    seed
        Seed of the draws.
    progress
        Called with ``(tasks done, tasks in total)``.

    Returns
    -------
    xarray.Dataset
        For ±1 weights over ``distance`` (D = 0 … N), with coordinate ``d`` = D/N: variables and
        attributes as in `overlaps`, averages in units of d.  For real weights over ``distance``
        (centres of bins): ``pairs``, ``probability``, with attributes ``mean``, ``std``, ``min``,
        ``max``.  With `nearest`, ``neighbour`` and ``neighbour_distance`` (reference, rank).  With
        `matrix`, ``matrix``.

    Raises
    ------
    InputError
        As in `overlaps`; a matrix of more than 4·10⁸ entries; neighbours without references.
    """
    first = as_configurations(ensemble)
    if nearest and references is None:
        raise InputError(f"{nearest} nearest configurations asked for; of which references?")
    if nearest:
        check_alone("nearest", configurations=configurations)
    if references is not None:
        check_alone("references", other=other, pairs=pairs)
    second = None if other is None else as_configurations(other)
    targets = None if references is None else as_configurations(references)
    if references is not None and references is ensemble:
        targets = first  # none is a neighbour of itself
    for some in (second, targets):
        if some is not None:
            check_same_weights(first, some)
    if matrix:
        check_alone("matrix", pairs=pairs, configurations=configurations)
        _check_matrix(first, second or targets)
    if first.signs:
        over_q = overlaps(
            first, second, references=targets, configurations=configurations, pairs=pairs, **run
        )
        result = _as_distances(over_q, first.n_weights)
    else:
        check_alone("real-valued weights", pairs=pairs, configurations=configurations)
        result = euclidean_histogram(first, second, targets, bins, run["progress"])
        about = {"statistic": "distances", **first.provenance(), "seed": run["seed"]}
        result = result.assign_attrs({**about, **result.attrs})
    if nearest and targets is not None:
        result = result.assign(_neighbours(first, targets, nearest, run["progress"]))
    if matrix:
        result = result.assign(matrix=_matrix(first, second, targets))
    return result


def _check_matrix(first: Configurations, second: Configurations | None) -> None:
    shape = ((second or first).n_rows, first.n_rows)
    if shape[0] * shape[1] > MAX_MATRIX_ENTRIES:
        raise InputError(
            f"a matrix of {shape[0]:,} × {shape[1]:,} distances asked for; at most "
            f"{MAX_MATRIX_ENTRIES:,} entries: select fewer configurations, or use the histogram"
        )


def _as_distances(over_q: xarray.Dataset, n: int) -> xarray.Dataset:
    """Turn a result over q into one over D, ascending; averages are halved and reflected."""
    result = over_q.isel(q=slice(None, None, -1)).drop_vars("q").rename(q="distance")
    averages = {name: _of_d(name, result[name]) for name in _Q_AVERAGES & set(result)}
    result = result.assign(averages)
    attributes = {n: _of_d(n, v) if n in _Q_AVERAGES else v for n, v in over_q.attrs.items()}
    about = {"long_name": "Hamming distance", "units": "weights"}
    numbers = np.arange(n + 1)
    coordinates = {
        "distance": ("distance", numbers, about),
        "d": ("distance", numbers / n, {"long_name": "Hamming distance", "units": "1"}),
    }
    result.attrs = attributes | {"statistic": "distances"}
    return result.assign_coords(coordinates)


_Q_AVERAGES = {
    "mean",
    "mean_stderr",
    "std",
    "std_stderr",
    "independent_mean",
    "independent_std",
    "random_std",
}


def _of_d(name: str, of_q: Any) -> Any:
    """Return an average over d of one over q = 1 − 2d."""
    return (1 - of_q) / 2 if name.endswith("mean") else of_q / 2


def _neighbours(
    first: Configurations, targets: Configurations, k: int, progress: Progress | None
) -> dict[str, Any]:
    neighbours = nearest_neighbours(first, targets, k, progress=progress)
    dims, unit = ("reference", "rank"), {"units": "weights" if first.signs else "1"}
    return {
        "neighbour": (dims, neighbours.rows, {"long_name": "row of the neighbour"}),
        "neighbour_distance": (dims, neighbours.distances, unit),
    }


def _matrix(
    first: Configurations, second: Configurations | None, targets: Configurations | None
) -> Any:
    if targets is not None:
        left, right, dims = targets, first, ("reference", "configuration")
    else:
        left, right = first, second or first
        dims = ("configuration", "other" if second is not None else "configuration_")
    if not first.signs:
        return (dims, euclidean_matrix(left, right), {"units": "1"})
    from lsg_ray.kernels import hamming

    a, b = (as_words(some.packed(0, some.n_rows)) for some in (left, right))
    wide = np.uint16 if first.n_weights < 2**16 else np.uint32
    matrix = np.empty((len(a), len(b)), wide)
    hamming.write_distances(read_only(a, np.uint64), read_only(b.T, np.uint64), matrix)
    return (dims, matrix, {"units": "weights"})


STAGE = Stage(
    "distances",
    distances,
    summary=SUMMARY,
    reads={"ensemble": ENSEMBLE, "other": CONFIGURATIONS, "references": CONFIGURATIONS},
)
