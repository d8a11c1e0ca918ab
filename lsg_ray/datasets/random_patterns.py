"""Random patterns: independent inputs with independent labels, a problem of storage capacity.

P patterns ξ of n inputs, ±1 or standard normal, and P labels, uniform over the classes.  The test
patterns are drawn likewise, so that no network does better on them than chance: select by
``ensemble.selection: train``.

Source: Gardner and Derrida, J. Phys. A 21, 271 (1988); binary weights: Krauth and Mézard, J. Phys.
France 50, 3057 (1989).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from lsg_ray.datasets.generated import Draw, Patterns, draw_inputs, generated
from lsg_ray.datasets.source import Part
from lsg_ray.rng import Stream, generator


class RandomPatterns(Patterns):
    """Options of random patterns."""

    n_classes: int = Field(2, ge=2, le=256)
    """Number of classes of the labels."""


def _part_of(config: RandomPatterns, seed: int) -> Callable[[int, int], Part]:
    def part(count: int, index: int) -> Part:
        rng = generator(seed, Stream.DATA, Draw.LABELS, index)
        labels = rng.integers(0, config.n_classes, count, dtype=np.uint8)
        return Part(draw_inputs(config.values, count, config.inputs, seed, index), labels)

    return part


SOURCE = generated("random-patterns", RandomPatterns, lambda config: config.n_classes, _part_of)
