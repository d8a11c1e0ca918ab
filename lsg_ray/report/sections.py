"""The sections of the report: each a figure with its caption, or the reason why there is none."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.datasets import Dataset, RawData, load_images
from lsg_ray.ensemble.lazy import weight_coordinates
from lsg_ray.ensemble.ledger import BINS
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import DataError
from lsg_ray.report.figures.accuracy import accuracy_figure
from lsg_ray.report.figures.correlations import LARGEST_IMAGE, correlations_figure
from lsg_ray.report.figures.distances import distances_figure
from lsg_ray.report.figures.inputs import inputs_figure
from lsg_ray.report.figures.magnetization import hidden_average, magnetization_figure
from lsg_ray.report.figures.map import map_figure
from lsg_ray.report.figures.overlaps import overlaps_figure
from lsg_ray.report.section import Section, section
from lsg_ray.statistics.maps import FEWEST
from lsg_ray.statistics.moments import independent_rows
from lsg_ray.typing import Array, Ints

SETS = {"test": "test set", "train": "training set", "validation": "validation set"}


def rejected_counts(ensemble: Ensemble) -> Ints:
    """Sum the ledger's histograms of rejected trials: (200,) counts on [0, 1]."""
    counts = np.zeros(BINS, np.int64)
    for record in ensemble.each_record():
        for place, number in record.rejected.items():
            counts[place] += number
    return counts


def sections(
    ensemble: Ensemble,
    dataset: Dataset,
    *,
    moments: xarray.Dataset | None,
    overlaps: xarray.Dataset | None,
    distances: xarray.Dataset | None,
    map_: xarray.Dataset | None,
    rejected: Ints,
) -> list[Section]:
    """Draw and caption every figure; see `lsg_ray.report.page.write_report`."""
    if moments is not None:  # results read back from disk have numbers for the parts' names
        part = weight_coordinates(ensemble.spec)["part"][moments["weight"].values]
        moments = moments.assign_coords(part=("weight", part))
    return [
        _accuracy(ensemble, dataset, rejected),
        _magnetization(ensemble, dataset, moments),
        _correlations(ensemble, moments),
        _overlaps(ensemble, overlaps),
        _distances(ensemble, distances),
        _map(ensemble, map_),
        inputs_section(ensemble, dataset),
    ]


def _accuracy(ensemble: Ensemble, dataset: Dataset, rejected: Ints) -> Section:
    key, title = "accuracy", "Accuracy of the trials"
    accepted = ensemble.column("accuracy")
    if not len(accepted):
        return Section(key, title, reason=_absent(ensemble, 1))
    spec = ensemble.spec.ensemble
    draw = partial(
        accuracy_figure,
        accepted,
        rejected,
        threshold=spec.threshold,
        selection=spec.selection,
        n_examples=len(dataset.examples(spec.selection).y),
        test_accuracy=None if spec.selection == "test" else ensemble.column("test_accuracy"),
        n_test=len(dataset.test.y),
        acceptance=None if ensemble.condition is None else ensemble.info()["acceptance"],
    )
    chosen = SETS[spec.selection]
    caption = (
        f"Accuracy on the {chosen} of the best of {spec.draws:,} configurations drawn in each "
        f"trial; trials are accepted from {spec.threshold:g} on. Accepted configurations have mean "
        f"accuracy {accepted.mean(dtype=np.float64):.4f}; as they are selected on this very set, "
        "it flatters them."
    )
    if spec.selection != "test":
        caption += " The outline shows the same configurations on the test set."
    alt = (
        f"Stacked histogram of accuracy on the {chosen}: {len(accepted):,} accepted and "
        f"{rejected.sum():,} rejected trials, with the threshold {spec.threshold:g} marked."
    )
    return section(key, title, draw, caption, alt)


