"""A section of the report: a figure with its caption, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias, get_args

from matplotlib.figure import Figure

from lsg_ray.errors import InputError
from lsg_ray.report.figure_data import figure_data
from lsg_ray.report.style import render, render_vector

#: What a figure can be downloaded as: pictures, and its data.
Format: TypeAlias = Literal["png", "pdf", "svg", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
#: A hyphen before a number, in place of a minus sign.
_MINUS = r"(?<![\w.])-(?=\d)"


class Section(NamedTuple):
    """Part of the page: `png` with `caption` and `alt`, or else the `reason` why there is none.

    `key` is the name of the file, `title` the heading, `alt` the text in place of the figure,
    `formula` the name of the mathematics below the caption, `steps` the steps of a study that it
    shows, `figure` what was drawn.  `files`: the figure and its data for downloads, by the name of
    the file without `key`; `missing`: why some could not be made.
    """

    key: str
    title: str
    caption: str = ""
    alt: str = ""
    png: bytes | None = None
    reason: str = ""
    formula: str = ""
    steps: tuple[str, ...] = ()
    figure: Figure | None = None
    files: Mapping[str, bytes] = MappingProxyType({})
    missing: str = ""


def typeset(text: str) -> str:
    """Return a text with minus signs, whose lines are not broken beside =, ± and %."""
    text = re.sub(_MINUS, "\N{MINUS SIGN}", text)
    for mark in ("=", "±", "%"):
        text = text.replace(f" {mark}", f"\N{NO-BREAK SPACE}{mark}")
        text = text.replace(f"{mark} 0", f"{mark}\N{NO-BREAK SPACE}0")
    return text.replace("± ", "±\N{NO-BREAK SPACE}")


def section(
    key: str, title: str, figure: Figure, caption: str, alt: str, formula: str = ""
) -> Section:
    """Return a section with a figure."""
    caption, alt = typeset(caption), re.sub(_MINUS, "\N{MINUS SIGN}", alt)
    return Section(key, title, caption, alt, render(figure), formula=formula, figure=figure)


def chosen_formats(given: Collection[str]) -> tuple[Format, ...]:
    """Return formats in our order, each once.

    Raises
    ------
    InputError
        One is unknown.
    """
    names = {name.strip().lower() for name in given if name.strip()}
    if unknown := sorted(names - {*FORMATS}):
        raise InputError(f"formats: {unknown[0]} given; there are {', '.join(FORMATS)}")
    return tuple(kind for kind in FORMATS if kind in names)


def with_files(section: Section, formats: Sequence[Format] = FORMATS) -> Section:
    """Return a section with its figure as files for downloads, and without the figure itself.

    Each picture takes as long as the one on the page.  What cannot be made is left out, with the
    reason.
    """
    if section.figure is None or section.png is None:
        return section
    files, missing = {}, []
    for kind in formats:
        try:
            if kind == "png":
                files[".png"] = section.png
            elif kind == "csv":
                tables = figure_data(section.figure).items()
                files |= {f"{ending}.csv": table for ending, table in tables}
            else:
                files[f".{kind}"] = render_vector(section.figure, kind)
        except MemoryError:
            raise
        except Exception as error:  # a figure of another package
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            missing.append(f"no {kind.upper()}: {why}")
    return section._replace(files=files, missing="; ".join(missing), figure=None)
