"""What commands that measure share: options, where to run, checks before, figures after."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from lsg_ray.cli.places import PLACE, check_outputs, figure_at, result_at
from lsg_ray.errors import InputError, StoreError

figure = click.option("--figure", type=PLACE, metavar="PNG", help="Also draw it.")
seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
beta = click.option(
    "--beta", type=float, default=1.0, show_default=True, help="Inverse temperature."
)


def where_to_run(command: Callable) -> Callable:
    """Options of commands whose tasks may run on a cluster."""
    for option in (
        click.option("--address", metavar="ADDRESS", help="Ray cluster; default: RAY_ADDRESS."),
        click.option("--workers", type=click.IntRange(min=1), help="Threads, or tasks at a time."),
    ):
        command = option(command)
    return command


def of_references(command: Callable) -> Callable:
    """Options that name references."""
    for option in (
        click.option(
            "--count", type=click.IntRange(min=1), help="Of each group; of a STORE 20 by default."
        ),
        click.option(
            "--references", type=PLACE, required=True, metavar="STORE|FILE",
            help="A store (low, medium, high energy are taken), a Zarr, or .npz with sigma.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@contextlib.contextmanager
def landscape_run(
    places: Sequence[str],
    inputs: Sequence[str | None],
    figure: str | None,
    overwrite: bool,
    as_json: bool,
    options: dict[str, Any],
    unit: str = "tasks",
) -> Iterator[Any]:
    """Check the targets, choose where to run, and show progress."""
    from lsg_ray.cluster.dask import dask_session
    from lsg_ray.cluster.progress import late_progress

    check_outputs([*map(result_at, places), figure_at(figure)], inputs, overwrite)
    with (
        dask_session(options["address"], options["workers"]),
        late_progress(unit, "quiet" if as_json else "auto") as progress,
    ):
        yield progress


def without_place(options: dict[str, Any]) -> dict[str, Any]:
    """Return options without those that say where to run."""
    return {name: value for name, value in options.items() if name not in ("address", "workers")}


def draw(place: str, figure: Any) -> None:
    """Write a figure, whole or not at all.

    Raises
    ------
    StoreError
        The disk is full or may not be written; an earlier figure stays.
    """
    from lsg_ray.report.style import render

    content = render(figure)
    staged = Path(place).with_name(f".lsg.{uuid.uuid4().hex[:8]}.png")
    try:
        try:
            staged.write_bytes(content)
            staged.replace(place)
        finally:
            staged.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{place}: the figure could not be written: {error.strerror or error}; make room or "
            "name another place (the result itself is written)"
        ) from None


def parse_fields(given: str | None) -> Any:
    """Return fields from START:STOP:STEP or a list, or None."""
    import numpy as np

    if given is None:
        return None
    try:
        if ":" not in given:
            return np.array([float(x) for x in given.split(",")])
        start, stop, step = (float(x) for x in given.split(":"))
        count = (stop - start) / step
        if not (0 <= count < 1e5):
            raise InputError(f"--fields {given} given; a hundred thousand fields at most, upwards")
        # As round numbers as the step: 0.1 + 0.2 is not 0.3, and x = 0 must be among them.
        return np.round(start + step * np.arange(int(count + 1e-9) + 1), 12)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise InputError(
            f"--fields {given} given; START:STOP:STEP or numbers with commas are needed"
        ) from None


def numbers(given: str, option: str, whole: bool = False) -> list[float]:
    """Read numbers with commas."""
    try:
        return [int(x) if whole else float(x) for x in given.split(",")]
    except ValueError:
        kind = "whole numbers" if whole else "numbers"
        raise InputError(f"{option} {given} given; {kind} with commas are needed") from None
