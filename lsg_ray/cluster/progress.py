"""Progress of long work: a rich bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

#: Seconds between plain lines.
LINE_EVERY = 10.0
#: Seconds before work of unknown length shows a bar.
SHOW_AFTER = 1.0

Style = Literal["auto", "quiet"]


def warn(line: str) -> None:
    """Tell a person, on standard error, what is no failure and should be known."""
    print(f"lsg: warning: {line}", file=sys.stderr, flush=True)


class Progress(Protocol):
    """What long work reports to."""

    def update(self, done: float, note: str = "") -> None:
        """Set how much is done, of the total given at the start, with a short note."""


class _Quiet:
    def update(self, done: float, note: str = "") -> None:
        """Say nothing."""


class _Lines:
    def __init__(self, label: str, total: float | None) -> None:
        self.label, self.total = label, math.inf if total is None else total
        self._start = time.monotonic()
        self._next = self._start + LINE_EVERY
        self._first: float | None = None
        self._finished = False

    def update(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        if self._finished or (now < self._next and done < self.total):
            return
        self._finished = done >= self.total
        self._next = now + LINE_EVERY
        gained, elapsed = done - self._first, now - self._start
        left = (self.total - done) * elapsed / gained if gained > 0 else math.inf
        ending = f", {_clock(left)} left" if done < self.total and left < math.inf else ""
        whole = f"/{self.total:,.0f}" if self.total < math.inf else ""
        line = f"{self.label}: {done:,.0f}{whole}{', ' + note if note else ''}"
        print(f"{line}, {_clock(elapsed)} elapsed{ending}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Bar:
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def update(self, done: float, note: str = "") -> None:
        self._bar.update(self._task, completed=done, note=note)


@contextlib.contextmanager
def late_progress(label: str, style: Style = "auto") -> Iterator[Callable[[int, int], None]]:
    """Show progress of work that tells its size as it goes: ``report(done, total)``.

    Work that is done within `SHOW_AFTER` seconds shows nothing.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        bars: list[Progress] = []

        def report(done: int, total: int) -> None:
            if not bars:
                if time.monotonic() - began < SHOW_AFTER:
                    return
                bars.append(stack.enter_context(progress(label, total, style)))
            bars[0].update(done)

        yield report


@contextlib.contextmanager
def byte_progress(style: Style = "auto") -> Iterator[Callable[[str, int, int | None], None]]:
    """Show downloads as they report ``(file, bytes so far, bytes in all)``, one after another."""
    with contextlib.ExitStack() as open_bars:
        bars: dict[str, Progress] = {}

        def report(name: str, done: int, total: int | None) -> None:
            if name not in bars:
                bars[name] = open_bars.enter_context(progress(name, total, style, unit="bytes"))
            bars[name].update(done)

        yield report


@contextlib.contextmanager
def progress(
    label: str, total: float | None, style: Style = "auto", done: float = 0, unit: str = ""
) -> Iterator[Progress]:
    """Show progress of ``total`` units (None: unknown) on standard error, ``done`` from before."""
    if style == "quiet":
        yield _Quiet()
        return
    if not sys.stderr.isatty():
        lines = _Lines(label, total)
        lines.update(done)
        yield lines
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, bar.add_task(label, total=total, completed=int(done), note=""))
