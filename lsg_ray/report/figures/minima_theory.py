"""Figures of the replica theory of random patterns."""

from __future__ import annotations

import matplotlib
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from lsg_ray.report import style
from lsg_ray.typing import Array

#: Colours of curves by a parameter: dark for small values.
_MAP = "viridis"
_MACHINES = {
    "perceptron": "perceptron",
    "committee-3": "tree committee, K = 3",
    "committee-5": "tree committee, K = 5",
    "committee-inf": "tree committee, K → ∞",
    "relu-inf": "tree committee of ReLU units, K → ∞",
    "parity": "parity machine",
}
_WEIGHTS = {"binary": "±1 weights", "spherical": "weights on the sphere"}
#: Rates of errors below this are drawn as such: theory gives values that no sample could show.
_LEAST_RATE = 1e-8
#: Most curves of a parameter that a legend names, and ticks at given values.
_MOST_LABELS, _MOST_TICKS = 7, 9


def _colours(number: int) -> np.ndarray:
    return matplotlib.colormaps[_MAP](np.linspace(0.05, 0.85, max(number, 2)))[:number]


def _labels(symbol: str, values: Array) -> list[str | None]:
    """Return labels of curves by a parameter: of some of them, from first to last, where many."""
    count = len(values)
    named = set(np.linspace(0, count - 1, min(count, _MOST_LABELS)).astype(int).tolist())
    return [f"{symbol} = {v:.4g}" if k in named else None for k, v in enumerate(values)]


def _apart(values: Array) -> list[float]:
    """Return those of some positive numbers, ascending, whose ticks on a log axis stay apart."""
    least = np.log(values.max() / values.min()) / _MOST_TICKS
    kept = [float(values[0])]
    for value in values[1:].tolist():
        if np.log(value / kept[-1]) >= least:
            kept.append(value)
    return kept


def _known(theory: xarray.Dataset, name: str, converged: str = "converged") -> xarray.DataArray:
    """Return values of a theory, NaN where its equations were not solved."""
    return theory[name].where(theory[converged])


def _left_out(theory: xarray.Dataset) -> str:
    """Return the sentence of a caption on points that `_known` leaves out."""
    return "" if theory.attrs["converged"] else " Points that did not converge are left out."


@style.styled
def replica_entropy_figure(theory: xarray.Dataset) -> Figure:
    """Draw entropy and overlap against α.

    Parameters
    ----------
    theory
        Result of `lsg_ray.replica_entropy`.
    """
    figure, (left, right) = style.panels(2.5, 2)
    alpha = theory["alpha"].values
    stable = ~(theory["stability"].values < 0)
    # The dotted line begins where the solid one ends.
    dotted = ~stable | np.roll(~stable, -1) & (np.arange(len(alpha)) < len(alpha) - 1)
    for axes, name, label in (
        (left, "entropy", "entropy per weight $\\phi$"),
        (right, "overlap", "overlap $q$"),
    ):
        values = _known(theory, name).values
        axes.plot(alpha, np.where(stable, values, np.nan), "-o", ms=2.5, color=style.ACCENT)
        if not stable.all():
            axes.plot(alpha, np.where(dotted, values, np.nan), ":", color=style.ACCENT)
        axes.set(xlabel="patterns per weight $\\alpha$", ylabel=label)
    left.axhline(0, color=style.GREY, lw=0.7)
    capacity = float(theory.attrs["capacity"])
    if np.isfinite(capacity) and capacity <= 1.3 * alpha.max():
        for axes in (left, right):
            axes.axvline(capacity, color=style.INK, lw=0.8, ls=style.DASHED)
    style.panel(left, "a")
    style.panel(right, "b")
    return figure


def replica_entropy_caption(theory: xarray.Dataset) -> tuple[str, str]:
    """Describe the theory, its capacity and its limit."""
    about = theory.attrs
    caption = (
        f"Replica-symmetric theory of random patterns: {_MACHINES[str(about['machine'])]}, "
        f"{_WEIGHTS[str(about['weights'])]}. (a) Entropy of solutions per weight, (b) overlap of "
        "two solutions."
    )
    if np.isfinite(about["capacity"]):
        caption += f" Capacity (dashed): α = {about['capacity']:.4f}."
    if np.isfinite(about["stability_limit"]):
        caption += (
            f" The symmetric state is unstable above α = {about['stability_limit']:.4f} (dotted)."
        )
    caption += _left_out(theory)
    return caption, "Entropy and overlap of solutions against the number of patterns per weight."


@style.styled
def dense_regions_figure(theory: xarray.Dataset) -> Figure:
    """Draw the entropy of the densest regions against the overlap, with its bound, for each α.

    Parameters
    ----------
    theory
        Result of `lsg_ray.dense_regions`.
    """
    figure, (axes,) = style.panels(3.0, 1, width=4.6)
    q1 = theory["overlap"].values
    if str(theory.attrs["weights"]) == "binary":
        axes.plot(q1, theory["bound"], color=style.GREY, lw=1, ls=style.DASHED, label="all weights")
    else:
        axes.axhline(0, color=style.GREY, lw=1, ls=style.DASHED, label="all weights")
    colours = _colours(theory.sizes["alpha"])
    labels = _labels("$\\alpha$", theory["alpha"].values)
    for colour, label, alpha in zip(colours, labels, theory["alpha"].values, strict=True):
        own = theory.sel(alpha=alpha)
        values = _known(own, "entropy")
        axes.plot(q1, values, "-o", ms=2, color=colour, label=label)
        for clones in theory["clones"].values if "clones" in theory.coords else ():
            _draw_clones(axes, own.sel(clones=clones), colour)
    if (theory["entropy"] < 0).any() and str(theory.attrs["weights"]) == "binary":
        axes.axhline(0, color=style.GREY, lw=0.7)
    axes.set(xlabel="overlap $q_1$ of two solutions", ylabel="entropy per weight $\\phi$")
    axes.legend()
    return figure


