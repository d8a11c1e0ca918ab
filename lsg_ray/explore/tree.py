"""A dendrogram above its matrix of distances: a branch is chosen in either, and then looked at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import param
from holoviews.streams import Pipe, Tap

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError, LsgError
from lsg_ray.explore.branches import Branches
from lsg_ray.explore.chosen import chosen_pane
from lsg_ray.explore.panes import column, failure, heading, later, row, rows, text
from lsg_ray.explore.places import Place, beside
from lsg_ray.explore.plots import HEIGHT, SQUARE, heat_map
from lsg_ray.explore.results import quoted
from lsg_ray.explore.sampled import Sample
from lsg_ray.explore.view import View
from lsg_ray.report.style import CONTRAST
from lsg_ray.typing import Floats, Ints

#: Clusters that a tree is cut into, at most, and pixels left of both plots, for equal x-axes.
MAX_CLUSTERS, LEFT = 50, 80
#: Part of the height of a tree within which a click is on a bracket.
NEAR = 0.015
_NONE = -1


class TreeView(View):
    """What is shown of a clustering."""

    key, title = "tree", "Tree"
    linked = ("clusters", "branch", "look")
    clusters = param.Integer(default=4, bounds=(1, MAX_CLUSTERS), label="Clusters")
    branch = param.Integer(default=_NONE, bounds=(_NONE, None), label="Branch")
    look = param.Integer(default=-1, bounds=(-1, None))

    def __init__(self, place: Place, places: Sequence[Place]) -> None:
        super().__init__(place, places)
        self.stores = beside(place, places, "store")
        self._chosen, self._menu = column(), column()
        self._marked = Pipe(data=_NONE)
        self._sample: Sample | None = None

    @classmethod
    def fits(cls, place: Place) -> bool:
        """Return whether it is a clustering."""
        return place.stage == "cluster" and place.kind == "result"

    def panel(self) -> Any:
        """Return tree, matrix and the branch that is chosen."""
        return column(heading(self.place.name), later(self.load, self._shown, "Reading the tree"))

    def load(self) -> tuple[Branches, Floats, Ints]:
        """Read the branches, the distances (M, M), and the configurations (M,)."""
        result = self.place.result()
        self.branches = branches = Branches(result["linkage"].values)
        self.distance: Floats = result["distance"].values.astype(np.float64)
        self.numbers: Ints = result["configuration"].values.astype(np.int64)
        if not self.distance.shape == (branches.count,) * 2 == self.numbers.shape * 2:
            raise InputError(
                f"a tree of {branches.count:,} configurations, and distances of shape "
                f"{self.distance.shape}; run lsg cluster again"
            )
        if self.branch >= len(branches.first):
            self.branch = _NONE
        return branches, self.distance, self.numbers

    def _shown(self, loaded: tuple[Branches, Floats, Ints]) -> Any:
        branches, distance, _ = loaded
        order = branches.order
        matrix = distance[np.ix_(order, order)]
        np.fill_diagonal(matrix, np.nan)
        most = min(MAX_CLUSTERS, branches.count)
        self.clusters = min(self.clusters, most)
        slider = pn.widgets.IntSlider.from_param(self.param.clusters, width=280, end=most)
        plots = (self._tree_plot(), self._matrix_plot(matrix))
        self.param.watch(lambda *_: self._mark(), ["branch", "clusters"])
        self.param.watch(lambda *_: self._choose(), ["branch", "look"])
        self._mark()
        self._choose()
        return column(
            row(slider, self._menu),
            text("Choose a branch in the menu, below a click in the tree, or as the smallest one "
                 "that has both configurations of a click in the matrix."),
            *(
                pn.pane.HoloViews(
                    plot, height=height, linked_axes=True, sizing_mode="stretch_width",
                    max_width=SQUARE,
                )
                for plot, height in zip(plots, (HEIGHT, SQUARE), strict=True)
            ),
            self._chosen,
        )  # fmt: skip

    # Plots

    def _tree_plot(self) -> Any:
        branches = self.branches
        root = len(branches.first) - 1
        lines = hv.Curve(branches.lines(root), "leaf", "height").opts(
            color="#888888", line_width=1, responsive=True, height=HEIGHT, toolbar="above",
            xlabel="configuration, in leaf order", ylabel="distance", hooks=[_same_left],
        )  # fmt: skip
        tap = Tap(source=lines)
        tap.add_subscriber(self._on_tree)
        self._taps = [tap]

        def marked(data: int) -> Any:
            chosen = branches.lines(data) if data != _NONE else np.empty((0, 2))
            return hv.Curve(chosen, "leaf", "height").opts(color=CONTRAST, line_width=2)

        return lines * hv.DynamicMap(marked, streams=[self._marked])

    def _matrix_plot(self, matrix: Floats) -> Any:
        branches = self.branches
        image = heat_map(matrix, "configuration, in leaf order", "configuration, in leaf order",
                         "distance").redim(x="leaf", y="other")  # fmt: skip
        image = image.opts(colorbar_position="bottom", hooks=[_same_left], height=SQUARE)
        tap = Tap(source=image)
        tap.add_subscriber(self._on_matrix)
        self._taps.append(tap)

        def marked(data: int) -> Any:
            sides = () if data == _NONE else (branches.first[data] - 0.5, branches.last[data] + 0.5)
            boxes = [(sides[0], sides[0], sides[1], sides[1])] if sides else []
            return hv.Rectangles(boxes, kdims=["leaf", "other", "leaf1", "other1"]).opts(
                fill_alpha=0, line_color=CONTRAST, line_width=3
            )

        return image * hv.DynamicMap(marked, streams=[self._marked])

    def _on_tree(self, x: float | None = None, y: float | None = None, **_: Any) -> None:
        if x is not None and y is not None:
            near = NEAR * float(self.branches.height[-1])
            self.param.update(branch=self.branches.at(x, y + near), look=-1)

    def _on_matrix(self, x: float | None = None, y: float | None = None, **_: Any) -> None:
        if x is not None and y is not None:
            self.param.update(branch=self.branches.joined(x, y), look=-1)

    # Choices

    def _mark(self) -> None:
        """Mark the branch in both plots and in the menu."""
        options = {"none": _NONE}
        for number, node in enumerate(self.branches.cut(self.clusters)):
            options[f"cluster {number}: {len(self.branches.leaves(node)):,}"] = node
        if self.branch not in options.values():
            options[f"another branch: {len(self.branches.leaves(self.branch)):,}"] = self.branch
        menu = pn.widgets.Select(label="Branch", options=options, value=self.branch, width=220)
        menu.param.watch(lambda event: self.param.update(branch=event.new, look=-1), "value")
        self._menu[:] = [menu]
        self._marked.send(self.branch)

    def inside(self) -> tuple[Ints, Floats]:
        """Return the configurations of the branch, and their mean distances in it, ascending."""
        leaves = self.branches.leaves(self.branch)
        among = self.distance[np.ix_(leaves, leaves)]
        means = among.sum(axis=1) / max(1, len(leaves) - 1)
        order = np.argsort(means, kind="stable")
        return self.numbers[leaves[order]], means[order]

    def _choose(self) -> None:
        if self.branch == _NONE:
            self._chosen[:] = []
            return
        numbers, means = self.inside()
        joined = f", joined at {self.branches.height[self.branch]:.5g}" if len(numbers) > 1 else ""
        table = {"configuration": numbers.tolist(), "mean distance": means.tolist()}
        shown = [
            text(f"{len(numbers):,} of {self.branches.count:,} configurations{joined}."),
            rows(table, "Configurations of the branch, the most central first"),
        ]
        try:
            store = self.store()
        except LsgError as error:
            store, shown = None, [*shown, failure(error)]
        if store is not None:
            look = partial(setattr, self, "look")
            shown.append(chosen_pane(store, numbers, self.look, self._sampled, look))
        self._chosen[:] = shown

    def store(self) -> Ensemble | None:
        """Return the store that the configurations are of, where it is in the same folder."""
        made_of = self.place.result().attrs.get("spec_hash")
        opened = (one.ensemble() for one in self.stores.values())
        return next((one for one in opened if one.spec_hash == made_of), None)

    def _sampled(self) -> Sample:
        if self._sample is None:
            store = self.store()
            assert store is not None
            self._sample = Sample(store)
        return self._sample

    # Links

    def as_python(self) -> str:
        """Return Python that cuts the tree."""
        return (
            f"import xarray\n\nimport lsg_ray\n\nresult = xarray.open_zarr({self.url!r})\n"
            f"lsg_ray.flat_clusters(result, count={self.clusters})"
        )

    def as_command(self) -> str:
        """Return the command that writes tree and distances to a file."""
        return f"lsg export {quoted(self.url)} --to tree.nc"


def _same_left(plot: Any, _element: Any) -> None:
    """Leave the same room left of both plots, so that their x-axes are below one another."""
    plot.state.min_border_left = LEFT
    plot.state.min_border_right = 20
