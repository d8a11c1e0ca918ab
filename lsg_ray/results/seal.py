"""The seal of a result that we wrote: what must be there, and that its documents are unchanged.

``.chunks.json`` beside the arrays lists the keys of all that must be there: Zarr reads a lost chunk
as zeros.  The root document says, within its consolidated metadata, that such a list belongs to it;
both hold one SHA-256 of their contents.  So neither can be lost, or change, unnoticed; chunks have
checksums of their own.  A seal shows damage and not who wrote something: a stranger can make one.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path

from lsg_ray.errors import InputError, name_of
from lsg_ray.typing import JsonObject

#: File with the list of keys.  Results of other tools, which omit chunks of fill values, have none.
CHUNK_INDEX = ".chunks.json"
SEAL = "lsg_seal"


class UnverifiedWarning(UserWarning):
    """What is read has no checksum of ours; losses and changes in it would not be noticed."""


class DamagedWarning(UserWarning):
    """A cached result is damaged, and is computed again."""


def seal(folder: Path) -> None:
    """Seal a result that has been written whole."""
    root = json.loads((folder / "zarr.json").read_bytes())
    keys = sorted(
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()
    )
    digest = _digest(root, keys)
    root["consolidated_metadata"][SEAL] = {"chunks": CHUNK_INDEX, "digest": digest}
    (folder / CHUNK_INDEX).write_text(json.dumps({"digest": digest, "keys": keys}))
    (folder / "zarr.json").write_text(json.dumps(root, indent=2))


def check_seal(path: Path, name: str, root: JsonObject, listed: object) -> None:
    """Compare a result with its seal; warn where there is none.

    Parameters
    ----------
    path, name
        Path of the result, and its name in errors.
    root
        Root document of the result.
    listed
        Content of `CHUNK_INDEX`, or None if it is not there.

    Raises
    ------
    InputError
        The list or something on it is missing, or a document has changed.
    """
    inline = root.get("consolidated_metadata")
    mark = inline.get(SEAL) if isinstance(inline, dict) else None
    index = listed if isinstance(listed, dict) else None  # an older list is of keys alone
    keys = listed if index is None else index.get("keys")
    if listed is None and mark is not None:
        raise InputError(f"{name}: {CHUNK_INDEX} is missing; {_CURE}")
    if listed is not None:
        if not isinstance(keys, list) or not all(_is_key(key) for key in keys):
            raise InputError(f"{name}: {CHUNK_INDEX} is damaged; {_CURE}")
        missing = next((key for key in keys if not os.path.lexists(path / key)), None)
        if missing is not None:
            raise InputError(f"{name}: {name_of(missing)} is missing; {_CURE}")
    if mark is None and index is None:
        warnings.warn(
            f"{name}: unverified: another tool or an older lsg-ray wrote it, without checksums of "
            "its documents; make it anew to be sure of it",
            UnverifiedWarning,
            stacklevel=4,
        )
        return
    unsealed = {key: value for key, value in (inline or {}).items() if key != SEAL}
    digest = _digest({**root, "consolidated_metadata": unsealed}, keys)
    expected = {"chunks": CHUNK_INDEX, "digest": digest}
    if index is None or mark != expected or index["digest"] != digest:
        raise InputError(f"{name}: zarr.json or {CHUNK_INDEX} fails its checksum; {_CURE}")


_CURE = "make the result anew"


def _is_key(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) < 1000 and "\0" not in key


def _digest(root: JsonObject, keys: object) -> str:
    """Return a SHA-256 of a root document without its seal, and of a list."""
    text = json.dumps([root, keys], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
