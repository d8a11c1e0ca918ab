"""Distribution P(q) of the overlap between configurations."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.report import style
from lsg_ray.report.binning import lattice_histogram


@style.styled
def overlaps_figure(overlaps: xarray.Dataset) -> Figure:
    """Draw P(q), on a linear and on a logarithmic axis, with that of independent weights.

    Parameters
    ----------
    overlaps
        Result of `lsg_ray.statistics.overlaps.overlaps`.  Independent weights are drawn as a normal
        distribution of ``independent_mean`` and ``independent_std``, random ones of ``random_std``.
    """
    overlaps = _pooled(overlaps)
    q, pairs, about = overlaps["q"].values, overlaps["pairs"].values, overlaps.attrs
    mean, null_mean, null_std, random_std = (
        float(about[name]) for name in ("mean", "independent_mean", "independent_std", "random_std")
    )
    step = 2 / max(len(q) - 1, 1)
    least = round(0.2 * np.nan_to_num(null_std) / step)
    histogram = lattice_histogram(pairs, q, bins=70, around=mean, smallest=least)
    density = histogram.density()
    left = max(np.nanmin([histogram.edges[0], null_mean - 4 * null_std]), -1 - step)
    right = min(np.nanmax([histogram.edges[-1], null_mean + 4 * null_std]), 1 + step)
    figure = style.new_figure(2.85)
    panels = zip(figure.subplots(1, 2), "ab", ("linear", "logarithmic"), strict=True)
    for axes, letter, scale in panels:
        style.steps(axes, density, histogram.edges, color=style.ACCENT, label="ensemble")
        peak = density.max()
        if null_std > 0:
            x, null = style.normal_density(null_mean, null_std)
            dashed = {"color": style.INK, "lw": 1.1, "ls": style.DASHED}
            axes.plot(x, null, label="independent weights", **dashed)
            peak = max(peak, null.max())
        random = style.normal_density(0.0, random_std)
        axes.plot(*random, color=style.GREY, lw=1.1, ls=":", label="random weights")
        axes.set_xlim(left, right)
        axes.xaxis.set_major_locator(style.round_ticks(6))
        style.panel(axes, letter, scale, "overlap $q$", "$P(q)$")
        if scale == "linear":
            axes.set_ylim(0, 1.3 * peak)
            axes.legend(loc="upper right", borderaxespad=0.1)
        else:
            axes.set_yscale("log")
            floor = 0.5 / (max(pairs.sum(), 1) * histogram.widths[0])
            axes.set_ylim(min(floor, 1e-3 * peak), 3 * peak)
    return figure


def overlaps_caption(overlaps: xarray.Dataset) -> tuple[str, str]:
    """Describe mean and width of P(q), and those of independent weights."""
    about, pairs = _pooled(overlaps).attrs, int(overlaps["pairs"].values.sum())
    rows = about["configurations"]
    caption = (
        f"Distribution of the overlap q over {'all ' if 2 * pairs == rows * (rows - 1) else ''}"
        f"{pairs:,} pairs of {rows:,} configurations: mean {about['mean']:.4f}, standard "
        f"deviation {about['std']:.4f}. "
    )
    if np.isfinite(about["independent_std"]):
        caption += (
            "Dashed, independent weights of the same magnetizations (normal, mean "
            f"{about['independent_mean']:.4f}, standard deviation "
            f"{about['independent_std']:.4f}); a larger width is due to correlations. "
        )
    caption += "Dotted, random weights."
    return caption, "Histogram of overlaps, linear and logarithmic, beside a normal distribution."


def _pooled(overlaps: xarray.Dataset) -> xarray.Dataset:
    """Return one histogram, of several references their sum; NaN where there is no null."""
    pooled, about = overlaps, {"independent_mean": np.nan, "independent_std": np.nan}
    if "reference" in overlaps.dims:
        pooled = overlaps[["pairs"]].sum("reference")
        shares = {"": pooled["pairs"].values / pooled["pairs"].values.sum()}
        shares["independent_"] = overlaps["independent"].mean("reference").values
        q = overlaps["q"].values
        for name, p in shares.items():
            about[f"{name}mean"] = float(p @ q)
            about[f"{name}std"] = float(np.sqrt(max(p @ q**2 - (p @ q) ** 2, 0.0)))
    return pooled.assign_attrs(about | overlaps.attrs)
