"""Chosen configurations of an ensemble: their weights by layer as images, and their export."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_integers
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.exchange.exporting import export
from lsg_ray.explore.sampled import Sample
from lsg_ray.report.style import MAX_NAME_LENGTH
from lsg_ray.typing import Array, Ints

#: Configurations that a page saves, and bytes of weights that neighbours are sought in, at most.
MAX_SAVED, MAX_NEAR_BYTES = 100_000, 2**31
#: Pixels of a weight, and of an image of weights, at most.
PIXELS, MAX_PIXELS = 12, 480


class Chosen(Ensemble):
    """A view of configurations that are listed, by their numbers, for export.

    Parameters
    ----------
    ensemble
        Ensemble or view that they are in.
    configurations
        Their numbers, in any order; rows come in that of the store.
    """

    chosen: Ints

    def __init__(self, ensemble: Ensemble, configurations: ArrayLike) -> None:
        chosen = np.unique(as_integers(configurations, "configurations"))
        owners = np.unique(chosen // ensemble.block_size)
        super().__init__(ensemble.url, ensemble.header, np.intersect1d(owners, ensemble.blocks))
        kept = chosen[np.isin(chosen // ensemble.block_size, self.blocks)]
        self.__dict__.update(weight_slice=ensemble.weight_slice, at=ensemble.at, chosen=kept)

    @property
    def n_rows(self) -> int:
        """Number of configurations."""
        return len(self.chosen)

    def read(self, block: int, columns: Any) -> dict[str, Array]:
        """Read columns of those in one block."""
        names = list(columns)
        rows = super().read(block, list(dict.fromkeys([*names, "configuration"])))
        kept = np.isin(rows["configuration"], self.chosen)
        return {name: rows[name][kept] for name in names}


def exported(ensemble: Ensemble, configurations: ArrayLike, suffix: str) -> io.BytesIO:
    """Return configurations as a file of a format of `lsg_ray.export`, such as ``npz``."""
    with tempfile.TemporaryDirectory(prefix="lsg-explore-") as folder:
        file = Path(folder) / f"selection.{suffix}"
        export(Chosen(ensemble, configurations), file)
        return io.BytesIO(file.read_bytes())


def layer_images(ensemble: Ensemble, configuration: int) -> list[tuple[str, bytes, str, int]]:
    """Return name, PNG, alternative text and width of the weights of each layer, unit × input.

    Blue is below zero and red above; of real weights, as saturated as the largest of the layer.
    """
    weights = ensemble.take([configuration])["weights"][0].astype(np.float64)
    network, family = ensemble.spec.network, ensemble.header.family
    made = []
    for layer, (place, shape) in enumerate(zip(network.layer_slices, network.shapes, strict=True)):
        values = weights[place].reshape(shape)
        name = family.layer_name(network, layer) if family.has_outputs else f"layer {layer}"
        size = float(np.abs(values).max()) or 1.0
        alt = f"Weights of {name}: {shape[0]} units by {shape[1]} inputs"
        side = max(1, min(PIXELS, MAX_PIXELS // max(shape)))
        width = min(MAX_PIXELS, side * shape[1])
        made.append((name[:MAX_NAME_LENGTH], png(values / size, side), alt, width))
    return made


def png(values: Array, side: int) -> bytes:
    """Return a matrix of numbers from −1 to 1 as PNG, a square for each; NaN is white."""
    import matplotlib
    from PIL import Image

    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="white")
    pixels = colours((np.ma.masked_invalid(values) + 1) / 2, bytes=True)[..., :3]
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (values.shape[1] * side, values.shape[0] * side), Image.Resampling.NEAREST
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def nearest(sample: Sample, configuration: int, count: int = 10) -> dict[str, list[Any]]:
    """Return the configurations of a sample that are nearest to one, and their distances.

    Of binary weights, the fraction of weights that differ; of real ones, the Euclidean distance.
    Of large networks, only the first of the sample are searched (`MAX_NEAR_BYTES`).

    Parameters
    ----------
    sample
        Sample that is searched, block by block.
    configuration
        Number of the one.
    count
        Number of neighbours.
    """
    ensemble = sample.ensemble
    column = "packed" if ensemble.signs else "weights"
    own = ensemble.take([configuration], [column])[column][0]
    parts: list[Array] = []
    read, bits = 0, sample.bits
    for place, block in enumerate(sample.blocks):
        if read > MAX_NEAR_BYTES:
            break
        rows = ensemble.read(block, [column])[column] if bits is None else bits[place]
        read += rows.nbytes
        if ensemble.signs:
            differ = np.bitwise_count(rows ^ own).sum(axis=1, dtype=np.int64)
            parts.append(differ / ensemble.n_weights)
        else:
            parts.append(np.sqrt(((rows - own) ** 2).sum(axis=1, dtype=np.float64)))
    distance = np.concatenate(parts)
    numbers = sample.column("configuration")[: len(distance)]
    distance = np.where(numbers == configuration, np.inf, distance)
    count = min(count, len(distance) - 1)
    near = np.flatnonzero(distance <= np.partition(distance, count)[count])  # of equal ones, all
    order = near[np.argsort(distance[near], kind="stable")][:count]
    return {"configuration": numbers[order].tolist(), "distance": distance[order].tolist()}
