"""Wide flat minima: local entropy, curvature, errors under noise, and how the measures agree."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.minima.flatness_table import is_determined
from lsg_ray.report import style

#: Largest number of curves of single solutions that are drawn.
_THIN = 40
#: Labels of the quantities of the table.
_NAMES = {
    "top_eigenvalue": r"$\lambda_{\max}$", "trace": r"$\mathrm{tr}\,H$",
    "local_energy": "weight noise", "input_noise": "input noise", "test_error": "test error",
    "errors": "training error",
}  # fmt: skip


@style.styled
def local_entropy_figure(result: xarray.Dataset) -> Figure:
    """Draw the normalised local entropy of each solution against distance, and the theory."""
    figure, (left, right) = style.panels(2.9, 2)
    p, value = result["overlap"].values, result["local_entropy"].values
    for axes, x in ((left, p), (right, 2 * (1 - p))):
        for row in range(min(len(value), _THIN)):
            label = f"solutions ({len(value)})" if row == 0 else None
            axes.plot(x[row], value[row], "o-", color=style.ACCENT, ms=2.5, lw=0.6, alpha=0.5,
                      label=label)  # fmt: skip
    left.errorbar(
        result["overlap_mean"].values, result["local_entropy_mean"].values,
        result["local_entropy_stderr"].values, result["overlap_stderr"].values, fmt="s", ms=4,
        color=style.INK, label="mean",
    )  # fmt: skip
    if "theory" in result:
        q = result["theory_overlap"].values
        line = {"color": style.CONTRAST, "ls": style.DASHED, "label": r"theory, $y\to\infty$"}
        left.plot(q, result["theory"].values, **line)
        right.plot(2 * (1 - q), result["theory"].values, **line)
    for axes in (left, right):
        axes.axhline(0, color=style.GREY, lw=0.7)
        style.ticks(axes, 5, 5)
    right.set_xlim(left=0)
    left.legend(loc="lower right")
    y = "normalised local entropy (nat)"
    style.panel(left, "a", "", "overlap with the solution $p$", y)
    style.panel(right, "b", "", "squared distance per weight $2(1-p)$", y)
    return figure


def local_entropy_caption(result: xarray.Dataset) -> tuple[str, str]:
    """Describe the mean curve."""
    points = ", ".join(
        f"{float(value):.4f} ± {float(error):.2g} at p = {float(p):.3f}"
        for value, error, p in zip(
            result["local_entropy_mean"], result["local_entropy_stderr"], result["overlap_mean"],
            strict=True,
        )
    )  # fmt: skip
    about = result.attrs
    caption = (
        f"Normalised local entropy around {result.sizes['solution']} solutions of "
        f"{about['algorithm']} at α = {about['alpha']:.3g}, by belief propagation: {points}. Zero "
        "means that all weights at that distance are solutions."
    )
    if "theory" in result:
        caption += " Dashed: the densest regions of random patterns, by replica theory."
    if about["converged"] < 1:
        caption += f" Converged: {about['converged']:.0%}; the others are left out."
    return caption, "Curves of the local entropy of solutions against overlap and distance."


@style.styled
def hessian_figure(result: xarray.Dataset) -> Figure:
    """Draw the density of eigenvalues, the largest of them, and the trace."""
    figure, (left, middle, right) = style.panels(2.6, 3)
    edges = np.append(result["left"].values, result["right"].values[-1])
    style.steps(left, result["density"].values.mean(axis=0), edges)
    left.set_yscale("log")
    style.panel(left, "a", "spectrum", r"eigenvalue $\lambda$", "density")
    values = result["eigenvalue"].values
    rank = np.arange(1, values.shape[1] + 1)
    middle.plot(rank, values[:_THIN].T, "o-", color=style.ACCENT, ms=3, lw=0.6)
    style.ticks(middle, 5, 5, integer=False)
    style.panel(middle, "b", "largest eigenvalues", "rank", r"eigenvalue $\lambda$")
    right.plot(values[:, 0], result["trace"].values, "o", color=style.ACCENT, ms=3)
    style.ticks(right, 4, 5)
    style.panel(right, "c", "trace", "largest eigenvalue", r"trace of $H$")
    return figure


def hessian_caption(result: xarray.Dataset) -> tuple[str, str]:
    """Describe the largest eigenvalue and the trace."""
    about = result.attrs
    caption = (
        f"Hessian of the smooth network (β = {about['beta']:g}, γ = {about['gamma']:g}, unit "
        f"norms, radial directions projected out) at {result.sizes['solution']} configurations of "
        f"{about['algorithm']}: largest eigenvalue {about['top_eigenvalue_mean']:.4g} ± "
        f"{about['top_eigenvalue_stderr']:.2g}, trace {about['trace_mean']:.4g} ± "
        f"{about['trace_stderr']:.2g} (standard errors)."
    )
    if about["converged"] < 1:
        caption += " Not all eigenvalues have converged."
    return caption, "Spectrum of the Hessian, its largest eigenvalues, and its trace."


@style.styled
def rise_figure(result: xarray.Dataset) -> Figure:
    """Draw the rise of errors against the noise."""
    figure, (axes,) = style.panels(2.9, 1, width=style.WIDTH / 2)
    level = result["level"].values
    axes.plot(level, result["rise"].values[:_THIN].T, color=style.ACCENT, lw=0.5, alpha=0.5)
    axes.errorbar(level, result["rise_mean"].values, result["rise_mean_stderr"].values, fmt="o-",
                  ms=3, color=style.INK, capsize=2)  # fmt: skip
    style.ticks(axes, 5, 5)
    axes.set(xlabel=result["level"].attrs["long_name"], ylabel="rise of the share of errors")
    return figure


def rise_caption(result: xarray.Dataset) -> tuple[str, str]:
    """Describe the mean rise at each level."""
    points = ", ".join(
        f"{float(value):.4f} ± {float(error):.2g} at {float(level):g}"
        for value, error, level in zip(
            result["rise_mean"], result["rise_mean_stderr"], result["level"], strict=True
        )
    )
    about = result.attrs
    noise = result["level"].attrs["long_name"]
    caption = (
        f"Rise of the share of wrong patterns with the {noise}, of {result.sizes['solution']} "
        f"configurations of {about['algorithm']}, over {about['draws']} draws: {points} (standard "
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
            text = f"{value:.2f}" if sure else "?"
            left.text(column, row, text, ha="center", va="center", fontsize=5, color=colour)
    left.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=6)
    left.set_yticks(range(len(labels)), labels, fontsize=6)
    style.colour_bar(image, left, "", 4, symmetric=True, aspect=30, pad=0.02)
    style.panel(left, "a", r"rank correlations, Spearman's $\rho$")
    names = [_named(str(name)) for name in result["quantity"].values]
    first, second = _axes_of(result)
    owner = result["ensemble"].values
    colours = [style.ACCENT, style.CONTRAST, "#009E73", "#CC79A7", "#E69F00", style.INK]
    for index, label in enumerate(result["algorithm"].values):
        rows = result["value"].values[owner == index]
        right.plot(rows[:, first], rows[:, second], "o", ms=3, color=colours[index],
                   label=style.verbatim(str(label)))  # fmt: skip
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
    rho, error = (float(result[name][first, second]) for name in ("spearman", "spearman_stderr"))
    names = [str(name) for name in result["quantity"].values]
    means = "; ".join(
        f"{label} {float(result['mean'][a, second]):.4g} ± {float(result['stderr'][a, second]):.2g}"
        for a, label in enumerate(result["algorithm"].values)
    )
    caption = (
        f"{result.attrs['rows']} configurations of {result.sizes['algorithm']} ensembles. "
        f"{names[second]}: {means}. Its rank correlation with {names[first]} is {rho:.2f} ± "
        f"{error:.2g} (Spearman; bootstrap over configurations within ensembles). Question marks: "
        "within two errors of zero, or too few configurations."
    )
    return caption, "Matrix of rank correlations between measures of flatness, and two of them."
