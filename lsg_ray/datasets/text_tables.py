"""Tables of columns, one of them the labels: CSV, and Parquet where pyarrow is installed.

A CSV file is read by pandas in blocks of rows.  Where that fails, or gives a number that is
not finite, cells are checked one by one, so that the message names line and column.
"""

from __future__ import annotations

import csv
import math
import warnings
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lsg_ray.datasets.tables import LIMITS, Table
from lsg_ray.errors import DataError
from lsg_ray.typing import Array

PARQUET_MAGIC = b"PAR1"
#: Names by which a label column is recognised, in lower case.
LABEL_NAMES = ("label", "labels", "class", "target", "y")
#: Largest number of characters of the first line, and of a name of a column in a message.
_MAX_LINE, _MAX_NAME = 2**24, 60


class NoLabelError(DataError):
    """No column of labels was named, and none is recognised."""


def label_column(columns: Sequence[str], label: str | int | None, origin: str) -> int:
    """Return the index of the label column.

    Raises
    ------
    DataError
        There is no such column, or no name was given and none is recognised.
    """
    available = ", ".join(map(_short, columns[:12])) + (", …" if columns[12:] else "")
    if label is None:
        named = [index for index, name in enumerate(columns) if name.lower() in LABEL_NAMES]
        if len(named) != 1:
            raise NoLabelError(
                f"{origin}: set dataset.label to the column of labels, of {available}"
            )
        return named[0]
    if isinstance(label, str) and label in columns:
        return list(columns).index(label)
    try:
        index = range(len(columns))[int(label)]
    except (ValueError, IndexError):
        raise DataError(
            f"dataset.label: {label!r} given; {origin} has the columns {available}"
        ) from None
    return index


