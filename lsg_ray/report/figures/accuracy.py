"""Accuracies of accepted and rejected trials."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lsg_ray.datasets import Dataset
from lsg_ray.ensemble.ledger import REJECTION_BINS
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.report import style
from lsg_ray.report.binning import Histogram, accuracy_histograms
from lsg_ray.report.section import Section, section
from lsg_ray.spec import Selection
from lsg_ray.typing import Floats, Ints

#: Names of the sets that accuracies are measured on.
SET_NAMES: dict[Selection, str] = {
    "test": "test set",
    "train": "training set",
    "validation": "validation set",
}
#: Share of trials that may lie left of the axis, so that a few outliers do not compress the others.
MAX_SHARE_OFF_AXIS = 0.002


@style.styled
def accuracy_figure(
    accepted: ArrayLike,
    rejected: ArrayLike,
    *,
    threshold: float,
    selection: Selection,
    n_examples: int,
    test_accuracy: ArrayLike | None = None,
    n_test: int = 0,
    acceptance: float | None = None,
) -> Figure:
    """Draw the distribution of the accuracy of all trials, accepted ones above rejected ones.

    Parameters
    ----------
    accepted
        (rows,) accuracies of the accepted configurations on the selection set.
    rejected
        (200,) numbers of rejected trials by bin of accuracy, as in the ledger.
    threshold
        Smallest accuracy of accepted trials.
    selection, n_examples
        Set that the accuracy is measured on, and its number of examples.
    test_accuracy, n_test
        (rows,) accuracies on the test set of `n_test` examples, drawn as an outline where
        the selection is on another set.
    acceptance
        Acceptance rate of all trials, where `accepted` are only some of the accepted ones.
    """
    passed, failed = accuracy_histograms(accepted, rejected, n_examples, threshold)
    figure, (axes,) = style.panels(3.1, 1)
    _stack(axes, passed, failed)
    span = [_left_end(passed, failed), passed.edges[-1]]
    if test_accuracy is not None:
        test, _ = accuracy_histograms(test_accuracy, np.zeros_like(rejected), n_test, threshold)
        density, label = _per_point(test), "accepted, test set"
        axes.stairs(density, test.edges, color=style.CONTRAST, lw=1.3, label=label)
        span = [min(span[0], _left_end(test)), max(span[1], test.edges[-1])]
    label = f"threshold {threshold:g}"
    axes.axvline(threshold, color=style.INK, lw=1.0, ls=style.DASHED, label=label)
    left, right = min(span[0], threshold), max(span[1], threshold)
    margin = 0.04 * (right - left)
    below = passed.edges[passed.edges <= left - margin]
    left = below[-1] if len(below) else left - margin  # no bin is cut
    axes.set(xlim=(left, right + margin), ylim=(0, None))
    also = "also " if selection == "test" else ""
    axes.set_xlabel(f"accuracy on the {SET_NAMES[selection]} ({also}used for selection)")
    axes.set_ylabel("trials per percentage point")
    style.ticks(axes, 9, 6)
    note = _note(passed, failed, left, acceptance)
    figure.legend(loc="outside right upper", title=note, alignment="left", title_fontsize=9.0)
    return figure


def _stack(axes: Axes, passed: Histogram, failed: Histogram) -> None:
    lower, upper = _per_point(failed), _per_point(failed) + _per_point(passed)
    bars: dict[str, tuple[Histogram, dict[str, Any]]] = {
        "accepted": (passed, {"values": upper, "baseline": lower, "color": style.ACCENT}),
        "rejected": (failed, {"values": lower, "color": style.GREY}),
    }
    for name, (histogram, bar) in bars.items():
        if number := int(histogram.counts.sum()):
            label = f"{name} ({number:,})"
            axes.stairs(edges=passed.edges, fill=True, lw=0, alpha=0.85, label=label, **bar)


def _per_point(histogram: Histogram) -> Floats:
    return histogram.counts / (100 * histogram.widths)


def _left_end(*histograms: Histogram) -> float:
    """Return where the axis begins: at the first occupied bin, apart from a few outliers."""
    counts = np.sum([histogram.counts for histogram in histograms], axis=0)
    below = np.cumsum(counts)
    first = int(np.searchsorted(below, MAX_SHARE_OFF_AXIS * below[-1], side="right"))
    return float(histograms[0].edges[min(first, len(counts) - 1)])


def _note(passed: Histogram, failed: Histogram, left: float, acceptance: float | None) -> str:
    counts = passed.counts + failed.counts
    trials, hidden = int(counts.sum()), int(counts[passed.edges[1:] <= left].sum())
    rate = int(passed.counts.sum()) / max(trials, 1) if acceptance is None else acceptance
    note = f"acceptance rate {rate:.1%}"
    return note + (f"\n{hidden:,} of {trials:,} lower, not shown" if hidden else "")


def rejected_counts(ensemble: Ensemble) -> Ints:
    """Sum the ledger's histograms of rejected trials: (200,) counts on [0, 1]."""
    counts = np.zeros(REJECTION_BINS, np.int64)
    for record in ensemble.each_record():
        for index, number in record.rejected.items():
            counts[index] += number
    return counts


def accuracy_section(ensemble: Ensemble, dataset: Dataset) -> Section:
    """Draw the accuracies of all trials, and describe the set that they were selected on."""
    key, title = "accuracy", "Accuracy of the trials"
    accepted = ensemble.column("accuracy")
    if not len(accepted):
        return Section(key, title, reason="Needs at least 1 configuration; there are none.")
    spec, rejected = ensemble.spec.ensemble, rejected_counts(ensemble)
    chosen, of_test = SET_NAMES[spec.selection], spec.selection == "test"
    figure = accuracy_figure(
        accepted,
        rejected,
        threshold=spec.threshold,
        selection=spec.selection,
        n_examples=len(dataset.examples(spec.selection).y),
        n_test=len(dataset.test.y),
        test_accuracy=None if of_test else ensemble.column("test_accuracy"),
        acceptance=None if ensemble.condition is None else ensemble.info()["acceptance"],
    )
    kept = f"keeps the best of {spec.draws:,} configurations drawn from it"
    trial = f"trains one network and {kept}" if spec.draws > 1 else "makes one configuration"
    caption = (
        f"Accuracy of all trials on the {chosen}. A trial {trial}; it is accepted if the accuracy "
        f"of that configuration is at least {spec.threshold:g}. The mean accuracy of accepted "
        f"configurations is {accepted.mean(dtype=np.float64):.4f}, which is biased upwards, "
        "because they were selected on the same set."
    )
    if not of_test:
        caption += " The outline shows the same configurations on the test set."
    alt = (
        f"Stacked histogram of accuracy on the {chosen}: {len(accepted):,} accepted and "
        f"{rejected.sum():,} rejected trials, with the threshold {spec.threshold:g} marked."
    )
    return section(key, title, figure, caption, alt)
