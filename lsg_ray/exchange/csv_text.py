"""``.csv``: a line for each configuration, weights in columns w0, w1, …; without a header, weights
alone.  Numbers are written so that they are read back exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import xarray

from lsg_ray.datasets.text_tables import is_number
from lsg_ray.errors import InputError
from lsg_ray.exchange.format import Format, Request
from lsg_ray.exchange.source import Rows, Source
from lsg_ray.exchange.table import Table, as_frame
from lsg_ray.results.opening import require_file
from lsg_ray.typing import Array, Floats

#: Largest number of characters of a line.
MAX_LINE = 2**26
#: Note on a column that is not imported.
NUMBERED_ANEW = "column configuration left out: rows are numbered anew"
_WEIGHT = re.compile(r"(?:w|weight|weight_|w_)(\d{1,9})")


class CsvSource(Source):
    """Rows of a text file, read forwards; reading backwards starts again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _opened(path) as file:
            first = _line(file, path, 0)
            self._separator = next((char for char in ",;\t" if char in first), ",")
            cells = [cell.strip().strip('"') for cell in first.rstrip("\n").split(self._separator)]
            self._header = not all(map(is_number, cells))
            n_rows = sum(1 for line in _lines(file, path) if line.strip()) + (not self._header)
        self._cells = len(cells)
        names = cells if self._header else [f"w{i}" for i in range(len(cells))]
        self._names = names
        self._order, self._columns = sorted_columns(str(path), names)
        super().__init__(str(path), n_rows, len(self._order))
        if "configuration" in names:
            self.notes.append(NUMBERED_ANEW)
        self._file: Iterator[str] | None = None
        self._next = 0

    def read(self, start: int, stop: int) -> Rows:
        if self._file is None or start < self._next:
            file = _opened(self._path)
            if self._header:
                _line(file, self._path, 0)
            self._file = (line for line in _lines(file, self._path) if line.strip())
            self._next = 0
        while self._next < start:
            next(self._file)
            self._next += 1
        lines = []
        for line in self._file:
            lines.append(line)
            if len(lines) == stop - start:
                break
        self._next = stop
        table = self._parsed(start, lines)
        columns = {name: _whole(table[:, index]) for name, index in self._columns.items()}
        return Rows(table[:, self._order], columns)

    def _parsed(self, start: int, lines: list[str]) -> Floats:
        text = [line.replace('"', "") for line in lines]
        try:
            numbers = np.loadtxt(
                text, np.float64, delimiter=self._separator, ndmin=2, comments=None
            )
            if numbers.shape == (len(lines), self._cells):
                return numbers
        except ValueError:
            pass
        for number, line in enumerate(text):
            cells = line.split(self._separator)
            if len(cells) != self._cells:
                raise InputError(
                    f"{self.name}: row {start + number} has {len(cells)} numbers, must have "
                    f"{self._cells}"
                )
            for index, cell in enumerate(cells):
                if not is_number(cell.strip()):
                    raise InputError(
                        f"{self.name}: row {start + number}, column {self._names[index]!r} is "
                        f"{cell.strip()[:40]!r}; numbers are needed: leave the column out"
                    )
        raise InputError(f"{self.name}: rows {start} to {start + len(lines)} cannot be read")


def _opened(path: Path) -> TextIO:
    return open(path, encoding="utf-8-sig", newline=None)


def _line(file: TextIO, path: Path, number: int) -> str:
    try:
        line = file.readline(MAX_LINE)
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text (UTF-8); a table of numbers is needed") from None
    if len(line) == MAX_LINE:
        raise InputError(f"{path}: row {number} is longer than {MAX_LINE:,} characters")
    return line


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    number = 0
    while line := _line(file, path, number):
        number += 1
        yield line


def _whole(values: Floats) -> Array:
    """Return whole numbers as integers."""
    exact = np.abs(values) < 2**53
    return values.astype(np.int64) if (exact & (values == np.rint(values))).all() else values


def sorted_columns(name: str, cells: list[str]) -> tuple[list[int], dict[str, int]]:
    """Return the indices of the weights w0, w1, …, in their order, and of each other column.

    Raises
    ------
    InputError
        A number is missing among the weights, or a column is there twice.
    """
    weights, columns = {}, {}
    for index, cell in enumerate(cells):
        match = _WEIGHT.fullmatch(cell.lower())
        if match:
            weights[int(match[1])] = index
        elif cell in columns:
            raise InputError(f"{name}: column {cell!r} is there twice; rename one")
        elif cell != "configuration":
            columns[cell] = index
    numbers = sorted(weights)
    count = sum(1 for cell in cells if _WEIGHT.fullmatch(cell.lower()))
    if not numbers or numbers != list(range(numbers[0], numbers[0] + count)) or numbers[0] > 1:
        raise InputError(
            f"{name}: no columns w0, w1, ... without a gap; name the weights so, or leave the "
            "header out if all columns are weights"
        )
    return [weights[number] for number in numbers], columns


def read_csv(path: Path, _: Request) -> Source:
    """Open a table of weights."""
    if not require_file(path):
        raise InputError(f"{path}: empty; a line for each configuration is needed")
    return CsvSource(path)


def texts(values: Array) -> list[str]:
    """Return numbers as text, the shortest that is read back exactly.

    >>> texts(np.array([0.1, 1 / 3], np.float32)), texts(np.array([-1, 1], np.int8))
    (['0.1', '0.33333334'], ['-1', '1'])
    """
    if values.dtype == np.float32:  # as text of this type and not of the double next to it
        return [
            np.format_float_scientific(x, trim="-")
            if x and not 1e-4 <= abs(x) < 1e16
            else np.format_float_positional(x, trim="-")
            for x in values
        ]
    return [repr(value) for value in values.tolist()]


def write_csv(table: Table, path: Path) -> None:
    """Write a header and a line for each configuration."""
    names = table.flat_names("csv")
    header = []
    for name in names:
        shape = table.layout(name).shape
        header += [f"w{i}" for i in range(shape[0])] if shape else [name]
    with open(path, "x", encoding="ascii") as file:
        file.write(",".join(header) + "\n")
        for rows in table.text_blocks(names):
            file.writelines(_csv_lines([rows[name] for name in names]))


def _csv_lines(columns: list[Array]) -> Iterator[str]:
    parts = []
    for values in columns:
        if values.ndim == 1:  # of any type, as the double that every reader makes of it
            parts.append(texts(values.astype(np.float64) if values.dtype.kind == "f" else values))
        elif values.dtype == np.int8:
            signs = np.where(values > 0, "1", "-1")
            parts.append([",".join(row) for row in signs.tolist()])
        else:
            parts.append([",".join(texts(row)) for row in values])
    for cells in zip(*parts, strict=True):
        yield ",".join(cells) + "\n"


def write_result_csv(result: xarray.Dataset, path: Path) -> None:
    """Write variables along the same dimensions, a column each, with their coordinates."""
    with open(path, "x", encoding="utf-8") as file:
        as_frame(result).to_csv(file, index=False)


FORMAT = Format(
    "csv", "a table as text", read=read_csv, write=write_csv, write_result=write_result_csv
)