class CsvTable(Table):
    """A CSV file, of commas, semicolons or tabs, with or without a line of names.

    Parameters
    ----------
    path
        Path of the file.
    origin
        Name of the file for messages.
    label
        Name or index of the label column.
    """

    def __init__(self, path: Path, origin: str, label: str | int | None) -> None:
        self.origin, self._path = origin, path
        first = self._first_lines()
        self._delimiter = max(",;\t", key=first[0].count)
        rows = [row for row in csv.reader(first, delimiter=self._delimiter) if row]
        if not rows or len(rows[0]) < 2:
            raise DataError(f"{origin}: no table of two or more columns in its first line")
        n_columns = len(rows[0])
        if n_columns - 1 > LIMITS.inputs:
            raise DataError(
                f"{origin}: {n_columns:,} columns; at most {LIMITS.inputs + 1:,} are read"
            )
        self._has_names = sum(map(is_number, rows[0])) < n_columns - 1
        names = (
            [name.strip() for name in rows[0]] if self._has_names else [*map(str, range(n_columns))]
        )
        if "" in names:
            raise DataError(
                f"{origin}: column {names.index('')} has no name (an index?); name it, or leave it "
                "out"
            )
        if len(set(names)) < n_columns:
            repeated = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{origin}: two columns are called {_short(repeated)!r}")
        self._label = label_column(names, label, origin)
        self.label = names[self._label]
        self.columns = tuple(_short(name) for i, name in enumerate(names) if i != self._label)
        self.shape, self.dtype = (n_columns - 1,), np.dtype(np.float64)
        self.labels = self._read_labels()

    def where(self, row: int, column: int) -> str:
        return f"row {row}, column {self.columns[column]!r}"

    def blocks(self) -> Iterator[Array]:
        step = max(1, LIMITS.block_bytes // (8 * self.n_inputs))
        inputs = [index for index in range(self.n_inputs + 1) if index != self._label]
        for frame in self._frames(chunksize=step, usecols=inputs, dtype=np.float64):
            block = frame.to_numpy()
            if not np.isfinite(block).all():
                self._explain("a finite number is needed")
            yield block

    def _first_lines(self) -> list[str]:
        """Return the first lines that are not empty, two at most."""
        lines: list[str] = []
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                while len(lines) < 2 and (line := file.readline(_MAX_LINE)):
                    if len(line) == _MAX_LINE:
                        raise DataError(f"{self.origin}: its lines are too long for a table")
                    if "\0" in line:
                        raise UnicodeError
                    if line.strip():
                        lines.append(line)
        except UnicodeError:
            raise DataError(
                f"{self.origin}: neither .npz, .npy, Parquet nor text in UTF-8; see the README "
                "for what is read"
            ) from None
        if not lines:
            raise DataError(f"{self.origin}: empty")
        return lines

    def _read_labels(self) -> Array:
        """Return the labels as text; all lines must have as many columns as the first."""
        n_columns, codes, texts = self.n_inputs + 1, array("q"), dict[str, int]()
        for line, row in self._rows():
            if len(row) != n_columns:
                raise DataError(
                    f"{self.origin}: line {line}: {len(row)} columns; {n_columns} expected"
                )
            text = row[self._label].strip()
            if not text:
                raise DataError(
                    f"{self.origin}: line {line}, column {_short(self.label)!r}: no label"
                )
            codes.append(texts.setdefault(text, len(texts)))
        return np.array(list(texts), str)[np.frombuffer(codes, np.int64)]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not empty after the line of names, and its line from 1."""
        names = self._has_names
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=self._delimiter)
                for row in reader:
                    if row and not names:
                        yield reader.line_num, row
                    names = names and not row
        except UnicodeError:
            raise DataError(f"{self.origin}: not text in UTF-8") from None
        except csv.Error as error:
            raise DataError(f"{self.origin}: line {reader.line_num}: {error}") from None

    def _frames(self, **options: Any) -> Iterator[Any]:
        """Yield frames of rows; `DataError` names the line that cannot be read."""
        import pandas as pd

        names = range(self.n_inputs + 1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frames = pd.read_csv(
                    self._path,
                    sep=self._delimiter,
                    header=None,
                    names=names,
                    index_col=False,
                    na_filter=False,
                    encoding="utf-8-sig",
                    engine="c",
                    low_memory=False,
                    **self._skip_names(),
                    **options,
                )
                with frames:
                    yield from frames
        except (ValueError, pd.errors.ParserWarning, OSError) as error:
            self._explain(" ".join(str(error).split())[:160])

    def _skip_names(self) -> dict[str, Any]:
        """Return the arguments of pandas that skip the line of names."""
        if not self._has_names:
            return {}
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            for index, line in enumerate(file):
                if line.strip():
                    return {"skiprows": index + 1}
        return {}

    def _explain(self, message: str) -> None:
        """Raise an error that names the first faulty cell, or else the message given."""
        for line, row in self._rows():
            inputs = [cell for index, cell in enumerate(row) if index != self._label]
            for name, cell in zip(self.columns, inputs, strict=True):
                if not is_number(cell) or not math.isfinite(float(cell)):
                    raise DataError(
                        f"{self.origin}: line {line}, column {name!r}: {cell[:_MAX_NAME]!r} seen; "
                        "a finite number is needed"
                    )
        raise DataError(f"{self.origin}: {message}")


def _short(name: str) -> str:
    """Return the name of a column as text of one line, cut short where it is long."""
    return "".join(char if char.isprintable() else " " for char in name[:_MAX_NAME])


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, as text."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


class ParquetTable(Table):
    """A Parquet file, read by pyarrow."""

    def __init__(self, path: Path, origin: str, label: str | int | None) -> None:
        self.origin, self._path = origin, path
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise DataError(
                f"{origin}: Parquet is read by pyarrow, which is not installed: "
                "pip install 'lsg-ray[parquet]', or save it as CSV or .npz"
            ) from None
        with self._reading():
            file = parquet.ParquetFile(path)
            names = list(file.schema_arrow.names)
            rows = file.metadata.num_rows
        if len(names) < 2:
            raise DataError(f"{origin}: {len(names)} columns; two or more are needed")
        self._label = label_column(names, label, origin)
        self.label = names[self._label]
        self._names = [name for index, name in enumerate(names) if index != self._label]
        self.columns = tuple(map(_short, self._names))
        self.shape, self.dtype = (len(self._names),), np.dtype(np.float64)
        for name in self._names:
            kind = file.schema_arrow.field(name).type
            if not any(name in str(kind) for name in ("int", "float", "double", "bool")) or (
                kind.num_fields
            ):
                raise DataError(f"{origin}: column {_short(name)!r} is {kind}; numbers are needed")
        if rows > LIMITS.bytes // 4:
            raise DataError(f"{origin}: {rows:,} rows; keep fewer")
        with self._reading():
            column = file.read(columns=[self.label]).column(0)
        if column.null_count:
            raise DataError(f"{origin}: column {_short(self.label)!r}: a label is missing")
        labels = column.to_numpy()
        self.labels = labels.astype(str) if labels.dtype == object else labels

    def where(self, row: int, column: int) -> str:
        return f"row {row}, column {self.columns[column]!r}"

    def blocks(self) -> Iterator[Array]:
        import pyarrow.parquet as parquet

        step = max(1, LIMITS.block_bytes // (8 * self.n_inputs))
        with self._reading():
            batches = parquet.ParquetFile(self._path).iter_batches(step, columns=self._names)
            for batch in batches:
                columns = [
                    batch.column(name).cast("float64").to_numpy(zero_copy_only=False)
                    for name in self._names
                ]
                yield np.column_stack(columns)

    def _reading(self) -> Any:
        from contextlib import contextmanager

        import pyarrow

        @contextmanager
        def reading() -> Iterator[None]:
            try:
                yield
            except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
                reason = " ".join(str(error).split())[:160]
                raise DataError(f"{self.origin}: cannot be read as Parquet ({reason})") from None

        return reading()
