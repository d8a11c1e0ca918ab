"""Interactive plots: axes are labelled with name and units, colours suit all eyes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import xarray

from lsg_ray.report.style import CURVE_COLOURS
from lsg_ray.typing import Array, Floats

#: Height of a plot in pixels, of one that is looked at closely, and width of a square matrix.
HEIGHT, TALL, SQUARE = 320, 460, 620
#: Points of a curve, and cells of a side of an image, that are sent to the browser at most.
MAX_CURVE, MAX_SIDE = 20_000, 1_200
#: Quantile of magnitudes beyond which colours of matrices of both signs saturate.
SATURATED = 0.995
_WIDE: dict[str, Any] = {"responsive": True, "toolbar": "above"}


def label(values: xarray.DataArray) -> str:
    """Return the name of an array for an axis, with its units.

    >>> label(xarray.DataArray(0.0, name="s", attrs={"units": "nat"}))
    's (nat)'
    """
    units = values.attrs.get("units", "1")
    name = f"{values.name}"[:60]
    return name if not isinstance(units, str) or units in ("1", "") else f"{name} ({units[:20]})"


def curve(x: Array, y: Array, x_label: str, y_label: str, name: str = "") -> Any:
    """Return a curve; of a long one, every k-th point."""
    step = max(1, -(-len(y) // MAX_CURVE))
    return hv.Curve((x[::step], y[::step]), "x", "y", label=name).opts(
        height=HEIGHT, xlabel=x_label, ylabel=y_label, tools=["hover"], **_WIDE
    )


def curves(lines: Mapping[str, tuple[Array, Array]], x_label: str, y_label: str) -> Any:
    """Return several curves on the same axes, by name."""
    drawn = [
        curve(x, y, x_label, y_label, name).opts(color=CURVE_COLOURS[n % len(CURVE_COLOURS)])
        for n, (name, (x, y)) in enumerate(lines.items())
    ]
    return hv.Overlay(drawn).opts(legend_position="top", height=HEIGHT, **_WIDE)


def heat_map(
    values: Floats,
    x_label: str,
    y_label: str,
    title: str,
    limits: tuple[float, float] | None = None,
) -> Any:
    """Return a matrix as an image, its first row at the top.

    Colours are blue below zero and red above where both occur, and saturate at the limits, by
    default those of `colour_limits`.  Of a large one, means of cells beside each other.
    """
    rows, columns = values.shape
    small = _coarse(values)
    low, high = limits or colour_limits(small)
    bounds = (-0.5, -0.5, columns - 0.5, rows - 0.5)
    made = hv.Image(small[::-1], bounds=bounds, kdims=["x", "y"], vdims=["value"])
    return made.opts(
        height=TALL, invert_yaxis=True, cmap="RdBu_r" if low < 0 < high else "viridis",
        clim=(low, high), colorbar=True, xlabel=x_label, ylabel=y_label, title=title,
        tools=["hover"], active_tools=["box_zoom"], **_WIDE,
    )  # fmt: skip


def colour_limits(values: Floats) -> tuple[float, float]:
    """Return the numbers of the first and the last colour of a matrix.

    Of both signs, ± the quantile `SATURATED` of magnitudes: one large entry, as on a diagonal,
    would make all others pale.

    >>> colour_limits(np.array([[-1.0, 0.5]])), colour_limits(np.array([[2.0, np.nan]]))
    ((-0.9975, 0.9975), (2.0, 3.0))
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    size = float(np.quantile(np.abs(finite), SATURATED)) if low < 0 < high else 0.0
    return (-size, size) if size else (low, high if high > low else low + 1)


def _coarse(values: Floats) -> Floats:
    """Return a matrix of at most `MAX_SIDE` rows and columns, of means."""
    for axis in (0, 1):
        step = -(-values.shape[axis] // MAX_SIDE)
        if step > 1:
            starts = np.arange(0, values.shape[axis], step)
            counts = np.diff(np.append(starts, values.shape[axis]))
            total = np.add.reduceat(values, starts, axis=axis)
            values = total / (counts[:, None] if axis == 0 else counts)
    return values


def histogram(values: Mapping[str, Array], x_label: str, bins: int = 60) -> Any:
    """Return histograms on the same bins, as densities where there are several."""
    kept = {name: one[np.isfinite(one)] for name, one in values.items()}
    everything = [one for one in kept.values() if one.size]
    if not everything:
        return hv.Text(0.5, 0.5, "no finite numbers").opts(height=HEIGHT)
    low, high = min(one.min() for one in everything), max(one.max() for one in everything)
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    several = len(kept) > 1
    drawn = []
    for n, (name, one) in enumerate(kept.items()):
        counts, _ = np.histogram(one, edges, density=several and one.size > 0)
        drawn.append(
            hv.Histogram((edges, counts), label=name if several else "").opts(
                height=HEIGHT,
                xlabel=x_label,
                ylabel="density" if several else "configurations",
                color=CURVE_COLOURS[n % len(CURVE_COLOURS)],
                fill_alpha=0.25 if several else 0.8,
                line_color=CURVE_COLOURS[n % len(CURVE_COLOURS)] if several else None,
                tools=["hover"],
                **_WIDE,
            )
        )
    return hv.Overlay(drawn).opts(legend_position="top", **_WIDE) if several else drawn[0]


def pane(plot: Any, height: int = HEIGHT, max_width: int | None = None) -> pn.pane.HoloViews:
    """Return the pane of a plot, as wide as the page, or up to a width."""
    return pn.pane.HoloViews(
        plot, sizing_mode="stretch_width", height=height, max_width=max_width, linked_axes=False
    )
