"""What commands print: one JSON document, or text for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object; be quiet.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace an earlier result.")


def say(as_json: bool) -> Callable[[str], None]:
    """Return what tells a person that a stage begins."""
    return (lambda _: None) if as_json else (lambda line: click.echo(f"{line} ...", err=True))


def print_result(result: dict[str, Any], as_json: bool, text: str) -> None:
    """Print a result as one JSON object, or as text."""
    click.echo(json.dumps(plain(result)) if as_json else text)


def plain(value: Any) -> Any:
    """Turn NumPy values, paths and tuples into what JSON knows; NaN becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


def percent(fraction: float | None) -> str:
    """Return a fraction as text."""
    return "unknown" if fraction is None else f"{fraction:.1%}"


def table(values: dict[str, Any]) -> str:
    """Return names and values, a line each."""
    width = max(len(key) for key in values)
    return "\n".join(f"{key:{width}}  {cell(value)}" for key, value in values.items())


def cell(value: Any) -> str:
    """Return a value as short text."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {cell(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


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
        click.echo(text.getvalue(), nl=False)
    else:
        cells = [[cell(row[name]) for name in names] for row in rows]
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        for line in [names, *cells]:
            click.echo(
                "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            )
