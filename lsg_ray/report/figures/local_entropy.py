"""Local entropy of ±1 weights against distance, of one or several algorithms, and theory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.ising.curve import through_slopes
from lsg_ray.minima.theory.gaussian import binary_entropy
from lsg_ray.report import style
from lsg_ray.typing import Array, Floats

#: Largest number of curves of single solutions that are drawn per result.
_MAX_SINGLE_CURVES = 20


def _gap(entropy: Array, distance: Array) -> Floats:
    """Return Σ(D) − H₂(D): how much rarer solutions are there than configurations."""
    inside = np.clip(distance, 1e-12, 1 - 1e-12)
    return np.asarray(entropy - binary_entropy(inside))


@style.styled
def local_entropy_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw Σ(D) of solutions, their means, the bound and the theory; by name of a result."""
    figure, (whole, lost) = style.panels(3.2, 2)
    d = np.linspace(1e-4, 0.5, 200)
    whole.plot(d, binary_entropy(d), color=style.INK, lw=0.9, label="all, $H_2(D)$")
    lost.axhline(0, color=style.INK, lw=0.9)
    for index, (name, result) in enumerate(results.items()):
        _draw(whole, lost, result, style.curve_colour(index), _label(name, result, results))
    first = next((result for result in results.values() if "densest" in result), None)
    if first is not None:
        at = first["theory_distance"].values
        about = (("densest", style.DASHED, r"densest, $y\to\infty$"), ("typical", ":", "typical"))
        for curve, dash, label in about:
            value = first[curve].values
            whole.plot(at, value, color=style.GREY, ls=dash, label=label)
            lost.plot(at, _gap(value, at), color=style.GREY, ls=dash)
    far = max(float(result["distance"].max()) for result in results.values())
    for axes in (whole, lost):
        axes.set_xlim(0, 0.5 if not np.isfinite(far) else 1.05 * far)
        style.ticks(axes, 5, 5)
    style.panel(whole, "a", "", "distance $D$", r"local entropy $\Sigma(D)$ (nat)")
    style.panel(lost, "b", "", "distance $D$", r"$\Sigma(D) - H_2(D)$ (nat)")
    figure.legend(*whole.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _label(name: str, result: xarray.Dataset, results: Mapping[str, xarray.Dataset]) -> str:
    label = style.verbatim(name if len(results) > 1 else str(result.attrs["algorithm"]))
    return f"{label} ({result.sizes['solution']})"


def _draw(whole: Axes, lost: Axes, result: xarray.Dataset, colour: str, label: str) -> None:
    thin = slice(_MAX_SINGLE_CURVES)
    d, entropy = result["distance"].values[thin], result["entropy"].values[thin]
    # Σ = F − γS with S = dF/dγ = 1 − 2D, so that dΣ/dD = 2γ.
    slope = np.broadcast_to(2 * result["gamma"].values, d.shape)
    d, entropy = through_slopes(d, entropy, slope)
    whole.plot(d.T, entropy.T, color=colour, lw=0.4, alpha=0.4)
    lost.plot(d.T, _gap(entropy, d).T, color=colour, lw=0.4, alpha=0.4)
    mean, at = result["entropy_mean"].values, result["distance_mean"].values
    error, spread = result["entropy_stderr"].values, result["distance_stderr"].values
    whole.errorbar(at, mean, error, spread, fmt="o", ms=3, color=colour, label=label)
    lost.errorbar(at, _gap(mean, at), error, fmt="o", ms=3, color=colour)


def local_entropy_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the entropies of solutions beside the bound."""
    lines = []
    for name, result in results.items():
        about = result.attrs
        near = int(np.argmin(np.abs(result["distance_mean"].fillna(1).values - 0.1)))
        value, error, d = (
            float(result[c].values[near])
            for c in ("entropy_mean", "entropy_stderr", "distance_mean")
        )
        of = f"{name}: " if len(results) > 1 else ""
        lines.append(
            f"{of}{result.sizes['solution']} solutions of {about['algorithm']} at α = "
            f"{about['alpha']:.3g}, Σ = {value:.4f} ± {error:.2g} at D = {d:.3f}"
            + ("" if about["converged"] == 1 else f" ({about['converged']:.0%} have converged)")
        )
        if about["solution_entropy_converged"]:
            lines.append(f"entropy of all solutions {about['solution_entropy']:.4f}")
    text = "; ".join(lines)
    caption = (
        f"Local entropy by belief propagation. {text}. Points: means over solutions with standard "
        "errors; thin lines: single ones; what has not converged is left out. Black: the bound, "
        "where all configurations are solutions."
    )
    if any("densest" in result for result in results.values()):
        caption += (
            " Grey: replica theory of random patterns, the densest regions (dashed) and the "
            "surroundings of typical solutions (dotted)."
        )
    return caption, "Local entropy against distance beside its bound, and their difference."
