"""What commands print: one JSON document, or text for people."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from lsg_ray.errors import masked

if TYPE_CHECKING:
    from lsg_ray.cluster.progress import Style

#: Integers from here on are printed roughly in text, and in JSON those that Python cannot print.
MAX_TEXT_INTEGER, MAX_JSON_INTEGER = 10**24, 10**4000
#: Colours, which Ray's logs are full of; they are left out.
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}m")


def printable(text: str) -> str:
    """Return text of others as one line that a terminal shows and does not obey.

    Control characters, line ends, marks that turn the direction of writing and lone surrogates are
    escaped; secrets in URLs are masked.

    >>> printable("a\\x1b]0;b\\x07\\nc\\u202e")
    'a\\\\x1b]0;b\\\\x07\\\\nc\\\\u202e'
    """
    text = masked(text)
    if text.isprintable():
        return text
    return "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text
    )


def show(text: str, err: bool = False) -> None:
    """Print lines of text, each made printable: all that goes to a terminal goes through here."""
    lines = _COLOUR.sub("", text).replace("\r\n", "\n").split("\n")
    click.echo("\n".join(map(printable, lines)), err=err)


@contextmanager
def shown_warnings() -> Iterator[None]:
    """Show warnings of this package as one line on standard error, and leave others as they are."""
    with warnings.catch_warnings():
        original = warnings.showwarning

        def show_warning(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category.__module__.startswith("lsg_ray."):
                show(f"lsg: warning: {printable(str(message))}", err=True)
            else:
                original(message, category, filename, lineno, file, line)

        warnings.showwarning = show_warning
        yield


def line_logger(as_json: bool, after: str = " ...") -> Callable[[str], None]:
    """Return what logs a line for people, such as that a stage begins."""
    return (lambda _: None) if as_json else (lambda line: show(f"{line}{after}", err=True))


def progress_style(as_json: bool) -> Style:
    """Return how progress is shown."""
    return "quiet" if as_json else "auto"


def print_result(result: Mapping[str, object], as_json: bool, text: str) -> None:
    """Print a result as one JSON object, or as text."""
    if as_json:
        click.echo(json.dumps(plain(result)))
    else:
        show(text)


def plain(value: object) -> object:
    """Turn NumPy values, paths and tuples into what JSON knows; NaN becomes null."""
    if isinstance(value, Mapping):
        return {masked(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, int) and abs(value) >= MAX_JSON_INTEGER:
        return _about(value)
    return value if value is None or isinstance(value, (int, bool)) else masked(str(value))


def percent(fraction: float | None) -> str:
    """Return a fraction as text."""
    return "unknown" if fraction is None else f"{fraction:.1%}"


def table(values: Mapping[str, object]) -> str:
    """Return names and values, a line each; tables within, mappings of rows, below one another."""
    cells = {printable(str(k)): cell(value) for k, value in values.items() if not _has_rows(value)}
    width = max(map(len, cells), default=0)
    lines = [f"{key:{width}}  {value}" for key, value in cells.items()]
    for key, value in values.items():
        if isinstance(value, Mapping) and _has_rows(value):
            lines += ["", *_rows(printable(str(key)), value)]
    return "\n".join(lines)


def _has_rows(value: object) -> bool:
    inner = list(value.values()) if isinstance(value, Mapping) else []
    return bool(inner) and all(isinstance(row, Mapping) for row in inner)


def _rows(title: str, rows: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return the lines of a table by row and column."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    cells = [[title, *(printable(str(column)) for column in columns)]]
    for name, row in rows.items():
        cells.append(
            [
                f"  {printable(str(name))}",
                *(cell(row[column]) if column in row else "" for column in columns),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def cell(value: object) -> str:
    """Return a value as short text."""
    if isinstance(value, dict):
        return ", ".join(f"{printable(str(key))} {cell(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) < MAX_TEXT_INTEGER else _about(value)
    return printable(_as_python(value) if isinstance(value, (list, tuple)) else str(value))


def _as_python(value: object) -> str:
    """Return what is in a list as Python shows it, huge integers aside."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_as_python(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(_as_python, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, int) and abs(value) >= MAX_TEXT_INTEGER:
        return _about(value)
    return repr(value)


def _about(value: int) -> str:
    return f"about {'-' if value < 0 else ''}2^{value.bit_length() - 1}"


def print_rows(columns: Mapping[str, Iterable[object]], style: str) -> None:
    """Print columns as a table, CSV, JSON rows or one JSON object."""
    names = list(columns)
    rows = [
        dict(zip(names, map(plain, row), strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    if style == "json":
        click.echo(json.dumps(rows))
    elif style == "object":
        click.echo(json.dumps({"count": len(rows), "rows": rows}))
    elif style == "csv":
        import csv
        import io

        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        show(text.getvalue().rstrip("\n"))
    else:
        cells = [[cell(row[name]) for name in names] for row in rows]
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        for line in [names, *cells]:
            show("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))
