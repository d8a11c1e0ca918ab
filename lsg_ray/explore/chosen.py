"""Chosen configurations: how many, one with its weights and neighbours, and their export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.explore.inputs import Seen, unit_images, with_data
from lsg_ray.explore.panes import column, heading, image, later, row, rows, text
from lsg_ray.explore.sampled import Sample
from lsg_ray.explore.selection import MAX_SAVED, exported, layer_images, nearest
from lsg_ray.typing import Ints

#: Chosen configurations that may be looked at, one by one, and formats of their export.
MAX_LOOKED_AT, SUFFIXES = 100, ("npz", "csv")


def chosen_pane(
    ensemble: Ensemble,
    numbers: Ints,
    look: int,
    sample: Callable[[], Sample],
    on_look: Callable[[int], None],
) -> Any:
    """Return what is shown of chosen configurations.

    Parameters
    ----------
    ensemble
        Ensemble that they are in.
    numbers
        Their numbers (M,), at least one.
    look
        Number of the one that is looked at; the first where it is not among the first ones.
    sample
        Returns the sample that neighbours are sought in.
    on_look
        Called with the number of another one to be looked at.
    """
    few = numbers[:MAX_LOOKED_AT].tolist()
    look = look if look in few else few[0]
    menu = pn.widgets.Select(label="Configuration", options=few, value=look, width=180)
    menu.param.watch(lambda event: on_look(int(event.new)), "value")
    files = [_saved(ensemble, numbers, suffix) for suffix in SUFFIXES]
    if len(numbers) > MAX_SAVED:
        files = [text(f"Up to {MAX_SAVED:,} are saved here; of more: lsg export.")]
    return column(
        text(f"{len(numbers):,} configurations chosen."),
        row(menu, *files),
        later(lambda: layer_images(ensemble, look), _layers, "Reading"),
        with_data(
            ensemble.spec.dataset, lambda: unit_images(ensemble, look), _units, "Reading the data"
        ),
        later(
            lambda: nearest(sample(), look),
            lambda near: rows(near, "Nearest configurations of the sample"),
            "Looking for neighbours",
        ),
    )


def _saved(ensemble: Ensemble, numbers: Ints, suffix: str) -> Any:
    """Return the button that saves configurations in a format."""
    return pn.widgets.FileDownload(
        callback=lambda: exported(ensemble, numbers, suffix),
        filename=f"selection.{suffix}",
        label=f"Save .{suffix}",
        width=140,
    )


def _layers(layers: list[tuple[str, bytes, str, int]]) -> Any:
    return column(
        heading("Weights by layer, units down, inputs across", 3),
        row(*(column(text(name), image(png, alt, width)) for name, png, alt, width in layers)),
    )


def _units(seen: Seen) -> Any:
    return column(
        heading("Inputs seen through the first layer", 3),
        image(seen.png, seen.alt, seen.width),
        text(seen.caption),
    )
