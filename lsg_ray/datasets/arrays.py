"""Arrays of NumPy and idx files as tables: ``.npz``, ``.npy``, and folders of either."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from lsg_ray.arrays import npy_header
from lsg_ray.datasets.formats import GZIP_MAGIC
from lsg_ray.datasets.tables import LIMITS, BinaryTable, Table
from lsg_ray.errors import DataError

NPY_MAGIC, ZIP_MAGIC = b"\x93NUMPY", b"PK"
#: Names of arrays: of both parts, or of all examples.
PARTS = ("x_train", "y_train", "x_test", "y_test")
WHOLE = ("x", "y")
#: Types of idx files by their third byte.
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
#: Largest header of an array in bytes; that of plain numbers has about a hundred.
MAX_HEADER_BYTES = 1000

Opener = Callable[[], IO[bytes]]


def npy_table(origin: str, open_stream: Opener, size: int) -> BinaryTable:
    """Return the array of an ``.npy`` stream of `size` bytes.

    Raises
    ------
    DataError
        It is no array, holds Python objects, or does not have the size in its header.
    """
    try:
        with open_stream() as stream:
            shape, fortran, dtype = npy_header(stream, MAX_HEADER_BYTES)
            header_bytes = stream.tell()
    except MemoryError:
        raise
    except Exception as error:  # a header is parsed as Python, and a damaged one can raise anything
        raise DataError(f"{origin}: no array is read ({_reason(error)})") from None
    if dtype.itemsize == 0:
        raise DataError(f"{origin}: numbers of no bytes ({dtype})")
    if dtype.hasobject:
        raise DataError(f"{origin}: holds Python objects, which are not read; save plain numbers")
    shape = shape or (1,)
    table = BinaryTable(origin, open_stream, header_bytes, dtype, shape, fortran=fortran)
    if min(shape) < 0 or header_bytes + table.n_rows * table.n_inputs * dtype.itemsize != size:
        raise DataError(f"{origin}: {size:,} bytes; its header says shape {shape} of {dtype}")
    return table


def npz_tables(path: Path, origin: str) -> tuple[Table, Table | None]:
    """Return the parts of an ``.npz``: the test part is None where there are ``x`` and ``y``."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{origin}: damaged archive ({_reason(error)})") from None
    arrays: dict[str, Callable[[], BinaryTable]] = {}
    for member in members:
        name = member.filename.lower().removesuffix(".npy")
        if name in arrays and name in (*PARTS, *WHOLE):
            raise DataError(f"{origin}: two arrays {name}; keep one")
        arrays[name] = partial(_npz_member, path, origin, member)
    return _named_parts(arrays, origin)


def _npz_member(path: Path, origin: str, member: zipfile.ZipInfo) -> BinaryTable:
    origin = f"{origin}: {member.filename.removesuffix('.npy')[:80]}"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{origin}: packed in a way that numpy.savez does not use")
    if member.flag_bits & 1:
        raise DataError(f"{origin}: is encrypted")
    size = member.file_size
    if size > LIMITS.ratio_from and size > LIMITS.ratio * max(1, member.compress_size):
        raise DataError(
            f"{origin}: {member.compress_size:,} bytes that unpack to {size:,}; refused: save it "
            "with numpy.savez, unpacked"
        )

    def open_member() -> IO[bytes]:
        archive = zipfile.ZipFile(path)
        stream = archive.open(member)
        archive.close()  # the stream holds the file until it is closed
        return stream

    return npy_table(origin, open_member, size)


def npy_file(path: Path, origin: str) -> BinaryTable:
    """Return the array of an ``.npy`` file."""
    return npy_table(origin, lambda: path.open("rb"), path.stat().st_size)


