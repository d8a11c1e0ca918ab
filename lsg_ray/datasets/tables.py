"""Examples in files: tables that are read in blocks of rows, whatever the format.

Nothing is trusted: sizes are those of headers, bounded before anything is allocated and compared
with the bytes of the file; no Python objects are ever read.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lsg_ray.errors import DataError
from lsg_ray.typing import Array, Flags


@dataclass(frozen=True)
class FileLimits:
    """Upper limits of a file that is read: beyond, it is more likely a mistake than data.

    bytes: of a file, and of the numbers read from it, in memory; inputs: of an example; classes;
    block_bytes: of rows that are read at once; ratio: of unpacked to packed bytes, of members
    larger than ratio_from.
    """

    bytes: int = 2**34
    inputs: int = 2**20
    classes: int = 10_000
    block_bytes: int = 2**24
    ratio: int = 500
    ratio_from: int = 2**26


LIMITS = FileLimits()


class DataWarning(UserWarning):
    """A property of the data that a user should know, and that is no error."""


class Table(ABC):
    """Inputs with labels; `blocks` gives the inputs row by row.

    origin: name of the file for messages; labels: (n,) as in the file; shape: that of one example;
    dtype: of the inputs; columns: names of the inputs, empty without.
    """

    origin: str
    labels: Array
    shape: tuple[int, ...]
    dtype: np.dtype
    columns: tuple[str, ...] = ()

    @property
    def n_inputs(self) -> int:
        """Number of inputs of an example."""
        return math.prod(self.shape)

    @abstractmethod
    def blocks(self) -> Iterator[Array]:
        """Yield (rows, n_inputs) numbers, all rows in the order of the file.

        Raises
        ------
        DataError
            Something cannot be read; the message names row and column.
        """

    def where(self, row: int, column: int) -> str:
        """Return row and column of a number as text, for messages; both count from 0."""
        return f"row {row}, input {self.columns[column] if self.columns else column}"

    def check_size(self) -> None:
        """Refuse tables that are empty or too large to be read.

        Raises
        ------
        DataError
            The message quotes the shape and the limit.
        """
        n, p = len(self.labels), self.n_inputs
        if p == 0 or n == 0:
            raise DataError(f"{self.origin}: {n:,} examples of {p:,} inputs; there must be some")
        if p > LIMITS.inputs:
            raise DataError(
                f"{self.origin}: {p:,} inputs an example; at most {LIMITS.inputs:,} are read"
            )
        if n * p * (1 if self.dtype == np.uint8 else 4) > LIMITS.bytes:
            raise DataError(
                f"{self.origin}: {n:,} examples of {p:,} inputs take more than "
                f"{LIMITS.bytes / 2**30:.0f} GiB; keep fewer"
            )


class BinaryTable(Table):
    """Numbers in a stream after a header, as in ``.npy`` and idx files.

    Parameters
    ----------
    origin
        Name for messages.
    open_stream
        Function that opens the stream, at the header.
    header_bytes
        Size of the header in bytes.
    dtype
        Data type of the numbers.
    shape
        Shape of the whole array, examples first.
    fortran
        Whether the first axis is the fastest; the array is then held twice while it is read.
    """

    def __init__(
        self,
        origin: str,
        open_stream: Callable[[], IO[bytes]],
        header_bytes: int,
        dtype: np.dtype,
        shape: tuple[int, ...],
        *,
        fortran: bool = False,
    ) -> None:
        self.origin, self.dtype, self.shape = origin, dtype, shape[1:]
        self.n_rows = shape[0]
        self._open, self._header_bytes = open_stream, header_bytes
        self._fortran = fortran and len(shape) > 1
        self.labels = np.zeros(0)

    def labelled(self, labels: BinaryTable) -> BinaryTable:
        """Return this table with the labels of another stream."""
        if labels.dtype.kind not in "biufSU":
            raise DataError(f"{labels.origin}: labels are {labels.dtype}; numbers or text expected")
        if math.prod(labels.shape) != 1:
            raise DataError(
                f"{labels.origin}: labels of shape {(labels.n_rows, *labels.shape)} seen; one "
                "class an example is expected, (n,): of one-hot rows take argmax"
            )
        if labels.n_rows != self.n_rows:
            raise DataError(
                f"{labels.origin}: {labels.n_rows:,} labels seen; {self.origin} has "
                f"{self.n_rows:,} examples"
            )
        self.labels = labels.whole()[:, 0]
        return self

    def check_numbers(self) -> None:
        """Refuse inputs that are no real numbers."""
        if self.dtype.kind not in "biuf":
            raise DataError(f"{self.origin}: inputs are {self.dtype}; real numbers are needed")
        if not self.shape:
            raise DataError(f"{self.origin}: shape ({self.n_rows},) seen; (n, inputs) is needed")

    def whole(self) -> Array:
        """Return all rows at once."""
        if self.n_rows * self.n_inputs * self.dtype.itemsize > LIMITS.bytes:
            raise DataError(f"{self.origin}: larger than {LIMITS.bytes / 2**30:.0f} GiB")
        return np.concatenate([*self.blocks()]) if self.n_rows else np.empty((0, 1), self.dtype)

    def blocks(self) -> Iterator[Array]:
        size = self.dtype.itemsize * self.n_inputs
        step = max(1, LIMITS.block_bytes // max(1, size))
        with self._open() as stream:
            self._read(stream, self._header_bytes)
            if self._fortran:
                step = self.n_rows
            for start in range(0, self.n_rows, step):
                rows = min(step, self.n_rows - start)
                flat = np.frombuffer(self._read(stream, rows * size), self.dtype)
                if self._fortran:
                    axes = flat.reshape((rows, *self.shape), order="F")
                    yield from _row_blocks(axes, max(1, LIMITS.block_bytes // max(1, size)))
                else:
                    yield flat.reshape(rows, -1)
            if self._some(stream, 1):  # also the check at the end of a packed stream
                raise DataError(f"{self.origin}: holds more bytes than its header says")

    def _some(self, stream: IO[bytes], size: int) -> bytes:
        try:
            return stream.read(size)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split())[:120]
            raise DataError(f"{self.origin}: damaged ({reason})") from None

    def _read(self, stream: IO[bytes], size: int) -> bytes:
        data = self._some(stream, size)
        while len(data) < size and (more := self._some(stream, size - len(data))):
            data += more
        if len(data) < size:
            raise DataError(f"{self.origin}: ends before the numbers that its header says")
        return data


def _row_blocks(array: Array, step: int) -> Iterator[Array]:
    for start in range(0, len(array), step):
        rows = array[start : start + step]
        yield np.ascontiguousarray(rows).reshape(len(rows), -1)


def read_inputs(table: Table, in_test: Flags | None = None) -> tuple[Array, Array]:
    """Read the inputs of a table, in one pass and without a second copy.

    Parameters
    ----------
    table
        Table to read.
    in_test
        (n,) whether an example is for testing; None if all are for training.

    Returns
    -------
    train, test
        (n, n_inputs) float32; uint8 of images of bytes.

    Raises
    ------
    DataError
        A number is not finite; the message names row and column.
    """
    n, p = len(table.labels), table.n_inputs
    if in_test is None:
        in_test = np.zeros(n, bool)
    is_bytes = table.dtype == np.uint8 and len(table.shape) > 1
    kind = np.uint8 if is_bytes else np.float32
    n_test = int(in_test.sum())
    parts = np.empty((n - n_test, p), kind), np.empty((n_test, p), kind)
    row, filled = 0, [0, 0]
    for block in table.blocks():
        numbers = block if is_bytes else _finite(table, block, row)
        if row + len(block) > n or block.shape[1] != p:
            raise DataError(f"{table.origin}: changed while it was read; try again")
        tested = in_test[row : row + len(block)]
        for index, chosen in enumerate((~tested, tested)):
            count = int(chosen.sum())
            rows = numbers if count == len(numbers) else numbers[chosen]
            parts[index][filled[index] : filled[index] + count] = rows
            filled[index] += count
        row += len(block)
    if row != n:
        raise DataError(f"{table.origin}: changed while it was read; try again")
    return parts


def _finite(table: Table, block: Array, row: int) -> Array:
    """Return a block in float32, all of it finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = block.astype(np.float32, copy=False)
        good = np.isfinite(numbers.sum(dtype=np.float64))
    if not good:
        for first, column in np.argwhere(~np.isfinite(numbers))[:1]:
            value = block[first, column]
            reason = "too large for float32" if np.isfinite(value) else "a finite number is needed"
            where = table.where(row + int(first), int(column))
            raise DataError(f"{table.origin}: {where}: {value} seen; {reason}")
    return numbers


def finite_inputs(table: Table) -> int:
    """Check all inputs of a table, block by block; return how many are constant.

    Raises
    ------
    DataError
        A number is not finite; the message names row and column.
    """
    row, low, high = 0, None, None
    for block in table.blocks():
        numbers = _finite(table, block, row)
        least, most = numbers.min(axis=0), numbers.max(axis=0)
        low = least if low is None else np.minimum(low, least)
        high = most if high is None else np.maximum(high, most)
        row += len(block)
    return 0 if low is None else int(np.count_nonzero(low == high))


def constant_inputs(train: Array) -> NDArray[np.intp]:
    """Return the indices of inputs that are the same in all examples."""
    low, high = train.min(axis=0), train.max(axis=0)
    return np.flatnonzero(low == high)
