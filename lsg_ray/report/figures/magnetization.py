r"""Magnetizations m_i = ⟨σ_i⟩: distribution in each part, and averages over equivalent weights.

Permuting the hidden units of a network leaves its function as it is, so all weights that differ by
such a permutation have the same expectation.  The average over hidden units is, for the first
layer, one number per input component, for the last, one per class, and for a layer between hidden
ones a single number.  The error of an average over the set S of weights follows
from the measured correlations, sqrt(Σ_{i,j∈S} (C_ij − m_i m_j) / (M − 1)) / |S|.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.datasets import is_image
from lsg_ray.report import style
from lsg_ray.report.binning import mean_histogram
from lsg_ray.spec import Spec, parse_spec
from lsg_ray.statistics.moments import independent_rows
from lsg_ray.typing import Array, Floats

#: More bars than this are drawn as a line.
MAX_BARS = 60


class Average(NamedTuple):
    """Mean of m over hidden units (n,), and its standard error (n,)."""

    mean: Floats
    error: Floats


#: A panel of the lower row: its title, and the function that draws it.
Panel = tuple[str, Callable[[Axes], None]]


def hidden_average(moments: xarray.Dataset, part: str, unit: str) -> Average:
    """Average m over the hidden units of a part.

    Parameters
    ----------
    moments
        From `lsg_ray.statistics.moments.moments`.
    part
        ``"LB"``, ``"ITR"`` or ``"RB"``.
    unit
        Coordinate that is not averaged over: ``"unit_in"`` for the input components of LB,
        ``"unit"`` for the classes of RB, ``"layer"`` for the layers of ITR.
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


@style.styled
def magnetization_figure(moments: xarray.Dataset) -> Figure:
    """Draw the distribution of m in each part, and below it m averaged over hidden units.

    Parameters
    ----------
    moments
        From `lsg_ray.statistics.moments.moments`, of an ensemble.  Where there are no hidden
        units, every weight is drawn, by class and input.
    """
    part, m = moments["part"].values, moments["m"].values
    parts = [name for name in style.PART_COLOURS if (part == name).any()]
    below = _lower_panels(moments, parts, spec_of(moments))
    figure = style.new_figure(4.95 if below else 2.6)
    grid = figure.add_gridspec(2 if below else 1, len(parts))
    letters = iter("abcdef")
    for column, name in enumerate(parts):
        axes = figure.add_subplot(grid[0, column])
        _distribution(axes, m[part == name], moments, name)
        title = style.PART_NAMES[name] if len(parts) > 1 else "all weights"
        style.panel(axes, next(letters), title)
        if column == 0:
            axes.set_ylabel("probability density")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right")
    # The first panel below spans the columns above that the other panels leave.
    wide = len(parts) - len(below) + 1
    for index, (title, draw) in enumerate(below):
        columns = slice(0, wide) if index == 0 else slice(wide + index - 1, wide + index)
        axes = figure.add_subplot(grid[1, columns])
        draw(axes)
        style.panel(axes, next(letters), title)
    return figure


def _lower_panels(moments: xarray.Dataset, parts: list[str], spec: Spec) -> list[Panel]:
    shallow, pixels = len(spec.network.widths) == 2, _pixels(spec)
    part, unit, unit_in = (moments[name].values for name in ("part", "unit", "unit_in"))
    source = "pixel $k$" if pixels else "input component $k$"
    if shallow and unit.max() > 0:
        table = moments["m"].values.reshape(unit.max() + 1, unit_in.max() + 1)
        draw = partial(
            _image,
            values=table,
            label="magnetization $m_{ck}$",
            x=source,
            y="class $c$",
            aspect="auto",
        )
        return [("by class and input", draw)]
    panels: list[Panel] = []
    classes = np.unique(unit[part == "RB"])
    if "LB" in parts:
        average = hidden_average(moments, "LB", "unit_in")
        title = "by input" if shallow else "LB by input, over hidden units"
        if pixels and len(pixels) == 2 and len(average.mean) == pixels[0] * pixels[1]:
            draw = partial(
                _image,
                values=average.mean.reshape(pixels),
                label="mean of $m$",
                x="column of pixels",
                y="row of pixels",
                aspect="equal",
            )
        else:
            draw = partial(_bars, average=average, part="LB", unit=source)
        panels.append((title, draw))
    if len(classes) > 1:
        average = hidden_average(moments, "RB", "unit")
        draw = partial(_bars, average=average, part="RB", unit="class $c$")
        panels.append(("RB by class", draw))
    return panels


