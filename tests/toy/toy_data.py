"""Two clouds of pixels."""

import numpy as np

from lsg_ray.datasets.source import Part, Source


def clouds(source, _contents):
    def part(count, seed):
        rng = np.random.default_rng(seed)
        labels = (np.arange(count) % 2).astype(np.uint8)
        pixels = rng.binomial(source.white, 0.4 + 0.2 * labels[:, None], (count, 6))
        return Part(pixels.astype(np.uint8), labels)

    return part(source.n_train, 1), part(source.n_test, 2)


SOURCE = Source(
    "toy-clouds",
    clouds,
    n_train=60,
    n_test=20,
    n_classes=2,
    image_shape=(2, 3),
    licence="none",
    white=9,
    package="toy_data",
)
