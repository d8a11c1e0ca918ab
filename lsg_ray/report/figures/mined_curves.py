"""Mined loss curves, on training and held-out data, and mined surfaces."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.report import style
from lsg_ray.report.figures.curves import label_legend, log_curves, share_bars
from lsg_ray.results.saving import names_of


@style.styled
def mined_figure(mined: xarray.Dataset) -> Figure:
    """Draw the curves of each type, the labels they got, and the surfaces of the first solution."""
    planes = "surface" in mined.dims
    figure = style.new_figure(4.6)
    panels = figure.subplots(2, 4).ravel()
    types = names_of(mined["type"])
    for number, (axes, name) in enumerate(zip(panels, types, strict=False)):
        own = mined.isel(type=number)
        log_curves(axes, own["position"].values, own["train_loss"].values, own["test_loss"].values)
        left = "loss (nat)" if number % 4 == 0 else ""
        style.panel(axes, "abcde"[number], name, r"$\lambda$", left)
    bars, place = panels[5], np.arange(len(types))
    for part, shift in (("train", -0.2), ("test", 0.2)):
        share_bars(bars, mined[f"{part}_share"].values, place + shift, 0.38)
    bars.set_xticks(place, ["abcde"[n] for n in place])
    bars.set_ylim(0, 1)
    style.panel(bars, "f", "training | test", "panel", "share of curves")
    label_legend(figure, np.concatenate([mined[f"{p}_share"].values for p in ("train", "test")]))
    for number, axes in enumerate(panels[6:]):
        if not planes:
            axes.set_axis_off()
            continue
        _surface(axes, mined, number)
    return figure


def _surface(axes: Axes, mined: xarray.Dataset, number: int) -> None:
    """Draw the surface of the first solution: ln L above that of the solution."""
    line = mined["position"].values
    heights = np.log(mined["surface_train_loss"].values[number, 0] + mined.attrs["floor"])
    middle = len(line) // 2
    heights = heights - heights[middle, middle]
    limit = float(np.quantile(np.abs(heights), 0.6)) or 1.0
    levels = np.linspace(-limit, limit, 25)
    drawn = axes.contourf(line, line, heights.T, levels, cmap=style.signed_colours(), extend="both")
    axes.plot(0, 0, "k+", ms=6)
    axes.set_aspect("equal")
    style.colour_bar(
        drawn, axes, r"$\Delta \ln L$", 2, orientation="horizontal", spacing="proportional"
    )
    name = names_of(mined["surface"])[number]
    style.panel(axes, "gh"[number], name, r"along $\varepsilon_1$", r"along $\varepsilon_2$")


def mined_caption(mined: xarray.Dataset) -> tuple[str, str]:
    """Say how many have the type on both sets, and the sign of the curvature."""
    about, count = mined.attrs, mined.sizes["solution"]
    told = []
    for row, name in enumerate(names_of(mined["type"])):
        own = mined.isel(type=row)
        train, test = (
            int((names_of(own[f"{part}_label"]) == name).sum()) for part in ("train", "test")
        )
        negative = int((own["unit_curvature"].values < 0).sum())
        told.append(f"{name} {train}, {test}, {negative}")
    caption = (
        f"Directions searched for on the training loss of {about['examples']:,} examples, from "
        f"{count} solutions, {about['steps']} steps at most: loss on training (solid) and test "
        f"data (dashed). (f) Types that the curves have. Of {count}, in order: have the type on "
        f"training data, on test data, and a negative curvature uᵀHu: {'; '.join(told)}."
    )
    if "surface" in mined.dims:
        formed = "; ".join(
            f"{name} {int(rows[:, 0].sum())} and {int(rows[:, 1].sum())}"
            for name, rows in zip(names_of(mined["surface"]), mined["formed"].values, strict=True)
        )
        caption += (
            f" (g, h) Planes of the first solution, ln L relative to it. Of "
            f"{mined.sizes['surface_solution']} searched, formed on training and test data: "
            f"{formed}."
        )
    return caption, "Loss along mined directions by type, their labels, and two mined surfaces."
