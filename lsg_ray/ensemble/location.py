"""Access to a store: one small interface over local paths, memory and object stores.

Everything is addressed by a URL and goes through `obstore`: a local path or ``file://``,
``memory://NAME`` (lives in this process, for tests and notebooks), ``s3://BUCKET/PREFIX`` and
``gs://BUCKET/PREFIX`` (credentials from the environment alone, see `lsg_ray.ensemble.remote`).
Tasks pass URLs, never open stores: a pickled store would carry credentials.

Single objects are written atomically everywhere.  Locally that is a staged file ``NAME#1`` and a
rename, so a killed writer can leave a staged file and never half an object; nothing is synced to
disk, so after a power loss an object may be empty, which the checksums of the readers notice.
On object stores a request that fails is repeated for a while; since all that is written may be
written again, and a conditional create knows its own bytes again, a lost answer does no harm.
What is read is never larger than the reader expects: sizes are checked before data.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from lsg_ray.ensemble import remote
from lsg_ray.ensemble.local import MAX_DOCUMENT_BYTES, check_size, read_file, walk
from lsg_ray.ensemble.refusals import explain, is_missing_key, remedy_of
from lsg_ray.ensemble.remote import RetryPolicy, open_store
from lsg_ray.ensemble.urls import REMOTE_SCHEMES, canonical_url
from lsg_ray.errors import StoreError, StoreInputError
from lsg_ray.typing import Data, PathOrUrl

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Keys of a listing that are handed over at once.
LIST_PAGE = 1000

if TYPE_CHECKING:
    from obstore.store import MemoryStore, ObjectStore

_memory_stores: dict[str, MemoryStore] = {}
_memory_lock = threading.Lock()


class Entry(NamedTuple):
    """An object of a listing: its key, bytes, and entity tag, which changes with what it holds."""

    key: str
    size: int
    tag: str | None


def locate(url: str | os.PathLike[str]) -> Location:
    """Return the location behind a URL; nothing is read or created yet."""
    return _location(canonical_url(url))


def resolved_url(url: PathOrUrl) -> str:
    """Return one text for all forms of a path or URL: links followed, ``file://`` as a path."""
    location = locate(url)
    return location.url if location.path is None else os.path.realpath(location.path)


def is_within(inner: PathOrUrl, outer: PathOrUrl) -> bool:
    """Return whether a path or URL is another, or lies within it, in whatever form.

    >>> is_within("s3://bucket/a/b", "s3://bucket/a/"), is_within("s3://bucket/ab", "s3://bucket/a")
    (True, False)
    """
    below, above = (f"{resolved_url(url).rstrip('/')}/" for url in (inner, outer))
    return below.startswith(above)


