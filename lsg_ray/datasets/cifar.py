"""Data sets laid out like CIFAR: one archive of pickled batches of 32 × 32 colour images."""

from __future__ import annotations

from lsg_ray.datasets.formats import read_cifar
from lsg_ray.datasets.source import RemoteFile, Source


def cifar_source(
    n_classes: int,
    sha256: str,
    size: int,
    *,
    train: tuple[str, ...],
    test: tuple[str, ...],
    label_key: bytes = b"labels",
) -> Source:
    """Return a data set of `n_classes`; train, test: names of the batches of each part."""
    return Source(
        f"cifar{n_classes}",
        read_cifar,
        50_000,
        10_000,
        n_classes,
        (32, 32, 3),
        "none stated; cite Krizhevsky (2009)",
        files=(RemoteFile(f"cifar-{n_classes}-python.tar.gz", sha256, size),),
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        folders=(".",),
        train=train,
        test=test,
        label_key=label_key,
        counts=(50_000 // n_classes,) * n_classes,
    )
