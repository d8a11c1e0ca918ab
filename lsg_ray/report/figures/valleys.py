"""Asymmetric valleys: signs that networks share, the loss along such directions, barriers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.report import style
from lsg_ray.report.figures.loss_landscape import CURVE_COLOURS


@style.styled
def consistency_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the histogram of sign consistencies, and the means of layers."""
    figure = style.new_figure(2.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    for n, (name, result) in enumerate(results.items()):
        colour = CURVE_COLOURS[n % len(CURVE_COLOURS)]
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
        "variance over configurations; grey: random signs."
    )
    return caption, "Histogram of sign consistencies of pairs, and their means by layer."
