"""Data sets laid out like MNIST: four idx files, 28 × 28 images of ten classes."""

from __future__ import annotations

from lsg_ray.datasets.formats import read_idx
from lsg_ray.datasets.source import RemoteFile, Source

#: Files, with the bytes of their contents.
FILES = {
    "train-images-idx3-ubyte.gz": 47_040_016,
    "train-labels-idx1-ubyte.gz": 60_008,
    "t10k-images-idx3-ubyte.gz": 7_840_016,
    "t10k-labels-idx1-ubyte.gz": 10_008,
}


def idx_source(
    name: str,
    folder: str,
    licence: str,
    mirrors: tuple[str, ...],
    counts: tuple[int, ...],
    *hashes: str,
) -> Source:
    """Return a data set; counts by class, and of each file the hash as published, and unpacked."""
    names = tuple(FILES)
    files = tuple(
        RemoteFile(file, published, FILES[file], unpacked)
        for file, published, unpacked in zip(names, hashes[::2], hashes[1::2], strict=True)
    )
    return Source(
        name, read_idx, 60_000, 10_000, 10, (28, 28), licence, files=files, mirrors=mirrors,
        train=names[:2], test=names[2:], folders=(f"{folder}/raw",), counts=counts,
    )  # fmt: skip
