"""What units of the first layer (LB) react to: their weights as images of the inputs.

A unit sees Σ_k w_k x_k.  Where the inputs are principal components x = (v − μ) Wᵀ of pixels v, that
is w W (v − μ): the image w W holds the weight of each pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import panel as pn

from lsg_ray.datasets import is_image, load_dataset
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.explore.panes import column, later, text
from lsg_ray.explore.selection import png
from lsg_ray.spec import DatasetSpec
from lsg_ray.typing import Floats, Singles

T = TypeVar("T")

#: Units that are drawn, at most; width of all their images in pixels, and gap between two.
MAX_UNITS, MAX_WIDTH, GAP = 100, 640, 1
#: Name of the data set that is a file of a user.
_OF_A_FILE = "file"


class Inputs(NamedTuple):
    """How pixels become inputs: components (d, pixels), or None; image shape; hash of the data."""

    components: Singles | None
    image_shape: tuple[int, ...]
    content_hash: str


class Seen(NamedTuple):
    """Images of units as one PNG, its width in pixels, its alternative text, and a caption."""

    png: bytes
    width: int
    alt: str
    caption: str


def unit_images(ensemble: Ensemble, configuration: int) -> Seen:
    """Return the weights of the units of the first layer as images of the inputs.

    Parameters
    ----------
    ensemble
        Ensemble whose data set is read; nothing is downloaded.
    configuration
        Number of the configuration.

    Raises
    ------
    InputError, DataError
        The inputs are no images, or each unit sees some of them; the data set is not here, or is
        another.
    """
    network, spec = ensemble.spec.network, ensemble.spec.dataset
    if not ensemble.header.family.has_outputs:
        raise InputError(f"{ensemble.url}: only weights are known, not what their inputs are")
    inputs = _inputs(spec.model_dump_json())
    if ensemble.header.dataset_hash != inputs.content_hash:
        raise InputError(
            f"{ensemble.url}: sampled on other data ({ensemble.header.dataset_hash[:16]}…) than "
            f"{spec.name} has here ({inputs.content_hash[:16]}…)"
        )
    shape = inputs.image_shape
    if not is_image(shape):
        raise InputError(f"the inputs of {spec.name} are no images")
    width = len(inputs.components) if inputs.components is not None else int(np.prod(shape))
    out, into = network.shapes[0]
    if into - network.biases != width:
        raise InputError(f"each unit has {into - network.biases:,} of {width:,} inputs")
    flat = ensemble.take([configuration])["weights"][0][network.layer_slices[0]]
    units = flat.reshape(out, into)[:MAX_UNITS, :width].astype(np.float64)
    images = (units if inputs.components is None else units @ inputs.components).reshape(-1, *shape)
    through = "" if inputs.components is None else f", through {width} principal components"
    few = f", the first {len(images)} of {out:,}" if len(images) < out else ""
    size = " × ".join(map(str, shape[:2]))
    sheet = montage(images)
    side = max(1, MAX_WIDTH // sheet.shape[1])
    return Seen(
        png(sheet, side),
        min(MAX_WIDTH, side * sheet.shape[1]),
        f"Weights of {len(images)} units of the first layer as images of {size} pixels",
        f"Inputs as the units of the first layer see them{few}: weight of each pixel{through}; red "
        "is above zero, blue below",
    )


@lru_cache(maxsize=4)
def _inputs(spec_json: str) -> Inputs:
    """Return how the inputs are made; examples are read for it, and not kept."""
    dataset = load_dataset(DatasetSpec.model_validate_json(spec_json), download=False)
    return Inputs(dataset.components, dataset.image_shape, dataset.content_hash)


def montage(images: Floats) -> Floats:
    """Return images (units, height, width) or (units, height, width, channels) beside one another.

    Numbers are divided by the largest magnitude; of channels the mean is taken.  Gaps are NaN.

    >>> montage(np.array([[[2.0]], [[-1.0]], [[0.0]]])).round(1).tolist()
    [[1.0, nan, -0.5], [nan, nan, nan], [0.0, nan, nan]]
    """
    grey = images.mean(axis=3) if images.ndim == 4 else images
    count, height, width = grey.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), np.nan)
    size = float(np.abs(grey).max()) or 1.0
    for number, image in enumerate(grey):
        top, left = (k * (side + GAP) for k, side in
                     zip(divmod(number, columns), (height, width), strict=True))  # fmt: skip
        sheet[top : top + height, left : left + width] = image / size
    return sheet


def with_data(
    spec: DatasetSpec, work: Callable[[], T], show: Callable[[T], Any], doing: str
) -> Any:
    """Return a pane of work that reads a data set: at once, or when asked for.

    A store of a stranger can name any file as its data: such a one is read when one says so.
    """
    if spec.name != _OF_A_FILE:
        return later(work, show, doing)
    path = str(spec.options.get("path", ""))
    button = pn.widgets.Button(label="Read this file", width=160)
    shown = column(text(f"The data set is a file that the store names: {path}"), button)

    def read(_: Any) -> None:
        shown[:] = [later(work, show, doing)]

    button.on_click(read)
    return shown
