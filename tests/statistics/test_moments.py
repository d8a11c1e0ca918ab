"""Moments: plain NumPy to the last bit, however the work is cut, with errors that cover."""

from dataclasses import replace
from itertools import combinations

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import InputError
from lsg_ray.statistics import moments as module
from lsg_ray.statistics import signs as counting
from lsg_ray.statistics.moments import moments
from tests.ensemble.mixture import mixture, synthetic

WIDTHS = (5, 3, 4, 1)  # LB 0:15, ITR 15:27, RB 27:31


def signs(seed: int, *shape: int, plus: float = 0.5) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(shape) < plus, 1, -1).astype(np.int8)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 99),
    count=st.integers(2, 60),
    block_size=st.integers(1, 70),
    part=st.sampled_from([None, "LB", "ITR", "RB", 0, 1, 2]),
    below=st.sampled_from([None, 0.25, 0.95]),
    rows=st.integers(1, 20),
    task_rows=st.integers(1, 30),
)
def test_moments__are_those_of_numpy_to_the_last_bit(
    ensemble_of, seed, count, block_size, part, below, rows, task_rows
):
    weights = signs(seed, count, 31, plus=0.7)
    ensemble = ensemble_of(weights, WIDTHS, block_size=block_size)
    layers = [slice(0, 15), slice(15, 27), slice(27, 31)]
    chosen = {"LB": layers[0], "ITR": layers[1], "RB": layers[2]}.get(part) or slice(0, 31)
    chosen = layers[part] if isinstance(part, int) else chosen
    view = ensemble if part is None else ensemble.part(part)
    selected = np.ones(count, bool)
    if below is not None:
        view = view.where(f"accuracy < {below}")
        selected = np.arange(count) % 10 / 10 < below
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "SIGNS", replace(counting.SIGNS, rows=rows))
        patch.setattr(module, "_task_rows", lambda _: task_rows)
        result = moments(view)
    expected = weights[selected][:, chosen].astype(np.int64)
    n = len(expected)
    m, C = expected.sum(0) / n, expected.T @ expected / n
    np.testing.assert_array_equal(result["m"], m)
    np.testing.assert_array_equal(result["C"], C)
    c = C - np.outer(m, m)
    spread = np.einsum("ai,aj->ij", (expected - m) ** 2, (expected - m) ** 2) / n - c**2
    np.testing.assert_allclose(result["connected"], c, atol=1e-15)
    np.testing.assert_allclose(
        result["connected_stderr"] ** 2, np.maximum(spread, 0) / (n - 1), atol=1e-13
    )
    np.testing.assert_array_equal(result["m_stderr"], np.sqrt((1 - m**2) / (n - 1)))
    np.testing.assert_array_equal(result["C_stderr"], np.sqrt((1 - C**2) / (n - 1)))
    assert result.attrs["count"] == n
    np.testing.assert_array_equal(result["weight"], np.arange(31)[chosen])
    np.testing.assert_array_equal(result["weight_"], np.arange(31)[chosen])


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize(("rows", "tasks"), [(1, 50), (7, 33), (4096, 12)])
@pytest.mark.parametrize("block_size", [1, 16, 200])
def test_moments__do_not_depend_on_how_the_work_is_cut(
    ensemble_of, monkeypatch, scheduler, rows, tasks, block_size
):
    weights = signs(1, 100, 9)
    monkeypatch.setattr(counting, "SIGNS", replace(counting.SIGNS, rows=rows))
    monkeypatch.setattr(module, "_task_rows", lambda _: tasks)
    with dask.config.set(scheduler=scheduler):
        result = moments(ensemble_of(weights, block_size=block_size))
    assert result["C"].values.tobytes() == (weights.T.astype(float) @ weights / 100).tobytes()


def test_moments__coordinates_name_layer_part_and_units(ensemble_of):
    result = moments(ensemble_of(signs(0, 5, 31), WIDTHS))
    assert result["m"].dims == ("weight",)
    assert result["C"].dims == ("weight", "weight_")
    assert (result["C"].dtype, result["m"].dtype) == (np.float64, np.float64)
    assert "".join(result["part"].values[[0, 14, 15, 26, 27, 30]]) == "LBLBITRITRRBRB"
    at = result.isel(weight=slice(13, 17))
    np.testing.assert_array_equal(at["layer"], [0, 0, 1, 1])
    np.testing.assert_array_equal(at["unit"], [2, 2, 0, 0])
    np.testing.assert_array_equal(at["unit_in"], [3, 4, 0, 1])
    assert all(result[name].attrs["units"] == "1" for name in result.data_vars)


