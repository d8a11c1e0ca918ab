"""Maps of many points: drawn by Datashader at the size of the page, anew for each zoom."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import holoviews as hv
import numpy as np
import pandas
from holoviews.streams import BoundsXY, Lasso, Pipe

from lsg_ray.explore.plots import TALL
from lsg_ray.report.style import CURVE_COLOURS
from lsg_ray.typing import Array, Ints

#: Points that are drawn one by one, at most; of more, Datashader makes an image.
MAX_SINGLE = 5_000
#: Chosen points that are marked, at most, and corners of a lasso that are kept in a link.
MAX_MARKED, MAX_CORNERS = 5_000, 40
_AXES: dict[str, Any] = {
    "responsive": True,
    "height": TALL,
    "xlabel": "component 1",
    "ylabel": "component 2",
    "tools": ["box_select", "lasso_select"],
    "active_tools": ["wheel_zoom"],
    "toolbar": "above",
}


class Map:
    """A map of points with colours, on which a box or a lasso chooses.

    Parameters
    ----------
    xy
        Points (M, 2).
    colour
        Number of each point (M,), of which a pixel shows the mean; None for the density of points.
    name
        Name of that number.
    on_box, on_lasso
        Called with left, bottom, right and top; with corners (K, 2).
    categories
        Whether the numbers are names, as of clusters, with a colour each.
    """

    def __init__(
        self,
        xy: Array,
        colour: Array | None,
        name: str,
        on_box: Callable[[tuple[float, float, float, float]], None],
        on_lasso: Callable[[Array], None],
        categories: bool = False,
    ) -> None:
        self.xy = xy
        table = pandas.DataFrame({"x": xy[:, 0], "y": xy[:, 1]})
        if colour is not None:
            table["colour"] = colour.astype(str if categories else np.float64)
        points = hv.Points(table, ["x", "y"], ["colour"] if colour is not None else [])
        drawn = _few(points, categories) if len(xy) <= MAX_SINGLE else _many(points)
        self._image = drawn.opts(hv.opts.Points(clabel=name[:60]), hv.opts.Image(clabel=name[:60]))
        self._marks = Pipe(data=np.empty(0, np.int64))
        marks = hv.DynamicMap(self._marked, streams=[self._marks])
        self._streams = (BoundsXY(source=self._image), Lasso(source=self._image))
        box, lasso = self._streams
        box.add_subscriber(lambda bounds=None, **_: None if bounds is None else on_box(bounds))
        lasso.add_subscriber(
            lambda geometry=None, **_: None if geometry is None else on_lasso(fewer(geometry))
        )
        self.plot = self._image * marks

    def mark(self, rows: Ints) -> None:
        """Mark chosen points; of many, some."""
        step = -(-len(rows) // MAX_MARKED)
        self._marks.send(rows[:: max(1, step)])

    def _marked(self, data: Ints) -> Any:
        return hv.Points(self.xy[data], ["x", "y"]).opts(
            color="#D55E00", marker="o", size=5, fill_alpha=0.0, line_alpha=0.8
        )


def _few(points: Any, categories: bool) -> Any:
    """Return points that are drawn one by one."""
    colour: dict[str, Any] = {}
    if points.vdims:
        colour = {"color": "colour", "cmap": "viridis", "colorbar": True}
    if categories:
        names = np.unique(points.dimension_values("colour"))
        few = dict(zip(names, CURVE_COLOURS, strict=False))
        colour = {"color": "colour", "cmap": few if len(names) <= len(few) else "glasbey_hv",
                  "legend_position": "right"}  # fmt: skip
    return points.opts(size=6, line_color=None, **colour, **_AXES)


def _many(points: Any) -> Any:
    """Return the image of points, of which a pixel shows the mean colour, or the number."""
    # Here and not above: with Numba and Dask they take a third of the page's imports.
    import datashader
    from holoviews.operation.datashader import dynspread, rasterize

    coloured = bool(points.vdims)
    how = datashader.mean("colour") if coloured else "count"
    # A count is drawn by rank: few pixels hold most of the points.
    rank = {} if coloured else {"cnorm": "eq_hist"}
    # Where points are spread over pixels, colours are not added up.
    image = dynspread(rasterize(points, aggregator=how), how="max", threshold=0.5, max_px=4)
    return image.opts(hv.opts.Image(cmap="viridis", colorbar=True, **rank, **_AXES))


def fewer(corners: Array) -> Array:
    """Return a polygon (K, 2) of at most `MAX_CORNERS` corners, with four digits."""
    values = np.asarray(corners, float)
    step = max(1, -(-len(values) // MAX_CORNERS))
    return np.array([[float(f"{x:.4g}") for x in point] for point in values[::step]])


@cache
def warm_up() -> None:
    """Import and compile what draws large maps, once and on a thread, before one is asked for."""
    threading.Thread(target=_compile, name="explore-warm-up", daemon=True).start()


def _compile() -> None:
    import datashader
    import holoviews.operation.datashader  # noqa: F401 - takes a second of its own

    table = pandas.DataFrame({"x": np.zeros(2, np.float32), "y": np.zeros(2, np.float32),
                              "c": np.zeros(2)})  # fmt: skip
    canvas = datashader.Canvas(2, 2)
    for how in (datashader.count(), datashader.mean("c")):
        canvas.points(table, "x", "y", agg=how)
