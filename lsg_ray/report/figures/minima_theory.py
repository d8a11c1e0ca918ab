"""Figures of the replica theory of random patterns."""

from __future__ import annotations

import matplotlib
import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.report import style

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


def _colours(number: int) -> np.ndarray:
    return matplotlib.colormaps[_MAP](np.linspace(0.05, 0.85, max(number, 2)))[:number]


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
    for axes, name, label in (
        (left, "entropy", "entropy per weight $\\phi$"),
        (right, "overlap", "overlap $q$"),
    ):
        values = theory[name].values
        axes.plot(alpha, np.where(stable, values, np.nan), "-o", ms=2.5, color=style.ACCENT)
        if not stable.all():
            axes.plot(alpha, np.where(stable, np.nan, values), ":", color=style.ACCENT)
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
    for colour, alpha in zip(colours, theory["alpha"].values, strict=True):
        own = theory.sel(alpha=alpha)
        axes.plot(q1, own["entropy"], "-o", ms=2, color=colour, label=f"$\\alpha$ = {alpha:g}")
        for clones in theory["clones"].values if "clones" in theory.coords else ():
            group = own.sel(clones=clones)
            real = np.where(group["complexity"] >= 0, group["clone_entropy"], np.nan)
            axes.plot(q1, real, ":", lw=1, color=colour)
            last = np.flatnonzero(np.isfinite(real))
            if len(last):
                axes.annotate(f"{clones:g}", (q1[last[0]], real[last[0]]), fontsize=5)
    axes.set(xlabel="overlap $q_1$ of two solutions", ylabel="entropy per weight $\\phi$")
    axes.legend()
    return figure


def dense_regions_caption(theory: xarray.Dataset) -> tuple[str, str]:
    """Describe the curves, and at which α the densest regions reach far."""
    about = theory.attrs
    caption = (
        f"Entropy of the densest regions of solutions (y → ∞) against the overlap of their "
        f"solutions: {_MACHINES[str(about['machine'])]}, {_WEIGHTS[str(about['weights'])]}."
    )
    if "clones" in theory.coords:
        caption += " Dotted: groups of y clones, where there are any."
    if str(about["weights"]) == "binary":
        broken = theory["alpha"].values[~theory["monotone"].values]
        if len(broken):
            values = ", ".join(f"{alpha:g}" for alpha in broken)
            caption += f" At α = {values} the entropy rises again at small distances."
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
    for colour, gamma in zip(_colours(theory.sizes["gamma"]), theory["gamma"].values, strict=True):
        curve = theory["entropy"].sel(gamma=gamma) - below
        left.plot(d, curve, "-o", ms=2, color=colour, label=f"$\\gamma$ = {gamma:g}")
    left.set(xlabel="distance $D$", ylabel="entropy minus its bound")
    left.legend(fontsize=6)
    right.loglog(
        theory["gamma"], np.maximum(theory["error_rate"], 1e-8), "-o", ms=2.5, color=style.ACCENT
    )
    right.set(xlabel="$\\gamma$", ylabel="share of wrong patterns")
    style.panel(left, "a")
    style.panel(right, "b")
    return figure


def cross_entropy_caption(theory: xarray.Dataset) -> tuple[str, str]:
    """Describe the curves, and which γ has most solutions around its minimizers."""
    total = theory["entropy"].sum("distance")
    best = float(theory["gamma"].values[int(total.values.argmax())])
    caption = (
        f"Binary perceptron at α = {theory.attrs['alpha']:g}. (a) Entropy of solutions at distance "
        "D from minimizers of the cross entropy, minus that of all configurations there, beside "
        "typical solutions and the best centre; most at these distances around minimizers with "
        f"γ = {best:g}. (b) Share of patterns that the minimizers have wrong (1e-8 at least)."
    )
    return caption, "Entropies against distance for several γ, and the error rate against γ."
