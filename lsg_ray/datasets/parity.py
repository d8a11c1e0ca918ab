"""Parity: the product of the first k of n inputs ±1, each with equal probability.

Class 0 has the product +1 and class 1 the product −1.  Any k − 1 of the inputs are
independent of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field, model_validator

from lsg_ray.datasets.generated import Generated, blockwise, draw_inputs, generated
from lsg_ray.datasets.source import Part
from lsg_ray.spec.sections import Positive


class Parity(Generated):
    """Options of parity."""

    order: Positive | None = Field(None)
    """Number k of inputs in the product; null for all."""

    @model_validator(mode="after")
    def _within_inputs(self) -> Parity:
        if self.order is not None and self.order > self.inputs:
            raise ValueError(
                f"order: {self.order} given; at most the number of inputs ({self.inputs})"
            )
        return self


def _part_of(config: Parity, seed: int) -> Callable[[int, int], Part]:
    def part(count: int, index: int) -> Part:
        x = draw_inputs("signs", count, config.inputs, seed, index)
        return Part(x, blockwise(x, lambda block: np.prod(block[:, : config.order], axis=1)))

    return part


SOURCE = generated("parity", Parity, lambda _: 2, _part_of)
