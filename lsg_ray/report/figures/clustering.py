"""Distances between solutions and their hierarchy: histogram, dendrogram, ordered matrices."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from lsg_ray.report import style
from lsg_ray.statistics.hierarchy import check_tree
from lsg_ray.statistics.modes import MODE_TEST_NAME
from lsg_ray.typing import Floats, Ints

METRIC_NAMES = {"euclidean": "Euclidean distance", "hamming": "Hamming distance (weights)"}


@style.styled
def clustering_figure(clusters: xarray.Dataset) -> Figure:
    """Draw the histogram of distances with its Gaussian, the dendrogram, and both matrices.

    Parameters
    ----------
    clusters
        Result of `lsg_ray.statistics.clustering.cluster`.  Both matrices are in the order of the
        leaves, with one scale of colours; their diagonals, which are zero, are grey.
    """
    figure = style.new_figure(5.9)
    (histogram, tree), (left, right) = figure.subplots(2, 2, height_ratios=(1, 1.32))
    name = METRIC_NAMES[str(clusters.attrs["metric"])]
    _histogram(histogram, clusters, name)
    _dendrogram(tree, clusters["linkage"].values, name)
    order = clusters["leaf_order"].values
    count = len(order)
    pairs = np.triu_indices(count, 1)
    distance = clusters["distance"].values
    low, high = float(distance[pairs].min()), float(distance[pairs].max())
    shown: dict[str, Any] = {
        "cmap": matplotlib.colormaps["viridis"].with_extremes(bad=style.PALE),
        "vmin": low,
        "vmax": high if high > low else low + 1,
        "interpolation": "nearest",
        "extent": (0.5, count + 0.5, count + 0.5, 0.5),
    }
    image = None
    for axes, letter, title, matrix in (
        (left, "c", "distance", distance),
        (right, "d", "cophenetic distance", clusters["cophenetic"].values),
    ):
        image = axes.imshow(_in_order(matrix, order), **shown)
        axes.spines[:].set_visible(True)
        style.ticks(axes, 5, 5, integer=True)
        style.panel(axes, letter, title, "configuration, in leaf order")
    left.set_ylabel("configuration, in leaf order")
    style.colour_bar(image, [left, right], name, 6, aspect=28, pad=0.015)
    return figure


def _in_order(matrix: Floats, order: Ints) -> Floats:
    """Return a matrix in leaf order, without its diagonal."""
    ordered = matrix[np.ix_(order, order)].astype(np.float64)
    np.fill_diagonal(ordered, np.nan)
    return ordered


def _histogram(axes: Axes, clusters: xarray.Dataset, name: str) -> None:
    edges = np.append(clusters["left"].values, clusters["right"].values[-1])
    pairs = clusters["pairs"].values
    density = pairs / (pairs.sum() * np.diff(edges))
    style.steps(axes, density, edges, color=style.ACCENT, label=f"{pairs.sum():,} pairs")
    mean, std = float(clusters.attrs["mean"]), float(clusters.attrs["std"])
    peak = float(density.max())
    low, high = float(edges[0]), float(edges[-1])
    p_value = float(clusters.attrs["gaussian_p_value"])
    if std > 1e-9 * abs(mean):
        x, normal = style.normal_density(mean, std)
        tested = "" if np.isnan(p_value) else f", {_probability(p_value, clusters)}"
        axes.plot(x, normal, color=style.CONTRAST, label=f"Gaussian{tested}")
        peak = max(peak, float(normal.max()))
        low, high = min(low, mean - 3.5 * std), max(high, mean + 3.5 * std)
    axes.set(xlim=(max(low, 0.0), high), ylim=(0, 1.42 * peak))
    style.ticks(axes, 5, 5)
    axes.legend(loc="upper left", borderaxespad=0.1)
    style.panel(axes, "a", "histogram of pairs", name, "density")


def _probability(p_value: float, clusters: xarray.Dataset) -> str:
    least = float(clusters.attrs["min_p_value"])
    return f"$p \\leq {least:.2g}$" if p_value <= least else f"$p = {p_value:.2g}$"


def _dendrogram(axes: Axes, tree: Floats, name: str) -> None:
    """Draw a linkage: each merger as a bracket at its height."""
    count = len(tree) + 1
    lines = brackets(tree)
    width = float(np.clip(60 / count, 0.4, 1.0))
    axes.add_collection(LineCollection(list(lines), colors=style.INK, linewidths=width))
    # The axis begins a little below the lowest merger: there is nothing below.
    low, high = float(tree[:, 2].min()), float(tree[:, 2].max())
    margin = 0.12 * (high - low) or 0.1 * (high or 1.0)
    axes.set_xlim(0.5, count + 0.5)
    axes.set_ylim(max(low - margin, 0.0) if low > 0 else 0.0, high + 0.5 * margin)
    axes.xaxis.set_major_locator(style.round_ticks(5, integer=True))
    axes.yaxis.set_major_locator(style.round_ticks(5))
    style.panel(axes, "b", "dendrogram", "configuration, in leaf order", name)


def brackets(tree: Floats) -> Floats:
    """Return the lines of a dendrogram: (mergers, 4 points, 2), leaves at 1, 2, … on the x-axis."""
    from scipy.cluster.hierarchy import leaves_list

    check_tree(tree)
    count = len(tree) + 1
    x, y = np.zeros(count + len(tree)), np.zeros(count + len(tree))
    x[leaves_list(tree)] = np.arange(1, count + 1)
    lines = np.empty((len(tree), 4, 2))
    for k, (first, second, height, _) in enumerate(tree):
        a, b = int(first), int(second)
        lines[k] = [(x[a], y[a]), (x[a], height), (x[b], height), (x[b], y[b])]
        x[count + k], y[count + k] = (x[a] + x[b]) / 2, height
    return lines


def order_of(*alignments: str) -> str:
    """Describe the order of the hidden units."""
    orders = {
        "clustering": ", hidden units of each solution in the order of a hierarchical clustering",
        "matching": ", hidden units of all solutions matched to those of one of them",
    }
    return orders.get(alignments[0], "") if len(alignments) == 1 else ""


def clustering_caption(clusters: xarray.Dataset) -> tuple[str, str]:
    """Describe the distances: mean, width, and whether they are those of one Gaussian."""
    about = clusters.attrs
    caption = (
        f"{str(about['metric']).capitalize()} distances between "
        f"{clusters.sizes['configuration']:,} solutions{order_of(str(about['alignment']))}: mean "
        f"{about['mean']:.4g}, standard deviation {about['std']:.2g}. (a) Histogram with a "
        f"Gaussian of the same mean and width, (b) dendrogram by {about['linkage']} linkage, and, "
        "in the order of its leaves, the matrices of (c) distances and (d) cophenetic distances, "
        "at which two solutions first belong to one cluster."
    )
    if np.isfinite(about.get("mean_before", np.nan)):
        caption += (
            f" Before the hidden units were reordered: {about['mean_before']:.4g} ± "
            f"{about['std_before']:.2g}."
        )
    if np.isfinite(about.get("gaussian_p_value", np.nan)):
        verdict = "compatible" if about["gaussian_accepted"] else "not compatible"
        caption += (
            f" The distribution is {verdict} with that of independent Gaussian solutions at the "
            f"significance level {about['level']:g} (p = {about['gaussian_p_value']:.2g})."
        )
    if np.isfinite(about.get("modes", np.nan)):
        caption += f" Number of modes by a {MODE_TEST_NAME}: {about['modes']:.0f}."
    return caption, "Histogram of distances, dendrogram, distance matrix and cophenetic matrix."
