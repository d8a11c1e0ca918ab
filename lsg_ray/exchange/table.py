"""Contents of exported files: configurations of a store, block by block, or a result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.results.saving import with_names
from lsg_ray.typing import Array, JsonObject, Progress

if TYPE_CHECKING:
    import pandas

#: Number of values that are converted to text at a time, of about a hundred bytes each.
TEXT_NUMBERS = 2**18


class ColumnLayout(NamedTuple):
    """Data type of a column, and shape of one row."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]


class Table:
    """Configurations of an ensemble or view, with some of its columns.

    Parameters
    ----------
    ensemble
        Ensemble or view that is read.
    names
        Names of the columns; None for the configuration's number, all scalar columns, and the
        weights.
    limit
        Largest number of rows.
    progress
        Called with the number of rows done and in all.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        names: Sequence[str] | None = None,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.ensemble, self.chosen = ensemble, names is not None
        known = (*ensemble.columns, "weights")
        for name in names or ():
            if name not in known or name == "packed":
                allowed = [column for column in dict.fromkeys(known) if column != "packed"]
                raise InputError(f"column {name!r} given; there are {', '.join(allowed)}")
        if names is not None and (not names or len(set(names)) < len(names)):
            raise InputError(f"columns {', '.join(names) or 'none'} given; name each once")
        self.names = tuple(names or (*ensemble.query_columns, "weights"))
        rows = ensemble.n_rows
        if not rows:
            raise InputError(
                f"{ensemble.url}: no configurations"
                + (f" meet {ensemble.condition!r}" if ensemble.condition else "; sample first")
            )
        self.n_rows = rows if limit is None else min(limit, rows)
        self._progress = progress

    @property
    def attributes(self) -> JsonObject:
        """Attributes of the store, and the condition of the view, as JSON."""
        about = self.ensemble.header.attributes()
        where = self.ensemble.condition
        return {**about, **({} if where is None else {"where": where})}

    def layout(self, name: str) -> ColumnLayout:
        """Return data type and shape of the rows of a column."""
        empty = self.ensemble.no_rows(name)
        return ColumnLayout(empty.dtype, empty.shape[1:])

    def flat_names(self, suffix: str) -> tuple[str, ...]:
        """Return the names of the columns, of which each is a scalar or the weights.

        Raises
        ------
        InputError
            A column other than the weights holds arrays.
        """
        for name in self.names:
            if name != "weights" and self.layout(name).shape:
                raise InputError(
                    f"column {name!r} holds an array for each configuration, which a .{suffix} "
                    "cannot; leave it out, or write an .npz or .nc"
                )
        return self.names

    def text_blocks(self, names: Sequence[str]) -> Iterator[dict[str, Array]]:
        """Yield columns of consecutive rows, few enough to hold them as text in memory."""
        step = max(1, TEXT_NUMBERS // self.ensemble.n_weights)
        for rows in self.blocks(names):
            for start in range(0, len(rows[names[0]]), step):
                yield {name: values[start : start + step] for name, values in rows.items()}

    def blocks(self, names: Sequence[str]) -> Iterator[dict[str, Array]]:
        """Yield columns of consecutive rows."""
        done = 0
        for block in self.ensemble.blocks.tolist():
            if done >= self.n_rows:
                return
            rows = self.ensemble.read(block, names)
            rows = {name: values[: self.n_rows - done] for name, values in rows.items()}
            done += len(next(iter(rows.values())))
            yield rows
            if self._progress is not None:
                self._progress(done, self.n_rows)


def plain_dataset(result: xarray.Dataset) -> xarray.Dataset:
    """Return a result for foreign formats: names as text, attributes as numbers or text."""
    plain = with_names(result).copy()
    for variable in plain.variables.values():
        variable.attrs = {str(k): _plain(v) for k, v in variable.attrs.items() if v is not None}
    return plain.assign_attrs({str(k): _plain(v) for k, v in plain.attrs.items()})


def _plain(value: object) -> object:
    """Return an attribute as a number, text or list of numbers, which every format can hold."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, bool) or value is None or isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, (list, tuple)) and not all(type(item) in (int, float) for item in value):
        return json.dumps(value)
    return value


def one_variable(result: xarray.Dataset) -> xarray.DataArray:
    """Return the only variable of a result.

    Raises
    ------
    InputError
        There are several.
    """
    names = list(map(str, result.data_vars))
    if len(names) != 1:
        raise InputError(
            f"an array is one variable, and there are {', '.join(names)}; choose one (--columns)"
        )
    return result[names[0]]


def as_frame(result: xarray.Dataset) -> pandas.DataFrame:
    """Return variables along the same dimensions as a table, with their coordinates.

    Raises
    ------
    InputError
        Variables run along different dimensions.
    """
    kinds: dict[tuple[str, ...], list[str]] = {}
    for name, variable in result.data_vars.items():
        kinds.setdefault(tuple(map(str, variable.dims)), []).append(str(name))
    if len(kinds) != 1:
        available = "; ".join(
            f"{', '.join(names)} ({', '.join(dims)})" for dims, names in kinds.items()
        )
        raise InputError(
            f"a table has columns along the same dimensions; choose some (--columns) of {available}"
        )
    plain = plain_dataset(result)
    if () in kinds:
        plain = plain.expand_dims("row").drop_vars("row", errors="ignore")
    frame = plain.to_dataframe()
    return frame.reset_index() if any(frame.index.names) else frame
