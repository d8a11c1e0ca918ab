"""A mixture of Gaussians, one for each class, of unit covariance.

The centres are the corners of a regular simplex whose side is the separation Δ, around 0 and in a
random direction: with orthonormal rows e_c, m_c = Δ/√2 (e_c − mean e).  Classes are equally
probable.  Of two, the best classifier is wrong with probability Φ(−Δ/2), Φ being the normal
distribution function.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from lsg_ray.datasets.generated import Draw, Generated, both_parts, draw_inputs, rows_of
from lsg_ray.datasets.source import Part, Source
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import Sizes
from lsg_ray.typing import Floats


class GaussianMixture(Generated):
    """Options of a mixture of Gaussians."""

    n_classes: int = Field(2, ge=2, le=256)
    """Number of classes, at most the number of inputs."""
    separation: float = Field(2.0, ge=0, le=1e6)
    """Distance Δ between two centres, in standard deviations."""

    @model_validator(mode="after")
    def _simplex_fits(self) -> GaussianMixture:
        if self.n_classes > self.inputs:
            raise ValueError(
                f"n_classes: {self.n_classes} given; at most the number of inputs ({self.inputs})"
            )
        return self


def centres(config: GaussianMixture, seed: int) -> Floats:
    """Return the centres (n_classes, inputs).

    >>> m = centres(GaussianMixture(patterns=5, inputs=7, separation=3), 0)
    >>> round(float(np.linalg.norm(m[0] - m[1])), 6)
    3.0
    """
    rng = generator(seed, Stream.DATA, Draw.HIDDEN)
    basis, _ = np.linalg.qr(rng.standard_normal((config.inputs, config.n_classes)))
    corners: Floats = basis.T - basis.mean(axis=1)
    return corners * (config.separation / np.sqrt(2))


def _sizes(config: GaussianMixture) -> Sizes:
    return config.sizes(config.n_classes)


def _make(config: GaussianMixture, seed: int) -> tuple[Part, Part]:
    means = centres(config, seed).astype(np.float32)

    def part(count: int, index: int) -> Part:
        rng = generator(seed, Stream.DATA, Draw.LABELS, index)
        labels = rng.integers(0, config.n_classes, count, dtype=np.uint8)
        x = draw_inputs("gaussian", count, config.inputs, seed, index)
        for start in (starts := rows_of(x)):
            rows = slice(start, start + starts.step)
            x[rows] += means[labels[rows]]
        return Part(x, labels)

    return both_parts(config, part)


SOURCE = Source(
    "gaussian-mixture",
    config=GaussianMixture,
    measure=_sizes,
    make=_make,
    white=1,
    defaults={"components": None},
)