def _distribution(axes: Axes, m: Array, moments: xarray.Dataset, part: str) -> None:
    count = int(moments.attrs["count"])
    histogram = mean_histogram(m, count, bins=int(np.clip(1.5 * np.sqrt(len(m)), 8, 40)))
    density = histogram.density()
    style.steps(axes, density, histogram.edges, color=style.PART_COLOURS[part])
    spread = 1 / np.sqrt(independent_rows(moments))
    x, null = style.normal_density(0.0, spread)
    label = r"sampling noise alone, $\mathcal{N}(0, 1/M)$"
    axes.plot(x, null, color=style.INK, lw=1.1, ls=style.DASHED, label=label)
    left = min(histogram.edges[0], -3.5 * spread)
    right = max(histogram.edges[-1], 3.5 * spread)
    axes.set_xlim(max(left, -1.1), min(right, 1.1))
    seen, noise = density.max(), null.max()
    axes.set_ylim(0, 1.06 * max(seen, noise) if noise < 4 * seen else 1.3 * seen)
    axes.set_xlabel("magnetization $m_i$")
    style.ticks(axes, 5, 5)


def _bars(axes: Axes, *, average: Average, part: str, unit: str) -> None:
    positions = np.arange(len(average.mean))
    colour = style.PART_COLOURS[part]
    axes.axhline(0, color=style.INK, lw=0.7)
    if len(positions) <= MAX_BARS:
        axes.bar(positions, average.mean, 0.72, color=colour, alpha=0.45)
        axes.errorbar(
            positions,
            average.mean,
            average.error,
            fmt="none",
            ecolor=style.INK,
            elinewidth=0.9,
            capsize=1.8,
        )
    else:
        low, high = average.mean - average.error, average.mean + average.error
        axes.fill_between(positions, low, high, color=colour, alpha=0.35, lw=0)
        axes.plot(positions, average.mean, color=colour, lw=0.7)
    if len(positions) <= 12:
        axes.set_xticks(positions)
    else:
        axes.xaxis.set_major_locator(style.round_ticks(10, integer=True))
    axes.set_xlim(-0.8, len(positions) - 0.2)
    axes.yaxis.set_major_locator(style.round_ticks(5))
    axes.margins(y=0.1)
    axes.set(xlabel=unit, ylabel="mean of $m$")


def _image(
    axes: Axes, *, values: Array, label: str, x: str, y: str, aspect: Literal["equal", "auto"]
) -> None:
    limit = float(np.abs(values).max()) or 1.0
    image = axes.imshow(values, cmap=style.signed_colours(), vmin=-limit, vmax=limit, aspect=aspect)
    style.ticks(axes, 10, 10, integer=True)
    axes.spines[:].set_visible(True)
    style.colour_bar(image, axes, label, 5, symmetric=True, pad=0.02, aspect=16)
    axes.set(xlabel=x, ylabel=y)


def magnetization_caption(moments: xarray.Dataset) -> tuple[str, str]:
    """Describe mean and spread of m by part, and the spread by sampling noise alone."""
    part, m, count = moments["part"].values, moments["m"].values, int(moments.attrs["count"])
    spreads = ", ".join(
        f"{name} {m[part == name].mean():+.3f} ± {m[part == name].std():.3f}"
        for name in style.PART_COLOURS
        if (part == name).any()
    )
    caption = (
        f"Mean of each weight over M = {count:,} configurations. Mean ± standard deviation over "
        f"the weights of a part: {spreads}; sampling noise alone would give 0 ± "
        f"{1 / np.sqrt(independent_rows(moments)):.3f}. "
    )
    if len(spec_of(moments).network.widths) == 2:
        caption += "Below, each weight by itself: without hidden units no weights are equivalent."
    else:
        caption += (
            "Below, m averaged over hidden units, which the permutation symmetry makes "
            "equivalent; error bars are one standard error, with correlations taken into account."
        )
    if (part == "ITR").any():
        interior = hidden_average(moments, "ITR", "layer")
        values = ", ".join(
            f"{mean:+.4f} ± {error:.4f}" for mean, error in zip(*interior, strict=True)
        )
        caption += f" Average over the interior (ITR), layer by layer: {values}."
    if (frozen := int(np.sum(np.abs(m) == 1))) and count > 20:
        caption += f" {frozen:,} of {len(m):,} weights are the same in all configurations."
    return caption, f"Histograms of magnetizations ({spreads}), and averages by input and by class."


def spec_of(moments: xarray.Dataset) -> Spec:
    """Return the specification of the ensemble that moments are of."""
    return parse_spec(json.loads(moments.attrs["spec"]), stored=True)


def _pixels(spec: Spec) -> tuple[int, ...] | None:
    """Return the shape of the images, where inputs are pixels and not principal components."""
    shape = spec.dataset.sizes.shape
    return None if spec.dataset.components or not is_image(shape) else shape
