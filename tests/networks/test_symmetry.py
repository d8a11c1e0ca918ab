"""Node permutations: outputs unchanged, one canonical form per orbit, matching undoes permuting."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import InputError
from lsg_ray.networks import symmetry
from lsg_ray.networks.symmetry import (
    canonical_orders,
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
    for layer, place in enumerate(network.layer_slices):
        z = weights[place].reshape(network.shapes[layer]).astype(float) @ a
        means.append(z.mean(axis=1))
        a = np.where(z > 0, z, network.leaky_slope * z) / np.sqrt(network.widths[layer])
    return means[:-1], z


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("real", [False, True])
def test_preactivations_and_outputs__are_those_by_the_book(widths, real, monkeypatch):
    monkeypatch.setattr(symmetry, "_BATCH_BYTES", 500)
    network, weights, rng = drawn(widths, 9, 0, real)
    x = rng.normal(size=(13, widths[0]))
    found, outputs = preactivations(network, weights, x), network_outputs(network, weights, x)
    assert len(found) == len(widths) - 2
    for row in range(9):
        means, z = plain_forward(network, weights[row], x)
        np.testing.assert_allclose(outputs[row], z, atol=1e-12)
        for layer, expected in enumerate(means):
            np.testing.assert_allclose(found[layer][row], expected, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), widths=st.sampled_from(WIDTHS), real=st.booleans())
def test_canonical_form__is_one_for_all_permutations_and_computes_the_same(seed, widths, real):
    """Small ±1 networks are full of ties and of symmetric ones."""
    network, weights, rng = drawn(widths, 30, seed, real)
    x = rng.normal(size=(7, widths[0]))
    permuted = permute_nodes(network, weights, random_orders(network, 30, rng))
    form = permute_nodes(network, weights, canonical_orders(network, weights, x))
    again = permute_nodes(network, permuted, canonical_orders(network, permuted, x))
    np.testing.assert_array_equal(form, again)
    assert form.dtype == weights.dtype
    before, after = network_outputs(network, weights, x), network_outputs(network, form, x)
    np.testing.assert_allclose(before, after, atol=1e-12)
    assert (np.sort(form, axis=1) == np.sort(weights, axis=1)).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), widths=st.sampled_from(WIDTHS[1:]))
def test_labels__rank_mean_preactivations_downwards(seed, widths):
    network, weights, rng = drawn(widths, 10, seed, real=True)
    x = rng.normal(size=(7, widths[0]))
    for z, order in zip(
        preactivations(network, weights, x), canonical_orders(network, weights, x), strict=True
    ):
        np.testing.assert_array_equal(order, np.argsort(-z, axis=1))


@pytest.mark.parametrize("widths", [(2, 3, 1), (2, 2, 3, 1)])
def test_canonical_forms__are_as_many_as_orbits(widths):
    """All ±1 networks of a tiny shape: forms are equal exactly where a permutation relates them."""
    network = NetworkSpec(widths=widths)
    every = np.array(list(itertools.product([-1, 1], repeat=network.n_weights)), np.int8)
    every = every[:: 1 if len(every) <= 4096 else 7]
    x = np.random.default_rng(0).normal(size=(5, 2))
    forms = permute_nodes(network, every, canonical_orders(network, every, x))
    orbits = set()
    hidden = [list(itertools.permutations(range(n))) for n in widths[1:-1]]
    for row in every:
        images = [
            permute_nodes(network, row[None], [np.array(o)[None] for o in orders])[0].tobytes()
            for orders in itertools.product(*hidden)
        ]
        orbits.add(min(images))
    assert len(np.unique(forms, axis=0)) == len(orbits)


def test_equal_units__need_no_search():
    """All weights +1: 15! · 15! permutations lead to the same network."""
    network = NetworkSpec(widths=(20, 15, 15, 10))
    weights = np.ones((2, network.n_weights), np.int8)
    orders = canonical_orders(network, weights, np.ones((3, 20)))
    np.testing.assert_array_equal(permute_nodes(network, weights, orders), weights)


@pytest.mark.parametrize("n", [3, 15])
def test_symmetric_networks__need_few_leaves(n):
    """Units alike up to a matching between two layers: n! symmetries, of which n² are looked at."""
    network = NetworkSpec(widths=(2, n, n, 1))
    weights = np.concatenate([np.ones(2 * n), (2 * np.eye(n) - 1).ravel(), np.ones(n)])
    weights = np.tile(weights.astype(np.int8), (3, 1))
    orders = random_orders(network, 3, np.random.default_rng(0))
    permuted = permute_nodes(network, weights, orders)
    x = np.ones((2, 2))
    forms = permute_nodes(network, permuted, canonical_orders(network, permuted, x))
    assert len(np.unique(forms, axis=0)) == 1


@pytest.mark.parametrize("scale", [1e-200, 1e-6, 1e6, 1e100])
def test_canonical_form__does_not_depend_on_the_scale_of_inputs_or_weights(scale):
    network, weights, rng = drawn((3, 8, 8, 1), 60, 4)
    x = rng.normal(size=(9, 3))
    expected = canonical_orders(network, weights, x)
    for found in (
        canonical_orders(network, weights, scale * x),
        canonical_orders(network, scale * weights, x),
    ):
        forms = [permute_nodes(network, weights, orders) for orders in (expected, found)]
        np.testing.assert_array_equal(*forms)


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
    found = match_weights(network, weights[0], permuted)
    np.testing.assert_array_equal(found.weights, weights[0])
    assert found.after == pytest.approx(float(weights[0].astype(float) @ weights[0]) / weights.size)
    assert found.converged
    assert found.before < found.after


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999))
def test_matching__of_one_hidden_layer_is_the_best_of_all(seed):
    network, weights, _ = drawn((3, 5, 2), 2, seed, real=True)
    a, b = weights
    best = max(
        a @ permute_nodes(network, b[None], [np.array(order)[None]])[0] / a.size
        for order in itertools.permutations(range(5))
    )
    found = match_weights(network, a, b)
    assert found.after == pytest.approx(best)
    assert a @ found.weights / a.size == pytest.approx(best)


def test_matching__without_hidden_layers_changes_nothing():
    network, weights, _ = drawn((4, 3), 2, 0)
    found = match_weights(network, *weights)
    np.testing.assert_array_equal(found.weights, weights[1])
    assert found.converged
    assert found.before == found.after


def test_matching__that_is_cut_short_says_so():
    network, weights, _ = drawn((20, 15, 15, 10), 2, 0)
    found = match_weights(network, *weights, max_iterations=1, restarts=1)
    assert (found.converged, found.iterations) == (False, 1)


def test_misfits__are_refused():
    network, weights, _ = drawn((4, 5, 3), 3, 0)
    with pytest.raises(InputError, match=r"need \(rows, 35\)"):
        canonical_orders(network, weights[:, :7], np.ones((2, 4)))
    with pytest.raises(InputError, match=r"need \(inputs, 4\)"):
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
    found, outputs = preactivations(network, weights, x), network_outputs(network, weights, x)
    for row, flat in enumerate(weights):
        a = x
        for layer, place in enumerate(network.layer_slices):
            w = flat[place].reshape(network.shapes[layer])
            z = a @ w[:, : a.shape[1]].T + (w[:, -1] if biases else 0)
            if layer < len(found):
                np.testing.assert_allclose(found[layer][row], z.mean(axis=0), atol=1e-12)
            a = np.where(z > 0, z, 0.1 * z)
        np.testing.assert_allclose(outputs[row], z.T, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 999), st.sampled_from(WIDTHS[1:]), st.booleans(), st.floats(1e-3, 1e3),
    st.booleans(),
)  # fmt: skip
def test_relu_canonical_form__is_one_for_all_permutations(seed, widths, biases, scale, ties):
    """Also of networks with dead units, whose pre-activations are alike, and of any scale."""
    network, rng = relu_network(widths, biases), np.random.default_rng(seed)
    weights = scale * rng.normal(size=(8, network.n_weights))
    if ties:
        weights = scale * np.sign(weights) * (rng.random(weights.shape) < 0.4)
    x = rng.random((7, widths[0])) * scale
    permuted = permute_nodes(network, weights, random_orders(network, 8, rng))
    orders = canonical_orders(network, weights, x)
    form = permute_nodes(network, weights, orders)
    again = permute_nodes(network, permuted, canonical_orders(network, permuted, x))
    np.testing.assert_array_equal(form, again)
    before, after = network_outputs(network, weights, x), network_outputs(network, form, x)
    np.testing.assert_allclose(before, after, atol=1e-12 * max(1, np.abs(before).max()))
    for z, order in zip(preactivations(network, weights, x), orders, strict=True):
        steps = np.diff(np.take_along_axis(z, order, 1), axis=1)
        assert (steps <= 1e-6 * np.abs(z).max(axis=1, keepdims=True)).all()
