"""Memory layout of weights and examples in kernels: padded, chunked, read-only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import read_only
from lsg_ray.typing import Array, Ints, Singles


class Layout:
    """Positions of the weights of a network whose layers are padded to multiples of four."""

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths = np.asarray(widths, np.int64)
        self._padded = -(-self.widths // 4) * 4

    @cached_property
    def positions(self) -> Ints:
        """Position of each weight in the padded vector, (N,)."""
        positions, start = [], 0
        for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(self._padded)):
            grid = start + np.arange(fan_in * fan_out).reshape(fan_out, fan_in)
            positions.append(grid[: self.widths[layer + 1], : self.widths[layer]].ravel())
            start += fan_in * fan_out
        return np.concatenate(positions)

    @cached_property
    def n_padded(self) -> int:
        """Length of the padded vector."""
        return int(np.sum(self._padded[:-1] * self._padded[1:]))

    def pad(self, flat: Array, dtype: type = np.float32) -> Array:
        """Spread flat vectors (..., N) over padded ones, zeros between."""
        out = np.zeros((*flat.shape[:-1], self.n_padded), dtype)
        out[..., self.positions] = flat
        return out


class ChunkedExamples(NamedTuple):
    """Examples for `evaluate`: x (chunks, inputs padded, 256) float32, y (n,) int32."""

    x: Singles
    y: NDArray[np.int32]


def chunk_examples(x: Array, y: Array, dtype: type = np.float32) -> ChunkedExamples:
    """Convert examples x (n, inputs), y (n,) for `evaluate`, once per data set.

    Memory: a copy of x, rounded up to whole chunks.
    """
    from lsg_ray.kernels.classification import CHUNK_EXAMPLES

    n, inputs = x.shape
    n_chunks = -(-n // CHUNK_EXAMPLES)
    padded = np.zeros((n_chunks * CHUNK_EXAMPLES, -(-inputs // 4) * 4), dtype)
    padded[:n, :inputs] = x
    chunks = padded.reshape(n_chunks, CHUNK_EXAMPLES, -1).transpose(0, 2, 1)
    return ChunkedExamples(read_only(chunks, dtype), read_only(y, np.int32))


class Arena(NamedTuple):
    """Data of trials: training set, selection set and test set, in the layout of `evaluate`."""

    x: Singles
    y: NDArray[np.int32]
    selection: ChunkedExamples
    test: ChunkedExamples
