"""The t-SNE map: seeded, of whole configurations, with the starts that the trials had."""

from dataclasses import replace

import numpy as np
import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError
from lsg_ray.networks.solvers import mean_field
from lsg_ray.networks.solvers.mean_field import draw
from lsg_ray.report.figures.map import map_caption
from lsg_ray.spec import parse_spec
from lsg_ray.statistics import maps
from lsg_ray.statistics.maps import MAP, embed


def signs(*shape: int) -> np.ndarray:
    return np.where(np.random.default_rng(0).random(shape) < 0.5, 1, -1).astype(np.int8)


@pytest.fixture
def points(monkeypatch):
    """What goes into the layout, which is left out."""
    seen = []

    def flat(points, components, *_):
        seen.append(points.rows(0, points.n_rows))
        return np.zeros_like(components), {}

    monkeypatch.setattr(maps, "_tsne", flat)
    return seen


def test_map__is_the_same_for_the_same_seed(ensemble_of):
    ensemble = ensemble_of(signs(30, 12), block_size=7)
    one, again = (embed(ensemble, configurations=12, starts=True, seed=3) for _ in range(2))
    assert one.identical(again)
    assert one.sizes == {"point": 24}
    assert np.isfinite(one["x"]).all()
    assert not np.array_equal(one["x"], embed(ensemble, configurations=12, starts=True)["x"])


def test_map__points_are_starts_then_chosen_rows_in_order(ensemble_of, points):
    weights = signs(40, 12)
    ensemble = ensemble_of(weights, block_size=7)
    result = embed(ensemble, configurations=15, starts=True)
    (given,) = points
    rows = [int(np.flatnonzero((weights == point).all(1))[0]) for point in given[15:]]
    assert rows == sorted(set(rows))
    np.testing.assert_array_equal(result["learned"], [False] * 15 + [True] * 15)
    assert np.isnan(result["accuracy"][:15]).all()
    np.testing.assert_allclose(result["accuracy"][15:], np.array(rows) % 10 / 10, atol=1e-6)
    assert set(np.unique(given)) == {-1, 1}


@pytest.mark.parametrize("extra", [{}, {"frozen_parts": ["ITR"], "frozen_field": 0.3}])
def test_starts__are_what_the_trials_would_draw_before_learning(
    tmp_path, points, extra, monkeypatch
):
    """Trained at a learning rate of nothing and drawn alike, a configuration is its own start."""

    def draw_alike(f, n, s, fixed, _):
        return draw(f, n, s, fixed)

    monkeypatch.setattr(mean_field, "draw", draw_alike)
    monkeypatch.setattr("lsg_ray.networks.families.binary.draw", draw_alike)
    tree = {
        "dataset": {"name": "digits", "components": 5},
        "network": {"widths": [5, 4, 3, 10]},
        "training": {"epochs": 1, "learning_rate": 1e-30},
        "ensemble": {"count": 6, "draws": 1, "threshold": 0.11, "seed": 9, **extra},
    }
    sample(parse_spec(tree), tmp_path / "s", workers=0)
    ensemble = open_ensemble(tmp_path / "s")
    assert ensemble.column("trial").max() > 0
    embed(ensemble, starts=True)
    (given,) = points
    np.testing.assert_array_equal(given[:6], given[6:])


def related(tmp_path, name, options, **ensemble):
    """Six networks in groups of three."""
    tree = {
        "dataset": {"name": "digits", "train_examples": 100},
        "network": {"family": "relu", "widths": [64, 5, 10]},
        "training": {
            "algorithm": "related-descent", "options": {"group": 3, **options}, "epochs": 2,
            "batch_size": 50, "learning_rate": 0.01, "stack": 3,
        },
        "ensemble": {"count": 6, "threshold": 0.0, **ensemble},
    }  # fmt: skip
    sample(parse_spec(tree), tmp_path / name, workers=0)
    return open_ensemble(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "distinct"),
    [({"parent_epochs": 0}, 2), ({"parent_epochs": 2}, 2), ({"sign_penalty": 0.01}, 6)],
)
def test_starts__of_related_networks_are_those_of_their_parents(
    tmp_path, points, options, distinct
):
    stored = related(tmp_path, "stored", options, snapshots=[0])
    expected = stored.snapshot(0).numpy()
    result = embed(stored, starts=True)
    assert result.attrs["distinct_starts"] == len(np.unique(expected, axis=0)) == distinct
    # Where they were not stored, parents are trained again; of a view, those of its rows.
    plain = related(tmp_path, "plain", options)
    np.testing.assert_array_equal(plain.numpy(), stored.numpy())
    embed(plain, starts=True)
    embed(plain.where("configuration > 1"), starts=True)
    for mapped, rows in zip(points, (slice(None), slice(None), slice(2, 6)), strict=True):
        starts = expected[rows][np.sort(np.unique(expected[rows], axis=0, return_index=True)[1])]
        np.testing.assert_array_equal(mapped, np.concatenate([starts, plain.numpy()[rows]]))
    caption, _ = map_caption(embed(plain, starts=True, method="pca"))
    assert ("2 of them distinct, as related networks have one" in caption) == (distinct == 2)


