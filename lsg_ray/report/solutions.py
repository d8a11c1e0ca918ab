"""The report's sections about an ensemble of ReLU networks and its loss landscape."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray

from lsg_ray.datasets import Dataset
from lsg_ray.ensemble.layout import CURVES
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.landscape.censored import survival_of, told
from lsg_ray.networks.symmetry import log_group_order
from lsg_ray.report.figures.clustering import clustering_figure
from lsg_ray.report.figures.rsb import rsb_figure
from lsg_ray.report.figures.terrain import (
    curves_figure,
    flatness_figure,
    paths_figure,
    surface_figure,
    swaps_figure,
    walk_figure,
)
from lsg_ray.report.section import Section, section
from lsg_ray.statistics.modes import NAME


class Survey(NamedTuple):
    """Results of the landscape of real weights; ``paths`` and ``clusters`` by alignment.

    glass: overlaps of replicas of other systems, by name, to be shown beside.
    """

    walks: xarray.Dataset
    constrained: xarray.Dataset
    paths: dict[str, xarray.Dataset]
    swaps: xarray.Dataset
    curvature: xarray.Dataset
    surface: xarray.Dataset
    clusters: dict[str, xarray.Dataset]
    overlaps: xarray.Dataset
    glass: dict[str, xarray.Dataset]


#: Key and title of each section.
TITLES = {
    "training": "Training",
    "walks": "Random walks",
    "constrained": "Walks below the starting loss",
    "paths": "Paths between solutions",
    "swaps": "Permuted copies",
    "clusters": "Distances and clusters",
    "aligned": "Distances after weight matching",
    "curvature": "Curvature",
    "surface": "Loss surface",
    "replicas": "Overlaps and ultrametricity",
}


def solution_sections(
    ensemble: Ensemble, dataset: Dataset, survey: Survey | None, reason: str = ""
) -> list[Section]:
    """Draw and caption the landscape of solutions; without a survey, say why."""
    drawn = [_training(ensemble, dataset)] if ensemble.n_rows else []
    if survey is None:
        why = reason or "Not computed for this report."
        return [*drawn, Section("walks", TITLES["walks"], reason=why)]
    return [
        *drawn, _walks(survey.walks), _constrained(survey.constrained), _paths(survey.paths),
        _swaps(ensemble, survey.swaps), _clusters("clusters", survey.clusters["clustering"]),
        _clusters("aligned", survey.clusters["matching"]), _curvature(survey.curvature),
        _surface(survey.surface), _replicas(ensemble, survey.overlaps, survey.glass),
    ]  # fmt: skip


def _training(ensemble: Ensemble, dataset: Dataset) -> Section:
    rows = ensemble.column("configuration")[:200]
    curves = ensemble.take(rows, list(CURVES))
    epochs = np.arange(1, ensemble.spec.training.epochs + 1)
    accuracy, loss = ensemble.column("test_accuracy"), ensemble.column("train_loss")
    caption = (
        f"Loss and accuracy of {len(rows):,} networks by epoch: of training as means over the "
        f"epoch, of the test set ({len(dataset.test.y):,} examples) at its end; thin lines are "
        f"single networks. At the end, training loss {loss.mean():.4g} ± {loss.std():.2g}, "
        f"test accuracy {accuracy.mean():.4f} ± {accuracy.std():.4f}."
    )
    if ensemble.spec.training.target_loss is not None:
        caption += " Networks that have met the target keep their last value in the means."
    draw = partial(curves_figure, epochs, curves, ("train", "test"))
    return section("training", TITLES["training"], draw, caption, "Curves of training.")


def _walks(walk: xarray.Dataset) -> Section:
    about = walk.attrs
    settled = walk["settled"].mean(("solution", "walker")).values
    widths = ", ".join(
        f"{told(one)} for σ = {sigma}" for sigma, one in survival_of(walk, "flat_width").items()
    )
    caption = (
        f"Free Gaussian walks from {walk.sizes['solution']} solutions, mean and standard deviation "
        f"over walks; dashed, test set. The training loss, on {about['examples']:,} examples, has "
        f"risen by {about['rise']:g} nat (grey) at a distance of {widths}: the mean width of the "
        "flat region with its standard error, or at least so much where some walks, or all, end "
        "before they leave it. Walks that have come to a plateau: "
        f"{', '.join(f'{100 * share:.0f} %' for share in settled)}."
    )
    alt = "Loss and accuracy along random walks, and loss against distance, by step size."
    return section("walks", TITLES["walks"], partial(walk_figure, walk), caption, alt)


def _constrained(walk: xarray.Dataset) -> Section:
    about = walk.attrs
    first = walk["share"].isel(move=slice(0, 5)).mean(("solution", "walker", "move")).values
    last = walk["share"].isel(move=slice(-5, None)).mean(("solution", "walker", "move")).values
    moved = ", ".join(f"{a:.2f} → {b:.2f}" for a, b in zip(first, last, strict=True))
    caption = (
        f"Walks that may only move where the training loss, on {about['examples']:,} examples, is "
        f"below that of the solution: of {about['trials']} moves drawn at each step, one of those "
        f"is made. Share of allowed moves, first five against last five steps: {moved}."
    )
    alt = "Loss, accuracy and share of allowed moves along constrained walks."
    return section("constrained", TITLES["constrained"], partial(walk_figure, walk), caption, alt)


def _paths(paths: dict[str, xarray.Dataset]) -> Section:
    told = "; ".join(
        f"{name} {path['train_barrier'].values.mean():.3g} ± "
        f"{path['train_barrier'].values.std():.2g} (distance {path['distance'].values.mean():.3g})"
        for name, path in paths.items()
    )
    pairs = next(iter(paths.values())).sizes["pair"]
    caption = (
        f"Straight paths between {pairs} pairs of solutions, with hidden units as they are, in the "
        "order of their clustering, and matched to each other; mean and standard deviation, dashed "
        f"the test set. Barrier of the training loss in nat: {told}."
    )
    alt = "Loss and accuracy on straight paths between solutions, by alignment."
    return section("paths", TITLES["paths"], partial(paths_figure, paths), caption, alt)


def _swaps(ensemble: Ensemble, swaps: xarray.Dataset) -> Section:
    widths = ensemble.spec.network.widths
    barriers = swaps["test_barrier"].mean(("solution", "repeat")).values
    told = ", ".join(
        f"{value:.3g} at k = {k}" for k, value in zip(swaps["swaps"].values, barriers, strict=True)
    )
    caption = (
        "A solution and a copy of it with k disjoint pairs of hidden nodes swapped, which computes "
        "the same (checked on real inputs); the path between them, and the barrier of the test "
        f"loss in nat: {told}. There are at least Π n! = e^{log_group_order(widths):.0f} such "
        "copies of each solution."
    )
    alt = "Loss between permuted copies of a network, and barriers against the number of swaps."
    shape = "–".join(map(str, widths))
    return section("swaps", TITLES["swaps"], partial(swaps_figure, {shape: swaps}), caption, alt)


def _clusters(key: str, found: xarray.Dataset) -> Section:
    about = found.attrs
    how = {
        "clustering": "hidden units in the order of their clustering (the paper's)",
        "matching": "hidden units matched to those of one solution",
    }[about["alignment"]]
    caption = (
        f"Euclidean distances between {found.sizes['configuration']:,} solutions, {how}: mean "
        f"{about['mean']:.4g}, standard deviation {about['std']:.2g}; with a Gaussian fit, the "
        f"dendrogram by {about['linkage']} linkage, and the matrices of distances and of "
        "distances between clusters in the order of its leaves."
    )
    if np.isfinite(about.get("mean_before", np.nan)):
        caption += f" Before reordering: {about['mean_before']:.4g} ± {about['std_before']:.2g}."
    if np.isfinite(about.get("gaussian_p_value", np.nan)):
        verdict = "is" if about["gaussian_accepted"] else "is not"
        caption += (
            f" The distribution {verdict} that of Gaussian solutions at level {about['level']:g} "
            f"(p = {about['gaussian_p_value']:.2g})."
        )
    if np.isfinite(about.get("modes", np.nan)):
        caption += f" Modes by a {NAME}: {about['modes']:.0f}."
    alt = "Histogram of distances, dendrogram, distance matrix and cophenetic matrix."
    return section(key, TITLES[key], partial(clustering_figure, found), caption, alt)


def _curvature(found: xarray.Dataset) -> Section:
    about = found.attrs
    rise = found["rise"].mean("solution").values
    told = ", ".join(
        f"{value:.3g} at {radius:g}"
        for radius, value in zip(found["radius"].values, rise, strict=True)
    )
    caption = (
        f"Hessian of the training loss, on {about['examples']:,} examples, at "
        f"{found.sizes['solution']} solutions: largest eigenvalue "
        f"{about['top_eigenvalue_mean']:.3g} ± {about['top_eigenvalue_std']:.2g} (Lanczos), trace "
        f"{about['trace_mean']:.3g} ± {about['trace_std']:.2g} (random signs, bars are standard "
        f"errors). Rise of the loss in filter-normalised random directions, in nat: {told}."
    )
    if not about["converged"]:
        caption += " Not all eigenvalues have converged."
    alt = "Largest eigenvalues of the Hessian, its trace, and the rise of the loss with distance."
    return section("curvature", TITLES["curvature"], partial(flatness_figure, found), caption, alt)


def _surface(surface: xarray.Dataset) -> Section:
    about = surface.attrs
    cosine = f"{about['cosine']:.3f}".replace("-", "−")
    caption = (
        f"Plane through solution {about['configuration']} in two filter-normalised random "
        f"directions (their cosine: {cosine}): training loss "
        f"on {about['examples']:,} examples, and accuracy on the test set."
    )
    alt = "Contours of training loss and test accuracy on a plane through a solution."
    return section("surface", TITLES["surface"], partial(surface_figure, surface), caption, alt)


def _replicas(
    ensemble: Ensemble, found: xarray.Dataset, glass: Mapping[str, xarray.Dataset]
) -> Section:
    systems = {ensemble.spec.name: found, **glass}
    told = "; ".join(
        f"{name}: σ(q) = {float(one['std']):.3g}, K = {float(one['ultrametricity']):.2f} ± "
        f"{float(one['ultrametricity_stderr']):.2f}"
        for name, one in systems.items()
    )
    caption = (
        "Overlaps of solutions (cosine of their weights, hidden units matched to those of one), "
        "beside replicas of the Sherrington–Kirkpatrick model in its glass and its paramagnetic "
        "phase: P(q), the matrix of overlaps in the order of average linkage, and how far triples "
        "are from ultrametric, K = (second − smallest q)/σ(q), which is 0 where all triangles are "
        f"isosceles with a short base. {told}. Dashed, the same of independent weights with the "
        "same marginals, and of shuffled ones."
    )
    alt = "P(q), overlap matrices and ultrametricity of networks and of the SK model."
    return section("replicas", TITLES["replicas"], partial(rsb_figure, systems), caption, alt)
