"""What there is to explore: stores and results, by name; in run folders, in folders of these.

Nothing but names and attributes is read here.  What is damaged is listed too: opening it raises
the error that says so, which its view shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, TypeGuard

import xarray

from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.schema import FORMAT, ROOT
from lsg_ray.errors import InputError
from lsg_ray.ising.model import load_model
from lsg_ray.paths import ending, expanded
from lsg_ray.results.foreign import reading
from lsg_ray.results.opening import attributes_of, open_result
from lsg_ray.results.saving import with_names
from lsg_ray.stage import Stage
from lsg_ray.stages import all_stages, stage_of

#: Places that are listed, at most: more fit in no menu.
MAX_PLACES = 1000
#: Name of the ensemble of a run, which is listed first.
_FIRST = "ensemble.zarr"


class Cluster(NamedTuple):
    """What is asked of a cluster.

    jobs: returns the columns of a table of its jobs, oldest first, with ``id``; log: returns the
    log of the job of an id.
    """

    jobs: Callable[[], Mapping[str, Sequence[object]]]
    log: Callable[[str], str]


class Place(NamedTuple):
    """A store, a result or a cluster.

    name: unique, in menus and links; url: path or URL; kind: a model is a result too; stage: name
    of the stage that made a result, as the result says; empty if it does not; cluster: what is
    asked of one.
    """

    name: str
    url: str
    kind: Literal["store", "model", "result", "cluster"]
    stage: str = ""
    cluster: Cluster | None = None

    @property
    def declared(self) -> Stage | None:
        """The stage of a result; None if it is not installed here."""
        return stage_of(self.stage) if self.stage in all_stages() else None

    def ensemble(self) -> Ensemble:
        """Open the store as it is now.

        Raises
        ------
        StoreError
            As `open_ensemble`.
        """
        return open_ensemble(self.url)

    def result(self) -> xarray.Dataset:
        """Open the result; the last few stay open.

        Raises
        ------
        InputError, StoreError
            It is damaged, or cannot be read.
        """
        return _opened(self.url, _stamp(self.url))


def beside(place: Place, places: Sequence[Place], kind: str, stage: str = "") -> dict[str, Place]:
    """Return the places of a kind, and of a stage, in the folder of a place, by name."""
    folder = place.url.rpartition("/")[0]
    return {
        one.name: one
        for one in places
        if (one.kind, one.stage) == (kind, stage) and one.url.rpartition("/")[0] == folder
    }


def _stamp(url: str) -> int:
    """Return what changes when a local result is computed again."""
    local = locate(url).path
    if local is None:
        return 0
    try:
        return os.stat(local if ending(url) == ".npz" else local / ROOT).st_mtime_ns
    except OSError:  # opening it says what is wrong
        return 0


@lru_cache(maxsize=16)
def _opened(url: str, _stamp: int) -> xarray.Dataset:
    if ending(url) == ".npz":
        return load_model(url).to_dataset()
    with reading(url, "no result", "name a result that lsg wrote"):
        return with_names(open_result(url))


def find_places(given: Sequence[str]) -> list[Place]:
    """Return the stores and results at some paths and URLs.

    Parameters
    ----------
    given
        A store, a result, a model (``.npz`` with J and h), a folder of a run, or a folder of such
        folders; each a path, stores and results also URLs.

    Raises
    ------
    InputError
        Nothing is there, or nothing that can be shown.
    """
    places: dict[str, Place] = {}
    for one in given:
        path = expanded(one).rstrip("/") or "/"
        for name, url in _found(path):
            place = _place(_unique(name, places), url)
            places[place.name] = place
            if len(places) > MAX_PLACES:
                raise InputError(
                    f"{one}: more than {MAX_PLACES:,} stores and results; name fewer folders"
                )
    return list(places.values())


def _found(path: str) -> Iterator[tuple[str, str]]:
    """Yield name and path of each store and result."""
    base = os.path.basename(path) or path
    local = locate(path).path
    if local is None:
        if not attributes_of(path):
            raise InputError(
                f"{path}: no store and no result; name one (folders of runs are local)"
            )
        yield base, path
        return
    if not os.path.lexists(local):
        raise InputError(f"{path}: nothing is there; name a store, a result or a folder of a run")
    if _is_one(local):
        yield base, path
        return
    inner = list(_within(local, base)) if local.is_dir() else []
    if not inner:
        raise InputError(
            f"{path}: no store, result or run in it; name what lsg run or lsg sample wrote"
        )
    yield from inner


def _within(folder: Path, base: str) -> Iterator[tuple[str, str]]:
    """Yield what a folder of a run holds, and the folders in it."""
    try:
        entries = sorted(folder.iterdir(), key=lambda file: (file.name != _FIRST, file.name))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_one(entry):
            yield f"{base}/{entry.name.removesuffix('.zarr')}", str(entry)
        elif entry.is_dir() and not entry.is_symlink():
            for one in sorted(entry.glob("*.zarr"), key=lambda f: (f.name != _FIRST, f.name)):
                yield f"{base}/{entry.name}/{one.stem}", str(one)


def _is_one(path: Path) -> bool:
    """Return whether this is a store, a result or a model, healthy or not."""
    if path.is_dir():
        return path.suffix == ".zarr" or (path / ROOT).is_file()
    return path.suffix == ".npz"


def _unique(name: str, taken: dict[str, Place]) -> str:
    names = (name, *(f"{name} ({number})" for number in range(2, len(taken) + 3)))
    return next(one for one in names if one not in taken)


def _place(name: str, url: str) -> Place:
    if ending(url) == ".npz":
        return Place(name, url, "model")
    attributes = attributes_of(url)
    if attributes.get("format") == FORMAT:
        return Place(name, url, "store")
    stage = attributes.get("stage")
    is_model = attributes.get("statistic") == "ising model"
    return Place(name, url, "model" if is_model else "result", stage if _is_name(stage) else "")


def _is_name(stage: object) -> TypeGuard[str]:
    return isinstance(stage, str) and len(stage) <= 64
