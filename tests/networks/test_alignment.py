"""Reordering of hidden units: one order for all permutations of a network, outputs unchanged."""

import numpy as np
import pytest

from lsg_ray.errors import InputError, LsgError
from lsg_ray.networks import alignment
from lsg_ray.networks.alignment import aligned, clustering_order, reordered, unit_vectors
from lsg_ray.networks.permutations import network_outputs, permute_nodes, random_orders
from lsg_ray.spec import NetworkSpec

WIDTHS = [(12, 9, 4), (12, 9, 7, 4), (5, 1, 3), (6, 2, 2, 3), (8, 6, 5, 4, 3)]


def drawn(widths, rows, seed=0, biases=False):
    network = NetworkSpec(family="relu", widths=widths, biases=biases, leaky_slope=0.0)
    rng = np.random.default_rng(seed)
    return network, rng.normal(size=(rows, network.n_weights)).astype(np.float32), rng


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("how", ["clustering", "matching"])
def test_permuted_copies__come_to_one_order(how, widths, biases):
    """Matching more than one hidden layer is a local maximum; of copies it finds the global one."""
    network, (theta,), rng = drawn(widths, 1, biases=biases)
    copies = permute_nodes(network, np.tile(theta, (8, 1)), random_orders(network, 8, rng))
    x = rng.normal(size=(5, widths[0]))
    result = aligned(network, copies, how, theta, x)
    assert (result == result[0]).all()
    assert result.dtype == np.float32
    if how == "matching":
        np.testing.assert_array_equal(result[0], theta)
    outputs = network_outputs(network, np.stack([theta, *result]), x)
    np.testing.assert_allclose(outputs, outputs[:1].repeat(9, axis=0), atol=1e-12)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("how", ["clustering", "matching"])
def test_solutions__keep_their_weights_and_outputs(how, biases):
    network, weights, rng = drawn((12, 9, 7, 4), 6, biases=biases)
    x = rng.normal(size=(5, 12))
    result = aligned(network, weights, how, weights[2], x)
    assert (result != weights).any()
    np.testing.assert_array_equal(np.sort(result, axis=1), np.sort(weights, axis=1))
    before, after = network_outputs(network, weights, x), network_outputs(network, result, x)
    np.testing.assert_allclose(before, after, atol=1e-12)
    if how == "matching":
        was, now = (((w.astype(float) - weights[2]) ** 2).sum(axis=1) for w in (weights, result))
        assert (now <= was + 1e-9).all()
        np.testing.assert_array_equal(result[2], weights[2])


def test_matching_of_one_hidden_layer__is_the_nearest_of_all_permutations():
    import itertools

    network, (a, b), _ = drawn((3, 5, 2), 2, seed=4, biases=True)
    result = aligned(network, b[None], "matching", a)[0]
    orders = np.array(list(itertools.permutations(range(5))))
    every = permute_nodes(network, np.tile(b, (len(orders), 1)), [orders])
    best = ((every.astype(float) - a) ** 2).sum(axis=1).min()
    assert ((result.astype(float) - a) ** 2).sum() == pytest.approx(best, rel=1e-12)


def test_clustering_order__puts_like_units_together_and_the_larger_first():
    """Units of two kinds, of norms 3 and 1, mixed."""
    network, (theta,), rng = drawn((40, 6, 3), 1)
    units = 0.01 * rng.normal(size=(6, 43))
    units[[1, 3, 4], 0] += 3
    units[[0, 2, 5], 1] += 1
    theta = np.concatenate([units[:, :40].ravel(), units[:, 40:].T.ravel()])
    np.testing.assert_array_equal(unit_vectors(network, theta, 0), units)
    (order,) = clustering_order(network, theta)
    assert set(order[:3].tolist()) == {1, 3, 4}


def test_networks_without_hidden_units__and_none__are_left_alone():
    network, weights, _ = drawn((4, 3), 2)
    assert aligned(network, weights, "clustering") is weights
    network, weights, _ = drawn((4, 3, 2), 2)
    assert aligned(network, weights, "none") is weights


def test_bad_words__are_refused():
    network, weights, _ = drawn((4, 3, 2), 2)
    with pytest.raises(InputError, match="'best' given; choose one of clustering, matching, none"):
        aligned(network, weights, "best")
    with pytest.raises(InputError, match="needs a reference"):
        aligned(network, weights, "matching")


def test_a_changed_output__is_never_passed_over(monkeypatch):
    network, weights, rng = drawn((4, 3, 2), 2)
    orders = random_orders(network, 2, rng)
    monkeypatch.setattr(alignment, "permute_nodes", lambda _, w, __: w[:, ::-1])
    reordered(network, weights, orders)
    with pytest.raises(LsgError, match="changed an output"):
        reordered(network, weights, orders, rng.normal(size=(3, 4)))
