"""``.npy``: one array, of weights (M, N) or of a column."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO

import numpy as np
import xarray

from lsg_ray.arrays import npy_header
from lsg_ray.errors import InputError
from lsg_ray.exchange.format import Format, Request
from lsg_ray.exchange.source import ArraySource, Rows, Source
from lsg_ray.exchange.table import Table, one_variable
from lsg_ray.results.opening import require_file
from lsg_ray.typing import Array


class ArrayHeader:
    """Header of an ``.npy`` file: shape (M, …), data type, and order of axes."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        try:
            self.shape, self.fortran, self.dtype = npy_header(file)
        except (ValueError, EOFError) as error:
            raise InputError(f"{name}: not an .npy ({error}); write it with numpy.save") from None
        if self.dtype.hasobject or self.dtype.kind not in "biuf":
            raise InputError(f"{name}: {self.dtype} given; an array of real numbers is needed")
        if min(self.shape, default=0) < 0:
            raise InputError(f"{name}: shape {self.shape}")
        self.start = file.tell()

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def require_matrix(self, name: str) -> tuple[int, int]:
        """Return M and N, the shape of weights.

        Raises
        ------
        InputError
            The array has another number of axes.
        """
        if len(self.shape) != 2:
            raise InputError(f"{name}: an array of shape {self.shape}; weights are (M, N)")
        return self.shape[0], self.shape[1]


class NpySource(Source):
    """Rows of a C-ordered array in a file, read from disk block by block."""

    def __init__(self, path: Path, header: ArrayHeader) -> None:
        super().__init__(str(path), *header.require_matrix(str(path)))
        self._path, self._header = path, header

    def read(self, start: int, stop: int) -> Rows:
        row = self.n_weights * self._header.dtype.itemsize
        data = np.fromfile(
            self._path,
            self._header.dtype,
            (stop - start) * self.n_weights,
            offset=self._header.start + start * row,
        )
        if data.size != (stop - start) * self.n_weights:
            raise InputError(f"{self.name}: it became shorter while it was read")
        return Rows(plain(data.reshape(-1, self.n_weights)), {})


def plain(array: Array) -> Array:
    """Return numbers in the byte order of this machine, booleans as 0 and 1."""
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def read_npy(path: Path, _: Request) -> Source:
    """Open an array (M, N)."""
    length = require_file(path)
    with open(path, "rb") as file:
        header = ArrayHeader(file, str(path))
    if header.start + header.nbytes != length:
        raise InputError(
            f"{path}: {length:,} bytes, and its header says {header.start + header.nbytes:,}; it "
            "is cut short or damaged: write it again"
        )
    if not header.fortran:
        return NpySource(path, header)
    header.require_matrix(str(path))
    # In Fortran order: rows are gathered through the page cache.
    whole = np.load(path, mmap_mode="r", allow_pickle=False)
    return ArraySource(str(path), whole, {})


def array_header(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    """Return the header of an ``.npy`` of a C-ordered array."""
    import io

    file = io.BytesIO()
    fields = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


def write_npy(table: Table, path: Path) -> None:
    """Write one column of configurations, by default their weights."""
    names = [name for name in table.names if name != "configuration"] or ["configuration"]
    name = "weights" if "weights" in names and not table.chosen else names[0]
    if table.chosen and len(names) > 1:
        raise InputError(f"{os.fspath(path.name)}: an .npy holds one array; choose one column")
    table.names, layout = (name,), table.layout(name)
    with open(path, "xb") as file:
        file.write(array_header(layout.dtype, (table.n_rows, *layout.shape)))
        for rows in table.blocks([name]):
            file.write(np.ascontiguousarray(rows[name], layout.dtype).data)


def write_result_npy(result: xarray.Dataset, path: Path) -> None:
    """Write one variable of a result."""
    with open(path, "xb") as file:
        np.save(file, one_variable(result).values, allow_pickle=False)


FORMAT = Format(
    "npy", "one NumPy array", read=read_npy, write=write_npy, write_result=write_result_npy
)
