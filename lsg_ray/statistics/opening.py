"""Open results and archives that somebody else may have made: bounded, and no code in them is run.

What a file claims to unpack to is compared with what it holds before anything is allocated, for
arrays as wholes and for each chunk, and only codecs that turn bytes into bytes are admitted: Zarr's
older format could name Python's pickle.  Results on object stores are fetched whole, then opened.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import xarray

from lsg_ray.ensemble.location import Location, UnreadableError, locate
from lsg_ray.ensemble.owned import scratch
from lsg_ray.errors import InputError

Place = str | os.PathLike[str]

#: Beside the arrays of a result that we wrote: the keys of all that must be there.  Other tools
#: leave out chunks of fill values, and write no such list.
INDEX = ".chunks.json"

#: On an object store, beside a result whose upload was begun and has not ended.
MARK = ".lsg.upload.json"

#: What a file may unpack to in any case; above, at most so many times the bytes that it holds.
FREE_BYTES, MAX_RATIO = 2**30, 200
#: Most bytes of a document, and of a result that is fetched.
MAX_DOCUMENT, MAX_FETCH = 2**24, 2**34
#: Codecs that compress, and those that are admitted beside one of them.
COMPRESSORS, OTHERS = {"zstd", "blosc"}, {"bytes", "crc32c", "transpose"}


def open_result(path: Place) -> xarray.Dataset:
    """Open a result of ours, a Zarr v3 group: lazily where it is local, else whole.

    Raises
    ------
    InputError
        It claims more data than it holds, lacks a chunk, or names a codec that is none of ours.
    StoreError
        An object store does not answer, or refuses.
    OSError, ValueError, ...
        What xarray and Zarr raise where nothing readable is there.
    """
    location = locate(path)
    if location.path is not None:
        return _opened(location.path, location.url)
    if (upload := unfinished(location)) is not None:
        whole = upload.get("whole")
        stands = f"; the new result stands whole at {whole}" if whole else ""
        raise InputError(
            f"{location.url}: its upload was interrupted{stands}; "
            "run the command that made it again"
        )
    with scratch("result") as folder:
        _fetch(location, folder)
        with _opened(folder, location.url) as found:
            return found.load()


def attributes_of(path: Place) -> dict[str, Any]:
    """Return the attributes of a Zarr group; empty if there is none."""
    location = locate(path)
    try:
        found = _parsed(location.read("zarr.json", MAX_DOCUMENT))["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def unfinished(location: Location) -> dict[str, Any] | None:
    """Return what is known of an upload of a result that was begun and has not ended, or None."""
    try:
        location.read("zarr.json", MAX_DOCUMENT)
        return None
    except FileNotFoundError:
        pass
    except UnreadableError:
        return None
    try:
        found = _parsed(location.read(MARK, MAX_DOCUMENT))
    except FileNotFoundError:
        return None
    except (UnreadableError, ValueError):
        return {}
    keys, whole = found.get("keys"), found.get("whole")
    plain = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    return {"keys": keys if plain else [], "whole": whole if isinstance(whole, str) else None}


@contextlib.contextmanager
def open_archive(path: Place) -> Iterator[Any]:
    """Open an ``.npz`` of arrays: a mapping from names, without Python objects.

    Raises
    ------
    InputError
        It claims far more data than it holds, or is no plain file.
    OSError, ValueError, ...
        What NumPy raises where nothing readable is there.
    """
    path = _local(path)
    require_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
        _check_claim(str(path), claimed, Path(path).stat().st_size)
    with np.load(path, allow_pickle=False) as arrays:
        yield arrays


def _local(path: Place) -> Place:
    """Return the path that a ``file://`` URL means."""
    if "://" not in str(path):
        return path
    found = locate(path).path
    if found is None:
        raise InputError(f"{os.fspath(path)}: an .npz is read from a local path")
    return found