def test_moments__frozen_weights_have_no_error_and_no_warning(ensemble_of):
    weights = signs(0, 30, 6)
    weights[:, :3] = [1, -1, 1]
    result = moments(ensemble_of(weights))
    np.testing.assert_array_equal(result["m"][:3], [1, -1, 1])
    np.testing.assert_array_equal(np.diag(result["C"]), np.ones(6))
    np.testing.assert_array_equal(np.diag(result["C_stderr"]), np.zeros(6))
    np.testing.assert_array_equal(result["m_stderr"][:3], np.zeros(3))
    assert (result["m_stderr"][3:] > 0).all()


@pytest.mark.parametrize("path", ["exact", "weighted", "real"])
def test_standard_errors__are_the_scatter_over_repeats(path):
    """Squared standard errors are unbiased, to first order: their mean is the mean squared error.

    Over 600 repeats of 200 configurations the ratio of scatter to error is 1 ± √(2/600) for a
    normal estimate; checks at 6 of these, some 60 of them a case: a false alarm once in 10⁷ seeds,
    besides a bias of order 1/200, and the seed is fixed.
    """
    rng = np.random.default_rng(3)
    repeats, count = 600, 200
    mu = np.array([-0.6, -0.3, 0.0, 0.2, 0.4, 0.4])
    triples = np.array([[0, 1, 2], [2, 4, 5], [3, 4, 5]])
    pairs = np.triu_indices(len(mu), 1)

    def draw(rows):
        result = np.where(rng.random((rows, len(mu))) < (1 + mu) / 2, 1, -1).astype(np.int8)
        result[:, 5] = np.where(rng.random(rows) < 0.5, result[:, 4], result[:, 5])
        result[:, 2] = np.where(rng.random(rows) < 0.3, result[:, 3], result[:, 2])
        return (
            result if path != "real" else 3 + result + result[:, ::-1] * rng.normal(size=(rows, 1))
        )

    truth, scatter, error = moments(draw(400_000), correlations=True), [], []
    for _ in range(repeats):
        options = {"triples": triples} if path == "exact" else {}
        options = {"weights": rng.exponential(size=count)} if path == "weighted" else options
        result = moments(draw(count), **options)
        off, err = [], []
        for name in ("m", "C", "connected"):
            values, errors, true = (
                data[key].values
                for data, key in ((result, name), (result, f"{name}_stderr"), (truth, name))
            )
            at = slice(None) if name == "m" else pairs
            off.append((values - true)[at])
            err.append(errors[at])
        scatter.append(np.concatenate(off) ** 2)
        error.append(np.concatenate(err) ** 2)
    ratio = np.mean(scatter, axis=0) / np.mean(error, axis=0)
    assert np.abs(ratio - 1).max() < 6 * np.sqrt(2 / repeats) + 0.01


def test_third_moments__are_those_of_numpy_and_their_errors_cover(ensemble_of):
    rng = np.random.default_rng(8)
    pool = signs(4, 40, 7, plus=0.6)
    exact = pool.astype(float)
    triples = np.array(list(combinations(range(7), 3)))

    def connected(x):
        d = x - np.average(x, axis=0)
        return np.array([np.mean(d[:, i] * d[:, j] * d[:, k]) for i, j, k in triples])

    result = moments(ensemble_of(pool, block_size=6), triples=triples)
    i, j, k = triples.T
    raw = np.mean(exact[:, i] * exact[:, j] * exact[:, k], axis=0)
    np.testing.assert_array_equal(result["third"], raw)
    np.testing.assert_allclose(result["third_connected"], connected(exact), atol=1e-14)
    np.testing.assert_array_equal(np.c_[result["i"], result["j"], result["k"]], triples)
    # 400 repeats drawn from the pool, whose moments are then the truth; see the test above.
    scatter, error = [], []
    for _ in range(400):
        again = moments(pool[rng.integers(0, 40, 300)], triples=triples)
        scatter.append((again["third_connected"].values - connected(exact)) ** 2)
        error.append(again["third_connected_stderr"].values ** 2)
    ratio = np.mean(scatter, axis=0) / np.mean(error, axis=0)
    assert np.abs(ratio - 1).max() < 6 * np.sqrt(2 / 400) + 0.03


def test_triples__drawn_are_distinct_ordered_and_seeded():
    weights = signs(0, 20, 30)
    result = moments(weights, triples=500, seed=4)
    chosen = np.c_[result["i"], result["j"], result["k"]]
    assert len(np.unique(chosen, axis=0)) == 500
    assert ((chosen[:, 0] < chosen[:, 1]) & (chosen[:, 1] < chosen[:, 2])).all()
    np.testing.assert_array_equal(result["i"], moments(weights, triples=500, seed=4)["i"])
    assert not np.array_equal(result["i"], moments(weights, triples=500, seed=5)["i"])
    assert moments(weights[:, :5], triples=10).sizes["triple"] == 10


