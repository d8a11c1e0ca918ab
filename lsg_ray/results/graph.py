"""Dask graphs of block functions with a tree reduction, and their execution.

A leaf of a graph is a pure function of rows; its result is a small accumulator.  Accumulators are
added in a tree whose shape depends on their number alone.  A leaf that is run again (a lost worker)
replaces its earlier result and never adds to it.  The scheduler is Dask's current one: threads of
this process, or a Ray cluster inside `lsg_ray.cluster.dask.dask_session`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from lsg_ray.errors import LsgError
from lsg_ray.networks.threads import one_thread
from lsg_ray.typing import Progress

if TYPE_CHECKING:
    from dask.delayed import Delayed

Result = TypeVar("Result")
Item = TypeVar("Item")

#: Number of accumulators that one task adds.
FAN_IN = 8


def share(value: object) -> Delayed:
    """Return a value as a node of a graph, which many tasks read; it is sent to a cluster once."""
    import dask

    return dask.delayed(value, pure=False, traverse=False)


def tree_reduce(leaves: Sequence[Delayed], add: Callable[[list[Result]], Result]) -> Delayed:
    """Combine delayed accumulators, `FAN_IN` at a time; ``add`` takes a list of them."""
    import dask

    level = list(leaves)
    while len(level) > 1:
        level = [
            dask.delayed(add)(level[start : start + FAN_IN])
            for start in range(0, len(level), FAN_IN)
        ]
    return level[0]


def part_of(progress: Progress | None, part: int, parts: int) -> Progress | None:
    """Return the progress of one of several computations of equal size, as part of that of all."""
    if progress is None:
        return None
    return lambda done, total: progress(part * total + done, parts * total)


def stretch(progress: Progress | None, begin: float, end: float) -> Progress | None:
    """Return the progress of a computation that takes a share of the time of all, in thousandths.

    >>> shown = []
    >>> stretch(lambda done, total: shown.append((done, total)), 0.25, 1.0)(1, 3)
    >>> shown
    [(500, 1000)]
    """
    if progress is None:
        return None
    return lambda done, total: progress(
        round(1000 * (begin + (end - begin) * min(done / total, 1))), 1000
    )


def counted(items: Sequence[Item], progress: Progress | None) -> Iterator[Item]:
    """Yield items, and report each as it is done with."""
    for done, item in enumerate(items, 1):
        yield item
        if progress is not None:
            progress(done, len(items))


def compute(graph: object, progress: Progress | None = None) -> Any:
    """Run a graph under Dask's current scheduler.

    Raises
    ------
    LsgError
        As raised in a task: the first one, with nothing of Dask around it.
    """
    return _run(graph, _counting(progress))


def compute_each(
    leaves: Sequence[Delayed],
    on_result: Callable[[int, Result], None],
    progress: Progress | None = None,
) -> list[Result]:
    """Run delayed leaves, calling ``on_result(number, result)`` for each as it is done.

    Raises
    ------
    LsgError
        As `compute`.
    """
    import dask
    from dask.callbacks import Callback

    numbers = {leaf.key: number for number, leaf in enumerate(leaves)}
    # Results may be on a cluster; its scheduler fetches them.
    fetch = getattr(dask.config.get("scheduler", None), "fetch", lambda result: result)
    done = 0

    def posttask(key: Any, result: Any, _graph: Any, _state: Any, _: Any) -> None:
        nonlocal done
        if key in numbers:
            on_result(numbers[key], fetch(result))
            done += 1
            if progress is not None:
                progress(done, len(leaves))

    return _run(list(leaves), Callback(posttask=posttask))


def _run(graph: Any, callback: Any) -> Any:
    import dask
    from threadpoolctl import threadpool_limits

    # Tasks are what runs in parallel: linear algebra inside one gets one thread.
    with callback, threadpool_limits(1), one_thread():
        try:
            (result,) = dask.compute(graph)
        except LsgError as error:
            raise error.with_traceback(None) from None
    return result


def _counting(progress: Progress | None) -> Any:
    from dask.callbacks import Callback

    total = [0]

    def start_state(_graph: Any, state: dict[str, Any]) -> None:
        total[0] = sum(len(state[name]) for name in ("ready", "waiting"))

    def posttask(_key: Any, _result: Any, _graph: Any, state: dict[str, Any], _: Any) -> None:
        if progress is not None:
            progress(len(state["finished"]), total[0])

    return Callback(start_state=start_state, posttask=posttask)
