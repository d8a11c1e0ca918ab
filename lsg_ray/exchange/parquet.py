"""``.parquet``: a column for each number, and the weights as one column of lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from lsg_ray.errors import InputError
from lsg_ray.exchange.csv_text import NUMBERED_ANEW, sorted_columns
from lsg_ray.exchange.format import Format, Request, library
from lsg_ray.exchange.npy import plain
from lsg_ray.exchange.npz import WEIGHTS
from lsg_ray.exchange.source import Rows, Source
from lsg_ray.exchange.table import ColumnLayout, Table, as_frame
from lsg_ray.results.opening import require_file
from lsg_ray.spec.specification import MAX_WEIGHTS
from lsg_ray.typing import Array

_PURPOSE = "writing .parquet"


class ParquetSource(Source):
    """Rows of a table whose weights are one column of lists, or columns w0, w1, ….

    Rows are read forwards; reading backwards starts again.
    """

    def __init__(self, path: Path) -> None:
        self._arrow = library("pyarrow", f"{path}: reading .parquet")
        self._parquet = library("pyarrow.parquet", f"{path}: reading .parquet")
        self.name, self._path = str(path), path
        with self._reading():
            file = self._file()
            schema, n_rows = file.schema_arrow, file.metadata.num_rows
        types = self._arrow.types
        lists = [field.name for field in schema if types.is_nested(field.type)]
        numbers = [
            field.name
            for field in schema
            if types.is_integer(field.type)
            or types.is_floating(field.type)
            or types.is_boolean(field.type)
        ]
        named = [name for name in WEIGHTS if name in lists] or lists
        self._list = named[0] if named else None
        if self._list is not None:
            n_weights = self._length(schema.field(self._list), n_rows)
            self._weights, columns = [self._list], numbers
        else:
            order, others = sorted_columns(str(path), numbers)
            n_weights, self._weights = len(order), [numbers[index] for index in order]
            columns = list(others)
        self._columns = [name for name in columns if name != "configuration"]
        super().__init__(str(path), n_rows, n_weights)
        if "configuration" in numbers:
            self.notes.append(NUMBERED_ANEW)
        if texts := sorted(set(schema.names) - {*numbers, *self._weights}):
            self.notes.append(f"left out, since they are no numbers: {', '.join(texts)}")
        self._batches: Iterator[Any] = iter(())
        self._rest: Any = None
        self._next = n_rows

    def _length(self, field: Any, n_rows: int) -> int:
        """Return the number of weights in the list of the first row."""
        types, kind = self._arrow.types, field.type
        if types.is_fixed_size_list(kind):
            length = int(kind.list_size)
        elif types.is_list(kind) or types.is_large_list(kind):
            with self._reading():
                batches = self._file().iter_batches(1, columns=[field.name])
                length = len(next(batches).column(0)[0].as_py() or ()) if n_rows else 0
        else:
            raise InputError(f"{self.name}: column {field.name!r} is {kind}; weights are lists")
        if length > MAX_WEIGHTS:
            raise InputError(f"{self.name}: {length:,} weights a row; at most {MAX_WEIGHTS:,}")
        return length

    def _file(self) -> Any:
        return self._parquet.ParquetFile(self._path, page_checksum_verification=True)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except (self._arrow.ArrowException, OSError, ValueError, KeyError) as error:
            line = " ".join(str(error).split())[:200]
            raise InputError(f"{self.name}: cannot be read as Parquet ({line})") from None

    def read(self, start: int, stop: int) -> Rows:
        with self._reading():
            if start < self._next:
                names = [*self._weights, *self._columns]
                self._batches = self._file().iter_batches(stop - start, columns=names)
                self._rest, self._next = None, 0
            for _ in self._taken(start - self._next):
                pass
            rows = self._arrow.Table.from_batches(self._taken(stop - start))
            self._next = stop
            columns = {name: self._numbers(rows, name, start) for name in self._columns}
            if self._list is not None:
                return Rows(self._matrix(rows, start), columns)
            weights = [self._numbers(rows, name, start) for name in self._weights]
            return Rows(np.column_stack(weights), columns)

    def _taken(self, count: int) -> Iterator[Any]:
        """Yield batches of the next `count` rows."""
        while count:
            if not self._rest:
                self._rest = next(self._batches, None)
                if self._rest is None:
                    raise InputError(f"{self.name}: fewer rows than it says; write it again")
            head = self._rest.slice(0, count)
            self._rest = self._rest.slice(len(head))
            count -= len(head)
            yield head

    def _numbers(self, rows: Any, name: str, start: int) -> Array:
        column = rows[name]
        self._refuse_missing(column, name, start)
        return plain(column.to_numpy())

    def _matrix(self, rows: Any, start: int) -> Array:
        """Return lists of equal length as an array (rows, N)."""
        column = rows[self._list].combine_chunks()
        self._refuse_missing(column, str(self._list), start)
        lengths = self._arrow.compute.list_value_length(column).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(lengths != self.n_weights)
        if wrong.size:
            raise InputError(
                f"{self.name}: row {start + wrong[0]} has {lengths[wrong[0]]} weights, must have "
                f"{self.n_weights}"
            )
        values = column.flatten()
        if values.null_count:
            missing = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
            row, weight = divmod(missing, self.n_weights)
            raise InputError(f"{self.name}: row {start + row}, weight {weight} is missing")
        return plain(values.to_numpy(zero_copy_only=False).reshape(-1, self.n_weights))

    def _refuse_missing(self, column: Any, name: str, start: int) -> None:
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy()))
            raise InputError(f"{self.name}: row {start + row}, column {name!r} is missing")


def read_parquet(path: Path, request: Request) -> Source:
    """Open a table of weights."""
    del request
    require_file(path)
    return ParquetSource(path)


def _kind(arrow: Any, layout: ColumnLayout) -> Any:
    kind = arrow.from_numpy_dtype(layout.dtype)
    return arrow.list_(kind, layout.shape[0]) if layout.shape else kind


def write_parquet(table: Table, path: Path) -> None:
    """Write configurations, a group of rows for each block."""
    arrow = library("pyarrow", _PURPOSE)
    parquet = library("pyarrow.parquet", _PURPOSE)
    names = table.flat_names("parquet")
    kinds = {name: _kind(arrow, table.layout(name)) for name in names}
    schema = arrow.schema(list(kinds.items()))
    with parquet.ParquetWriter(str(path), schema, write_page_checksum=True) as writer:
        for rows in table.blocks(names):
            arrays = []
            for name in names:
                values = np.ascontiguousarray(rows[name])
                if values.ndim == 1:
                    arrays.append(arrow.array(values))
                else:
                    flat = arrow.array(values.reshape(-1))
                    arrays.append(arrow.FixedSizeListArray.from_arrays(flat, values.shape[1]))
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def write_result_parquet(result: xarray.Dataset, path: Path) -> None:
    """Write variables along the same dimensions, a column each, with their coordinates."""
    library("pyarrow", _PURPOSE)
    as_frame(result).to_parquet(str(path), index=False, engine="pyarrow")


FORMAT = Format(
    "parquet",
    "a table by columns",
    read=read_parquet,
    write=write_parquet,
    write_result=write_result_parquet,
    library="pyarrow",
)
