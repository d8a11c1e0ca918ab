"""Paths and URLs of a user's own data, known by the SHA-256 of their contents.

A store names contents and no path.  The paths of contents on this machine are recorded in the
cache, ``$LSG_CACHE_DIR/file/SHA256.json``, and used only if the files still have that hash.
Objects of a URL are downloaded into the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import uuid
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lsg_ray.datasets.files import cache_root
from lsg_ray.datasets.tables import LIMITS
from lsg_ray.errors import DataError, StoreError
from lsg_ray.paths import expanded
from lsg_ray.registry import loaded

#: Schemes of object stores.
REMOTE = ("s3", "gs")
_CHUNK = 1 << 20
#: Paths by the hash of their contents, as this process has seen them.
_seen: dict[str, dict[str, str]] = {}
_downloaded: dict[str, Path] = {}


class AbsentError(DataError):
    """There is no file at the path of the data."""


def local_path(location: str, option: str = "path") -> Path:
    """Return the local path of a file or folder, downloaded where it is an object's URL.

    Parameters
    ----------
    location
        Path or URL.
    option
        Name of the option of the data set, for messages.

    Raises
    ------
    DataError
        There is no file or folder, or it is too large.
    """
    scheme = urlsplit(location).scheme if "://" in location else ""
    if scheme in REMOTE:
        return _fetch_object(location)
    if scheme and scheme != "file":
        raise DataError(f"{location}: local paths, s3:// and gs:// are read; download it first")
    path = Path(expanded(location.removeprefix("file://")))
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is no path"
        raise AbsentError(
            f"dataset.{option}: {location} cannot be read: {reason}; it must be there where the "
            "command runs: on a cluster, name an s3:// or gs:// URL"
        ) from None
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise DataError(f"dataset.{option}: {location} is neither a file nor a folder")
    if stat.S_ISREG(status.st_mode) and status.st_size > LIMITS.bytes:
        raise DataError(
            f"dataset.{option}: {location} has {status.st_size:,} bytes; at most {LIMITS.bytes:,}"
        )
    return path


def sha256_of(files: Mapping[str, Path], origin: str) -> str:
    """Return the hash of a file, or of several by their roles.

    Raises
    ------
    DataError
        One cannot be read.
    """
    hashes = {}
    for role, path in files.items():
        try:
            status = path.stat()
            hashes[role] = _hash_file(path, status.st_size, status.st_mtime_ns, status.st_ino)
        except OSError as error:
            raise DataError(f"{origin}: cannot be read: {error.strerror or error}") from None
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{role} {sha256}\n" for role, sha256 in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


@contextlib.contextmanager
def unchanged(files: Mapping[str, Path], origin: str) -> Iterator[None]:
    """Raise `DataError` where a file is written to while it is read."""

    def state() -> list[tuple[int, int, int]]:
        stats = [path.stat() for path in files.values()]
        return [(status.st_size, status.st_mtime_ns, status.st_ino) for status in stats]

    try:
        before = state()
        yield
        after = state()
    except OSError as error:
        raise DataError(f"{origin}: cannot be read: {error.strerror or error}") from None
    if before != after:
        raise DataError(f"{origin}: changed while it was read; try again")


def remember_paths(sha256: str, paths: Mapping[str, str]) -> None:
    """Record the paths of contents on this machine; a cache that cannot be written is ignored."""
    absolute = {
        role: path if "://" in path else os.path.abspath(expanded(path))
        for role, path in paths.items()
    }
    if _seen.get(sha256) == absolute:
        return
    _seen[sha256] = absolute
    folder = cache_root() / "file"
    part = folder / f".{uuid.uuid4().hex}.part"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(absolute), encoding="utf-8")
        part.replace(folder / f"{sha256}.json")


def recall_paths(sha256: str) -> dict[str, str]:
    """Return the paths at which contents were last seen; empty if not known."""
    if sha256 in _seen:
        return _seen[sha256]
    try:
        text = (cache_root() / "file" / f"{sha256}.json").read_text(encoding="utf-8")
        paths = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}
    valid = isinstance(paths, dict) and all(isinstance(path, str) for path in paths.values())
    return paths if valid else {}


@lru_cache(maxsize=64)
def _hash_file(path: Path, size: int, _mtime: int, _inode: int) -> str:
    """Return the hash of a file as it was; a file that was written to since is hashed again."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if done > size:
                break
    if done != size:
        raise DataError(f"{path.name}: changed while it was read; try again")
    return digest.hexdigest()


def _fetch_object(url: str) -> Path:
    """Return the local copy of an object, downloaded once in a process."""
    if url in _downloaded and _downloaded[url].is_file():
        return _downloaded[url]
    folder = cache_root() / "file"
    part = folder / f".{uuid.uuid4().hex}.part"
    digest, done = hashlib.sha256(), 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            for chunk in _object_chunks(url):
                done += len(chunk)
                if done > LIMITS.bytes:
                    raise DataError(f"dataset.path: {url} has more than {LIMITS.bytes:,} bytes")
                digest.update(chunk)
                file.write(chunk)
        path = folder / digest.hexdigest()
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written: {error.strerror or error}; set LSG_CACHE_DIR"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    _downloaded[url] = path
    return path


def _object_chunks(url: str) -> Iterator[Any]:
    """Yield the bytes of an object; object stores are opened by a package that imports this one."""
    import obstore
    from obstore.exceptions import BaseError

    above, _, key = url.rstrip("/").rpartition("/")
    if urlsplit(url).path.strip("/") == "":
        raise DataError(f"dataset.path: {url} names a bucket; name a file in it")
    try:
        canonical = loaded("lsg_ray.ensemble.urls:canonical_url")(above)
        store = loaded("lsg_ray.ensemble.remote:open_store")(canonical)
        yield from obstore.get(store, key).stream(min_chunk_size=_CHUNK)
    except StoreError as error:
        raise DataError(str(error)) from None
    except FileNotFoundError:
        raise DataError(f"dataset.path: {url}: nothing there") from None
    except BaseError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"dataset.path: {url} cannot be read: {reason}") from None
