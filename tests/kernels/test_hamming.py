"""Counting bits: each kernel against a line of NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.arrays import read_only
from lsg_ray.ensemble.schema import pack
from lsg_ray.kernels import bits, hamming
from lsg_ray.statistics.pairs import as_words


def signs(seed, *shape):
    return np.where(np.random.default_rng(seed).random(shape) < 0.4, 1, -1).astype(np.int8)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 99), rows=st.integers(1, 1100), n=st.integers(1, 70))
def test_planes__are_the_transposed_bits(seed, rows, n):
    weights = signs(seed, rows, n)
    planes = np.full((n, -(-rows // 64)), 7, np.uint64)
    bits.bit_planes(read_only(pack(weights), np.uint8), planes)
    unpacked = np.unpackbits(planes.view(np.uint8), axis=1, bitorder="little")
    np.testing.assert_array_equal(unpacked[:, :rows], (weights > 0).T)
    assert not unpacked[:, rows:].any()
    ones, differ = np.zeros(n, np.int64), np.zeros((n, n), np.int64)
    bits.add_ones(planes, ones)
    bits.add_disagreements(planes, differ)
    np.testing.assert_array_equal(ones, (weights > 0).sum(axis=0))
    expected = (rows - weights.T.astype(int) @ weights) // 2
    upper = np.triu_indices(n, 1)
    np.testing.assert_array_equal(differ[upper], expected[upper])


@pytest.mark.parametrize("rows", [1, 3, 255, 256, 257, 600])
@pytest.mark.parametrize("n", [1, 64, 200, 300])
def test_neighbours__are_those_of_a_stable_sort(rows, n):
    """Few distinct rows, so that many distances are equal."""
    weights = signs(0, 5, n)[np.random.default_rng(1).integers(0, 5, rows)]
    words = as_words(pack(weights))
    lanes = read_only(words.T, np.uint64)
    distances = (weights[:, None] != weights[None]).sum(-1)
    for k in {1, min(3, rows), rows}:
        indices, nearest = np.empty((rows, k), np.int64), np.empty((rows, k), np.int64)
        a = read_only(words, np.uint64)
        hamming.nearest(a, lanes, np.full(rows, -1), n, indices, nearest)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(indices, order)
        np.testing.assert_array_equal(nearest, np.take_along_axis(distances, order, 1))
        hamming.nearest(a, lanes, np.arange(rows), n, indices, nearest)
        others = distances + (n + 1 - distances) * np.eye(rows, dtype=int)
        np.testing.assert_array_equal(indices, np.argsort(others, axis=1, kind="stable")[:, :k])
