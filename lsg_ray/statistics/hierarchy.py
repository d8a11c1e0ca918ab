"""Trees of agglomerative clustering: leaves in order, cophenetic distances, flat clusters.

A tree of M leaves is a linkage (M − 1, 4) as SciPy has it: merger k joins clusters a < b at a
height into cluster M + k of so many leaves.  The cophenetic distance of two leaves is the height at
which they are joined.
"""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.typing import Floats, Ints


def leaf_order(tree: Floats) -> Ints:
    """Return the leaves of a linkage (M − 1, 4) from left to right: cluster a left of b."""
    return np.array(leaves_of(tree)[-1], np.int64)


def cophenetic(tree: Floats) -> Floats:
    """Return the height at which every two leaves are joined, (M, M), of a linkage (M − 1, 4)."""
    leaves = leaves_of(tree)
    found = np.zeros((len(tree) + 1, len(tree) + 1))
    for a, b, height, _ in tree:
        i, j = leaves[int(a)], leaves[int(b)]
        found[np.ix_(i, j)] = height
        found[np.ix_(j, i)] = height
    return found


def leaves_of(tree: Floats) -> list[list[int]]:
    """Return the leaves of every cluster, from left to right."""
    found = [[leaf] for leaf in range(len(tree) + 1)]
    for a, b, _, _ in tree:
        found.append(found[int(a)] + found[int(b)])
    return found


@public
def flat_clusters(
    result: xarray.Dataset, *, count: int | None = None, height: float | None = None
) -> xarray.DataArray:
    """Cut the tree into clusters.

    Parameters
    ----------
    result
        From `lsg_ray.statistics.clustering.cluster`.
    count
        So many clusters: the last mergers are undone.
    height
        Or the clusters that are joined up to this height, in units of the distance.

    Returns
    -------
    xarray.DataArray
        (configuration,), clusters numbered from 0 in the order of the leaves.

    Raises
    ------
    InputError
        Not one of `count` and `height`, or a count that the tree does not have.
    """
    if (count is None) == (height is None):
        raise InputError(f"count {count} and height {height} given; give one of them")
    tree, order = result["linkage"].values, result["leaf_order"].values
    size = len(order)
    joined = np.zeros(len(tree), bool)
    if count is not None:
        if not 1 <= count <= size:
            raise InputError(f"count {count} given; the tree has 1 to {size} clusters")
        joined[: size - count] = True
    elif height is not None:
        # Of centroid and median linkage a merger may be lower than one that it contains.
        highest = np.zeros(size + len(tree))
        for k, (a, b, level, _) in enumerate(tree):
            highest[size + k] = max(level, highest[int(a)], highest[int(b)])
        joined = highest[size:] <= height
    leaves = leaves_of(tree)
    top = np.arange(size)
    for k in np.flatnonzero(joined).tolist():
        top[leaves[size + k]] = size + k
    _, first, number = np.unique(top[order], return_index=True, return_inverse=True)
    found = np.empty(size, np.int64)
    found[order] = np.argsort(np.argsort(first))[number]
    return xarray.DataArray(
        found, {"configuration": result["configuration"]}, ("configuration",), "cluster"
    )


def correlation(distance: Floats, joined: Floats) -> float:
    """Return the cophenetic correlation of two matrices (M, M); NaN if one has equal entries."""
    pairs = np.triu_indices(len(distance), 1)
    a, b = distance[pairs], joined[pairs]
    # Equal entries differ by rounding.
    if min(np.ptp(a) / max(a.max(), 1e-300), np.ptp(b) / max(b.max(), 1e-300)) <= 1e-9:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
