"""Saving of results: with provenance, complete or not at all.

As Zarr; moments, models and references also as ``.npz``, if the name says so.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.arrays import plain_attributes
from lsg_ray.ensemble.local import refuse_inside_store
from lsg_ray.ensemble.location import Location, locate
from lsg_ray.ensemble.owned import scratch, staging
from lsg_ray.errors import InputError, StoreError, masked
from lsg_ray.paths import ending, expanded, refuse_file_name
from lsg_ray.results.opening import (
    ATTRIBUTES,
    UPLOAD_MARK,
    attributes_in,
    attributes_of,
    open_archive,
    open_result,
    unfinished,
)
from lsg_ray.results.seal import DamagedWarning, seal
from lsg_ray.typing import PathOrUrl


class Archive(NamedTuple):
    """Arrays of an ``.npz`` of one kind: those that it must have, and others that it may have."""

    needed: frozenset[str]
    optional: frozenset[str]


#: Kinds of results that can also be written and read as ``.npz``.
MOMENTS_ARRAYS: Archive = Archive(frozenset({"m", "C"}), frozenset({"part", "weight"}))
MODEL_ARRAYS = Archive(frozenset({"J", "h"}), frozenset({"part", "weight"}))
REFERENCE_ARRAYS = Archive(frozenset({"sigma"}), frozenset({"energy", "accuracy", "group", "row"}))


def check_target(
    path: PathOrUrl, overwrite: bool = False, archive: Archive | None = None
) -> Location:
    """Check where a result is to be saved, before any work is done for it, and return the location.

    Parameters
    ----------
    path
        Path or URL of the result.
    overwrite
        Whether an earlier result may be replaced.
    archive
        Arrays of an ``.npz`` of it; None if it can be written as Zarr only.

    Raises
    ------
    InputError
        Something is there already (other than a result that may be overwritten), the folder above
        is not there, it is inside a store or another result, or its ending is that of a format that
        is not written.
    StoreError
        An object store does not answer, or refuses.
    """
    if not str(path).strip():
        raise InputError(f"{str(path)!r} given; name a path or URL for the result")
    location = locate(path)
    target = _target(location, path)
    if archive is not None and ending(location.url) == ".npz":
        if target is None:
            raise InputError(f"{path} given; an .npz goes to a local path: leave its ending out")
        _check_archive(target, overwrite, archive)
        return location
    names = "NAME.zarr" if archive is None else "NAME.zarr, or NAME.npz on a local disk"
    refuse_file_name(path, "this result", names)
    if target is None:
        _check_remote(location, overwrite)
        return location
    refuse_inside_store(target)
    if os.path.lexists(target):
        _check_replaced(target, overwrite, lambda: not target.is_symlink() and _is_result(location))
    _check_parent(target)
    return location


def _target(location: Location, path: PathOrUrl) -> Path | None:
    """Return a local path as the user has written it, for errors."""
    return location.path if "://" in str(path) else Path(expanded(path))


def _check_parent(target: Path) -> None:
    above = target.absolute().parent.resolve()
    if not above.is_dir():
        raise InputError(f"{above} is not a folder; make it first")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{above} may not be written; change its permissions or name another")


def _check_archive(target: Path, overwrite: bool, archive: Archive) -> None:
    refuse_inside_store(target)
    if os.path.lexists(target):
        _check_replaced(target, overwrite, target.is_file)
        if not _holds(target, archive):
            raise InputError(f"{target} holds other arrays; it is not overwritten")
    _check_parent(target)


def _check_remote(location: Location, overwrite: bool) -> None:
    url = location.url
    scheme, _, rest = url.partition("://")
    above = rest.split("/")[:-1]
    for depth in range(len(above), 0, -1):
        group = f"{scheme}://{'/'.join(above[:depth])}"
        if depth > 1 and attributes_of(group):
            raise InputError(f"{url} is inside the Zarr store {group}; name another path")
    if next(location.keys(), None) is not None and unfinished(location) is None:
        _check_replaced(url, overwrite, lambda: _is_result(location))


def _check_replaced(path: PathOrUrl, overwrite: bool, is_result: Callable[[], bool]) -> None:
    """Refuse to replace anything but a result that may be overwritten."""
    if not overwrite:
        raise InputError(f"{path} exists; name another path or pass --overwrite")
    if not is_result():
        raise InputError(
            f"{path} is not a result of lsg; it is not overwritten.  Name another path; if it "
            f"was a result, and is damaged, delete it"
        )


def _is_result(location: Location) -> bool:
    """Return whether a Zarr group is a result of ours, and not an ensemble."""
    attributes = attributes_of(location.url)
    return "statistic" in attributes and "format" not in attributes


def _as_flags(result: xarray.Dataset) -> xarray.Dataset:
    """Replace names by numbers with CF's ``flag_meanings``: Zarr v3 has no settled string type."""
    for name, variable in result.variables.items():
        if variable.dtype.kind == "U":
            meanings, codes = np.unique(variable.values, return_inverse=True)
            attributes = {
                "flag_values": list(range(len(meanings))),
                "flag_meanings": " ".join("_".join(name.split()) or "_" for name in meanings),
            }
            numbers = codes.astype("int8" if len(meanings) <= 128 else "int32")
            result = result.assign_coords({name: (variable.dims, numbers, attributes)})
    return result


