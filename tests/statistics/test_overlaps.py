"""Overlaps: every pair counted once, and a null that independent weights meet."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import InputError
from lsg_ray.statistics.overlaps import overlaps

WIDTHS = (5, 3, 4, 1)


def spins(seed: int, rows: int, m: np.ndarray) -> np.ndarray:
    uniform = np.random.default_rng(seed).random((rows, len(m)))
    return np.where(uniform < (1 + m) / 2, 1, -1).astype(np.int8)


def brute_force(weights: np.ndarray) -> np.ndarray:
    return np.array([np.mean(a * b, dtype=float) for a, b in combinations(weights, 2)])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    rows=st.integers(2, 30),
    n=st.integers(1, 20),
    block_size=st.integers(1, 31),
)
def test_pairs__are_those_of_brute_force(ensemble_of, seed, rows, n, block_size):
    weights = spins(seed, rows, np.full(n, 0.2))
    result = overlaps(ensemble_of(weights, block_size=block_size))
    expected = brute_force(weights)
    q = result["q"].values
    assert len(q) == n + 1
    assert (q[0], q[-1]) == (-1, 1)
    counted = [np.isclose(expected, value, atol=1e-12).sum() for value in q]
    np.testing.assert_array_equal(result["pairs"], counted)
    assert result["pairs"].sum() == rows * (rows - 1) // 2
    assert result.attrs["mean"] == pytest.approx(expected.mean(), abs=1e-12)
    assert result.attrs["std"] == pytest.approx(expected.std(), abs=1e-12)


@pytest.mark.parametrize("rows", [255, 256, 257, 600])
def test_pairs__across_strips_are_counted_once(ensemble_of, rows):
    weights = spins(0, rows, np.zeros(5))
    result = overlaps(ensemble_of(weights, block_size=50))
    products = (weights.astype(int) @ weights.T)[np.triu_indices(rows, 1)]
    np.testing.assert_array_equal(result["pairs"], np.bincount((products + 5) // 2, minlength=6))


def test_subset__is_of_the_size_asked_for_and_seeded(ensemble_of):
    ensemble = ensemble_of(spins(0, 200, np.zeros(31)), WIDTHS, block_size=9)
    result = overlaps(ensemble, configurations=20)
    assert result["pairs"].sum() == 20 * 19 // 2
    assert result.attrs["configurations"] == 20
    assert result.identical(overlaps(ensemble, configurations=20))
    other = overlaps(ensemble, configurations=20, seed=1)
    assert not (result["pairs"] == other["pairs"]).all()


def test_subset__does_not_depend_on_blocks(ensemble_of):
    weights = spins(0, 100, np.zeros(8))
    one, other = (
        overlaps(ensemble_of(weights, block_size=size), configurations=30) for size in (7, 100)
    )
    np.testing.assert_array_equal(one["pairs"], other["pairs"])


def test_views__restrict_rows_and_weights(ensemble_of):
    weights = spins(0, 40, np.zeros(31))
    ensemble = ensemble_of(weights, WIDTHS, block_size=7, blocks=[0, 2, 5])
    result = overlaps(ensemble.part("ITR").where("accuracy < 0.5"))
    there = [i for i in [*range(7), *range(14, 21), *range(35, 40)] if i % 10 < 5]
    expected = brute_force(weights[there][:, 15:27])
    assert result["pairs"].sum() == len(expected)
    assert result.attrs["mean"] == pytest.approx(expected.mean())
    assert result.attrs["where"] == "accuracy < 0.5"


def test_null__is_met_by_independent_weights(ensemble_of):
    """Against the formulas for the true m, and against Monte Carlo of independent pairs.

    The largest error is that of the Monte Carlo deviation, 1/√(2·10⁵) = 0.2 %; pairs of 2,000
    configurations scatter by 0.5 % or less over seeds, so 3 % is never met by chance.
    """
    m = np.linspace(-0.9, 0.7, 60)
    result = overlaps(ensemble_of(spins(0, 2000, m), block_size=500)).attrs
    mean, deviation = np.mean(m**2), np.sqrt(np.sum(1 - m**4)) / 60
    drawn = np.mean(spins(1, 100_000, m) * spins(2, 100_000, m), axis=1)
    assert drawn.mean() == pytest.approx(mean, rel=0.01)
    assert drawn.std() == pytest.approx(deviation, rel=0.01)
    assert result["independent_mean"] == pytest.approx(result["mean"], abs=1e-12)
    assert result["mean"] == pytest.approx(mean, rel=0.02)
    assert result["independent_std"] == pytest.approx(deviation, rel=0.01)
    assert result["std"] == pytest.approx(deviation, rel=0.03)


def test_null__is_left_behind_by_correlated_weights(ensemble_of):
    """Weights in 12 identical groups of 5: the width is √5 times that of independent ones."""
    weights = np.repeat(spins(0, 1000, np.zeros(12)), 5, axis=1)
    result = overlaps(ensemble_of(weights)).attrs
    assert result["std"] / result["independent_std"] == pytest.approx(np.sqrt(5), rel=0.05)


def test_identical_configurations__have_overlap_one(ensemble_of):
    result = overlaps(ensemble_of(np.ones((10, 7), np.int8)))
    np.testing.assert_array_equal(result["pairs"], [0] * 7 + [45])
    assert result.attrs["mean"] == 1
    assert result.attrs["std"] == result.attrs["independent_std"] == result.attrs["std_stderr"] == 0


@pytest.mark.parametrize(
    ("rows", "blocks", "configurations"),
    [(1, None, 9), (5, [], 9), (5, None, 1), (5, None, 0), (5, None, -3)],
)
def test_too_few__are_refused(ensemble_of, rows, blocks, configurations):
    ensemble = ensemble_of(np.ones((rows, 3), np.int8), blocks=blocks)
    with pytest.raises(
        InputError, match=r"configurations (selected; pairs need at least 2|-?\d given; at least 2)"
    ):
        overlaps(ensemble, configurations=configurations)
