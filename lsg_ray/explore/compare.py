"""Places side by side: the same variables on the same axes, and the figures of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import panel as pn
import param
import xarray

from lsg_ray.errors import InputError
from lsg_ray.explore.panes import DRAWER, column, facts, guarded, heading, later, row, text
from lsg_ray.explore.places import Place
from lsg_ray.explore.plots import HEIGHT, TALL, colour_limits, curves, heat_map, histogram, label
from lsg_ray.explore.results import figures, quoted, shown_sections, summary
from lsg_ray.explore.sampled import Sample
from lsg_ray.explore.variables import NONE, Slice
from lsg_ray.explore.view import View
from lsg_ray.report.style import CURVE_COLOURS
from lsg_ray.typing import Array

#: Places that are compared at most: each has a colour of its own.
MAX_COMPARED = len(CURVE_COLOURS)
#: Width in pixels that a plot has where there is room; else they are below one another.
NARROW = 340


class Compare(View):
    """What is shown of several places of one kind."""

    key, title = "compare", "Compare"
    linked = ("others", "variable")
    others = param.List(item_type=str, bounds=(0, MAX_COMPARED - 1), label="With")
    variable = param.String(label="Variable")

    def __init__(self, place: Place, places: Sequence[Place]) -> None:
        super().__init__(place, places)
        #: Those that the place can be compared with: stores, or results of the same stage.
        self.offered = {
            one.name: one
            for one in places
            if one.name != place.name and (one.kind, one.stage) == (place.kind, place.stage)
        }
        self._body = column()

    @classmethod
    def fits(cls, place: Place) -> bool:
        """Return whether there can be another of its kind."""
        return place.kind != "cluster"

    @property
    def compared(self) -> dict[str, Place]:
        """The places by name, that of the view first."""
        chosen = {name: self.offered[name] for name in self.others if name in self.offered}
        return {self.place.name: self.place, **chosen}

    def panel(self) -> Any:
        """Return the choice of the others, and all."""
        if not self.offered:
            return text("There is no other of its kind; name more folders: lsg explore A B.")
        self.others = [name for name in self.others if name in self.offered]
        if not self.others:
            self.others = [next(iter(self.offered))]
        menu = pn.widgets.CheckBoxGroup(
            label="With", options=list(self.offered), value=self.others, margin=0
        )
        menu.param.watch(lambda event: self._choose(menu, event.new), "value")
        box = pn.Column(menu, max_height=180, scroll=True, sizing_mode="stretch_width")
        self._show()
        self.param.watch(lambda *_: self._show(), ["others", "variable"])
        return column(heading(f"{self.place.name}, and"), box, self._body)

    def _choose(self, menu: Any, names: list[str]) -> None:
        """Take what is ticked, unless it is none or too many."""
        if not 0 < len(names) < MAX_COMPARED:
            menu.value = self.others
            return
        self.others = names

    def _show(self) -> None:
        show = self._stores if self.place.kind == "store" else self._results
        self._body[:] = [guarded(lambda: None, lambda _: show())]

    def _menu(self, names: list[str]) -> Any:
        if self.variable not in names:
            with param.discard_events(self):
                self.variable = names[0]
        menu = pn.widgets.Select(label="Variable", options=names, value=self.variable)
        menu.param.watch(lambda event: self.param.update(variable=event.new), "value")
        return menu

    def _stores(self) -> Any:
        opened = {name: place.ensemble() for name, place in self.compared.items()}
        shared = _shared([[n for n in e.query_columns if n != "configuration"]
                          for e in opened.values()])  # fmt: skip
        if not shared:
            raise InputError("these stores have no column of the same name")
        menu, name = self._menu(shared), self.variable

        def work() -> dict[str, Array]:
            return {one: Sample(e).column(name).astype(float) for one, e in opened.items()}

        return column(
            menu,
            later(work, lambda values: plot(histogram(values, name), HEIGHT), "Reading"),
            row(*(facts(n, _brief(e.info())) for n, e in opened.items())),
        )

    def _results(self) -> Any:
        results = {name: place.result() for name, place in self.compared.items()}
        shared = _shared([Slice(result).param.variable.objects for result in results.values()])
        if not shared:
            raise InputError("these results have no variable of the same name")
        menu = self._menu(shared)
        declared = self.place.declared is not None
        places = {self.compared[name]: result for name, result in results.items()}
        return column(
            menu,
            guarded(lambda: side_by_side(results, self.variable), lambda made: row(*made)),
            row(*(facts(name, summary(self.compared[name], r)) for name, r in results.items())),
            later(lambda: figures(places), shown_sections, "Drawing figures", DRAWER)
            if declared
            else column(),
        )

    def as_python(self) -> str:
        """Return Python that opens all."""
        how = "lsg_ray.open_ensemble" if self.place.kind == "store" else "xarray.open_zarr"
        lines = [f"    {name!r}: {how}({one.url!r})," for name, one in self.compared.items()]
        return "\n".join([f"import {how.partition('.')[0]}", "", "compared = {", *lines, "}"])

    def as_command(self) -> str:
        """Return the command that shows all."""
        return f"lsg explore {' '.join(quoted(place.url) for place in self.compared.values())}"


def side_by_side(results: Mapping[str, xarray.Dataset], variable: str) -> list[Any]:
    """Return panes of a variable of several results: curves on the same axes, or images.

    Images have the same colours for the same numbers, and one zoom.
    """
    slices = {}
    for name, result in results.items():
        slices[name] = one = Slice(result)
        one.variable = variable
    drawn = {name: one.chosen() for name, one in slices.items()}
    across = next(iter(slices.values())).across
    if all(one.down == NONE for one in slices.values()):
        lines = {
            name: (np.arange(values.size), values.values.astype(float))
            for name, values in drawn.items()
        }
        return [plot(curves(lines, across, variable[:60]), HEIGHT)]
    numbers = {name: np.atleast_2d(values.values.astype(float)) for name, values in drawn.items()}
    pairs = [colour_limits(values) for values in numbers.values()]
    low, high = min(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    if low < 0 < high:
        low, high = min(low, -high), max(high, -low)
    return [
        plot(heat_map(v, across, slices[n].down, f"{n}: {label(drawn[n])}", (low, high)), TALL)
        for n, v in numbers.items()
    ]


def plot(made: Any, height: int) -> Any:
    """Return the pane of a plot, whose axes move with those of others of the same dimensions."""
    return pn.pane.HoloViews(
        made,
        height=height,
        linked_axes=True,
        sizing_mode="stretch_width",
        styles={"flex": f"1 1 {NARROW}px"},
    )


def _shared(names: Sequence[Sequence[str]]) -> list[str]:
    """Return names that are in all lists, in the order of the first."""
    return [name for name in names[0] if all(name in more for more in names[1:])]


def _brief(info: dict[str, Any]) -> dict[str, Any]:
    return {k: info[k] for k in ("name", "rows", "count", "accuracy", "acceptance", "content_hash")}
