"""Accuracy and loss along training, at the times of the snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from lsg_ray.datasets import Dataset
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.ensemble.schema import SNAPSHOT
from lsg_ray.report import style
from lsg_ray.report.figures.training import loss_and_accuracy
from lsg_ray.report.section import Section, section
from lsg_ray.typing import Array

#: Most networks whose snapshots are read.
MAX_NETWORKS_READ = 1000


@style.styled
def snapshots_figure(
    times: Sequence[int], measured: Mapping[str, Array], unit: str, chosen: str
) -> Figure:
    """Draw measures of snapshots, (networks, S) by name: means, and single networks."""
    figure, axes_of = style.panels(2.6, 2)
    panels = dict(zip(("loss", "accuracy"), axes_of, strict=True))
    colours = {"": style.ACCENT, "test_": style.CONTRAST}
    for name, rows in measured.items():
        kind = "test_" if name.startswith("test_") else ""
        axes = panels[name.removeprefix("test_")]
        few = rows[: style.MAX_SINGLE_CURVES]
        axes.plot(times, few.T, color=colours[kind], lw=0.4, alpha=0.4)
        axes.errorbar(
            times,
            rows.mean(axis=0),
            rows.std(axis=0),
            color=colours[kind],
            marker="o",
            markersize=3,
            capsize=2,
            label="test set" if kind else f"{chosen} set",
        )
    for axes in panels.values():
        axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_formatter(ScalarFormatter())
    panels["accuracy"].legend()
    loss_and_accuracy(panels["loss"], panels["accuracy"], unit)
    return figure


def snapshots_section(ensemble: Ensemble, dataset: Dataset) -> Section:
    """Draw measures of the snapshots of some networks, and describe the first and the last."""
    del dataset
    unit, times = ensemble.spec.times
    key, title = "snapshots", "Along training"
    if not ensemble.n_rows:
        return Section(key, title, reason="Needs at least 1 configuration; there are none.")
    names = [n for n in ensemble.header.family.measures if n.endswith(("accuracy", "loss"))]
    selection = ensemble.spec.ensemble.selection
    if selection == "test":
        names = [name for name in names if not name.startswith("test_")]
    rows = ensemble.column("configuration")[:MAX_NETWORKS_READ]
    stored = ensemble.take(rows, [f"{SNAPSHOT}{name}" for name in names])
    measured = {name: stored[f"{SNAPSHOT}{name}"] for name in names}
    accuracy = measured["accuracy"]
    ends = " and ".join(
        f"{accuracy[:, index].mean():.4f} ± {accuracy[:, index].std():.4f} after {times[index]:,}"
        for index in (0, -1)
    )
    caption = (
        f"Weights of {len(rows):,} networks after {', '.join(f'{t:,}' for t in times)} {unit} of "
        "training, evaluated without noise: mean and standard deviation over networks; thin lines "
        f"are single networks. The accuracy on the {selection} set is {ends} {unit}; networks "
        "were accepted by the last of these, which is therefore biased upwards."
    )
    figure = snapshots_figure(times, measured, unit, selection)
    return section(key, title, figure, caption, "Loss and accuracy along training.")
