"""Columns of one block: plain values in, array out, so that any scheduler can run it anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lsg_ray.ensemble.chunks import read_chunk
from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.schema import LAYER, SNAPSHOT, ArrayLayout, seen, unpack
from lsg_ray.typing import Array, Singles

#: Rows whose indices are made up without a look at the block's data.
UNCHECKED_ROWS = 100_000


class Window(NamedTuple):
    """What of a store's blocks a view shows.

    block_size, arrays: how blocks are cut, and the arrays of the store; start, stop: range of the
    weights that are read, for ``weights`` and ``fields``; at: index of the snapshot along training,
    None for the configurations.
    """

    block_size: int
    arrays: tuple[ArrayLayout, ...]
    start: int
    stop: int
    at: int | None

    @property
    def signs(self) -> bool:
        """Whether weights are ±1."""
        return self.arrays[0].name == "weights"

    def layout(self, name: str) -> ArrayLayout:
        """Return the array that holds a column."""
        stored = "weights" if name == "packed" else name
        if stored == "weights" and self.at is not None:
            stored = f"{SNAPSHOT}weights"
        return next(array for array in self.arrays if array.name == stored)


def load(url: str, name: str, window: Window, block: int, rows: int, where: str | None) -> Array:
    """Read one column of one block: what the Dask graphs are made of.

    Parameters
    ----------
    url
        The store.
    name
        ``configuration``, ``packed``, ``weights`` (±1, or all layers of real ones) or an array of
        the store.
    window
        How blocks are cut, and what is read of them.
    block, rows
        Which block, and its rows.
    where
        Condition that rows must meet; None for all.
    """
    first = block * window.block_size

    def read(layout: ArrayLayout) -> Array:
        return read_chunk(locate(url), layout, block, block_size=window.block_size, rows=rows)

    if name == "configuration":
        if rows > UNCHECKED_ROWS:  # a record is small, whatever it claims: there must be data too
            read(min(window.arrays, key=lambda array: array.row_bytes))
        values: Array = np.arange(first, first + rows, dtype=np.int64)
    elif name == "weights" and not window.signs:
        values = _real_weights(read, window, rows)
    else:
        layout = window.layout(name)
        values = read(layout)
        values = values if seen(layout, window.at) == layout else values[:, window.at]
    if where is not None:
        condition = compile_expression(where)
        names = condition.names or ("configuration",)
        tests = {column: load(url, column, window, block, rows, None) for column in names}
        values = values[condition(tests)]
    if name == "weights" and window.signs:
        return unpack(values, window.start, window.stop)
    return values[:, window.start : window.stop] if name == "fields" else values


def _real_weights(read: Callable[[ArrayLayout], Array], window: Window, rows: int) -> Singles:
    """Read weights start:stop of flat configurations, from the layers that hold them."""
    _, arrays, start, stop, at = window
    weights, first = np.empty((rows, stop - start), np.float32), 0
    prefix = LAYER if at is None else f"{SNAPSHOT}{LAYER}"
    for layout in arrays:
        if not layout.name.startswith(prefix):
            continue
        last = first + layout.row[-2] * layout.row[-1]
        low, high = max(start, first), min(stop, last)
        if low < high:
            layer = read(layout)
            layer = layer if at is None else layer[:, at]
            part = layer.reshape(rows, -1)[:, low - first : high - first]
            weights[:, low - start : high - start] = part
        first = last
    return weights


def no_rows(name: str, window: Window) -> Array:
    """Return what `load` gives for no rows: shape ``(0, ...)`` and type of a column."""
    if name == "configuration":
        return np.empty(0, np.int64)
    n_weights = window.stop - window.start
    if name == "weights":
        return np.empty((0, n_weights), np.int8 if window.signs else np.float32)
    layout = seen(window.layout(name), window.at)
    return np.empty((0, *((n_weights,) if name == "fields" else layout.row)), layout.dtype)
