"""An ensemble: what it holds, queries, histograms, a map, and chosen configurations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import panel as pn
import param

from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.ensemble.query import query
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError, LsgError
from lsg_ray.explore.chosen import chosen_pane
from lsg_ray.explore.condition import condition_field
from lsg_ray.explore.growing import PERIOD, Growth
from lsg_ray.explore.maps import Map
from lsg_ray.explore.panes import (
    CHOSEN,
    MAX_ROWS,
    READER,
    column,
    facts,
    failure,
    heading,
    later,
    row,
    rows,
    text,
)
from lsg_ray.explore.places import Place, beside
from lsg_ray.explore.plots import TALL, histogram, pane
from lsg_ray.explore.results import quoted
from lsg_ray.explore.sampled import Sample, inside
from lsg_ray.explore.tree import MAX_CLUSTERS
from lsg_ray.explore.view import View
from lsg_ray.statistics.hierarchy import flat_clusters
from lsg_ray.typing import Array, Ints

#: Parts of the view, and choices of points of a map.
OVERVIEW, QUERY, HISTOGRAM, MAP = "Overview", "Query", "Histogram", "Map"
POINTS = (10_000, 100_000, 1_000_000)
DENSITY, PCA, CLUSTERS = "density", "PCA", "clusters of "


class EnsembleView(View):
    """What is shown of an ensemble."""

    key, title = "ensemble", "Ensemble"
    linked = (
        "section",
        "where",
        "sort",
        "points",
        "of",
        "source",
        "colour",
        "clusters",
        "box",
        "lasso",
        "look",
    )
    section = param.Selector(default=OVERVIEW, objects=[OVERVIEW, QUERY, HISTOGRAM, MAP])
    where = param.String(label="Condition")
    sort = param.String(label="Sort by (-column: descending)")
    points = param.Selector(default=POINTS[1], objects=list(POINTS), label="Configurations")
    of = param.String(default="accuracy", label="Column")
    source = param.String(default=PCA, label="Map")
    colour = param.String(default=DENSITY, label="Colour")
    clusters = param.Integer(default=4, bounds=(1, MAX_CLUSTERS), label="Clusters")
    box = param.Parameter(default=None)
    lasso = param.Parameter(default=None)
    look = param.Integer(default=-1, bounds=(-1, None))

    def __init__(self, place: Place, places: Sequence[Place]) -> None:
        super().__init__(place, places)
        self.ensemble = place.ensemble()
        self._sample: tuple[Any, Sample] | None = None
        self._body = column()
        self._chosen_body = column()
        self._callback: Any = None
        self.map: Map | None = None
        self._numbers: Ints = np.empty(0, np.int64)
        #: Maps and clusterings that were computed of it: those in its folder.
        self.maps = beside(place, places, "result", "embed")
        self.trees = {
            f"{CLUSTERS}{name}": one
            for name, one in beside(place, places, "result", "cluster").items()
        }

    @classmethod
    def fits(cls, place: Place) -> bool:
        """Return whether it is a store."""
        return place.kind == "store"

    def panel(self) -> Any:
        """Return the menu of parts, and the part that is chosen."""
        menu = pn.widgets.RadioButtonGroup.from_param(self.param.section, stylesheets=[CHOSEN])
        where = condition_field(self, self.ensemble.query_columns)
        self._show()
        self.param.watch(lambda *_: self._show(), ["section", "where", "sort", "points", "of",
                                                   "source", "colour", "clusters"])  # fmt: skip
        self.param.watch(lambda *_: self._choose(), ["box", "lasso", "look"])
        return column(heading(self.place.name), menu, where, self._body)

    def close(self) -> None:
        """Stop looking at a store that grows."""
        if self._callback is not None:
            self._callback.stop()
            self._callback = None

    def viewed(self) -> Ensemble:
        """Return the configurations that meet the condition.

        Raises
        ------
        QueryError
            The condition cannot be understood; a caret points at where.
        """
        return self.ensemble.where(self.where) if self.where.strip() else self.ensemble

    def sample(self) -> Sample:
        """Return the configurations that are drawn; the last choice is cached."""
        key = (self.where, self.points, len(self.ensemble.blocks))
        if self._sample is None or self._sample[0] != key:
            self._sample = key, Sample(self.viewed(), self.points)
        return self._sample[1]

    # Parts

    def _show(self) -> None:
        self.close()
        parts = {
            OVERVIEW: self._overview,
            QUERY: self._query,
            HISTOGRAM: self._histogram,
            MAP: self._map,
        }
        try:
            self._body[:] = [parts[self.section]()]
        except (LsgError, MemoryError) as error:
            self._body[:] = [failure(error)]

    def _overview(self) -> Any:
        growth, box = Growth(), column()

        def seen(ensemble: Ensemble) -> None:
            self.ensemble = ensemble
            growth.add(ensemble, time.monotonic())
            box[:] = [facts("Progress", growth.facts(ensemble))]

        async def look() -> None:
            loop = asyncio.get_running_loop()
            try:
                seen(await loop.run_in_executor(READER, self.place.ensemble))
            except LsgError as error:
                box[:] = [failure(error)]
            if self.ensemble.complete:
                self.close()

        seen(self.ensemble)
        if not self.ensemble.complete and pn.state.curdoc is not None:
            self._callback = pn.state.add_periodic_callback(look, int(1000 * PERIOD))
        about = later(self.ensemble.info, lambda info: facts("Store", info), "Reading the ledger")
        return column(box, about)

    def _query(self) -> Any:
        view = self.viewed()
        order = pn.widgets.TextInput.from_param(self.param.sort, width=260)
        sort = self.sort.strip() or None

        def work() -> dict[str, Array]:
            return query(view, limit=MAX_ROWS, sort=sort)

        def show(table: dict[str, Array]) -> Any:
            count = len(table["configuration"])
            more = f"The first {count}." if count == MAX_ROWS else f"{count} configurations."
            return rows({name: values.tolist() for name, values in table.items()}, more)

        return column(order, later(work, show, "Reading"))

    def _histogram(self) -> Any:
        names = [name for name in self.ensemble.query_columns if name != "configuration"]
        if self.of not in names:
            self.param.update(of=names[0] if names else "configuration")
        menu = pn.widgets.Select(label="Column", options=names, value=self.of, width=220)
        menu.param.watch(lambda event: self.param.update(of=event.new), "value")
        sample, name = self.sample(), self.of
        return column(
            row(menu, self._points()),
            later(
                lambda: sample.column(name),
                lambda values: column(
                    pane(histogram({name: values.astype(np.float64)}, name)),
                    text(self._of_how_many(sample)),
                ),
                "Reading",
            ),
        )

    def _map(self) -> Any:
        compile_expression(self.where or "configuration >= 0", self.ensemble.query_columns)
        colours = [DENSITY, *self.ensemble.query_columns, *self.trees]
        menus = []
        for name, options in (("source", [PCA, *self.maps]), ("colour", colours)):
            value = getattr(self, name)
            if value not in options:
                self.param.update(**{name: options[0]})
            menu = pn.widgets.Select(
                label=self.param[name].label, options=options, value=getattr(self, name), width=220
            )
            menu.param.watch(lambda e, name=name: self.param.update(**{name: e.new}), "value")
            menus.append(menu)
        if self.colour in self.trees:
            slider = pn.widgets.IntSlider.from_param
            menus.append(slider(self.param.clusters, throttled=True, width=220))
        return column(
            row(*menus, self._points()),
            later(self.mapped, self._drawn, "Computing the map"),
            self._chosen_body,
        )

    def _points(self) -> Any:
        return pn.widgets.Select.from_param(self.param.points, width=140)

    def _of_how_many(self, sample: Sample) -> str:
        count = len(sample.column("configuration"))
        what = f"{count:,} configurations"
        return what if sample.is_whole else f"{what} of whole blocks that were chosen at random"

    # The map

    def mapped(self) -> tuple[Array, Array | None, Ints]:
        """Compute points (M, 2), their colours (M,) or None, and their configurations (M,).

        Of clusters, the points are the configurations that were clustered.
        """
        if self.source in self.maps:
            xy, numbers = self._computed()
        elif self.colour in self.trees:
            numbers = self._labels()[0]
            xy = self.sample().project(numbers)
        else:
            xy, numbers = self.sample().xy, self.sample().column("configuration")
        if self.colour in self.trees:
            known, labels = self._labels()
            places = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
            kept = known[places] == numbers
            return xy[kept], labels[places[kept]], numbers[kept]
        if self.colour == DENSITY:
            return xy, None, numbers
        if self.source in self.maps:
            return xy, self.ensemble.take(numbers, [self.colour])[self.colour], numbers
        return xy, self.sample().column(self.colour), numbers

    def _computed(self) -> tuple[Array, Ints]:
        """Return points and configurations of a map that was computed."""
        result = self.maps[self.source].result()
        learned = result["learned"].values.astype(bool)
        xy = np.stack([result[name].values[learned] for name in ("x", "y")], axis=1)
        return xy.astype(np.float32), result["configuration"].values[learned].astype(np.int64)

    def _labels(self) -> tuple[Ints, Ints]:
        """Return configurations that were clustered, ascending, and their clusters.

        Raises
        ------
        InputError
            The clustering is of another ensemble.
        """
        place = self.trees[self.colour]
        result = place.result()
        if result.attrs.get("spec_hash") != self.ensemble.spec_hash:
            raise InputError(f"{place.name} is of another ensemble; choose another colour")
        size = result.sizes["configuration"]
        labels = flat_clusters(result, count=min(self.clusters, size)).values
        numbers = result["configuration"].values.astype(np.int64)
        if self.where.strip():
            condition = compile_expression(self.where, self.ensemble.query_columns)
            names = sorted(condition.names or {"configuration"})
            met = condition(self.ensemble.take(numbers, names))
            labels, numbers = labels[met], numbers[met]
        order = np.argsort(numbers)
        return numbers[order], labels[order]

    def _drawn(self, found: tuple[Array, Array | None, Ints]) -> Any:
        xy, colour, self._numbers = found
        self.map = Map(
            xy, colour, self.colour, self._on_box, self._on_lasso, self.colour in self.trees
        )
        note = f"{len(xy):,} configurations. Choose some with the box or the lasso of the toolbar."
        made = column(pane(self.map.plot, TALL), text(note))
        self._choose()
        return made

    def _on_box(self, box: tuple[float, float, float, float]) -> None:
        self.param.update(box=[float(f"{x:.5g}") for x in box], lasso=None, look=-1)

    def _on_lasso(self, lasso: Array) -> None:
        self.param.update(box=None, lasso=lasso.tolist(), look=-1)

    def chosen(self) -> Ints:
        """Return the rows of the map that box or lasso chose."""
        if self.map is None:
            return np.empty(0, np.int64)
        box, lasso = self.box, self.lasso
        try:
            bounds = None if box is None else tuple(float(x) for x in box)
            corners = None if lasso is None else np.asarray(lasso, float).reshape(-1, 2)
            if bounds is not None and len(bounds) != 4:
                raise ValueError
        except (TypeError, ValueError):  # of a link
            return np.empty(0, np.int64)
        return inside(self.map.xy, bounds, corners)

    def _choose(self) -> None:
        """Show what is chosen: how many, one of them, its neighbours, and the export."""
        if self.map is None:
            return
        found = self.chosen()
        self.map.mark(found)
        if not len(found):
            self._chosen_body[:] = []
            return
        self._chosen_body[:] = [
            chosen_pane(
                self.ensemble,
                self._numbers[found],
                self.look,
                self.sample,
                lambda number: self.param.update(look=number),
            )
        ]

    # Links

    def as_python(self) -> str:
        """Return Python that opens what is shown, and computes it."""
        view = f".where({self.where!r})" if self.where else ""
        lines = ["import lsg_ray", "", f"ensemble = lsg_ray.open_ensemble({self.url!r}){view}"]
        lines += {
            OVERVIEW: ["ensemble.info()"],
            QUERY: [f"lsg_ray.query(ensemble, limit={MAX_ROWS}, sort={self.sort or None!r})"],
            HISTOGRAM: [f"ensemble.column({self.of!r})"],
            MAP: [f'lsg_ray.embed(ensemble, method="pca", configurations={self.points})'],
        }[self.section]
        return "\n".join(lines)

    def as_command(self) -> str:
        """Return the command that prints or computes what is shown."""
        where = f" --where {quoted(self.where)}" if self.where else ""
        url = quoted(self.url)
        sort = f" --sort {quoted(self.sort)}" if self.sort else ""
        return {
            OVERVIEW: f"lsg info {url}",
            QUERY: f"lsg query {url}{where}{sort} --limit {MAX_ROWS}",
            HISTOGRAM: f"lsg query {url}{where} --columns configuration,{self.of} --format csv",
            MAP: f"lsg embed {url}{where} --method pca --configurations {self.points}"
            " --out map.zarr",
        }[self.section]