@pytest.mark.parametrize(
    ("triples", "message"),
    [
        (11, "5 weights have 10"),
        (-1, "-1 triples"),
        ([[0, 1, 1]], r"triple \[0, 1, 1\] given; three different"),
        ([[0, 1, 5]], "from 0 to 4"),
        ([0, 1, 2], r"shape \(3,\)"),
        (1.5, "float64"),
    ],
)
def test_triples__that_do_not_fit_are_refused(triples, message):
    with pytest.raises(InputError, match=message):
        moments(signs(0, 9, 5), triples=triples)


# Arrays, weights, real numbers


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    rows=st.integers(2, 200),
    n=st.integers(1, 80),
    chunk=st.integers(1, 70),
    rows_at_once=st.integers(1, 130),
)
def test_arrays__numpy_and_dask_give_what_numpy_gives(seed, rows, n, chunk, rows_at_once):
    import dask.array as da

    weights = signs(seed, rows, n, plus=0.3)
    expected = weights.T.astype(float) @ weights / rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "SIGNS", replace(counting.SIGNS, rows=rows_at_once))
        lazy = da.from_array(weights, chunks=(chunk, max(1, n // 2)))
        for given_ in (weights, weights.astype(float), weights.tolist(), lazy):
            result = moments(given_)
            assert result["C"].values.tobytes() == expected.tobytes()
            assert result["m"].values.tobytes() == weights.mean(axis=0).tobytes()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), rows=st.integers(3, 60), n=st.integers(1, 9), real=st.booleans())
def test_weights__of_configurations_count_as_repetitions(seed, rows, n, real):
    """Integer weights give the moments of an ensemble in which rows are repeated so often."""
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 1, (rows, n)) if real else signs(seed, rows, n)
    counts = rng.integers(0, 4, rows)
    counts[:2] = 1
    result, repeated = moments(values, weights=counts), moments(np.repeat(values, counts, axis=0))
    for name in ("m", "C", "connected"):
        np.testing.assert_allclose(result[name], repeated[name], rtol=1e-12, atol=1e-12)
    if real:
        covariance = np.cov(np.repeat(values, counts, axis=0).T, bias=True).reshape(n, n)
        np.testing.assert_allclose(result["connected"], covariance, rtol=1e-9, atol=1e-12)
    size = counts.sum() ** 2 / (counts**2).sum()
    assert result.attrs["effective_count"] == pytest.approx(size)


def test_weights__equal_for_all_change_nothing():
    weights = signs(6, 50, 8, plus=0.7)
    plain, weighted = moments(weights), moments(weights, weights=np.full(50, 0.3))
    for name in plain.data_vars:
        power = 2 if "stderr" in name else 1  # a variance of zero is zero to rounding
        np.testing.assert_allclose(weighted[name] ** power, plain[name] ** power, atol=1e-15)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_weights__of_any_scale_are_the_same(scale):
    x = np.random.default_rng(0).normal(size=(40, 3))
    w = np.random.default_rng(1).exponential(size=40)
    one, other = moments(x, weights=w), moments(x, weights=w * scale)
    for name in one.data_vars:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-9)
    assert one.attrs["count"] == 40
    np.testing.assert_allclose(
        one["variance"] * (1 - 1 / one.attrs["effective_count"]), np.diag(one["connected"])
    )


def test_weights__may_be_a_column(ensemble_of):
    weights = signs(6, 50, 8)
    result = moments(ensemble_of(weights, block_size=7), weights="accuracy")
    w = np.arange(50) % 10 / 10
    np.testing.assert_allclose(result["m"], w @ weights / w.sum(), atol=1e-14)


@pytest.mark.parametrize(
    ("given_weights", "message"),
    [
        (np.ones(3), r"shape \(3,\)"),
        (-np.ones(9), "-1.0 at row 0"),
        (np.r_[np.ones(8), np.nan], "nan at row 8"),
        (np.zeros(9), "all configurations are zero"),
        (np.r_[1, np.zeros(8)], "one configuration has all the weight"),
        ("accuracy", "columns of array are none"),
    ],
)
def test_weights__that_do_not_fit_are_refused(given_weights, message):
    with pytest.raises(InputError, match=message):
        moments(signs(0, 9, 5), weights=given_weights)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1, -1], [0, 1]]), "holds 0 at row 1, weight 0; weights must be ±1"),
        (np.array([[1.0, np.nan], [0, 1]]), "nan at row 0, weight 1; weights must be finite"),
        (np.ones(5), r"shape \(5,\)"),
        (np.ones((5, 0)), r"shape \(5, 0\)"),
        (np.ones((3, 2), bool), "array: true and false"),
        ([[1, 1], [1]], "rows of different lengths"),
        (np.ones((1, 4), int), "1 configurations selected"),
    ],
)
def test_arrays__that_are_none_of_configurations_are_refused(array, message):
    with pytest.raises(InputError, match=message):
        moments(array)


