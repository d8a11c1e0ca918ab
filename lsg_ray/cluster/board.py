"""What workers say of the blocks that they are at: held by an actor, asked for without waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Board:
    """Actor that holds what workers last said of the block they are at; losing it is harmless."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[int, int]] = {}
        self._begun: dict[int, int] = {}

    def begin(self, block: int) -> int:
        """Note that a block is begun; return how often it was before."""
        earlier = self._begun.get(block, 0)
        self._begun[block] = earlier + 1
        return earlier

    def say(self, block: int, rows: int, trials: int) -> None:
        """Note rows found and trials run so far in a block."""
        self._said[block] = (rows, trials)

    def heard(self, finished: list[int]) -> dict[int, tuple[int, int]]:
        """Return what is noted, less the blocks that are finished."""
        for block in finished:
            self._said.pop(block, None)
            self._begun.pop(block, None)
        return self._said


class UnderWay:
    """Ask the board now and then, never waiting for it."""

    def __init__(self, board: Any, show: Callable[[int, int], None]) -> None:
        self._board, self._show = board, show
        self._finished: list[int] = []
        self._asked: Any = None

    def forget(self, block: int) -> None:
        """Leave out a block that is finished."""
        self._finished.append(block)

    def __call__(self) -> None:
        """Show what was said since the last time, if the board has answered, and ask again."""
        import ray
        from ray.exceptions import RayError

        try:
            if self._asked is None:
                self._asked = self._board.heard.remote(self._finished)
                self._finished = []
                return
            if not ray.wait([self._asked], timeout=0)[0]:
                return
            said = ray.get(self._asked)
        except RayError:
            self._asked = None
            return
        self._asked = None
        open_ = [counts for block, counts in said.items() if block not in self._finished]
        self._show(sum(r for r, _ in open_), sum(t for _, t in open_))
