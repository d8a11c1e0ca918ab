"""Loss curves along directions by construction, and the shares of their types."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.loss_landscape.curves.curves import most_frequent
from lsg_ray.loss_landscape.curves.types import LABELS
from lsg_ray.report import style
from lsg_ray.results.saving import names_of
from lsg_ray.typing import Array

#: Colours of the types of curves, in the order of `LABELS`.
LABEL_COLOURS = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#D55E00",
    "#E69F00",
    "#CC79A7",
    style.PALE,
    style.GREY,
)
#: Networks whose curves are drawn.
MAX_CURVES = style.MAX_SINGLE_CURVES


def log_curves(axes: Axes, positions: Array, train: Array, test: Array) -> None:
    """Draw training (solid) and test losses (dashed) of networks (networks, points), log scale."""
    for rows, colour, dash in ((test, style.CONTRAST, style.DASHED), (train, style.ACCENT, "-")):
        for row in rows[:MAX_CURVES]:
            axes.plot(positions, np.maximum(row, 1e-6), color=colour, ls=dash, lw=0.7, alpha=0.7)
    axes.axvline(0, color=style.GREY, lw=0.6)
    axes.set_yscale("log")
    style.few_log_labels(axes)


def share_bars(axes: Axes, share: Array, left: Array, width: float) -> None:
    """Draw shares of the labels (bars, labels) on each other."""
    bottom = np.zeros(len(share))
    for column, colour in zip(share.T, LABEL_COLOURS, strict=True):
        axes.bar(left, column, width, bottom=bottom, color=colour, edgecolor="white", lw=0.3)
        bottom += column


def label_legend(figure: Figure, share: Array) -> None:
    """Name the labels that there are, below the figure."""
    from matplotlib.patches import Patch

    seen = [
        Patch(color=colour, label=label)
        for label, colour, column in zip(LABELS, LABEL_COLOURS, share.T, strict=True)
        if column.any()
    ]
    figure.legend(handles=seen, loc="outside lower center", ncols=len(LABELS))


@style.styled
def curves_figure(curves: xarray.Dataset) -> Figure:
    """Draw the curves of each kind of direction, and the shares of labels on both sets."""
    figure = style.new_figure(4.6)
    panels = figure.subplots(2, 4).ravel()
    names = names_of(curves["construction"])
    kinds = names_of(curves["kind"])
    for number, (axes, name) in enumerate(zip(panels, names, strict=False)):
        first = int(np.flatnonzero(kinds == name)[0])
        own = curves.isel(direction=first)
        log_curves(axes, own["position"].values, own["train_loss"].values, own["test_loss"].values)
        left = "loss (nat)" if number % 4 == 0 else ""
        style.panel(axes, "abcdefg"[number], name, r"$\lambda$", left)
    last, place = panels[-1], np.arange(len(names))
    for part, shift in (("train", -0.2), ("test", 0.2)):
        share_bars(last, curves[f"{part}_share"].values, place + shift, 0.38)
    last.set_xticks(place, ["abcdefg"[n] for n in place])
    last.set_ylim(0, 1)
    style.panel(last, "h", "training | test", "panel", "share of curves")
    both = np.concatenate([curves[f"{part}_share"].values for part in ("train", "test")])
    label_legend(figure, both)
    return figure


def curves_caption(curves: xarray.Dataset) -> tuple[str, str]:
    """Name the most frequent type, and the curvature, of each kind of direction."""
    about, names = curves.attrs, names_of(curves["construction"])
    kinds = names_of(curves["kind"])
    unit = curves["unit_curvature"].values
    told = []
    for row, name in enumerate(names):
        train, test = (
            most_frequent(curves[f"{p}_share"].values[row], curves[f"{p}_share_stderr"].values[row])
            for p in ("train", "test")
        )
        mean = unit[:, kinds == name].mean()
        told.append(f"{name} {train} (test {test}), uᵀHu {mean:.3g}")
    missing = int((~curves["converged"].values).sum())
    caption = (
        f"Loss on lines w + λε through {curves.sizes['solution']} solutions, training (solid, on "
        f"{about['examples']:,} examples) and test (dashed), with ‖ε‖ = {about['length']:g} ‖w‖, "
        "but to another solution, which is at λ = 1. (h) Shares of types, by persistence of "
        f"ln(L + {about['floor']:g}) above {about['threshold']:.3g} nat. Most frequent type ± "
        f"standard error over networks, and mean curvature: {'; '.join(told)}."
    )
    if missing:
        caption += f" Of {curves['converged'].size} eigenvectors {missing} have not converged."
    return (
        caption,
        "Loss curves through solutions along seven kinds of directions, and their types.",
    )
