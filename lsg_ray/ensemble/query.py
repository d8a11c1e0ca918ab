"""Finding configurations: a condition, some columns, a limit, an order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lsg_ray.arrays import public
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import QueryError, meant
from lsg_ray.typing import Array, Ints, Signs


@public
def query(
    ensemble: Ensemble,
    where: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    sort: str | None = None,
) -> dict[str, Array]:
    """Return the rows that meet a condition, as a table of columns.

    Parameters
    ----------
    ensemble
        An ensemble or a view of one.
    where
        Condition as `compile_expression` takes it; None for all rows.
    columns
        Any of `Ensemble.query_columns`, by default all, and ``weights`` of binary networks.  These
        come as one string of ``+`` and ``-`` a row: it survives CSV and JSON as it is, takes one
        character a weight, and reads back with ``1 if sign == "+" else -1``.  For arrays use
        `Ensemble.take` or `Ensemble.numpy`.
    limit
        Largest number of rows; reading stops there.
    sort
        Column to sort by, ascending; ``-accuracy`` for descending.  Equal rows keep their order.

    Returns
    -------
    By column: (rows,) array, for ``weights`` of `str` objects.

    Raises
    ------
    QueryError
        The condition, a column, the limit or the order cannot be understood.
    StoreError
        A chunk on the way is damaged.

    Notes
    -----
    Block by block: first the columns of the condition, then the others of matching rows only.  A
    sorted query reads the condition's columns and the key of all blocks, 16 bytes a match.
    """
    columns = ensemble.query_columns if columns is None else columns
    _check_columns(ensemble, columns)
    if limit is not None and limit < 0:
        raise QueryError(f"limit {limit} given; it must be 0 or more")
    view = ensemble if where is None else ensemble.where(where)
    configurations = _matches(view, limit) if sort is None else _sorted_matches(view, sort, limit)
    table = ensemble.take(configurations, columns)
    if "weights" in table:
        table["weights"] = _sign_strings(table["weights"])
    return table


def _matches(view: Ensemble, limit: int | None) -> Ints:
    matches: list[Ints] = []
    left = view.n_complete if limit is None else limit
    for block in view.blocks.tolist():
        if left <= 0:
            break
        matches.append(view.read(block, ["configuration"])["configuration"][:left])
        left -= len(matches[-1])
    return np.concatenate(matches) if matches else np.empty(0, np.int64)


def _sorted_matches(view: Ensemble, sort: str, limit: int | None) -> Ints:
    key = sort.removeprefix("-")
    if key not in view.query_columns:
        raise QueryError(
            f"sort: unknown column {key!r}; columns are {', '.join(view.query_columns)}, "
            "with '-' in front for descending"
        )
    names = ["configuration"] if key == "configuration" else ["configuration", key]
    blocks = [view.read(block, names) for block in view.blocks.tolist()]
    if not blocks:
        return np.empty(0, np.int64)
    configurations = np.concatenate([block["configuration"] for block in blocks])
    values = np.concatenate([block[key] for block in blocks])
    return configurations[_smallest(-values if sort.startswith("-") else values, limit)]


def _smallest(values: Array, limit: int | None) -> Ints:
    """Return the places of the smallest values, ascending, of equal ones the first; NaN is last.

    Only what may be among them is sorted: O(n) for a small limit.

    >>> _smallest(np.array([3, 1, 2, 1]), 2).tolist()
    [1, 3]
    """
    places = np.arange(len(values))
    if limit is not None and 0 < limit < len(values):
        last = np.partition(values, limit - 1)[limit - 1]
        if last == last:  # else there are fewer numbers than are asked for
            places = np.flatnonzero(values <= last)
    return places[np.argsort(values[places], kind="stable")[:limit]]


def _check_columns(ensemble: Ensemble, columns: Sequence[str]) -> None:
    allowed = (*ensemble.query_columns, *(["weights"] if ensemble.signs else []))
    for name in columns:
        if name not in allowed:
            raise QueryError(
                f"unknown column {name!r}; columns are {', '.join(allowed)}{meant(name, allowed)}"
            )
    if len(set(columns)) != len(columns):
        raise QueryError(f"a column is named twice in {', '.join(columns)}")


def _sign_strings(weights: Signs) -> Array:
    """Return rows of ±1 as strings.

    >>> _sign_strings(np.array([[1, -1]], dtype=np.int8))
    array(['+-'], dtype=object)
    """
    marks = np.where(weights > 0, ord("+"), ord("-")).astype(np.uint8)
    strings = np.empty(len(weights), dtype=object)
    strings[:] = [row.tobytes().decode("ascii") for row in marks]
    return strings
