"""A bounded pool of Ray tasks: no more in flight than a given number, taken as they finish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from lsg_ray.cluster.watch import RayWatch
from lsg_ray.errors import ClusterError, LsgError, out_of_memory

if TYPE_CHECKING:
    from ray import ObjectRef

Item = TypeVar("Item")
Result = TypeVar("Result")

#: How often a task that lost its process is run again; blocks are pure, so that is safe.
MAX_TASK_RETRIES = 10


def run_bounded(
    submit: Callable[[Item], ObjectRef[Result]],
    items: Iterable[Item],
    *,
    in_flight: int,
    tick: Callable[[], None] = lambda: None,
    tick_seconds: float = 0.5,
) -> Iterator[tuple[Item, Result]]:
    """Yield ``(item, result)`` in the order of completion.

    Parameters
    ----------
    submit
        Function that starts the task of an item and returns its reference.
    items
        Items to process; taken one by one, so there may be many.
    in_flight
        Largest number of tasks submitted and not finished: bounds the memory of the driver.
    tick, tick_seconds
        Function for progress, called every ``tick_seconds`` or more often.

    Raises
    ------
    LsgError
        As raised inside a task.  Tasks in flight end with the connection to Ray; they are not
        cancelled, which makes Ray 2.60 abort the driver every third time.
    ClusterError
        A task was lost more often than `MAX_TASK_RETRIES`, or Ray itself went away.
    """
    import ray
    from ray.exceptions import RayError

    waiting = iter(items)
    pending: dict[ObjectRef[Result], Item] = {}
    watch = RayWatch()
    try:
        while True:
            for item in islice(waiting, in_flight - len(pending)):
                pending[submit(item)] = item
            if not pending:
                return
            done, others = ray.wait(list(pending), num_returns=1, timeout=tick_seconds)
            if done and others:
                # All that is there: a call looks at every task in flight, thousands on a cluster.
                more, _ = ray.wait(others, num_returns=len(others), timeout=0)
                done += more
            tick()
            watch()
            for reference in done:
                result = ray.get(reference)
                yield pending.pop(reference), result
    except RayError as error:
        failure = ray_failure(error)
        raise failure from (error if isinstance(failure, ClusterError) else None)


def ray_failure(error: Exception) -> LsgError:
    """Return our error for one that Ray raised: of one inside a task, that error."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, LsgError):
        return cause
    if isinstance(cause, MemoryError):
        return ClusterError(f"a task on the cluster is {out_of_memory(cause)}")
    if isinstance(cause, Exception):
        message = " ".join(str(cause).split())[:500]
        return ClusterError(
            f"a task on the cluster failed: {type(cause).__name__}: {message}\n"
            "What is finished stays; remove the cause and run the same command again."
        )
    if type(error).__name__ == "OutOfMemoryError":
        return ClusterError(
            "Ray killed a worker for memory again and again: this machine, or a node of the "
            "cluster, has too little for so many tasks at once\nWhat is finished stays; run the "
            "same command again with fewer --workers, smaller networks at a time (training.stack, "
            "training.batch_size), or more memory."
        )
    return ClusterError(
        f"Ray failed ({type(error).__name__}): {str(error).splitlines()[0]}\n"
        "What is finished stays; run the same command again to do the rest."
    )
