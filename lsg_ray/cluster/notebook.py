"""Progress in a notebook: one bar that is drawn anew in place."""

from __future__ import annotations

import html
import sys
import uuid
from collections.abc import Mapping
from typing import Protocol


class Publisher(Protocol):
    """What sends the outputs of cells to the page."""

    def publish(
        self,
        data: Mapping[str, str],
        metadata: Mapping[str, str],
        *,
        transient: Mapping[str, str],
        update: bool,
    ) -> None:
        """Send an output, or replace the one of the same identity."""


class Shell(Protocol):
    """IPython in a notebook."""

    display_pub: Publisher


def shell() -> Shell | None:
    """Return the shell of the notebook that this process runs, or None elsewhere."""
    module = sys.modules.get("IPython")  # loaded already where there is a notebook
    here: Shell | None = None if module is None else module.get_ipython()
    return here if getattr(here, "kernel", None) is not None else None


class Output:
    """Output of a cell that is replaced each time it is shown, as text and as HTML."""

    def __init__(self, notebook: Shell) -> None:
        self._notebook, self._id, self._shown = notebook, uuid.uuid4().hex, False

    def show(self, label: str, share: float | None, text: str) -> None:
        """Show a bar: the share that is done, None if unknown, between a label and a text."""
        value = "" if share is None else f' value="{min(max(share, 0.0), 1.0):.4f}"'
        bar = f'<progress{value} style="width:16em;vertical-align:middle"></progress>'
        page = f"{html.escape(label)} {bar} {html.escape(text)}"
        self._notebook.display_pub.publish(
            {"text/plain": f"{label}: {text}", "text/html": f"<div>{page}</div>"},
            {},
            transient={"display_id": self._id},
            update=self._shown,
        )
        self._shown = True
