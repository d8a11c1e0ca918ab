"""The data of a figure as tables: what each curve, histogram, image and point cloud shows.

Taken from the figure itself, so that the figure of any stage has its data.  A row of the table is a
point of a series: its panel, the series, what it is drawn as, x and y; half the lengths of their
error bars, or of a histogram half the width of the bin; and a value, that of a colour or contour.
An image is a table of its own: x in the first row, y in the first column; only the pixels of many
small ones are rows, too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection, QuadMesh
from matplotlib.container import ErrorbarContainer
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, StepPatch

from lsg_ray.typing import Array, Floats

COLUMNS = ("panel", "series", "kind", "x", "y", "x_error", "y_error", "value")
#: Significant digits of a number, and of a value of an image.
DIGITS = 8
IMAGE_DIGITS = 4
#: Images of a figure above which they are rows of the table.
MAX_IMAGES = 4
Row: TypeAlias = tuple[str | float | None, ...]


def figure_data(figure: Figure) -> dict[str, bytes]:
    """Return the data of a figure as CSV, UTF-8, by the ending of the file's name.

    The table of points has an empty ending, and a line of `COLUMNS` first; images have
    ``-image-1`` and so on.  Colour bars, annotations and the lines of axes are left out.
    Deterministic; some 2 µs a number.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    axes = [one for one in figure.axes if one.get_label() != "<colorbar>"]
    images = [(_panel(one, n), image) for n, one in enumerate(axes) for image in _images(one)]
    apart = len(images) <= MAX_IMAGES
    rows = [row for n, one in enumerate(axes) for row in _rows(one, _panel(one, n))]
    if not apart:
        rows += [row for n, image in enumerate(images) for row in _pixels(*image, n + 1)]
    table.writerows([_cell(value) for value in row] for row in rows)
    tables = {"": text.getvalue().encode()} if rows or not images else {}
    if apart:
        tables |= {f"-image-{n + 1}": _matrix(*image) for n, (_, image) in enumerate(images)}
    return tables


def _panel(axes: Axes, number: int) -> str:
    """Return the name of a panel: its letter with its title, or its number."""
    title = axes.get_title("left") or axes.get_title()
    title = title.replace(r"$\bf{(", "").replace(r")}$", ":", 1)
    return " ".join(title.split()).rstrip(":") or str(number + 1)


def _plain(text: str) -> str:
    """Return a name that no table calculator takes for a formula."""
    name = " ".join(text.replace("\N{ZERO WIDTH SPACE}", "").split())
    return f"'{name}" if name[:1] in ("=", "+", "-", "@") else name


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.{DIGITS}g}"


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return _plain(value) if isinstance(value, str) else _number(value)


def _rows(axes: Axes, panel: str) -> Iterator[Row]:
    """Yield the rows of a panel, in the order in which things were drawn."""
    bars = [one for one in axes.containers if isinstance(one, ErrorbarContainer)]
    of_bars = {id(part) for bar in bars for part in _parts(bar)}
    names = _Names()
    for bar in bars:
        yield from _with_errors(bar, panel, names(bar.get_label() or bar[0].get_label(), "points"))
    for child in axes.get_children():
        if id(child) in of_bars or not child.get_visible():
            continue
        if isinstance(child, Line2D):
            yield from _line(child, axes, panel, names)
        elif isinstance(child, StepPatch):
            yield from _stairs(child, panel, names)
        elif isinstance(child, Rectangle) and child is not axes.patch:
            yield from _bar(child, panel)
        elif isinstance(child, ContourSet):
            yield from _contours(child, panel, names)
        elif isinstance(child, Collection) and not isinstance(child, QuadMesh):
            yield from _collection(child, panel, names)


class _Names:
    """Names of series: their labels, or what they are drawn as with a number."""

    def __init__(self) -> None:
        self.count: dict[str, int] = {}

    def __call__(self, label: object, kind: str) -> str:
        text = str(label or "")
        if text and not text.startswith("_"):
            return text
        self.count[kind] = self.count.get(kind, 0) + 1
        return f"{kind} {self.count[kind]}"


def _parts(bar: ErrorbarContainer) -> Iterator[object]:
    line, caps, segments = bar.lines
    yield from (part for part in (line, *caps, *segments) if part is not None)


def _with_errors(bar: ErrorbarContainer, panel: str, series: str) -> Iterator[Row]:
    """Yield points with half the lengths of their error bars."""
    line, _, segments = bar.lines
    if line is None:
        return
    x, y = (np.asarray(values, float) for values in line.get_data())
    directions = [d for d, given in ((0, bar.has_xerr), (1, bar.has_yerr)) if given]
    errors: list[Array] = [np.full(len(x), np.nan), np.full(len(x), np.nan)]
    for direction, lines in zip(directions, segments, strict=False):
        ends = [np.asarray(segment, float) for segment in lines.get_segments()]
        half = [float(np.ptp(end[:, direction])) / 2 if len(end) else np.nan for end in ends]
        if len(half) == len(x):
            errors[direction] = np.array(half)
    for row in zip(x, y, *errors, strict=True):
        yield (panel, series, "points", *map(float, row), None)


