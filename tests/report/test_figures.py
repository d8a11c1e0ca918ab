"""Figures of deep, shallow, tiny and degenerate ensembles; warnings are errors."""

import matplotlib
import numpy as np
import pytest

from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.ledger import REJECTION_BINS
from lsg_ray.errors import InputError
from lsg_ray.report import style
from lsg_ray.report.figures import correlations
from lsg_ray.report.figures.accuracy import SET_NAMES, accuracy_figure, accuracy_section
from lsg_ray.report.figures.correlations import correlations_figure
from lsg_ray.report.figures.distances import distances_figure
from lsg_ray.report.figures.inputs import inputs_figure
from lsg_ray.report.figures.magnetization import hidden_average, magnetization_figure
from lsg_ray.report.figures.map import map_figure
from lsg_ray.report.figures.overlaps import overlaps_caption, overlaps_figure
from lsg_ray.report.figures.training import curves_figure
from lsg_ray.report.style import new_figure, render, verbatim
from lsg_ray.statistics.before_after import symmetry_effect
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.overlaps import overlaps

from .made import N_TEST, PNG, make_ensemble, make_images, make_map, make_spec


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(style, "DPI", 50)


def test_hidden_average_is_that_of_configurations():
    """Mean and error over configurations of each one's own average over hidden units."""
    ensemble = make_ensemble("memory://hidden", make_spec((5, 3, 4, 10), 120))
    result = hidden_average(moments(ensemble), "LB", "unit_in")
    own = ensemble.part("LB").numpy().reshape(120, 3, 5).mean(axis=1)
    np.testing.assert_allclose(result.mean, own.mean(axis=0))
    np.testing.assert_allclose(result.error, own.std(axis=0) / np.sqrt(119))


CASES = {
    "more inputs than bars": ((62, 2, 10), 60, False),
    "shallow": ((5, 10), 120, False),
    "parity of pixels": ((64, 2, 1), 60, False),
    "two configurations": ((5, 3, 4, 10), 2, False),
    "one configuration, over and over": ((5, 3, 4, 10), 4, True),
    "one weight": ((1, 1), 10, False),
}


@pytest.mark.parametrize(("widths", "count", "constant"), CASES.values(), ids=CASES)
def test_figures_of_moments(tmp_path, widths, count, constant):
    ensemble = make_ensemble(tmp_path / "e.zarr", make_spec(widths, count), constant=constant)
    about = moments(ensemble)
    before = dict(matplotlib.rcParams)
    magnetization = magnetization_figure(about)
    assert render(magnetization).startswith(PNG)
    titles = " ".join(axes.get_title(loc="left") for axes in magnetization.axes)
    assert ("by class and input" in titles) == (widths == (5, 10))
    pictures = [axes for axes in magnetization.axes if axes.get_xlabel() == "column of pixels"]
    assert len(pictures) == (widths[0] == 64)
    assert render(correlations_figure(about)).startswith(PNG)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("case", list(CASES)[-3:])
def test_figure_of_overlaps__of_all_pairs(case):
    widths, count, constant = CASES[case]
    ensemble = make_ensemble(f"memory://{case[-4:]}", make_spec(widths, count), constant=constant)
    assert render(overlaps_figure(overlaps(ensemble))).startswith(PNG)
    assert render(distances_figure(symmetry_effect(ensemble))).startswith(PNG)


@pytest.mark.parametrize("how", ["other", "references", "pairs"])
def test_figure_of_overlaps__of_others(how):
    results_ = make_ensemble(f"memory://{how}", make_spec((5, 3, 4, 10), 40))
    few = results_.where("configuration < 3")
    given = {"other": (results_, few), "references": (results_,), "pairs": (results_,)}[how]
    options = {"references": {"references": few}, "pairs": {"pairs": 9}}.get(how, {})
    result = overlaps(*given, **options)
    assert render(overlaps_figure(result)).startswith(PNG)
    message, _ = overlaps_caption(result)
    assert f"over {9 if how == 'pairs' else 120} pairs" in message
    assert ("independent weights" in message) == (how != "pairs")
    if how == "references":
        q = results_.numpy().astype(int) @ few.numpy().T.astype(int) / results_.n_weights
        assert f"mean {q.mean():.4f}, standard deviation {q.std():.4f}" in message


def test_wide_networks_are_averaged_for_display(monkeypatch):
    monkeypatch.setattr(correlations, "MAX_IMAGE_SIDE", 20)
    ensemble = make_ensemble("memory://wide", make_spec((5, 3, 4, 10), 30))
    figure = correlations_figure(moments(ensemble))
    assert "4 × 4 averaged" in figure.axes[0].get_title(loc="left")
    assert render(figure).startswith(PNG)


