"""Where Dask graphs run: on threads of this process, or as tasks of a Ray cluster.

On Ray, Dask's own asynchronous scheduler (`dask.local.get_async`) decides what runs next, how many
tasks are in flight and when a result is released, and calls Dask's callbacks; only the execution
of a node is ours: a Ray task.  Results stay in Ray's object store and pass from task to task by
reference, so the driver sees the last one only.  A task whose worker dies is run again by Ray.

Ray's own ``ray.util.dask`` imports pandas and pyarrow, patches ``dask.persist`` for the whole
process, fails on Zarr 3 arrays inside a graph, and does not bound the tasks in flight.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from typing import Any

from lsg_ray.cluster.failures import MAX_RETRIES, ray_failure
from lsg_ray.cluster.limits import available_cpus
from lsg_ray.cluster.session import check_address, ray_session
from lsg_ray.cluster.watch import CHECK_SECONDS, RayWatch
from lsg_ray.errors import ClusterError, LsgError

#: Tasks in flight per CPU: one waits for each that runs.
TASKS_PER_CPU = 2


@contextlib.contextmanager
def dask_session(address: str | None = None, workers: int | None = None) -> Iterator[int]:
    """Run Dask graphs inside this context on the threads of this process, or on a Ray cluster.

    Parameters
    ----------
    address
        Address of the Ray cluster; by default ``RAY_ADDRESS``; without either, threads.
    workers
        Number of threads, or of tasks at a time; by default one, or `TASKS_PER_CPU`, per CPU.

    Yields
    ------
    Number of tasks at a time.

    Raises
    ------
    ClusterError
        The cluster cannot be reached.
    """
    import dask

    if workers is not None and workers < 1:
        workers = 1
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address is None:
        threads = workers or available_cpus()
        with dask.config.set(scheduler="threads", num_workers=threads):
            yield threads
        return
    check_address(address)
    with ray_session(address) as cpus:
        in_flight = workers or TASKS_PER_CPU * cpus
        with dask.config.set(scheduler=ray_scheduler(in_flight)):
            yield in_flight


def ray_scheduler(in_flight: int) -> Callable[..., object]:
    """Return a Dask scheduler, ``get(graph, keys)``, on the Ray that this process is connected to.

    Its attribute ``fetch`` turns what Dask's callbacks receive, a reference, into the result.

    Parameters
    ----------
    in_flight
        Largest number of tasks submitted and not finished.
    """

    def get(graph: Mapping[Any, Any], keys: Any, **_: Any) -> Any:
        import ray
        from dask.local import get_async
        from ray.exceptions import RayError

        stored: dict[Any, Any] = {}
        pending: set[_TaskFuture] = set()
        run = ray.remote(num_cpus=1, max_retries=MAX_RETRIES, num_returns=2)(_run_node)

        def submit(_: Any, batch: list[tuple[Any, ...]]) -> Future[Any]:
            ((key, (node, values), *_rest),) = batch
            try:
                for name, value in values.items():
                    # What the graph itself holds, such as an array, goes to the cluster once.
                    if not isinstance(value, ray.ObjectRef) and name not in stored:
                        stored[name] = ray.put(value)
                result, done = run.remote(
                    node, list(values), *(stored.get(name, value) for name, value in values.items())
                )
            except BaseException as error:
                failed: Future[Any] = Future()
                failed.set_exception(error)
                return failed
            return _TaskFuture(done, result, key, pending)

        try:
            with _watched(pending):
                return _fetched(get_async(submit, in_flight, graph, keys, chunksize=1))
        except RayError as error:
            cause = getattr(error, "cause", None)
            if cause is not None and not isinstance(cause, LsgError):
                raise  # a defect: Ray's error is of its class and has its traceback
            failure = ray_failure(error)
            raise failure from (error if isinstance(failure, ClusterError) else None)

    get.fetch = _fetched  # type: ignore[attr-defined]
    return get


class _TaskFuture(Future[Any]):
    """Is done when a Ray task is, and then gives what Dask's scheduler reads from it."""

    def __init__(self, done: Any, result: Any, key: Any, pending: set[_TaskFuture]) -> None:
        super().__init__()
        self._result_reference, self._key = result, key
        pending.add(self)
        self.add_done_callback(pending.discard)
        done.future().add_done_callback(self._settle)

    def _settle(self, done: Future[Any]) -> None:
        if self.done():  # given up meanwhile
            return
        error = done.exception()
        if error is None:
            self.set_result([(self._key, (self._result_reference, None), False)])
            return
        # Ray prints errors that nobody looks at; the result holds the same one.
        self._result_reference.future().add_done_callback(lambda result: result.exception())
        self.set_exception(error)


@contextlib.contextmanager
def _watched(pending: set[_TaskFuture]) -> Iterator[None]:
    """Let what is in flight fail when Ray is lost: Dask would wait for it for ever."""
    watch, over = RayWatch(), threading.Event()

    def check() -> None:
        while not over.wait(CHECK_SECONDS):
            try:
                watch()
            except ClusterError as error:
                for future in list(pending):
                    with contextlib.suppress(InvalidStateError):
                        future.set_exception(error)

    thread = threading.Thread(target=check, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _run_node(node: Any, names: list[Any], *values: Any) -> tuple[Any, bool]:
    """Body of a Ray task: compute a node of a graph from the results it needs."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return node(dict(zip(names, values, strict=True))), True


def _fetched(references: Any) -> Any:
    """Replace references by what they refer to, in nested lists and tuples."""
    import ray

    if isinstance(references, (list, tuple)):
        return type(references)(map(_fetched, references))
    return ray.get(references) if isinstance(references, ray.ObjectRef) else references
