"""The jobs of a cluster, as ``lsg jobs`` shows them, and the log of one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import panel as pn
import param

from lsg_ray.errors import LsgError
from lsg_ray.explore.panes import code, column, failure, heading, later, rows, text
from lsg_ray.explore.places import Place
from lsg_ray.explore.results import quoted
from lsg_ray.explore.view import View

#: Seconds between two looks, and characters of a log that are shown, its last ones.
PERIOD, MAX_LOG = 5.0, 20_000
#: The thread that asks clusters: their client reads variables of the process.
ASKER = ThreadPoolExecutor(1, thread_name_prefix="explore-jobs")


class JobsView(View):
    """What is shown of a cluster."""

    key, title = "jobs", "Jobs"
    linked = ("job",)
    job = param.String(label="Log of")

    def __init__(self, place: Place, places: Sequence[Place]) -> None:
        super().__init__(place, places)
        assert place.cluster is not None
        self.cluster = place.cluster
        self._table, self._log = column(), column()
        self._menu = pn.widgets.Select(label="Log of", options=[""], width=420)
        self._callback: Any = None

    @classmethod
    def fits(cls, place: Place) -> bool:
        """Return whether it is a cluster."""
        return place.kind == "cluster"

    def panel(self) -> Any:
        """Return the jobs, and the log of the one that is chosen."""
        self._menu.param.watch(lambda event: self.param.update(job=event.new), "value")
        self.param.watch(lambda *_: self._show_log(), "job")
        if pn.state.curdoc is not None:
            self._callback = pn.state.add_periodic_callback(self._look, int(1000 * PERIOD))
        self._show_log()
        first = later(self.cluster.jobs, self._shown, "Asking the cluster", ASKER)
        self._table[:] = [first]
        return column(heading(self.place.name), self._table, self._menu, self._log)

    def close(self) -> None:
        """Stop asking."""
        if self._callback is not None:
            self._callback.stop()
            self._callback = None

    async def _look(self) -> None:
        """Ask again, and show what came of it."""
        loop = asyncio.get_running_loop()
        try:
            shown = self._shown(await loop.run_in_executor(ASKER, self.cluster.jobs))
        except LsgError as error:
            shown = failure(error)
        self._table[:] = [shown]

    def _shown(self, jobs: Mapping[str, Sequence[object]]) -> Any:
        """Show the jobs, the latest first, and offer their logs."""
        latest = {name: list(reversed(values)) for name, values in jobs.items()}
        ids = [str(one) for one in latest["id"]]
        options = ["", *ids] if self.job in ("", *ids) else ["", self.job, *ids]
        if options != self._menu.options:
            self._menu.param.update(options=options, value=self.job)
        if not ids:
            return text("No jobs yet; lsg submit starts them.")
        return rows(latest, f"{len(ids)} jobs, the latest first")

    def _show_log(self) -> None:
        job = self.job
        if not job:
            self._log[:] = []
            return
        self._log[:] = [
            later(lambda: self.cluster.log(job), lambda log: code(log[-MAX_LOG:], f"Log of {job}"),
                  "Asking the cluster", ASKER)
        ]  # fmt: skip

    def as_python(self) -> str:
        """Return Python that lists the jobs."""
        return f"from lsg_ray.cluster.jobs import job_list\n\njob_list({self.url!r})"

    def as_command(self) -> str:
        """Return the command that lists them, or shows the log."""
        what = f"logs {quoted(self.job)}" if self.job else "list"
        return f"lsg jobs {what} --address {quoted(self.url)}"
