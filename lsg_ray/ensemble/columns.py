"""Columns of one block: plain values in, array out, so that any scheduler can run it anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsg_ray.ensemble.chunks import read_chunk
from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.ensemble.layout import array_layout, unpack
from lsg_ray.ensemble.location import locate


def load(
    url: str,
    name: str,
    block: int,
    rows: int,
    *,
    block_size: int,
    n_weights: int,
    start: int,
    stop: int,
    where: str | None,
) -> NDArray[Any]:
    """Read one column of one block: what the Dask graphs are made of.

    Parameters
    ----------
    url
        The store.
    name
        ``configuration``, ``packed``, ``weights`` (±1) or an array of the store.
    block, rows, block_size, n_weights
        Which block, and how blocks are cut.
    start, stop
        Weights wanted, for ``weights`` and ``fields``.
    where
        Condition that rows must meet; None for all.
    """
    first = block * block_size
    if name == "configuration":
        values: NDArray[Any] = np.arange(first, first + rows, dtype=np.int64)
    else:
        stored = "weights" if name == "packed" else name
        layout = array_layout(stored, n_weights)
        values = read_chunk(locate(url), layout, block, block_size=block_size, rows=rows)
    if where is not None:
        condition = compile_expression(where)
        shape = {"block_size": block_size, "n_weights": n_weights, "start": start, "stop": stop}
        columns = {
            one: load(url, one, block, rows, where=None, **shape)
            for one in condition.names or ("configuration",)
        }
        values = values[condition(columns)]
    if name == "weights":
        return unpack(values, start, stop)
    return values[:, start:stop] if name == "fields" else values


def no_rows(name: str, *, n_weights: int, start: int, stop: int) -> NDArray[Any]:
    """Return what `load` gives for no rows: shape ``(0, ...)`` and type of a column."""
    if name == "configuration":
        return np.empty(0, np.int64)
    if name == "weights":
        return np.empty((0, stop - start), np.int8)
    layout = array_layout("weights" if name == "packed" else name, n_weights)
    row = (stop - start,) if name == "fields" else layout.row
    return np.empty((0, *row), layout.dtype)
