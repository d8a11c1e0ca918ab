"""Configurations made of others: in memory as bits, some of the weights, or in another order."""

from __future__ import annotations

import numpy as np

from lsg_ray.ensemble.schema import unpack
from lsg_ray.statistics.configurations import Configurations
from lsg_ray.typing import Array, Bytes, Ints


class Packed(Configurations):
    """Rows in memory as bits: a small set that many tasks read."""

    signs = True

    def __init__(
        self, bits: Bytes, n_weights: int, name: str = "array", groups: Ints | None = None
    ) -> None:
        self.bits, self.n_rows, self.n_weights, self.name = bits, len(bits), n_weights, name
        self._groups = groups

    def groups(self) -> Ints | None:
        return self._groups

    def rows(self, start: int, stop: int) -> Array:
        return unpack(self.bits[start:stop], 0, self.n_weights)

    def packed(self, start: int, stop: int) -> Bytes:
        return self.bits[start:stop]


class Columns(Configurations):
    """Some of the weights of other configurations."""

    def __init__(self, whole: Configurations, which: Ints) -> None:
        self.whole, self.which = whole, which
        self.name, self.signs = whole.name, whole.signs
        self.n_rows, self.n_weights = whole.n_rows, len(which)

    @property
    def grain(self) -> int:
        return self.whole.grain

    def groups(self) -> Ints | None:
        return self.whole.groups()

    def rows(self, start: int, stop: int) -> Array:
        return self.whole.rows(start, stop)[:, self.which]

    def take(self, rows: Ints) -> Array:
        return self.whole.take(rows)[:, self.which]


class Reordered(Configurations):
    """The rows of other configurations in another order."""

    def __init__(self, whole: Configurations, order: Ints) -> None:
        self.whole, self.order = whole, order
        self.name, self.signs = whole.name, whole.signs
        self.n_rows, self.n_weights = len(order), whole.n_weights

    def rows(self, start: int, stop: int) -> Array:
        return take_any(self.whole, self.order[start:stop])


def take_any(source: Configurations, rows: Ints) -> Array:
    """Return chosen rows in any order, also repeated."""
    distinct, indices = np.unique(rows, return_inverse=True)
    return source.take(distinct)[indices]
