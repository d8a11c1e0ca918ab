"""``.npz``: arrays by name, weights (M, N) and columns (M,) beside them; of a model J and h."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import xarray

from lsg_ray.errors import InputError
from lsg_ray.exchange.format import Format, Request
from lsg_ray.exchange.npy import ArrayHeader, array_header, plain
from lsg_ray.exchange.source import ArraySource, Rows, Source
from lsg_ray.exchange.table import Table, plain_dataset
from lsg_ray.ising.model import IsingModel
from lsg_ray.results.opening import ATTRIBUTES, open_archive
from lsg_ray.typing import Array

#: Names of the weights; other arrays (M,) are columns.
WEIGHTS = ("weights", "sigma", "configurations")


class NpzSource(Source):
    """Rows of a C-ordered member, unpacked as they are read; reading backwards starts again."""

    def __init__(
        self, path: Path, member: str, header: ArrayHeader, columns: dict[str, Array]
    ) -> None:
        super().__init__(str(path), *header.require_matrix(f"{path}: {member}"))
        self._path, self._member, self._header, self._columns = path, member, header, columns
        self._archive = zipfile.ZipFile(path)
        self._file: IO[bytes] | None = None
        self._next = 0

    def read(self, start: int, stop: int) -> Rows:
        row = self.n_weights * self._header.dtype.itemsize
        try:
            if self._file is None or start < self._next:
                self._file = self._archive.open(f"{self._member}.npy")
                self._next = 0
                self._skip(self._header.start)
            self._skip((start - self._next) * row)
            data = self._file.read((stop - start) * row)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise InputError(f"{self.name}: {self._member} is damaged ({error})") from None
        if len(data) != (stop - start) * row:
            raise InputError(f"{self.name}: {self._member} is cut short; write it again")
        self._next = stop
        weights = np.frombuffer(data, self._header.dtype).reshape(-1, self.n_weights)
        columns = {name: values[start:stop] for name, values in self._columns.items()}
        return Rows(plain(weights), columns)

    def _skip(self, count: int) -> None:
        assert self._file is not None  # opened by read
        while count > 0:
            n_read = len(self._file.read(min(count, 2**20)))
            if not n_read:
                return
            count -= n_read


def read_npz(path: Path, _: Request) -> Source:
    """Open weights (M, N) and the columns (M,) beside them."""
    with open_archive(path) as arrays, zipfile.ZipFile(path) as archive:
        names = [name for name in arrays if name != ATTRIBUTES]
        headers: dict[str, ArrayHeader] = {}
        texts = []
        for name in names:
            with archive.open(f"{name}.npy") as file:
                try:
                    headers[name] = ArrayHeader(file, f"{path}: {name}")
                except InputError:
                    texts.append(name)
        member = _member(path, headers)
        rows = headers[member].require_matrix(f"{path}: {member}")[0]
        columns = {}
        for name, header in headers.items():
            if name in (member, "configuration"):
                continue
            if header.shape != (rows,):
                raise InputError(
                    f"{path}: {name} has shape {header.shape}; columns beside {member} are "
                    f"({rows},)"
                )
            columns[name] = plain(arrays[name])
        if not headers[member].fortran:
            source: Source = NpzSource(path, member, headers[member], columns)
        else:
            source = ArraySource(str(path), plain(arrays[member]), columns)
    if texts:
        source.notes.append(f"left out, since they are no numbers: {', '.join(texts)}")
    return source


def _member(path: Path, headers: dict[str, ArrayHeader]) -> str:
    """Return the name of the array that holds the weights."""
    named = [name for name in WEIGHTS if name in headers]
    if not named and {"J", "h"} <= set(headers):
        raise InputError(f"{path}: a model of J and h, and no weights; stages read it as it is")
    matrices = [name for name, header in headers.items() if len(header.shape) == 2]
    if named:
        return named[0]
    if len(matrices) != 1:
        raise InputError(
            f"{path} holds {', '.join(headers) or 'no arrays'}; name the weights (M, N) "
            f"{WEIGHTS[0]}"
        )
    return matrices[0]


def write_npz(table: Table, path: Path) -> None:
    """Write each column as an array, and the attributes of the store as JSON in ``attributes``."""
    # Blocks are read once for weights and once for all else, which is small.
    small = [name for name in table.names if not table.layout(name).shape]
    with zipfile.ZipFile(path, "x") as archive:
        for name in table.names:
            if name in small:
                continue
            layout = table.layout(name)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                file.write(array_header(layout.dtype, (table.n_rows, *layout.shape)))
                for rows in table.blocks([name]):
                    file.write(np.ascontiguousarray(rows[name], layout.dtype).data)
        whole: dict[str, list[Array]] = {name: [] for name in small}
        for rows in table.blocks(small) if small else ():
            for name in small:
                whole[name].append(rows[name])
        arrays = {name: np.concatenate(blocks) for name, blocks in whole.items() if blocks}
        arrays[ATTRIBUTES] = np.array(json.dumps(table.attributes))
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def write_result_npz(result: xarray.Dataset, path: Path) -> None:
    """Write each variable and coordinate as an array, and attributes as JSON."""
    flat = plain_dataset(result)
    arrays = {str(name): flat[name].values for name in flat.variables}
    arrays[ATTRIBUTES] = np.array(json.dumps(flat.attrs))
    with open(path, "xb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def write_model_npz(model: IsingModel, path: Path, _: float) -> None:
    """Write J and h, as `lsg_ray.load_model` reads them."""
    model.save(path)


FORMAT = Format(
    "npz",
    "NumPy arrays by name",
    read=read_npz,
    write=write_npz,
    write_result=write_result_npz,
    write_model=write_model_npz,
)
