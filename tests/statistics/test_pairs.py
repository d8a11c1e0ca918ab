"""Pairs: brute force for any cut, between sets and to references, and errors that cover."""

from dataclasses import replace

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import InputError, StoreError
from lsg_ray.statistics import pairs as module
from lsg_ray.statistics import reference_distances as references_module
from lsg_ray.statistics.distances import distances
from lsg_ray.statistics.overlaps import overlaps
from lsg_ray.statistics.pairs import poisson_binomial

WIDTHS = (5, 3, 4, 1)


def signs(seed: int, *shape: int, plus: float = 0.5) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(shape) < plus, 1, -1).astype(np.int8)


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[:, None, :] != b[None, :, :]).sum(-1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 99),
    rows=st.tuples(st.integers(2, 90), st.integers(1, 70)),
    n=st.sampled_from([1, 2, 7, 8, 63, 64, 65, 130, 300]),
    tile=st.integers(1, 40),
    shared=st.booleans(),
)
def test_counts__are_those_of_brute_force(seed, rows, n, tile, shared):
    a, b = signs(seed, rows[0], n), signs(seed + 1, rows[1], n, plus=0.8)
    with pytest.MonkeyPatch.context() as patch:
        small = replace(
            module.PAIRS,
            tile_rows=tile,
            task_pairs=10 * tile,
            shared_bytes=2**28 if shared else 8 * (n + 1) * 16,
        )
        patch.setattr(module, "PAIRS", small)
        patch.setattr(references_module, "PAIRS", small)
        within, between = distances(a), distances(a, b)
        to_references = distances(a, references=b, nearest=1, matrix=True)
    upper = hamming(a, a)[np.triu_indices(len(a), 1)]
    np.testing.assert_array_equal(within["pairs"], np.bincount(upper, minlength=n + 1))
    all_pairs = hamming(a, b)
    np.testing.assert_array_equal(between["pairs"], np.bincount(all_pairs.ravel(), minlength=n + 1))
    for row, expected in zip(to_references["pairs"].values, all_pairs.T, strict=True):
        np.testing.assert_array_equal(row, np.bincount(expected, minlength=n + 1))
    np.testing.assert_array_equal(to_references["matrix"], all_pairs.T)
    np.testing.assert_array_equal(to_references["neighbour"][:, 0], all_pairs.argmin(axis=0))
    np.testing.assert_allclose(to_references["mean"], all_pairs.mean(axis=0) / n)
    assert within.attrs["mean"] == pytest.approx(upper.mean() / n)
    assert within.attrs["std"] == pytest.approx(upper.std() / n)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_results__do_not_depend_on_blocks_or_scheduler(ensemble_of, scheduler):
    weights = signs(3, 90, 31)
    expected = overlaps(weights)
    for size in (1, 13, 90):
        with dask.config.set(scheduler=scheduler):
            result = overlaps(ensemble_of(weights, WIDTHS, block_size=size))
        for name in expected.data_vars:
            assert result[name].values.tobytes() == expected[name].values.tobytes()


def test_parts_and_conditions__of_both_sets(ensemble_of):
    a, b = signs(0, 50, 31), signs(1, 40, 31)
    first = ensemble_of(a, WIDTHS, block_size=7).where("accuracy < 0.4").part("ITR")
    second = ensemble_of(b, WIDTHS, block_size=9).part("ITR")
    selected = a[np.arange(50) % 10 < 4][:, 15:27]
    expected = hamming(selected, b[:, 15:27])
    result = distances(first, second)
    np.testing.assert_array_equal(result["pairs"], np.bincount(expected.ravel(), minlength=13))
    assert result.attrs["other_configurations"] == 40


# Nulls and errors


def test_poisson_binomial__is_the_convolution_of_its_trials():
    p = np.random.default_rng(0).random((3, 12))
    result = poisson_binomial(p)
    for row, probabilities in zip(result, p, strict=True):
        expected = np.ones(1)
        for q in probabilities:
            expected = np.convolve(expected, [1 - q, q])
        np.testing.assert_allclose(row, expected, atol=1e-15)


