"""Moments: plain NumPy to the last bit, however the work is cut, with errors that cover."""

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import InputError
from lsg_ray.statistics import moments as module
from lsg_ray.statistics.moments import moments

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
    tasks=st.integers(2, 9),
)
def test_moments__are_those_of_numpy_to_the_last_bit(
    ensemble_of, seed, count, block_size, part, below, rows, tasks
):
    weights = signs(seed, count, 31, plus=0.7)
    ensemble = ensemble_of(weights, WIDTHS, block_size=block_size)
    layers = [slice(0, 15), slice(15, 27), slice(27, 31)]
    chosen = {"LB": layers[0], "ITR": layers[1], "RB": layers[2]}.get(part) or slice(0, 31)
    chosen = layers[part] if isinstance(part, int) else chosen
    view = ensemble if part is None else ensemble.part(part)
    kept = np.ones(count, bool)
    if below is not None:
        view = view.where(f"accuracy < {below}")
        kept = np.arange(count) % 10 / 10 < below
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS", rows)
        patch.setattr(module, "TASKS", tasks)
        result = moments(view)
    expected = weights[kept][:, chosen].astype(np.int64)
    n = len(expected)
    m, C = expected.sum(0) / n, expected.T @ expected / n
    np.testing.assert_array_equal(result["m"], m)
    np.testing.assert_array_equal(result["C"], C)
    np.testing.assert_array_equal(result["m_stderr"], np.sqrt((1 - m**2) / (n - 1)))
    np.testing.assert_array_equal(result["C_stderr"], np.sqrt((1 - C**2) / (n - 1)))
    assert result.attrs["count"] == n
    np.testing.assert_array_equal(result["weight"], np.arange(31)[chosen])
    np.testing.assert_array_equal(result["weight_"], np.arange(31)[chosen])


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize(("rows", "tasks"), [(1, 2), (7, 3), (4096, 8)])
@pytest.mark.parametrize("block_size", [1, 16, 200])
def test_moments__do_not_depend_on_how_the_work_is_cut(
    ensemble_of, monkeypatch, scheduler, rows, tasks, block_size
):
    weights = signs(1, 100, 9)
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "TASKS", tasks)
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


def test_standard_errors__are_the_scatter_over_repeats():
    """Squared standard errors are unbiased: E (1 − m²)/(M − 1) is the variance of m.

    Over 3,000 repeats of 200 configurations the ratio of scatter to error is 1 ± √(2/3000); 21
    checks of 5 of these: a false alarm once in 5·10⁴ seeds, and the seed is fixed.
    """
    rng = np.random.default_rng(3)
    repeats, count, n = 3000, 200, 6
    mu = np.array([-0.8, -0.3, 0.0, 0.2, 0.5, 0.5])
    true_C = np.outer(mu, mu)
    copied = 0.6  # σ_5 is σ_4 with this probability
    true_C[4, 5] = copied + (1 - copied) * 0.25
    pairs = np.triu_indices(n, 1)
    scatter, error = [], []
    for _ in range(repeats):
        weights = np.where(rng.random((count, n)) < (1 + mu) / 2, 1, -1).astype(np.int8)
        weights[:, 5] = np.where(rng.random(count) < copied, weights[:, 4], weights[:, 5])
        sums = module.sum_blocks([weights], n)
        mean = np.r_[sums.first, sums.second[pairs]] / count
        scatter.append((mean - np.r_[mu, true_C[pairs]]) ** 2)
        error.append(module._standard_error(mean, count) ** 2)
    ratio = np.mean(scatter, axis=0) / np.mean(error, axis=0)
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / repeats)


def test_standard_errors__of_a_stored_ensemble_cover(ensemble_of):
    """2,016 independent pairs with true C = 0: |z| > 1.96 in 5 % of them, 3.5 to 6.5 % here.

    The share's standard error is 0.5 %: a false alarm once in 400 seeds, and the seed is fixed.
    """
    result = moments(ensemble_of(signs(5, 2000, 64), block_size=300))
    pairs = np.triu_indices(64, 1)
    z = result["C"].values[pairs] / result["C_stderr"].values[pairs]
    assert 0.035 < np.mean(np.abs(z) > 1.96) < 0.065


def test_sums__are_exact_beyond_what_float32_counts():
    """Two batches of 2²⁴ configurations and one of one: float32 alone would lose the last."""
    many = np.full((2**24, 1), -1, np.int8)
    sums = module.sum_blocks([many, many, many[:1]], 1)
    assert sums.rows == sums.second.item() == -sums.first.item() == 2**25 + 1


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
    monkeypatch.setattr(module, "MAX_BYTES", 200 * 15**2)
    monkeypatch.setattr(module, "sum_blocks", None)
    with pytest.raises(InputError, match=r"C of 31 weights takes .* choose a part \(--part\)"):
        moments(ensemble)
    monkeypatch.undo()
    monkeypatch.setattr(module, "MAX_BYTES", 200 * 15**2)
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
