"""Configurations made of others: in memory as bits, some of the weights, or in another order."""

from __future__ import annotations

import numpy as np

from lsg_ray.arrays import read_only
from lsg_ray.ensemble.schema import unpack
from lsg_ray.statistics.configurations import Configurations, ranges
from lsg_ray.typing import Array, Bytes, Ints, JsonObject

#: Bytes of whole rows, as bits, that some weights are taken from at a time; or one block.
WHOLE_BYTES = 2**26


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
    """Some of the weights of other configurations, in any order; they may repeat.

    Of binary weights, only the bits of these are taken from a row, and never the row as signs.
    """

    def __init__(self, whole: Configurations, which: Ints) -> None:
        self.whole, self.which = whole, read_only(which, np.int64)
        self.name, self.signs, self.columns = whole.name, whole.signs, whole.columns
        self.n_rows, self.n_weights = whole.n_rows, len(which)

    @property
    def grain(self) -> int:
        return self.whole.grain

    def groups(self) -> Ints | None:
        return self.whole.groups()

    def values(self, name: str, rows: Ints) -> Array:
        return self.whole.values(name, rows)

    def rows(self, start: int, stop: int) -> Array:
        if self.signs:
            return unpack(self.packed(start, stop), 0, self.n_weights)
        return self.whole.rows(start, stop)[:, self.which]

    def packed(self, start: int, stop: int) -> Bytes:
        from lsg_ray.kernels import bits

        row = -(-self.n_weights // 8)
        chosen = np.empty((stop - start, row), np.uint8)
        at_once = max(1, WHOLE_BYTES // (self.whole.n_weights // 8 + 1))
        for first, last in ranges(stop - start, at_once, self.grain):
            whole = self.whole.packed(start + first, start + last)
            bits.choose_bits(read_only(whole, np.uint8), self.which, chosen[first:last])
        return chosen

    def take(self, rows: Ints) -> Array:
        return self.whole.take(rows)[:, self.which]

    def coordinates(self) -> dict[str, tuple[str, Array]]:
        known = self.whole.coordinates()
        return {name: (dim, values[self.which]) for name, (dim, values) in known.items()}

    def provenance(self) -> JsonObject:
        return self.whole.provenance()


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
