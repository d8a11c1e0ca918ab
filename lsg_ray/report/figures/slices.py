"""Planes through solutions with their minima and saddles, merge trees, and persistence."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.report import style


def _richest(slices: xarray.Dataset) -> xarray.Dataset:
    """Return the plane with most minima of the training loss, the first of several."""
    count = slices["minima"].isel(part=0).values
    solution, index = np.unravel_index(int(count.argmax()), count.shape)
    return slices.isel(solution=int(solution), slice=int(index))


@style.styled
def slices_figure(slices: xarray.Dataset) -> Figure:
    """Draw the plane with most minima, its merge tree, and births and deaths in all planes."""
    figure = style.new_figure(2.7)
    plane, tree, births = figure.subplots(1, 3)
    own = _richest(slices)
    heights = np.log(own["train_loss"].values + slices.attrs["floor"])
    filled = plane.contourf(own["a"].values, own["b"].values, heights.T, 24, cmap="viridis")
    figure.colorbar(filled, ax=plane, shrink=0.85, label=r"$\ln L$")
    minima = own.isel(part=0)
    plane.plot(minima["minimum_a"].values, minima["minimum_b"].values, "wo", ms=4, mec=style.INK)
    plane.plot(minima["saddle_a"].values, minima["saddle_b"].values, "x", color=style.CONTRAST)
    at = [(0, 0)] if slices.attrs["plane"] == "random" else [(0, 0), (1, 0), (0, 1)]
    plane.plot(*zip(*at, strict=True), "+", color="white", ms=7)
    plane.set_aspect("equal")
    style.panel(plane, "a", "minima and saddles", "$a$", "$b$")
    _merge_tree(tree, minima)
    style.panel(tree, "b", "merge tree", "minimum", r"$\ln L$")
    for part, colour in enumerate((style.ACCENT, style.CONTRAST)):
        some = slices.isel(part=part, minimum=slice(1, None))
        births.plot(
            some["birth"].values.ravel(),
            some["death"].values.ravel(),
            "o",
            ms=3,
            color=colour,
            alpha=0.6,
            label=("training", "test")[part],
        )
    if np.isfinite(slices["birth"].isel(minimum=slice(1, None))).any():
        low, high = births.get_xlim()[0], births.get_ylim()[1]
        births.plot([low, high], [low, high], color=style.GREY, lw=0.8)
        births.legend()
    else:
        births.text(0.5, 0.5, "one minimum in each", ha="center", transform=births.transAxes)
        births.set(xticks=[], yticks=[])
    style.panel(births, "c", "all planes", "minimum", "saddle where it ends")
    return figure


def _merge_tree(axes: Any, minima: xarray.Dataset) -> None:
    """Draw a line from each minimum up to its saddle, and from there to the one that it joins."""
    birth, death, parent = (minima[name].values for name in ("birth", "death", "parent"))
    for number in np.flatnonzero(np.isfinite(birth)):
        axes.plot([number] * 2, [birth[number], death[number]], color=style.ACCENT)
        axes.plot(number, birth[number], "o", color=style.ACCENT, ms=4)
        if parent[number] >= 0:
            axes.plot([number, parent[number]], [death[number]] * 2, color=style.ACCENT, lw=0.8)
    axes.set_xticks(range(int(np.isfinite(birth).sum())))


def slices_caption(slices: xarray.Dataset) -> tuple[str, str]:
    """Say how many minima planes have, and how far below their saddles."""
    about = slices.attrs
    count = slices.sizes["solution"] * slices.sizes["slice"]
    through = (
        f"{count} planes through {slices.sizes['solution']} solutions in filter-normalised random "
        "directions"
        if about["plane"] == "random"
        else f"{count} planes through three solutions each"
    )
    told = []
    for part, name in enumerate(("training", "test")):
        some = slices.isel(part=part)
        gap = float(some["gap_mean"])
        more = (
            f"mean gap {gap:.3g} ± {float(some['gap_mean_stderr']):.2g} nat"
            if np.isfinite(gap)
            else "no gap"
        )
        told.append(
            f"{name}: {float(some['minima_mean']):.3g} ± "
            f"{float(some['minima_mean_stderr']):.2g} minima, {more}"
        )
    caption = (
        f"Loss on {through}: (a) the plane with most minima, with these (circles), the saddles at "
        "which they join an older one (crosses) and the solutions (plus); (b) its merge tree; (c) "
        "minima and saddles of all planes. Minima of a persistence of at least "
        f"{about['threshold']:g} nat of ln L, and the mean over them of saddle less minimum: "
        f"{'; '.join(told)} (standard errors over "
        f"{'solutions' if about['plane'] == 'random' else 'planes'})."
    )
    return (
        caption,
        "A plane with minima and saddles, its merge tree, and persistence in all planes.",
    )