def folder_tables(folder: Path, origin: str) -> tuple[tuple[Table, Table | None], dict[str, Path]]:
    """Return the parts in a folder, and their files by name.

    ``.npy`` files have the names of an ``.npz``'s arrays; idx files any names.  Of two pairs of
    idx files, those with ``train`` in their names are for training, else the longer ones.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    npy = {path.stem.lower(): path for path in files if path.suffix.lower() == ".npy"}
    chosen = [name for name in (*PARTS, *WHOLE) if name in npy]
    if chosen:
        arrays = {
            name: lambda name=name: npy_file(npy[name], f"{origin}/{npy[name].name}")
            for name in chosen
        }
        return _named_parts(arrays, origin), {npy[name].name: npy[name] for name in chosen}
    idx = {path: table for path in files if (table := _idx_file(path, f"{origin}/{path.name}"))}
    pairs = _idx_pairs(idx, origin)
    tables = [idx[images].labelled(idx[labels]) for images, labels in pairs]
    used = {path.name: path for pair in pairs for path in pair}
    for table in tables:
        table.check_numbers()
    return (tables[0], tables[1] if len(tables) > 1 else None), used


def _named_parts(
    arrays: Mapping[str, Callable[[], BinaryTable]], origin: str
) -> tuple[Table, Table | None]:
    """Return the parts of arrays by name."""
    names: tuple[str, ...] = PARTS
    if all(name in arrays for name in PARTS):
        pass
    elif all(name in arrays for name in WHOLE):
        names = WHOLE
    elif all(name in arrays for name in PARTS[:2]):
        names = PARTS[:2]
    else:
        available = ", ".join(sorted(arrays)[:8]) or "nothing"
        raise DataError(
            f"{origin}: holds {available[:200]}; arrays {', '.join(PARTS)}, or {', '.join(WHOLE)}, "
            "are needed"
        )
    tables = [arrays[name]() for name in names]
    for inputs in tables[::2]:
        inputs.check_numbers()
    parts = [
        inputs.labelled(labels) for inputs, labels in zip(tables[::2], tables[1::2], strict=True)
    ]
    return parts[0], parts[1] if len(parts) > 1 else None


def _idx_file(path: Path, origin: str) -> BinaryTable | None:
    """Return the array of an idx file, packed or not; None if it is no idx file."""

    def open_stream() -> IO[bytes]:
        return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]

    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    try:
        with open_stream() as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or not magic[3]:
                return None
            axes = stream.read(4 * magic[3])
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{origin}: damaged ({_reason(error)})") from None
    if len(axes) < 4 * magic[3]:
        raise DataError(f"{origin}: ends within its header of {magic[3]} axes")
    shape = tuple(int(length) for length in np.frombuffer(axes, ">u4"))
    dtype = np.dtype(IDX_TYPES[magic[2]])
    table = BinaryTable(origin, open_stream, 4 + len(axes), dtype, shape)
    needed = 4 + len(axes) + table.n_rows * table.n_inputs * dtype.itemsize
    size = path.stat().st_size
    if size != needed and not packed:
        raise DataError(
            f"{origin}: {size:,} bytes; its header says {needed:,} ({shape} of {dtype})"
        )
    if packed and needed > LIMITS.ratio_from and needed > LIMITS.ratio * 2 * size:
        raise DataError(f"{origin}: {size:,} bytes that unpack to {needed:,}; refused")
    return table


def _idx_pairs(idx: Mapping[Path, BinaryTable], origin: str) -> list[tuple[Path, Path]]:
    """Return the pairs (inputs, labels), that for training first."""
    inputs = [path for path, table in idx.items() if table.shape]
    labels = [path for path, table in idx.items() if not table.shape]
    seen = ", ".join(f"{path.name} {idx[path].n_rows:,}" for path in idx)[:300] or "none"
    wrong = DataError(
        f"{origin}: idx files: {seen}; one or two pairs of inputs and labels (of one axis) of "
        "equal length are needed, or .npy files x_train, y_train, x_test, y_test"
    )
    if not 0 < len(inputs) == len(labels) <= 2:
        raise wrong
    is_train = {path: "train" in path.name.lower() for path in idx}
    by_name = all(
        sum(is_train[path] for path in paths) == 1 < len(paths) for paths in (inputs, labels)
    )
    pairs = []
    for path in sorted(inputs, key=lambda path: (-is_train[path], -idx[path].n_rows)):
        matches = [
            label
            for label in labels
            if idx[label].n_rows == idx[path].n_rows
            and (not by_name or is_train[label] == is_train[path])
        ]
        if len(matches) != 1:
            raise wrong
        pairs.append((path, matches[0]))
    if len(pairs) == 2 and not by_name and idx[inputs[0]].n_rows == idx[inputs[1]].n_rows:
        raise wrong
    return pairs


def _reason(error: Exception) -> str:
    """Return the message of an error as one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__