@pytest.mark.parametrize("selection", SET_NAMES)
def test_accuracy_figure_names_the_set(selection):
    rejected = np.zeros(REJECTION_BINS, int)
    rejected[[0, 150, 158]] = 1, 400, 300
    figure = accuracy_figure(
        np.arange(288, 330) / N_TEST,
        rejected,
        threshold=0.8,
        selection=selection,
        n_examples=N_TEST,
        test_accuracy=None if selection == "test" else np.arange(280, 322) / N_TEST,
        n_test=N_TEST,
    )
    also = "also " if selection == "test" else ""
    label = f"accuracy on the {SET_NAMES[selection]} ({also}used for selection)"
    assert figure.axes[0].get_xlabel() == label
    assert "1 of 743 lower, not shown" in figure.legends[0].get_title().get_text()
    assert render(figure).startswith(PNG)


@pytest.mark.parametrize(
    ("draws", "words"),
    [(1, "A trial makes one configuration; it"), (50, "the best of 50 configurations drawn")],
)
def test_accuracy_caption_says_what_a_trial_does(draws, words):
    spec = make_spec((5, 3, 10), 40, draws=draws)
    ensemble = make_ensemble(f"memory://draws-{draws}", spec)
    assert words in accuracy_section(ensemble, load_dataset(spec.dataset)).caption


def test_accuracy_without_rejected_trials():
    figure = accuracy_figure(
        [0.8], np.zeros(REJECTION_BINS), threshold=0.8, selection="test", n_examples=N_TEST
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "accepted (1)",
        "threshold 0.8",
    ]
    assert render(figure).startswith(PNG)


IMAGES = [
    (10, (8, 8), 5),
    (10, (28, 28), None),
    (10, (32, 32, 3), 4),
    (100, (4, 4, 3), 3),
    (1, (2, 2), 1),
]


@pytest.mark.parametrize(("n_classes", "shape", "components"), IMAGES)
def test_inputs(n_classes, shape, components):
    dataset, raw = make_images(n_classes, shape, components)
    for figure in (inputs_figure(dataset, raw, parity=True), inputs_figure(dataset)):
        shown = [axes for axes in figure.axes if axes.images]
        assert len(shown) == 1
        assert len(shown[0].images) in (n_classes, 2 * n_classes)
        assert shown[0].images[0].get_array().shape[:2] == shape[:2]
    assert render(figure).startswith(PNG)


def test_map_of_four():
    assert render(map_figure(make_map(None, points=4))).startswith(PNG)


def test_equal_figures_are_equal_bytes():
    images = [render(map_figure(make_map(None))) for _ in range(2)]
    assert images[0] == images[1]
    assert b"atplotlib" not in images[0]


def test_map__is_coloured_by_any_column_and_names_components():
    result = make_map(None).assign(loss=("point", np.arange(24.0)))
    result.attrs |= {"method": "pca", "explained_variance_ratio": [0.2, 0.1]}
    assert render(map_figure(result, color="loss")).startswith(PNG)
    with pytest.raises(InputError, match="color 'epochs' given; the map has x, y"):
        map_figure(result, color="epochs")


def test_curves_of_networks_that_have_stopped_stay_in_the_mean():
    """One stops at a loss of 1; the other goes on, at 5: the mean is 3, not what is left."""
    curve = np.array([[9.0, 1.0, np.nan, np.nan], [9.0, 8.0, 5.0, 5.0]])
    names = [f"curve_{kind}_{of}" for kind in ("train", "test") for of in ("loss", "accuracy")]
    figure = curves_figure(np.arange(1, 5), dict.fromkeys(names, curve), ("train", "test"))
    mean = figure.axes[0].get_lines()[2].get_ydata()
    np.testing.assert_allclose(mean, [9, 4.5, 3, 3])


@pytest.mark.parametrize(
    "name", [r"$\frac$", "$", "$x$ and $", "_hidden", "a\nb\x1b[2J", "x" * 400, r"\$"]
)
def test_names_of_strangers__are_drawn_as_they_are(name):
    figure = new_figure(2.0)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label=verbatim(name))
    axes.set_title(rf"$\bf{{(a)}}$ {verbatim(name)}")
    axes.legend()
    assert len(axes.get_legend().get_texts()) == 1
    assert render(figure).startswith(b"\x89PNG")
