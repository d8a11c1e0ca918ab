"""Progress of long work: a bar on a terminal or in a notebook, and plain lines elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lsg_ray.cluster import notebook
from lsg_ray.cluster.notebook import Output
from lsg_ray.cluster.pace import Pace
from lsg_ray.typing import ByteProgress, Progress


@dataclass(frozen=True)
class ProgressConfig:
    """When progress is shown."""

    #: Seconds between plain lines.
    line_seconds: float = 10.0
    #: Seconds after which the bar of a notebook is drawn anew.
    notebook_seconds: float = 0.25
    #: Seconds before work of unknown length shows a bar.
    bar_seconds: float = 1.0


CONFIG = ProgressConfig()

#: Where progress is shown: everywhere, in notebooks alone, or nowhere.
Style = Literal["auto", "notebook", "quiet"]


def warn(line: str) -> None:
    """Print a warning on standard error."""
    print(f"lsg: warning: {line}", file=sys.stderr, flush=True)


class Bar(Protocol):
    """What long work reports to."""

    def update(self, done: float, note: str = "") -> None:
        """Set how much is done, of the total given at the start, with a short note."""


class _Quiet:
    def update(self, done: float, note: str = "") -> None:
        """Show nothing."""


class _Lines:
    def __init__(self, label: str, total: float | None, pace: Pace) -> None:
        self.label, self.total = label, math.inf if total is None else total
        self._pace = pace
        self._next = time.monotonic() + CONFIG.line_seconds
        self._finished = False

    def update(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        self._pace.see(done, now)
        if self._finished or (now < self._next and done < self.total):
            return
        self._finished = done >= self.total
        self._next = now + CONFIG.line_seconds
        line = _status(self.total, done, note, self._pace, now)
        print(f"{self.label}: {line}", file=sys.stderr, flush=True)


class _Notebook:
    def __init__(self, output: Output, label: str, total: float | None, pace: Pace) -> None:
        self._output, self._label, self._pace = output, label, pace
        self._total = math.inf if total is None else total
        self._next, self._last = -math.inf, (0.0, "")

    def update(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        self._pace.see(done, now)
        self._last = done, note
        if now >= self._next:
            self.draw(now)

    def draw(self, now: float) -> None:
        """Draw the bar as it is."""
        self._next = now + CONFIG.notebook_seconds
        done, note = self._last
        share = done / self._total if 0 < self._total < math.inf else None
        text = _status(self._total, done, note, self._pace, now)
        self._output.show(self._label, share, text)


def _status(total: float, done: float, note: str, pace: Pace, now: float) -> str:
    """Return how much is done, and the times elapsed and left."""
    left = pace.left(total, done, now)
    ending = f", {_clock(left)} left" if done < total and left is not None else ""
    whole = f"/{total:,.0f}" if total < math.inf else ""
    elapsed = _clock(now - pace.start)
    return f"{done:,.0f}{whole}{', ' + note if note else ''}, {elapsed} elapsed{ending}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class _Bar:
    def __init__(self, bar: Any, task: Any, pace: Pace) -> None:
        self._bar, self._task, self._pace = bar, task, pace

    def update(self, done: float, note: str = "") -> None:
        self._pace.see(done, time.monotonic())
        self._bar.update(self._task, completed=done, note=note)


@contextlib.contextmanager
def progress_bar(
    label: str, style: Style = "auto", together: int | None = None
) -> Iterator[Progress]:
    """Show progress of work that reports its size as it goes: ``report(done, total)``.

    What it yields is the argument ``progress`` of functions of this package.  There is a bar on a
    terminal and in a notebook, and a line every 10 s elsewhere; work that is done within a second
    shows nothing.

    Parameters
    ----------
    label
        Short description of what is counted.
    style
        Where progress is shown: ``auto``, ``notebook`` (in notebooks alone) or ``quiet``.
    together
        Number of workers, whose steps may come together; by default one per CPU.

    Examples
    --------
    >>> with progress_bar("configurations") as report:
    ...     report(3, 10)
    """
    began = time.monotonic()
    pace = Pace(began, together=together)
    with contextlib.ExitStack() as stack:
        bars: list[Bar] = []

        def report(done: int, total: int) -> None:
            pace.see(done, time.monotonic())
            if not bars:
                if time.monotonic() - began < CONFIG.bar_seconds:
                    return
                bars.append(stack.enter_context(progress(label, total or None, style, pace=pace)))
            bars[0].update(done)

        yield report


@contextlib.contextmanager
def byte_progress(style: Style = "auto") -> Iterator[ByteProgress]:
    """Show downloads as they report ``(file, bytes so far, bytes in all)``, one after another."""
    with contextlib.ExitStack() as open_bars:
        bars: dict[str, Bar] = {}

        def report(name: str, done: int, total: int | None) -> None:
            if name not in bars:
                bars[name] = open_bars.enter_context(progress(name, total, style, unit="bytes"))
            bars[name].update(done)

        yield report


@contextlib.contextmanager
def progress(
    label: str,
    total: float | None,
    style: Style = "auto",
    done: float = 0,
    unit: str = "",
    pace: Pace | None = None,
) -> Iterator[Bar]:
    """Show progress of ``total`` units (None: unknown) on standard error, ``done`` from before.

    The time left is that of `lsg_ray.cluster.pace.Pace`: compilation is no part of the rate.
    """
    here = notebook.shell()
    if style == "quiet" or (style == "notebook" and here is None):
        yield _Quiet()
        return
    known = Pace(time.monotonic(), done) if pace is None else pace
    if here is not None:
        drawn = _Notebook(notebook.Output(here), label, total, known)
        drawn.update(done)
        try:
            yield drawn
        finally:
            drawn.draw(time.monotonic())
        return
    if not sys.stderr.isatty():
        lines = _Lines(label, total, known)
        lines.update(done)
        yield lines
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class TimeLeftColumn(ProgressColumn):
        max_refresh = 0.5

        def render(self, task: Any) -> Text:
            whole = math.inf if task.total is None else task.total
            left = known.left(whole, task.completed, time.monotonic())
            return Text("-:--" if left is None else _clock(left), style="progress.remaining")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeLeftColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, bar.add_task(label, total=total, completed=int(done), note=""), known)