def _draw_clones(axes: Axes, group: xarray.Dataset, colour: Array) -> None:
    """Draw the entropy of groups of y clones where there are any, with y at the end."""
    q1 = group["overlap"].values
    entropy = _known(group, "clone_entropy", "clones_converged")
    real = np.where(group["complexity"] >= 0, entropy, np.nan)
    axes.plot(q1, real, ":", lw=1, color=colour)
    known = np.flatnonzero(np.isfinite(real))
    if len(known):
        last = known[q1[known].argmax()]
        axes.annotate(
            f"$y$ = {group['clones'].item():g}",
            (q1[last], real[last]),
            (3, 0 if last == q1.argmax() else 5),  # clear of curves that go on
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=colour,
            annotation_clip=False,
        )


def dense_regions_caption(theory: xarray.Dataset) -> tuple[str, str]:
    """Describe the curves, and at which α the densest regions reach far."""
    about = theory.attrs
    caption = (
        f"Entropy of the densest regions of solutions (y → ∞) against the overlap of their "
        f"solutions: {_MACHINES[str(about['machine'])]}, {_WEIGHTS[str(about['weights'])]}."
    )
    if "clones" in theory.coords:
        caption += " Dotted: groups of y clones, where there are any; dashed: all for y → ∞."
    if str(about["weights"]) == "binary":
        broken = theory["alpha"].values[~theory["monotone"].values]
        if len(broken):
            values = ", ".join(f"{alpha:g}" for alpha in broken)
            caption += f" At α = {values} the entropy rises again at small distances."
    caption += _left_out(theory)
    return caption, "Entropy against overlap, one curve for each number of patterns per weight."


@style.styled
def cross_entropy_figure(theory: xarray.Dataset) -> Figure:
    """Draw solutions around minimizers of the cross entropy, for each γ, and their errors.

    Parameters
    ----------
    theory
        Result of `lsg_ray.cross_entropy_landscape`.
    """
    figure, (left, right) = style.panels(2.8, 2)
    d = theory["distance"].values
    below = theory["bound"].values
    left.plot(d, theory["best"] - below, color=style.INK, lw=1, label="best centre")
    left.plot(d, theory["typical"] - below, color=style.GREY, ls=style.DASHED, label="typical")
    colours = _colours(theory.sizes["gamma"])
    labels = _labels("$\\gamma$", theory["gamma"].values)
    for colour, label, gamma in zip(colours, labels, theory["gamma"].values, strict=True):
        curve = _known(theory, "entropy").sel(gamma=gamma) - below
        left.plot(d, curve, "-o", ms=2, color=colour, label=label)
    left.set(xlabel="distance $D$", ylabel="entropy minus its bound")
    left.legend(fontsize=6.5, loc="upper right", labelspacing=0.35)
    _draw_rates(right, theory.sortby("gamma"))
    style.panel(left, "a")
    style.panel(right, "b")
    return figure


def _draw_rates(axes: Axes, theory: xarray.Dataset) -> None:
    """Draw rates of errors against γ; those that are too small for the axis as such."""
    gamma, rate = theory["gamma"].values, theory["error_rate"].values
    small = rate < _LEAST_RATE
    axes.set(xscale="log", yscale="log")
    axes.plot(gamma, np.where(small, np.nan, rate), "-o", ms=2.5, color=style.ACCENT)
    if small.any():
        edge = np.full(int(small.sum()), _LEAST_RATE)
        label = f"below {_LEAST_RATE:.0e}".replace("e-0", "e-")
        axes.plot(gamma[small], edge, "v", ms=5, mfc="none", color=style.ACCENT, label=label)
        axes.legend()
    axes.xaxis.set_major_locator(FixedLocator(_apart(gamma)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="$\\gamma$", ylabel="share of wrong patterns")


def cross_entropy_caption(theory: xarray.Dataset) -> tuple[str, str]:
    """Describe the curves, and which γ has most solutions around its minimizers."""
    total = theory["entropy"].sum("distance")
    best = float(theory["gamma"].values[int(total.values.argmax())])
    caption = (
        f"Binary perceptron at α = {theory.attrs['alpha']:g}. (a) Entropy of solutions at distance "
        "D from minimizers of the cross entropy, minus that of all configurations there, beside "
        "typical solutions and the best centre; most at these distances around minimizers with "
        f"γ = {best:g}. (b) Share of patterns that the minimizers have wrong"
    )
    small = bool((theory["error_rate"] < _LEAST_RATE).any())
    caption += "; open triangles: below 1e-8." if small else "."
    caption += _left_out(theory)
    return caption, "Entropies against distance for several γ, and the error rate against γ."
