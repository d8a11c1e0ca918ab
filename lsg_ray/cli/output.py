"""What commands print: one JSON document, or text for people."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import click

from lsg_ray.errors import masked


def options(*given: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return one decorator of several options."""
    return lambda command: reduce(lambda made, option: option(made), reversed(given), command)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object; be quiet.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace an earlier result.")


#: Larger integers are told roughly: in text, and where Python prints no more digits.
HUGE, LONGEST = 10**24, 10**4000
#: Colours, which Ray's logs are full of; they are left out.
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}m")


def printable(text: str) -> str:
    """Return text of others as one line that a terminal shows and does not obey.

    Control characters, line ends, marks that turn the direction of writing and lone surrogates are
    escaped; secrets in URLs are masked.

    >>> printable("a\\x1b]0;b\\x07\\nc\\u202e")
    'a\\\\x1b]0;b\\\\x07\\\\nc\\\\u202e'
    """
    found = masked(text)
    if found.isprintable():
        return found
    return "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in found
    )


def show(text: str, err: bool = False) -> None:
    """Print lines of text, each made printable: all that goes to a terminal goes through here."""
    lines = _COLOUR.sub("", text).replace("\r\n", "\n").split("\n")
    click.echo("\n".join(map(printable, lines)), err=err)


@contextmanager
def shown_warnings() -> Iterator[None]:
    """Show warnings of ours as one line on standard error, and leave others as they are."""
    with warnings.catch_warnings():
        before = warnings.showwarning

        def tell(message: Any, category: Any, *rest: Any, **more: Any) -> None:
            if category.__module__.startswith("lsg_ray."):
                show(f"lsg: warning: {printable(str(message))}", err=True)
            else:
                before(message, category, *rest, **more)

        warnings.showwarning = tell
        yield


def say(as_json: bool, after: str = " ...") -> Callable[[str], None]:
    """Return what tells a person a line, such as that a stage begins."""
    return (lambda _: None) if as_json else (lambda line: show(f"{line}{after}", err=True))


def style(as_json: bool) -> Any:
    """Return how progress is shown."""
    return "quiet" if as_json else "auto"


def print_result(result: dict[str, Any], as_json: bool, text: str) -> None:
    """Print a result as one JSON object, or as text."""
    if as_json:
        click.echo(json.dumps(plain(result)))
    else:
        show(text)


def plain(value: Any) -> Any:
    """Turn NumPy values, paths and tuples into what JSON knows; NaN becomes null."""
    if isinstance(value, dict):
        return {masked(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, int) and abs(value) >= LONGEST:
        return _about(value)
    return value if value is None or isinstance(value, (int, bool)) else masked(str(value))


def percent(fraction: float | None) -> str:
    """Return a fraction as text."""
    return "unknown" if fraction is None else f"{fraction:.1%}"


def table(values: dict[str, Any]) -> str:
    """Return names and values, a line each."""
    shown = {printable(str(key)): cell(value) for key, value in values.items()}
    width = max(map(len, shown))
    return "\n".join(f"{key:{width}}  {value}" for key, value in shown.items())


def cell(value: Any) -> str:
    """Return a value as short text."""
    if isinstance(value, dict):
        return ", ".join(f"{printable(str(key))} {cell(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) < HUGE else _about(value)
    return printable(_within(value) if isinstance(value, (list, tuple)) else str(value))


def _within(value: Any) -> str:
    """Return what is in a list as Python shows it, huge integers aside."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_within(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(_within, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    huge = isinstance(value, int) and abs(value) >= HUGE
    return _about(value) if huge else repr(value)


def _about(value: int) -> str:
    return f"about {'-' if value < 0 else ''}2^{value.bit_length() - 1}"


def print_rows(table: dict[str, Any], style: str) -> None:
    """Print columns as a table, CSV, JSON rows or one JSON object."""
    names = list(table)
    rows = [
        dict(zip(names, map(plain, row), strict=True)) for row in zip(*table.values(), strict=True)
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
            show("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
