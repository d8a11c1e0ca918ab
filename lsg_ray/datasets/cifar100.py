"""CIFAR-100: 32 × 32 colour images of a hundred classes, fine labels (Krizhevsky, 2009)."""

from __future__ import annotations

from lsg_ray.datasets.formats import read_cifar
from lsg_ray.datasets.source import RemoteFile, Source

SOURCE = Source(
    name="cifar100",
    parse=read_cifar,
    n_train=50_000,
    n_test=10_000,
    n_classes=100,
    image_shape=(32, 32, 3),
    licence="none stated; cite Krizhevsky (2009)",
    files=(
        RemoteFile(
            "cifar-100-python.tar.gz",
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            169_001_437,
        ),
    ),
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    train=("cifar-100-python/train",),
    test=("cifar-100-python/test",),
    label_key=b"fine_labels",
    folders=(".",),
)
