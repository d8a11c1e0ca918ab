"""Learning curves: of the store, with networks that have stopped, and how much they fluctuate."""

import numpy as np
import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError
from lsg_ray.report.figures.training import learning_caption, learning_figure
from lsg_ray.spec import parse_spec
from lsg_ray.statistics.learning_curves import fluctuation, learning_curves


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Networks that stop at a target loss, each at an epoch of its own."""
    spec = parse_spec(
        {
            "name": "stopping",
            "dataset": {"name": "digits", "train_examples": 300},
            "network": {"family": "relu", "widths": [64, 12, 10]},
            "training": {"epochs": 30, "batch_size": 32, "learning_rate": 0.01, "target_loss": 0.1},
            "ensemble": {"count": 5},
        }
    )
    path = tmp_path_factory.mktemp("curves") / "stopped.zarr"
    sample(spec, path, workers=0)
    return open_ensemble(path)


def test_curves__are_those_of_the_store_with_the_last_value_after_the_end(stopped):
    result = learning_curves(stopped, networks=4)
    assert dict(result.sizes) == {"network": 4, "epoch": 30}
    ends = stopped.column("epochs")[:4]
    assert ends.max() < 30
    stored = stopped.take(np.arange(4), ["curve_test_accuracy", "curve_train_loss"])
    for row, end in enumerate(ends):
        for name, curve in stored.items():
            values = result[name.removeprefix("curve_")].values[row]
            np.testing.assert_array_equal(values[:end], curve[row, :end])
            assert (values[end:] == values[end - 1]).all()
        assert result["test_accuracy"].values[row, -1] == pytest.approx(
            stopped.column("test_accuracy")[row], abs=1e-6
        )
    assert result.attrs["fluctuation"] == fluctuation(result["test_accuracy"].values)


def test_fluctuation__is_that_of_noise_and_not_of_the_trend():
    rng = np.random.default_rng(0)
    trend = 1 - np.exp(-np.arange(50) / 20)
    noise = 0.01 * rng.normal(size=(400, 50))
    assert fluctuation(np.tile(trend, (3, 1))) == pytest.approx(0, abs=1e-12)
    assert fluctuation(trend + noise) == pytest.approx(np.sqrt(2) * 0.01, rel=0.02)
    assert np.isnan(fluctuation(noise[:1]))
    assert np.isnan(fluctuation(noise[:, :1]))


def test_figure__has_a_line_for_each_ensemble_and_set(stopped):
    result = learning_curves(stopped)
    figure = learning_figure({"narrow": result, "wide": result})
    assert [len(axes.get_lines()) for axes in figure.axes] == [4, 4]
    caption, _ = learning_caption({"narrow": result})
    assert "5 networks" in caption


@pytest.fixture(scope="module", params=["test", "train"])
def with_snapshots(tmp_path_factory, request):
    """Binary networks with snapshots between epochs, selected on either set."""
    spec = parse_spec(
        {
            "name": "binary",
            "dataset": {"name": "digits", "train_examples": 96},
            "network": {"widths": [20, 3, 3, 10]},
            "training": {"epochs": 4, "batch_size": 48},
            "ensemble": {
                "count": 5,
                "threshold": 0.0,
                "draws": 2,
                "selection": request.param,
                "snapshots": {"steps": [0, 1, 2, 8]},
            },
        }
    )
    path = tmp_path_factory.mktemp("snapshots") / "binary.zarr"
    sample(spec, path, workers=0)
    return open_ensemble(path)


def test_curves_of_snapshots__are_those_of_the_store_by_epoch(with_snapshots):
    result = learning_curves(with_snapshots, networks=4)
    assert result["epoch"].values.tolist() == [0, 0.5, 1, 4]
    stored = with_snapshots.take(np.arange(4), ["snapshot_accuracy", "snapshot_test_accuracy"])
    chosen = with_snapshots.spec.ensemble.selection
    np.testing.assert_array_equal(result[f"{chosen}_accuracy"].values, stored["snapshot_accuracy"])
    np.testing.assert_array_equal(result["test_accuracy"], stored["snapshot_test_accuracy"])
    assert ("train_loss" in result) == (chosen == "train")
    assert np.isnan(result.attrs["fluctuation"])
    figure = learning_figure({"none": result, "ITR": result})
    lines = 4 if chosen == "train" else 2
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, lines]
    assert "fluctuation" not in learning_caption({"none": result})[0].lower()


def test_a_view_of_one_snapshot__has_no_curve(with_snapshots):
    with pytest.raises(InputError, match="a view of one snapshot given"):
        learning_curves(with_snapshots.snapshot(1))


def test_bare_numbers__are_named_hidden_units(stopped):
    """A legend of bare widths is of the widths that the networks have."""
    result = learning_curves(stopped)
    figure = learning_figure({"64": result, "wide": result})
    labels = [
        text.get_text()
        for axes in figure.axes
        if (legend := axes.get_legend())
        for text in legend.get_texts()
    ]
    assert labels == ["12 hidden units", "wide"]
    assert "12 hidden units: test accuracy" in learning_caption({"64": result})[0]


def test_networks_without_curves__are_refused(ensemble_of, stopped):
    with pytest.raises(InputError, match=r"no training curves; ReLU networks do .* with snapshots"):
        learning_curves(ensemble_of(np.ones((3, 4), int)))
    with pytest.raises(InputError, match="no networks; at least 1 is needed"):
        learning_curves(stopped.where("accuracy > 1"))
