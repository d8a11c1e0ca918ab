"""Asymmetric valleys: signs that networks share, the loss along such directions, barriers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lsg_ray.report import style


@style.styled
def consistency_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the histogram of sign consistencies, and the means of layers."""
    figure = style.new_figure(2.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    for n, (name, result) in enumerate(results.items()):
        colour = style.curve_colour(n)
        edges = np.append(result["left"].values, result["right"].values[-1])
        density = result["probability"].values / np.diff(edges)
        style.steps(left, density, edges, color=colour, label=style.verbatim(name))
        bars = {"fmt": "o", "ms": 4, "capsize": 2, "color": colour}
        layer = result["layer"].values + 0.15 * (n - (len(results) - 1) / 2)
        right.errorbar(
            layer, result["layer_mean"].values, result["layer_mean_stderr"].values, **bars
        )
    left.axvline(0.5, color=style.GREY, lw=0.8)
    right.axhline(0.5, color=style.GREY, lw=0.8)
    if len(results) > 1:
        left.legend()
    style.ticks(left, 6, 5)
    right.set_xticks(next(iter(results.values()))["layer"].values)
    right.margins(x=0.3)
    style.panel(left, "a", "all pairs", "sign consistency SSR", "density of pairs")
    style.panel(right, "b", "by layer", "layer", "mean SSR")
    return figure


def consistency_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the means, with their errors."""
    texts = []
    for name, result in results.items():
        about = result.attrs
        texts.append(
            f"{name}: mean {about['mean']:.4f} ± {about['mean_stderr']:.1g}, standard deviation "
            f"{about['std']:.4f} (random signs: {about['random_std']:.4f}), of "
            f"{about['n_pairs']:,} pairs of {about['configurations']:,} configurations"
        )
    caption = (
        "Sign consistency SSR, the share of weights of equal sign among those that are zero in "
        f"neither, of all pairs. {'; '.join(texts)}. Standard errors are from an analysis of "
        "variance over configurations, or groups of related ones; grey: random signs."
    )
    return caption, "Histogram of sign consistencies of pairs, and their means by layer."


@style.styled
def asymmetry_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the asymmetry of error and of loss against the sign consistency, by law of noise."""
    figure = style.new_figure(2.9)
    panels = figure.subplots(1, 2, sharey=True)
    for n, (label, result, width) in enumerate(_curves(results)):
        some = result.sel(width=width)
        shared = some["sign_consistency"].mean(("solution", "direction")).values
        for axes, quantity in zip(panels, ("test_error", "test_loss"), strict=True):
            one = some.sel(quantity=quantity)
            axes.errorbar(
                shared,
                one["asymmetry_mean"].values,
                one["asymmetry_mean_stderr"].values,
                fmt="o-",
                ms=3,
                capsize=2,
                color=style.curve_colour(n),
                label=label,
            )
    first = next(iter(results.values()))
    if "special" in first.coords:
        consistency = first["special_sign_consistency"].isel(width=0).mean("solution").values
        for axes, quantity in zip(panels, ("test_error", "test_loss"), strict=True):
            one = first.isel(width=0).sel(quantity=quantity)
            for n, name in enumerate(first["special"].values):
                axes.errorbar(
                    consistency[n],
                    one["special_asymmetry_mean"][n],
                    one["special_asymmetry_mean_stderr"][n],
                    fmt="sDv^<>"[n % 6],
                    ms=4,
                    color=style.INK,
                    mfc="white",
                    capsize=2,
                    lw=0.8,
                    label=str(name),
                )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    for axes in panels:
        axes.axhline(0, color=style.GREY, lw=0.7)
        style.ticks(axes, 5, 5)
    x = "sign consistency with the solution"
    style.panel(panels[0], "a", "test error", x, "asymmetry $A$")
    style.panel(panels[1], "b", "test loss", x)
    return figure


def _curves(results: Mapping[str, xarray.Dataset]) -> list[tuple[str, xarray.Dataset, float]]:
    """Return label, result and width of each curve: one a law of noise and width."""
    curves = []
    for name, result in results.items():
        law = str(result.attrs["noise"])
        again = sum(other.attrs["noise"] == law for other in results.values()) > 1
        widths = result["width"].values
        for width in widths:
            label = style.verbatim(f"{law} ({name})") if again else law
            curves.append((f"{label}, s = {width:g}" if len(widths) > 1 else label, result, width))
    return curves


def asymmetry_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the ends of the curves, the special directions and the verdicts."""
    texts = []
    for label, result, width in _curves(results):
        one = result.sel(width=width, quantity="test_error")
        ends = [
            f"{float(one['asymmetry_mean'][k]):.3f} ± {float(one['asymmetry_mean_stderr'][k]):.1g}"
            for k in (0, -1)
        ]
        words = str(result.attrs["monotone_test_error"]).split(", ")
        index = result["width"].values.tolist().index(width)
        texts.append(f"{label} {ends[0]} to {ends[1]} (monotone: {words[index]})")
    first = next(iter(results.values()))
    about, r = first.attrs, first["ratio"].values
    caption = (
        "Asymmetry A = (Ē₋ − Ē₊)/(Ē₋ + Ē₊) of the test error and of the test loss on θ + λε, Ē± "
        f"means over λ between 0 and ±1, against the share of signs that ε has of θ; noise at the "
        f"scale {about['scale']}, {first.sizes['solution']} solutions, {about['directions']} "
        f"directions each; errors over solutions. A of the test error from r = {r[0]:g} to "
        f"{r[-1]:g}: {'; '.join(texts)}. Criterion: {about['criterion']}."
    )
    if "special" in first.coords:
        one = first.isel(width=0).sel(quantity="test_error")
        named = ", ".join(
            f"{name} {float(a):.3f} ± {float(error):.1g}"
            for name, a, error in zip(
                first["special"].values,
                one["special_asymmetry_mean"],
                one["special_asymmetry_mean_stderr"],
                strict=True,
            )
        )
        caption += f" Open symbols, special directions: {named}."
    return caption, "Asymmetry index against the share of consistent signs, by law of noise."


@style.styled
def profiles_figure(result: xarray.Dataset) -> Figure:
    """Draw error, loss, softmax variance and ReLU agreement along λ, by share of signs."""
    figure = style.new_figure(4.6)
    panels = figure.subplots(2, 2)
    some, x = result.isel(width=0), result["lambda"].values
    curves = {
        "test error": 1 - some["test_accuracy"],
        "test loss (nat)": some["test_loss"],
        r"$\langle 1-\sum_c p_c^2\rangle$": some["softmax_variance"],
        "units as in the solution": some["relu_agreement"],
    }
    shades = style.accuracy_colours()
    ratios = result["ratio"].values
    for letter, axes, (label, values) in zip("abcd", panels.flat, curves.items(), strict=True):
        for k, ratio in enumerate(ratios):
            colour = to_hex(shades(k / max(1, len(ratios) - 1)))
            rows = values.isel(ratio=k).values
            style.band(axes, x, rows, colour, f"{ratio:g}")
        axes.axvline(0, color=style.GREY, lw=0.6)
        style.ticks(axes, 4, 5)
        style.panel(axes, letter, "", r"$\lambda$", label)
    handles = panels[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=8, title="share $r$ of signs")
    return figure


def profiles_caption(result: xarray.Dataset) -> tuple[str, str]:
    """Describe the two sides of noise without and with the signs of the weights."""
    some = result.isel(width=0).mean("solution")
    x = result["lambda"].values
    texts = []
    for k in (0, -1):
        one = some.isel(ratio=k)
        sides = [
            f"{float(one['softmax_variance'][s]):.3f} and {float(one['relu_agreement'][s]):.3f}"
            for s in (0, len(x) - 1)
        ]
        texts.append(f"{sides[0]} at λ = −1, {sides[1]} at 1 for r = {float(one['ratio']):g}")
    caption = (
        f"Test error, test loss, mean of tr(diag p − ppᵀ) over test examples, and share of hidden "
        f"units and examples that are active or not as in the solution, along θ + λε with "
        f"{result.attrs['noise']} noise of width {float(result['width'][0]):g}; mean and standard "
        f"deviation over {result.sizes['solution']} solutions. The last two are "
        f"{'; '.join(texts)}."
    )
    return caption, "Profiles of error, loss, softmax variance and ReLU agreement."


@style.styled
def barrier_figure(result: xarray.Dataset) -> Figure:
    """Draw barriers and the loss of accuracy by fusion against the sign consistency."""
    figure = style.new_figure(2.9)
    panels = figure.subplots(1, 2)
    kind_of = result["kind_of"].values
    kinds = [str(kind) for kind in result["kind"].values if kind != "all"]
    for n, kind in enumerate(kinds):
        here = kind_of == kind
        for axes, name in zip(panels, ("train_barrier", "fusion_gap"), strict=True):
            axes.plot(
                result["sign_consistency"].values[here],
                result[name].values[here],
                ".",
                ms=4,
                alpha=0.5,
                color=style.curve_colour(n),
                label=f"{kind} ({here.sum()})",
            )
    for axes in panels:
        axes.axhline(0, color=style.GREY, lw=0.7)
        style.ticks(axes, 5, 5)
    panels[0].legend()
    x = "sign consistency SSR"
    style.panel(panels[0], "a", "barrier", x, "barrier of the training loss (nat)")
    style.panel(panels[1], "b", "fusion", x, "loss of test accuracy")
    return figure


def barrier_caption(result: xarray.Dataset) -> tuple[str, str]:
    """Describe the means and rank correlations of each kind of pairs."""
    texts = []
    for kind in result["kind"].values:
        one = result.sel(kind=kind)
        numbers = [
            f"{float(one['mean'].sel(quantity=q)):.3g} ± "
            f"{float(one['mean_stderr'].sel(quantity=q)):.1g}"
            for q in ("sign_consistency", "train_barrier", "fusion_gap")
        ]
        rho = one.sel(quantity="train_barrier")
        texts.append(
            f"{kind}, {int(one['n_pairs'])} pairs: SSR {numbers[0]}, barrier {numbers[1]} nat, "
            f"loss of accuracy {numbers[2]}, ρ = {float(rho['spearman']):.2f} ± "
            f"{float(rho['spearman_stderr']):.1g} ({result.attrs[f'verdict_{kind}']})"
        )
    caption = (
        "Barrier of the training loss on straight paths between pairs of solutions, and by how "
        "much the average of two networks is less accurate than they are, against the share of "
        f"their weights that have equal signs. {'; '.join(texts)}. Spearman's ρ is of SSR and "
        "barrier; errors are bootstrapped over networks."
    )
    return caption, "Barriers and losses of accuracy by fusion against sign consistency."
