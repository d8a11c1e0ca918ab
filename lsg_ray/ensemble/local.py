"""Stores on local disks: files read without following links, and listed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from lsg_ray.errors import InputError, StoreError, StoreInputError

#: Bytes of a JSON document, at most; ours have some hundred, and some thousand with long settings.
MAX_DOCUMENT_BYTES = 2**20
#: Bytes of a file that may consist of holes alone.
MAX_HOLLOW_BYTES = 2**24


class UnreadableError(StoreError):
    """A key is there, and what it holds is not to be read: too large, or no file."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableError], tuple[str, str]]:
        return (type(self), (str(self), self.reason))


def unreadable(url: object, key: str, reason: str) -> UnreadableError:
    """Return the error of a key that holds what is not to be read."""
    return UnreadableError(f"{url}: {key} {reason}", reason)


def check_size(url: object, key: str, size: int, limit: int) -> None:
    """Refuse an object that is larger than its reader expects (`UnreadableError`)."""
    if size > limit:
        most = (
            f"a document at most {limit:,}"
            if limit == MAX_DOCUMENT_BYTES
            else f"must hold {limit:,}"
        )
        raise unreadable(url, key, f"holds {size:,} bytes, {most}")


def read_file(folder: Path, key: str, limit: int) -> bytes:
    """Return what a file holds: three times as fast as obstore, and never through a link.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    UnreadableError
        It is larger than `limit` bytes, consists of holes, or is no regular file.
    """
    path = f"{folder}/{key}"
    # Opening a pipe would wait for ever.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        number = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENOTDIR and not os.path.isdir(str(folder)):
            raise FileNotFoundError(key) from None
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            reason = "is a symbolic link" if os.path.islink(path) else "is not a file"
            raise unreadable(folder, key, reason) from None
        raise
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise unreadable(folder, key, "is not a file")
        check_size(folder, key, status.st_size, limit)
        if is_hollow(status):
            reason = f"holds next to nothing of its {status.st_size:,} bytes"
            raise unreadable(folder, key, reason)
        with open(number, "rb", buffering=0, closefd=False) as file:
            return file.readall()
    finally:
        os.close(number)


def is_hollow(status: os.stat_result) -> bool:
    """Return whether a large file is mostly holes: kilobytes on disk that read as gigabytes."""
    on_disk = 512 * getattr(status, "st_blocks", status.st_size)
    return status.st_size > MAX_HOLLOW_BYTES and status.st_size > 200 * on_disk


def walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield every file below a folder; only folders that are still to be entered take memory."""
    if not (folder / prefix).is_dir():
        return
    pending = [prefix]
    while pending:
        above = pending.pop()
        with os.scandir(folder / above) as entries:
            for entry in entries:
                key = f"{above}/{entry.name}" if above else entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(key)
                else:
                    yield key, entry


def check_new_file(path: Path, name: str, overwrite: bool) -> None:
    """Refuse a file that cannot be written, or is there and may not be replaced.

    Parameters
    ----------
    path, name
        Path of the file, and its name in messages.
    overwrite
        Whether a file that is there may be replaced.

    Raises
    ------
    InputError
        Says why, and what to do.
    """
    folder = path.absolute().parent
    if not folder.is_dir() or path.is_dir():
        raise InputError(f"{name}: no such folder, or a folder itself")
    refuse_inside_store(path)
    if os.path.lexists(path) and not overwrite:
        raise InputError(f"{name} exists; name another path or pass --overwrite")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{name}: {folder} may not be written; name another folder")


def refuse_inside_store(path: Path) -> None:
    """Refuse a local path below a Zarr group: what is written there would damage it.

    Raises
    ------
    StoreInputError
        Names the group.
    """
    for above in path.absolute().parents:
        if (above / "zarr.json").exists():
            raise StoreInputError(f"{path} is inside the Zarr store {above}; name another path")
