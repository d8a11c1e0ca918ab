"""Checkpoints of a long computation: results of its tasks, stored until all is done."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
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

TaskResult = TypeVar("TaskResult", bound=tuple[object, ...])

#: Raised where a result changes its variables or their meaning within a version of the package.
REVISION = 2


def results_version() -> str:
    """Return the version that cached results and checkpoints must have to be used again."""
    return f"{__version__}+{REVISION}"


def run_tasks(
    work: Callable[..., TaskResult],
    shared: object,
    arguments: Sequence[tuple[object, ...]],
    kind: type[TaskResult],
    folder: PathOrUrl | None = None,
    progress: Progress | None = None,
) -> list[TaskResult]:
    """Compute ``work(shared, *argument)`` for each, storing each result as it is done.

    A checkpoint is used again only for the same function, arguments and version of the package: its
    file is named by a digest of them.

    Parameters
    ----------
    work
        Function of a task.
    shared
        First argument of all tasks; it is sent to a cluster once.
    arguments
        Further arguments of each task: arrays, numbers, text, and tuples or records of them.
    kind
        Type of the result of a task, a NamedTuple of arrays.
    folder
        Folder of checkpoints, which `remove_checkpoints` removes; None to store none.
    progress
        Called with ``(done, total)``.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    import dask

    node, delayed = share(shared), dask.delayed(work, pure=False)
    leaves = [delayed(node, *argument) for argument in arguments]
    if folder is None:
        return compute_each(leaves, lambda _index, _result: None, progress)
    # A scan has a few thousand tasks with results of some kilobytes: a file each.
    common = _digest(results_version(), work.__module__, work.__qualname__, kind.__name__, shared)
    names = [f"{_digest(common, argument)}.npz" for argument in arguments]
    path = Path(folder)
    results = {n: result for n, name in enumerate(names) if (result := _load(path / name, kind))}
    missing = [n for n in range(len(leaves)) if n not in results]
    n_loaded = len(results)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror or error}") from error

    def save(index: int, result: TaskResult) -> None:
        _save(result, path / names[missing[index]])

    def report(done: int, _total: int) -> None:
        if progress is not None:
            progress(n_loaded + done, len(leaves))

    try:
        computed = compute_each([leaves[n] for n in missing], save, report) if missing else []
    except BaseException:
        with contextlib.suppress(OSError):  # a folder without checkpoints goes
            path.rmdir()
        raise
    results |= dict(zip(missing, computed, strict=True))
    return [results[n] for n in range(len(leaves))]


def checkpoint_folder(target: PathOrUrl) -> Path | None:
    """Return the hidden folder beside a result for its checkpoints; None for one at a URL."""
    if "://" in str(target):
        return None
    path = Path(expanded(target)).resolve()
    name = hashlib.sha256(path.name.encode()).hexdigest()[:12]
    return path.with_name(f".lsg.{name}.pieces")


def remove_checkpoints(target: PathOrUrl) -> None:
    """Remove the checkpoints of a result that is finished."""
    if (folder := checkpoint_folder(target)) is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _digest(*values: Any) -> str:
    digest = hashlib.sha256()
    for value in values:
        _feed(digest, value)
    return digest.hexdigest()[:32]


def _feed(digest: Any, value: Any) -> None:
    """Add a value to a digest, with its type, so that different values differ."""
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
        fields = {name: getattr(value, name) for name in slots if name != "__dict__"}
        fields |= getattr(value, "__dict__", {})
        if not fields or callable(value):  # better than one digest for different values
            raise TypeError(f"a {type(value).__name__} has no content for a digest")
        _feed(digest, fields)


def _load(path: Path, kind: type[TaskResult]) -> TaskResult | None:
    try:
        with open_archive(path) as arrays:
            return kind(*(arrays[name] for name in kind._fields))  # type: ignore[attr-defined]
    except MemoryError:
        raise
    except Exception:  # not there, or half written by a power cut: it is computed again
        return None


def _save(result: TaskResult, path: Path) -> None:
    try:
        try:
            _write(result, path)
        except FileNotFoundError:  # another run of the same command is finished, and removed it
            path.parent.mkdir(exist_ok=True)
            _write(result, path)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror or error}") from error


def _write(result: TaskResult, path: Path) -> None:
    """Write a file of its own, which runs at the same time do not share, and rename it."""
    staged = path.with_suffix(f".{secrets.token_hex(4)}.new")
    try:
        with open(staged, "wb") as file:
            np.savez(file, **result._asdict())  # type: ignore[attr-defined]
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
