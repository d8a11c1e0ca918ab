"""Parts of a long computation that are kept on disk until all is done, so that it can resume."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lsg_ray.ensemble.header import package_version
from lsg_ray.errors import StoreError
from lsg_ray.places import expanded
from lsg_ray.statistics.graph import Progress, compute_each
from lsg_ray.statistics.opening import open_archive

Piece = TypeVar("Piece", bound=tuple)

#: Raised where a result changes its variables or their meaning within a version of the package.
REVISION = 2


def results_version() -> str:
    """Return what kept results and pieces have to come from to be used again."""
    return f"{package_version()}+{REVISION}"


def compute_pieces(
    leaves: Sequence[Any],
    kind: type[Piece],
    folder: str | os.PathLike[str] | None,
    fingerprint: Sequence[Any],
    progress: Progress | None = None,
) -> list[Piece]:
    """Compute delayed results, keeping each as it is done; those that are kept are not repeated.

    Parameters
    ----------
    leaves
        Dask-delayed results.
    kind
        Their type, a NamedTuple of arrays.
    folder
        Where they are kept, and looked for; None for nowhere.  `forget_pieces` removes it.
    fingerprint
        What the results depend on: arrays and plain values.  Pieces of anything else are not used.
    progress
        Told ``(done, in all)``.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    if folder is None:
        return compute_each(leaves, lambda _place, _piece: None, progress)
    # A scan is a few thousand pieces of some kilobytes: a file each.
    place = Path(expanded(folder)) / _digest((*fingerprint, kind.__name__, len(leaves)))
    kept = {n: piece for n in range(len(leaves)) if (piece := _load(place / f"{n}.npz", kind))}
    missing = [n for n in range(len(leaves)) if n not in kept]
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{place} could not be written: {error.strerror or error}") from error

    def keep(number: int, piece: Piece) -> None:
        _save(piece, place / f"{missing[number]}.npz")

    def tell(done: int, _total: int) -> None:
        if progress is not None:
            progress(len(kept) + done, len(leaves))

    try:
        found = compute_each([leaves[n] for n in missing], keep, tell) if missing else []
    except BaseException:
        _remove_empty(place)
        raise
    kept |= dict(zip(missing, found, strict=True))
    return [kept[n] for n in range(len(leaves))]


def _remove_empty(place: Path) -> None:
    """Remove a folder of pieces, and the one around it, where there are none."""
    with contextlib.suppress(OSError):
        place.rmdir()
        place.parent.rmdir()


def pieces_of(target: str | os.PathLike[str]) -> Path | None:
    """Return where pieces of a result are kept: beside it, hidden; nowhere of one at a URL."""
    if "://" in str(target):
        return None
    path = Path(expanded(target)).resolve()
    name = hashlib.sha256(path.name.encode()).hexdigest()[:12]
    return path.with_name(f".lsg.{name}.pieces")


def forget_pieces(target: str | os.PathLike[str]) -> None:
    """Remove the pieces of a result that is finished."""
    if (folder := pieces_of(target)) is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _digest(values: Sequence[Any]) -> str:
    digest = hashlib.sha256(results_version().encode())
    for value in values:
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()[:24]


def _load(path: Path, kind: type[Piece]) -> Piece | None:
    try:
        with open_archive(path) as arrays:
            return kind(*(arrays[name] for name in kind._fields))  # type: ignore[attr-defined]
    except MemoryError:
        raise
    except Exception:  # not there, or half written by a power cut: it is computed again
        return None


def _save(piece: Piece, path: Path) -> None:
    staged = path.with_suffix(".new")
    try:
        with open(staged, "wb") as file:
            np.savez(file, **piece._asdict())  # type: ignore[attr-defined]
        staged.replace(path)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror or error}") from error
