"""Where a store lies: one small interface over local paths, memory and object stores.

Everything is addressed by a URL and goes through `obstore`: a local path or ``file://``,
``memory://NAME`` (lives in this process, for tests and notebooks), ``s3://BUCKET/PREFIX`` and
``gs://BUCKET/PREFIX`` (credentials from the environment, as their own clients take them).  Tasks
pass URLs, never open stores: a pickled store would carry credentials.

Single objects are written atomically everywhere.  Locally that is a staged file ``NAME#1`` and a
rename, so a killed writer can leave a staged file and never half an object; nothing is synced to
disk, so after a power loss an object may be empty, which the checksums of the readers notice.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from lsg_ray.errors import StoreError, StoreInputError

Item = TypeVar("Item")
Result = TypeVar("Result")

REMOTE_SCHEMES = ("s3", "gs")
#: Requests in flight against an object store; local reads are faster one by one.
REMOTE_THREADS = 32

_memory_stores: dict[str, Any] = {}
_memory_lock = threading.Lock()


def canonical_url(url: str | os.PathLike[str]) -> str:
    """Return the one spelling of a URL: absolute for local paths, no slash at the end.

    >>> canonical_url("s3://bucket/runs/a/")
    's3://bucket/runs/a'

    Raises
    ------
    StoreInputError
        The scheme is not served, or the URL holds credentials, a query or ``..``.
    """
    text = os.fspath(url)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise StoreInputError(f"{text!r} is not a path or URL of a store")
    scheme, separator, rest = text.partition("://")
    if not separator:
        return os.path.abspath(text)
    if scheme == "file":
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise StoreInputError(f"{text}: write file:///absolute/path")
        return os.path.abspath(unquote(parts.path))
    rest = rest.rstrip("/")
    if scheme == "memory":
        if not rest:
            raise StoreInputError(f"{text}: write memory://NAME")
        return f"memory://{rest}"
    if scheme not in REMOTE_SCHEMES:
        raise StoreInputError(
            f"{text}: scheme {scheme!r} is not served; give a local path, file://, memory://, "
            + " or ".join(f"{known}://" for known in REMOTE_SCHEMES)
        )
    segments = rest.split("/")
    if not segments[0] or any(part in ("", ".", "..") for part in segments):
        raise StoreInputError(
            f"{text}: write {scheme}://BUCKET/PREFIX, without empty or '..' parts"
        )
    if any(mark in rest for mark in "?#@"):
        # The text may hold a secret, so it is not repeated.
        raise StoreInputError(
            f"{scheme}://…: no '?', '#' or '@' in a store's URL; "
            "put credentials and endpoints into the environment"
        )
    return f"{scheme}://{rest}"


def locate(url: str | os.PathLike[str]) -> Location:
    """Return the location behind a URL; nothing is read or created yet."""
    return _location(canonical_url(url))


@lru_cache(maxsize=256)
def _location(url: str) -> Location:
    return Location(url)


class Location:
    """A flat map from keys such as ``weights/c.0.0`` to immutable bytes.

    Methods raise `StoreError` with the URL and the store's own reason when it cannot be reached or
    refuses, and `FileNotFoundError` where a key is absent.  Use `locate` to make one.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        #: Directory of a local store, else None.
        self.path = None if "://" in url else Path(url)
        self._opened: Any = None

    def __repr__(self) -> str:
        return f"Location({self.url!r})"

    def __reduce__(self) -> tuple[Callable[[str], Location], tuple[str]]:
        return (locate, (self.url,))

    @property
    def is_remote(self) -> bool:
        """Whether each request crosses a network."""
        return self.url.startswith(tuple(f"{scheme}://" for scheme in REMOTE_SCHEMES))

    def read(self, key: str) -> Any:
        """Return the bytes under a key, as an object with the buffer protocol.

        Raises
        ------
        FileNotFoundError
            There is no such key.
        """
        import obstore

        if self.path is not None and self._opened is None and not self.path.is_dir():
            raise FileNotFoundError(key)
        with self._failures(f"{key} cannot be read"):
            return obstore.get(self._store(), key).bytes()

    def write(self, key: str, data: bytes | bytearray) -> None:
        """Store an object atomically, over an older one if there is one."""
        import obstore

        with self._failures(f"{key} cannot be written"):
            obstore.put(self._store(), key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Store an object unless the key is taken; return whether it was free.  Atomic."""
        import obstore

        with self._failures(f"{key} cannot be written"):
            try:
                obstore.put(self._store(), key, data, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def delete(self, key: str) -> None:
        """Remove an object; an absent one is fine."""
        import obstore

        with self._failures(f"{key} cannot be deleted"):
            try:
                if self.path is not None and "#" in key:  # staged files are hidden from obstore
                    (self.path / key).unlink()
                else:
                    obstore.delete(self._store(), key)
            except FileNotFoundError:
                return

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys below a directory-like prefix (staged files of writers left out)."""
        import obstore

        if self.path is not None and not self.path.is_dir():
            return
        with self._failures("cannot be listed"):
            for batch in obstore.list(self._store(), prefix or None):
                for entry in batch:
                    yield entry["path"]

    def everything(self) -> dict[str, int]:
        """Return size in bytes by key, locally of every file: also staged, odd and foreign ones."""
        import obstore

        if self.path is None:
            with self._failures("cannot be listed"):
                batches = list(obstore.list(self._store()))
            return {entry["path"]: entry["size"] for batch in batches for entry in batch}
        if not self.path.is_dir():
            return {}
        sizes = {}
        with self._failures("cannot be listed"):
            for folder, folders, names in os.walk(self.path, onerror=_raise):
                links = [name for name in folders if Path(folder, name).is_symlink()]
                for file in (Path(folder, name) for name in names + links):
                    with suppress(FileNotFoundError):  # a staged file, renamed meanwhile
                        sizes[file.relative_to(self.path).as_posix()] = file.lstat().st_size
        return sizes

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` in order; many requests at once where a network is crossed."""
        if not self.is_remote:
            yield from map(function, items)
            return
        with ThreadPoolExecutor(REMOTE_THREADS) as pool:
            yield from pool.map(function, items)

    def zarr_store(self) -> Any:
        """Return a read-only `zarr.storage.ObjectStore`: for other tools, not for tasks."""
        from zarr.storage import ObjectStore

        return ObjectStore(self._store(), read_only=True)

    def _store(self) -> Any:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> Any:
        from obstore.store import LocalStore, MemoryStore, from_url

        if self.path is not None:
            return LocalStore(prefix=str(self.path), mkdir=True)
        if self.url.startswith("memory://"):
            with _memory_lock:
                return _memory_stores.setdefault(self.url, MemoryStore())
        return from_url(self.url)

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        """Turn what obstore and the operating system raise into a StoreError with the URL."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, OSError, ValueError, NotImplementedError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise StoreError(f"{self.url}: {what}: {reason}") from None


def _raise(error: OSError) -> None:
    raise error


def refuse_inside_store(path: Path) -> None:
    """Refuse a local path below a Zarr group: what is written there would damage it.

    Raises
    ------
    StoreInputError
        Names the group.
    """
    for above in path.absolute().parents:
        if (above / "zarr.json").exists():
            raise StoreInputError(f"{path} is inside the Zarr store {above}; name another place")
