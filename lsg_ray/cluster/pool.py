"""A pool of actors that compute blocks: as large as the cluster allows, whole when some are lost.

An actor gets blocks when it runs, not before: one that still waits for a node holds up nothing.
The pool restarts what dies, and not Ray: an actor that Ray restarts keeps its blocks to itself,
for ever if its node is gone for good, while here the blocks of a lost actor go to those that run.

The pool asks Ray for actors as long as there are blocks that nobody computes, which is the demand
that an autoscaler sees; it ends actors that have nothing to do, so that their nodes can go; and on
a cluster it ends each after a while (`PoolConfig.turn_seconds`) and asks for another, so that
several runs share the cluster's CPUs.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from lsg_ray.cluster.failures import (
    MAX_RETRIES,
    is_lost,
    is_lost_for_memory,
    is_preempted,
    ray_failure,
)
from lsg_ray.cluster.session import CONFIG as SESSION
from lsg_ray.cluster.watch import RayWatch
from lsg_ray.errors import ClusterError, LsgError
from lsg_ray.typing import Ints

Result = TypeVar("Result")
#: What stands for an actor.
Handle = TypeVar("Handle")

#: Variable of Ray: milliseconds before what was killed for memory is run again, doubled each time.
MEMORY_PAUSE_VARIABLE, MEMORY_PAUSE_MS = "RAY_task_oom_retry_delay_base_ms", 1000.0


@dataclass(frozen=True)
class PoolConfig:
    """How a pool is kept; times in seconds."""

    #: Between two looks at its size, and calls of ``tick``.
    tick_seconds: float = 0.5
    #: How much work, by its last block, may wait at an actor that is at work: so long another may
    #: be idle in the end.  It hides the way of a call, some milliseconds.
    ahead_seconds: float = 0.1
    #: How many blocks may wait at an actor.
    ahead: int = 16
    #: After which an actor without a block is ended.
    idle_seconds: float = 10.0
    #: After which an actor on a cluster makes room: the start of another costs two.
    turn_seconds: float = 300.0
    #: How many actors wait for CPUs that a cluster may get, at most; and not more than run.
    spare: int = 64
    #: How often an actor in whose place nothing else runs is started again after Ray killed it for
    #: memory, and how often the pause before is doubled.
    memory_retries: int = SESSION.oom_retries
    memory_doublings: int = 10


CONFIG = PoolConfig()


class Crew(Protocol[Handle, Result]):
    """What a pool knows of its actors."""

    def start(self) -> Handle:
        """Ask for an actor, and return a handle of it at once."""

    def ready(self, handle: Handle) -> Future[None]:
        """Return what is done when the actor runs and is prepared."""

    def compute(self, handle: Handle, item: int, attempt: int) -> Future[Result]:
        """Have an item computed, which earlier actors were lost with ``attempt`` times."""

    def end(self, handle: Handle) -> None:
        """End the actor, whatever it does."""


@dataclass(eq=False)
class _Worker(Generic[Handle]):
    """An actor: how many in its place were lost before they ran, and what it is computing."""

    handle: Handle
    failed: int
    since: float
    began: float = 0.0
    leaving: bool = False
    seconds: float = float("inf")
    items: dict[int, float] = field(default_factory=dict)


class Pool(Generic[Handle, Result]):
    """Computes items on actors.

    Parameters
    ----------
    crew
        Starts and ends the actors, and calls them.
    items
        Numbers of what is to be computed; each only once.
    most
        Largest number of actors; None for as many as the cluster gives.
    first
        Number of actors that are asked for in the beginning, where ``most`` is None.
    shared
        Whether others may wait for the CPUs of the actors.
    config
        How the pool is kept.
    """

    def __init__(
        self,
        crew: Crew[Handle, Result],
        items: Sequence[int] | Ints,
        *,
        most: int | None,
        first: int = 1,
        shared: bool = False,
        config: PoolConfig = CONFIG,
    ) -> None:
        self._crew, self._items, self._config = crew, items, config
        self._most, self._first, self._shared = most, first, shared
        self._given = self._done = 0
        self._again: deque[int] = deque()
        self._attempts: dict[int, int] = {}
        self._starting: set[_Worker[Handle]] = set()
        self._running: set[_Worker[Handle]] = set()
        self._failed_starts: list[int] = []
        self._events: SimpleQueue[tuple[_Worker[Handle], int | None, Future[Any]]] = SimpleQueue()
        self._memory_kills, self._no_start_before = 0, 0.0
        with contextlib.suppress(ValueError):
            pause = float(os.environ.get(MEMORY_PAUSE_VARIABLE, MEMORY_PAUSE_MS))
        self._memory_pause = pause / 1000
        self._reachable = True

    @property
    def size(self) -> tuple[int, int]:
        """Number of actors that run, and of those that are starting."""
        return len(self._running), len(self._starting)

    def __enter__(self) -> Pool[Handle, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        """End all actors."""
        for worker in [*self._starting, *self._running]:
            self._end(worker)

    def results(self, tick: Callable[[], None] = lambda: None) -> Iterator[tuple[int, Result]]:
        """Yield ``(item, result)`` in the order of completion; all actors end with the pool.

        Parameters
        ----------
        tick
            Function for progress, called every `PoolConfig.tick_seconds`.

        Raises
        ------
        LsgError
            As raised inside an actor.
        ClusterError
            An item lost its actor more often than `MAX_RETRIES`, or Ray itself went away.
        """
        from ray.exceptions import RayError

        try:
            yield from self._results(tick)
        except RayError as error:
            raise_failure(error)

    def _results(self, tick: Callable[[], None]) -> Iterator[tuple[int, Result]]:
        watch, due = RayWatch(), 0.0
        while self._done < len(self._items):
            now = time.monotonic()
            if now >= due:
                tick()
                self._look(watch)
                self._resize(now)
                due = now + self._config.tick_seconds
            try:
                worker, item, call = self._events.get(timeout=max(due - time.monotonic(), 0.001))
            except Empty:
                continue
            if worker not in self._running and worker not in self._starting:
                continue  # ended or lost; what it had is done by others
            error = call.exception()
            if error is not None:
                self._lose(worker, error)
                due = 0.0
            elif item is None:
                self._enrol(worker)
            else:
                self._finish(worker, item)
                yield item, call.result()

    def _look(self, watch: RayWatch) -> None:
        try:
            watch()
        except ClusterError:
            self._reachable = False  # to end an actor now would wait for ever
            raise

    def _end(self, worker: _Worker[Handle]) -> None:
        self._starting.discard(worker)
        self._running.discard(worker)
        if self._reachable:
            self._crew.end(worker.handle)

    # Blocks

    @property
    def _waiting(self) -> int:
        """Number of items that no actor has."""
        return len(self._again) + len(self._items) - self._given

    def _next(self) -> int | None:
        if self._again:
            return self._again.popleft()
        if self._given == len(self._items):
            return None
        self._given += 1
        return int(self._items[self._given - 1])

    def _fill(self, worker: _Worker[Handle]) -> None:
        """Give an actor what it should have: an item, and short ones ahead."""
        ahead = min(self._config.ahead, int(self._config.ahead_seconds / worker.seconds))
        while not worker.leaving and len(worker.items) <= ahead:
            item = self._next()
            if item is None:
                return
            worker.items[item] = time.monotonic()
            self._call(worker, item)

    def _call(self, worker: _Worker[Handle], item: int | None) -> None:
        call: Future[Any]
        if item is None:
            call = self._crew.ready(worker.handle)
        else:
            call = self._crew.compute(worker.handle, item, self._attempts.get(item, 0))
        call.add_done_callback(lambda done: self._events.put((worker, item, done)))

    def _enrol(self, worker: _Worker[Handle]) -> None:
        """Take an actor that runs now."""
        self._starting.remove(worker)
        self._running.add(worker)
        worker.began = worker.since = time.monotonic()
        self._fill(worker)

    def _finish(self, worker: _Worker[Handle], item: int) -> None:
        now = time.monotonic()
        worker.seconds = max(now - max(worker.items.pop(item), worker.since), 1e-6)
        worker.since = now
        self._done += 1
        self._memory_kills = 0
        self._attempts.pop(item, None)
        self._fill(worker)
        if worker.leaving and not worker.items:
            self._end(worker)

    # Losses

    def _lose(self, worker: _Worker[Handle], error: BaseException) -> None:
        """Have the items of a lost actor computed by others, unless that has been tried enough."""
        from ray.exceptions import RayError

        if not isinstance(error, RayError):
            raise error
        if not is_lost(error):
            raise_failure(error)
        started = worker in self._running
        self._end(worker)
        for_memory = is_lost_for_memory(error)
        if for_memory:
            self._pause(error)
        counted = not for_memory and not is_preempted(error)
        if not started:
            self._failed_starts.append(worker.failed + counted)
            if worker.failed + counted > MAX_RETRIES:
                raise_failure(error)
        for item in worker.items:
            attempt = self._attempts[item] = self._attempts.get(item, 0) + 1
            if counted and attempt > MAX_RETRIES:
                raise_failure(error)
        if for_memory:  # last: in the end there may be more memory for them
            self._again.extend(worker.items)
        else:
            self._again.extendleft(reversed(worker.items))
        for idle in [other for other in self._running if not other.items]:
            self._fill(idle)

    def _pause(self, error: BaseException) -> None:
        """Start nothing for a while after Ray has killed an actor for memory; the others go on.

        All that are killed within a pause count as one, since memory was short once.
        """
        now = time.monotonic()
        if now < self._no_start_before:
            return
        self._memory_kills += 1
        if self._memory_kills > self._config.memory_retries and not self._running:
            raise_failure(error)
        doublings = min(self._memory_kills - 1, self._config.memory_doublings)
        self._no_start_before = now + self._memory_pause * 2**doublings

    # Size

    def _resize(self, now: float) -> None:
        """End actors that are not needed, or whose turn is over; ask for those that are."""
        config, waiting = self._config, self._waiting
        if not waiting:
            idle = [w for w in self._running if not w.items and now > w.since + config.idle_seconds]
            for worker in [*self._starting, *idle]:
                self._end(worker)
            return
        if self._shared:
            self._rotate(now)
        if now < self._no_start_before:
            return
        running, starting = self.size
        if self._most is not None:
            wanted = self._most - running
        else:
            wanted = max(self._first - running, min(running, config.spare))
        for _ in range(min(wanted, waiting) - starting):
            failed = self._failed_starts.pop() if self._failed_starts else 0
            worker = _Worker[Handle](self._crew.start(), failed, now)
            self._starting.add(worker)
            self._call(worker, None)

    def _rotate(self, now: float) -> None:
        """Have those leave whose turn is over, the oldest first, and never many at once."""
        config = self._config
        over = [w for w in self._running if not w.leaving and now > w.began + config.turn_seconds]
        share = math.ceil(len(self._running) * config.tick_seconds / config.turn_seconds)
        for worker in sorted(over, key=lambda worker: worker.began)[:share]:
            worker.leaving = True
            if not worker.items:
                self._end(worker)


def raise_failure(error: BaseException) -> None:
    """Raise our error for one of Ray's, with its traceback where it is not the user's concern."""
    failure: LsgError = ray_failure(error)
    raise failure from (error if isinstance(failure, ClusterError) else None)
