"""Two places side by side: the same variables on the same axes, and the figures of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import param
import xarray

from lsg_ray.errors import InputError
from lsg_ray.explore.panes import DRAWER, column, facts, guarded, heading, later, row, text
from lsg_ray.explore.places import Place
from lsg_ray.explore.plots import TALL, curves, heat_map, histogram, label
from lsg_ray.explore.results import figures, quoted, shown_sections, summary
from lsg_ray.explore.sampled import Sample
from lsg_ray.explore.variables import NONE, Slice
from lsg_ray.explore.view import View
from lsg_ray.typing import Array


class Compare(View):
    """What is shown of two places of one kind."""

    key, title = "compare", "Compare"
    linked = ("other", "variable")
    other = param.String(label="With")
    variable = param.String(label="Variable")

    def __init__(self, place: Place, places: Sequence[Place]) -> None:
        super().__init__(place, places)
        #: Those that the place can be compared with: stores, or results of the same stage.
        self.others = {
            one.name: one
            for one in places
            if one.name != place.name and (one.kind, one.stage) == (place.kind, place.stage)
        }
        self._body = column()

    @classmethod
    def fits(cls, place: Place) -> bool:
        """Return that everything can be compared, where there is another of its kind."""
        del place
        return True

    @property
    def pair(self) -> dict[str, Place]:
        """The two places by name."""
        return {self.place.name: self.place, self.other: self.others[self.other]}

    def panel(self) -> Any:
        """Return the choice of the other, and both."""
        if not self.others:
            return text("There is no other of its kind; name more folders: lsg explore A B.")
        if self.other not in self.others:
            self.other = next(iter(self.others))
        menu = pn.widgets.Select(label="With", options=list(self.others), value=self.other)
        menu.param.watch(lambda event: self.param.update(other=event.new), "value")
        self._show()
        self.param.watch(lambda *_: self._show(), ["other", "variable"])
        return column(heading(self.place.name), menu, self._body)

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
        opened = {name: place.ensemble() for name, place in self.pair.items()}
        shared = [
            name
            for name in next(iter(opened.values())).query_columns
            if name != "configuration" and all(name in e.query_columns for e in opened.values())
        ]
        if not shared:
            raise InputError("these stores have no column of the same name")
        menu, name = self._menu(shared), self.variable

        def work() -> dict[str, Array]:
            return {one: Sample(e).column(name).astype(float) for one, e in opened.items()}

        return column(
            menu,
            later(work, lambda values: plot(histogram(values, name)), "Reading"),
            row(*(facts(n, _brief(e.info())) for n, e in opened.items())),
        )

    def _results(self) -> Any:
        results = {name: place.result() for name, place in self.pair.items()}
        first, second = results.values()
        shared = [n for n in _names(first) if n in _names(second)]
        if not shared:
            raise InputError("these results have no variable of the same name")
        menu = self._menu(shared)
        declared = self.place.declared is not None
        pairs = {self.pair[name]: result for name, result in results.items()}
        return column(
            row(*(facts(name, summary(self.pair[name], r)) for name, r in results.items())),
            menu,
            guarded(lambda: side_by_side(results, self.variable), plot),
            later(lambda: figures(pairs), shown_sections, "Drawing figures", DRAWER)
            if declared
            else column(),
        )

    def as_python(self) -> str:
        """Return Python that opens both."""
        how = "lsg_ray.open_ensemble" if self.place.kind == "store" else "xarray.open_zarr"
        names = [one.url for one in self.pair.values()] if self.others else [self.url]
        lines = [f"{variable} = {how}({url!r})" for variable, url in zip("ab", names, strict=False)]
        return "\n".join([f"import {how.partition('.')[0]}", "", *lines])

    def as_command(self) -> str:
        """Return the command that shows both."""
        places = self.pair.values() if self.others else [self.place]
        return f"lsg explore {' '.join(quoted(place.url) for place in places)}"


def side_by_side(results: dict[str, xarray.Dataset], variable: str) -> Any:
    """Return a variable of several results: curves on the same axes, images whose zoom is one.

    Images have the same colours for the same numbers.
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
        return curves(lines, across, variable[:60])
    limit = max(float(np.nanmax(np.abs(values.values))) for values in drawn.values())
    images = [
        heat_map(v.values.astype(float), across, slices[n].down, f"{n}: {label(v)}")
        .opts(clim=(-limit, limit), cmap="RdBu_r")
        for n, v in drawn.items()
    ]  # fmt: skip
    return hv.Layout(images).cols(2).opts(shared_axes=True)


def plot(made: Any) -> Any:
    """Return the pane of a plot, whose axes move together."""
    return pn.pane.HoloViews(made, sizing_mode="stretch_width", height=TALL, linked_axes=True)


def _names(result: xarray.Dataset) -> list[str]:
    return Slice(result).param.variable.objects


def _brief(info: dict[str, Any]) -> dict[str, Any]:
    return {k: info[k] for k in ("name", "rows", "count", "accuracy", "acceptance", "content_hash")}