def _magnetization(ensemble: Ensemble, dataset: Dataset, moments: xarray.Dataset | None) -> Section:
    key, title = "magnetization", "Magnetization"
    if moments is None:
        return Section(key, title, reason=_absent(ensemble, 2))
    widths = ensemble.spec.network.widths
    part, m, count = moments["part"].values, moments["m"].values, int(moments.attrs["count"])
    spreads = ", ".join(
        f"{name} {m[part == name].mean():+.3f} ± {m[part == name].std():.3f}"
        for name in ensemble.parts
        if (part == name).any()
    ).replace("-", "−")
    caption = (
        f"Mean of each weight over M = {count:,} configurations. Mean ± standard deviation over "
        f"the weights of a part: {spreads}; sampling noise alone would give 0 ± "
        f"{1 / np.sqrt(independent_rows(moments)):.3f}. "
    )
    shallow = len(widths) == 2
    if shallow:
        caption += "Below, each weight by itself: without hidden units none are equivalent."
    else:
        caption += (
            "Below, m averaged over hidden units, which the permutation symmetry makes "
            "equivalent; error bars are one standard error, with correlations."
        )
    if (part == "ITR").any():
        interior = hidden_average(moments, "ITR", "layer")
        values = ", ".join(
            f"{mean:+.4f} ± {error:.4f}" for mean, error in zip(*interior, strict=True)
        )
        caption += f" Average of the interior, layer by layer: {values}.".replace("-", "−")
    if (frozen := int(np.sum(np.abs(m) == 1))) and count > 20:
        caption += f" {frozen:,} of {len(m):,} weights are the same in all configurations."
    pixels = dataset.image_shape if dataset.components is None else None
    draw = partial(magnetization_figure, moments, shallow=shallow, pixels=pixels)
    alt = f"Histograms of magnetizations ({spreads}), and their averages by input and by class."
    return section(key, title, draw, caption, alt)


