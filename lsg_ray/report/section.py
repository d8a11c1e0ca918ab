"""A section of the report: a figure with its caption, or the reason why there is none."""

from __future__ import annotations

import re
from typing import NamedTuple

from matplotlib.figure import Figure

from lsg_ray.report.style import render


class Section(NamedTuple):
    """Part of the page: `png` with `caption` and `alt`, or else the `reason` why there is none.

    `key` is the name of the file, `title` the heading, `alt` the text in place of the figure,
    `formula` the name of the mathematics below the caption.
    """

    key: str
    title: str
    caption: str = ""
    alt: str = ""
    png: bytes | None = None
    reason: str = ""
    formula: str = ""


def section(
    key: str, title: str, figure: Figure, caption: str, alt: str, formula: str = ""
) -> Section:
    """Return a section with a figure; lines of its caption are not broken beside =, ± and %."""
    caption, alt = (re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", text) for text in (caption, alt))
    for mark in ("=", "±", "%"):
        caption = caption.replace(f" {mark}", f"\N{NO-BREAK SPACE}{mark}")
        caption = caption.replace(f"{mark} 0", f"{mark}\N{NO-BREAK SPACE}0")
    return Section(key, title, caption, alt, render(figure), formula=formula)
