"""How ensembles and specifications look in a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping

_STYLE = "text-align:left;padding:0 1em 0 0"


def table(title: str, rows: Mapping[str, object]) -> str:
    """Return an HTML table of names and values; all text is escaped, since stores may be foreign.

    >>> "&lt;b&gt;" in table("t", {"name": "<b>"})
    True
    """
    cells = "".join(
        f'<tr><th style="{_STYLE}">{html.escape(str(name))}</th>'
        f'<td style="{_STYLE}">{html.escape(_text(value))}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{cells}</table>"


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(one) for one in value)
    return str(value)
