"""Errors of ensembles in which some rows are node-permuted copies of others."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.targets import as_target
from lsg_ray.spec import NetworkSpec
from lsg_ray.statistics.configurations import StoredConfigurations, as_configurations
from lsg_ray.statistics.copies import draw_independent, pairs_of_copies
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.node_symmetry import canonicalize, permute
from lsg_ray.statistics.overlaps import overlaps
from lsg_ray.statistics.pairs import choose_rows
from lsg_ray.statistics.rsb import replica_overlaps
from lsg_ray.statistics.views import Columns
from tests.ensemble.mixture import synthetic

NETWORK = NetworkSpec(widths=(4, 3, 2))
N = NETWORK.n_weights
INPUTS = np.random.default_rng(1).normal(size=(5, 4))


def draw(rng, rows, invariant):
    """Independent rows: with all hidden units alike, or with weights of different means."""
    if not invariant:
        x = np.where(rng.random((rows, N)) < (1 + np.linspace(-0.6, 0.6, N)) / 2, 1, -1)
        x[:, 5] = np.where(rng.random(rows) < 0.5, x[:, 4], x[:, 5])
        return x.astype(np.int8)
    x = np.where(rng.random((rows, N)) < 0.6, 1, -1).astype(np.int8)
    first, last = NETWORK.layer_slices
    x[:, first] = np.tile(x[:, first][:, :4], 3)
    x[:, last] = np.repeat(x[:, last][:, ::3], 3, axis=1)
    return x


def added(x, p, seed=0):
    return permute(x, p, mode="add", network=NETWORK, inputs=INPUTS, seed=seed)


# Which rows are copies


@pytest.mark.parametrize("p", [0.0, 0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("rows", [7, 150])
def test_groups__are_rows_and_their_copies(rows, p):
    x = draw(np.random.default_rng(0), rows, True)
    x[:, :4] = 1 - 2 * ((np.arange(rows)[:, None] >> np.arange(4)) & 1)
    x[:, 4:8] = x[:, 8:12] = x[:, :4]
    view = added(x, p)
    result = view.groups()
    origin = view.origin(np.arange(view.n_rows))
    np.testing.assert_array_equal(result, origin)
    assert np.bincount(result).max() <= 2
    np.testing.assert_array_equal(view.rows(0, view.n_rows), x[result])  # invariant: equal rows
    pairs = pairs_of_copies(view)
    if p == 0:
        assert pairs is None
        return
    assert pairs.groups == rows
    assert len(pairs.first) == view.n_rows - rows
    np.testing.assert_array_equal(result[pairs.first], result[pairs.second])
    assert (pairs.first < pairs.second).all()


def test_groups__are_known_of_views_of_views_and_of_stores(tmp_path):
    ensemble = synthetic(tmp_path / "e", 60, 675, 1, block_size=25)
    view = permute(ensemble, 0.6, mode="add", seed=3)
    groups = view.groups()
    stored = permute(ensemble, 0.6, tmp_path / "s", mode="add", seed=3)
    assert as_configurations(ensemble).groups() is None
    assert permute(ensemble, 0.6, seed=3).groups() is None  # replaced: independent
    for some in (
        view.part("LB"),
        canonicalize(view),
        Columns(view, np.arange(5)),
        stored,
        stored.part("RB"),
        canonicalize(stored, tmp_path / "c"),
        permute(stored, 0.4, tmp_path / "r"),
    ):
        np.testing.assert_array_equal(as_configurations(some).groups(), groups)
    some = stored.where("accuracy > 0.5")
    np.testing.assert_array_equal(
        StoredConfigurations(some).groups(), groups[stored.column("accuracy") > 0.5]
    )
    held = choose_rows(view, 40, 0)
    assert len(np.unique(held.groups())) < 40
    twice = permute(view, 0.5, mode="add", seed=1)
    np.testing.assert_array_equal(twice.groups(), groups[twice.origin(np.arange(twice.n_rows))])
    sizes = np.bincount(twice.groups())
    pairs = pairs_of_copies(twice)
    assert len(pairs.first) == (sizes * (sizes - 1) // 2).sum()
    assert len(set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))) == len(
        pairs.first
    )
    chosen = draw_independent(view, None, np.random.default_rng(0))
    assert len(chosen) == len(np.unique(groups[chosen])) == 60


# Errors


@pytest.mark.parametrize("p", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("invariant", [True, False])
def test_moments__errors_are_the_scatter_over_repeats(invariant, p):
    """Mean squared errors over 150 repeats of 150 rows, against the mean of squared errors.

    Averages over 18 m, 153 C and c, 20 triples are of at least a few independent numbers: their
    ratio scatters by at most 12 %, and 36 % is three of that; the seed is fixed.
    """
    rng = np.random.default_rng(int(10 * p) + invariant)
    names = ["m", "C", "connected", "third", "third_connected"]
    truth = moments(added(draw(rng, 60_000, invariant), p), triples=20)
    triples = np.stack([truth[k].values for k in "ijk"], axis=1)
    upper = np.triu_indices(N, 1)
    scatter, error, alone, counts = [], [], [], []
    for seed in range(150):
        result = moments(added(draw(rng, 150, invariant), p, seed), triples=triples)
        at = {name: upper if result[name].ndim == 2 else slice(None) for name in names}
        scatter.append([np.mean((result[k].values - truth[k].values)[at[k]] ** 2) for k in names])
        error.append([np.mean(result[f"{k}_stderr"].values[at[k]] ** 2) for k in names])
        alone.append(np.mean(1 - result["m"].values ** 2) / (result.attrs["count"] - 1))
        counts.append(result.attrs["effective_count"])
    ratio = np.mean(scatter, axis=0) / np.mean(error, axis=0)
    np.testing.assert_allclose(ratio, 1, atol=0.36)
    rows = result.attrs["count"]
    assert result.attrs["groups"] == 150
    if invariant:  # a copy tells nothing new; and rows with one weigh double
        kish = rows**2 / (150 + 3 * (rows - 150))
        assert np.mean(counts) == pytest.approx(kish, rel=0.03)
        assert np.mean(scatter, axis=0)[0] / np.mean(alone) > 1 + 0.5 * p  # what it was before
    else:
        assert 150 < np.mean(counts) < rows


def test_moments__values_are_those_of_the_rows():
    x = draw(np.random.default_rng(0), 90, False)
    view = added(x, 0.7)
    rows = view.rows(0, view.n_rows)
    result, plain = moments(view, triples=5), moments(rows, triples=5)
    for name in ("m", "C", "connected", "third"):
        assert result[name].values.tobytes() == plain[name].values.tobytes()
    assert (result["m_stderr"] != plain["m_stderr"]).all()
    np.testing.assert_array_equal(np.diag(result["C_stderr"]), np.zeros(N))
    same = moments(permute(x, 0.7, network=NETWORK, inputs=INPUTS))
    assert "effective_count" not in same.attrs
    target = as_target(view)
    assert target.count == moments(view).attrs["effective_count"]


@pytest.mark.parametrize("real", [True, False])
def test_moments__with_weights_are_those_of_groups_written_out(real):
    """Var = Σ_groups (Σ w f)² / (Σ w)² · K/(K − 1), f from its definition."""
    rng = np.random.default_rng(2)
    x = draw(rng, 40, False).astype(float)
    if real:
        x = 3 + x * rng.normal(size=x.shape)
    view = added(x, 0.8)
    w = rng.exponential(size=view.n_rows)
    result = moments(view, weights=w)
    rows, groups = view.rows(0, view.n_rows).astype(float), view.groups()
    m = w @ rows / w.sum()
    d = rows - m
    k = w.sum() ** 2 / (np.bincount(groups, w) ** 2).sum()

    def error(f):
        parts = np.zeros((groups.max() + 1, f.shape[1]))
        np.add.at(parts, groups, w[:, None] * f)
        return np.sqrt((parts**2).sum(axis=0)) / w.sum() * np.sqrt(k / (k - 1))

    i, j = np.triu_indices(N)
    products, raw = d[:, i] * d[:, j], rows[:, i] * rows[:, j]
    for name, f in (("m", d), ("connected", products), ("C", raw)):
        values = result[f"{name}_stderr"].values
        values = values if name == "m" else values[i, j]
        np.testing.assert_allclose(values, error(f - w @ f / w.sum()), rtol=1e-8, atol=1e-8)
    assert result.attrs["groups"] == 40


def test_copies__of_one_row_have_no_spread():
    x = draw(np.random.default_rng(0), 1, False)
    with pytest.raises(InputError, match="copies of one"):
        moments(added(x, 1.0))


@pytest.mark.parametrize("kind", ["all", "pairs", "references"])
@pytest.mark.parametrize(("invariant", "p"), [(True, 0.3), (True, 0.9), (False, 0.9)])
def test_overlaps__errors_are_the_scatter_over_repeats(kind, invariant, p):
    """Standard deviations over 150 repeats against errors: 6 % each; 25 % are allowed."""
    rng = np.random.default_rng(5)
    references = draw(rng, 3, False)
    values, errors, probabilities, spreads = [], [], [], []
    for seed in range(150):
        view = added(draw(rng, 120, invariant), p, seed)
        if kind == "references":
            result = overlaps(view, references=references)
            of = result
        else:
            pairs = view.n_rows // 2 if kind == "pairs" else None
            result = overlaps(view, pairs=pairs, seed=seed)
            of = result.attrs
        values.append(np.r_[np.ravel(of["mean"]), np.ravel(of["std"])])
        errors.append(np.r_[np.ravel(of["mean_stderr"]), np.ravel(of["std_stderr"])] ** 2)
        probabilities.append(result["probability"].values)
        spreads.append(result["probability_stderr"].values ** 2)
    ratio = np.std(values, axis=0) / np.sqrt(np.mean(errors, axis=0))
    np.testing.assert_allclose(ratio, 1, atol=0.25)
    total = np.var(probabilities, axis=0).sum() / np.mean(spreads, axis=0).sum()
    assert total == pytest.approx(1, abs=0.25)


def test_replicas__are_no_copies_of_each_other():
    result = replica_overlaps(added(draw(np.random.default_rng(0), 30, True), 0.9), draws=2)
    assert result.sizes["replica"] == 30
    q = result["q"].values[np.triu_indices(30, 1)]
    assert (q == 1).mean() < 0.2
