"""Open results and archives that somebody else may have made: bounded, and no code in them is run.

What a file claims to unpack to is compared with what it holds before anything is allocated, and
only codecs that turn bytes into bytes are admitted: Zarr's older format could name Python's pickle.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from lsg_ray.errors import InputError

#: What a file may unpack to in any case; above, at most so many times the bytes that it holds.
FREE_BYTES, MAX_RATIO = 2**30, 200
#: Most bytes of a group's or an array's document.
MAX_DOCUMENT = 2**24
CODECS = {"bytes", "zstd", "blosc", "gzip", "crc32c", "transpose", "sharding_indexed"}


def open_result(path: str | os.PathLike[str]) -> xarray.Dataset:
    """Open a result of ours, lazily: a local Zarr v3 group.

    Raises
    ------
    InputError
        It claims far more data than it holds, or names a codec that is not in `CODECS`.
    OSError, ValueError, ...
        What xarray and Zarr raise where nothing readable is there.
    """
    place = Path(path)
    _document(place)
    claimed = 0
    for file in sorted(place.glob("*/zarr.json")):
        array = _document(file.parent)
        if array.get("node_type") != "array":
            continue
        if unknown := _codecs(array) - CODECS:
            raise InputError(f"{file.parent}: codec {sorted(unknown)[0]!r} is not one of ours")
        claimed += math.prod(int(n) for n in array["shape"]) * _bytes_of(array["data_type"])
    _check_claim(place, claimed, _size(place))
    return xarray.open_zarr(place, zarr_format=3, consolidated=False)


def attributes_of(path: Path) -> dict[str, Any]:
    """Return the attributes of a local Zarr group; empty if there is none."""
    try:
        found = _document(path)["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def open_archive(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open an ``.npz`` of arrays: a mapping from names, without Python objects.

    Raises
    ------
    InputError
        It claims far more data than it holds.
    OSError, ValueError, ...
        What NumPy raises where nothing readable is there.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
        _check_claim(Path(path), claimed, Path(path).stat().st_size)
    with np.load(path, allow_pickle=False) as arrays:
        yield arrays


def _size(place: Path) -> int:
    return sum(file.lstat().st_size for file in place.rglob("*"))


def _document(place: Path) -> dict[str, Any]:
    with open(place / "zarr.json", "rb") as file:
        data = file.read(MAX_DOCUMENT + 1)
    if len(data) > MAX_DOCUMENT:
        raise ValueError(f"{place / 'zarr.json'} is too long")
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError(f"{place / 'zarr.json'} is no document")
    return found


def _codecs(array: dict[str, Any]) -> set[str]:
    """Return the names of all codecs, also those inside shards."""
    names, waiting = set(), list(array.get("codecs", []))
    while waiting:
        codec = waiting.pop()
        names.add(str(codec["name"]))
        configuration = codec.get("configuration") or {}
        waiting += [*configuration.get("codecs", []), *configuration.get("index_codecs", [])]
    return names


def _bytes_of(data_type: Any) -> int:
    return 1 if data_type == "bool" else np.dtype(str(data_type)).itemsize


def _check_claim(place: Path, claimed: int, held: int) -> None:
    if claimed > max(FREE_BYTES, MAX_RATIO * held):
        raise InputError(f"{place}: claims {claimed:,} bytes of data and holds {held:,}")
