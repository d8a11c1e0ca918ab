"""Hamming distances between configurations, as sampled and in canonical form."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.report import style
from lsg_ray.report.binning import lattice_histogram

FORM_COLOURS = {"sampled": style.ACCENT, "canonical": style.CONTRAST}
FORM_LABELS = {"sampled": "as sampled", "canonical": "canonical form"}


@style.styled
def distances_figure(effect: xarray.Dataset) -> Figure:
    """Draw the distribution of d, and its mean and width in each part of the network.

    Parameters
    ----------
    effect
        Result of `lsg_ray.statistics.before_after.symmetry_effect`.
    """
    forms = [str(form) for form in effect["form"].values]
    d, random = effect["d"].values, effect["random"].values
    n = len(d) - 1
    figure, (left, right) = style.panels(2.85, 2, width_ratios=(1.25, 1))
    peak, edges = 0.0, []
    for form, pairs in zip(forms, effect["pairs"].values, strict=True):
        histogram = lattice_histogram(pairs, d, bins=70, around=0.5, smallest=max(1, n // 170))
        density = histogram.density()
        style.steps(
            left, density, histogram.edges, color=FORM_COLOURS[form], label=FORM_LABELS[form]
        )
        peak = max(peak, density.max())
        edges += [histogram.edges[0], histogram.edges[-1]]
    left.plot(d, random * n, color=style.INK, lw=1.1, ls=style.DASHED, label="random weights")
    peak = max(peak, random.max() * n)
    likely = d[random > 1e-6]
    left.set_xlim(max(min(*edges, likely[0]), -0.5 / n), min(max(*edges, likely[-1]), 1 + 0.5 / n))
    left.set_ylim(0, 1.35 * peak)
    left.xaxis.set_major_locator(style.round_ticks(6))
    left.legend(loc="upper left", borderaxespad=0.1)
    style.panel(left, "a", "all weights", "Hamming distance $d$", "$P(d)$")
    parts = [str(part) for part in effect["part"].values]
    position = np.arange(len(parts))
    for offset, form in zip((-0.12, 0.12) if len(forms) > 1 else (0.0,), forms, strict=True):
        row = effect.sel(form=form)
        right.errorbar(
            position + offset,
            row["mean"].values,
            row["std"].values,
            fmt="o",
            ms=4.5,
            capsize=2.5,
            lw=1.2,
            color=FORM_COLOURS[form],
            label=FORM_LABELS[form],
        )
    for x, width in zip(position, effect["random_std"].values, strict=True):
        right.bar(x, 2 * width, 0.6, 0.5 - width, color=style.INK, alpha=0.12, lw=0)
    right.axhline(0.5, color=style.INK, lw=0.8, ls=style.DASHED)
    right.set_xticks(position, parts)
    right.set_xlim(-0.6, len(parts) - 0.4)
    style.panel(right, "b", "by part", y="$d$, mean ± standard deviation")
    return figure


def distances_caption(effect: xarray.Dataset) -> tuple[str, str]:
    """Describe mean and width of P(d), as sampled and in canonical form."""
    about = effect.attrs

    def spread(form: str) -> str:
        row = effect.sel(form=form, part="all")
        return f"{float(row['mean']):.4f} ± {float(row['std']):.4f}"

    caption = (
        f"Hamming distance d, the share of weights that differ, between pairs of "
        f"{about['configurations']:,} configurations: mean and standard deviation "
        f"{spread('sampled')} as sampled"
    )
    if "canonical" in effect["form"].values:
        caption += (
            f", and {spread('canonical')} in canonical form, with the hidden units of each network "
            "in the order of their mean pre-activation over the test images of the digit 1. There "
            f"are {about['distinct_labels']:,} distinct orders and "
            f"{about['permutation_dependent_pairs']:,} pairs that differ by a permutation alone"
        )
    caption += (
        ". Dashed, random weights. In (b), mean and standard deviation in each part of the "
        "network; shaded, those of random weights."
    )
    return caption, "Histograms of Hamming distances, and their mean and width by part."
