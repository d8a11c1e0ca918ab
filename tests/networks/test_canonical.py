"""Canonical forms: one per orbit of the node permutations."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lsg_ray.networks.canonical import TIE_DECIMALS, canonical_orders
from lsg_ray.networks.permutations import (
    network_outputs,
    permute_nodes,
    preactivations,
    random_orders,
)
from lsg_ray.spec import NetworkSpec
from tests.networks.test_permutations import WIDTHS, drawn, relu_network


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
    for result in (
        canonical_orders(network, weights, scale * x),
        canonical_orders(network, scale * weights, x),
    ):
        forms = [permute_nodes(network, weights, orders) for orders in (expected, result)]
        np.testing.assert_array_equal(*forms)


def units(network, weights, inputs):
    """By layer and network (B, 1): what inputs and weights as large as the largest of their layer
    would bring to a unit by one path; sums that cancel are right to some digits of it.
    """
    unit = np.full((len(weights), 1), np.abs(inputs).max())
    for shape, index in zip(network.shapes, network.layer_slices, strict=True):
        layer = np.abs(weights[:, index].reshape(-1, *shape))
        into = layer.shape[2] - network.biases
        unit = unit * layer[..., :into].max(axis=(1, 2))[:, None]
        if network.biases:
            unit = np.maximum(unit, layer[..., into].max(axis=1)[:, None])
        yield unit


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 999), st.sampled_from(WIDTHS[1:]), st.booleans(), st.floats(1e-3, 1e3),
    st.booleans(),
)  # fmt: skip
@example(291, (3, 2, 4, 3, 2), True, 319.0, False)  # one is all but dead
@example(253, (3, 2, 4, 3, 2), False, 3.0, True)  # a sum of opposites is not zero to the last bit
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
    *hidden, last = units(network, weights, x)
    assert (np.abs(before - after) <= 1e-12 * last[:, :, None]).all()
    for z, order, unit in zip(preactivations(network, weights, x), orders, hidden, strict=True):
        steps = np.diff(np.take_along_axis(z, order, 1), axis=1)
        # Ranked downwards, but for what counts as a tie.
        assert (steps <= 1.001 * 10.0**-TIE_DECIMALS * unit).all()
