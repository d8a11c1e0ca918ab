"""Options, inputs and random streams that data sets generated from a seed have in common.

Each part has streams of its own, ``(dataset.seed, DATA, draw, part)``, so that the number of test
patterns changes no training pattern.  Class 0 is the sign +1 and class 1 the sign −1, as in
``dataset.labels: parity``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Literal, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lsg_ray.datasets.source import Part, Source
from lsg_ray.errors import DataError
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import Sizes
from lsg_ray.spec.sections import Positive
from lsg_ray.typing import Array, Bytes, Singles

#: Values of inputs: ±1 with equal probability, or standard normal.
Values = Literal["signs", "gaussian"]
#: Largest number of values of a generated part; 16 GiB.
MAX_GENERATED = 2**32
#: Number of values that are drawn at a time.
_BLOCK = 1 << 22


class Draw(IntEnum):
    """Second element of the spawn key of each random stream of data sets."""

    INPUTS = 0  # (part,): inputs of generated sets
    LABELS = 1  # (part,): labels of generated sets
    HIDDEN = 2  # weights of teachers, centres of mixtures
    SPLIT = 3  # which examples of a file are for testing
    SHUFFLE = 4  # (part,): permutations of features
    NOISE = 5  # labels that are replaced


class Generated(BaseModel):
    """Options of all data sets that are generated from a seed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    patterns: Positive
    """Number of training patterns P."""
    inputs: Positive
    """Number of inputs n."""
    test_patterns: Positive = 1000
    """Number of test patterns."""

    @model_validator(mode="after")
    def _enough_patterns(self) -> Self:
        n_classes = getattr(self, "n_classes", 2)
        if self.patterns < n_classes:
            raise ValueError(
                f"patterns: {self.patterns} given; at least the number of classes ({n_classes})"
            )
        return self

    def sizes(self, n_classes: int) -> Sizes:
        """Return the sizes of the data set."""
        return Sizes(self.patterns, self.test_patterns, n_classes, (self.inputs,))


Options = TypeVar("Options", bound=Generated)


class Patterns(Generated):
    """Options of generated sets of independent inputs."""

    values: Values = Field("signs")
    """Inputs: signs (±1 with equal probability) or gaussian (standard normal)."""


def both_parts(config: Generated, part: Callable[[int, int], Part]) -> tuple[Part, Part]:
    """Return the training and the test part, each made by `part` from its count and its index.

    Raises
    ------
    DataError
        A part is too large.
    """
    for name, count in (("patterns", config.patterns), ("test_patterns", config.test_patterns)):
        if count * config.inputs > MAX_GENERATED:
            raise DataError(
                f"dataset.{name}: {count:,} patterns of {config.inputs:,} inputs given, "
                f"{count * config.inputs:,} numbers; at most {MAX_GENERATED:,}"
            )
    return part(config.patterns, 0), part(config.test_patterns, 1)


def generated(
    name: str,
    config: type[Options],
    n_classes: Callable[[Options], int],
    part_of: Callable[[Options, int], Callable[[int, int], Part]],
) -> Source:
    """Return a data set that is generated from a seed.

    Parameters
    ----------
    name, config
        As of `Source`.
    n_classes
        Number of classes, by options.
    part_of
        ``part_of(options, seed)`` returns what makes a part from its count and its index.
    """
    return Source(
        name,
        config=config,
        white=1,
        defaults={"components": None},
        measure=lambda options: options.sizes(n_classes(options)),
        make=lambda options, seed: both_parts(options, part_of(options, seed)),
    )


def draw_inputs(values: Values, count: int, inputs: int, seed: int, part: int) -> Array:
    """Return independent inputs (count, inputs): int8 signs or float32 normal numbers."""
    rng = generator(seed, Stream.DATA, Draw.INPUTS, part)
    if values == "gaussian":
        return rng.standard_normal((count, inputs), dtype=np.float32)
    x = np.empty((count, inputs), np.int8)
    flat = x.reshape(-1)
    for start in range(0, len(flat), _BLOCK):
        size = min(_BLOCK, len(flat) - start)
        bits = np.unpackbits(np.frombuffer(rng.bytes(-(-size // 8)), np.uint8), count=size)
        flat[start : start + size] = 1 - 2 * bits.view(np.int8)
    return x


def rows_of(x: Array) -> range:
    """Return the first rows of blocks of bounded size."""
    return range(0, len(x), max(1, _BLOCK // max(1, x.shape[1])))


def blockwise(x: Array, sign_of: Callable[[Singles], Array]) -> Bytes:
    """Return class 0 where a function of inputs is positive, and class 1 where it is negative."""
    starts = rows_of(x)
    labels = np.empty(len(x), np.uint8)
    for start in starts:
        block = x[start : start + starts.step].astype(np.float32)
        labels[start : start + starts.step] = sign_of(block) < 0
    return labels