class Location:
    """A flat map from keys such as ``weights/c.0.0`` to immutable bytes.

    Methods raise `StoreError` with the URL and the store's own reason when it cannot be reached or
    refuses, and `FileNotFoundError` where a key is absent.  An object store that fails is an error
    after `RemoteConfig.retry_seconds` and the time of one request.  Use `locate` to make one.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        #: Directory of a local store, else None.
        self.path = None if "://" in url else Path(url)
        self._answered = False

    def __repr__(self) -> str:
        return f"Location({self.url!r})"

    def __reduce__(self) -> tuple[Callable[[str], Location], tuple[str]]:
        return (locate, (self.url,))

    @property
    def is_remote(self) -> bool:
        """Whether each request crosses a network."""
        return self.url.startswith(tuple(f"{scheme}://" for scheme in REMOTE_SCHEMES))

    def read(self, key: str, limit: int = MAX_DOCUMENT_BYTES) -> Data:
        """Return the bytes under a key, as an object with the buffer protocol.

        Parameters
        ----------
        key
            Key of the object.
        limit
            Number of bytes that it may have; of a larger one no data is read.

        Raises
        ------
        FileNotFoundError
            There is no such key.
        UnreadableError
            It is larger, or no regular file.
        """
        import obstore

        def get() -> Data:
            if self.path is not None:
                return read_file(self.path, key, limit)
            answer = obstore.get(self._store, key)
            check_size(self.url, key, answer.meta["size"], limit)
            return answer.bytes()

        return self._attempt(f"{key} cannot be read", get)

    def write(self, key: str, data: bytes | bytearray) -> None:
        """Store an object atomically, over an older one if there is one."""
        import obstore

        self._attempt(
            f"{key} cannot be written",
            lambda: obstore.put(self._store, key, data, max_concurrency=remote.CONFIG.uploads),
        )

    def create(self, key: str, data: bytes) -> bool:
        """Store an object unless the key is taken; return whether it was free.  Atomic.

        On object stores a key that holds these very bytes counts as free: the answer to the
        request that created it may have been lost.
        """

        return self._attempt(
            f"{key} cannot be written",
            lambda: self._put_new(key, data) or (self.is_remote and self._holds(key, data)),
        )

    def _put_new(self, key: str, data: bytes) -> bool:
        """Store an object unless the store says that there is one; return whether it did."""
        import obstore

        try:
            obstore.put(self._store, key, data, mode="create", use_multipart=False)
        except obstore.exceptions.AlreadyExistsError:
            return False
        return True

    def _holds(self, key: str, data: bytes) -> bool:
        import obstore

        try:
            answer = obstore.get(self._store, key)
            return answer.meta["size"] == len(data) and bytes(answer.bytes()) == data
        except FileNotFoundError:
            return False

    def require_conditional_create(self, key: str, data: bytes) -> None:
        """Refuse an object store that creates what is there already: one more request.

        Parameters
        ----------
        key, data
            What this caller has just created; deleted again if the store is refused.

        Raises
        ------
        StoreInputError
            The server ignores ``If-None-Match``, so that two writers could not be distinguished.
        """
        failure = f"{key} cannot be written"
        if self.is_remote and self._attempt(failure, lambda: self._put_new(key, data)):
            self.delete(key)
            raise StoreInputError(
                f"{self.url}: the server ignores conditional writes (If-None-Match), without which "
                "two runs could damage each other's store; use a server with them, as Amazon "
                "S3, Google Cloud Storage, MinIO and Ceph do, or a local path"
            )

    def delete(self, key: str) -> None:
        """Remove an object; an absent one is fine."""
        import obstore

        def remove() -> None:
            if self.path is not None and "#" in key:  # staged files are hidden from obstore
                (self.path / key).unlink()
            else:
                obstore.delete(self._store, key)

        with suppress(FileNotFoundError):
            self._attempt(f"{key} cannot be deleted", remove)

    def keys(self, prefix: str = "", cuts: Iterable[str] = ()) -> Iterator[str]:
        """Yield the keys below a directory-like prefix (staged files of writers left out).

        Locally links to folders are not followed, so nothing outside the store is listed.
        ``cuts``: as for `every_key`.
        """
        for key in self.every_key(prefix, cuts):
            if self.path is None or "#" not in key or not re.search(r"#\d+$", key):
                yield key

    def everything(self) -> dict[str, int]:
        """Return size in bytes by key, locally of every file: also staged, odd and foreign ones."""
        if self.path is None:
            return {entry.key: entry.size for entry in self._listed()}
        sizes = {}
        for key, entry in self._files():
            with suppress(FileNotFoundError):  # a staged file, renamed meanwhile
                sizes[key] = entry.stat(follow_symlinks=False).st_size
        return sizes

    def every_key(self, prefix: str = "", cuts: Iterable[str] = ()) -> Iterator[str]:
        """Yield the keys that `everything` returns, one by one.

        Parameters
        ----------
        prefix
            Of the keys, directory-like.
        cuts
            Keys, ascending.  An object store answers for 1,000 keys at a time and says then where
            the next begin; the ranges up to, between and after the cuts are listed at once.
        """
        if self.path is not None:
            return (key for key, _ in self._files(prefix))

        def listed(bound: tuple[str | None, str | None]) -> list[str]:
            return [entry.key for entry in self.between(*bound, prefix)]

        bounds = [*pairwise(chain((None,), cuts if self.is_remote else (), (None,)))]
        if len(bounds) == 1:
            return (entry.key for entry in self._listed(prefix))
        return chain.from_iterable(self.map(listed, bounds))

    def between(self, after: str | None, last: str | None, prefix: str = "") -> Iterator[Entry]:
        """Yield the objects of an object store whose keys are ``after < key <= last``."""
        for entry in self._listed(prefix, after):
            if last is None or entry.key <= last:
                yield entry
            if last is not None and entry.key >= last:
                return

    def age(self, key: str) -> float | None:
        """Return the seconds since a key was last written, by the clocks; None if it is absent."""
        import obstore

        def written() -> float:
            if self.path is not None:
                return (self.path / key).lstat().st_mtime
            return obstore.head(self._store, key)["last_modified"].timestamp()

        try:
            return time.time() - self._attempt(f"{key} cannot be read", written)
        except FileNotFoundError:
            return None

    def _listed(self, prefix: str = "", after: str | None = None) -> Iterator[Entry]:
        """Yield what is behind a key; after a failure the listing goes on behind the last one."""
        import obstore

        retry, last = RetryPolicy(self._answered), after
        while True:
            try:
                with self._failures("cannot be listed"):
                    pages = obstore.list(
                        self._store, prefix or None, offset=last, chunk_size=LIST_PAGE
                    )
                    for page in pages:
                        self._answered, retry = True, RetryPolicy(True)
                        for entry in page:
                            yield Entry(entry["path"], entry["size"], entry["e_tag"])
                            last = entry["path"]
                return
            except _RemoteFailure as failure:
                self._wait_or_raise(retry, "cannot be listed", failure)

    def _files(self, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
        assert self.path is not None
        with self._failures("cannot be listed"):
            yield from walk(self.path, prefix)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` in order; many requests at once where a network is crossed."""
        if not self.is_remote:
            yield from map(function, items)
            return
        with ThreadPoolExecutor(remote.CONFIG.threads) as pool:
            waiting: deque[Future[Result]] = deque()
            try:
                for item in items:
                    waiting.append(pool.submit(function, item))
                    if len(waiting) > 2 * remote.CONFIG.threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    @cached_property
    def _store(self) -> ObjectStore:
        from obstore.store import LocalStore, MemoryStore

        if self.path is not None:
            return LocalStore(prefix=str(self.path), mkdir=True)
        if self.url.startswith("memory://"):
            with _memory_lock:
                return _memory_stores.setdefault(self.url, MemoryStore())
        return open_store(self.url)

    def _attempt(self, message: str, operation: Callable[[], Result]) -> Result:
        """Do an operation; on an object store again and again, while that may help."""
        retry = RetryPolicy(self._answered)
        while True:
            try:
                with self._failures(message):
                    result = operation()
                    self._answered = True
                    return result
            except FileNotFoundError:
                self._answered = True
                raise
            except _RemoteFailure as failure:
                self._wait_or_raise(retry, message, failure)

    def _wait_or_raise(self, retry: RetryPolicy, message: str, failure: _RemoteFailure) -> None:
        fault = explain(failure.error, self.url, remote.CONFIG.stall_seconds)
        if not retry.wait(fault):
            raise retry.error(self.url, message, fault) from None

    @contextmanager
    def _failures(self, message: str) -> Iterator[None]:
        """Turn what obstore and the operating system raise into a StoreError with the URL."""
        from obstore.exceptions import BaseError

        try:
            yield
        except StoreError:
            raise
        except (BaseError, OSError, ValueError, NotImplementedError) as error:
            if self.is_remote:
                if is_missing_key(error):
                    raise FileNotFoundError(message.partition(" ")[0]) from None
                raise _RemoteFailure(error) from None
            if isinstance(error, FileNotFoundError):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise StoreError(f"{self.url}: {message}: {reason}{remedy_of(error)}") from None


_location = lru_cache(maxsize=256)(Location)


class _RemoteFailure(Exception):  # noqa: N818
    """What an object store's client raised, on its way to be explained."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
