"""The loss landscape of real-valued networks: walks, paths, barriers, curvature, surfaces."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.loss_landscape.censored import survival_of, told
from lsg_ray.report import style
from lsg_ray.report.figures.training import loss_and_accuracy
from lsg_ray.typing import Array

#: Colours of several curves, in the order of what they are curves of.
SERIES = (style.ACCENT, style.CONTRAST, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Title and axes of how the loss rises.
AROUND = ("around the minima", "filter-normalised radius", "rise of the loss (nat)")
#: Single curves that are drawn behind their mean.
THIN = 12


def _ends(axes: Axes) -> None:
    """Mark where the solutions are on a path."""
    for end in (0, 1):
        axes.axvline(end, color=style.GREY, lw=0.6)


@style.styled
def walk_figure(walk: xarray.Dataset) -> Figure:
    """Draw loss and accuracy along random walks, for each σ; from `lsg_ray.random_walk`.

    The third panel shows the loss against the distance from the start or, of constrained and
    Metropolis walks, the share of moves that were allowed or made.
    """
    figure = style.new_figure(3.1)
    loss, accuracy, third = figure.subplots(1, 3)
    free = walk.attrs["kind"] == "free"
    step = walk["step"].values
    for n, sigma in enumerate(walk["sigma"].values):
        colour, one = SERIES[n % len(SERIES)], walk.isel(sigma=n)

        def rows(name: str, one: xarray.Dataset = one) -> Array:
            return one[name].values.reshape(-1, one[name].shape[-1])

        label = f"$\\sigma$ = {sigma:g}"
        for axes, measure in ((loss, "loss"), (accuracy, "accuracy")):
            style.band(axes, step, rows(f"train_{measure}"), colour, label)
            style.band(axes, step, rows(f"test_{measure}"), colour, "", style.DASHED)
        if free:
            third.plot(rows("distance").mean(axis=0), rows("train_loss").mean(axis=0), color=colour)
        else:
            style.band(third, step[1:], rows("share"), colour, label)
    loss.set_yscale("log")
    solid = "solid: training, dashed: test"
    handles = loss.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=6, title=solid)
    loss_and_accuracy(loss, accuracy, "step $t$")
    if free:
        third.set_yscale("log")
        left_at = walk["train_loss"].isel(step=0).mean() + walk.attrs["rise"]
        third.axhline(left_at, color=style.GREY, lw=0.8)
        distance = r"distance $\Vert w_t - w_0\Vert$"
        style.panel(third, "c", "loss against distance", distance, "training loss (nat)")
    else:
        third.set_ylim(-0.02, 1.02)
        made = "allowed" if walk.attrs["kind"] == "constrained" else "made"
        style.panel(third, "c", made, "step $t$", "share of moves")
    return figure


def walk_caption(walk: xarray.Dataset) -> tuple[str, str]:
    """Tell of free walks how wide the flat region is, of others how many moves were made."""
    about, over = walk.attrs, ("solution", "walker", "move")
    share = walk["share"]
    first, last = (
        share.isel(move=some).mean(over).values for some in (slice(0, 5), slice(-5, None))
    )
    moved = ", ".join(f"{a:.2f} → {b:.2f}" for a, b in zip(first, last, strict=True))
    if about["kind"] == "constrained":
        caption = (
            f"Walks that may only move where the training loss, on {about['examples']:,} examples, "
            f"is below that of the solution: of {about['trials']} moves drawn at each step, one of "
            f"those is made. Share of allowed moves, first five against last five steps: {moved}."
        )
        return caption, "Loss, accuracy and share of allowed moves along constrained walks."
    widths = ", ".join(
        f"{told(one)} for σ = {sigma}" for sigma, one in survival_of(walk, "flat_width").items()
    )
    settled = walk["settled"].mean(("solution", "walker")).values
    caption = (
        f"{'Free Gaussian' if about['kind'] == 'free' else about['kind'].capitalize()} walks from "
        f"{walk.sizes['solution']} solutions, mean and standard deviation over walks; dashed, test "
        f"set. The training loss, on {about['examples']:,} examples, has risen by "
        f"{about['rise']:g} nat (grey) at a distance of {widths}: the mean width of the flat "
        "region with its standard error, or at least so much where some walks, or all, end before "
        "they leave it. Walks that have come to a plateau: "
        f"{', '.join(f'{100 * part:.0f} %' for part in settled)}."
    )
    return caption, "Loss and accuracy along random walks, by step size."


@style.styled
def paths_figure(paths: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw loss and accuracy on straight paths between solutions, by name of what is drawn.

    Parameters
    ----------
    paths
        From `lsg_ray.interpolate`.
    """
    figure = style.new_figure(2.8)
    loss, accuracy = figure.subplots(1, 2)
    for n, (name, path) in enumerate(paths.items()):
        colour, alpha = SERIES[n % len(SERIES)], path["alpha"].values
        for axes, measure in ((loss, "loss"), (accuracy, "accuracy")):
            style.band(axes, alpha, path[f"train_{measure}"].values, colour, name)
            test = path[f"test_{measure}"].values.mean(axis=0)
            axes.plot(alpha, test, color=colour, ls=style.DASHED)
    _ends(loss)
    _ends(accuracy)
    loss_and_accuracy(loss, accuracy, r"place $\alpha$ between the solutions")
    accuracy.legend(title="solid: training", loc="best", frameon=True, edgecolor="none")
    return figure


