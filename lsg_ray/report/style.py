"""How figures look: one width, one set of fonts, one colour for each part of the network.

Figures are plain `matplotlib.figure.Figure` objects drawn with Agg.  Nothing here touches pyplot,
its open figures or its backend; matplotlib's parameters are changed inside `paper` only.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lsg_ray.typing import Array

Arguments = ParamSpec("Arguments")

#: Width of a figure in inches: two columns of a journal.
WIDTH = 7.0
DPI = 200
#: Most characters of a name in a figure.
MAX_NAME_LENGTH = 40
#: Most single curves that are drawn behind their mean.
MAX_SINGLE_CURVES = 12

#: Okabe and Ito's palette, for all kinds of colour vision, and for grey.
PART_COLOURS = {"LB": "#0072B2", "ITR": "#D55E00", "RB": "#009E73"}
PART_NAMES = {"LB": "LB, first layer", "ITR": "ITR, interior", "RB": "RB, last layer"}
ACCENT = "#0072B2"
CONTRAST = "#D55E00"
INK = "#1f2328"
GREY = "#8c959f"
PALE = "#d8dee4"
#: Colours of curves, in their order.
CURVE_COLOURS = (ACCENT, CONTRAST, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHED = (0, (4, 2))

#: Fonts, sizes and lines.
SHEET = str(Path(__file__).with_name("paper.mplstyle"))


@contextmanager
def paper() -> Iterator[None]:
    """Set matplotlib's parameters to the style of the report, and restore the user's afterwards."""
    with matplotlib.style.context(["default", SHEET]):
        yield


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Make a function draw its figure in the style of the report."""

    @wraps(draw)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with paper():
            return draw(*args, **kwargs)

    return wrapper


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure; sizes in inches."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def panels(
    height: float,
    columns: int,
    *,
    width: float = WIDTH,
    width_ratios: Sequence[float] | None = None,
) -> tuple[Figure, Array]:
    """Return a figure with panels side by side, and their axes; sizes in inches."""
    figure = new_figure(height, width)
    return figure, figure.subplots(1, columns, width_ratios=width_ratios, squeeze=False)[0]


def curve_colour(number: int) -> str:
    """Return the colour of one of several curves, by its number."""
    return CURVE_COLOURS[number % len(CURVE_COLOURS)]


def render(figure: Figure) -> bytes:
    """Return a figure as PNG; equal figures give equal bytes with the same matplotlib."""
    buffer = io.BytesIO()
    with paper():
        figure.savefig(buffer, format="png", backend="agg", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def render_vector(figure: Figure, kind: Literal["pdf", "svg"]) -> bytes:
    """Return a figure that has been rendered as PDF or SVG, with the same layout.

    Without dates and random names: equal figures give equal bytes with the same matplotlib.
    """
    figure.set_layout_engine("none")
    undated = {"pdf": "CreationDate", "svg": "Date"}[kind]
    buffer = io.BytesIO()
    with paper(), matplotlib.rc_context({"svg.hashsalt": "lsg-ray"}):
        figure.savefig(buffer, format=kind, dpi=DPI, metadata={undated: None})
    return buffer.getvalue()


def verbatim(name: str) -> str:
    """Return a foreign name for a figure: shortened, on one line, dollar signs escaped.

    >>> verbatim(r"$\\frac$")
    '\\\\$\\\\frac\\\\$'
    """
    short = name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH - 1]}…"
    plain = "".join(mark if mark.isprintable() else "?" for mark in short).replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{plain}" if plain.startswith("_") else plain  # hidden in legends


def panel(axes: Axes, letter: str, title: str = "", x: str = "", y: str = "") -> None:
    """Title a panel ``(a) ...``, and label its axes where labels are given."""
    axes.set_title(rf"$\bf{{({letter})}}$" + (f" {title}" if title else ""))
    axes.set(xlabel=x or axes.get_xlabel(), ylabel=y or axes.get_ylabel())


def ticks(axes: Axes, x: int, y: int, **options: bool) -> None:
    """Set the largest numbers of intervals on the axes; see `round_ticks`."""
    axes.xaxis.set_major_locator(round_ticks(x, **options))
    axes.yaxis.set_major_locator(round_ticks(y, **options))


def few_log_labels(axes: Axes) -> None:
    """Label a logarithmic y axis, whose curves are drawn, with plain numbers if it is short."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    low, high = axes.get_ylim()
    if high < 100 * low:
        first = "12345" if high < 4 * low else "125"  # digits
        labels = FuncFormatter(lambda y, _: f"{y:g}" if f"{y:e}"[0] in first else "")
        axes.yaxis.set_major_formatter(labels)
        axes.yaxis.set_minor_formatter(labels)
    else:
        axes.yaxis.set_minor_formatter(NullFormatter())


def colour_bar(image: Any, axes: Any, label: str, number: int, **options: Any) -> None:
    """Draw the colour bar of an image, with ticks from `round_ticks`."""
    symmetric = options.pop("symmetric", False)
    figure = np.ravel(axes)[0].figure
    bar = figure.colorbar(image, ax=axes, **options)
    bar.set_label(label, labelpad=1 if options.get("orientation") else None)
    bar.locator = round_ticks(number, symmetric=symmetric)
    bar.outline.set_linewidth(0.7)


def round_ticks(number: int, *, symmetric: bool = False, integer: bool = False) -> MaxNLocator:
    """Return a locator of at most `number` intervals of 1, 2, 2.5 or 5 times a power of ten."""
    return MaxNLocator(number, steps=[1, 2, 2.5, 5, 10], symmetric=symmetric, integer=integer)


def normal_density(mean: float, deviation: float) -> tuple[Array, Array]:
    """Return x over ±8 standard deviations, and the normal density there."""
    z = np.linspace(-8, 8, 801)
    return mean + deviation * z, np.exp(-0.5 * z**2) / (deviation * np.sqrt(2 * np.pi))


def band(
    axes: Axes,
    x: Array,
    rows: Array,
    colour: str,
    label: str = "",
    dash: str | tuple[int, tuple[int, int]] = "-",
) -> None:
    """Draw the mean of curves (n, x) and a band of one standard deviation."""
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    axes.plot(x, mean, color=colour, ls=dash, label=label)
    axes.fill_between(x, mean - std, mean + std, color=colour, alpha=0.15, lw=0)


def accuracy_colours() -> Colormap:
    """Return viridis without its palest yellow, which cannot be seen on white."""
    viridis = matplotlib.colormaps["viridis"](np.linspace(0, 0.93, 256))
    return LinearSegmentedColormap.from_list("accuracy", viridis)


def signed_colours() -> Colormap:
    """Return a diverging map, blue below zero and red above, grey where there is no value."""
    return matplotlib.colormaps["RdBu_r"].with_extremes(bad=PALE)


def steps(
    axes: Axes, density: Array, edges: Array, *, color: str = ACCENT, label: str | None = None
) -> None:
    """Draw a histogram as a filled outline."""
    axes.stairs(density, edges, fill=True, color=color, alpha=0.30, lw=0)
    axes.stairs(density, edges, color=color, lw=1.2, label=label)
