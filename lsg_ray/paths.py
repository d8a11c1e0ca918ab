"""Paths and URLs: what ``~`` means in a path, and what an ending says of a format.

Nothing here looks at a disk, except for who has a home.  A URL is left as it is.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING

from lsg_ray.errors import InputError

if TYPE_CHECKING:  # commands load this module for their help, and that one loads NumPy
    from lsg_ray.typing import PathOrUrl

#: Endings of files, none of them a folder's: a store or result of that name would mislead.
FILE_ENDINGS = frozenset({
    ".npz", ".npy", ".nc", ".nc4", ".h5", ".hdf5", ".mat", ".pt", ".pth", ".pkl", ".pickle",
    ".parquet", ".feather", ".arrow", ".csv", ".tsv", ".txt", ".json", ".yaml", ".yml", ".toml",
    ".html", ".md", ".png", ".jpg", ".jpeg", ".svg", ".pdf", ".gif", ".zip", ".tar", ".gz", ".tgz",
    ".bz2", ".xz", ".zst", ".7z",
})  # fmt: skip


def expanded(path: PathOrUrl) -> str:
    """Return a path or URL with the home folder in place of a leading ``~`` or ``~USER``.

    A shell does so in ``--out ~/x`` and not in ``--out=~/x``; Python's functions nowhere.

    >>> expanded("s3://bucket/~me/x"), expanded("./~x")
    ('s3://bucket/~me/x', './~x')

    Raises
    ------
    InputError
        There is no home folder of that user.
    """
    text = os.fspath(path)
    if not isinstance(text, str) or not text.startswith("~"):
        return text
    user = text.partition("/")[0]
    if not user.isprintable() or "@" in user:
        raise InputError(
            "a name that begins with ~ has control characters, or an '@'; write the whole path"
        )
    home = os.path.expanduser(text)
    if home.startswith("~"):
        # What may be a secret, before an @, is not repeated.
        shown = text if text.isprintable() and "@" not in text else f"{user}/…"
        raise InputError(
            f"{shown}: no home folder of {user} is known here; write the whole path, or "
            f"./{shown} for a name that begins with ~"
        )
    return home


def ending(path: PathOrUrl) -> str:
    """Return the ending of a name in small letters, with its point; of a URL too.

    >>> ending("a/M.NPZ"), ending("s3://bucket/a.zarr/"), ending("b.c/d"), ending(".npz")
    ('.npz', '.zarr', '', '')
    """
    return os.path.splitext(os.fspath(path).rstrip("/"))[1].lower()


def member_of(url: PathOrUrl) -> tuple[str, str | None]:
    """Return file and array of ``FILE.npz:NAME``; else the path or URL itself and None.

    >>> member_of("a/b.NPZ:sigma"), member_of("s3://b/c")
    (('a/b.NPZ', 'sigma'), ('s3://b/c', None))
    """
    text = os.fspath(url)
    path, colon, name = text.rpartition(":")
    return (path, name) if colon and ending(path) == ".npz" else (text, None)


def refuse_file_name(path: PathOrUrl, what: str, instead: str = "NAME.zarr") -> None:
    """Refuse a name with the ending of a file format.

    Parameters
    ----------
    path
        Path or URL of the folder to create.
    what
        What the folder is, for the message: ``a store``.
    instead
        Example of a valid name.

    Raises
    ------
    InputError
        With the ending.

    >>> refuse_file_name("m.csv", "a store")
    Traceback (most recent call last):
    ...
    lsg_ray.errors.InputError: m.csv given; a store is a folder, and no .csv file: name it NAME.zarr
    """
    if (kind := ending(path)) in FILE_ENDINGS:
        raise InputError(
            f"{os.fspath(path)} given; {what} is a folder, and no {kind} file: name it {instead}"
        )


def is_loopback(host: str) -> bool:
    """Return whether a host can only be this machine; names are not looked up.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.53", "::1")]
    [True, True, True]
    >>> [is_loopback(host) for host in ("127.0.0.1.example.com", "127.1", "0.0.0.0")]
    [False, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    return number in ipaddress.ip_network("127.0.0.0/8") or number == ipaddress.ip_address("::1")
