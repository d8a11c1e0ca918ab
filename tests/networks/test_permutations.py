"""Node permutations: outputs unchanged, matching undoes permuting."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import InputError
from lsg_ray.networks.canonical import canonical_orders
from lsg_ray.networks.permutations import (
    log_group_order,
    match_weights,
    network_outputs,
    permute_nodes,
    preactivations,
    random_orders,
)
from lsg_ray.spec import NetworkSpec

WIDTHS = [(4, 3), (4, 5, 3), (2, 3, 3, 1), (6, 5, 4, 3), (3, 2, 4, 3, 2), (1, 4, 2)]


def drawn(widths, rows, seed, real=False):
    network = NetworkSpec(widths=widths)
    rng = np.random.default_rng(seed)
    if real:
        return network, rng.normal(size=(rows, network.n_weights)), rng
    return network, rng.choice(np.array([-1, 1], np.int8), (rows, network.n_weights)), rng


def plain_forward(network, weights, x):
    """Mean pre-activations of the hidden layers, and outputs, of one network, by the book."""
    means, a = [], x.T.astype(float)
    for layer, index in enumerate(network.layer_slices):
        z = weights[index].reshape(network.shapes[layer]).astype(float) @ a
        means.append(z.mean(axis=1))
        a = np.where(z > 0, z, network.leaky_slope * z) / np.sqrt(network.widths[layer])
    return means[:-1], z


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("real", [False, True])
def test_preactivations_and_outputs__are_those_by_the_book(widths, real, monkeypatch):
    monkeypatch.setattr("lsg_ray.networks.permutations.ACTIVATION_BATCH_BYTES", 500)
    network, weights, rng = drawn(widths, 9, 0, real)
    x = rng.normal(size=(13, widths[0]))
    result, outputs = preactivations(network, weights, x), network_outputs(network, weights, x)
    assert len(result) == len(widths) - 2
    for row in range(9):
        means, z = plain_forward(network, weights[row], x)
        np.testing.assert_allclose(outputs[row], z, atol=1e-12)
        for layer, expected in enumerate(means):
            np.testing.assert_allclose(result[layer][row], expected, atol=1e-12)


def test_random_orders__are_uniform():
    """6 orders of 3 units, 6,000 draws: chi-square of 5 degrees beyond 25.7 once in 10⁴ seeds."""
    network = NetworkSpec(widths=(2, 3, 1))
    (orders,) = random_orders(network, 6000, np.random.default_rng(0))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert ((counts - 1000) ** 2 / 1000).sum() < 25.7


def test_group_order():
    assert log_group_order((3, 4)) == 0
    assert log_group_order((9, 4, 3, 7)) == pytest.approx(math.log(24 * 6))


# Matching


@pytest.mark.parametrize("widths", [(20, 15, 10), (20, 15, 15, 10), (12, 8, 8, 8, 5), (300, 9, 10)])
@pytest.mark.parametrize("real", [False, True])
def test_matching__undoes_a_permutation(widths, real):
    network, weights, rng = drawn(widths, 1, 3, real)
    (permuted,) = permute_nodes(network, weights, random_orders(network, 1, rng))
    result = match_weights(network, weights[0], permuted)
    np.testing.assert_array_equal(result.weights, weights[0])
    assert result.after == pytest.approx(
        float(weights[0].astype(float) @ weights[0]) / weights.size
    )
    assert result.converged
    assert result.before < result.after


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999))
def test_matching__of_one_hidden_layer_is_the_best_of_all(seed):
    network, weights, _ = drawn((3, 5, 2), 2, seed, real=True)
    a, b = weights
    best = max(
        a @ permute_nodes(network, b[None], [np.array(order)[None]])[0] / a.size
        for order in itertools.permutations(range(5))
    )
    result = match_weights(network, a, b)
    assert result.after == pytest.approx(best)
    assert a @ result.weights / a.size == pytest.approx(best)


def test_matching__without_hidden_layers_changes_nothing():
    network, weights, _ = drawn((4, 3), 2, 0)
    result = match_weights(network, *weights)
    np.testing.assert_array_equal(result.weights, weights[1])
    assert result.converged
    assert result.before == result.after


def test_matching__that_is_cut_short_says_so():
    network, weights, _ = drawn((20, 15, 15, 10), 2, 0)
    result = match_weights(network, *weights, max_iterations=1, restarts=1)
    assert (result.converged, result.iterations) == (False, 1)


def test_misfits__are_refused():
    network, weights, _ = drawn((4, 5, 3), 3, 0)
    with pytest.raises(InputError, match=r"need \(rows, 35\)"):
        canonical_orders(network, weights[:, :7], np.ones((2, 4)))
    with pytest.raises(InputError, match=r"need \(P, 4\)"):
        canonical_orders(network, weights, np.ones((2, 5)))
    with pytest.raises(InputError, match=r"need \(35,\)"):
        match_weights(network, weights[0], weights[0, :3])


def relu_network(widths, biases, slope=0.0):
    return NetworkSpec(family="relu", widths=widths, biases=biases, leaky_slope=slope)


@pytest.mark.parametrize("widths", WIDTHS[1:])
@pytest.mark.parametrize("biases", [False, True])
def test_relu_preactivations__are_those_by_the_book(widths, biases):
    network = relu_network(widths, biases, 0.1)
    rng = np.random.default_rng(0)
    weights, x = rng.normal(size=(4, network.n_weights)), rng.normal(size=(13, widths[0]))
    result, outputs = preactivations(network, weights, x), network_outputs(network, weights, x)
    for row, flat in enumerate(weights):
        a = x
        for layer, index in enumerate(network.layer_slices):
            w = flat[index].reshape(network.shapes[layer])
            z = a @ w[:, : a.shape[1]].T + (w[:, -1] if biases else 0)
            if layer < len(result):
                np.testing.assert_allclose(result[layer][row], z.mean(axis=0), atol=1e-12)
            a = np.where(z > 0, z, 0.1 * z)
        np.testing.assert_allclose(outputs[row], z.T, atol=1e-12)
