"""The t-SNE map: seeded, of whole configurations, with the starts that the trials had."""

import numpy as np
import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError
from lsg_ray.networks.binary import draw
from lsg_ray.spec import parse_spec
from lsg_ray.statistics import maps
from lsg_ray.statistics.maps import FEWEST, starts_and_solutions


def signs(*shape: int) -> np.ndarray:
    return np.where(np.random.default_rng(0).random(shape) < 0.5, 1, -1).astype(np.int8)


@pytest.fixture
def points(monkeypatch):
    """What goes into t-SNE, which is left out."""
    seen = []

    class Flat:
        kl_divergence_, n_iter_ = 0.0, 0

        def __init__(self, **options):
            self.options = options

        def fit_transform(self, given):
            seen.append(given)
            return np.zeros((len(given), 2))

    monkeypatch.setattr("sklearn.manifold.TSNE", Flat)
    return seen


def test_map__is_the_same_for_the_same_seed(ensemble_of):
    ensemble = ensemble_of(signs(30, 12), block_size=7)
    one, again = (starts_and_solutions(ensemble, configurations=12, seed=3) for _ in range(2))
    assert one.identical(again)
    assert one.sizes == {"point": 24}
    assert np.isfinite(one["x"]).all()
    assert not np.array_equal(one["x"], starts_and_solutions(ensemble, configurations=12)["x"])


def test_map__points_are_starts_then_chosen_rows_in_order(ensemble_of, points):
    weights = signs(40, 12)
    ensemble = ensemble_of(weights, block_size=7)
    result = starts_and_solutions(ensemble, configurations=15)
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
    monkeypatch.setattr(maps, "draw", lambda f, n, s, fixed, _: draw(f, n, s, fixed))
    tree = {
        "dataset": {"name": "digits", "components": 5},
        "network": {"widths": [5, 4, 3, 10]},
        "training": {"epochs": 1, "learning_rate": 1e-30},
        "ensemble": {"count": 6, "draws": 1, "threshold": 0.11, "seed": 9, **extra},
    }
    sample(parse_spec(tree), tmp_path / "s", workers=0)
    ensemble = open_ensemble(tmp_path / "s")
    assert ensemble.column("trial").max() > 0
    starts_and_solutions(ensemble)
    (given,) = points
    np.testing.assert_array_equal(given[:6], given[6:])


def test_view__of_a_selection_maps_its_rows(ensemble_of, points):
    ensemble = ensemble_of(signs(40, 12), block_size=7, blocks=[0, 1, 3])
    result = starts_and_solutions(ensemble.where("accuracy < 0.5"))
    assert result["learned"].sum() == len([i for i in [*range(14), *range(21, 28)] if i % 10 < 5])
    assert result.attrs["where"] == "accuracy < 0.5"


@pytest.mark.parametrize("count", [FEWEST, 5])
def test_smallest_map__can_be_laid_out(ensemble_of, count):
    result = starts_and_solutions(ensemble_of(signs(count, 12)))
    assert np.isfinite(result["x"]).all()
    assert result.attrs["perplexity"] == pytest.approx((2 * count - 1) / 3)


@pytest.mark.parametrize(
    ("count", "blocks", "configurations"), [(3, None, 9), (9, [], 9), (9, None, 3), (9, None, -1)]
)
def test_too_few__are_refused(ensemble_of, count, blocks, configurations):
    ensemble = ensemble_of(signs(count, 12), blocks=blocks)
    with pytest.raises(InputError, match="configurations; a map needs 4"):
        starts_and_solutions(ensemble, configurations=configurations)


def test_part__is_refused(ensemble_of):
    ensemble = ensemble_of(signs(9, 31), (5, 3, 4, 1))
    with pytest.raises(InputError, match="whole configurations"):
        starts_and_solutions(ensemble.part("LB"))
