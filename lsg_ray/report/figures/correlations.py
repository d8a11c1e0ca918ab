"""Connected correlations C_ij − m_i m_j between weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lsg_ray.report import style
from lsg_ray.report.binning import Histogram, block_average, pair_histogram
from lsg_ray.statistics.moments import independent_rows
from lsg_ray.typing import Array, Floats

#: Largest side of the heat map; larger matrices are averaged over square blocks.
MAX_IMAGE_SIDE = 1500
#: Colours saturate at this quantile of |C_ij − m_i m_j|.
COLOUR_QUANTILE = 0.995
#: Bins of the distribution, and numbers of them that are merged for parts with few pairs.
N_BINS = 105
MERGED_BINS = (1, 3, 5, 7, 15, 21)


@style.styled
def correlations_figure(moments: xarray.Dataset) -> Figure:
    """Draw connected correlations as a heat map in weight order, and their distribution by part.

    Parameters
    ----------
    moments
        From `lsg_ray.statistics.moments.moments`; N × N, averaged over blocks of the heat map
        where N is above `MAX_IMAGE_SIDE`.

    Notes
    -----
    Time and memory: O(N²) and the heat map, no further N × N array.
    """
    m, C = moments["m"].values, moments["C"].values
    part = moments["part"].values
    parts = [name for name in style.PART_COLOURS if (part == name).any()]
    figure, (left, right) = style.panels(3.7, 2, width_ratios=[1.12, 1.0])
    image, size = block_average(C, m, MAX_IMAGE_SIDE)
    spans = {name: np.flatnonzero(part == name)[[0, -1]] + [0, 1] for name in parts}
    _heat_map(left, image, size, spans)
    style.panel(left, "a", "in weight order" + (f", {size} × {size} averaged" if size > 1 else ""))
    groups = np.array([parts.index(name) for name in part])
    _distributions(right, C, m, groups, parts, independent_rows(moments))
    style.panel(right, "b", "distribution over pairs")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _heat_map(axes: Axes, image: Array, size: int, spans: dict[str, Array]) -> None:
    n_weights = max(int(span[1]) for span in spans.values())
    seen = np.abs(image[np.isfinite(image)])
    limit = float(np.quantile(seen, COLOUR_QUANTILE)) if len(seen) else 0.0
    limit = limit or float(seen.max(initial=0.0)) or 1.0
    extent = (0, len(image) * size, len(image) * size, 0)
    shown = axes.imshow(
        image, cmap=style.signed_colours(), vmin=-limit, vmax=limit, extent=extent, aspect="equal"
    )
    axes.set(xlim=(0, n_weights), ylim=(n_weights, 0))
    axes.spines[:].set_visible(True)
    for _, end in list(spans.values())[:-1]:
        axes.axhline(end, color=style.INK, lw=0.7)
        axes.axvline(end, color=style.INK, lw=0.7)
    named = _labelled(spans, n_weights)
    for axis, title in ((axes.xaxis, "weight $i$"), (axes.yaxis, "weight $j$")):
        axis.set_ticks([spans[name].mean() for name in named], named)
        axis.set_tick_params(length=0)
        axis.set_label_text(title)
        for label, name in zip(axis.get_ticklabels(), named, strict=True):
            label.set(color=style.PART_COLOURS[name], fontweight="bold")
    layout: dict[str, Any] = {"extend": "both", "shrink": 0.9, "aspect": 22, "pad": 0.02}
    style.colour_bar(shown, axes, "$C_{ij} - m_i m_j$", 5, symmetric=True, **layout)


def _labelled(spans: dict[str, Array], n_weights: int) -> list[str]:
    """Return the parts whose labels fit beside the heat map, larger parts first."""
    named: list[str] = []
    for name in sorted(spans, key=lambda name: spans[name][0] - spans[name][1]):
        gaps = [abs(spans[name].mean() - spans[other].mean()) for other in named]
        if min(gaps, default=n_weights) > 0.12 * n_weights:
            named.append(name)
    return named


def _distributions(
    axes: Axes, C: Array, m: Array, groups: Array, parts: list[str], count: float
) -> None:
    noise = 1 / np.sqrt(count)
    edges = _edges(C, m, noise)
    histograms = pair_histogram(C, m, groups, edges)
    for number, name in enumerate(parts):
        if (number, number) in histograms:
            histogram = _coarser(histograms[number, number])
            colour = style.PART_COLOURS[name]
            axes.stairs(histogram.density(), histogram.edges, color=colour, lw=1.3, label=name)
    between = [histogram.counts for (a, b), histogram in histograms.items() if a != b]
    if between:
        mixed = _coarser(Histogram(np.sum(between, axis=0), edges))
        axes.stairs(mixed.density(), mixed.edges, color=style.GREY, lw=1.0, label="between parts")
    x, null = style.normal_density(0.0, noise)
    label = r"sampling noise, width $1/\sqrt{M}$"
    axes.plot(x, null, color=style.INK, lw=1.1, ls=style.DASHED, label=label)
    pairs = max((int(histogram.counts.sum()) for histogram in histograms.values()), default=1)
    floor = 0.5 / (max(pairs, 2) * (edges[1] - edges[0]))
    top = max([null.max(), *(histogram.density().max() for histogram in histograms.values())])
    axes.set(yscale="log", ylim=(floor, 2 * top), xlim=(edges[0], edges[-1]))
    axes.set_xlabel("$C_{ij} - m_i m_j$,  $i<j$")
    axes.set_ylabel("probability density")
    axes.xaxis.set_major_locator(style.round_ticks(6, symmetric=True))


def _coarser(histogram: Histogram) -> Histogram:
    """Merge bins, an odd number at a time, where few pairs would look like many peaks."""
    limit = max(5.0, 3 * np.sqrt(histogram.counts.sum()))
    size = next((size for size in MERGED_BINS if N_BINS / size <= limit), MERGED_BINS[-1])
    return Histogram(histogram.counts.reshape(-1, size).sum(axis=1), histogram.edges[::size])


def _edges(C: Array, m: Array, noise: float) -> Floats:
    reach = 4 * noise
    for i in range(len(m) - 1):
        reach = max(reach, float(np.abs(C[i, i + 1 :] - m[i] * m[i + 1 :]).max()))
    return np.linspace(-1.02 * reach, 1.02 * reach, N_BINS + 1)


def correlations_caption(moments: xarray.Dataset) -> tuple[str, str]:
    """Describe the size of the correlations by part, and that of sampling noise alone."""
    part, m, C = moments["part"].values, moments["m"].values, moments["C"].values
    noise = f"1/\N{WORD JOINER}√M = {1 / np.sqrt(int(moments.attrs['count'])):.4f}"
    sizes = ", ".join(
        f"{name} {_rms_connected(C, m, members):.4f}"
        for name in style.PART_COLOURS
        if len(members := np.flatnonzero(part == name)) > 1
    )
    caption = (
        "Connected correlation C_ij − m_i m_j of each pair of weights: (a) as a matrix, in the "
        "order of the layers, each row-major [out, in], without the diagonal; colours saturate at "
        "the 99.5 % quantile; (b) the distribution over pairs within each part of the network and "
        f"between parts. Root mean square by part: {sizes}; by sampling noise alone {noise}."
    )
    if (size := -(-len(m) // MAX_IMAGE_SIDE)) > 1:
        caption += (
            f" For display, the heat map is averaged over blocks of {size} × {size} pairs, "
            "which hides structure within a block."
        )
    alt = f"Heat map of {len(m):,} by {len(m):,} covariances, and their distribution by part."
    return caption, alt


def _rms_connected(C: Array, m: Array, members: NDArray[np.intp]) -> float:
    """Root mean square of C_ij − m_i m_j over pairs of weights that follow one another."""
    inside = slice(members[0], members[-1] + 1)
    total = 0.0
    for i in range(members[0], members[-1]):
        row = C[i, i + 1 : inside.stop] - m[i] * m[i + 1 : inside.stop]
        total += float(row @ row)
    return float(np.sqrt(2 * total / (len(members) * (len(members) - 1))))
