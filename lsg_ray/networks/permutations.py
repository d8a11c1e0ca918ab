"""Node-permutation symmetry: permuting the hidden units of a layer does not change the network.

With P_l the permutation of hidden layer l, the weights W_l → P_l W_l P_{l−1}ᵀ give the same
output.  There are Π_l n_l! such permutations; `lsg_ray.networks.canonical` chooses one of each
class, and `match_weights` the one that makes a network most similar to another.

Source: "Liquid-like" paper, App. J.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from lsg_ray.arrays import as_integers, as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import NetworkSpec, Spec
from lsg_ray.typing import Array, Floats, Ints, Seed

#: Largest weight that is matched: products of two are finite.
MAX_MATCHED_WEIGHT = 1e100
#: Most bytes of the activations of a batch, which then stay in the caches.
ACTIVATION_BATCH_BYTES = 2**21

#: Order of the units of each hidden layer: element l is (B, n_l), its entry r the unit at rank r.
Orders = list[Ints]


def as_network(given: NetworkSpec | Spec | Sequence[int]) -> NetworkSpec:
    """Return an architecture, given as itself, a specification, or widths.

    Raises
    ------
    InputError
        No network has these widths.

    Examples
    --------
    >>> as_network([20, 15, 10]).n_weights
    450
    """
    if isinstance(given, NetworkSpec):
        return given
    if isinstance(given, Spec):
        return given.network
    widths = as_integers(given, "widths").tolist()
    try:
        return NetworkSpec(widths=tuple(widths))
    except ValidationError:
        raise InputError(f"widths {widths} given; at least two numbers from 1 are needed") from None


def log_group_order(widths: Sequence[int]) -> float:
    """Return log Π_l n_l! over the hidden layers, in nats.

    >>> round(log_group_order((20, 15, 15, 10)), 2)
    55.8
    """
    return sum(math.lgamma(n + 1) for n in widths[1:-1])


def preactivations(
    network: NetworkSpec, weights: Array, inputs: NDArray[np.floating]
) -> list[Floats]:
    """Mean pre-activation of every hidden unit over the inputs.

    Layer l has z = W_l a, averaged over the inputs, with a the inputs themselves or
    activations of the layer before: LeakyReLU(z), of binary networks divided by sqrt(fan_in).

    Parameters
    ----------
    network
        Architecture.
    weights
        (B, N).
    inputs
        (P, inputs).

    Returns
    -------
    list of (B, n_l) float64, one per hidden layer.

    Notes
    -----
    The mean is taken before the last product, which is linear: 2 P flop for each weight but those
    of the last hidden layer and of the output.
    """
    check_shapes(network, weights, inputs)
    x = np.ascontiguousarray(inputs.T, np.float64)
    widest = max(network.widths[1:-1], default=1)
    batch = max(1, ACTIVATION_BATCH_BYTES // (8 * widest * x.shape[1]))
    batches = [
        _preactivations(network, weights[start : start + batch].astype(np.float64), x)
        for start in range(0, max(1, len(weights)), batch)
    ]
    return [np.concatenate(column) for column in zip(*batches, strict=True)]


def _preactivations(network: NetworkSpec, weights: Floats, x: Floats) -> list[Floats]:
    means = []
    a, mean = x, np.broadcast_to(x.mean(axis=1), (len(weights), len(x)))
    for layer, inputs in enumerate(network.widths[:-2]):
        W = matrix_of(network, weights, layer)
        W, bias = W[..., :inputs], W[..., inputs:]
        means.append(np.einsum("boi,bi->bo", W, mean) + bias.sum(axis=2))
        if layer == len(network.widths) - 3:
            break
        if layer == 0:
            a = (W.reshape(-1, len(x)) @ x).reshape(len(weights), W.shape[1], x.shape[1])
        else:
            a = W @ a
        if network.biases:
            a += bias
        a = FAMILIES[network.family].activation(network, layer, a)
        mean = a.mean(axis=2)
    return means


def network_outputs(network: NetworkSpec, weights: Array, inputs: NDArray[np.floating]) -> Floats:
    """Return the outputs (B, outputs, P) of networks for inputs (P, inputs), in float64."""
    check_shapes(network, weights, inputs)
    return FAMILIES[network.family].outputs(network, weights, inputs)


def matrix_of(network: NetworkSpec, weights: Array, layer: int) -> Array:
    """Return the weights of a layer, (B, out, in), a bias in the last column."""
    return weights[:, network.layer_slices[layer]].reshape(-1, *network.shapes[layer])


def check_shapes(network: NetworkSpec, weights: Array, inputs: Array) -> None:
    """Raise `InputError` unless weights and inputs have the shapes of the network."""
    if weights.ndim != 2 or weights.shape[1] != network.n_weights:
        raise InputError(
            f"weights of shape {weights.shape} given; widths {list(network.widths)} need "
            f"(rows, {network.n_weights})"
        )
    if inputs.ndim != 2 or inputs.shape[1] != network.widths[0] or not len(inputs):
        raise InputError(
            f"inputs of shape {inputs.shape} given; widths {list(network.widths)} need "
            f"(P, {network.widths[0]}), P > 0"
        )


def permute_nodes(network: NetworkSpec, weights: Array, orders: Orders) -> Array:
    """Reorder the hidden units; the networks compute the same.

    Parameters
    ----------
    network
        Architecture.
    weights
        (B, N), any type.
    orders
        As `canonical_orders` returns them: rank r of layer l is taken by unit ``orders[l][b, r]``.

    Returns
    -------
    (B, N) of the same type.
    """
    rows = np.arange(len(weights))[:, None, None]
    out = np.empty_like(weights, order="C")
    last = len(network.shapes) - 1
    for layer, layer_slice in enumerate(network.layer_slices):
        W = matrix_of(network, weights, layer)
        fan_out, fan_in = network.shapes[layer]
        i = np.arange(fan_out)[None] if layer == last else orders[layer]
        j = np.arange(fan_in)[None] if layer == 0 else with_bias(network, orders[layer - 1])
        moved = W[rows, i[:, :, None], j[:, None, :]]
        out[:, layer_slice] = moved.reshape(len(weights), fan_out * fan_in)
    return out


def with_bias(network: NetworkSpec, order: Ints) -> Ints:
    """Return the order (..., n) of a layer's inputs, with the bias last, if there is one."""
    if not network.biases:
        return order
    last = np.full((*order.shape[:-1], 1), order.shape[-1])
    return np.concatenate([order, last], axis=-1)


