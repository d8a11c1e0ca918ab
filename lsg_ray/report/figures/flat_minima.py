"""Wide flat minima: local entropy, curvature, errors under noise, and how the measures agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.minima.rank_correlations import DEVIATION, correlation_words, is_determined
from lsg_ray.report import style

#: Largest number of curves of single solutions that are drawn.
_THIN = 40
#: Labels of the quantities of the table.
_NAMES = {
    "top_eigenvalue": r"$\lambda_{\max}$",
    "trace": r"$\mathrm{tr}\,H$",
    "local_energy": "weight noise",
    "input_noise": "input noise",
    "test_error": "test error",
    "errors": "training error",
}


def _named_results(results: Mapping[str, xarray.Dataset]) -> list[tuple[str, str, xarray.Dataset]]:
    """Return label, colour and result of each: labels are names, or of one its algorithm."""
    return [
        (
            style.verbatim(name if len(results) > 1 else str(result.attrs["algorithm"])),
            style.curve_colour(index),
            result,
        )
        for index, (name, result) in enumerate(results.items())
    ]


@style.styled
def local_entropy_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the normalised local entropy of solutions against distance, and the theory."""
    figure, (left, right) = style.panels(3.1, 2)
    for label, colour, result in _named_results(results):
        _draw_volumes(left, right, result, colour, f"{label} ({len(result['overlap'])})")
    theory = next((result for result in results.values() if "theory" in result), None)
    if theory is not None:
        q = theory["theory_overlap"].values
        line = {"color": style.INK, "ls": style.DASHED, "lw": 1, "label": r"theory, $y\to\infty$"}
        left.plot(q, theory["theory"].values, **line)
        right.plot(2 * (1 - q), theory["theory"].values, **line)
    means = np.concatenate([result["overlap_mean"].values for result in results.values()])
    low = np.nanmin(means) if np.isfinite(means).any() else 0.9
    left.set_xlim(1 - 1.1 * (1 - low), 1)
    right.set_xlim(0, 2.2 * (1 - low))
    lowest = min(float(result["local_entropy"].min()) for result in results.values())
    for axes in (left, right):
        axes.axhline(0, color=style.GREY, lw=0.7)
        style.ticks(axes, 5, 5)
        if np.isfinite(lowest) and lowest < 0:
            axes.set_ylim(1.1 * lowest, -0.06 * lowest)
    y = "normalised local entropy (nat)"
    style.panel(left, "a", "", "overlap with the solution $p$", y)
    style.panel(right, "b", "", "squared distance per weight $2(1-p)$", y)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _draw_volumes(left: Axes, right: Axes, result: xarray.Dataset, colour: str, label: str) -> None:
    p, value = result["overlap"].values, result["local_entropy"].values
    mean, error = result["local_entropy_mean"].values, result["local_entropy_stderr"].values
    at, spread = result["overlap_mean"].values, result["overlap_stderr"].values
    for axes, x, centre, scale in ((left, p, at, 1), (right, 2 * (1 - p), 2 * (1 - at), 2)):
        for row in range(min(len(value), _THIN)):
            axes.plot(x[row], value[row], color=colour, lw=0.4, alpha=0.35)
        # Of one solution there is no error.
        tall, wide = np.nan_to_num(error), np.nan_to_num(scale * spread)
        axes.errorbar(centre, mean, yerr=tall, xerr=wide, fmt="o", ms=3, color=colour, label=label)