def with_names(result: xarray.Dataset) -> xarray.Dataset:
    """Return a result with names again where they were saved as numbers; spaces became ``_``."""
    named = {
        name: (values.dims, names_of(values))
        for name, values in result.coords.items()
        if values.dtype.kind == "i" and "flag_meanings" in values.attrs
    }
    return result.assign_coords(named) if named else result


def names_of(part: xarray.DataArray) -> NDArray[np.str_]:
    """Return names from a coordinate that was saved as numbers with ``flag_meanings``."""
    if part.dtype.kind != "i":
        return part.values.astype(str)
    meanings = np.array(str(part.attrs["flag_meanings"]).split())
    return meanings[part.values]


def save_result(
    result: xarray.Dataset,
    path: PathOrUrl,
    *,
    overwrite: bool = False,
    archive: Archive | None = None,
) -> Path | str:
    """Write a result as Zarr that `xarray.open_zarr` reads; a half-written one is never visible.

    With ``archive``, a path that ends in ``.npz`` gets its arrays by name, and its attributes as
    JSON in ``attributes``.

    All chunks are written, with checksums.  On an object store the root document comes last; a
    result that is overwritten stays until the new one is complete beside it.  What a killed process
    left half done is replaced by the same call.

    Raises
    ------
    InputError
        As `check_target`.
    StoreError
        The disk is full or may not be written; nothing is left behind.  An object store refuses.
    """
    location = check_target(path, overwrite, archive)
    if archive is not None and ending(location.url) == ".npz":
        return _write_arrays(_as_arrays(result), Path(_target(location, path) or ""))
    if location.path is None:
        with scratch("result") as folder:
            _upload(_write(result, folder / "result"), location)
        return location.url
    target = Path(_target(location, path) or "")
    try:
        with staging(target) as (staged, replaced):
            _write(result, staged)
            if target.exists():
                target.rename(replaced)
            staged.rename(target)
    except OSError as error:
        raise StoreError(f"{target} could not be written: {error}") from error
    return target


def _write(result: xarray.Dataset, folder: Path) -> Path:
    from zarr.codecs import ZstdCodec

    flagged = _as_flags(result).assign_attrs(_safe_attributes(result))
    encoding = {name: {"compressors": ZstdCodec(checksum=True)} for name in flagged.variables}
    with warnings.catch_warnings():
        # Zarr v3 warns of consolidated metadata; a finished result never changes, so it cannot
        # go stale, and xarray reads it.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        flagged.to_zarr(
            folder,
            mode="w",
            consolidated=True,
            zarr_format=3,
            write_empty_chunks=True,
            encoding=encoding,
        )
    seal(folder)
    return folder


def _safe_attributes(result: xarray.Dataset) -> dict[str, object]:
    """Return attributes in which URLs hold no secrets."""
    return {
        str(name): masked(value) if isinstance(value, str) else value
        for name, value in plain_attributes(result.attrs).items()
    }


