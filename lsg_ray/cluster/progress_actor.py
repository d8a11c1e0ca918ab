"""Progress of the blocks that workers compute: held by an actor, asked for without waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ProgressActor:
    """Actor that holds what workers last reported of their blocks; losing it is harmless."""

    def __init__(self) -> None:
        self._counts: dict[int, tuple[int, int]] = {}

    def report(self, block: int, rows: int, trials: int) -> None:
        """Note rows accepted and trials run so far in a block."""
        self._counts[block] = (rows, trials)

    def progress(self, finished: list[int]) -> dict[int, tuple[int, int]]:
        """Return rows and trials by block, less the blocks that are finished."""
        for block in finished:
            self._counts.pop(block, None)
        return self._counts


class ProgressPoll:
    """Asks the actor from time to time, never waiting for it."""

    def __init__(self, actor: Any, show: Callable[[int, int], None]) -> None:
        self._actor, self._show = actor, show
        self._finished: list[int] = []
        self._request: Any = None

    def forget(self, block: int) -> None:
        """Leave out a block that is finished."""
        self._finished.append(block)

    def __call__(self) -> None:
        """Show the progress, if the actor has answered, and ask again."""
        import ray
        from ray.exceptions import RayError

        try:
            if self._request is None:
                self._request = self._actor.progress.remote(self._finished)
                self._finished = []
                return
            if not ray.wait([self._request], timeout=0)[0]:
                return
            progress = ray.get(self._request)
        except RayError:
            self._request = None
            return
        self._request = None
        counts = [count for block, count in progress.items() if block not in self._finished]
        self._show(sum(rows for rows, _ in counts), sum(trials for _, trials in counts))
