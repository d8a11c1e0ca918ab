"""Results: where they come from, and how they get to disk (as Zarr, whole or not at all)."""

from __future__ import annotations

import json
import os
import shutil
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.ensemble.location import refuse_inside_store
from lsg_ray.errors import InputError, StoreError
from lsg_ray.statistics.opening import open_archive, open_result


def check_target(path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Return the path of a result to be, before any work is done for it.

    Raises
    ------
    InputError
        Something is there already (other than a result that may be overwritten), the folder above
        is not there, or the place is inside a store or another result.
    """
    target = Path(path)
    if not str(path).strip() or "://" in str(path):
        raise InputError(f"{str(path)!r} given; results go to a local path")
    refuse_inside_store(target)
    if target.exists() or target.is_symlink():
        if not overwrite:
            raise InputError(f"{target} exists; name another place or pass --overwrite")
        if target.is_symlink() or not _is_result(target):
            raise InputError(f"{target} is not a result of lsg; it is not overwritten")
    if not target.resolve().parent.is_dir():
        raise InputError(f"{target.resolve().parent} is not a folder; make it first")
    return target


def _is_result(target: Path) -> bool:
    """Return whether a Zarr group is one of our results and no ensemble."""
    try:
        attributes = json.loads((target / "zarr.json").read_bytes())["attributes"]
        return "statistic" in attributes and "format" not in attributes
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _as_flags(result: xarray.Dataset) -> xarray.Dataset:
    """Replace names by numbers with CF's ``flag_meanings``: Zarr v3 has no settled string type."""
    for name, variable in result.variables.items():
        if variable.dtype.kind == "U":
            meanings, codes = np.unique(variable.values, return_inverse=True)
            attributes = {
                "flag_values": list(range(len(meanings))),
                "flag_meanings": " ".join("_".join(name.split()) or "_" for name in meanings),
            }
            result = result.assign_coords({name: (variable.dims, codes.astype("int8"), attributes)})
    return result


def names_of(part: xarray.DataArray) -> NDArray[np.str_]:
    """Return names from a coordinate that was saved as numbers with ``flag_meanings``."""
    if part.dtype.kind != "i":
        return part.values.astype(str)
    meanings = np.array(str(part.attrs["flag_meanings"]).split())
    return meanings[part.values]


def save_result(
    result: xarray.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a result as Zarr that `xarray.open_zarr` reads; a half-written one is never visible.

    Raises
    ------
    InputError
        As `check_target`.
    StoreError
        The disk is full or may not be written; nothing is left behind.
    """
    target = check_target(path, overwrite)
    mark = uuid.uuid4().hex[:8]
    staged, replaced = (target.with_name(f".lsg.{mark}.{kind}") for kind in ("new", "old"))
    try:
        with warnings.catch_warnings():
            # Consolidated metadata is young in Zarr v3; a finished result never changes, so it
            # cannot go stale, and xarray reads it without complaint.
            warnings.filterwarnings("ignore", message="Consolidated metadata")
            _as_flags(result).to_zarr(staged, mode="w", consolidated=True, zarr_format=3)
        if target.exists():
            target.rename(replaced)
        staged.rename(target)
    except OSError as error:
        raise StoreError(f"{target} could not be written: {error}") from error
    finally:
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        for rest in (staged, replaced):
            shutil.rmtree(rest, ignore_errors=True)
    return target


def kept(place: Path, key: str, make: Callable[[], xarray.Dataset]) -> xarray.Dataset:
    """Return the result that is at a place if it was saved under this key, else make and save it.

    The key, attribute ``survey``, says what the result depends on: an ensemble's content hash.
    """
    known = read_kept(place, key)
    if known is not None:
        return known
    found = make().assign_attrs(survey=key)
    save_result(found, place, overwrite=True)
    return found


def read_kept(place: Path, key: str) -> xarray.Dataset | None:
    """Return an earlier result that was saved under this key, or None."""
    try:
        with open_result(place) as found:
            return found.load() if found.attrs.get("survey") == key else None
    except Exception:  # not there, or damaged: it is computed anew
        return None


def _holds(target: Path, names: set[str]) -> bool:
    """Return whether a file is an ``.npz`` with just these arrays."""
    try:
        with open_archive(target) as found:
            return set(found) == names
    except Exception:  # a damaged or foreign file fails in a dozen ways
        return False


def save_arrays(
    arrays: dict[str, np.ndarray], path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write arrays as ``.npz``, whole or not at all.

    Raises
    ------
    InputError
        The file exists and may not be overwritten, or its folder is not there.
    StoreError
        The disk is full or may not be written.
    """
    target = Path(path)
    if target.is_file() and overwrite:
        refuse_inside_store(target)
        if not _holds(target, set(arrays)):
            raise InputError(f"{target} holds other arrays; it is not overwritten")
    else:
        check_target(target)
    staged = target.with_name(f".lsg.{uuid.uuid4().hex[:8]}.npz")
    try:
        with open(staged, "xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        staged.replace(target)
    except OSError as error:
        raise StoreError(f"{target} could not be written: {error.strerror or error}") from error
    finally:
        staged.unlink(missing_ok=True)
    return target
