"""Replica-symmetry breaking of several systems side by side: P(q), overlaps, ultrametricity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.errors import InputError
from lsg_ray.report import style
from lsg_ray.report.figures.clustering import order_of
from lsg_ray.results.saving import names_of
from lsg_ray.typing import Array

#: Most systems of one figure, and largest width of a column in inches.
MAX_SYSTEMS, MAX_COLUMN_WIDTH = 6, 2.4
#: Line styles of the null models.
NULL_STYLES: dict[str, dict[str, Any]] = {
    "independent": {"color": style.INK, "ls": style.DASHED, "lw": 0.9},
    "shuffled": {"color": style.GREY, "ls": "-", "lw": 1.8},
}
#: Height in inches of the panels of lines, of all margins together, and of a row of the legend.
PANEL_HEIGHT, MARGIN_HEIGHT, LEGEND_ROW = 1.25, 2.45, 0.17
#: Smallest width in inches of a figure whose legend has a single row.
WIDE = 4.5


@style.styled
def rsb_figure(systems: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw a column for each system: P(q), ordered overlaps, and P(K), with nulls.

    Parameters
    ----------
    systems
        Results of `lsg_ray.statistics.rsb.replica_overlaps`, by name.  Matrices are in the order
        of the leaves of average linkage; those of systems with a flip symmetry are of |q|.
    """
    count = len(systems)
    if not 1 <= count <= MAX_SYSTEMS:
        raise InputError(f"{count} systems given; a figure has 1 to {MAX_SYSTEMS}")
    width = min(style.WIDTH, max(MAX_COLUMN_WIDTH * count, 3.2))
    side = min(width / count - 0.6, 1.9)
    rows = 1 if width >= WIDE else 3
    margins = MARGIN_HEIGHT + (rows - 1) * LEGEND_ROW
    figure = style.new_figure(2 * PANEL_HEIGHT + side + margins, width)
    axes = figure.subplots(
        3, count, squeeze=False, height_ratios=(PANEL_HEIGHT, side, PANEL_HEIGHT)
    )
    for column, (name, system) in enumerate(systems.items()):
        left = column == 0
        _overlaps(axes[0, column], system, left)
        axes[0, column].set_title(style.verbatim(name).replace(", T = ", ", $T$ = "), loc="center")
        _matrix(axes[1, column], system, left)
        _triples(axes[2, column], system, left)
    for row, letter in enumerate("abc"):
        label = axes[row, 0].set_title(rf"$\bf{{({letter})}}$", loc="left")
        label.set_x(-0.37 / (width / count - 0.5))
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3 // rows)
    return figure


def _overlaps(axes: Axes, system: xarray.Dataset, left: bool) -> None:
    edges = np.append(system["left"].values, system["right"].values[-1])
    density = system["density"].values
    style.steps(axes, density, edges, color=style.ACCENT, label="replicas")
    centres = (edges[1:] + edges[:-1]) / 2
    seen = density > 0
    error = system["density_stderr"].values
    bars = centres[seen], density[seen], error[seen]
    axes.errorbar(*bars, fmt="none", color=style.ACCENT, elinewidth=0.5)
    # A null model may be far higher than a broad P(q): its peak is cut off.
    peak, highest = density.max(), density.max()
    for name, values in _nulls(system, "density"):
        axes.stairs(values, edges, label=f"{name} weights", **NULL_STYLES[name])
        seen = seen | (values > 1e-3 * values.max())
        highest = max(highest, values.max())
    shown = np.flatnonzero(seen)
    if str(system.attrs["flip"]) == "symmetric":
        axes.set_xlim(-1.02, 1.02)
    else:
        axes.set_xlim(edges[shown[0]], edges[shown[-1] + 1])
    axes.set(ylim=(0, 1.1 * min(highest, 3 * peak)), xlabel="overlap $q$")
    style.ticks(axes, 4, 4)
    if left:
        axes.set_ylabel("$P(q)$")


def _nulls(system: xarray.Dataset, name: str) -> list[tuple[str, Array]]:
    if f"{name}_null" not in system:
        return []
    pairs = zip(names_of(system["null"]).tolist(), system[f"{name}_null"].values, strict=True)
    return sorted(pairs, reverse=True)  # dashes over a line


