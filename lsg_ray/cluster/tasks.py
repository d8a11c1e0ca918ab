"""A bounded pool of Ray tasks: no more in flight than there is room for, taken as they finish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from lsg_ray.cluster.watch import RayWatch
from lsg_ray.errors import ClusterError, LsgError, out_of_memory

if TYPE_CHECKING:
    from ray import ObjectRef

Item = TypeVar("Item")
Result = TypeVar("Result")

#: A task that lost its process is run again so often; blocks are pure, so that is safe.
MAX_RETRIES = 10


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
        Starts the task of an item and returns its reference.
    items
        What to do; taken one by one, so it may be long.
    in_flight
        Tasks submitted and not finished, at most: bounds the memory of the driver.
    tick, tick_seconds
        Called every ``tick_seconds`` or oftener, for progress.

    Raises
    ------
    LsgError
        As raised inside a task.  Tasks in flight end with the connection to Ray; they are not
        cancelled, which makes Ray 2.60 abort the driver every third time.
    ClusterError
        A task was lost more often than `MAX_RETRIES`, or Ray itself went away.
    """
    import ray
    from ray.exceptions import RayError

    waiting = iter(items)
    pending: dict[ObjectRef[Result], Item] = {}
    watch = RayWatch()
    try:
        while True:
            while len(pending) < in_flight:
                try:
                    item = next(waiting)
                except StopIteration:
                    break
                pending[submit(item)] = item
            if not pending:
                return
            done, rest = ray.wait(list(pending), num_returns=1, timeout=tick_seconds)
            if done and rest:
                # All that is there: a call looks at every task in flight, thousands on a cluster.
                more, _ = ray.wait(rest, num_returns=len(rest), timeout=0)
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
    """Return what to tell of an error that Ray raised: of one inside a task, that error."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, LsgError):
        return cause
    if isinstance(cause, MemoryError):
        return ClusterError(f"a task on the cluster is {out_of_memory(cause)}")
    if isinstance(cause, Exception):
        told = " ".join(str(cause).split())[:500]
        return ClusterError(
            f"a task on the cluster failed: {type(cause).__name__}: {told}\n"
            "What is finished is kept; mend the cause and run the same command again."
        )
    if type(error).__name__ == "OutOfMemoryError":
        return ClusterError(
            "Ray killed a worker for memory again and again: this machine, or a node of the "
            "cluster, has too little for so many tasks at once\nWhat is finished is kept; run the "
            "same command again with fewer --workers, smaller networks at a time (training.stack, "
            "training.batch_size), or more memory."
        )
    return ClusterError(
        f"Ray failed ({type(error).__name__}): {str(error).splitlines()[0]}\n"
        "What is finished is kept; run the same command again to do the rest."
    )
