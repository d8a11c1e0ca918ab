"""What views are made of.  Text of a store, a result or an error is escaped here, always.

Panel's own panes of Markdown and HTML, titles of its cards and alerts are markup: views use none of
them, and call these functions in their place.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import panel as pn
from markupsafe import Markup

from lsg_ray.errors import LsgError, masked, out_of_memory
from lsg_ray.html import table

T = TypeVar("T")

#: Rows of a table that are shown.
MAX_ROWS = 200
#: Threads that read and compute, and one that draws figures: matplotlib's parameters are global.
READER = ThreadPoolExecutor(4, thread_name_prefix="explore-read")
DRAWER = ThreadPoolExecutor(1, thread_name_prefix="explore-draw")
_STRETCHED: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (4, 10)}
#: What a menu of buttons has chosen is seen in the light and in the dark.
CHOSEN = ".bk-btn-group .bk-btn.bk-btn-default.bk-active {background: #0072B2; color: white}"
_ERROR = "border-left:4px solid #D55E00;padding:2px 0 2px 10px"


def markup(template: str, *values: object, **options: Any) -> pn.pane.HTML:
    """Return a pane of markup of ours, in which values are escaped."""
    made = Markup(template).format(*values)  # noqa: S704 - of this package, without values
    return pn.pane.HTML(str(made), **_STRETCHED | options)


def heading(text: str, level: int = 2) -> pn.pane.HTML:
    """Return a heading."""
    return markup(f"<h{level} style='margin:8px 0 2px'>{{}}</h{level}>", text)


def text(value: object) -> pn.pane.HTML:
    """Return a paragraph."""
    return markup("<p style='margin:2px 0;overflow-wrap:anywhere'>{}</p>", value)


def code(value: str, label: str = "") -> pn.pane.HTML:
    """Return text in letters of one width, as it is: lines stay lines."""
    return markup(
        "<pre aria-label='{}' style='margin:2px 0;overflow-x:auto'>{}</pre>", label, value
    )


def failure(error: BaseException) -> pn.pane.HTML:
    """Return what went wrong; a caret below a query stays where it points."""
    line = masked(str(error))
    if isinstance(error, MemoryError):
        line = out_of_memory(error)
    elif not isinstance(error, LsgError):  # of a library, that a file of a stranger has led to
        line = f"this cannot be shown ({type(error).__name__}: {line[:300]})"
    return markup(f"<div role='alert' style='{_ERROR}'><pre style='margin:2px 0;"
                  "white-space:pre-wrap;overflow-wrap:anywhere'>{}</pre></div>", line)  # fmt: skip


def facts(title: str, values: Mapping[str, object]) -> pn.pane.HTML:
    """Return a table of names and values."""
    # The table is made, and its text escaped, as in notebooks.
    return pn.pane.HTML(f"<div style='overflow-x:auto'>{table(title, values)}</div>", **_STRETCHED)


def rows(columns: Mapping[str, Sequence[object]], caption: str = "") -> pn.pane.HTML:
    """Return a table of columns, of which the first rows are shown."""
    cell, head = Markup("<td style='padding:0 12px 0 0;text-align:right'>{}</td>"), Markup(
        "<th scope='col' style='padding:0 12px 0 0;text-align:right'>{}</th>"
    )  # fmt: skip
    lines = [
        Markup("<tr>{}</tr>").format(Markup().join(cell.format(_short(v)) for v in row))
        for row in zip(*(values[:MAX_ROWS] for values in columns.values()), strict=True)
    ]
    body = Markup("<table><caption style='text-align:left'>{}</caption><tr>{}</tr>{}</table>")
    names = Markup().join(head.format(name) for name in columns)
    made = body.format(caption, names, Markup().join(lines))
    return pn.pane.HTML(str(Markup("<div style='overflow-x:auto'>{}</div>").format(made)),
                        **_STRETCHED)  # fmt: skip


def image(png: bytes, alt: str, width: int | None = None) -> pn.pane.HTML:
    """Return an image, not wider than the page."""
    pixels = width or int.from_bytes(png[16:20], "big") // 2
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    return markup(
        "<img src='{}' alt='{}' style='width:{}px;max-width:100%;background:white'>",
        url,
        alt,
        pixels,
    )


def column(*children: Any) -> pn.Column:
    """Return panes below one another."""
    return pn.Column(*children, sizing_mode="stretch_width")


def row(*children: Any) -> pn.FlexBox:
    """Return panes beside one another, or below where there is no room."""
    return pn.FlexBox(*children, sizing_mode="stretch_width", align_items="flex-end")


def guarded(work: Callable[[], T], show: Callable[[T], Any]) -> Any:
    """Return what is shown of some work, or else why it failed."""
    try:
        return show(work())
    except MemoryError as error:
        return failure(error)
    except Exception as error:  # what others have made fails in a dozen ways
        return failure(error)


def later(
    work: Callable[[], T], show: Callable[[T], Any], doing: str, on: ThreadPoolExecutor = READER
) -> Any:
    """Return a pane that says what is done until it shows what came of it.

    The work is done on a thread, so that the page answers meanwhile; it is shown on the server's.
    """

    async def shown() -> AsyncIterator[Any]:
        yield text(f"{doing} …")
        loop = asyncio.get_running_loop()
        try:
            made = show(await loop.run_in_executor(on, work))
        except MemoryError as error:
            made = failure(error)
        except Exception as error:  # as above
            made = failure(error)
        yield made

    return pn.panel(shown, sizing_mode="stretch_width")


def joined(names: Iterable[object]) -> str:
    """Return names with commas."""
    return ", ".join(map(str, names))


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    shown = str(value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"