def _matrix(axes: Axes, system: xarray.Dataset, left: bool) -> None:
    order = system["leaf_order"].values
    folded = str(system.attrs["flip"]) != "keep"
    q = system["q"].values[np.ix_(order, order)].copy()
    q = np.abs(q) if folded else q
    np.fill_diagonal(q, np.nan)
    low, high = np.nanquantile(q, [0.002, 0.998])
    if folded:
        low, high = 0.0, 1.0 if high > 0.5 else high
    colours = matplotlib.colormaps["viridis"].with_extremes(bad=style.PALE)
    count = len(order)
    image = axes.imshow(
        q,
        cmap=colours,
        vmin=low,
        vmax=high if high > low else low + 1e-6,
        aspect="equal",
        interpolation="nearest",
        extent=(0.5, count + 0.5, count + 0.5, 0.5),
    )
    axes.spines[:].set_visible(True)
    style.ticks(axes, 3, 3, integer=True)
    if left:
        axes.set_ylabel("replica")
    style.colour_bar(
        image,
        axes,
        "$|q|$" if folded else "$q$",
        3,
        orientation="horizontal",
        shrink=0.9,
        aspect=16,
        pad=0.03,
    )


def _triples(axes: Axes, system: xarray.Dataset, left: bool) -> None:
    centres = system["K"].values
    half = (centres[1] - centres[0]) / 2
    edges = np.append(centres - half, centres[-1] + half)
    style.steps(axes, system["K_density"].values, edges, color=style.ACCENT)
    for name, values in _nulls(system, "K_density"):
        axes.stairs(values, edges, **NULL_STYLES[name])
    lines = [_with_error(system, "ultrametricity")]
    if "null" in system.coords:
        means = dict(_nulls(system, "ultrametricity"))
        lines += [f"{name} {float(mean):.2f}" for name, mean in means.items()]
    text = "\n".join(lines)
    axes.text(0.98, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=8)
    axes.set(xlim=(0, 3.5), ylim=(0, None))
    axes.set_xlabel(r"$K = (q_{\mathrm{mid}} - q_{\mathrm{min}})/\sigma$")
    style.ticks(axes, 4, 4)
    if left:
        axes.set_ylabel("$P(K)$")


def _with_error(system: xarray.Dataset, name: str) -> str:
    value, error = float(system[name]), float(system[f"{name}_stderr"])
    if not error > 0:
        return rf"$\langle K\rangle$ = {value:.2f}"
    digits = 2 if error >= 0.01 else 3
    return rf"$\langle K\rangle$ = {value:.{digits}f} ± {error:.{digits}f}"


def replicas_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw systems under their own names, those of the ensembles or models."""
    return rsb_figure(_by_system(results))


def replicas_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the width of P(q) and the ultrametricity of each system."""
    numbers = "; ".join(
        f"{name}: σ(q) = {float(system['std']):.3g}, K = {float(system['ultrametricity']):.2f} ± "
        f"{float(system['ultrametricity_stderr']):.2f}"
        for name, system in _by_system(results).items()
    )
    attributes = [result.attrs for result in results.values()]
    orders = {str(attrs["alignment"]) for attrs in attributes if "alignment" in attrs}
    caption = (
        f"Overlaps q of replicas; of solutions, the cosine of their weights{order_of(*orders)}. "
        "(a) Distribution P(q); (b) matrix of overlaps, in the order of average linkage; "
        "(c) distribution of K = (second − smallest overlap)/σ(q) over triples of replicas, which "
        "is 0 where all triangles are isosceles with a short base, that is, ultrametric. The "
        "Sherrington–Kirkpatrick (SK) model is in its glass phase at temperatures T below 1, and "
        f"paramagnetic above. {numbers}. Lines without filling: the same of independent weights "
        "with the same marginals (dashed), and of shuffled weights (solid)."
    )
    return caption, "P(q), overlap matrices and ultrametricity."


def _by_system(results: Mapping[str, xarray.Dataset]) -> dict[str, xarray.Dataset]:
    names = [str(result.attrs.get("system", name)) for name, result in results.items()]
    unique = len(set(names)) == len(names)
    return dict(zip(names if unique else results, results.values(), strict=True))
