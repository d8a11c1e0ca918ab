"""Records of arrays: what block functions return, and how those of many blocks become one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lsg_ray.results.graph import share, tree_reduce

if TYPE_CHECKING:
    from dask.delayed import Delayed

Record = TypeVar("Record", bound=tuple[Any, ...])
Sums = TypeVar("Sums")


def added(parts: Sequence[Sums]) -> Sums:
    """Add arrays, numbers, or records of them, in this order; the parts are not changed.

    >>> added([(1, 2.0), (3, 4.0)])
    (4, 6.0)
    """
    if isinstance(parts[0], tuple):
        columns = map(added, zip(*parts, strict=True))
        kind = type(parts[0])
        return kind(columns) if kind is tuple else kind(*columns)
    return reduce(operator.add, parts)


def joined(parts: Sequence[Record], axis: int = 0) -> Record:
    """Return a record of arrays, those of all parts one after another."""
    return _with(np.concatenate, parts, axis)


def stacked(parts: Sequence[Record], axis: int = 0) -> Record:
    """Return a record of arrays, those of all parts along a new axis."""
    return _with(np.stack, parts, axis)


def _with(function: Any, parts: Sequence[Record], axis: int) -> Record:
    return type(parts[0])(*(function(column, axis=axis) for column in zip(*parts, strict=True)))


def reduce_tasks(
    work: Callable[..., Sums],
    shared: Sequence[object],
    arguments: Iterable[tuple[object, ...]],
    combine: Callable[[list[Sums]], Sums] = added,
) -> Delayed:
    """Return a graph of ``work(*shared, *argument)`` for each task, combined in a tree.

    Parameters
    ----------
    work
        Block function.
    shared
        First arguments of all tasks; they are sent to a cluster once.
    arguments
        Further arguments of each task.
    combine
        Function of a list of results that returns one.
    """
    import dask

    leaf, nodes = dask.delayed(work, pure=False), [share(value) for value in shared]
    return tree_reduce([leaf(*nodes, *argument) for argument in arguments], combine)