def _as_arrays(result: xarray.Dataset) -> dict[str, np.ndarray]:
    """Return the arrays of a result by name, text as text, and its attributes as JSON."""
    # Without parts, weights are numbered from zero, wherever they are in a network.
    implied = {"weight_"} if "part" in result.coords else {"weight_", "weight"}
    names = [*result.data_vars, *(name for name in result.coords if name not in implied)]
    arrays = {
        str(name): names_of(array) if "flag_meanings" in array.attrs else array.values
        for name, array in ((name, result[name]) for name in names)
    }
    attributes = json.dumps(_safe_attributes(result), default=lambda value: value.tolist())
    return {**arrays, ATTRIBUTES: np.array(attributes)}


def _upload(folder: Path, location: Location) -> None:
    """Upload a result; if one is there, first upload a whole copy beside it.

    Until the root document is there, `UPLOAD_MARK` says that an upload was begun, and of which
    keys, so that the same command may do it again.
    """
    files = {
        file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()
    }
    base, beside = _beside(location)
    earlier = unfinished(location)
    if earlier is None and next(location.keys(), None) is not None:
        _clear(base, beside)
        _put(files, base, f"{beside}/")
        stale = {key for key in location.everything() if not key.startswith(f"{beside}/")}
        whole: str | None = f"{base.url}/{beside}"
    else:
        begun = earlier or {}
        stale, whole = set(begun.get("keys", [])), begun.get("whole")
    mark = {"keys": sorted({*stale, *files} - {"zarr.json", UPLOAD_MARK}), "whole": whole}
    location.write(UPLOAD_MARK, json.dumps(mark).encode())
    location.delete("zarr.json")
    for key in stale - {*files, UPLOAD_MARK}:
        location.delete(key)
    _put(files, location)
    location.delete(UPLOAD_MARK)
    if whole is not None:
        _clear(base, beside)


def _put(files: dict[str, Path], location: Location, above: str = "") -> None:
    """Write files, the root document last."""
    chunks = [key for key in files if key != "zarr.json"]
    for _ in location.map(lambda key: location.write(above + key, files[key].read_bytes()), chunks):
        pass
    location.write(f"{above}zarr.json", files["zarr.json"].read_bytes())


def _beside(location: Location) -> tuple[Location, str]:
    """Return the location of the copy of a result, and a prefix in it."""
    above, _, name = location.url.rpartition("/")
    if location.is_remote and above.count("/") > 1:
        return locate(above), f".lsg.{name}.new"
    return location, ".lsg.new"


def _clear(base: Location, prefix: str) -> None:
    for key in list(base.keys(prefix)):
        base.delete(key)


def read_cached(path: Path, key: str) -> xarray.Dataset | None:
    """Return an earlier result that was saved under this key, or None.

    A damaged one causes a `DamagedWarning`.
    """
    if not os.path.lexists(expanded(path)):
        return None
    try:
        with open_result(path) as result:
            return with_names(result.load()) if result.attrs.get("survey") == key else None
    except MemoryError:
        raise
    except Exception as error:  # fails in a dozen ways
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        text = reason if reason.startswith(str(path)) else f"{path}: {reason}"
        warnings.warn(f"{text}: damaged, computed again", DamagedWarning, stacklevel=3)
        return None


def _holds(target: Path, archive: Archive) -> bool:
    """Return whether a file is an ``.npz`` of ours, or has exactly these arrays."""
    try:
        with open_archive(target) as arrays:
            more = set(arrays) - archive.needed
            ours = "statistic" in attributes_in(arrays) or more <= archive.optional
            return set(arrays) >= archive.needed and ours
    except MemoryError:
        raise
    except Exception:  # a damaged or foreign file fails in a dozen ways
        return False


def _write_arrays(arrays: dict[str, np.ndarray], target: Path) -> Path:
    """Write arrays as ``.npz``, complete or not at all."""
    try:
        with staging(target) as (staged, _):
            with open(staged, "xb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            staged.replace(target)
    except OSError as error:
        raise StoreError(f"{target} could not be written: {error.strerror or error}") from error
    return target
