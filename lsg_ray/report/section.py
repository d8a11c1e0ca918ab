"""A section of the report: a figure with its caption, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from matplotlib.figure import Figure

from lsg_ray.report.style import render


class Section(NamedTuple):
    """Part of the page: `png` with `caption` and `alt`, or else the `reason` why not.

    `key` names the file and the formula, `title` is the heading.
    """

    key: str
    title: str
    caption: str = ""
    alt: str = ""
    png: bytes | None = None
    reason: str = ""


def section(key: str, title: str, draw: Callable[[], Figure], caption: str, alt: str) -> Section:
    """Return a section with its figure drawn, and its caption kept together at signs."""
    for mark in ("=", "±", "%"):
        caption = caption.replace(f" {mark}", f"\N{NO-BREAK SPACE}{mark}")
        caption = caption.replace(f"{mark} 0", f"{mark}\N{NO-BREAK SPACE}0")
    return Section(key, title, caption, alt, png=render(draw()))
