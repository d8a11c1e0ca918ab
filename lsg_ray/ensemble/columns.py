"""Columns of one block: plain values in, array out, so that any scheduler can run it anywhere."""

from __future__ import annotations

import numpy as np

from lsg_ray.ensemble.chunks import read_chunk
from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.ensemble.layout import LAYER, SNAPSHOT, ArrayLayout, seen, unpack
from lsg_ray.ensemble.location import locate
from lsg_ray.typing import Array, Singles

#: Rows whose indices are made up without a look at the block's data.
UNCHECKED_ROWS = 100_000


def load(
    url: str,
    name: str,
    block: int,
    rows: int,
    *,
    block_size: int,
    arrays: tuple[ArrayLayout, ...],
    start: int,
    stop: int,
    at: int | None,
    where: str | None,
) -> Array:
    """Read one column of one block: what the Dask graphs are made of.

    Parameters
    ----------
    url
        The store.
    name
        ``configuration``, ``packed``, ``weights`` (±1, or all layers of real ones) or an array of
        the store.
    block, rows, block_size, arrays
        Which block, how blocks are cut, and the arrays of the store.
    start, stop
        Weights wanted, for ``weights`` and ``fields``.
    at
        Which snapshot along training, by its index; None for the configurations.
    where
        Condition that rows must meet; None for all.
    """
    first = block * block_size
    binary = arrays[0].name == "weights"
    if name == "configuration":
        if rows > UNCHECKED_ROWS:  # a record is small, whatever it claims: there must be data too
            smallest = min(arrays, key=lambda array: array.row_bytes)
            read_chunk(locate(url), smallest, block, block_size=block_size, rows=rows)
        values: Array = np.arange(first, first + rows, dtype=np.int64)
    elif name == "weights" and not binary:
        values = _real_weights(url, arrays, block, rows, block_size, start, stop, at)
    else:
        layout = _layout(arrays, name, at)
        values = read_chunk(locate(url), layout, block, block_size=block_size, rows=rows)
        values = values if seen(layout, at) == layout else values[:, at]
    if where is not None:
        condition = compile_expression(where)
        shape = {"block_size": block_size, "arrays": arrays, "start": start, "stop": stop, "at": at}
        columns = {
            one: load(url, one, block, rows, where=None, **shape)  # type: ignore[arg-type]
            for one in condition.names or ("configuration",)
        }
        values = values[condition(columns)]
    if name == "weights" and binary:
        return unpack(values, start, stop)
    return values[:, start:stop] if name == "fields" else values


def _layout(arrays: tuple[ArrayLayout, ...], name: str, at: int | None) -> ArrayLayout:
    stored = "weights" if name == "packed" else name
    if stored == "weights" and at is not None:
        stored = f"{SNAPSHOT}weights"
    return next(array for array in arrays if array.name == stored)


def _real_weights(
    url: str,
    arrays: tuple[ArrayLayout, ...],
    block: int,
    rows: int,
    block_size: int,
    start: int,
    stop: int,
    at: int | None,
) -> Singles:
    """Read weights start:stop of flat configurations, from the layers that hold them."""
    found, first = np.empty((rows, stop - start), np.float32), 0
    prefix = LAYER if at is None else f"{SNAPSHOT}{LAYER}"
    for layout in arrays:
        if not layout.name.startswith(prefix):
            continue
        last = first + layout.row[-2] * layout.row[-1]
        low, high = max(start, first), min(stop, last)
        if low < high:
            layer = read_chunk(locate(url), layout, block, block_size=block_size, rows=rows)
            layer = layer if at is None else layer[:, at]
            part = layer.reshape(rows, -1)[:, low - first : high - first]
            found[:, low - start : high - start] = part
        first = last
    return found


def no_rows(
    name: str, *, arrays: tuple[ArrayLayout, ...], start: int, stop: int, at: int | None
) -> Array:
    """Return what `load` gives for no rows: shape ``(0, ...)`` and type of a column."""
    if name == "configuration":
        return np.empty(0, np.int64)
    if name == "weights":
        binary = arrays[0].name == "weights"
        return np.empty((0, stop - start), np.int8 if binary else np.float32)
    layout = seen(_layout(arrays, name, at), at)
    row = (stop - start,) if name == "fields" else layout.row
    return np.empty((0, *row), layout.dtype)
