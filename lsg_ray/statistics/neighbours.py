"""Nearest neighbours of reference configurations by Hamming or Euclidean distance, exact and
out of core."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from lsg_ray.arrays import read_only
from lsg_ray.errors import InputError
from lsg_ray.results.graph import compute
from lsg_ray.results.records import joined, reduce_tasks
from lsg_ray.statistics.configurations import Configurations, check_same_weights, ranges
from lsg_ray.statistics.euclidean import euclidean_distances, tiles_of
from lsg_ray.statistics.pairs import PAIRS, as_words
from lsg_ray.typing import Array, Ints, Progress


@dataclass(frozen=True)
class SearchConfig:
    """Sizes of the tasks of a search."""

    #: Rows of the ensemble, and references, of a task.
    rows: int = 200_000
    references: int = 2_000


SEARCH = SearchConfig()


class Neighbours(NamedTuple):
    """Rows of the nearest configurations and their distances, both (R, k), ascending.

    Among equal distances, lower rows come first.
    """

    rows: Ints
    distances: Array


def nearest_neighbours(
    ensemble: Configurations,
    references: Configurations,
    k: int,
    *,
    progress: Progress | None = None,
) -> Neighbours:
    """Find the k nearest configurations of each reference; a set's own members are left out.

    Parameters
    ----------
    ensemble
        Configurations that are searched.
    references
        Configurations whose neighbours are searched; if this is the same object as ``ensemble``, a
        configuration is not its own neighbour.
    k
        Number of neighbours.

    Notes
    -----
    R M N/64 word operations for ±1 weights, R M N products for real ones, and a pass over the R × M
    distances.
    """
    check_same_weights(ensemble, references)
    own = ensemble is references
    if not 1 <= k <= ensemble.n_rows - own:
        raise InputError(
            f"{k} neighbours asked for; there are {ensemble.n_rows - own:,} to choose from in "
            f"{ensemble.name}"
        )
    if 16 * k * references.n_rows > PAIRS.max_bytes:
        raise InputError(
            f"{k} neighbours of {references.n_rows:,} configurations take "
            f"{16 * k * references.n_rows / 2**30:.0f} GiB of memory; ask for fewer"
        )
    references.require(1, "references")
    if ensemble.signs:
        searched = ranges(ensemble.n_rows, SEARCH.rows, ensemble.grain)
        targets = ranges(references.n_rows, SEARCH.references)
    else:
        searched, targets = tiles_of(ensemble), tiles_of(references)
    shared, combine = (ensemble, references, own, k), partial(merged, k)
    tiles = [[(some, rows) for rows in searched] for some in targets]
    graphs = [reduce_tasks(_search, shared, arguments, combine) for arguments in tiles]
    return joined(compute(graphs, progress))


def _search(
    ensemble: Configurations,
    references: Configurations,
    own: bool,
    k: int,
    some: tuple[int, int],
    rows: tuple[int, int],
) -> Neighbours:
    from lsg_ray.kernels import hamming

    if not ensemble.signs:
        lengths = euclidean_distances(references.rows(*some), ensemble.rows(*rows))
        if own:
            lengths[np.arange(*some)[:, None] == np.arange(*rows)] = np.inf
        everywhere = np.broadcast_to(np.arange(*rows), lengths.shape)
        return merged(k, [Neighbours(everywhere, lengths)])
    a = read_only(as_words(references.packed(*some)), np.uint64)
    lanes = read_only(as_words(ensemble.packed(*rows)).T, np.uint64)
    width = rows[1] - rows[0]
    # Row of the reference in the searched range, where it is left out.
    skip = np.arange(*some) - rows[0] if own else np.full(some[1] - some[0], -1)
    indices = np.empty((len(a), min(k, width)), np.int64)
    distances = np.empty_like(indices)
    hamming.nearest(a, lanes, skip, ensemble.n_weights, indices, distances)
    return Neighbours(indices + rows[0], distances)


def merged(k: int, parts: list[Neighbours]) -> Neighbours:
    """Return the k nearest of the neighbours from several ranges."""
    together = joined(parts, axis=1)
    order = np.lexsort(together, axis=1)[:, :k]
    return Neighbours(*(np.take_along_axis(values, order, 1) for values in together))
