"""One canonical form of the path or URL of a store."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from lsg_ray.errors import InputError, StoreInputError
from lsg_ray.paths import expanded

REMOTE_SCHEMES = ("s3", "gs")
#: Names of a bucket: what S3 and Google Cloud Storage allow, old names included.
BUCKET = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
#: Bytes of a prefix; keys have 1,024, and ours need less than what is left.
MAX_PREFIX_BYTES = 900


def canonical_url(url: str | os.PathLike[str]) -> str:
    """Return the canonical form of a URL: absolute for local paths, no ``~``, no slash at the end.

    >>> canonical_url("s3://bucket/runs/a/")
    's3://bucket/runs/a'

    Raises
    ------
    StoreInputError
        The scheme is not served, the URL holds credentials, a query or ``..``, or nobody here has
        the home folder that a ``~`` names.
    """
    try:
        text = expanded(url)
    except InputError as error:
        raise StoreInputError(str(error)) from None
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise StoreInputError("what is empty, or holds a NUL, is not a path or URL of a store")
    if mistyped := re.match(r"(s3|gs|gcs|file|memory):/?(?!/)", text):
        raise StoreInputError(f"{text}: write {mistyped[1]}:// with two slashes")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme[:1] in (".", os.sep):
        return os.path.abspath(text)
    bucket, slash, prefix = rest.partition("/")
    if not text.isprintable() or "@" in scheme + bucket:
        raise StoreInputError(
            "a store's URL has control characters, or '@' before its first '/'; "
            "put credentials and endpoints into the environment"
        )
    shown = f"{scheme}://…" if "@" in text else text  # what may be a secret is not repeated
    if scheme == "file":
        if bucket not in ("", "localhost") or not slash or any(mark in rest for mark in "?#"):
            raise StoreInputError(f"{shown}: write file:///absolute/path")
        return os.path.abspath("/" + unquote(prefix).replace("\0", "%00"))
    rest = rest.rstrip("/")
    if scheme == "memory":
        if not rest:
            raise StoreInputError(f"{shown}: write memory://NAME")
        return f"memory://{rest}"
    if scheme not in REMOTE_SCHEMES:
        raise StoreInputError(
            f"{shown}: scheme {scheme!r} is not served; give a local path, file://, memory://, "
            + " or ".join(f"{known}://" for known in REMOTE_SCHEMES)
        )
    if any(mark in rest for mark in "?#@"):
        raise StoreInputError(
            f"{scheme}://…: no '?', '#' or '@' in a store's URL; "
            "put credentials and endpoints into the environment"
        )
    if "%" in rest or "\\" in rest:
        raise StoreInputError(f"{shown}: no '%' or '\\' in a store's URL; write plain names")
    segments = rest.split("/")
    if not segments[0] or any(part in ("", ".", "..") for part in segments):
        raise StoreInputError(
            f"{shown}: write {scheme}://BUCKET/PREFIX, without empty or '..' parts"
        )
    _check_bucket(text, scheme, segments[0], "/".join(segments[1:]))
    return f"{scheme}://{rest}"


def _check_bucket(url: str, scheme: str, bucket: str, prefix: str) -> None:
    """Refuse names that no object store has, or that could be read in more than one way.

    Raises
    ------
    StoreInputError
        Says what is wrong with the URL.
    """
    if not BUCKET.fullmatch(bucket):
        raise StoreInputError(
            f"{url}: {bucket!r} is not the name of a bucket; write {scheme}://BUCKET/PREFIX"
        )
    if len(prefix.encode(errors="replace")) > MAX_PREFIX_BYTES:
        raise StoreInputError(
            f"{scheme}://{bucket}/…: the prefix is over {MAX_PREFIX_BYTES} bytes long"
        )
