"""The loss landscape of real-valued networks: walks, paths, barriers, curvature, surfaces."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.loss_landscape.censored import describe, survival_of
from lsg_ray.report import style
from lsg_ray.report.figures.training import loss_and_accuracy
from lsg_ray.typing import Array

#: Title and labels of the panel of the rise of the loss.
RISE_PANEL = ("around the minima", "filter-normalised radius", "rise of the loss (nat)")


def _mark_ends(axes: Axes) -> None:
    """Mark the solutions on a path."""
    for end in (0, 1):
        axes.axvline(end, color=style.GREY, lw=0.6)


@style.styled
def walk_figure(walk: xarray.Dataset) -> Figure:
    """Draw loss and accuracy along random walks, for each σ; from `lsg_ray.random_walk`.

    The third panel shows the loss against the distance from the start or, of constrained and
    Metropolis walks, the share of moves that were allowed or made.
    """
    figure, (loss, accuracy, third) = style.panels(3.1, 3)
    free = walk.attrs["kind"] == "free"
    step = walk["step"].values
    for n, sigma in enumerate(walk["sigma"].values):
        colour, walks = style.curve_colour(n), walk.isel(sigma=n)

        def rows(name: str, walks: xarray.Dataset = walks) -> Array:
            return walks[name].values.reshape(-1, walks[name].shape[-1])

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
    """Describe the width of the flat region, or the share of allowed moves of constrained walks."""
    about, over = walk.attrs, ("solution", "walker", "move")
    share = walk["share"]
    first, last = (
        share.isel(move=part).mean(over).values for part in (slice(0, 5), slice(-5, None))
    )
    moved = ", ".join(
        f"{a:.2f} → {b:.2f} for σ = {sigma:g}"
        for a, b, sigma in zip(first, last, walk["sigma"].values, strict=True)
    )
    if about["kind"] == "constrained":
        caption = (
            f"Random walks from {walk.sizes['solution']} solutions that may only move where the "
            f"training loss, on {about['examples']:,} examples, is below that of the solution: of "
            f"{about['trials']} moves drawn at each step, one of the allowed moves is made. Share "
            f"of allowed moves, mean of the first → last five steps: {moved}."
        )
        return caption, "Loss, accuracy and share of allowed moves along constrained walks."
    widths = ", ".join(
        f"{describe(width)} for σ = {sigma}"
        for sigma, width in survival_of(walk, "flat_width").items()
    )
    settled_share = walk["settled"].mean(("solution", "walker")).values
    caption = (
        f"{'Free Gaussian' if about['kind'] == 'free' else about['kind'].capitalize()} walks from "
        f"{walk.sizes['solution']} solutions with step size σ: mean and standard deviation over "
        f"walks; dashed, test set. The flat region around a solution ends where the training loss, "
        f"on {about['examples']:,} examples, has risen by {about['rise']:g} nat (grey line). Its "
        f"mean width, with the standard error, is {widths}; it is a lower bound where some walks "
        "end before they leave the region. Share of walks that have reached a plateau of the loss: "
        f"{', '.join(f'{100 * part:.0f} %' for part in settled_share)}."
    )
    return caption, "Loss and accuracy along random walks, by step size."


@style.styled
def paths_figure(paths: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw loss and accuracy on straight paths between solutions, by name of what is drawn.

    Parameters
    ----------
    paths
        Results of `lsg_ray.interpolate`.
    """
    figure, (loss, accuracy) = style.panels(2.8, 2)
    for n, (name, path) in enumerate(paths.items()):
        colour, alpha = style.curve_colour(n), path["alpha"].values
        for axes, measure in ((loss, "loss"), (accuracy, "accuracy")):
            label = style.verbatim(name)
            style.band(axes, alpha, path[f"train_{measure}"].values, colour, label)
            test = path[f"test_{measure}"].values.mean(axis=0)
            axes.plot(alpha, test, color=colour, ls=style.DASHED)
    _mark_ends(loss)
    _mark_ends(accuracy)
    loss_and_accuracy(loss, accuracy, r"position $\alpha$ on the path")
    accuracy.legend(title="solid: training", loc="best", frameon=True, edgecolor="none")
    return figure


def _by_alignment(results: Mapping[str, xarray.Dataset]) -> dict[str, xarray.Dataset]:
    """Return paths by alignment of the hidden units, or by name where an alignment is repeated."""
    paths: list[tuple[str, str, xarray.Dataset]] = []
    for name, result in results.items():
        if "alignment" in result.dims:
            for kind in map(str, result["alignment"].values):
                paths.append((f"{name}, {kind}", kind, result.sel(alignment=kind)))
        else:
            paths.append((name, str(result.attrs["alignment"]), result))
    repeated = len({kind for _, kind, _ in paths}) < len(paths)
    return {name if repeated else kind: path for name, kind, path in paths}


