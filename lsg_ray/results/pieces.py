"""Parts of a long computation that are kept on disk until all is done, so that it can resume."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from lsg_ray import __version__
from lsg_ray.errors import StoreError
from lsg_ray.paths import expanded
from lsg_ray.results.graph import compute_each, share
from lsg_ray.results.opening import open_archive
from lsg_ray.typing import PathOrUrl, Progress

Piece = TypeVar("Piece", bound=tuple[object, ...])

#: Raised where a result changes its variables or their meaning within a version of the package.
REVISION = 2


def results_version() -> str:
    """Return what kept results and pieces have to come from to be used again."""
    return f"{__version__}+{REVISION}"


def run_tasks(
    work: Callable[..., Piece],
    shared: object,
    arguments: Sequence[tuple[object, ...]],
    kind: type[Piece],
    folder: PathOrUrl | None = None,
    progress: Progress | None = None,
) -> list[Piece]:
    """Compute ``work(shared, *argument)`` for each, keeping each as it is done.

    What is kept is used again only for the same function, arguments and version of the package: a
    digest of them names it, so that nothing can be forgotten there.

    Parameters
    ----------
    work
        Body of a task.
    shared
        What all tasks read; it goes to a cluster once.
    arguments
        Of each task: arrays, numbers, text, and tuples or records of them.
    kind
        What a task returns, a NamedTuple of arrays.
    folder
        Where results are kept, and looked for; None for nowhere.  `forget_pieces` removes it.
    progress
        Told ``(done, in all)``.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    import dask

    given, delayed = share(shared), dask.delayed(work, pure=False)
    leaves = [delayed(given, *argument) for argument in arguments]
    if folder is None:
        return compute_each(leaves, lambda _place, _piece: None, progress)
    # A scan is a few thousand pieces of some kilobytes: a file each.
    common = _digest(results_version(), work.__module__, work.__qualname__, kind.__name__, shared)
    names = [f"{_digest(common, argument)}.npz" for argument in arguments]
    place = Path(folder)
    kept = {n: piece for n, name in enumerate(names) if (piece := _load(place / name, kind))}
    missing = [n for n in range(len(leaves)) if n not in kept]
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{place} could not be written: {error.strerror or error}") from error

    def keep(number: int, piece: Piece) -> None:
        _save(piece, place / names[missing[number]])

    def tell(done: int, _total: int) -> None:
        if progress is not None:
            progress(len(kept) + done, len(leaves))

    try:
        found = compute_each([leaves[n] for n in missing], keep, tell) if missing else []
    except BaseException:
        with contextlib.suppress(OSError):  # a folder without pieces goes
            place.rmdir()
        raise
    kept |= dict(zip(missing, found, strict=True))
    return [kept[n] for n in range(len(leaves))]


def pieces_of(target: PathOrUrl) -> Path | None:
    """Return where pieces of a result are kept: beside it, hidden; nowhere of one at a URL."""
    if "://" in str(target):
        return None
    path = Path(expanded(target)).resolve()
    name = hashlib.sha256(path.name.encode()).hexdigest()[:12]
    return path.with_name(f".lsg.{name}.pieces")


def forget_pieces(target: PathOrUrl) -> None:
    """Remove the pieces of a result that is finished."""
    if (folder := pieces_of(target)) is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _digest(*values: Any) -> str:
    digest = hashlib.sha256()
    for value in values:
        _feed(digest, value)
    return digest.hexdigest()[:32]


def _feed(digest: Any, value: Any) -> None:
    """Add a value to a digest so that values that differ are told apart."""
    digest.update(f"{type(value).__name__}:".encode())
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif value is None or isinstance(value, (bool, int, float, str, bytes, np.generic)):
        digest.update(repr(value).encode())
    elif isinstance(value, (tuple, list)):
        digest.update(str(len(value)).encode())
        for inner in value:
            _feed(digest, inner)
    elif isinstance(value, Mapping):
        _feed(digest, sorted(value.items()))
    elif isinstance(value, BaseModel):
        _feed(digest, value.model_dump_json())
    else:
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        held = {name: getattr(value, name) for name in slots if name != "__dict__"}
        held |= getattr(value, "__dict__", {})
        if not held or callable(value):  # better than not to tell values apart
            raise TypeError(f"a {type(value).__name__} has no content to be told by")
        _feed(digest, held)


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
