"""Rank correlations against SciPy, and the errors of the bootstrap against the spread over data."""

import numpy as np
import pytest
from scipy import stats

from lsg_ray.minima.rank_correlations import (
    correlation_words,
    is_determined,
    kendall_matrix,
    spearman_matrix,
    with_errors,
)


def test_rank_correlations__are_those_of_scipy():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((30, 3))
    values[:, 1] += values[:, 0]
    values[:, 2] = np.round(values[:, 2])  # ties
    rho, tau = spearman_matrix(values), kendall_matrix(values)
    for a in range(3):
        for b in range(3):
            assert rho[a, b] == pytest.approx(stats.spearmanr(values[:, a], values[:, b])[0])
            assert tau[a, b] == pytest.approx(stats.kendalltau(values[:, a], values[:, b])[0])


def test_values_that_are_missing__leave_their_row_out():
    values = np.array([[1.0, 1, 5], [2, 4, 5], [3, np.nan, 5], [4, 3, 5]])
    rho = spearman_matrix(values)
    assert rho[0, 1] == pytest.approx(stats.spearmanr([1, 2, 4], [1, 4, 3])[0])
    assert np.isnan(rho[0, 2])  # no variation
    assert np.isnan(kendall_matrix(values)[2]).all()


def test_bootstrap_errors__are_the_spread_over_data():
    rng = np.random.default_rng(1)

    def draw(n=40):
        x = rng.standard_normal(n)
        return np.stack([x, x + 1.5 * rng.standard_normal(n)], axis=1)

    spread = np.std([spearman_matrix(draw())[0, 1] for _ in range(200)])
    errors = [with_errors(draw(), np.zeros(40, np.int64), 150, rng)[0][1][0, 1] for _ in range(5)]
    assert np.mean(errors) == pytest.approx(spread, rel=0.3)


def test_a_test_set_that_favours_one_algorithm_by_chance__is_undetermined():
    """Four algorithms of ten alike solutions each, random labels: flatness tells nothing.

    Of 40 tables, errors over solutions alone call most correlations significant, those over
    patterns too at most 6 (6 % each: 2 % of false alarms).
    """
    rng, owner = np.random.default_rng(2), np.repeat(np.arange(4), 10)
    significant = {"rows": 0, "both": 0}
    for _ in range(40):
        wrong = (rng.random((4, 400)) < 0.5)[owner] ^ (rng.random((40, 400)) < 0.02)
        values = np.stack([owner + 0.1 * rng.random(40), wrong.mean(axis=1)], axis=1)
        for name, patterns in (("rows", None), ("both", {1: wrong})):
            (rho, error), _ = with_errors(values, owner, 60, rng, patterns)
            significant[name] += is_determined(rho[0, 1], error[0, 1], 40)
    assert significant["rows"] > 20
    assert significant["both"] <= 6


def test_a_difference_in_test_errors__stays_significant():
    rng, owner = np.random.default_rng(3), np.repeat(np.arange(4), 10)
    wrong = rng.random((40, 2000)) < 0.1 + 0.03 * owner[:, None]
    values = np.stack([owner + 0.1 * rng.random(40), wrong.mean(axis=1)], axis=1)
    (rho, error), _ = with_errors(values, owner, 200, rng, {1: wrong})
    assert is_determined(rho[0, 1], error[0, 1], 40)


def test_words_of_a_correlation():
    assert correlation_words(0.9, 0.1, 20) == "0.900 ± 0.1"
    assert correlation_words(0.3, 0.1, 20).endswith("undetermined")
    assert correlation_words(1.0, 0.0, 4).endswith("undetermined")  # of four rows
    assert correlation_words(np.nan, 0.1, 20) == "none: no variation"