def require_file(path: Place) -> int:
    """Return the size of a plain file; reading anything else may wait for ever.

    Raises
    ------
    InputError
        It is something else.
    OSError
        It is not there, or hidden.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{os.fspath(path)}: not a plain file")
    return status.st_size


def _opened(place: Path, name: str) -> xarray.Dataset:
    _refuse_links(place, name)
    root = _document(place)
    inline = (root.get("consolidated_metadata") or {}).get("metadata")
    arrays = inline or {
        file.parent.name: _document(file.parent) for file in sorted(place.glob("*/zarr.json"))
    }
    _check_index(place, name)
    claimed = 0
    for key, array in arrays.items():
        if array.get("node_type") == "array":
            if key in ("", ".", "..") or "/" in key:
                raise InputError(f"{name}: {key!r} is no name of an array")
            claimed += _check_array(place / key, f"{name}: {key}", array)
    held = sum(file.lstat().st_size for file in place.rglob("*"))
    _check_claim(name, claimed, held)
    return xarray.open_zarr(place, zarr_format=3, consolidated=inline is not None)


def _refuse_links(place: Path, name: str) -> None:
    """Refuse a result that holds a symbolic link, which could lead anywhere."""
    for folder, folders, files in os.walk(place):
        for inner in folders + files:
            if os.path.islink(os.path.join(folder, inner)):
                raise InputError(f"{name}: {inner} is a symbolic link; put the file in its place")


def _check_index(place: Path, name: str) -> None:
    if not (place / INDEX).exists():
        return
    if require_file(place / INDEX) > MAX_DOCUMENT:
        raise InputError(f"{name}: {INDEX} is too long")
    try:
        keys = json.loads((place / INDEX).read_bytes())
        missing = next((key for key in keys if not os.path.lexists(place / key)), None)
    except (ValueError, TypeError, RecursionError):
        raise InputError(f"{name}: {INDEX} is damaged; make the result anew") from None
    if missing is not None:
        raise InputError(f"{name}: {missing} is missing; make the result anew")


def _check_array(place: Path, name: str, array: dict[str, Any]) -> int:
    """Return the bytes that an array claims; its chunks unpack to what they should."""
    shape = [int(n) for n in array["shape"]]
    chunk = [int(n) for n in array["chunk_grid"]["configuration"]["chunk_shape"]]
    item = _item_bytes(array["data_type"])
    if len(chunk) != len(shape) or min(chunk, default=1) < 1 or min(shape, default=0) < 0:
        raise InputError(f"{name}: shape {shape} in chunks {chunk}")
    codecs = [str(codec["name"]) for codec in array["codecs"]]
    if unknown := set(codecs) - COMPRESSORS - OTHERS:
        raise InputError(f"{name}: codec {sorted(unknown)[0]!r} is not one of ours")
    packed = [codec for codec in codecs if codec in COMPRESSORS]
    if len(packed) > 1:
        raise InputError(f"{name}: compressed more than once")
    size = math.prod(chunk) * item
    present = {}
    for file in place.rglob("*"):
        if not file.is_dir() or file.is_symlink():
            if file.is_symlink():
                raise InputError(f"{name}: {file.name} is a link")
            present[file.relative_to(place).as_posix()] = require_file(file)
    present.pop("zarr.json", None)
    if present:
        _check_claim(name, size, max(present.values()))
    for key in present:
        with open(place / key, "rb") as chunk_file:
            told = _unpacked(chunk_file.read(18), packed[0]) if packed else present[key]
        if told > size + 8:  # a checksum
            raise InputError(f"{name}/{key} unpacks to {told:,} bytes, must be {size:,}")
    return math.prod(shape) * item


def _item_bytes(data_type: Any) -> int:
    """Return the bytes of an element of a Zarr data type of fixed length."""
    if isinstance(data_type, dict):  # such as fixed_length_utf32
        return int(data_type["configuration"]["length_bytes"])
    found = np.dtype(str(data_type))
    if found.hasobject:
        raise ValueError("Python objects")
    return found.itemsize


def _unpacked(head: bytes, codec: str) -> int:
    """Return what a chunk says that it unpacks to (RFC 8878, 3.1.1.1; Blosc's header).

    Raises
    ------
    ValueError
        It does not say.
    """
    if codec == "blosc":
        if len(head) < 16:
            raise ValueError("a chunk is cut short")
        return int.from_bytes(head[4:8], "little")
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("a chunk is not Zstandard")
    descriptor = head[4]
    single, dictionary = bool(descriptor & 0x20), (0, 1, 2, 4)[descriptor & 3]
    width = (int(single), 2, 4, 8)[descriptor >> 6]
    if width == 0:
        raise ValueError("a chunk does not say how large it is")
    start = 5 + (not single) + dictionary
    return int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)


def _fetch(location: Location, folder: Path) -> None:
    """Copy all objects of a result, which are few and small, into a folder."""
    sizes = location.everything()
    if not sizes:
        raise FileNotFoundError("nothing there")
    if sum(sizes.values()) > MAX_FETCH:
        raise InputError(f"{location.url}: holds {sum(sizes.values()):,} bytes; that is no result")
    for key in sizes:
        path = PurePosixPath(key)
        if path.is_absolute() or ".." in path.parts:
            raise InputError(f"{location.url}: {key!r} is no key of a result")
    data = location.map(lambda key: location.read(key, sizes[key]), sizes)
    for key, found in zip(sizes, data, strict=True):
        target = folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(found)


def _document(place: Path) -> dict[str, Any]:
    if not (place / "zarr.json").exists() and (place / ".zgroup").exists():
        raise InputError(f"{place}: Zarr's older format 2; write it with zarr_format=3")
    if require_file(place / "zarr.json") > MAX_DOCUMENT:
        raise ValueError(f"{place / 'zarr.json'} is too long")
    return _parsed((place / "zarr.json").read_bytes())


def _parsed(data: Any) -> dict[str, Any]:
    try:
        found = json.loads(bytes(data))
    except RecursionError:
        raise ValueError("zarr.json is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("zarr.json is no document")
    return found


def _check_claim(name: str, claimed: int, held: int) -> None:
    if claimed > max(FREE_BYTES, MAX_RATIO * held):
        raise InputError(f"{name}: claims {claimed:,} bytes of data and holds {held:,}")
