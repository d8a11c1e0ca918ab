"""CIFAR-10: 32 × 32 colour images of ten classes (Krizhevsky, 2009)."""

from __future__ import annotations

from lsg_ray.datasets.formats import read_cifar
from lsg_ray.datasets.source import RemoteFile, Source

SOURCE = Source(
    name="cifar10",
    parse=read_cifar,
    n_train=50_000,
    n_test=10_000,
    n_classes=10,
    image_shape=(32, 32, 3),
    licence="none stated; cite Krizhevsky (2009)",
    files=(
        RemoteFile(
            "cifar-10-python.tar.gz",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            170_498_071,
        ),
    ),
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    train=tuple(f"cifar-10-batches-py/data_batch_{batch}" for batch in range(1, 6)),
    test=("cifar-10-batches-py/test_batch",),
    folders=(".",),
)
