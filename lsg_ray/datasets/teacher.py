"""Labels of a teacher: a perceptron, or a committee of K hidden units.

With hidden units τ_l = sign(w_l · ξ_l) the label is sign Σ_l τ_l.  In a fully connected committee
every unit sees all n inputs; in a tree each has n/K of its own.  Weights are ±1, or of unit
length in a random direction.  Fields of ±1 inputs and ±1 weights are odd, never 0, where a unit
has an odd number of inputs, as is required; K is odd.

Source: Engel and Van den Broeck, Statistical Mechanics of Learning (2001), chapters 2 and 12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from lsg_ray.datasets.generated import Draw, Patterns, blockwise, draw_inputs, generated
from lsg_ray.datasets.source import Part
from lsg_ray.rng import Stream, generator
from lsg_ray.spec.sections import Positive
from lsg_ray.typing import Floats, Singles


class Teacher(Patterns):
    """Options of a teacher and its patterns."""

    hidden: Positive = 1
    """Number of hidden units K, odd; 1 for a perceptron."""
    weights: Literal["binary", "continuous"] = "binary"
    """Weights of the teacher: ±1, or a random direction for each unit."""
    receptive: Literal["full", "tree"] = Field("full")
    """Inputs of a hidden unit: full (all n), or tree (n/K of its own)."""

    @model_validator(mode="after")
    def _no_ties(self) -> Teacher:
        if self.hidden % 2 == 0:
            raise ValueError(f"hidden: {self.hidden} given; an odd number leaves no ties")
        if self.receptive == "tree" and self.inputs % self.hidden:
            raise ValueError(
                f"inputs: {self.inputs} given; a tree of {self.hidden} units needs a multiple of it"
            )
        if self.weights == "binary" and self.values == "signs" and self.fan_in % 2 == 0:
            raise ValueError(
                f"inputs: {self.fan_in} a hidden unit given; an odd number leaves no ties"
            )
        return self

    @property
    def fan_in(self) -> int:
        """Inputs of a hidden unit."""
        return self.inputs // self.hidden if self.receptive == "tree" else self.inputs


def teacher_weights(config: Teacher, seed: int) -> Floats:
    """Return the weights (hidden, fan_in) of the teacher: ±1, or rows of unit length.

    >>> options = Teacher(patterns=5, inputs=9, hidden=3, receptive="tree")
    >>> teacher_weights(options, 0).shape
    (3, 3)
    """
    rng = generator(seed, Stream.DATA, Draw.HIDDEN)
    shape = config.hidden, config.fan_in
    if config.weights == "binary":
        return rng.choice([-1.0, 1.0], shape)
    weights = rng.standard_normal(shape)
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


def _part_of(config: Teacher, seed: int) -> Callable[[int, int], Part]:
    weights = teacher_weights(config, seed)

    def outputs(x: Singles) -> Floats:
        if config.receptive == "tree":
            fields = np.einsum("plj,lj->pl", x.reshape(len(x), *weights.shape), weights)
        else:
            fields = np.einsum("pj,lj->pl", x, weights)
        return np.where(fields < 0, -1.0, 1.0).sum(axis=1)

    def part(count: int, index: int) -> Part:
        x = draw_inputs(config.values, count, config.inputs, seed, index)
        return Part(x, blockwise(x, outputs))

    return part


SOURCE = generated("teacher", Teacher, lambda _: 2, _part_of)
