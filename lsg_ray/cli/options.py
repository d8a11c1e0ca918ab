"""What commands that measure share: options that say where to run, and figures after."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lsg_ray.errors import StoreError

seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)


def where_to_run(command: Callable) -> Callable:
    """Options of commands whose tasks may run on a cluster."""
    for option in (
        click.option("--address", metavar="ADDRESS", help="Ray cluster; default: RAY_ADDRESS."),
        click.option("--workers", type=click.IntRange(min=1), help="Threads, or tasks at a time."),
    ):
        command = option(command)
    return command


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
