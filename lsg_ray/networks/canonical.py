"""Canonical forms of networks, equal for all permutations of their hidden units.

A configuration's *label* ξ ranks the units of each hidden layer by their mean pre-activation over
some inputs (the paper: all test images of the digit 1), descending; bringing the units into that
order gives the *canonical form*.

Units that tie are distinguished by their weights, in a way that no permutation changes.
Pre-activations count as tied when they agree to `TIE_DECIMALS` decimals, because their last bits
depend on the order of summation; inputs and the weights of each layer are scaled to a largest
magnitude of one.  Where nearly all activations of a layer are zero, those of the next are sums of
terms that cancel, with few correct digits; they tie, and weights decide.

Source: "Liquid-like" paper, App. J.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from lsg_ray.networks.permutations import (
    Orders,
    check_shapes,
    matrix_of,
    permute_nodes,
    preactivations,
)
from lsg_ray.spec import NetworkSpec
from lsg_ray.typing import Array, Floats, Ints

#: Decimals to which mean pre-activations are compared; scaled to order one, they are correct to
#: about fifteen.
TIE_DECIMALS = 9


def canonical_orders(network: NetworkSpec, weights: Array, inputs: NDArray[np.floating]) -> Orders:
    """Return the label ξ of each configuration: the order of its hidden units.

    Parameters
    ----------
    network, weights, inputs
        As in `preactivations`.

    Returns
    -------
    list of (B, n_l) int64; entry r of layer l is the unit of rank r.
    """
    check_shapes(network, weights, inputs)
    ranked = [
        np.round(z, TIE_DECIMALS)
        for z in preactivations(
            network, _unit_scale(network, weights, _largest(inputs)), inputs / _largest(inputs)
        )
    ]
    orders = [np.argsort(-z, axis=1, kind="stable") for z in ranked]
    tied = np.zeros(len(weights), bool)
    for z, order in zip(ranked, orders, strict=True):
        tied |= (np.diff(np.take_along_axis(z, order, 1), axis=1) == 0).any(axis=1)
    for row in np.flatnonzero(tied).tolist():
        exact = _break_ties(network, weights[row], [z[row] for z in ranked])
        for order, better in zip(orders, exact, strict=True):
            order[row] = better
    return orders


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0)) or 1.0


def _unit_scale(network: NetworkSpec, weights: Array, inputs: float) -> Array:
    """Scale each layer to weights of magnitude up to one; ranks do not change.

    A bias is scaled as its layer's inputs are, of which the first are divided by ``inputs``.
    """
    if weights.dtype.kind != "f":
        return weights
    scaled = weights.astype(np.float64)
    factor = np.full((len(weights), 1), 1 / inputs)
    for layer, layer_slice in enumerate(network.layer_slices):
        W = matrix_of(network, scaled, layer)
        if network.biases:
            W = np.concatenate([W[..., :-1], factor[:, :, None] * W[..., -1:]], axis=2)
        W = W.reshape(len(weights), -1)
        largest = np.abs(W).max(axis=1, keepdims=True, initial=0)
        largest = np.where(largest > 0, largest, 1)
        scaled[:, layer_slice] = W / largest
        if network.biases:
            factor = factor / largest
    return scaled


def _break_ties(network: NetworkSpec, weights: Array, ranked: list[Floats]) -> list[Ints]:
    """Order the units of one configuration by pre-activation and, where those tie, by weights.

    Classes of tied units are refined by their weights from and to the classes of adjacent layers.
    Where a class cannot be split, each of its units is put first in turn, and of the resulting
    orders the one whose permuted weights are lexicographically smallest is returned; it is the same
    for all permutations of a configuration.
    """
    matrices = [matrix_of(network, weights[None], layer)[0] for layer in range(len(ranked) + 1)]
    search = _Search(network, weights, matrices)
    search.visit(_refined(matrices, [_classes(-z) for z in ranked]), [])
    return search.orders


class _Search:
    """Depth-first search for the smallest form, over the unit of a tied class that is put first.

    Two leaves of the same form differ by a symmetry of the network.  A unit that a symmetry maps
    to another that was tried, without moving those already fixed, leads to the same forms and is
    not tried (McKay, Congressus Numerantium 30, 45 (1981)).
    """

    def __init__(self, network: NetworkSpec, weights: Array, matrices: list[Array]) -> None:
        self.network, self.weights, self.matrices = network, weights, matrices
        self.orders: list[Ints] = []
        self._best: list[float] | None = None
        self._leaves: dict[tuple[float, ...], list[Ints]] = {}
        self._symmetries: list[list[Ints]] = []

    def visit(self, ranks: list[Ints], fixed: list[tuple[int, int]]) -> None:
        """Search all orders in which the units in ``fixed`` (unit, layer) come first."""
        choices = _first_tied_class(self.matrices, ranks)
        if not choices:
            self._leaf([np.argsort(rank, kind="stable") for rank in ranks])
            return
        tried: list[int] = []
        for unit, layer in choices:
            if self._reaches(unit, tried, layer, fixed):
                continue
            first = [rank.copy() for rank in ranks]
            first[layer] = 2 * first[layer] + 1
            first[layer][unit] -= 1
            self.visit(_refined(self.matrices, first), [*fixed, (unit, layer)])
            tried.append(unit)

    def _leaf(self, orders: list[Ints]) -> None:
        permuted = permute_nodes(self.network, self.weights[None], [o[None] for o in orders])
        form = permuted[0].tolist()
        known = self._leaves.setdefault(tuple(form), orders)
        if known is not orders:
            self._symmetries.append([a[np.argsort(b)] for a, b in zip(known, orders, strict=True)])
        if self._best is None or form < self._best:
            self._best, self.orders = form, orders

    def _reaches(
        self, unit: int, tried: list[int], layer: int, fixed: list[tuple[int, int]]
    ) -> bool:
        """Return whether known symmetries that do not move fixed units map a unit to tried ones."""
        usable = [s for s in self._symmetries if all(s[m][u] == u for u, m in fixed)]
        seen, waiting = {unit}, [unit]
        while waiting:
            current = waiting.pop()
            if current in tried:
                return True
            images = {int(s[layer][current]) for s in usable}
            images |= {int(np.flatnonzero(s[layer] == current)[0]) for s in usable}
            waiting += images - seen
            seen |= images
        return False


def _first_tied_class(matrices: list[Array], ranks: list[Array]) -> list[tuple[int, int]]:
    """Return units and layer of the first class of tied units that are not all the same."""
    for layer, rank in enumerate(ranks):
        connections = np.column_stack([matrices[layer], matrices[layer + 1].T[: len(rank)]])
        for value in np.flatnonzero(np.bincount(_classes(rank)) > 1):
            units = np.flatnonzero(_classes(rank) == value)
            _, distinct = np.unique(connections[units], axis=0, return_index=True)
            if len(distinct) > 1:
                return [(int(unit), layer) for unit in units[np.sort(distinct)]]
    return []


def _classes(keys: Array) -> Ints:
    """Number the distinct keys (units, …) in ascending order."""
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def _refined(matrices: list[Array], ranks: list[Array]) -> list[Ints]:
    """Split classes of units by their weights to adjacent classes, until none is split."""
    inputs, outputs = np.arange(matrices[0].shape[1]), np.arange(len(matrices[-1]))
    biases = matrices[1].shape[1] - len(matrices[0])
    while True:
        before = [int(rank.max()) for rank in ranks]
        for layer in range(len(ranks)):
            below = np.append(ranks[layer - 1], [-1] * biases) if layer else inputs
            above = ranks[layer + 1] if layer + 1 < len(ranks) else outputs
            into = _read_in_order(matrices[layer], below)
            out_of = _read_in_order(matrices[layer + 1].T[: len(ranks[layer])], above)
            ranks[layer] = _classes(np.column_stack([ranks[layer], into, out_of]))
        if [int(rank.max()) for rank in ranks] == before:
            return ranks


def _read_in_order(weights: Array, ranks: Array) -> Array:
    """Sort the columns of (units, others) by rank; where others tie, by value: a multiset."""
    order = np.argsort(ranks, kind="stable")
    read, sorted_ranks = weights[:, order], ranks[order]
    first, last = sorted_ranks[0] - 1, sorted_ranks[-1] + 1
    edges = np.flatnonzero(np.diff(sorted_ranks, prepend=first, append=last))
    for start, stop in itertools.pairwise(edges.tolist()):
        if stop - start > 1:
            read[:, start:stop] = np.sort(read[:, start:stop], axis=1)
    return read
