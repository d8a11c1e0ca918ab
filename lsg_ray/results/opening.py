"""Open results and archives that somebody else may have made: bounded, and no code in them is run.

The unpacked size of each chunk is read from its head before anything is unpacked, and must be that
of its array's document; the sum is compared with the size of the files.  Only codecs that turn
bytes into bytes are admitted, and one that compresses: Zarr's older format could name Python's
pickle.  Each array's own document counts; consolidated metadata that say something else are
refused.  Results on object stores are fetched whole, then opened.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.ensemble.chunks import CHECKSUM_BYTES
from lsg_ray.ensemble.local import UnreadableError
from lsg_ray.ensemble.location import Location, locate
from lsg_ray.ensemble.owned import scratch
from lsg_ray.ensemble.parsing import parse_json
from lsg_ray.errors import InputError, name_of, shown
from lsg_ray.paths import expanded
from lsg_ray.results.seal import CHUNK_INDEX, check_seal
from lsg_ray.results.unpacking import (
    array_bytes,
    held_bytes,
    item_bytes,
    member_bytes,
    unpacked_bytes,
)
from lsg_ray.typing import Array, Ints, JsonObject, PathOrUrl

#: Key on an object store, beside a result whose upload was begun and has not ended.
UPLOAD_MARK = ".lsg.upload.json"

#: Array of an ``.npz`` of ours that holds the attributes of the result, as JSON.
ATTRIBUTES = "attributes"

#: Codecs that compress, and those that are admitted beside one of them.
COMPRESSORS, PLAIN_CODECS = {"zstd", "blosc"}, {"bytes", "crc32c", "transpose"}


@dataclass(frozen=True)
class OpeningLimits:
    """Bounds on what a result that somebody else may have made can claim."""

    #: Bytes in memory that any file may take; above, at most `max_ratio` times its own bytes.
    #: Each number counts as 8 bytes at least, which it takes in a computation.
    free_bytes: int = 2**27
    max_ratio: int = 200
    #: Most bytes of a document, and of a result that is fetched from an object store.
    max_document_bytes: int = 2**22
    max_fetched_bytes: int = 2**34


OPENING = OpeningLimits()


def open_result(path: PathOrUrl) -> xarray.Dataset:
    """Open a result of ours, a Zarr v3 group: lazily where it is local, else whole.

    One without a seal, of another tool or an older version, is opened with an `UnverifiedWarning`.

    Raises
    ------
    InputError
        It claims more data than it holds, lacks a chunk, fails its checksum, contradicts itself, or
        names a codec that is not ours.
    StoreError
        An object store does not answer, or refuses.
    OSError, ValueError, ...
        What xarray and Zarr raise where nothing readable is there.
    """
    location = locate(path)
    if location.path is not None:
        return _opened(location.path, location.url)
    if (upload := unfinished(location)) is not None:
        copy = upload.get("whole")
        note = f"; the new result is complete at {copy}" if copy else ""
        raise InputError(
            f"{location.url}: its upload was interrupted{note}; run the command that made it again"
        )
    with scratch("result") as folder:
        _fetch(location, folder)
        with _opened(folder, location.url) as result:
            return result.load()


def attributes_of(path: PathOrUrl) -> JsonObject:
    """Return the attributes of a Zarr group; empty if there is none."""
    location = locate(path)
    try:
        attributes = _parsed(location.read("zarr.json", OPENING.max_document_bytes))["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return attributes if isinstance(attributes, dict) else {}


def unfinished(location: Location) -> JsonObject | None:
    """Return the mark of an upload of a result that was begun and has not ended, or None."""
    try:
        location.read("zarr.json", OPENING.max_document_bytes)
        return None
    except FileNotFoundError:
        pass
    except UnreadableError:
        return None
    try:
        mark = _parsed(location.read(UPLOAD_MARK, OPENING.max_document_bytes))
    except FileNotFoundError:
        return None
    except (UnreadableError, ValueError):
        return {}
    keys, whole = mark.get("keys"), mark.get("whole")
    plain = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    return {"keys": keys if plain else [], "whole": whole if isinstance(whole, str) else None}


@contextlib.contextmanager
def open_archive(path: PathOrUrl) -> Iterator[Mapping[str, Array]]:
    """Open an ``.npz`` of arrays: a mapping from names, without Python objects.

    Raises
    ------
    InputError
        It claims far more data than it holds, a member is no array or packed oddly, or it is no
        plain file.
    OSError, ValueError, ...
        What NumPy raises where nothing readable is there.
    """
    path = local_file(path)
    require_file(path)
    claimed = 0
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if len(set(names)) < len(names):
            raise InputError(f"{path}: two members have one name; write it with numpy.savez")
        for member in members:
            try:
                claimed += member_bytes(archive, member)
            except (ValueError, NotImplementedError) as error:
                raise InputError(f"{path}: {name_of(member.filename)} {error}") from None
    _check_claim(str(path), claimed, held_bytes(os.stat(path)))
    with np.load(path, allow_pickle=False) as arrays:
        yield arrays


def attributes_in(arrays: Mapping[str, Array]) -> JsonObject:
    """Return the attributes of a result in an ``.npz``; empty if there are none."""
    if ATTRIBUTES not in arrays:
        return {}
    text = arrays[ATTRIBUTES]
    if text.shape or text.dtype.kind != "U":
        return {}
    try:
        attributes = parse_json(str(text).encode())
    except ValueError:  # also half a character
        return {}
    return attributes if isinstance(attributes, dict) else {}


def names_in(arrays: Mapping[str, Array]) -> tuple[NDArray[np.str_] | None, Ints | None]:
    """Return the part and the number of each weight in an ``.npz``; None where it has none.

    Raises
    ------
    InputError
        They are not text, or not integers.
    """
    if "part" not in arrays:
        return None, None  # then weights are numbered from zero, wherever they are in a network
    part = arrays["part"]
    if part.dtype.kind not in "SU" or part.ndim != 1:
        raise InputError(f"part holds {part.dtype} of shape {part.shape}; names (N,) are needed")
    weight = arrays["weight"] if "weight" in arrays else np.arange(len(part))
    if weight.dtype.kind not in "iu":
        raise InputError(f"weight holds {weight.dtype}; numbers of weights are integers")
    return part.astype(str), weight.astype(np.int64)


def open_array(path: PathOrUrl) -> Array:
    """Read an ``.npy``, without Python objects.

    Raises
    ------
    InputError
        It claims far more data than it holds, or is no plain file.
    OSError, ValueError, ...
        What NumPy raises where nothing readable is there.
    """
    path = local_file(path)
    length = require_file(path)
    with open(path, "rb") as file:
        claimed = array_bytes(file, length)
        _check_claim(str(path), claimed, held_bytes(os.stat(path)))
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def local_file(path: PathOrUrl) -> str | Path:
    """Return the path that a ``file://`` URL, or a ``~``, means.

    Raises
    ------
    InputError
        It is a URL of elsewhere.
    """
    if "://" not in str(path):
        return expanded(path)
    local = locate(path).path
    if local is None:
        raise InputError(f"{os.fspath(path)}: a file of arrays is read from a local path")
    return local


def require_file(path: PathOrUrl) -> int:
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


def _opened(path: Path, name: str) -> xarray.Dataset:
    _refuse_links(path, name)
    root = _document(path)
    check_seal(path, name, root, _index(path, name))
    inline = (root.get("consolidated_metadata") or {}).get("metadata")
    arrays = {file.parent.name: _document(file.parent) for file in sorted(path.glob("*/zarr.json"))}
    if inline is not None:
        _check_consolidated(name, inline, arrays)
    claimed = held = 0
    for key, array in arrays.items():
        if array.get("node_type") == "array":
            claimed += _check_array(path / key, f"{name}: {name_of(key)}", array)
    for file in path.rglob("*"):
        if not file.is_dir():
            held += held_bytes(file.lstat())
    _check_claim(name, claimed, held)
    return xarray.open_zarr(path, zarr_format=3, consolidated=inline is not None)


def _refuse_links(path: Path, name: str) -> None:
    """Refuse a result that holds a symbolic link, which could lead anywhere."""
    for folder, folders, files in os.walk(path):
        for inner in folders + files:
            if os.path.islink(os.path.join(folder, inner)):
                raise InputError(f"{name}: {inner} is a symbolic link; put the file in its place")


def _check_consolidated(name: str, inline: Any, arrays: dict[str, Any]) -> None:
    """Refuse consolidated metadata, which Zarr reads, that differ from those of the arrays."""
    for key in sorted({*inline, *arrays}):
        if key in ("", ".", "..") or "/" in key:
            raise InputError(f"{name}: {shown(key)} is no name of an array")
        if inline.get(key) != arrays.get(key):
            raise InputError(
                f"{name}: zarr.json contradicts {name_of(key + '/zarr.json')}; take its "
                "consolidated_metadata out if the array's own document is right"
            )


def _index(path: Path, name: str) -> Any:
    """Return the content of the list of chunks, or None without one."""
    if not os.path.lexists(path / CHUNK_INDEX):
        return None
    if require_file(path / CHUNK_INDEX) > OPENING.max_document_bytes:
        raise InputError(f"{name}: {CHUNK_INDEX} is too long")
    try:
        return parse_json((path / CHUNK_INDEX).read_bytes())
    except ValueError:
        raise InputError(f"{name}: {CHUNK_INDEX} is damaged; make the result anew") from None


def _check_array(path: Path, name: str, array: dict[str, Any]) -> int:
    """Return the bytes that an array takes in memory, and check the size of its chunks."""
    grid = array["chunk_grid"]
    shape, chunk = array["shape"], grid["configuration"]["chunk_shape"]
    if (
        grid["name"] != "regular"
        or len(chunk) != len(shape)
        or not all(type(n) is int and 0 <= n < 2**48 for n in shape)
        or not all(type(n) is int and 0 < n < 2**48 for n in chunk)
    ):
        raise InputError(f"{name}: shape {shown(shape)} in chunks {shown(chunk)}")
    item = item_bytes(array["data_type"])
    compressor, before, after = _codecs(name, array["codecs"])
    size = math.prod(chunk) * item + before
    present = {
        file.relative_to(path).as_posix(): require_file(file)
        for file in path.rglob("*")
        if not file.is_dir()
    }
    present.pop("zarr.json", None)
    for key, length in present.items():
        unpacked = length - after
        if compressor:
            try:
                with open(path / key, "rb") as chunk_file:
                    unpacked = unpacked_bytes(chunk_file, unpacked, compressor, size)
            except ValueError as error:
                raise InputError(f"{name}/{name_of(key)} {error}; make the result anew") from None
        if unpacked != size:
            raise InputError(
                f"{name}/{name_of(key)} unpacks to {unpacked:,} bytes, must be {size:,}"
            )
    count = max(math.prod(shape), math.prod(chunk) * max(1, len(present)))
    return count * max(8, item)


def _codecs(name: str, codecs: list[Any]) -> tuple[str | None, int, int]:
    """Return the compression of a chunk, and bytes of checksums before and after it."""
    compressor, before, after = None, 0, 0
    for codec in codecs:
        kind = codec["name"]
        if kind not in COMPRESSORS | PLAIN_CODECS:
            raise InputError(f"{name}: codec {shown(kind)} is not one of ours")
        if kind in COMPRESSORS:
            if compressor is not None:
                raise InputError(f"{name}: compressed more than once")
            compressor = str(kind)
        elif kind == "crc32c" and compressor is None:
            before += CHECKSUM_BYTES
        elif kind == "crc32c":
            after += CHECKSUM_BYTES
    return compressor, before, after


def _fetch(location: Location, folder: Path) -> None:
    """Copy all objects of a result, which are few and small, into a folder."""
    # The copy that an overwrite puts beside a result is not part of it.
    sizes = {k: v for k, v in location.everything().items() if not k.startswith(".lsg.")}
    if not sizes:
        raise FileNotFoundError("nothing there")
    if sum(sizes.values()) > OPENING.max_fetched_bytes:
        raise InputError(f"{location.url}: holds {sum(sizes.values()):,} bytes; that is no result")
    for key in sizes:
        path = PurePosixPath(key)
        if path.is_absolute() or ".." in path.parts:
            raise InputError(f"{location.url}: {shown(key)} is no key of a result")
    data = location.map(lambda key: location.read(key, sizes[key]), sizes)
    for key, content in zip(sizes, data, strict=True):
        target = folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _document(path: Path) -> dict[str, Any]:
    if not (path / "zarr.json").exists() and (path / ".zgroup").exists():
        raise InputError(f"{path}: Zarr's older format 2; write it with zarr_format=3")
    if require_file(path / "zarr.json") > OPENING.max_document_bytes:
        raise ValueError(f"{path / 'zarr.json'} is too long")
    return _parsed((path / "zarr.json").read_bytes())


def _parsed(data: Any) -> dict[str, Any]:
    try:
        document = parse_json(data)
    except ValueError as error:
        raise ValueError(f"zarr.json: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("zarr.json is no document")
    return document


def _check_claim(name: str, claimed: int, held: int) -> None:
    if claimed > max(OPENING.free_bytes, OPENING.max_ratio * held):
        raise InputError(
            f"{name}: claims {claimed:,} bytes of data and holds {held:,}; it is not unpacked"
        )
