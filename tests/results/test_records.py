"""Records of arrays: added, joined, stacked; sums over tasks, however they are cut."""

from typing import NamedTuple

import numpy as np

from lsg_ray.results.graph import compute
from lsg_ray.results.records import added, joined, reduce_tasks, stacked


class Sums(NamedTuple):
    rows: int
    total: np.ndarray


def test_records__are_added_in_order_and_stay_as_they_are():
    parts = [Sums(k, np.full(3, 0.1 * k)) for k in range(1, 5)]
    result = added(parts)
    assert (result.rows, type(result)) == (10, Sums)
    np.testing.assert_array_equal(result.total, ((0.1 + 0.2) + 0.1 * 3) + 0.4 * np.ones(3))
    assert parts[0].total.tolist() == [0.1] * 3
    assert added([2.5]) == 2.5


def test_records__are_joined_along_an_axis_and_stacked_along_a_new_one():
    parts = [Sums(np.ones((2, 3)), np.zeros((2, 5))), Sums(np.ones((2, 4)), np.zeros((2, 6)))]
    assert [array.shape for array in joined(parts, axis=1)] == [(2, 7), (2, 11)]
    assert [array.shape for array in stacked([parts[0]] * 3)] == [(3, 2, 3), (3, 2, 5)]


def test_sums__of_tasks_are_those_of_all():
    x = np.arange(100)
    for size in (1, 7, 100):
        cuts = [(a, min(a + size, 100)) for a in range(0, 100, size)]
        graph = reduce_tasks(lambda x, a, b: Sums(b - a, x[a:b].sum()), (x,), cuts)
        assert compute(graph) == (100, 4950)