def _by_alignment(results: Mapping[str, xarray.Dataset]) -> dict[str, xarray.Dataset]:
    """Return paths of one alignment of the hidden units each, by its name where that is one."""
    found: dict[str, xarray.Dataset] = {}
    for name, result in results.items():
        if "alignment" in result.dims:
            found |= {str(how): result.sel(alignment=how) for how in result["alignment"].values}
        else:
            how = str(result.attrs["alignment"])
            found[name if how in found else how] = result
    return found


def interpolation_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw paths of each alignment of the hidden units; results of `lsg_ray.interpolate`."""
    return paths_figure(_by_alignment(results))


def interpolation_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Tell the barriers by alignment."""
    paths = _by_alignment(results)
    barriers = "; ".join(
        f"{name} {path['train_barrier'].values.mean():.3g} ± "
        f"{path['train_barrier'].values.std():.2g} (distance {path['distance'].values.mean():.3g})"
        for name, path in paths.items()
    )
    caption = (
        f"Straight paths between {next(iter(paths.values())).sizes['pair']} pairs of solutions, "
        "with hidden units as they are (none), in the order of their clustering, or matched to "
        "each other; mean and standard deviation, dashed the test set. Barrier of the training "
        f"loss in nat: {barriers}."
    )
    return caption, "Loss and accuracy on straight paths between solutions, by alignment."


@style.styled
def swaps_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the loss between permuted copies, and the barrier against the number of swaps.

    Parameters
    ----------
    results
        From `lsg_ray.swap_barriers`, by name; paths are those of the first.
    """
    results = {"–".join(map(str, one.attrs["widths"])): one for one in results.values()}
    figure = style.new_figure(2.8 if len(results) == 1 else 3.2)
    left, middle, right = figure.subplots(1, 3)
    first = next(iter(results.values()))
    alpha, shades = first["alpha"].values, style.accuracy_colours()
    for n, k in enumerate(first["swaps"].values):
        rows = first["test_loss"].sel(swaps=k).values.reshape(-1, len(alpha))
        colour = shades(n / max(1, first.sizes["swaps"] - 1))
        left.plot(alpha, rows.mean(axis=0), color=colour, lw=1.0, label=f"{k}")
    left.legend(title="swaps $k$", fontsize=7, title_fontsize=8, handlelength=1.0, loc="upper left")
    style.panel(
        left, "a", next(iter(results)), r"place $\alpha$ between the copies", "test loss (nat)"
    )
    for n, (name, result) in enumerate(results.items()):
        bars = {"color": SERIES[n % len(SERIES)], "marker": "o", "ms": 3, "lw": 1.0}
        values = result["test_barrier"].transpose("swaps", ...).values
        values = values.reshape(result.sizes["swaps"], -1)
        mean, error = values.mean(axis=1), values.std(axis=1) / np.sqrt(values.shape[1])
        hidden = sum(result.attrs["widths"][1:-1])
        k = result["swaps"].values
        middle.errorbar(k, mean, error, label=style.verbatim(name), **bars)
        right.errorbar(2 * k / hidden, mean, error, **bars)
    for axes in (middle, right):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
    if len(results) > 1:
        handles = middle.get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=min(len(results), 4))
    style.panel(middle, "b", "barrier", "swaps $k$", "test barrier (nat)")
    style.panel(right, "c", "at equal shares", "share of nodes moved")
    return figure


def swaps_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Tell the barriers by the number of swaps."""
    first = next(iter(results.values()))
    barriers = "; ".join(
        ", ".join(
            f"{float(value):.3g} at k = {int(value['swaps'])}"
            for value in one["test_barrier"].mean(("solution", "repeat"))
        )
        for one in results.values()
    )
    caption = (
        "A solution and a copy of it with k disjoint pairs of hidden nodes swapped, which computes "
        "the same (checked on real inputs); the path between them, and the barrier of the test "
        f"loss in nat: {barriers}. There are at least "
        f"Π n! = e^{first.attrs['log_group_order']:.0f} such copies of each solution."
    )
    return caption, "Loss between permuted copies, and barriers against the number of swaps."


