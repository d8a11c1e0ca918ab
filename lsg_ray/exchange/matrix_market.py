"""``.mtx``: Matrix Market, a matrix as text: weights (M, N), couplings, or a variable of two axes.

Zeros are left out, and of a symmetric matrix the entries above the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray

from lsg_ray.errors import InputError
from lsg_ray.exchange.csv_text import texts
from lsg_ray.exchange.format import Format
from lsg_ray.exchange.table import TEXT_NUMBERS, Table, one_variable
from lsg_ray.exchange.tensors import only_weights
from lsg_ray.ising.model import IsingModel
from lsg_ray.typing import Array

#: Digits reserved for the number of entries, which is written at the end.
_DIGITS = 18


def write_mtx(table: Table, path: Path) -> None:
    """Write the weights (M, N)."""
    only_weights(table)
    layout = table.layout("weights")
    kind = "integer" if layout.dtype.kind == "i" else "real"
    rows = (block["weights"] for block in table.text_blocks(["weights"]))
    _write(path, f"{kind} general", (table.n_rows, *layout.shape), rows)


def write_result_mtx(result: xarray.Dataset, path: Path) -> None:
    """Write a variable of two axes."""
    values = one_variable(result)
    if values.ndim != 2:
        raise InputError(
            f"{values.name} runs along {', '.join(map(str, values.dims))}; a .mtx "
            "holds a matrix: choose a variable of two axes (--columns)"
        )
    kind = "real" if values.dtype.kind == "f" else "integer"
    _write(path, f"{kind} general", values.shape, iter(_row_blocks(values.values)))


def write_model_mtx(model: IsingModel, path: Path, cutoff: float) -> None:
    """Write the couplings J; fields are not part of it."""
    J = np.where(np.abs(model.J) > cutoff, model.J, 0.0)
    _write(path, "real symmetric", J.shape, iter(_row_blocks(np.tril(J))))


def _row_blocks(matrix: Array) -> list[Array]:
    """Cut a matrix into blocks of rows."""
    step = max(1, TEXT_NUMBERS // max(1, matrix.shape[1]))
    return [matrix[start : start + step] for start in range(0, len(matrix), step)]


def _write(path: Path, kind: str, shape: tuple[int, ...], blocks: Iterator[Array]) -> None:
    first = entries = 0
    with open(path, "xb") as file:
        file.write(f"%%MatrixMarket matrix coordinate {kind}\n{shape[0]} {shape[1]} ".encode())
        position = file.tell()
        file.write(b" " * _DIGITS + b"\n")
        for block in blocks:
            row, column = np.nonzero(block)
            values = texts(block[row, column])
            lines = zip((row + first + 1).tolist(), (column + 1).tolist(), values, strict=True)
            file.write("".join(f"{i} {j} {value}\n" for i, j, value in lines).encode())
            entries, first = entries + len(row), first + len(block)
        file.seek(position)
        file.write(f"{entries:{_DIGITS}}".encode())


FORMAT = Format(
    "mtx",
    "a matrix as text",
    write=write_mtx,
    write_result=write_result_mtx,
    write_model=write_model_mtx,
    model_variables=("J",),
)
