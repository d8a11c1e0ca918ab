"""Examples of what the networks see: one image of each class beside its reconstruction."""

from __future__ import annotations

import contextlib

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.datasets import Dataset, RawData, is_image, load_images, reconstruct
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import DataError
from lsg_ray.report.section import Section, section
from lsg_ray.report.style import WIDTH, new_figure, styled
from lsg_ray.typing import Array

#: Between images, in units of their side.
GAP = 0.09
#: Height of a line of text, and width of the longest name of a row, in inches.
LINE, NAME = 0.24, 1.15


@styled
def inputs_figure(dataset: Dataset, raw: RawData | None = None, *, parity: bool = False) -> Figure:
    """Draw the first test image of each class, above what its principal components keep of it.

    Parameters
    ----------
    dataset
        The inputs; without components they are the images themselves, drawn once.
    raw
        The images, in the same order; None to draw reconstructions only.
    parity
        Whether networks learn the parity of the class, +1 if even.
    """
    labels = dataset.test.y if raw is None else raw.test_labels
    classes, first = np.unique(labels, return_index=True)
    bands: list[tuple[str, Array]] = []
    if raw is not None:
        pixels = raw.test_pixels[first].astype(np.float32) / raw.white
        bands.append(("image", pixels.reshape(len(first), *raw.image_shape)))
    if raw is None or dataset.components is not None:
        images = reconstruct(dataset, dataset.test.x[first])
        bands.append((_kept(dataset), images if raw is not None else _in_grey(images)))
    columns = min(len(classes), 10 if len(classes) <= 30 else 20)
    side = (WIDTH - NAME) / (max(columns, 8) * (1 + GAP))
    line = LINE / side + len(bands) * (1 + GAP)
    height = -(-len(classes) // columns) * line
    figure = new_figure(height * side + 0.08)
    figure.set_layout_engine("none")
    axes = figure.add_axes((NAME / WIDTH, 0.0, 1 - NAME / WIDTH, 1.0))
    axes.set_axis_off()
    for place, label in enumerate(classes):
        row, column = divmod(place, columns)
        left, top = column * (1 + GAP), row * line + LINE / side
        name = _name(int(label), parity, raw is None)
        axes.text(left + 0.5, top - 0.06, name, ha="center", va="bottom")
        for band, (words, images) in enumerate(bands):
            _show(axes, images[place], left, top + band * (1 + GAP))
            if column == 0:
                middle = top + band * (1 + GAP) + 0.5
                axes.text(-0.07 / side, middle, words, ha="right", va="center")
    axes.set(xlim=(0, max(columns, 8) * (1 + GAP)), ylim=(height + 0.08 / side, 0), aspect="auto")
    return figure


def _in_grey(images: Array) -> Array:
    """Return images from 0 to 1: those that are not, such as ±1, are stretched to it."""
    low, high = float(images.min()), float(images.max())
    if low >= 0 and high <= 1:
        return images
    stretched: Array = (images - low) / ((high - low) or 1.0)
    return stretched


def _kept(dataset: Dataset) -> str:
    if dataset.components is None:
        return "image"
    number = len(dataset.components)
    return f"{number:,} component" + ("s" if number > 1 else "")


def _name(label: int, parity: bool, given: bool) -> str:
    """Name a class, and its parity; `given` where the label is the parity itself."""
    if not parity:
        return str(label)
    if given:
        return "even, +1" if label > 0 else "odd, −1"
    return f"{label} → {'−' if label % 2 else '+'}1"


def _show(axes: Axes, image: Array, left: float, top: float) -> None:
    extent = (left, left + 1, top + 1, top)
    shown = np.clip(image, 0, 1)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=extent)


def inputs_section(ensemble: Ensemble, dataset: Dataset) -> Section:
    """Draw what the networks see of an image."""
    spec = ensemble.spec.dataset
    title = "What the networks see"
    if not is_image(dataset.image_shape):
        reason = f"The {dataset.train.x.shape[1]:,} inputs of {spec.name} are no images."
        return Section("inputs", title, reason=reason)
    raw: RawData | None = None
    changes = spec.transforms()
    if not changes:  # else the examples are others than those of the file
        with contextlib.suppress(DataError):
            raw = load_images(spec, download=False)
    kept = dataset.explained_variance_ratio
    if changes:
        caption = f"First test example of each class, after: {', '.join(changes)}."
    elif kept is None:
        caption = "First test image of each class: the networks see every pixel."
    else:
        caption = (
            f"First test image of each class, above what its {len(kept):,} principal components "
            f"keep of it, x W + μ; they carry {100 * kept.sum():.1f} % of the variance, and are "
            "all that the networks see."
        )
    parity = spec.labels == "parity"
    if parity:
        caption += " Networks learn the parity of the class: +1 for even, −1 for odd."
    alt = f"Images of each class of {spec.name}, original and as reconstructed from the inputs."
    figure = inputs_figure(dataset, raw, parity=parity)
    return section("inputs", title, figure, (caption, alt))