def _correlations(ensemble: Ensemble, moments: xarray.Dataset | None) -> Section:
    key, title = "correlations", "Connected correlations"
    if moments is None:
        return Section(key, title, reason=_absent(ensemble, 2))
    part, m, C = moments["part"].values, moments["m"].values, moments["C"].values
    noise = f"1/\N{WORD JOINER}√M = {1 / np.sqrt(int(moments.attrs['count'])):.4f}"
    sizes = []
    for name in ensemble.parts:
        members = np.flatnonzero(part == name)
        if len(members) > 1:
            sizes.append(f"{name} {_rms_connected(C, m, members):.4f}")
    caption = (
        "Covariance of each pair of weights, in the order of the layers, each row-major "
        "[out, in]; the diagonal is left out and colours saturate at the 99.5 % quantile. "
        f"Root mean square: {', '.join(sizes)}; sampling noise alone {noise}."
    )
    if (size := -(-len(m) // LARGEST_IMAGE)) > 1:
        caption += (
            f" For display, the heat map is averaged over blocks of {size} × {size} pairs, "
            "which hides what alternates within a block."
        )
    alt = f"Heat map of {len(m):,} by {len(m):,} covariances, and their distribution by part."
    return section(key, title, partial(correlations_figure, moments), caption, alt)


def _rms_connected(C: Array, m: Array, members: NDArray[np.intp]) -> float:
    """Root mean square of C_ij − m_i m_j over pairs of weights that follow one another."""
    inside = slice(members[0], members[-1] + 1)
    total = 0.0
    for i in range(members[0], members[-1]):
        row = C[i, i + 1 : inside.stop] - m[i] * m[i + 1 : inside.stop]
        total += float(row @ row)
    return float(np.sqrt(2 * total / (len(members) * (len(members) - 1))))


def _overlaps(ensemble: Ensemble, overlaps: xarray.Dataset | None) -> Section:
    key, title = "overlaps", "Overlap between configurations"
    if overlaps is None:
        return Section(key, title, reason=_absent(ensemble, 2))
    about = overlaps.attrs
    pairs = int(overlaps["pairs"].values.sum())
    caption = (
        f"Distribution of the overlap over all {pairs:,} pairs of {about['configurations']:,} "
        f"configurations: mean {about['mean']:.4f}, standard deviation {about['std']:.4f}. "
        "Dashed, independent weights of the same magnetizations (normal, mean "
        f"{about['independent_mean']:.4f}, standard deviation {about['independent_std']:.4f}); "
        "what is wider is due to correlations. Dotted, random weights."
    ).replace("-0", "−0")
    alt = "Histogram of overlaps on a linear and a logarithmic axis, beside a normal distribution."
    return section(key, title, partial(overlaps_figure, overlaps), caption, alt)


def _distances(ensemble: Ensemble, distances: xarray.Dataset | None) -> Section:
    key, title = "distances", "Distances and node symmetry"
    if distances is None:
        return Section(key, title, reason=_absent(ensemble, 2))
    about = distances.attrs

    def spread(form: str) -> str:
        row = distances.sel(form=form, part="all")
        return f"{float(row['mean']):.4f} ± {float(row['std']):.4f}"

    caption = (
        f"Hamming distance d between {about['configurations']:,} configurations: mean and standard "
        f"deviation over pairs {spread('sampled')} as sampled"
    )
    if "canonical" in distances["form"].values:
        caption += (
            f", and {spread('canonical')} in canonical form, with the hidden units of each network "
            "in the order of their mean pre-activation over the test images of the digit 1. There "
            f"are {about['distinct_labels']:,} distinct orders and "
            f"{about['permutation_dependent_pairs']:,} pairs that differ by a permutation alone"
        )
    caption += (
        ". Dashed, random weights; in (b), bars are standard deviations, shaded for random weights."
    )
    alt = "Histograms of Hamming distances, and their mean and width by part of the network."
    return section(key, title, partial(distances_figure, distances), caption, alt)


def _map(ensemble: Ensemble, map_: xarray.Dataset | None) -> Section:
    key, title = "map", "Map of starts and solutions"
    if map_ is None:
        return Section(key, title, reason=_absent(ensemble, FEWEST))
    about = map_.attrs
    learned = int(map_["learned"].values.sum())
    caption = (
        f"t-SNE (perplexity {about['perplexity']:.3g}, Kullback–Leibler divergence "
        f"{about['kl_divergence']:.3g}) of {learned:,} learned configurations, coloured by "
        "accuracy, and of configurations drawn from their own initial fields. For ±1 weights, "
        "squared Euclidean distance is four times the Hamming distance; only neighbourhoods mean "
        "something, axes do not."
    )
    alt = f"Scatter plot of {learned:,} learned configurations among as many random starts."
    return section(key, title, partial(map_figure, map_), caption, alt)


def inputs_section(ensemble: Ensemble, dataset: Dataset) -> Section:
    """Draw what the networks see of an image."""
    spec = ensemble.spec.dataset
    raw: RawData | None
    try:
        raw = load_images(spec.name, download=False)
    except DataError:
        raw = None
    kept = dataset.explained_variance_ratio
    if kept is None:
        caption = "First test image of each class: the networks see every pixel."
    else:
        caption = (
            f"First test image of each class, above what its {len(kept):,} principal components "
            f"keep of it, x W + μ; they carry {100 * kept.sum():.1f} % of the variance, and are "
            "all that the networks see."
        )
    if spec.labels == "parity":
        caption += " Networks learn the parity of the class: +1 for even, −1 for odd."
    draw = partial(inputs_figure, dataset, raw, parity=spec.labels == "parity")
    alt = f"Images of each class of {spec.name}, original and as reconstructed from the inputs."
    return section("inputs", "What the networks see", draw, caption, alt)


def _absent(ensemble: Ensemble, needed: int) -> str:
    if ensemble.n_rows < needed:
        return f"Needs at least {needed} configurations; there are {ensemble.n_rows:,}."
    return "Not computed for this report."
