"""Clustering: linkage against SciPy, distances after reordering, tests that know about pairs."""

from dataclasses import replace

import dask
import numpy as np
import pytest
import xarray
from scipy.cluster import hierarchy as scipy_hierarchy
from scipy.spatial.distance import pdist, squareform

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError, LsgError, StoreError
from lsg_ray.networks.alignment import aligned as align
from lsg_ray.networks.permutations import log_group_order, permute_nodes, random_orders
from lsg_ray.results.saving import save_result
from lsg_ray.spec import NetworkSpec, parse_spec
from lsg_ray.statistics import aligned, clustering, gaussian
from lsg_ray.statistics.clustering import LINKAGES, cluster
from lsg_ray.statistics.gaussian import fit_gaussian, pair_modes, tournament, upper, variances
from lsg_ray.statistics.hierarchy import flat_clusters
from lsg_ray.statistics.node_symmetry import canonicalize, permute
from tests.ensemble.mixture import synthetic

SPEC = {
    "dataset": {"name": "digits", "components": None},
    "network": {"family": "relu", "widths": [64, 12, 10]},
    "training": {"epochs": 1, "learning_rate": 0.01, "stack": 2},
    "ensemble": {"count": 6, "threshold": 0},
}


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Few rounds where it is not the number of modes that is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaussian, "PAIR_TESTS", replace(gaussian.PAIR_TESTS, rounds=1))
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Six ReLU networks 64-12-10, in three blocks."""
    path = tmp_path_factory.mktemp("relu") / "s"
    sample(parse_spec(SPEC), path, workers=0)
    return open_ensemble(path)


def euclidean(x):
    return squareform(pdist(np.asarray(x, np.float64)))


# The tree


@pytest.mark.parametrize("linkage", LINKAGES)
def test_tree__is_that_of_scipy(linkage):
    for seed in range(2):
        x = np.random.default_rng(seed).normal(size=(40, 7))
        result = cluster(x, linkage=linkage)
        expected = scipy_hierarchy.linkage(pdist(x), linkage)
        np.testing.assert_allclose(result["linkage"], expected, rtol=1e-9)
        tree = result["linkage"].values
        joined = squareform(scipy_hierarchy.cophenet(tree))
        np.testing.assert_array_equal(result["cophenetic"], joined)
        np.testing.assert_array_equal(result["leaf_order"], scipy_hierarchy.leaves_list(tree))
        correlation, _ = scipy_hierarchy.cophenet(expected, pdist(x))
        assert result.attrs["cophenetic_correlation"] == pytest.approx(correlation, rel=1e-9)


def test_average_linkage__is_the_mean_over_pairs_of_two_clusters():
    x = np.random.default_rng(0).normal(size=(15, 3))
    result = cluster(x)
    d, groups = euclidean(x), [[i] for i in range(15)]
    for a, b, height, count in result["linkage"].values:
        i, j = groups[int(a)], groups[int(b)]
        assert height == pytest.approx(d[np.ix_(i, j)].mean())
        groups.append(i + j)
        assert len(groups[-1]) == count


@pytest.mark.parametrize("linkage", ["average", "centroid", "single"])
def test_flat_clusters__are_those_of_scipy(linkage):
    x = np.random.default_rng(1).normal(size=(30, 2))
    result = cluster(x, linkage=linkage)
    tree = result["linkage"].values
    for height in np.quantile(tree[:, 2], [0.0, 0.3, 0.8, 1.0]):
        expected = scipy_hierarchy.fcluster(tree, height, "distance")
        same(flat_clusters(result, height=height).values, expected)
    for count in (1, 2, 7, 30):
        numbers = flat_clusters(result, count=count).values
        assert set(numbers.tolist()) == set(range(count))
        assert (np.diff(numbers[result["leaf_order"].values]) >= 0).all()
        if linkage != "centroid":
            same(numbers, scipy_hierarchy.fcluster(tree, count, "maxclust"))
    assert set(flat_clusters(result, height=-1.0).values.tolist()) == set(range(30))


def same(a, b):
    """Assert that two labels cut a set alike."""
    np.testing.assert_array_equal(a[:, None] == a, b[:, None] == b)


def test_planted_clusters__are_found(tmp_path):
    rng = np.random.default_rng(0)
    planted = rng.permutation(np.repeat([0, 1, 2], 8))
    x = rng.normal(size=(24, 200)) + 2 * rng.normal(size=(3, 200))[planted]
    result = cluster(x)
    same(flat_clusters(result, count=3).values, planted)
    assert not result.attrs["gaussian_accepted"]
    assert result.attrs["cophenetic_correlation"] > 0.95
    save_result(result, tmp_path / "r")
    stored = xarray.open_zarr(tmp_path / "r")
    np.testing.assert_array_equal(flat_clusters(stored, count=3), flat_clusters(result, count=3))
    assert stored.attrs == result.attrs


def test_flat_clusters__bad_words():
    result = cluster(np.random.default_rng(1).normal(size=(5, 2)))
    for words, message in (
        ({}, "give one of them"),
        ({"count": 2, "height": 1.0}, "give one of them"),
        ({"count": 6}, "has 1 to 5 clusters"),
        ({"count": 0}, "has 1 to 5 clusters"),
    ):
        with pytest.raises(InputError, match=message):
            flat_clusters(result, **words)


# Distances


def test_distances_and_histogram__of_an_array():
    x = np.random.default_rng(0).normal(100, 1, (20, 30))
    x[3] = x[5] + 1e-6
    result = cluster(x, bins=9)
    np.testing.assert_allclose(result["distance"], euclidean(x), rtol=1e-8)
    values = pdist(x)
    expected, edges = np.histogram(values, 9)
    np.testing.assert_array_equal(result["pairs"], expected)
    np.testing.assert_allclose(np.append(result["left"], result["right"][-1]), edges)
    about = result.attrs
    assert (about["mean"], about["std"]) == pytest.approx((values.mean(), values.std()))
    assert about["independent"] == pytest.approx(np.sqrt(2 * 30 * x.var()))
    assert about["relative_mean"] == pytest.approx(values.mean() / about["independent"])
    assert (about["alignment"], about["n_pairs"], about["configurations"]) == ("none", 190, 20)


@pytest.mark.parametrize("how", ["clustering", "matching"])
def test_store__is_aligned_as_its_networks_are(store, how):
    network, weights = store.spec.network, store.numpy()
    result = cluster(store, alignment=how, reference=2)
    selected = [0, 1, 3, 4, 5] if how == "matching" else list(range(6))
    expected = euclidean(align(network, weights, how, weights[2])[selected])
    np.testing.assert_allclose(result["distance"], expected, rtol=1e-10)
    np.testing.assert_array_equal(result["configuration"], selected)
    was = pdist(weights[selected].astype(float))
    about = result.attrs
    assert (about["mean_before"], about["std_before"]) == pytest.approx((was.mean(), was.std()))
    assert about["log_group_order"] == log_group_order((64, 12, 10))
    assert about["spec_hash"] == store.spec_hash
    for name, now in (("layer_mean_before", weights), ("layer_mean", None)):
        now = align(network, weights, how, weights[2]) if now is None else now
        layers = [pdist(now[selected][:, s].astype(float)).mean() for s in network.layer_slices]
        assert about[name] == pytest.approx(layers)
    if how == "matching":
        assert about["mean"] < 0.98 * about["mean_before"]
    variances_ = sum(
        2 * (s.stop - s.start) * weights[selected][:, s].var() for s in network.layer_slices
    )
    assert about["independent"] == pytest.approx(np.sqrt(variances_), rel=1e-6)


@pytest.mark.parametrize("how", ["clustering", "matching"])
def test_permuted_copies_of_solutions__have_distance_zero(store, how):
    """Rows 6 to 11 are permuted copies of rows 0 to 5."""
    view = permute(store, 1.0, mode="add")
    assert cluster(view).attrs["alignment"] == "none"
    result = cluster(view, alignment=how)
    names = result["configuration"].values.tolist()
    assert len(names) == 12 - (how == "matching")
    assert (np.sort(result["linkage"][:, 2])[: 5 if how == "matching" else 6] == 0).all()
    assert result.attrs["mean_before"] > result.attrs["mean"]


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("widths", [(9, 6, 3), (9, 6, 5, 3)])
@pytest.mark.parametrize("how", ["clustering", "matching"])
def test_permuted_copies__are_one_point(how, widths, biases):
    network = NetworkSpec(family="relu", widths=widths, biases=biases)
    rng = np.random.default_rng(3)
    theta = np.tile(rng.normal(size=network.n_weights), (9, 1))
    result = cluster(
        permute_nodes(network, theta, random_orders(network, 9, rng)),
        alignment=how,
        network=network,
    )
    assert (result["distance"].values == 0).all()
    assert result.attrs["mean_before"] > 1
    assert np.isnan(result.attrs["gaussian_p_value"])
    assert not result.attrs["gaussian_accepted"]


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_streaming__is_the_path_in_memory(store, tmp_path, monkeypatch, scheduler):
    expected, known = cluster(store), cluster(store, alignment="matching")
    small = replace(aligned.ALIGNED, memory_bytes=0, batch_bytes=9000, task_bytes=1)
    monkeypatch.setattr(aligned, "ALIGNED", small)
    text = []
    with dask.config.set(scheduler=scheduler):
        result = cluster(store, progress=lambda *now: text.append(now))
        assert cluster(store, alignment="matching").identical(known)
    assert result.identical(expected)
    assert text[-1] == (16, 16)  # 6 rows and 2 layers, twice
    monkeypatch.setattr(aligned, "ALIGNED", replace(aligned.ALIGNED, tile_bytes=800))
    for linkage in ("average", "ward"):
        again, whole = cluster(store, linkage=linkage), cluster(store, linkage=linkage)
        xarray.testing.assert_allclose(again, whole, rtol=1e-12)
    xarray.testing.assert_allclose(cluster(store), expected, rtol=1e-12)


def test_arrays_on_disk__are_read_in_pieces(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(12, 60)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr(clustering, "CLUSTER", replace(clustering.CLUSTER, chunk_bytes=700))
    result = cluster(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert result.identical(cluster(x))


def test_no_room_for_the_file__is_said(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(aligned, "ALIGNED", replace(aligned.ALIGNED, memory_bytes=0))
    monkeypatch.setattr(aligned.os, "posix_fallocate", full, raising=False)
    with pytest.raises(StoreError, match=r"do not fit.*No space left.*set TMPDIR"):
        cluster(np.random.default_rng(0).normal(size=(4, 9)))


def test_some_configurations__are_a_seeded_choice(store):
    x = np.random.default_rng(0).normal(size=(30, 5))
    rows = [cluster(x, configurations=12, seed=s)["configuration"].values for s in (0, 0, 1)]
    assert rows[0].tolist() == rows[1].tolist() != rows[2].tolist()
    result = cluster(x, configurations=12)
    np.testing.assert_allclose(result["distance"], euclidean(x[rows[0]]), rtol=1e-9)
    view = store.where("configuration != 1 and configuration != 2")
    result = cluster(view, alignment="matching", reference=1, configurations=99)
    assert result["configuration"].values.tolist() == [0, 4, 5]


# ±1 weights


def test_binary_store__is_clustered_in_canonical_form():
    ensemble = synthetic("memory://clustering", 40, 675, 1)
    result, view = cluster(ensemble), canonicalize(ensemble)
    rows = view.rows(0, 40).astype(int)
    np.testing.assert_array_equal(result["distance"], (675 - rows @ rows.T) / 2)
    about = result.attrs
    assert (about["alignment"], about["metric"]) == ("canonical", "hamming")
    assert result["pairs"].sum() == 780
    assert (result["left"] % 1 == 0.5).all()
    m = rows.mean()
    assert about["independent"] == pytest.approx(675 * (1 - m**2) / 2)
    assert cluster(view).attrs["mean"] == about["mean"]
    assert cluster(view.part("LB")).attrs["n_weights"] == 300
    assert cluster(ensemble, alignment="matching").attrs["mean"] < about["mean"]
    raw = ensemble.numpy().astype(int)
    result = cluster(ensemble, alignment="none", linkage="complete")
    expected = squareform((675 - raw @ raw.T) / 2, checks=False)
    heights = scipy_hierarchy.linkage(expected, "complete")[:, 2]
    np.testing.assert_array_equal(result["linkage"][:, 2], heights)


# Pairs that share configurations


def with_shared(seed, count, single, pair=1.0):
    rng = np.random.default_rng(seed)
    a, e = single * rng.normal(size=count), pair * rng.normal(size=(count, count))
    d = 20 + a + a[:, None] + np.triu(e, 1) + np.triu(e, 1).T
    np.fill_diagonal(d, 0)
    return d


@pytest.mark.parametrize("single", [0.0, 0.7, 3.0])
def test_variances__are_unbiased(single):
    """Over 3,000 draws, within 5 standard errors of the means."""
    result = np.array([variances(with_shared(seed, 9, single)) for seed in range(3000)])
    error = result.std(axis=0) / np.sqrt(3000)
    bias = result.mean(axis=0) - (single**2, 1.0)
    # Below zero is set to zero, which shows where there is nothing.
    assert abs(bias[1]) < 5 * error[1]
    assert -5 * error[0] < bias[0] < (0.05 if single == 0 else 5 * error[0])


def points(seed):
    x = np.random.default_rng(seed).normal(size=(16, 2000))
    return euclidean(x)


def lattice(seed):
    x = np.random.default_rng(seed).choice([-1, 1], size=(16, 400))
    return ((400 - x @ x.T) / 2).astype(float)


@pytest.mark.parametrize("kind", ["points", "lattice", "shared"])
def test_gaussian__is_refused_at_the_stated_rate_where_it_holds(kind):
    """400 draws: 5 % are 20 ± 4.4 refused, so 5 to 38 at 3.9; 20 % are 80 ± 8."""
    draw = {"points": points, "lattice": lattice, "shared": lambda s: with_shared(s, 16, 2.0)}[kind]
    p = np.array(
        [
            fit_gaussian(draw(s), lattice=kind == "lattice", samples=19, seed=s).p_value
            for s in range(400)
        ]
    )
    assert 5 <= (p <= 0.05).sum() <= 38
    assert 48 <= (p <= 0.2).sum() <= 112


def test_pairs_as_if_independent__would_refuse_it_too_often():
    """Kolmogorov's test of as many independent numbers, at 5 %, refuses 47 % of these."""
    size = 60 * 59 // 2
    draws = [np.random.default_rng(s).normal(size=size) for s in range(200)]
    border = np.quantile([gaussian._kolmogorov(x) for x in draws], 0.95)
    result = [gaussian._kolmogorov(upper(with_shared(s, 60, 2.0))) for s in range(60)]
    assert (np.array(result) > border).mean() > 0.25


