"""Places on the command line: what is read and written, checked before any work is done.

One guard for all commands: what is written is none of what is read, nor within it or around it,
however the two are spelt; it can be written; and its ending is that of what is written.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from lsg_ray.errors import InputError
from lsg_ray.paths import ending, expanded, member_of

if TYPE_CHECKING:
    from lsg_ray.results.saving import Archive


class _Place(click.ParamType):
    """A path or URL; ``~`` is the user's home."""

    name = "place"

    def convert(self, value: Any, *_: object) -> str:
        """Return the place without ``~``."""
        return expanded(value)


PLACE = _Place()


class Output(NamedTuple):
    """What a command writes: the option that names it, the place, or None, and how it is checked.

    check is called with the place, and whether what is there may be replaced.
    """

    option: str
    place: str | None
    check: Callable[[str, bool], object]


def result_at(place: str, archive: Archive | None = None) -> Output:
    """Return a result to be written, as Zarr or, where ``archive`` says what it holds, ``.npz``."""

    def check(target: str, overwrite: bool) -> None:
        from lsg_ray.results.saving import check_target

        check_target(target, overwrite, archive)

    return Output("--out", place, check)


def file_at(place: str) -> Output:
    """Return a file to be exported to."""

    def check(target: str, overwrite: bool) -> None:
        from lsg_ray.exchange.exporting import check_file

        check_file(target, overwrite)

    return Output("--to", place, check)


def store_at(place: str) -> Output:
    """Return a store to be written, or gone on with."""
    return Output("--out", place, _check_store)


def figure_at(place: str | None) -> Output:
    """Return a figure to be written."""
    return Output("--figure", place, _check_figure)


def part_place(place: str, part: str) -> str:
    """Return MODEL-PART.zarr for MODEL.zarr."""
    above, slash, name = place.rstrip("/").rpartition("/")
    path = Path(name)
    if not path.name or path.name == ".." or not part.replace("_", "").isalnum():
        raise InputError(f"--part {part} of {place!r} given; a name of a part, of a file")
    # Not through Path, which would take a slash from a URL.
    return f"{above}{slash}{path.stem}-{part}{path.suffix}"


def check_outputs(
    outputs: Sequence[Output], inputs: Iterable[str | None], overwrite: bool = False
) -> None:
    """Refuse what cannot be written, or would replace or damage what is read.

    Raises
    ------
    InputError
        Names the option and the remedy; nothing has been created.
    StoreError
        An object store does not answer, or refuses.
    """
    from lsg_ray.ensemble.location import is_within

    named = [
        (output.option, output.place, output.check)
        for output in outputs
        if output.place is not None
    ]
    read = [member_of(place)[0] for place in inputs if place is not None]
    for option, place, _ in named:
        refuse_overlap(option, place, read)
    for (option, place, _), (other, second, _) in itertools.permutations(named, 2):
        if is_within(place, second):
            raise InputError(
                f"{option} {place} and {other} {second} are one, or one is within the other; "
                "name two places"
            )
    for _, place, check in named:
        check(place, overwrite)


def refuse_overlap(option: str, place: str, inputs: Iterable[str]) -> None:
    """Refuse a place to write that is one to read, or within it, or around it."""
    from lsg_ray.ensemble.location import is_within, locate

    for read in inputs:
        folder = locate(read).path
        # A folder that is no store is told as such when it is read.
        plain = folder is not None and folder.is_dir() and not (folder / "zarr.json").exists()
        if is_within(read, place) or (is_within(place, read) and not plain):
            same = "is what is read" if place == read else f"is what is read ({read}), or within it"
            raise InputError(f"{option} {place} {same}; name another place")


def _check_store(place: str, _: bool) -> None:
    from lsg_ray.ensemble.writer import check_name

    if place.startswith("memory://"):
        raise InputError(f"--out {place} given; it would vanish with this command: name a place")
    check_name(place)


def _check_figure(place: str, overwrite: bool) -> None:
    from lsg_ray.ensemble.location import refuse_inside_store

    if ending(place) != ".png":
        raise InputError(f"--figure {place} given; name a .png file")
    if "://" in place:
        raise InputError(f"--figure {place} given; a figure goes to a local path, without ://")
    path = Path(place)
    above = path.absolute().parent
    if not above.is_dir() or path.is_dir():
        raise InputError(f"--figure {place}: no such folder, or a folder itself")
    refuse_inside_store(path)
    if os.path.lexists(path) and not overwrite:
        raise InputError(f"--figure {place} exists; name another place or pass --overwrite")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"--figure {place}: {above} may not be written; name another folder")
