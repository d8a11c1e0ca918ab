"""Neurons as spins: melting along training, spectra of bonds, TAP solutions, equilibrium."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.report import style
from lsg_ray.results.saving import with_names
from lsg_ray.typing import Array

#: Colours and names of a network and its nulls.
_COLOURS = {
    "trained": style.ACCENT,
    "untrained": style.CONTRAST,
    "shuffled": "#009E73",
    "normal": style.GREY,
}
#: Where step 0 stands on a logarithmic axis.
_START = 0.3


def _errors(axes: Axes, x: Array, mean: Array, error: Array, **options: Any) -> None:
    """Draw means with error bars, which are none of one network."""
    axes.errorbar(x, mean, np.nan_to_num(error), capsize=2, ms=3, lw=1, **options)


def _number(mean: float, error: float) -> str:
    """Return a mean with its standard error as text."""
    return f"{mean:.4g} ± {error:.2g}" if np.isfinite(error) else f"{mean:.4g}"


@style.styled
def melting_figure(result: xarray.Dataset) -> Figure:
    """Draw temperatures, numbers of modes, and shuffled networks."""
    figure = style.new_figure(2.7)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    steps = result["step"].values
    along = len(steps) > 1
    x = np.where(steps > 0, steps, _START) if along else np.zeros(1)
    if along:
        for row in result["critical_temperature"].values[: style.MAX_SINGLE_CURVES]:
            left.plot(x, row, color=style.ACCENT, lw=0.5, alpha=0.35)
    kinds = (
        ("melting_temperature", r"$T_1$", "o-", style.ACCENT),
        ("glass_temperature", r"$T_{\mathrm{SG}}$", "s-", style.CONTRAST),
        ("bethe_temperature", "Bethe Hessian", "x", style.INK),
    )
    for name, label, mark, colour in kinds:
        _errors(
            left,
            x,
            result[f"{name}_mean"].values,
            result[f"{name}_stderr"].values,
            fmt=mark,
            color=colour,
            label=label,
        )
    left.plot(
        x,
        result["untrained_temperature_mean"].values,
        color=style.GREY,
        ls=style.DASHED,
        label="independent weights",
    )
    if along and result["fit_determined"].any():
        left.plot(x, _fitted(result, steps), color=style.INK, lw=0.8, ls=":", label="fit of $T_c$")
    left.legend(fontsize="small")
    _errors(
        middle,
        x,
        result["ordered_modes_mean"].values,
        result["ordered_modes_stderr"].values,
        fmt="o-",
        color=style.ACCENT,
    )
    middle.set_ylim(bottom=-0.2)
    for axes in (left, middle):
        if along:
            axes.set_xscale("log")
            axes.set_xlim(left=_START / 1.5)
        else:
            axes.set_xticks([])
    step = "step of training" + (f" (0 at {_START:g})" if along and steps[0] == 0 else "")
    style.panel(left, "a", "temperatures", step if along else "", "$T$")
    style.panel(middle, "b", "ordered modes", step if along else "", "number of modes")
    _ratios(right, result)
    return figure


def _fitted(result: xarray.Dataset, steps: Array) -> Array:
    """Return a + c t^α, the mean over networks; NaN at step 0."""
    t = np.where(steps > 0, steps, np.nan)[:, None]
    fits = result.isel(configuration=np.flatnonzero(result["fit_determined"].values))
    a, c, exponent = (fits[f"fit_{name}"].values for name in ("a", "c", "exponent"))
    mean: Array = (a + c * t**exponent).mean(axis=1)
    return mean


def _ratios(axes: Axes, result: xarray.Dataset) -> None:
    """Draw roots over T_SG at the last time, of networks and of shuffled ones."""
    glass = result["glass_temperature"].values[:, -1, None]
    own = (result["mode_temperature"].values[:, -1] / glass).ravel()
    null = result["shuffled_ratio"].values.ravel()
    # Roots below the cut are stored of shuffled networks only.
    cut = 1 + result.attrs["n_units"] ** (-1 / 3)
    for place, values, colour in ((0, own, style.ACCENT), (1, null, _COLOURS["shuffled"])):
        good = values[np.isfinite(values)]
        jitter = 0.25 * (np.arange(len(good)) % 11 - 5) / 5
        axes.plot(place + jitter, good, "o", color=colour, ms=3, alpha=0.6)
    axes.axhline(cut, color=style.INK, lw=0.8, ls=style.DASHED, label="cut")
    axes.set_xlim(-0.5, 1.5)
    axes.set_xticks([0, 1], ["networks", "shuffled"])
    axes.set_ylim(bottom=0.97)
    axes.legend(fontsize="small")
    style.panel(axes, "c", "roots at the end", "", r"$T/T_{\mathrm{SG}}$")


def melting_caption(result: xarray.Dataset) -> tuple[str, str]:
    """Describe temperatures at the end, exponents and the verdict."""
    about = result.attrs
    values = {
        name: _number(about[f"{name}_mean"], about[f"{name}_stderr"])
        for name in ("glass_temperature", "melting_temperature", "ordered_modes")
    }
    text = (
        f"Units as spins of {result.sizes['configuration']} networks "
        f"{'-'.join(map(str, about['widths']))} (errors over networks): T_SG = "
        f"{values['glass_temperature']}"
    )
    if np.isfinite(about["melting_temperature_mean"]):
        text += (
            f", T_1 = {values['melting_temperature']}, {values['ordered_modes']} ordered modes at "
            f"the end; the Bethe Hessian differs by up to {about['bethe_deviation']:.1%}"
        )
    text += f". Verdict: {about['verdict']} ({about['criterion']})."
    if about["shuffles"]:
        text += (
            f" Of {about['shuffles']} networks of shuffled weights {about['false_share']:.1%} have "
            "a mode above the cut."
        )
    if np.isfinite(about["exponent_mean"]):
        text += (
            f" T_c = a + c t^α: α = {_number(about['exponent_mean'], about['exponent_stderr'])} "
            f"({about['exponent_networks']} networks determine it); the exponent depends on the "
            "form of the fit"
        )
        for name, words in (("slope_T1", "ln T_1"), ("slope_excess", "ln(T_1 − T_SG(0))")):
            if np.isfinite(about[f"{name}_mean"]):
                number = _number(about[f"{name}_mean"], about[f"{name}_stderr"])
                text += f"; slope of {words} on ln t: {number}"
        text += "."
    notes = [about[name] for name in ("warning", "note") if name in about]
    text += "".join(f" Note: {note}." for note in notes)
    if about["converged"] < 1:
        text += f" Eigenvalues converged: {about['converged']:.0%}."
    return text, "Temperatures and numbers of ordered modes of networks along training."


@style.styled
def spectrum_figure(result: xarray.Dataset) -> Figure:
    """Draw densities with the theory, the largest eigenvalues, and their participation."""
    figure = style.new_figure(2.7)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    result = with_names(result)
    times = [str(time) for time in result["time"].values]
    colours = dict(zip(times[::-1], (style.ACCENT, style.CONTRAST), strict=False))
    edge = {time: float(result["edge_mean"].sel(time=time)) for time in times}
    if "density" in result:
        edges = np.append(result["left"].values, result["right"].values[-1])
        for time in times:
            style.steps(
                left,
                result["density"].sel(time=time).values,
                edges,
                color=colours[time],
                label=time,
            )
            dash = "-" if time == "end" else style.DASHED
            left.plot(
                result["bulk_eigenvalue"].values,
                result["bulk"].sel(time=time).values,
                color=style.INK,
                lw=0.8,
                ls=dash,
            )
        left.set_yscale("log")
        # One eigenvalue of one network is the least that a histogram shows.
        width = float(edges[1] - edges[0])
        least = 1 / (result.attrs["n_units"] * width * result.sizes["configuration"])
        left.set_ylim(bottom=0.5 * least)
        left.legend(fontsize="small")
    style.panel(left, "a", "eigenvalues above zero", r"$\lambda$", "density")
    ranks = np.arange(1, result.sizes["rank"] + 1)
    for time in times:
        values = result["eigenvalue"].sel(time=time).values
        share = result["participation"].sel(time=time).values
        for row, part in zip(values[: style.MAX_SINGLE_CURVES], share, strict=False):
            middle.plot(ranks, row, "o-", color=colours[time], ms=2.5, lw=0.6, alpha=0.6)
            right.plot(ranks, part, "o-", color=colours[time], ms=2.5, lw=0.6, alpha=0.6)
        middle.axhline(edge[time], color=colours[time], lw=0.8, ls=style.DASHED)
    for axes in (middle, right):
        style.ticks(axes, 5, 5, integer=False)
    right.set_ylim(bottom=0)
    style.panel(middle, "b", "largest (dashed: bulk edge)", "rank", r"$\lambda$")
    style.panel(right, "c", "participation", "rank", r"$1/(N\,\sum v^4)$")
    return figure


def spectrum_caption(result: xarray.Dataset) -> tuple[str, str]:
    """Describe edge, outliers and moves."""
    about = result.attrs
    number = {
        name: _number(about[f"{name}_mean"], about[f"{name}_stderr"])
        for name in ("edge", "outliers", "top", "participation_top", "move")
    }
    text = (
        f"Spectrum of the bond matrix of {result.sizes['configuration']} networks "
        f"{'-'.join(map(str, about['widths']))} with output scale {about['output_scale']:g} "
        f"(errors over networks): bulk edge {number['edge']}, largest eigenvalue {number['top']} "
        f"with participation {number['participation_top']}, {number['outliers']} outliers "
        f"({about['criterion']})."
    )
    if np.isfinite(about["move_mean"]):
        text += f" Training moved the weights by {number['move']} of their norm."
    text += " Lines in (a): independent weights of the same mean squares."
    if "note" in about:
        text += f" Note: {about['note']}."
    return text, "Density of eigenvalues of bond matrices, the largest ones, their participation."


@style.styled
def census_figure(result: xarray.Dataset) -> Figure:
    """Draw shares of starts, numbers of solutions, and order by layer."""
    result = with_names(result)
    figure = style.new_figure(2.7)
    left, middle, right = figure.subplots(1, 3)
    T = result["temperature"].values
    kinds = [str(kind) for kind in result["network"].values]
    width = 0.25
    for place, kind in enumerate(kinds):
        rows = result.sel(network=kind)
        x = np.arange(len(T)) + (place - 1) * width
        colour = _COLOURS[kind]
        left.bar(x, rows["converged_mean"].values, width * 0.9, color=colour, alpha=0.35)
        left.bar(x, rows["stable_mean"].values, width * 0.5, color=colour, label=kind)
        _errors(
            middle,
            x,
            rows["distinct_mean"].values,
            rows["distinct_stderr"].values,
            fmt="o",
            color=colour,
        )
        _errors(
            right, x, rows["best_mean"].values, rows["best_stderr"].values, fmt="o", color=colour
        )
    for axes in (left, middle, right):
        axes.set_xticks(np.arange(len(T)), [f"{t:g}" for t in T])
        axes.set_xlim(-0.5, len(T) - 0.5)
        axes.set_ylim(bottom=0)
    handles, names = left.get_legend_handles_labels()
    right.legend(handles, names, fontsize="small", loc="lower right")
    label = r"$T/T_{\mathrm{SG}}$"
    style.panel(left, "a", "starts converged (pale), stable", label, "share of starts")
    style.panel(middle, "b", "distinct solutions", label, "number")
    style.panel(right, "c", "in the best one", label, "share of stable starts")
    return figure


def census_caption(result: xarray.Dataset) -> tuple[str, str]:
    """Describe numbers of solutions."""
    result = with_names(result)
    about, lines = result.attrs, []
    for kind in result["network"].values:
        for T in result["temperature"].values:
            row = result.sel(network=kind, temperature=T)
            numbers = _number(float(row["distinct_mean"]), float(row["distinct_stderr"]))
            lines.append(
                f"{kind} at {T:g} T_SG: {numbers} ({float(row['converged_mean']):.0%} converged, "
                f"{float(row['stable_mean']):.0%} stable, {float(row['zero_mean']):.0%} at zero)"
            )
    text = (
        f"Distinct TAP solutions, up to the flip of all units, from {about['starts']} quenches of "
        f"each of {result.sizes['configuration']} networks (untrained: {about['untrained']}): "
        f"{'; '.join(lines)}. Counted are solutions that are stable in Plefka's sense and not "
        "zero; those of starts that did not converge are missed."
    )
    if about["clamped"] >= 0:
        text += f" Inputs are held at test example {about['clamped']}."
    return text, "Bars and points: convergence and numbers of TAP solutions of networks and nulls."


@style.styled
def equilibrium_figure(result: xarray.Dataset) -> Figure:
    """Draw order against temperature, by layer, and the distribution of overlaps."""
    result = with_names(result)
    figure = style.new_figure(4.9)
    panels = figure.subplots(2, 2)
    T = result["temperature"].values
    kinds = [str(kind) for kind in result["network"].values]
    for axes, name in ((panels[0, 0], "binder"), (panels[0, 1], "overlap_square")):
        for kind in kinds:
            rows = result.sel(network=kind)
            _errors(
                axes,
                T,
                rows[f"{name}_mean"].values,
                rows[f"{name}_mean_stderr"].values,
                fmt="o-",
                color=_COLOURS[kind],
                label=kind,
            )
        style.ticks(axes, 5, 5)
    panels[0, 0].legend(fontsize="small")
    x = r"$T/T_{\mathrm{SG}}$"
    style.panel(panels[0, 0], "a", "order along the first eigenvector", x, "Binder parameter")
    style.panel(panels[0, 1], "b", "overlap of replicas", x, r"$\langle q^2\rangle$")
    layers = result["layer_overlap"].sel(network="trained").mean("configuration")
    shades = np.linspace(0.25, 0.95, result.sizes["layer"])
    for layer, shade in enumerate(shades):
        colour = style.accuracy_colours()(shade)
        panels[1, 0].plot(
            T,
            layers.isel(layer=layer).values,
            "o-",
            ms=2.5,
            lw=0.9,
            color=colour,
            label=f"layer {layer}",
        )
    panels[1, 0].legend(fontsize="small")
    style.ticks(panels[1, 0], 5, 5)
    style.panel(panels[1, 0], "c", "trained, by layer", x, r"$\sqrt{\langle q_k^2\rangle}$")
    edges = np.append(result["left"].values, result["right"].values[-1])
    cold = result["probability"].isel(temperature=0).mean("configuration")
    for kind in kinds:
        panels[1, 1].stairs(
            cold.sel(network=kind).values, edges, color=_COLOURS[kind], lw=1.1, label=kind
        )
    style.panel(panels[1, 1], "d", f"overlaps at {T[0]:g} $T_{{\\mathrm{{SG}}}}$", "$q$", "$P(q)$")
    return figure


def equilibrium_caption(result: xarray.Dataset) -> tuple[str, str]:
    """Describe order at the lowest temperature, and whether it is equilibrium."""
    about, cold = result.attrs, with_names(result).isel(temperature=0)
    lines = []
    for kind in cold["network"].values:
        row = cold.sel(network=kind)
        q = _number(float(row["overlap_square_mean"]), float(row["overlap_square_mean_stderr"]))
        g = _number(float(row["binder_mean"]), float(row["binder_mean_stderr"]))
        lines.append(f"{kind}: ⟨q²⟩ = {q}, Binder parameter {g}")
    text = (
        f"Units of {result.sizes['configuration']} networks in equilibrium, {about['ladders']} "
        f"ladders each, beside weights shuffled within layers and normal weights; at "
        f"{float(cold['temperature']):g} T_SG {'; '.join(lines)}. Criterion: {about['criterion']}."
    )
    if about["converged"] < 1:
        text += f" Converged: {about['converged']:.0%} of networks and temperatures."
    if about["clamped"] >= 0:
        text += f" Inputs are held at test example {about['clamped']}."
    return text, "Binder parameter, overlaps and their distribution against temperature."
