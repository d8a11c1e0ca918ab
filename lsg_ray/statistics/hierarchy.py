"""Trees of agglomerative clustering: flat clusters, and how well a tree reproduces the distances.

A tree of M leaves is a linkage (M − 1, 4) as SciPy has it: merger k joins clusters a < b at a
height into cluster M + k, with its number of leaves.  The cophenetic distance of two leaves is the
height at which they are joined.
"""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.typing import Floats


@public
def flat_clusters(
    result: xarray.Dataset, *, count: int | None = None, height: float | None = None
) -> xarray.DataArray:
    """Cut the tree into clusters.

    Parameters
    ----------
    result
        Result of `lsg_ray.statistics.clustering.cluster`.
    count
        Number of clusters: the last mergers are undone.
    height
        Height up to which clusters are joined, in units of the distance; instead of ``count``.

    Returns
    -------
    xarray.DataArray
        (configuration,), clusters numbered from 0 in the order of the leaves.

    Raises
    ------
    InputError
        Neither or both of `count` and `height`, a count that the tree does not have, or no tree.
    """
    from scipy.cluster.hierarchy import fcluster

    check_tree(result["linkage"].values)
    if (count is None) == (height is None):
        raise InputError(f"count {count} and height {height} given; give one of them")
    tree, order = result["linkage"].values, result["leaf_order"].values
    size = len(order)
    if height is not None:
        label = fcluster(tree, height, "distance")
    elif count is None or not 1 <= count <= size:
        raise InputError(f"count {count} given; the tree has 1 to {size} clusters")
    else:  # the first mergers, also where a later one is lower, as of centroid linkage
        label = fcluster(tree, size - count - 1, "monocrit", monocrit=np.arange(size - 1.0))
    clusters = np.empty(size, np.int64)
    clusters[order] = np.cumsum(np.diff(label[order], prepend=label[order[0]]) != 0)
    return xarray.DataArray(
        clusters, {"configuration": result["configuration"]}, ("configuration",), "cluster"
    )


def check_tree(tree: Floats) -> None:
    """Refuse what is no linkage: SciPy's compiled code trusts it, and would crash.

    Parameters
    ----------
    tree
        Linkage (M − 1, 4), of a file of others.

    Raises
    ------
    InputError
        It has another shape, numbers that are not finite, or clusters that are not there, or are
        joined twice.
    """
    joined = tree[:, :2] if tree.ndim == 2 and tree.shape[1:] == (4,) else np.empty((0, 2))
    size = len(joined) + 1
    below = size + np.arange(size - 1)[:, None]
    if not (
        size > 1
        and np.isfinite(tree).all()
        and (joined == np.rint(joined)).all()
        and ((joined >= 0) & (joined < below)).all()
        and len(np.unique(joined)) == joined.size
    ):
        raise InputError("the linkage of this result is no tree; run lsg cluster again")


def correlation(distance: Floats, joined: Floats) -> float:
    """Return the cophenetic correlation of two matrices (M, M); NaN if one has equal entries."""
    pairs = np.triu_indices(len(distance), 1)
    a, b = distance[pairs], joined[pairs]
    # Equal entries differ by rounding.
    if min(np.ptp(a) / max(a.max(), 1e-300), np.ptp(b) / max(b.max(), 1e-300)) <= 1e-9:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
