"""What a run counts: configurations and trials, and the kinds of processors that compute them."""

from __future__ import annotations

import time

import numpy as np

from lsg_ray.cluster.pace import Pace
from lsg_ray.cluster.progress import Bar, warn
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.pages import each_record
from lsg_ray.ensemble.writer import Plan

#: Records that a resume reads to learn what computed the blocks before.
RECORDS_READ = 64


class Tally:
    """Counts finished blocks and what workers report of unfinished ones; feeds the bar."""

    def __init__(self, bar: Bar, before: int, start: str = "") -> None:
        """``start``: what is shown until the first trial."""
        self.rows = self.trials = 0
        self._bar, self._before, self._start = bar, before, start
        self._pace = Pace(time.monotonic())

    def finish(self, rows: int, trials: int) -> None:
        """Count a finished block."""
        self.rows += rows
        self.trials += trials
        self.show(0, 0)

    def lose(self, rows: int) -> None:
        """Count out rows that are to be sampled again."""
        self.rows = max(0, self.rows - rows)

    def show(self, rows: int, trials: int) -> None:
        """Show the state, with ``rows`` and ``trials`` of blocks that are under way."""
        rows, trials = rows + self.rows, trials + self.trials
        now = time.monotonic()
        self._pace.see(rows, now)
        rate = self._pace.rate(now)
        notes = [] if rate is None else [f"{rate:.2f}/s"]
        if not trials and self._start:
            notes = [self._start]
        elif trials:
            notes.append(f"acceptance {rows / trials:.1%}")
        self._bar.update(self._before + rows, ", ".join(notes))


class Processors:
    """Warns when blocks are computed on another kind of processor than those before."""

    def __init__(self, plan: Plan) -> None:
        location = locate(plan.url)
        header = read_header(location)
        complete = np.setdiff1d(np.arange(header.n_blocks), plan.missing)
        sample = complete[:: max(1, len(complete) // RECORDS_READ)]
        records = each_record(location, header, sample)
        self._known = {record.processor for record in records if record.processor is not None}

    def see(self, kind: str | None) -> None:
        """Take note of what computed a block; warn at the first of another kind."""
        if kind is None or kind in self._known:
            return
        if self._known:
            warn(
                f"blocks of this ensemble were computed on {', '.join(sorted(self._known))}, and "
                f"now on {kind}.  They are valid, but their last bits may differ from those of one "
                "kind of processor; `lsg info` lists the kinds"
            )
        self._known.add(kind)
