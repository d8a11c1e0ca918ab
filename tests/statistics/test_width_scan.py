"""Errors over the width: peaks of planted curves, and scans of every family with hidden layers."""

import numpy as np
import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.registry import FAMILIES
from lsg_ray.report.figures.width_scan import width_caption, width_figure
from lsg_ray.spec import parse_spec
from lsg_ray.statistics.width_scan import MAX_NETWORKS, peak_of, width_scan
from tests.cli.conftest import lsg

__all__ = ["lsg"]

WIDTHS = np.arange(1, 51)
D = WIDTHS / 10
#: Curves without double descent: flat, falling, U-shaped and rising.
SHAPES = {"flat": 0 * D, "falling": np.exp(-D), "U": 0.02 * (D - 2.5) ** 2, "rising": 0.1 * D}


def called(shape, noise, networks, repeats, seed):
    """Return the share of planted curves that have a peak by two standard errors."""
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(repeats):
        peak = peak_of(shape + noise * rng.normal(size=(networks, len(shape))), WIDTHS)
        hits += peak.prominence > 2 * peak.stderr
    return hits / repeats


@pytest.mark.parametrize("networks", [3, 5, 12])
@pytest.mark.parametrize("name", SHAPES)
def test_curves_without_a_peak__are_called_one_in_at_most_5_of_100(name, networks):
    """At most 2.5 % by design; of 300 curves more than 14 are seen once in 500 tests at 2.5 %."""
    assert called(SHAPES[name], 0.05, networks, 300, networks) <= 14 / 300


@pytest.mark.parametrize("networks", [4, 8])
def test_planted_peaks__are_found_at_their_width(networks):
    shape = np.exp(-D) + 0.3 * np.exp(-(((D - 2) / 0.5) ** 2))
    found = peak_of(shape + 0.02 * np.random.default_rng(1).normal(size=(networks, len(D))), WIDTHS)
    assert found.prominence > 4 * found.stderr
    assert abs(found.width - 20) <= 4
    smooth = np.convolve(shape, [1 / 3] * 3, "valid")
    exact = smooth[15:25].max() - smooth[5:18].min()
    assert found.prominence == pytest.approx(exact, abs=4 * found.stderr)
    assert called(shape, 0.05, networks, 100, 2) > 0.85


def test_peaks_that_cannot_be_known__are_unknown():
    assert np.isnan(peak_of(np.zeros((4, 2)), np.array([1, 2])).prominence)
    assert np.isnan(peak_of(np.zeros((1, 9)), np.arange(9)).prominence)
    assert np.isnan(peak_of(np.full((3, 9), np.inf), np.arange(9)).prominence)


def ensemble_of(path, family, labels="class", **training):
    outputs = 1 if labels == "parity" else 10
    algorithm = {"relu": {"stack": 2}, "binarised": {"stack": 2}}.get(family, {})
    spec = parse_spec({
        "dataset": {"name": "digits", "components": 9, "train_examples": 120, "labels": labels,
                    "binarize": None},
        "network": {"family": family, "widths": [9, 4, 4, outputs]},
        "training": {"epochs": 15, "batch_size": 30, "learning_rate": 0.05,
                     **algorithm, **training},
        "ensemble": {"count": 2, "threshold": 0.0, "draws": 3 if family == "binary" else 1},
    })  # fmt: skip
    sample(spec, path, workers=0)
    return open_ensemble(path)


@pytest.mark.parametrize("family", ["binary", "real", "relu", "binarised"])
def test_scan__trains_as_the_ensemble_does(tmp_path, family):
    ensemble = ensemble_of(tmp_path / "e.zarr", family)
    scan = width_scan(ensemble, widths=[6, 2], networks=3, seed=4)
    assert scan["width"].values.tolist() == [2, 6]
    assert scan["weights"].values.tolist() == [9 * d + d * d + 10 * d for d in (2, 6)]
    # By hand: the networks of width 6, which do not depend on other widths.
    tree = ensemble.spec.tree()
    tree["network"]["widths"] = [9, 6, 6, 10]
    tree["ensemble"] |= {"seed": 4, "draws": 1}
    spec, data = parse_spec(tree), load_dataset(ensemble.spec.dataset)
    first = 6 * spec.stack * MAX_NETWORKS
    weights = sample_configurations(spec, prepare(spec, data), first, 3).weights
    accuracy, loss = FAMILIES[family].evaluate(spec, weights, data.test.x, data.test.y)
    np.testing.assert_allclose(scan["test_error"].sel(width=6), 1 - accuracy)
    np.testing.assert_allclose(scan["test_loss"].sel(width=6), loss)
    alone = width_scan(ensemble, widths=[6], networks=3, seed=4)
    np.testing.assert_array_equal(alone["train_loss"][0], scan["train_loss"][1])
    assert np.isnan(alone.attrs["peak_error"])


def test_scan__resumes_and_is_drawn(tmp_path):
    ensemble = ensemble_of(tmp_path / "e.zarr", "real", "parity")
    options = {"widths": [1, 2, 3, 5], "networks": 2}
    done: list[tuple[int, int]] = []

    def stop(finished, total):
        done.append((finished, total))
        if finished == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        width_scan(ensemble, **options, checkpoints=tmp_path / "parts", progress=stop)
    kept = sorted(p.name for p in (tmp_path / "parts").iterdir())
    assert len(kept) >= 3
    resumed = width_scan(ensemble, **options, checkpoints=tmp_path / "parts")
    whole = width_scan(ensemble, **options)
    assert resumed.equals(whole)
    assert whole["test_loss"].attrs["units"] == "margin"
    figure = width_figure(whole)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "share of wrong answers",
        "loss (margin)",
    ]
    assert "of 2 networks of each width from 1 to 5" in width_caption(whole)[0]


def test_bad_input__is_one_line(tmp_path, lsg):
    ensemble_of(tmp_path / "e.zarr", "real")
    shallow = {
        "dataset": {"name": "digits", "components": 9, "train_examples": 50},
        "network": {"family": "binary", "widths": [9, 10]},
        "training": {"epochs": 1},
        "ensemble": {"count": 2, "threshold": 0.0},
    }
    sample(parse_spec(shallow), tmp_path / "s.zarr", workers=0)
    with pytest.raises(InputError, match="networks with hidden layers are needed"):
        width_scan(tmp_path / "s.zarr", widths=[2, 3])
    for widths, said in (
        ("0,1", "widths: 0 given; at least 1"),
        ("2,2", "widths: one is given twice"),
        ("x", "widths"),
        ("1,2,99999999", "weights; at most"),
    ):
        ran = lsg("width-scan", tmp_path / "e.zarr", "--widths", widths, "--out", tmp_path / "w")
        assert (ran.code, said in ran.err, (tmp_path / "w").exists()) == (2, True, False), ran.err
