"""Export: configurations of a store, variables of a result, or a model, to a file of any format."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import xarray

from lsg_ray.arrays import public
from lsg_ray.ensemble.local import check_new_file
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.owned import staging
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.schema import FORMAT
from lsg_ray.errors import InputError, LsgError, StoreError
from lsg_ray.exchange.format import Format, library, suffix_of
from lsg_ray.exchange.table import Table
from lsg_ray.ising.model import IsingModel, as_model, load_model
from lsg_ray.paths import expanded
from lsg_ray.registry import FORMATS
from lsg_ray.results.foreign import reading
from lsg_ray.results.opening import attributes_of, open_result
from lsg_ray.typing import Count, NonNegative, PathOrUrl, Progress


class Exported(NamedTuple):
    """File that was written: path, format, rows (None of a result), columns or variables, bytes."""

    path: str
    format: str
    rows: int | None
    columns: tuple[str, ...]
    bytes: int


@public
def export(
    source: Ensemble | xarray.Dataset | IsingModel | PathOrUrl,
    to: PathOrUrl,
    *,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    limit: Count | None = None,
    cutoff: NonNegative | int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write a store, a result or a model to a file, in the format of its suffix.

    Parameters
    ----------
    source
        Ensemble or view, result, or model; or its path or URL.
    to
        Path of the file to write, on a local disk: ``.npy``, ``.npz``, ``.csv``, ``.parquet``,
        ``.nc``, ``.safetensors``, ``.pt``, ``.mtx``; of models also ``.graphml`` and ``.bqm``.
    where
        Condition that exported configurations meet, such as ``accuracy > 0.9``.
    columns
        Names of columns of a store or variables of a result; by default all that the format can
        hold.
    limit
        Largest number of configurations to write.
    cutoff
        Largest magnitude in nats of couplings of a model that are left out of ``.graphml``,
        ``.bqm`` and ``.mtx``.
    overwrite
        Whether to replace an existing file.
    progress
        Called with the number of rows done and in all.

    Raises
    ------
    InputError
        The format cannot hold what is asked for, or a library is missing; nothing was written.
    StoreError
        The disk is full or may not be written; a block of the store is damaged.

    Notes
    -----
    Configurations are written block by block; ``.pt`` is the exception.  A half-written file is
    never visible.
    """
    target = check_file(to, overwrite)
    kind = FORMATS[suffix_of(target)]
    if kind.library:
        library(kind.library, f"writing .{kind.name}")
    opened = _open(source)
    if cutoff and not isinstance(opened, IsingModel):
        raise InputError(f"cutoff {cutoff:g} given; it is for couplings of a model")
    if isinstance(opened, Ensemble):
        write_store = kind.write
        if write_store is None:
            raise _other_format(kind, "a store", lambda other: other.write)
        table = Table(opened.where(where) if where else opened, columns, limit, progress)
        size = _write_file(target, lambda path: write_store(table, path))
        return Exported(str(target), kind.name, table.n_rows, table.names, size)
    for name, value in (("where", where), ("limit", limit)):
        if value is not None:
            raise InputError(f"{name} given; it is for configurations of a store")
    if isinstance(opened, IsingModel):
        if kind.write_model is not None and not columns:
            write, model = kind.write_model, opened
            size = _write_file(target, lambda path: write(model, path, cutoff))
            return Exported(str(target), kind.name, None, kind.model_variables, size)
        opened = opened.to_dataset()
    return _of_result(opened, kind, target, columns)


def check_file(to: PathOrUrl, overwrite: bool = False) -> Path:
    """Return the path of a file to be written, before any work is done for it.

    Raises
    ------
    InputError
        Its suffix is that of no format, it exists already, or its folder does not.
    """
    text = expanded(to)
    suffix = suffix_of(text)
    if suffix not in FORMATS or text.endswith("/"):
        raise InputError(
            f"{os.fspath(to)}: the suffix gives the format: .{', .'.join(FORMATS.names())}"
        )
    path = locate(text).path
    if path is None:
        raise InputError(f"{os.fspath(to)}: files are written to a local path, without ://")
    check_new_file(path, os.fspath(to), overwrite)
    return path


def _open(
    source: Ensemble | xarray.Dataset | IsingModel | PathOrUrl,
) -> Ensemble | xarray.Dataset | IsingModel:
    """Return the source as an object; a result that holds J and h becomes a model."""
    if isinstance(source, (str, os.PathLike)):
        if suffix_of(source) == "npz" and not os.path.isdir(expanded(source)):
            return load_model(source)
        if suffix_of(source) == "bqm":
            read = FORMATS["bqm"].read_model
            assert read is not None  # that format has one
            return read(Path(expanded(source)))
        if attributes_of(source).get("format") == FORMAT:
            return open_ensemble(source)
        with (
            reading(os.fspath(source), "no store, result or model", "name one"),
            open_result(source) as dataset,
        ):
            source = dataset.load()
    if isinstance(source, (Ensemble, IsingModel)):
        return source
    if not isinstance(source, xarray.Dataset):
        raise InputError(f"{type(source).__name__} given; an ensemble, result or model is needed")
    return as_model(source) if {"J", "h"} <= set(source.data_vars) else source


def _of_result(
    result: xarray.Dataset, kind: Format, target: Path, columns: Sequence[str] | None
) -> Exported:
    write = kind.write_result
    if write is None:
        raise _other_format(kind, "a result", lambda other: other.write_result)
    names = list(map(str, result.data_vars))
    if columns is not None:
        unknown = [name for name in columns if name not in names]
        if unknown or not columns:
            raise InputError(
                f"variable {unknown[0] if unknown else ''!r} given; there are {', '.join(names)}"
            )
        names = list(columns)
    chosen = result[names]
    size = _write_file(target, lambda path: write(chosen, path))
    return Exported(str(target), kind.name, None, tuple(names), size)


def _other_format(kind: Format, what: str, writer: Callable[[Format], object]) -> InputError:
    """Return the error of a format that has no writer of what is asked for."""
    able = [name for name in FORMATS.names() if writer(FORMATS[name]) is not None]
    return InputError(f".{kind.name} holds {kind.about}; {what} is written as .{', .'.join(able)}")


def _write_file(target: Path, write: Callable[[Path], None]) -> int:
    """Write a temporary file beside the target and rename it when complete; return its size."""
    try:
        with staging(target) as (staged, _):
            write(staged)
            size = os.stat(staged).st_size
            staged.replace(target)
    except OSError as error:
        raise StoreError(f"{target} could not be written: {error.strerror or error}") from error
    except (LsgError, MemoryError):
        raise
    except Exception as error:  # each library has its own errors for unsupported contents
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(f"{target}: this cannot be written in that format ({line})") from error
    return size