def interpolation_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw paths of each alignment of the hidden units; results of `lsg_ray.interpolate`."""
    return paths_figure(_by_alignment(results))


def interpolation_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the barriers by alignment."""
    paths = _by_alignment(results)
    barriers = "; ".join(
        f"{name} {path['train_barrier'].values.mean():.3g} ± "
        f"{path['train_barrier'].values.std():.2g} (distance {path['distance'].values.mean():.3g})"
        for name, path in paths.items()
    )
    caption = (
        "Loss and accuracy on straight paths in weight space between "
        f"{next(iter(paths.values())).sizes['pair']} pairs of solutions, with the hidden units as "
        "they are (none), in the order of a hierarchical clustering (clustering), or those of one "
        "solution matched to those of the other (matching): mean and standard deviation over "
        "pairs; dashed, test set. Barrier of the training loss in nat, and distance between the "
        f"ends: {barriers}."
    )
    return caption, "Loss and accuracy on straight paths between solutions, by alignment."


@style.styled
def swaps_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the loss between permuted copies, and the barrier against the number of swaps.

    Parameters
    ----------
    results
        Results of `lsg_ray.swap_barriers`, by name; paths are drawn of the first.
    """
    results = {"–".join(map(str, r.attrs["widths"])): r for r in results.values()}
    figure, (left, middle, right) = style.panels(2.8 if len(results) == 1 else 3.2, 3)
    first = next(iter(results.values()))
    alpha, shades = first["alpha"].values, style.accuracy_colours()
    for n, k in enumerate(first["swaps"].values):
        rows = first["test_loss"].sel(swaps=k).values.reshape(-1, len(alpha))
        colour = shades(n / max(1, first.sizes["swaps"] - 1))
        left.plot(alpha, rows.mean(axis=0), color=colour, lw=1.0, label=f"{k}")
    left.legend(title="swaps $k$", fontsize=7, title_fontsize=8, handlelength=1.0, loc="upper left")
    style.panel(left, "a", next(iter(results)), r"position $\alpha$ on the path", "test loss (nat)")
    for n, (name, result) in enumerate(results.items()):
        bars = {"color": style.curve_colour(n), "marker": "o", "ms": 3, "lw": 1.0}
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
    """Describe the barriers by the number of swaps."""
    first = next(iter(results.values()))
    barriers = "; ".join(
        ", ".join(
            f"{float(value):.3g} at k = {int(value['swaps'])}"
            for value in result["test_barrier"].mean(("solution", "repeat"))
        )
        for result in results.values()
    )
    caption = (
        "Straight paths between a solution and a copy of it in which k disjoint pairs of hidden "
        "nodes are swapped; the copy computes the same function (checked on real inputs). (a) Test "
        "loss along the paths, (b) its barrier against k and (c) against the share of hidden nodes "
        f"that are swapped. Barrier in nat: {barriers}. Permutations of the hidden nodes make "
        f"Π n! = e^{first.attrs['log_group_order']:.0f} copies of each solution."
    )
    return caption, "Loss between permuted copies, and barriers against the number of swaps."


@style.styled
def minima_figure(comparison: xarray.Dataset) -> Figure:
    """Draw paths through two kinds of minima, and the rise of the loss around each.

    Parameters
    ----------
    comparison
        Result of `lsg_ray.compare_minima`.
    """
    figure, (loss, accuracy, rise) = style.panels(2.8, 3)
    names = _unlike([comparison.attrs[kind] for kind in ("first", "second")])
    alpha = comparison["alpha"].values
    for axes, measure in ((loss, "loss"), (accuracy, "accuracy")):
        train, test = (comparison[f"{kind}_{measure}"].values for kind in ("train", "test"))
        style.band(axes, alpha, train, style.ACCENT, "train")
        style.band(axes, alpha, test, style.CONTRAST, "test", style.DASHED)
        _mark_ends(axes)
    loss.set_yscale("log")
    loss.legend()
    loss_and_accuracy(loss, accuracy, r"position $\alpha$ on the path")
    for side, (name, colour) in enumerate(zip(names, (style.ACCENT, style.CONTRAST), strict=True)):
        rows = comparison["rise"].isel(side=side).values
        rise.errorbar(
            comparison["radius"].values,
            rows.mean(axis=0),
            rows.std(axis=0),
            color=colour,
            marker="o",
            ms=3,
            capsize=2,
            label=rf"$\alpha = {side}$: {style.verbatim(name)}",
        )
    # Below the panel: names may be longer than it is wide.
    figure.legend(*rise.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    style.panel(rise, "c", *RISE_PANEL)
    return figure


def _unlike(names: list[str]) -> list[str]:
    """Return names without the words that all begin with.

    >>> _unlike(["batches-small-512", "batches-large-512"]), _unlike(["a", "a-large"])
    (['small-512', 'large-512'], ['a', 'a-large'])
    """
    words = [name.split("-") for name in names]
    equal = (len(set(column)) == 1 for column in zip(*words, strict=False))
    shared = sum(1 for _ in itertools.takewhile(bool, equal))
    return names if shared in map(len, words) else ["-".join(one[shared:]) for one in words]


@style.styled
def flatness_figure(curvature: xarray.Dataset) -> Figure:
    """Draw the largest eigenvalues of the Hessian, its trace, and the rise of the loss."""
    figure, (left, middle, right) = style.panels(2.6, 3)
    values = curvature["eigenvalue"].values
    rank, few = np.arange(1, values.shape[1] + 1), slice(style.MAX_SINGLE_CURVES)
    left.plot(rank, values[few].T, "o-", color=style.ACCENT, ms=3, lw=0.6)
    left.set_xticks(rank)
    left.set_ylim(bottom=min(0, values.min()))
    style.panel(left, "a", "largest eigenvalues", "rank", r"eigenvalue $\lambda$ of $H$")
    middle.errorbar(
        values[:, 0],
        curvature["trace"].values,
        curvature["trace_stderr"].values,
        fmt="o",
        ms=3,
        color=style.ACCENT,
        elinewidth=0.7,
    )
    style.panel(middle, "b", "trace", "largest eigenvalue", r"trace of $H$")
    radius, rows = curvature["radius"].values, curvature["rise"].values
    right.plot(radius, rows[few].T, color=style.ACCENT, lw=0.5, alpha=0.5)
    right.plot(radius, rows.mean(axis=0), "o-", color=style.ACCENT, ms=3)
    style.panel(right, "c", *RISE_PANEL)
    return figure


def flatness_caption(curvature: xarray.Dataset) -> tuple[str, str]:
    """Describe the largest eigenvalue, the trace, and the rise of the loss."""
    about = curvature.attrs
    rise = ", ".join(
        f"{float(value):.3g} at {float(value['radius']):g}"
        for value in curvature["rise"].mean("solution")
    )
    caption = (
        f"Hessian of the training loss, on {about['examples']:,} examples, at "
        f"{curvature.sizes['solution']} solutions: largest eigenvalue "
        f"{about['top_eigenvalue_mean']:.3g} ± {about['top_eigenvalue_std']:.2g} (by Lanczos "
        f"iteration), trace {about['trace_mean']:.3g} ± {about['trace_std']:.2g} (Hutchinson's "
        "estimate, drawn with standard errors): mean ± standard deviation over solutions. Mean "
        "rise of the loss in "
        f"filter-normalised random directions, in nat, at radius r: {rise}."
    )
    if not about["converged"]:
        caption += " Not all eigenvalues have converged."
    return caption, "Eigenvalues of the Hessian, its trace, and the rise of the loss with distance."


@style.styled
def surface_figure(surface: xarray.Dataset) -> Figure:
    """Draw contours of training loss and test accuracy on a plane through a solution."""
    figure, panels = style.panels(3.0, 2)
    a, b = surface["a"].values, surface["b"].values
    loss = np.log10(np.maximum(surface["train_loss"].values, 1e-12))
    accuracy = surface["test_accuracy"].values
    contours = (
        ("a", r"$\log_{10}$ training loss", loss, "viridis"),
        ("b", "test accuracy", accuracy, style.accuracy_colours()),
    )
    for axes, (letter, title, values, colours) in zip(panels, contours, strict=True):
        filled = axes.contourf(a, b, values.T, 24, cmap=colours)
        axes.contour(a, b, values.T, 12, colors="white", linewidths=0.3, linestyles="solid")
        axes.plot(0, 0, "+", color="white", ms=7)
        figure.colorbar(filled, ax=axes, shrink=0.9)
        axes.set_aspect("equal")
        style.panel(axes, letter, title, "along $d_1$", "along $d_2$")
    return figure


def surface_caption(surface: xarray.Dataset) -> tuple[str, str]:
    """Describe the plane."""
    about = surface.attrs
    caption = (
        f"Plane through solution {about['configuration']} (cross) along two filter-normalised "
        f"random directions d₁ and d₂ with cosine {about['cosine']:.3f}: (a) training loss on "
        f"{about['examples']:,} examples, (b) accuracy on the test set."
    )
    return caption, "Contours of training loss and test accuracy on a plane through a solution."
