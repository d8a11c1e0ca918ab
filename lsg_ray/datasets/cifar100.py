"""CIFAR-100: 32 × 32 colour images of a hundred classes, fine labels (Krizhevsky, 2009)."""

from lsg_ray.datasets.cifar import cifar_source

SOURCE = cifar_source(
    100,
    "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    169_001_437,
    train=("cifar-100-python/train",),
    test=("cifar-100-python/test",),
    label_key=b"fine_labels",
)
