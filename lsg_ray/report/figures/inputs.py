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

#: Gap between images, in units of their side.
IMAGE_GAP = 0.09
#: Height of a line of text, and width of the longest label of a row, in inches.
LINE_HEIGHT, LABEL_WIDTH = 0.24, 1.15


@styled
def inputs_figure(dataset: Dataset, raw: RawData | None = None, *, parity: bool = False) -> Figure:
    """Draw the first test image of each class, above its reconstruction from the components.

    Parameters
    ----------
    dataset
        Inputs of the networks; without components they are the images themselves, drawn once.
    raw
        Images in the same order; None to draw reconstructions only.
    parity
        Whether networks learn the parity of the class, +1 for even classes.
    """
    labels = dataset.test.y if raw is None else raw.test_labels
    classes, first = np.unique(labels, return_index=True)
    bands: list[tuple[str, Array]] = []
    if raw is not None:
        pixels = raw.test_pixels[first].astype(np.float32) / raw.white
        bands.append(("image", pixels.reshape(len(first), *raw.image_shape)))
    if raw is None or dataset.components is not None:
        images = reconstruct(dataset, dataset.test.x[first])
        images = images if raw is not None else _in_grey(images)
        bands.append((_reconstruction_label(dataset), images))
    columns = min(len(classes), 10 if len(classes) <= 30 else 20)
    side = (WIDTH - LABEL_WIDTH) / (max(columns, 8) * (1 + IMAGE_GAP))
    line = LINE_HEIGHT / side + len(bands) * (1 + IMAGE_GAP)
    height = -(-len(classes) // columns) * line
    figure = new_figure(height * side + 0.08)
    figure.set_layout_engine("none")
    axes = figure.add_axes((LABEL_WIDTH / WIDTH, 0.0, 1 - LABEL_WIDTH / WIDTH, 1.0))
    axes.set_axis_off()
    for index, label in enumerate(classes):
        row, column = divmod(index, columns)
        left, top = column * (1 + IMAGE_GAP), row * line + LINE_HEIGHT / side
        name = _name(int(label), parity, raw is None)
        axes.text(left + 0.5, top - 0.06, name, ha="center", va="bottom")
        for band, (text, images) in enumerate(bands):
            _show(axes, images[index], left, top + band * (1 + IMAGE_GAP))
            if column == 0:
                middle = top + band * (1 + IMAGE_GAP) + 0.5
                axes.text(-0.07 / side, middle, text, ha="right", va="center")
    axes.set(
        xlim=(0, max(columns, 8) * (1 + IMAGE_GAP)), ylim=(height + 0.08 / side, 0), aspect="auto"
    )
    return figure


def _in_grey(images: Array) -> Array:
    """Return images from 0 to 1: those that are not, such as ±1, are stretched to it."""
    low, high = float(images.min()), float(images.max())
    if low >= 0 and high <= 1:
        return images
    stretched: Array = (images - low) / ((high - low) or 1.0)
    return stretched


def _reconstruction_label(dataset: Dataset) -> str:
    if dataset.components is None:
        return "image"
    number = len(dataset.components)
    return f"{number:,} component" + ("s" if number > 1 else "")


def _name(label: int, parity: bool, signed: bool) -> str:
    """Name a class, and its parity; `signed` where the label is the parity itself."""
    if not parity:
        return str(label)
    if signed:
        return "even, +1" if label > 0 else "odd, −1"
    return f"{label} → {'−' if label % 2 else '+'}1"


def _show(axes: Axes, image: Array, left: float, top: float) -> None:
    extent = (left, left + 1, top + 1, top)
    shown = np.clip(image, 0, 1)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=extent)


def inputs_section(ensemble: Ensemble, dataset: Dataset) -> Section:
    """Draw the inputs of the networks."""
    spec = ensemble.spec.dataset
    title = "Inputs of the networks"
    if not is_image(dataset.image_shape):
        reason = f"The {dataset.train.x.shape[1]:,} inputs of {spec.name} are no images."
        return Section("inputs", title, reason=reason)
    raw: RawData | None = None
    changes = spec.transforms()
    if not changes:  # else the examples are others than those of the file
        with contextlib.suppress(DataError):
            raw = load_images(spec, download=False)
    variance = dataset.explained_variance_ratio
    if changes:
        caption = f"First test example of each class, after: {', '.join(changes)}."
    elif variance is None:
        caption = "First test image of each class. The inputs of the networks are all its pixels."
    else:
        caption = (
            f"First test image of each class, above its reconstruction x W + μ from the "
            f"{len(variance):,} principal components x that are the inputs of the networks; they "
            f"carry {100 * variance.sum():.1f} % of the variance."
        )
    parity = spec.labels == "parity"
    if parity:
        caption += " The networks learn the parity of the class: +1 for even, −1 for odd."
    alt = f"Images of each class of {spec.name}, original and as reconstructed from the inputs."
    figure = inputs_figure(dataset, raw, parity=parity)
    return section("inputs", title, figure, caption, alt)