def test_nulls__are_met_by_independent_and_by_random_weights():
    """Chi-square of 2·10⁶ pairs that share 2,000 configurations: within 3 % in each likely bin."""
    m = np.linspace(-0.9, 0.7, 40)
    weights = np.where(np.random.default_rng(0).random((2000, 40)) < (1 + m) / 2, 1, -1)
    result = overlaps(weights)
    likely = result["independent"].values > 0.02
    ratio = (result["probability"] / result["independent"]).values[likely]
    np.testing.assert_allclose(ratio, 1, atol=0.06)
    random = overlaps(signs(1, 2000, 40))
    np.testing.assert_allclose(
        random["probability"].values[likely], random["random"].values[likely], rtol=0.05
    )
    assert random["random"].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "case", ["degenerate", "biased", "mixture", "between", "references", "pairs"]
)
def test_errors__are_the_scatter_over_repeats(case):
    """Mean squared error over mean squared standard error, 400 repeats: 1 ± √(2/400) = 0.07.

    Pairs share configurations; with m = 0 they are uncorrelated all the same.  Checks at 5 of
    these (the estimate of a variance from 20 groups is itself unbiased), the seed is fixed.
    """
    rng = np.random.default_rng(12)
    n, count, repeats = 24, 60, 400
    m = np.zeros(n) if case == "degenerate" else np.linspace(-0.8, 0.6, n)

    names = ("mean", "mean_stderr", "std", "std_stderr")

    def draw():
        z = rng.choice([1.0, 0.3], (count, 1)) if case == "mixture" else 1.0
        return np.where(rng.random((count, n)) < (1 + m * z) / 2, 1, -1).astype(np.int8)

    def measure():
        if case == "between":
            return overlaps(draw(), draw())
        if case == "references":
            return overlaps(draw(), references=np.ones((1, n), np.int8))
        return overlaps(draw(), pairs=25) if case == "pairs" else overlaps(draw())

    def averages(result):
        if case == "references":
            return [float(result[name][0]) for name in names]
        return [result.attrs[name] for name in names]

    result = [measure() for _ in range(repeats)]
    values = np.array([averages(one) for one in result])
    p = np.array([np.ravel(one["probability"]) for one in result])
    error = np.array([np.ravel(one["probability_stderr"]) for one in result])
    likely = p.mean(axis=0) > 0.08
    ratios = [
        values[:, 0].var() / (values[:, 1] ** 2).mean(),
        values[:, 2].var() / (values[:, 3] ** 2).mean(),
        *(p[:, likely].var(axis=0) / (error[:, likely] ** 2).mean(axis=0)),
    ]
    np.testing.assert_allclose(ratios, 1, atol=5 * np.sqrt(2 / repeats))


def test_few_configurations__have_no_error_but_say_so():
    assert np.isnan(overlaps(signs(0, 3, 9)).attrs["mean_stderr"])
    assert np.isfinite(overlaps(signs(0, 4, 9)).attrs["mean_stderr"])


def test_errors__are_numbers_wherever_they_can_be_and_nan_where_not():
    """Two pairs, or two rows, lie symmetrically about their mean: rounding must not show."""
    for seed in range(50):
        result = overlaps(signs(seed, 8, 65), pairs=2)
        assert result.attrs["std_stderr"] >= 0
        to = overlaps(signs(seed, 2, 5), references=signs(seed + 1, 3, 5))
        assert (to["std_stderr"] >= 0).all()
    assert np.isnan(overlaps(signs(0, 8, 65), pairs=1).attrs["mean_stderr"])
    assert np.isnan(overlaps(signs(0, 1, 5), references=signs(1, 3, 5))["mean_stderr"]).all()
    between = overlaps(signs(0, 20, 5), signs(1, 30, 5), pairs=7).attrs
    assert (between["configurations"], between["other_configurations"]) == (7, 7)


