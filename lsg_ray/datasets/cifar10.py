"""CIFAR-10: 32 × 32 colour images of ten classes (Krizhevsky, 2009)."""

from lsg_ray.datasets.cifar import cifar_source

SOURCE = cifar_source(
    10,
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    170_498_071,
    train=tuple(f"cifar-10-batches-py/data_batch_{batch}" for batch in range(1, 6)),
    test=("cifar-10-batches-py/test_batch",),
)
