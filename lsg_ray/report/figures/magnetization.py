r"""Magnetizations m_i = ⟨σ_i⟩: their distribution in each part, and what symmetry leaves of them.

Permuting the hidden units of a network leaves its function as it is, so all weights that differ by
such a permutation have the same expectation.  What is left after averaging over hidden units is,
for the first layer, one number per input component, for the last, one per class, and for a layer
between hidden ones a single number.  The error of an average over the set S of weights follows
from the measured correlations, sqrt(Σ_{i,j∈S} (C_ij − m_i m_j) / (M − 1)) / |S|.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.report.binning import mean_histogram
from lsg_ray.report.style import (
    DASHED,
    INK,
    PART_COLOURS,
    PART_NAMES,
    label_panel,
    new_figure,
    normal_density,
    round_ticks,
    signed_colours,
    steps,
    styled,
)
from lsg_ray.statistics.moments import independent_rows
from lsg_ray.typing import Array, Floats

#: More bars than this become a line.
MOST_BARS = 60


class Average(NamedTuple):
    """Mean of m over hidden units (n,), and its standard error (n,)."""

    mean: Floats
    error: Floats


class Panel(NamedTuple):
    """A panel of the lower row: titled how, and who draws it."""

    title: str
    draw: Callable[[Axes], None]


def hidden_average(moments: xarray.Dataset, part: str, unit: str) -> Average:
    """Average m over the hidden units of a part.

    Parameters
    ----------
    moments
        From `lsg_ray.statistics.moments.moments`.
    part
        ``"LB"``, ``"ITR"`` or ``"RB"``.
    unit
        Coordinate that is kept: ``"unit_in"`` for the input components of LB, ``"unit"`` for the
        classes of RB, ``"layer"`` for the layers of ITR.
    """
    chosen = np.flatnonzero(moments["part"].values == part)
    label = moments[unit].values[chosen]
    m, C = moments["m"].values, moments["C"].values
    # An average over hidden units is the same for a copy with these permuted.
    count = moments.attrs.get("effective_groups", independent_rows(moments))
    means, errors = [], []
    for value in np.unique(label):
        members = chosen[label == value]
        means.append(m[members].mean())
        total = sum(C[i, members].sum() for i in members) - m[members].sum() ** 2
        errors.append(np.sqrt(max(total, 0.0) / (count - 1)) / len(members))
    return Average(np.array(means), np.array(errors))


@styled
def magnetization_figure(
    moments: xarray.Dataset, *, shallow: bool = False, pixels: tuple[int, ...] | None = None
) -> Figure:
    """Draw the distribution of m in each part, and below it m averaged over hidden units.

    Parameters
    ----------
    moments
        From `lsg_ray.statistics.moments.moments`.
    shallow
        Whether there are no hidden units; then every weight is drawn, by class and input.
    pixels
        Shape of the images where inputs are pixels, None where they are principal components.
    """
    part, m = moments["part"].values, moments["m"].values
    parts = [name for name in PART_COLOURS if (part == name).any()]
    below = _lower_panels(moments, parts, shallow, pixels)
    figure = new_figure(4.95 if below else 2.6)
    grid = figure.add_gridspec(2 if below else 1, len(parts))
    letters = iter("abcdef")
    for place, name in enumerate(parts):
        axes = figure.add_subplot(grid[0, place])
        _distribution(axes, m[part == name], moments, name)
        label_panel(axes, next(letters), PART_NAMES[name] if len(parts) > 1 else "all weights")
        if place == 0:
            axes.set_ylabel("probability density")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right")
    # the first panel below is as wide as those above it that the others leave
    wide = len(parts) - len(below) + 1
    for place, panel in enumerate(below):
        columns = slice(0, wide) if place == 0 else slice(wide + place - 1, wide + place)
        axes = figure.add_subplot(grid[1, columns])
        panel.draw(axes)
        label_panel(axes, next(letters), panel.title)
    return figure


def _lower_panels(
    moments: xarray.Dataset, parts: list[str], shallow: bool, pixels: tuple[int, ...] | None
) -> list[Panel]:
    part, unit, unit_in = (moments[name].values for name in ("part", "unit", "unit_in"))
    source = "pixel $k$" if pixels else "input component $k$"
    if shallow and unit.max() > 0:
        table = moments["m"].values.reshape(unit.max() + 1, unit_in.max() + 1)
        return [Panel("by class and input", partial(_table, m=table, source=source))]
    panels = []
    classes = np.unique(unit[part == "RB"])
    if "LB" in parts:
        average = hidden_average(moments, "LB", "unit_in")
        title = "by input" if shallow else "LB by input, over hidden units"
        if pixels and len(pixels) == 2 and len(average.mean) == pixels[0] * pixels[1]:
            draw = partial(_picture, m=average.mean.reshape(pixels))
        else:
            draw = partial(_bars, average=average, part="LB", unit=source)
        panels.append(Panel(title, draw))
    if len(classes) > 1:
        average = hidden_average(moments, "RB", "unit")
        draw = partial(_bars, average=average, part="RB", unit="class $c$")
        panels.append(Panel("RB by class", draw))
    return panels


def _distribution(axes: Axes, m: Array, moments: xarray.Dataset, part: str) -> None:
    count = int(moments.attrs["count"])
    histogram = mean_histogram(m, count, bins=int(np.clip(1.5 * np.sqrt(len(m)), 8, 40)))
    density = histogram.density()
    steps(axes, density, histogram.edges, color=PART_COLOURS[part])
    spread = 1 / np.sqrt(independent_rows(moments))
    x, null = normal_density(0.0, spread)
    label = r"sampling noise alone, $\mathcal{N}(0, 1/M)$"
    axes.plot(x, null, color=INK, lw=1.1, ls=DASHED, label=label)
    left = min(histogram.edges[0], -3.5 * spread)
    right = max(histogram.edges[-1], 3.5 * spread)
    axes.set_xlim(max(left, -1.1), min(right, 1.1))
    seen, noise = density.max(), null.max()
    axes.set_ylim(0, 1.06 * max(seen, noise) if noise < 4 * seen else 1.3 * seen)
    axes.set_xlabel("magnetization $m_i$")
    axes.xaxis.set_major_locator(round_ticks(5))
    axes.yaxis.set_major_locator(round_ticks(5))


def _bars(axes: Axes, *, average: Average, part: str, unit: str) -> None:
    places = np.arange(len(average.mean))
    colour = PART_COLOURS[part]
    axes.axhline(0, color=INK, lw=0.7)
    if len(places) <= MOST_BARS:
        axes.bar(places, average.mean, 0.72, color=colour, alpha=0.45)
        error: dict[str, Any] = {"fmt": "none", "ecolor": INK, "elinewidth": 0.9, "capsize": 1.8}
        axes.errorbar(places, average.mean, average.error, **error)
    else:
        low, high = average.mean - average.error, average.mean + average.error
        axes.fill_between(places, low, high, color=colour, alpha=0.35, lw=0)
        axes.plot(places, average.mean, color=colour, lw=0.7)
    if len(places) <= 12:
        axes.set_xticks(places)
    else:
        axes.xaxis.set_major_locator(round_ticks(10, integer=True))
    axes.set_xlim(-0.8, len(places) - 0.2)
    axes.yaxis.set_major_locator(round_ticks(5))
    axes.margins(y=0.1)
    axes.set_xlabel(unit)
    axes.set_ylabel("mean of $m$")


def _picture(axes: Axes, *, m: Array) -> None:
    _signed_image(axes, m, "mean of $m$", aspect="equal")
    axes.set_xlabel("column of pixels")
    axes.set_ylabel("row of pixels")


def _table(axes: Axes, *, m: Array, source: str) -> None:
    _signed_image(axes, m, "magnetization $m_{ck}$", aspect="auto")
    axes.set_xlabel(source)
    axes.set_ylabel("class $c$")


def _signed_image(
    axes: Axes, values: Array, label: str, *, aspect: Literal["equal", "auto"]
) -> None:
    limit = float(np.abs(values).max()) or 1.0
    image = axes.imshow(values, cmap=signed_colours(), vmin=-limit, vmax=limit, aspect=aspect)
    axes.xaxis.set_major_locator(round_ticks(10, integer=True))
    axes.yaxis.set_major_locator(round_ticks(10, integer=True))
    axes.spines[:].set_visible(True)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, aspect=16)
    bar.set_label(label)
    bar.locator = round_ticks(5, symmetric=True)
    bar.outline.set_linewidth(0.7)
