"""Hidden units of ReLU networks in a common order, so that distances mean something.

Two ways to remove the permutation symmetry from a set of solutions:

- ``clustering``, the paper's (Sec. 4.4, "reordered using Algorithm 2"): each solution by itself.
  The hidden units are clustered by average linkage of the Euclidean distances between their weights
  (in and out) and stand in the order of the leaves; where two clusters meet, the one whose units
  have the larger mean norm comes first, so the order is the same for all permutations of a network.
- ``matching``: each solution to a reference by linear assignment
  (`lsg_ray.networks.permutations.match_weights`), which is the minimum of the distance for one
  hidden layer, and in each layer for more.

``none`` leaves them as they are.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from lsg_ray.errors import InputError, LsgError
from lsg_ray.networks.permutations import Orders, match_weights, network_outputs, permute_nodes
from lsg_ray.spec import NetworkSpec
from lsg_ray.typing import Array, Floats, Ints

Alignment = Literal["clustering", "matching", "none"]
ALIGNMENTS: tuple[Alignment, ...] = get_args(Alignment)


def unit_vectors(network: NetworkSpec, weights: Array, layer: int) -> Floats:
    """Return weights into and out of each unit of a hidden layer, bias included: (units, …)."""
    below = weights[network.layer_slices[layer]].reshape(network.shapes[layer])
    above = weights[network.layer_slices[layer + 1]].reshape(network.shapes[layer + 1])
    n = network.widths[layer + 1]
    return np.column_stack([below, above[:, :n].T]).astype(np.float64)


def clustering_order(network: NetworkSpec, weights: Array) -> list[Ints]:
    """Return the order of the units of each hidden layer by clustering them, for one network.

    O(n² (inputs + outputs)) for a layer of n units.
    """
    from fastcluster import linkage

    orders = []
    for layer in range(len(network.widths) - 2):
        units = unit_vectors(network, weights, layer)
        if len(units) == 1:
            orders.append(np.zeros(1, np.int64))
            continue
        orders.append(_oriented_leaves(linkage(units, "average"), (units**2).sum(axis=1) ** 0.5))
    return orders


def _oriented_leaves(tree: Floats, size: Floats) -> Ints:
    """Return the leaves of a linkage, at each merger the cluster of larger mean ``size`` first."""
    n = len(size)
    leaves = [[i] for i in range(n)]
    mean = list(size)
    for a, b, _, count in tree:
        first, second = int(a), int(b)
        if mean[second] > mean[first]:
            first, second = second, first
        weight = len(leaves[first]) * mean[first] + len(leaves[second]) * mean[second]
        mean.append(weight / count)
        leaves.append(leaves[first] + leaves[second])
    return np.array(leaves[-1], np.int64)


def aligned(
    network: NetworkSpec,
    weights: Array,
    alignment: Alignment,
    reference: Array | None = None,
    inputs: Array | None = None,
) -> Array:
    """Return configurations (B, N) with their hidden units in a common order.

    Parameters
    ----------
    network
        Architecture.
    weights
        (B, N) configurations.
    alignment
        ``clustering``, ``matching`` or ``none``; see above.
    reference
        (N,) configuration that is matched to, for ``matching``.
    inputs
        (P, inputs) real examples, on which each network is compared with its reordered copy.

    Raises
    ------
    InputError
        An unknown alignment, or no reference to match.
    """
    if alignment not in ALIGNMENTS:
        raise InputError(f"alignment {alignment!r} given; choose one of {', '.join(ALIGNMENTS)}")
    if alignment == "none" or len(network.widths) == 2:
        return weights
    if alignment == "matching" and reference is None:
        raise InputError("alignment 'matching' needs a reference configuration")
    rows = [
        clustering_order(network, row)
        if reference is None or alignment == "clustering"
        else match_weights(network, reference, row).orders
        for row in weights
    ]
    orders = [np.array(layer) for layer in zip(*rows, strict=True)]
    return reordered(network, weights, orders, inputs)


def reordered(
    network: NetworkSpec, weights: Array, orders: Orders, inputs: Array | None = None
) -> Array:
    """Return networks with permuted units, and check that f(πθ) = f(θ) on real inputs.

    Raises
    ------
    LsgError
        An output has changed beyond rounding, which is an error of this package.
    """
    permuted = permute_nodes(network, weights, orders)
    if inputs is not None:
        before, after = (network_outputs(network, w, inputs) for w in (weights, permuted))
        scale = max(1.0, float(np.abs(before).max(initial=0)))
        if not np.allclose(before, after, rtol=1e-9, atol=1e-9 * scale):
            raise LsgError(
                f"a node permutation changed an output by {np.abs(before - after).max():.3g}; this "
                "is an error of lsg-ray: please report it with the store's specification"
            )
    return permuted