@style.styled
def minima_figure(found: xarray.Dataset) -> Figure:
    """Draw paths through two kinds of minima, and the rise of the loss around each.

    Parameters
    ----------
    found
        From `lsg_ray.compare_minima`.
    """
    figure = style.new_figure(2.8)
    loss, accuracy, rise = figure.subplots(1, 3)
    names, alpha = (found.attrs["first"], found.attrs["second"]), found["alpha"].values
    for axes, measure in ((loss, "loss"), (accuracy, "accuracy")):
        train, test = (found[f"{kind}_{measure}"].values for kind in ("train", "test"))
        style.band(axes, alpha, train, style.ACCENT, "train")
        style.band(axes, alpha, test, style.CONTRAST, "test", style.DASHED)
        _ends(axes)
    loss.set_yscale("log")
    loss.legend()
    loss_and_accuracy(loss, accuracy, rf"$\alpha$ (0: {names[0]}, 1: {names[1]})")
    for side, (name, colour) in enumerate(zip(names, (style.ACCENT, style.CONTRAST), strict=True)):
        rows = found["rise"].isel(side=side).values
        rise.errorbar(
            found["radius"].values, rows.mean(axis=0), rows.std(axis=0), color=colour, marker="o",
            ms=3, capsize=2, label=style.verbatim(name),
        )  # fmt: skip
    rise.legend()
    style.panel(rise, "c", *AROUND)
    return figure


@style.styled
def flatness_figure(found: xarray.Dataset) -> Figure:
    """Draw the largest eigenvalues of the Hessian, its trace, and the rise of the loss."""
    figure = style.new_figure(2.6)
    left, middle, right = figure.subplots(1, 3)
    values = found["eigenvalue"].values
    for row in values[:THIN]:
        left.plot(np.arange(1, values.shape[1] + 1), row, "o-", color=style.ACCENT, ms=3, lw=0.6)
    left.set_xticks(np.arange(1, values.shape[1] + 1))
    left.set_ylim(bottom=min(0, values.min()))
    style.panel(left, "a", "largest eigenvalues", "rank", r"eigenvalue $\lambda$ of $H$")
    middle.errorbar(
        values[:, 0], found["trace"].values, found["trace_stderr"].values, fmt="o", ms=3,
        color=style.ACCENT, elinewidth=0.7,
    )  # fmt: skip
    style.panel(middle, "b", "trace", "largest eigenvalue", r"trace of $H$")
    rows = found["rise"].values
    for row in rows[:THIN]:
        right.plot(found["radius"].values, row, color=style.ACCENT, lw=0.5, alpha=0.5)
    right.plot(found["radius"].values, rows.mean(axis=0), "o-", color=style.ACCENT, ms=3)
    style.panel(right, "c", *AROUND)
    return figure


def flatness_caption(found: xarray.Dataset) -> tuple[str, str]:
    """Tell the largest eigenvalue, the trace, and the rise of the loss."""
    about = found.attrs
    rise = ", ".join(
        f"{float(value):.3g} at {float(value['radius']):g}"
        for value in found["rise"].mean("solution")
    )
    caption = (
        f"Hessian of the training loss, on {about['examples']:,} examples, at "
        f"{found.sizes['solution']} solutions: largest eigenvalue "
        f"{about['top_eigenvalue_mean']:.3g} ± {about['top_eigenvalue_std']:.2g} (Lanczos), trace "
        f"{about['trace_mean']:.3g} ± {about['trace_std']:.2g} (random signs, bars are standard "
        f"errors). Rise of the loss in filter-normalised random directions, in nat: {rise}."
    )
    if not about["converged"]:
        caption += " Not all eigenvalues have converged."
    return caption, "Eigenvalues of the Hessian, its trace, and the rise of the loss with distance."


@style.styled
def surface_figure(surface: xarray.Dataset) -> Figure:
    """Draw contours of training loss and test accuracy on a plane through a solution."""
    figure = style.new_figure(3.0)
    panels = figure.subplots(1, 2)
    a, b = surface["a"].values, surface["b"].values
    loss = np.log10(np.maximum(surface["train_loss"].values, 1e-12))
    accuracy = surface["test_accuracy"].values
    chosen = (
        ("a", r"$\log_{10}$ training loss", loss, "viridis"),
        ("b", "test accuracy", accuracy, style.accuracy_colours()),
    )
    for axes, (letter, title, values, colours) in zip(panels, chosen, strict=True):
        filled = axes.contourf(a, b, values.T, 24, cmap=colours)
        axes.contour(a, b, values.T, 12, colors="white", linewidths=0.3, linestyles="solid")
        axes.plot(0, 0, "+", color="white", ms=7)
        figure.colorbar(filled, ax=axes, shrink=0.9)
        axes.set_aspect("equal")
        style.panel(axes, letter, title, "along $d_1$", "along $d_2$")
    return figure


def surface_caption(surface: xarray.Dataset) -> tuple[str, str]:
    """Tell what the plane is."""
    about = surface.attrs
    caption = (
        f"Plane through solution {about['configuration']} in two filter-normalised random "
        f"directions (their cosine: {about['cosine']:.3f}): training loss on "
        f"{about['examples']:,} examples, and accuracy on the test set."
    )
    return caption, "Contours of training loss and test accuracy on a plane through a solution."