def test_gaussian__is_refused_for_a_mixture():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 500)) + np.repeat(rng.normal(size=(2, 500)), 20, axis=0)
    result = fit_gaussian(euclidean(x))
    assert result.p_value == 1 / 200
    assert result.kolmogorov > 0.2
    assert fit_gaussian(points(0)).p_value > 0.05


def test_error_of_the_mean__is_the_scatter_over_draws():
    result = [fit_gaussian(with_shared(s, 12, 1.0), samples=1) for s in range(600)]
    scatter = np.std([one.mean for one in result])
    assert np.sqrt(np.mean([one.mean_stderr**2 for one in result])) == pytest.approx(
        scatter, rel=0.15
    )


@pytest.mark.parametrize("count", [2, 5, 8, 13])
def test_tournament__has_every_pair_once_and_none_twice_in_a_round(count):
    rounds = tournament(count, np.random.default_rng(0))
    assert len(rounds) == count - 1 + count % 2
    pairs = [
        frozenset(pair) for i, j in rounds for pair in zip(i.tolist(), j.tolist(), strict=True)
    ]
    assert len(set(pairs)) == len(pairs) == count * (count - 1) // 2
    for i, j in rounds:
        assert len(set(i.tolist()) | set(j.tolist())) == 2 * (count // 2)


def test_modes__of_one_and_of_two_clusters(monkeypatch):
    monkeypatch.setattr(gaussian, "PAIR_TESTS", replace(gaussian.PAIR_TESTS, rounds=3))
    x = np.random.default_rng(0).normal(size=(140, 300))
    one = pair_modes(euclidean(x))
    two = pair_modes(euclidean(x + np.repeat([[0.0], [1.2]], 70, axis=0)))
    assert (one.modes, one.peaks, one.pairs, one.rounds) == (1, 1, 70, 3)
    assert (two.modes, two.peaks) == (2, 2)
    assert one.p_value > 0.05


def test_few_configurations__are_not_tested_but_fitted():
    d = euclidean(np.random.default_rng(0).normal(size=(5, 9)))
    result, counted = fit_gaussian(d), pair_modes(d)
    assert (result.mean, result.tested) == (pytest.approx(upper(d).mean()), 0)
    assert np.isnan([result.p_value, counted.modes]).all()
    assert np.isfinite(result.mean_stderr)
    assert np.isnan(fit_gaussian(d[:3, :3]).mean_stderr)
    with pytest.raises(InputError, match=r"shape \(3, 2\)"):
        fit_gaussian(d[:3, :2])


def test_equal_distances__have_one_mode_and_no_correlation():
    result = cluster(np.eye(9))
    assert np.isnan(result.attrs["cophenetic_correlation"])
    assert (result.attrs["std"], result.attrs["peaks"]) == (pytest.approx(0, abs=1e-12), 1)
    assert result["pairs"].sum() == 36
    assert sorted(result["leaf_order"].values) == list(range(9))
    np.testing.assert_allclose(upper(result["cophenetic"].values), np.sqrt(2))


# Bad input


def test_bad_input__says_what_and_what_to_do(store, monkeypatch):
    x = np.random.default_rng(0).normal(size=(6, 30))
    signs = np.where(x > 0, 1, -1)
    holed = x.copy()
    holed[4, 7] = np.nan
    limits = replace(clustering.CLUSTER, max_configurations=5)
    monkeypatch.setattr(clustering, "CLUSTER", limits)
    three = store.where("configuration < 3")
    for given, words, message in (
        (x, {}, "6 configurations to be clustered.*choose 3 to 5 at random"),
        (x[:2], {}, "2 configurations selected; clusters need at least 3"),
        (x, {"configurations": 2}, "configurations 2 given; at least 3"),
        (store.where("configuration < 2"), {}, "relax the condition"),
        (three, {"alignment": "matching"}, "2 configurations to be clustered"),
        (x[:5], {"linkage": "ward2"}, "'ward2' given; choose one of single"),
        (signs[:5], {"linkage": "ward"}, "choose one of single, complete, average, weighted$"),
        (holed[2:], {}, "nan at row 2, weight 7"),
        (x[:5], {"bins": 0}, "bins 0 given"),
        (x[:5], {"seed": -1}, "seed -1 given"),
        (x[:5], {"alignment": "best"}, "'best' given; choose one of clustering"),
        (x[:5], {"alignment": "clustering"}, "pass a store, or network="),
        (x[:5], {"network": (3, 4, 2)}, r"30 weights.*\[3, 4, 2\] need 20"),
        (three.part("LB"), {"alignment": "clustering"}, "whole networks"),
        (three, {"alignment": "matching", "reference": 3}, "has rows 0 to 2"),
        (three, {"alignment": "canonical"}, "choose clustering or matching"),
        (signs[:5], {"alignment": "clustering", "network": (5, 5, 1)}, "canonical or matching"),
    ):
        with pytest.raises(InputError, match=message):
            cluster(given, **words)


def test_a_changed_output__is_an_error(store, monkeypatch):
    from lsg_ray.networks import alignment

    monkeypatch.setattr(alignment, "permute_nodes", lambda _, w, __: w[:, ::-1])
    with pytest.raises(LsgError, match="changed an output"):
        cluster(store)