def _line(line: Line2D, axes: Axes, panel: str, names: _Names) -> Iterator[Row]:
    x, y = (np.asarray(line.convert_xunits(v), float) for v in line.get_data(orig=False))
    transform = line.get_transform()
    if transform == axes.get_yaxis_transform(which="grid"):  # over the width of the panel
        yield (
            panel,
            names(line.get_label(), "level"),
            "level",
            None,
            float(y[0]),
            None,
            None,
            None,
        )
    elif transform == axes.get_xaxis_transform(which="grid"):
        yield (
            panel,
            names(line.get_label(), "level"),
            "level",
            float(x[0]),
            None,
            None,
            None,
            None,
        )
    elif transform.contains_branch(axes.transData):
        kind = "points" if line.get_linestyle() in ("None", "") else "line"
        series = names(line.get_label(), kind)
        for one in zip(x.tolist(), y.tolist(), strict=True):
            yield (panel, series, kind, *one, None, None, None)


def _stairs(patch: StepPatch, panel: str, names: _Names) -> Iterator[Row]:
    """Yield the bins of a histogram by their centres; half their width stands as error of x."""
    values, edges, _ = patch.get_data()
    series = names(patch.get_label(), "histogram")
    centres, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    for x, y, width in zip(centres.tolist(), values.tolist(), half.tolist(), strict=True):
        yield (panel, series, "histogram", x, y, width, None, None)


def _bar(bar: Rectangle, panel: str) -> Iterator[Row]:
    x, width, height = bar.get_x(), bar.get_width(), bar.get_height()
    label = str(bar.get_label() or "")
    series = label if label and not label.startswith("_") else "bars"
    yield (panel, series, "bar", x + width / 2, bar.get_y() + height, width / 2, None, None)


class _Image(NamedTuple):
    """Centres of the columns x and rows y of pixels, and values (y, x)."""

    x: Floats
    y: Floats
    values: Array


def _images(axes: Axes) -> Iterator[_Image]:
    """Yield the images of a panel; those whose pixels are colours have no values."""
    for child in axes.get_children():
        if not isinstance(child, (AxesImage, QuadMesh)) or not child.get_visible():
            continue
        values: Array = np.ma.filled(np.ma.asarray(child.get_array(), float), np.nan)
        if isinstance(child, QuadMesh):
            corners = np.asarray(child.get_coordinates(), float)
            centres = (corners[1:, 1:] + corners[:-1, :-1]) / 2
            if values.size == centres[..., 0].size:
                yield _Image(centres[0, :, 0], centres[:, 0, 1], values.reshape(centres.shape[:2]))
        elif values.ndim == 2:
            left, right, bottom, top = child.get_extent()
            first, last = (top, bottom) if child.origin == "upper" else (bottom, top)
            rows, columns = values.shape
            x = left + (np.arange(columns) + 0.5) * (right - left) / columns
            y = first + (np.arange(rows) + 0.5) * (last - first) / rows
            yield _Image(x, y, values)


def _matrix(x: Floats, y: Floats, values: Array) -> bytes:
    """Return values (y, x) as CSV, with x in the first row and y in the first column."""
    lines = [",".join(["", *map(_number, x.tolist())])]
    for at, row in zip(y.tolist(), values.tolist(), strict=True):
        lines.append(",".join([_number(at), *(f"{value:.{IMAGE_DIGITS}g}" for value in row)]))
    return ("\n".join(lines) + "\n").encode()


def _pixels(panel: str, image: _Image, number: int) -> Iterator[Row]:
    columns = image.x.tolist()
    for y, values in zip(image.y.tolist(), image.values.tolist(), strict=True):
        for x, value in zip(columns, values, strict=True):
            yield (panel, f"image {number}", "image", x, y, None, None, value)


def _contours(contours: ContourSet, panel: str, names: _Names) -> Iterator[Row]:
    """Yield the corners of contours, with their levels; of filled ones, the middle of two."""
    series, paths = names("", "contours"), contours.get_paths()
    levels = np.asarray(contours.levels, float)
    values = (levels[1:] + levels[:-1]) / 2 if contours.filled else levels
    below = int(contours.extend in ("min", "both")) if contours.filled else 0
    beyond = max(len(paths) - len(values) - below, 0)  # filled to infinity
    values = np.r_[[np.nan] * below, values, [np.nan] * beyond]
    for path, level in zip(paths, values.tolist(), strict=False):
        for x, y in np.asarray(path.vertices, float).tolist():
            yield (panel, series, "contour", x, y, None, None, level)


def _collection(collection: Collection, panel: str, names: _Names) -> Iterator[Row]:
    """Yield points with their colours' values, or the corners of bands and contours."""
    offsets = np.asarray(collection.get_offsets(), float)
    values: Any = collection.get_array()
    series = str(collection.get_label() or "")
    if isinstance(collection, PathCollection) or (values is not None and len(offsets) > 1):
        series = names(series, "points")
        colours = [None] * len(offsets) if values is None else np.asarray(values, float).tolist()
        colours = colours if len(colours) == len(offsets) else [None] * len(offsets)
        for (x, y), value in zip(offsets.tolist(), colours, strict=True):
            yield (panel, series, "points", x, y, None, None, value)
        return
    kind = "line" if isinstance(collection, LineCollection) else "outline"
    for path in collection.get_paths():
        series = names(collection.get_label(), kind)
        for x, y in np.asarray(path.vertices, float).tolist():
            yield (panel, series, kind, x, y, None, None, None)