def random_orders(network: NetworkSpec, rows: int, rng: np.random.Generator) -> Orders:
    """Draw a uniform permutation of every hidden layer for each of `rows` networks."""
    return [rng.permuted(np.tile(np.arange(n), (rows, 1)), axis=1) for n in network.widths[1:-1]]


class Matching(NamedTuple):
    """Result of `match_weights`.

    orders: of each hidden layer (n_l,), to be applied to ``b``; weights: ``b`` so permuted, (N,);
    before, after: overlaps Σ_i a_i b_i / N without and with the permutation; iterations: sweeps
    over the layers; converged: whether the last sweep changed nothing.
    """

    orders: list[Ints]
    weights: Array
    before: float
    after: float
    iterations: int
    converged: bool


@public
def match_weights(
    network: NetworkSpec | Sequence[int],
    a: ArrayLike,
    b: ArrayLike,
    *,
    restarts: int = 8,
    max_iterations: int = 100,
    seed: Seed = 0,
) -> Matching:
    """Permute the hidden units of ``b`` so that it overlaps most with ``a``.

    Maximises Σ_l tr(A_lᵀ P_l B_l P_{l−1}ᵀ), each layer in turn by linear assignment with its
    neighbours fixed, until nothing changes.  With one hidden layer that is the global maximum; with
    more, a maximum in each layer, the best of several random starts.

    Parameters
    ----------
    network
        Architecture, or its widths.
    a, b
        (N,) each, ±1 or real.
    restarts
        Number of starts: the given order, and random ones; not used with one hidden layer.
    max_iterations
        Largest number of sweeps over the layers of each start.
    seed
        Seed of the random starts.

    Raises
    ------
    InputError
        Weights are not finite or not of the shape of the network, or widths are invalid.

    References
    ----------
    S. Ainsworth, J. Hayase, S. Srinivasa, "Git Re-Basin", ICLR 2023, Sec. 3.2.
    """
    network = as_network(network)
    a, b = as_numbers(a, "a", None), as_numbers(b, "b", None)
    for name, given in (("a", a), ("b", b)):
        if given.shape != (network.n_weights,):
            raise InputError(
                f"weights of shape {given.shape} given; widths {list(network.widths)} need "
                f"({network.n_weights},)"
            )
        # The products of the largest floats would be infinite.
        good = np.abs(given.astype(np.float64)) <= MAX_MATCHED_WEIGHT
        if not good.all():
            index = int(np.argmin(good))
            raise InputError(
                f"{name}[{index}] is {given[index]}; weights must be finite, at most "
                f"{MAX_MATCHED_WEIGHT:g}"
            )
    rng = np.random.default_rng(seed)
    identity = [np.arange(n) for n in network.widths[1:-1]]
    starts = [identity]
    if len(identity) > 1:
        starts += [[rng.permutation(n) for n in network.widths[1:-1]] for _ in range(restarts - 1)]
    before = float(a.astype(np.float64) @ b) / a.size
    matchings = [_match(network, a, b, start, max_iterations, before) for start in starts]
    return max(matchings, key=lambda matching: matching.after)


def _match(
    network: NetworkSpec, a: Array, b: Array, start: list[Ints], max_iterations: int, before: float
) -> Matching:
    from scipy.optimize import linear_sum_assignment

    A, B = (
        [matrix_of(network, w[None].astype(np.float64), n)[0] for n in range(len(network.shapes))]
        for w in (a, b)
    )
    orders = [np.arange(network.widths[0]), *start, np.arange(network.widths[-1])]
    n = network.widths
    converged, iteration = not start, 0
    while not converged and iteration < max_iterations:
        iteration += 1
        converged = True
        for layer in range(1, len(orders) - 1):
            gain = A[layer - 1] @ B[layer - 1][:, with_bias(network, orders[layer - 1])].T
            # A bias belongs to the layer above.
            gain = gain + A[layer][:, : n[layer]].T @ B[layer][orders[layer + 1], : n[layer]]
            _, order = linear_sum_assignment(gain, maximize=True)
            units = np.arange(len(order))
            now, new = gain[units, orders[layer]].sum(), gain[units, order].sum()
            if new > now + 1e-9 * max(1.0, abs(now)):
                orders[layer] = order
                converged = False
    inner = orders[1:-1]
    aligned = permute_nodes(network, b[None], [order[None] for order in inner])[0]
    after = float(a.astype(np.float64) @ aligned) / a.size
    return Matching(inner, aligned, before, after, iteration, converged)