def test_starts__that_coincide_are_one_point_of_the_map(tmp_path):
    result = embed(related(tmp_path, "one", {"parent_epochs": 0}), starts=True)
    assert result.sizes["point"] == 12
    assert result["learned"].values.tolist() == [False] * 6 + [True] * 6
    xy = result[["x", "y"]].to_array().values.T
    assert np.isfinite(xy).all()
    for first in (0, 3):
        np.testing.assert_array_equal(xy[first : first + 3], np.tile(xy[first], (3, 1)))
    assert len(np.unique(xy, axis=0)) == 2 + 6
    assert result.attrs["distinct_starts"] == 2
    assert (result["configuration"].values == [-1] * 6 + [*range(6)]).all()


def test_view__of_a_selection_maps_its_rows(ensemble_of, points):
    ensemble = ensemble_of(signs(40, 12), block_size=7, blocks=[0, 1, 3])
    result = embed(ensemble.where("accuracy < 0.5"), starts=True)
    assert result["learned"].sum() == len([i for i in [*range(14), *range(21, 28)] if i % 10 < 5])
    assert result.attrs["where"] == "accuracy < 0.5"


@pytest.mark.parametrize("count", [MAP.min_points, 5])
def test_smallest_map__can_be_laid_out(ensemble_of, count):
    result = embed(ensemble_of(signs(count, 12)), starts=True)
    assert np.isfinite(result["x"]).all()
    assert result.attrs["perplexity"] == pytest.approx((2 * count - 1) / 3)


@pytest.mark.parametrize(
    ("count", "blocks", "configurations"), [(3, None, 9), (9, [], 9), (9, None, 3), (9, None, -1)]
)
def test_too_few__are_refused(ensemble_of, count, blocks, configurations):
    ensemble = ensemble_of(signs(count, 12), blocks=blocks)
    with pytest.raises(InputError, match=r"configurations; a map takes 4|configurations -1 given"):
        embed(ensemble, configurations=configurations, starts=True)


def test_part__is_refused(ensemble_of):
    ensemble = ensemble_of(signs(9, 31), (5, 3, 4, 1))
    with pytest.raises(InputError, match="whole configurations"):
        embed(ensemble.part("LB"), starts=True)


# Methods


def test_pca__is_that_of_scikit_learn(ensemble_of):
    from sklearn.decomposition import PCA

    weights = signs(60, 12)
    weights[:, :4] = weights[:, :1]
    weights[:, 6:8] = weights[:, 5:6]
    result = embed(ensemble_of(weights, block_size=7), method="pca")
    expected = PCA(2).fit(weights.astype(float))
    xy = expected.transform(weights.astype(float))
    signs_ = np.sign(np.einsum("ij,ij->j", xy, np.c_[result["x"], result["y"]]))
    np.testing.assert_allclose(np.c_[result["x"], result["y"]], xy * signs_, atol=1e-9)
    np.testing.assert_allclose(
        result.attrs["explained_variance_ratio"], expected.explained_variance_ratio_
    )


def test_pca__of_wide_configurations_does_without_their_covariance(monkeypatch):
    weights = signs(60, 12)
    weights[:, :6] = weights[:, :1]
    exact = embed(weights, method="pca")
    monkeypatch.setattr(maps, "MAP", replace(maps.MAP, max_covariance=11))
    result = embed(weights, method="pca")
    assert abs(np.corrcoef(result["x"], exact["x"])[0, 1]) > 0.99999


def test_tsne__keeps_two_clusters_apart():
    """Two patterns and a few flips: every point's nearest neighbour on the map is of its kind."""
    rng = np.random.default_rng(0)
    kind = np.arange(80) % 2
    patterns = signs(2, 60)
    weights = patterns[kind] * np.where(rng.random((80, 60)) < 0.1, -1, 1).astype(np.int8)
    for given in (weights, weights + 0.01 * rng.normal(size=weights.shape)):
        xy = np.array(embed(given, perplexity=10)[["x", "y"]].to_array()).T
        distances = ((xy[:, None] - xy[None]) ** 2).sum(-1)
        np.fill_diagonal(distances, np.inf)
        np.testing.assert_array_equal(kind[distances.argmin(axis=1)], kind)


def test_columns__come_along(ensemble_of):
    ensemble = ensemble_of(signs(30, 12), block_size=7)
    result = embed(ensemble.part("LB").where("accuracy > 0.4"), method="pca")
    assert set(ensemble.query_columns) <= set(result.data_vars)
    np.testing.assert_array_equal(result["loss"], result["configuration"] / 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "umap"}, "'umap' given; choose one of tsne, pca"),
        ({"perplexity": 0}, "perplexity 0 given"),
        ({"perplexity": float("nan")}, "perplexity nan given"),
        ({"starts": True}, "starts asked for"),
    ],
)
def test_options__that_make_no_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        embed(signs(9, 5), **options)