def local_entropy_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the mean curves."""
    lines = []
    for name, result in results.items():
        points = ", ".join(
            f"{float(value):.4f} ± {float(error):.2g} at p = {float(p):.3f}"
            for value, error, p in zip(
                result["local_entropy_mean"],
                result["local_entropy_stderr"],
                result["overlap_mean"],
                strict=True,
            )
        )
        lost = result.attrs["converged"]
        lines.append(
            f"{_of(name, results)}{result.sizes['solution']} solutions of "
            f"{result.attrs['algorithm']}: {points}"
            + ("" if lost == 1 else f" (converged: {lost:.0%}; the others are left out)")
        )
    first = next(iter(results.values()))
    caption = (
        f"Normalised local entropy around solutions at α = {first.attrs['alpha']:.3g}, by belief "
        f"propagation. {'; '.join(lines)}. Points: means over solutions with standard errors; thin "
        "lines: single ones. Zero means that all weights at that distance are solutions."
    )
    if any("theory" in result for result in results.values()):
        caption += " Dashed: the densest regions of random patterns, by replica theory."
    return caption, "Curves of the local entropy of solutions against overlap and distance."


def _of(name: str, results: Mapping[str, xarray.Dataset]) -> str:
    return f"{name}: " if len(results) > 1 else ""


@style.styled
def hessian_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the density of eigenvalues, the largest of them, and the trace."""
    figure, (left, middle, right) = style.panels(2.9, 3)
    for label, colour, result in _named_results(results):
        edges = np.append(result["left"].values, result["right"].values[-1])
        density = result["density"].values.mean(axis=0)
        left.stairs(np.where(density > 0, density, np.nan), edges, color=colour, lw=0.9)
        values = result["eigenvalue"].values
        rank = np.arange(1, values.shape[1] + 1)
        for row in values[:_THIN]:
            middle.plot(rank, row, color=colour, lw=0.4, alpha=0.35)
        middle.plot(rank, values.mean(axis=0), "o-", color=colour, ms=3, lw=0.9)
        right.plot(
            values[:, 0],
            result["trace"].values,
            "o",
            color=colour,
            ms=3,
            label=f"{label} ({len(values)})",
        )
    left.set_yscale("log")
    style.panel(left, "a", "spectrum", r"eigenvalue $\lambda$", "density")
    style.ticks(middle, 5, 5, integer=False)
    style.panel(middle, "b", "largest eigenvalues", "rank", r"eigenvalue $\lambda$")
    style.ticks(right, 4, 5)
    style.panel(right, "c", "trace", "largest eigenvalue", r"trace of $H$")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def hessian_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the largest eigenvalue and the trace."""
    lines = []
    for name, result in results.items():
        about = result.attrs
        lines.append(
            f"{_of(name, results)}{result.sizes['solution']} configurations of "
            f"{about['algorithm']}, largest eigenvalue {about['top_eigenvalue_mean']:.4g} ± "
            f"{about['top_eigenvalue_stderr']:.2g}, trace {about['trace_mean']:.4g} ± "
            f"{about['trace_stderr']:.2g}"
            + ("" if about["converged"] == 1 else " (not all eigenvalues have converged)")
        )
    about = next(iter(results.values())).attrs
    caption = (
        f"Hessian of the smooth network (β = {about['beta']:g}, γ = {about['gamma']:g}, unit "
        f"norms, radial directions projected out). {'; '.join(lines)} (standard errors). (a) Mean "
        "density of eigenvalues."
    )
    return caption, "Spectrum of the Hessian, its largest eigenvalues, and its trace."


@style.styled
def rise_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the rise of errors against the noise."""
    figure, (axes,) = style.panels(2.9, 1, width=4.2)
    for label, colour, result in _named_results(results):
        level = result["level"].values
        for row in result["rise"].values[:_THIN]:
            axes.plot(level, row, color=colour, lw=0.4, alpha=0.35)
        error = np.nan_to_num(result["rise_mean_stderr"].values)
        label = f"{label} ({len(result['rise'])})"
        axes.errorbar(
            level,
            result["rise_mean"].values,
            error,
            fmt="o-",
            ms=3,
            lw=0.9,
            color=colour,
            capsize=2,
            label=label,
        )
    style.ticks(axes, 5, 5)
    first = next(iter(results.values()))
    axes.set(xlabel=first["level"].attrs["long_name"], ylabel="rise of the share of errors")
    axes.legend()
    return figure


