"""Paths on the command line: what is read and written, checked before any work is done.

One check for all commands: what is written is none of what is read, nor within it or around it,
however the two are spelt; it can be written; and its ending is that of what is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lsg_ray.errors import InputError
from lsg_ray.paths import ending, member_of

if TYPE_CHECKING:
    from lsg_ray.results.saving import Archive


class Output(NamedTuple):
    """What a command writes: the option that names it, the path or None, and how it is checked.

    check is called with the path, and whether what is there may be replaced.
    """

    option: str
    path: str | None
    check: Callable[[str, bool], object]


def result_at(path: str, archive: Archive | None = None) -> Output:
    """Return a result to be written, as Zarr or, where ``archive`` says what it holds, ``.npz``."""

    def check(target: str, overwrite: bool) -> None:
        from lsg_ray.results.saving import check_target

        check_target(target, overwrite, archive)

    return Output("--out", path, check)


def file_at(path: str) -> Output:
    """Return a file to be exported to."""

    def check(target: str, overwrite: bool) -> None:
        from lsg_ray.exchange.exporting import check_file

        check_file(target, overwrite)

    return Output("--to", path, check)


def store_at(path: str) -> Output:
    """Return a store to be written, or gone on with."""
    return Output("--out", path, _check_store)


def figure_at(path: str | None) -> Output:
    """Return a figure to be written."""
    return Output("--figure", path, _check_figure)


def path_of_part(path: str, part: str) -> str:
    """Return MODEL-PART.zarr for MODEL.zarr."""
    folder, slash, name = path.rstrip("/").rpartition("/")
    file = Path(name)
    if not file.name or file.name == ".." or not part.replace("_", "").isalnum():
        raise InputError(f"--part {part} of {path!r} given; a name of a part, of a file")
    # Not through Path, which would take a slash from a URL.
    return f"{folder}{slash}{file.stem}-{part}{file.suffix}"


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

    written = [
        (output.option, output.path, output.check) for output in outputs if output.path is not None
    ]
    read = [member_of(path)[0] for path in inputs if path is not None]
    for option, path, _ in written:
        refuse_overlap(option, path, read)
    for (option, path, _), (second_option, second, _) in itertools.permutations(written, 2):
        if is_within(path, second):
            raise InputError(
                f"{option} {path} and {second_option} {second} are one, or one is within the "
                "other; name two paths"
            )
    for _, path, check in written:
        check(path, overwrite)


def refuse_overlap(option: str, path: str, inputs: Iterable[str]) -> None:
    """Refuse a path to write that is one to read, or within it, or around it."""
    from lsg_ray.ensemble.location import is_within, locate

    for read in inputs:
        folder = locate(read).path
        # A folder without a store has its own message when it is read.
        plain = folder is not None and folder.is_dir() and not (folder / "zarr.json").exists()
        if is_within(read, path) or (is_within(path, read) and not plain):
            same = "is what is read" if path == read else f"is what is read ({read}), or within it"
            raise InputError(f"{option} {path} {same}; name another path")


def _check_store(path: str, _: bool) -> None:
    from lsg_ray.ensemble.writer import check_name

    if path.startswith("memory://"):
        raise InputError(f"--out {path} given; it would vanish with this command: name a folder")
    check_name(path)


def _check_figure(path: str, overwrite: bool) -> None:
    from lsg_ray.ensemble.local import check_new_file

    if ending(path) != ".png":
        raise InputError(f"--figure {path} given; name a .png file")
    if "://" in path:
        raise InputError(f"--figure {path} given; a figure goes to a local path, without ://")
    check_new_file(Path(path), f"--figure {path}", overwrite)
