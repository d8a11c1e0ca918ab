"""How ensembles and specifications look in a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping

_STYLE = "text-align:left;padding:0 1em 0 0"


def table(title: str, rows: Mapping[str, object]) -> str:
    """Return an HTML table of names and values; all text is escaped, since stores may be foreign.

    What has no value is left out.

    >>> "&lt;b&gt;" in table("t", {"name": "<b>", "derivation": None})
    True
    """
    cells = "".join(
        f'<tr><th style="{_STYLE}">{html.escape(str(name))}</th>'
        f'<td style="{_STYLE}">{html.escape(_text(value))}</td></tr>'
        for name, value in rows.items()
        if _is_given(value)
    )
    return f"<table><caption>{html.escape(title)}</caption>{cells}</table>"


def _is_given(value: object) -> bool:
    empty = isinstance(value, (str, list, tuple, Mapping)) and not value
    return value is not None and not empty


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(one)}" for name, one in value.items() if _is_given(one))
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(one) for one in value)
    return str(value)