def rise_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the mean rise at each level."""
    lines = []
    for name, result in results.items():
        points = ", ".join(
            f"{float(value):.4f} ± {float(error):.2g} at {float(level):g}"
            for value, error, level in zip(
                result["rise_mean"], result["rise_mean_stderr"], result["level"], strict=True
            )
        )
        lines.append(
            f"{_of(name, results)}{result.sizes['solution']} configurations of "
            f"{result.attrs['algorithm']}, over {result.attrs['draws']} draws: {points}"
        )
    noise = next(iter(results.values()))["level"].attrs["long_name"]
    caption = (
        f"Rise of the share of wrong patterns with the {noise}. {'; '.join(lines)} (standard "
        "errors over configurations)."
    )
    return caption, f"Curves of errors against the {noise}."


@style.styled
def table_figure(result: xarray.Dataset) -> Figure:
    """Draw the rank correlations, and the local entropy against the largest eigenvalue."""
    figure = style.new_figure(3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    shown = np.flatnonzero(np.isfinite(np.diag(result["spearman"].values)))
    chosen = result.isel(quantity=shown, quantity_=shown)
    rho, error = chosen["spearman"].values, chosen["spearman_stderr"].values
    labels = [_named(str(name)) for name in chosen["quantity"].values]
    image = left.imshow(rho, cmap=style.signed_colours(), vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(rho):
        if row != column and np.isfinite(value):
            sure = is_determined(float(value), float(error[row, column]), result.attrs["rows"])
            colour = "white" if abs(value) > 0.6 else style.INK
            text = f"{value:.2f}".replace("-", "\N{MINUS SIGN}") if sure else "?"
            left.text(column, row, text, ha="center", va="center", fontsize=5, color=colour)
    left.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=6)
    left.set_yticks(range(len(labels)), labels, fontsize=6)
    style.colour_bar(image, left, "", 4, symmetric=True, aspect=30, pad=0.02)
    style.panel(left, "a", r"rank correlations, Spearman's $\rho$")
    names = [_named(str(name)) for name in result["quantity"].values]
    first, second = _axes_of(result)
    owner = result["ensemble"].values
    for index, label in enumerate(result["algorithm"].values):
        rows = result["value"].values[owner == index]
        right.plot(
            rows[:, first],
            rows[:, second],
            "o",
            ms=3,
            color=style.curve_colour(index),
            label=style.verbatim(str(label)),
        )
    right.legend(fontsize=6)
    style.ticks(right, 4, 5)
    style.panel(right, "b", "configurations", names[first], names[second])
    return figure


def _axes_of(result: xarray.Dataset) -> tuple[int, int]:
    """Return the two quantities that are drawn against each other."""
    names = [str(name) for name in result["quantity"].values]
    volumes = [index for index, name in enumerate(names) if name.startswith("local_entropy")]
    first = names.index("top_eigenvalue")
    return first, volumes[len(volumes) // 2] if volumes else names.index("local_energy")


def _named(name: str) -> str:
    if name.startswith("local_entropy_"):
        return rf"nLE, $\gamma={name.rpartition('_')[2]}$"
    return _NAMES.get(name, name)


def table_caption(result: xarray.Dataset) -> tuple[str, str]:
    """Describe the correlation of volume and curvature, and the means of each algorithm."""
    first, second = _axes_of(result)
    names = [str(name) for name in result["quantity"].values]
    about = [str(text) for text in result["about"].values]
    ranks = "; ".join(
        f"with {about[other]} {_correlation(result, second, other)}"
        for other in (first, names.index("trace"), names.index("test_error"))
    )
    means = "; ".join(
        f"{label} {float(result['mean'][a, second]):.4g} ± {float(result['stderr'][a, second]):.2g}"
        for a, label in enumerate(result["algorithm"].values)
    )
    caption = (
        f"{result.attrs['rows']} configurations of {result.sizes['algorithm']} ensembles. "
        f"Means of the {about[second]}: {means}. Its rank correlations over all configurations: "
        f"{ranks} (Spearman's ρ; errors by bootstrap over configurations within ensembles and "
        "over test patterns). "
        f"Undetermined, with question marks: within {DEVIATION:g} errors of zero, or too few "
        "configurations."
    )
    return caption, "Matrix of rank correlations between measures of flatness, and two of them."


def _correlation(result: xarray.Dataset, one: int, other: int) -> str:
    value, error = (float(result[name][one, other]) for name in ("spearman", "spearman_stderr"))
    return correlation_words(value, error, result.attrs["rows"])
