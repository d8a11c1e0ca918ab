"""The loss landscape of real-valued networks: walks, paths, barriers, curvature, surfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lsg_ray.report.style import (
    ACCENT,
    CONTRAST,
    DASHED,
    GREY,
    accuracy_colours,
    label_panel,
    new_figure,
    styled,
    verbatim,
)
from lsg_ray.typing import Array

#: Colours of several curves, in the order of what they are curves of.
SERIES = (ACCENT, CONTRAST, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Single curves that are drawn behind their mean.
THIN = 12


def _band(axes: Axes, x: Array, rows: Array, colour: str, label: str, style: str = "-") -> None:
    """Draw the mean of curves (n, x) and a band of one standard deviation."""
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    axes.plot(x, mean, color=colour, ls=style, label=label)
    axes.fill_between(x, mean - std, mean + std, color=colour, alpha=0.15, lw=0)


@styled
def walk_figure(walk: xarray.Dataset) -> Figure:
    """Draw loss and accuracy along random walks, for each σ; from `lsg_ray.random_walk`.

    The third panel shows the loss against the distance from the start or, of constrained and
    Metropolis walks, the share of moves that were allowed or made.
    """
    figure = new_figure(3.1)
    loss, accuracy, third = figure.subplots(1, 3)
    free = walk.attrs["kind"] == "free"
    step = walk["step"].values
    for n, sigma in enumerate(walk["sigma"].values):
        colour, one = SERIES[n % len(SERIES)], walk.isel(sigma=n)

        def rows(name: str, one: xarray.Dataset = one) -> Array:
            return one[name].values.reshape(-1, one[name].shape[-1])

        label = f"$\\sigma$ = {sigma:g}"
        _band(loss, step, rows("train_loss"), colour, label)
        _band(loss, step, rows("test_loss"), colour, "", DASHED)  # type: ignore[arg-type]
        _band(accuracy, step, rows("train_accuracy"), colour, label)
        _band(accuracy, step, rows("test_accuracy"), colour, "", DASHED)  # type: ignore[arg-type]
        if free:
            third.plot(rows("distance").mean(axis=0), rows("train_loss").mean(axis=0), color=colour)
        else:
            _band(third, step[1:], rows("share"), colour, label)
    loss.set_yscale("log")
    loss.set_xlabel("step $t$")
    loss.set_ylabel("loss (nat)")
    label_panel(loss, "a", "loss")
    accuracy.set_xlabel("step $t$")
    accuracy.set_ylabel("accuracy")
    handles, labels = loss.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=6, title="solid: training, dashed: test"
    )
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    label_panel(accuracy, "b", "accuracy")
    if free:
        third.set_xlabel(r"distance $\Vert w_t - w_0\Vert$")
        third.set_ylabel("training loss (nat)")
        third.set_yscale("log")
        third.axhline(
            walk["train_loss"].isel(step=0).mean() + walk.attrs["rise"], color=GREY, lw=0.8
        )
        label_panel(third, "c", "loss against distance")
    else:
        third.set_xlabel("step $t$")
        third.set_ylim(-0.02, 1.02)
        third.set_ylabel("share of moves")
        label_panel(third, "c", "allowed" if walk.attrs["kind"] == "constrained" else "made")
    return figure


@styled
def paths_figure(paths: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw loss and accuracy on straight paths between solutions, by name of what is drawn.

    Parameters
    ----------
    paths
        From `lsg_ray.interpolate`.
    """
    figure = new_figure(2.8)
    loss, accuracy = figure.subplots(1, 2)
    for n, (name, path) in enumerate(paths.items()):
        colour, alpha = SERIES[n % len(SERIES)], path["alpha"].values
        for axes, measure in ((loss, "loss"), (accuracy, "accuracy")):
            _band(axes, alpha, path[f"train_{measure}"].values, colour, name)
            axes.plot(
                alpha, path[f"test_{measure}"].values.mean(axis=0), color=colour, ls=DASHED
            )  # fmt: skip
    for axes, letter, title in ((loss, "a", "loss"), (accuracy, "b", "accuracy")):
        for end in (0, 1):
            axes.axvline(end, color=GREY, lw=0.6)
        axes.set_xlabel(r"place $\alpha$ between the solutions")
        label_panel(axes, letter, title)
    loss.set_ylabel("loss (nat)")
    accuracy.set_ylabel("accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    accuracy.legend(title="solid: training", loc="best", frameon=True, edgecolor="none")
    return figure


def interpolation_figure(found: xarray.Dataset) -> Figure:
    """Draw paths of one alignment of the hidden units, or of each."""
    if "alignment" not in found.dims:
        return paths_figure({str(found.attrs["alignment"]): found})
    return paths_figure({str(n): found.sel(alignment=n) for n in found["alignment"].values})


@styled
def swaps_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the loss between permuted copies, and the barrier against the number of swaps.

    Parameters
    ----------
    results
        From `lsg_ray.swap_barriers`, by name; paths are those of the first.
    """
    results = {"–".join(map(str, one.attrs["widths"])): one for one in results.values()}
    figure = new_figure(2.8 if len(results) == 1 else 3.2)
    left, middle, right = figure.subplots(1, 3)
    first = next(iter(results.values()))
    alpha, shades = first["alpha"].values, accuracy_colours()
    for n, k in enumerate(first["swaps"].values):
        rows = first["test_loss"].sel(swaps=k).values.reshape(-1, len(alpha))
        shade = shades(n / max(1, first.sizes["swaps"] - 1))
        left.plot(alpha, rows.mean(axis=0), color=shade, lw=1.0, label=f"{k}")
    left.set_xlabel(r"place $\alpha$ between the copies")
    left.set_ylabel("test loss (nat)")
    left.legend(title="swaps $k$", fontsize=7, title_fontsize=8, handlelength=1.0, loc="upper left")
    label_panel(left, "a", next(iter(results)))
    for n, (name, result) in enumerate(results.items()):
        colour = SERIES[n % len(SERIES)]
        values = result["test_barrier"].transpose("swaps", ...).values
        values = values.reshape(result.sizes["swaps"], -1)
        mean, error = values.mean(axis=1), values.std(axis=1) / np.sqrt(values.shape[1])
        hidden = sum(result.attrs["widths"][1:-1])
        k = result["swaps"].values
        middle.errorbar(
            k, mean, error, color=colour, marker="o", ms=3, lw=1.0, label=verbatim(name)
        )
        right.errorbar(2 * k / hidden, mean, error, color=colour, marker="o", ms=3, lw=1.0)
    for axes in (middle, right):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
    middle.set_xlabel("swaps $k$")
    middle.set_ylabel("test barrier (nat)")
    if len(results) > 1:
        handles, labels = middle.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(results), 4))
    label_panel(middle, "b", "barrier")
    right.set_xlabel("share of nodes moved")
    label_panel(right, "c", "at equal shares")
    return figure


@styled
def minima_figure(found: xarray.Dataset) -> Figure:
    """Draw paths through two kinds of minima, and the rise of the loss around each.

    Parameters
    ----------
    found
        From `lsg_ray.compare_minima`.
    """
    figure = new_figure(2.8)
    loss, accuracy, rise = figure.subplots(1, 3)
    names, alpha = (found.attrs["first"], found.attrs["second"]), found["alpha"].values
    for axes, measure in ((loss, "loss"), (accuracy, "accuracy")):
        for kind, colour, style in (("train", ACCENT, "-"), ("test", CONTRAST, DASHED)):
            _band(axes, alpha, found[f"{kind}_{measure}"].values, colour, kind, style)  # type: ignore[arg-type]
        for end in (0, 1):
            axes.axvline(end, color=GREY, lw=0.6)
        axes.set_xlabel(rf"$\alpha$ (0: {names[0]}, 1: {names[1]})")
    loss.set_yscale("log")
    loss.set_ylabel("loss (nat)")
    loss.legend()
    label_panel(loss, "a", "loss")
    accuracy.set_ylabel("accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    label_panel(accuracy, "b", "accuracy")
    for side, (name, colour) in enumerate(zip(names, (ACCENT, CONTRAST), strict=True)):
        rows = found["rise"].isel(side=side).values
        rise.errorbar(
            found["radius"].values, rows.mean(axis=0), rows.std(axis=0), color=colour, marker="o",
            ms=3, capsize=2, label=verbatim(name),
        )  # fmt: skip
    rise.set_xlabel("filter-normalised radius")
    rise.set_ylabel("rise of the loss (nat)")
    rise.legend()
    label_panel(rise, "c", "around the minima")
    return figure


@styled
def flatness_figure(found: xarray.Dataset) -> Figure:
    """Draw the largest eigenvalues of the Hessian, its trace, and the rise of the loss."""
    figure = new_figure(2.6)
    left, middle, right = figure.subplots(1, 3)
    values = found["eigenvalue"].values
    for row in values[:THIN]:
        left.plot(np.arange(1, values.shape[1] + 1), row, "o-", color=ACCENT, ms=3, lw=0.6)
    left.set_xlabel("rank")
    left.set_xticks(np.arange(1, values.shape[1] + 1))
    left.set_ylabel(r"eigenvalue $\lambda$ of $H$")
    left.set_ylim(bottom=min(0, values.min()))
    label_panel(left, "a", "largest eigenvalues")
    middle.errorbar(
        values[:, 0], found["trace"].values, found["trace_stderr"].values, fmt="o", ms=3,
        color=ACCENT, elinewidth=0.7,
    )  # fmt: skip
    middle.set_xlabel("largest eigenvalue")
    middle.set_ylabel(r"trace of $H$")
    label_panel(middle, "b", "trace")
    rows = found["rise"].values
    for row in rows[:THIN]:
        right.plot(found["radius"].values, row, color=ACCENT, lw=0.5, alpha=0.5)
    right.plot(found["radius"].values, rows.mean(axis=0), "o-", color=ACCENT, ms=3)
    right.set_xlabel("filter-normalised radius")
    right.set_ylabel("rise of the loss (nat)")
    label_panel(right, "c", "around the minima")
    return figure


@styled
def surface_figure(surface: xarray.Dataset) -> Figure:
    """Draw contours of training loss and test accuracy on a plane through a solution."""
    figure = new_figure(3.0)
    panels = figure.subplots(1, 2)
    a, b = surface["a"].values, surface["b"].values
    loss = np.log10(np.maximum(surface["train_loss"].values, 1e-12))
    accuracy = surface["test_accuracy"].values
    chosen = (
        ("a", r"$\log_{10}$ training loss", loss, "viridis"),
        ("b", "test accuracy", accuracy, accuracy_colours()),
    )
    for axes, (letter, title, values, colours) in zip(panels, chosen, strict=True):
        filled = axes.contourf(a, b, values.T, 24, cmap=colours)
        axes.contour(a, b, values.T, 12, colors="white", linewidths=0.3, linestyles="solid")
        axes.plot(0, 0, "+", color="white", ms=7)
        figure.colorbar(filled, ax=axes, shrink=0.9)
        axes.set_aspect("equal")
        axes.set_xlabel("along $d_1$")
        axes.set_ylabel("along $d_2$")
        label_panel(axes, letter, title)
    return figure


def _carried(rows: Array) -> Array:
    """Fill what is NaN with the last value before it."""
    last = np.maximum.accumulate(np.where(np.isnan(rows), 0, np.arange(rows.shape[1])), axis=1)
    return np.take_along_axis(rows, last, axis=1)


@styled
def curves_figure(epochs: Array, curves: Mapping[str, Array], names: Sequence[str]) -> Figure:
    """Draw curves of training: ``curves`` hold (networks, epochs), by array name of the store.

    Networks that have stopped keep their last value in the mean, which is of all of them.
    """
    figure = new_figure(2.6)
    loss, accuracy = figure.subplots(1, 2)
    for axes, measure in ((loss, "loss"), (accuracy, "accuracy")):
        for kind, colour in zip(names, (ACCENT, CONTRAST), strict=False):
            rows = curves[f"curve_{kind}_{measure}"]
            for row in rows[:THIN]:
                axes.plot(epochs, row, color=colour, lw=0.4, alpha=0.4)
            axes.plot(epochs, np.nanmean(_carried(rows), axis=0), color=colour, label=kind)
        axes.set_xlabel("epoch")
    loss.set_yscale("log")
    loss.set_ylabel("loss (nat)")
    loss.legend()
    label_panel(loss, "a", "loss")
    accuracy.set_ylabel("accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    label_panel(accuracy, "b", "accuracy")
    return figure