def test_wide_configurations__cost_no_square_of_their_width():
    import tracemalloc

    weights = signs(0, 30, 20_000)
    overlaps(weights)
    tracemalloc.start()
    overlaps(weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


# Samples


def test_disjoint_pairs__share_no_configuration_and_are_seeded():
    """Row r is r ones and minus ones after, so a distance tells which rows it is of."""
    weights = np.where(np.arange(64) < 2 ** np.arange(6)[:, None], 1, -1).astype(np.int8)
    result = [distances(weights, pairs=3, seed=seed)["pairs"].values for seed in range(30)]
    gaps = {2**b - 2**a: {a, b} for b in range(6) for a in range(b)}
    for one in result:
        rows = [gaps[int(d)] for d in np.flatnonzero(one)]
        assert len(set().union(*rows)) == 6
    assert len({one.tobytes() for one in result}) > 5
    assert result[3].tobytes() == distances(weights, pairs=3, seed=3)["pairs"].values.tobytes()


@pytest.mark.parametrize("pairs", [0, 5, 10**12])
def test_more_disjoint_pairs__than_there_are_is_refused(pairs):
    with pytest.raises(
        InputError, match=rf"4 share no configuration|pairs {pairs} given; at (least 1|most)"
    ):
        overlaps(signs(0, 9, 5), pairs=pairs)


# Real-valued


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99), rows=st.integers(2, 40), n=st.integers(1, 9), tile=st.integers(1, 9)
)
def test_euclidean__is_that_of_scipy(seed, rows, n, tile):
    from scipy.spatial.distance import cdist, pdist

    from lsg_ray.statistics import euclidean

    rng = np.random.default_rng(seed)
    a, b = rng.normal(100, 1, (rows, n)), rng.normal(100, 2, (5, n))
    a[-1] = a[0] + 1e-7  # nearly the same
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(euclidean, "EUCLIDEAN", replace(euclidean.EUCLIDEAN, tile_bytes=8 * n * tile))
        within = distances(a, matrix=True, bins=7)
        between = distances(a, b, bins=7)
        to = distances(a, references=b, nearest=2, bins=7)
    expected = pdist(a)
    np.testing.assert_allclose(within["matrix"], cdist(a, a), rtol=1e-6, atol=1e-12)
    assert within["pairs"].sum() == len(expected)
    for result, values in ((within, expected), (between, cdist(a, b).ravel())):
        assert result.attrs["mean"] == pytest.approx(values.mean(), rel=1e-6)
        assert result.attrs["std"] == pytest.approx(values.std(), rel=1e-5, abs=1e-6)
        assert result.attrs["max"] == pytest.approx(values.max(), rel=1e-6)
    np.testing.assert_allclose(to["mean"], cdist(b, a).mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(to["pairs"].sum("distance"), rows)
    nearest = np.sort(cdist(b, a), axis=1)[:, :2]
    np.testing.assert_allclose(to["neighbour_distance"], nearest, rtol=1e-6)


def test_own_neighbours__leave_themselves_out():
    for data in (signs(0, 30, 9), np.random.default_rng(0).normal(size=(30, 4))):
        result = distances(data, references=data, nearest=29)
        rows = result["neighbour"].values
        assert (np.sort(rows, axis=1) == [np.delete(np.arange(30), i) for i in range(30)]).all()


# Bad input


def test_misfits__are_refused_with_what_and_why(ensemble_of):
    a = ensemble_of(signs(0, 9, 31), WIDTHS)
    for given_, message in (
        ({"other": signs(0, 3, 30)}, "31 weights a configuration, array 30"),
        ({"other": a.part("LB")}, "31 weights a configuration.*15"),
        ({"references": signs(0, 3, 31), "other": a}, "references and other given"),
        ({"references": signs(0, 3, 31), "pairs": 2}, "references and pairs given"),
        ({"pairs": 2, "configurations": 3}, "pairs and configurations given"),
        ({"references": np.zeros((1, 31), int)}, "holds 0 at row 0"),
    ):
        with pytest.raises(InputError, match=message):
            overlaps(a, **given_)
    with pytest.raises(InputError, match="real-valued"):
        overlaps(np.random.default_rng(0).normal(size=(5, 4)))
    with pytest.raises(InputError, match="of which references"):
        distances(a, nearest=3)
    with pytest.raises(InputError, match="10 neighbours asked for; there are 9"):
        distances(a, references=signs(0, 1, 31), nearest=10)


def test_matrix__beyond_a_size_is_refused_before_any_work(monkeypatch):
    import lsg_ray.statistics.distances as distances_module

    monkeypatch.setattr(distances_module, "MAX_MATRIX_ENTRIES", 80)
    monkeypatch.setattr(distances_module, "overlaps", None)
    with pytest.raises(InputError, match=r"9 × 9 distances asked for; at most 80"):
        distances(signs(0, 9, 5), matrix=True)


def test_damaged_block__is_named(ensemble_of, tmp_path):
    ensemble = ensemble_of(signs(0, 20, 9), block_size=5, url=tmp_path / "s")
    chunk = tmp_path / "s" / "weights" / "c.3.0"
    data = bytearray(chunk.read_bytes())
    data[1] ^= 4
    chunk.write_bytes(data)
    for measure in (overlaps, distances):
        with pytest.raises(StoreError, match=r"weights.*block 3.*CRC32C"):
            measure(ensemble)