def test_real_weights__beyond_a_size_have_no_correlations_unless_asked(monkeypatch):
    monkeypatch.setattr(module, "LIMITS", replace(module.LIMITS, max_real_weights=4))
    x = np.random.default_rng(0).normal(2, 3, (50, 5))
    result = moments(x)
    assert set(result.data_vars) == {"m", "m_stderr", "variance"}
    np.testing.assert_allclose(result["variance"], x.var(axis=0, ddof=1))
    np.testing.assert_allclose(moments(x, correlations=True)["C"], x.T @ x / 50)


def test_standard_errors__of_a_stored_ensemble_cover(ensemble_of):
    """2,016 independent pairs with true C = 0: |z| > 1.96 in 5 % of them, 3.5 to 6.5 % here.

    The share's standard error is 0.5 %: a false alarm once in 400 seeds, and the seed is fixed.
    """
    result = moments(ensemble_of(signs(5, 2000, 64), block_size=300))
    pairs = np.triu_indices(64, 1)
    z = result["C"].values[pairs] / result["C_stderr"].values[pairs]
    assert 0.035 < np.mean(np.abs(z) > 1.96) < 0.065


def test_synthetic__moments_meet_the_exact_ones(tmp_path):
    """z-scores of 4,950 C and as many c of 100 weights: their spread is 1 ± 0.01 if independent.

    Correlated as they are, 0.1 holds for 30 seeds tried; the seed is fixed.
    """
    ensemble = synthetic(tmp_path / "s", 20_000, 100, 5)
    result, true = moments(ensemble), mixture(100, 5)
    pairs = np.triu_indices(100, 1)
    c = true.C - np.outer(true.m, true.m)
    for name, exact in (("C", true.C), ("connected", c)):
        z = (result[name].values - exact)[pairs] / result[f"{name}_stderr"].values[pairs]
        assert abs(z.std() - 1) < 0.1
    assert abs(((result["m"].values - true.m) / result["m_stderr"].values).std() - 1) < 0.35


# Incomplete, empty, too large


def test_incomplete_store__gives_the_moments_of_its_complete_blocks(ensemble_of):
    weights = signs(2, 50, 8)
    ensemble = ensemble_of(weights, block_size=8, blocks=[1, 3, 6])
    result = moments(ensemble)
    there = np.r_[8:16, 24:32, 48:50]
    np.testing.assert_array_equal(result["m"], weights[there].mean(0))
    assert result.attrs["count"] == result.attrs["complete_configurations"] == 18


@pytest.mark.parametrize(
    ("count", "blocks", "where"),
    [(1, None, None), (5, [], None), (5, None, "loss < 0.05"), (5, None, "loss < 0")],
)
def test_too_few_rows__are_refused(ensemble_of, count, blocks, where):
    view = ensemble_of(signs(0, count, 4), blocks=blocks)
    view = view if where is None else view.where(where)
    with pytest.raises(InputError, match=r"[01] configurations selected; moments need at least 2"):
        moments(view)


def test_too_wide__is_refused_before_anything_is_read_and_a_part_is_not(ensemble_of, monkeypatch):
    ensemble = ensemble_of(signs(0, 5, 31), WIDTHS)
    monkeypatch.setattr(module, "LIMITS", replace(module.LIMITS, max_bytes=200 * 15**2))
    monkeypatch.setattr(counting, "count_signs", None)
    with pytest.raises(
        InputError,
        match=r"C of 31 × 31 weights takes .*; choose fewer weights \(--choose, --part\)",
    ):
        moments(ensemble)
    monkeypatch.undo()
    monkeypatch.setattr(module, "LIMITS", replace(module.LIMITS, max_bytes=200 * 15**2))
    assert moments(ensemble.part("LB"))["m"].size == 15


def test_damaged_chunk__is_an_error_that_names_it(ensemble_of, tmp_path):
    from lsg_ray.errors import StoreError

    ensemble = ensemble_of(signs(0, 20, 9), block_size=5, url=tmp_path / "s")
    chunk = tmp_path / "s" / "weights" / "c.2.0"
    data = bytearray(chunk.read_bytes())
    data[3] ^= 16
    chunk.write_bytes(data)
    with pytest.raises(StoreError, match=r"weights.*block 2.*CRC32C.*verify --repair"):
        moments(ensemble)


def test_provenance__tells_what_it_was_computed_from(ensemble_of):
    ensemble = ensemble_of(signs(0, 20, 9), seed=7)
    attributes = moments(ensemble.where("accuracy > 0.3")).attrs
    assert attributes["spec_hash"] == ensemble.spec.hash
    assert attributes["spec"] == ensemble.spec.canonical_json()
    assert attributes["where"] == "accuracy > 0.3"
    assert attributes["sampling_seed"] == 7
    assert attributes["source"] == "given"
