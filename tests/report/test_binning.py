"""Histograms conserve counts, and agree with NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.ensemble.ledger import REJECTION_BINS
from lsg_ray.errors import InputError
from lsg_ray.report import binning


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80), st.integers(1, 90), st.integers(1, 5))
def test_merging_values_conserves_counts(counts, bins, smallest):
    values = np.linspace(-1, 1, len(counts)) if len(counts) > 1 else np.array([0.5])
    result = binning.lattice_histogram(counts, values, bins=bins, smallest=smallest)
    assert result.counts.sum() == sum(counts)
    assert (result.widths > 0).all()
    np.testing.assert_allclose(np.ptp(result.widths), 0, atol=1e-9)
    np.testing.assert_allclose((result.density(1) * result.widths).sum(), sum(counts))
    expected, _ = np.histogram(np.repeat(values, counts), result.edges)
    np.testing.assert_array_equal(result.counts, expected)


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 40))
def test_means_conserve_counts(count, plus, number):
    means = np.full(number, 2 * min(plus, count) / count - 1)
    assert binning.mean_histogram(means, count).counts.sum() == number


@settings(max_examples=60)
@given(
    n=st.integers(3, 3000),
    threshold=st.floats(0, 1),
    bins=st.integers(5, 80),
    seed=st.integers(0, 99),
)
def test_trials_are_counted_once_between_the_same_edges(n, threshold, bins, seed):
    rng = np.random.default_rng(seed)
    hits = rng.integers(0, n + 1, 200)
    accuracy = hits / n
    stored = accuracy >= threshold
    rejected = np.bincount(binning.attainable_bins(n)[hits[~stored]], minlength=REJECTION_BINS)
    accepted, missed = binning.accuracy_histograms(
        accuracy[stored].astype(np.float32), rejected, n, threshold, bins=bins
    )
    np.testing.assert_array_equal(accepted.edges, missed.edges)
    assert (accepted.widths > 0).all()
    # edges are whole numbers of examples, so what lies between them can be counted exactly
    indices = np.searchsorted(np.rint(accepted.edges * n), hits[stored], side="right") - 1
    expected = np.bincount(indices, minlength=len(accepted.counts))
    np.testing.assert_array_equal(accepted.counts, expected)
    assert missed.counts.sum() == np.count_nonzero(~stored)


def test_equal_numbers_of_accuracies_make_no_comb():
    """360 examples in bins of 0.005: one or two values each, yet a flat density stays flat."""
    accepted, _ = binning.accuracy_histograms(
        np.arange(180, 361) / 360, np.zeros(REJECTION_BINS), 360, 0.5, bins=200
    )
    occupied = accepted.counts > 0
    np.testing.assert_allclose(accepted.density()[occupied], accepted.density()[0])


def test_a_histogram_of_another_shape_is_refused():
    with pytest.raises(InputError, match="rejected"):
        binning.accuracy_histograms([0.9], np.zeros(10), 100, 0.8)


def test_block_average_leaves_the_diagonal_out():
    rng = np.random.default_rng(0)
    S = rng.choice([-1.0, 1.0], (50, 10))
    m, C = S.mean(0), S.T @ S / 50
    connected = C - np.outer(m, m)
    np.fill_diagonal(connected, np.nan)
    image, size = binning.block_average(C, m, 10)
    assert size == 1
    np.testing.assert_allclose(image, connected)
    image, size = binning.block_average(C, m, 4)
    assert (size, image.shape) == (3, (4, 4))
    for i in range(4):
        for j in range(4):
            block = connected[3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
            expected = np.nan if np.isnan(block).all() else np.nanmean(block)
            np.testing.assert_allclose(image[i, j], expected, atol=1e-12)


def test_pairs_are_counted_by_group():
    rng = np.random.default_rng(0)
    S = rng.choice([-1.0, 1.0], (50, 12))
    m, C = S.mean(0), S.T @ S / 50
    groups, edges = np.repeat([0, 1, 2], [5, 3, 4]), np.linspace(-1.01, 1.01, 22)
    result = binning.pair_histogram(C, m, groups, edges)
    connected, upper = C - np.outer(m, m), np.triu_indices(12, 1)
    for (a, b), histogram in result.items():
        chosen = (groups[upper[0]] == a) & (groups[upper[1]] == b)
        expected, _ = np.histogram(connected[upper][chosen], edges)
        np.testing.assert_array_equal(histogram.counts, expected)
    assert sum(histogram.counts.sum() for histogram in result.values()) == 66
