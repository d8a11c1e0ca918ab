"""What Ray's exceptions mean: a lost process, whose work is done again, or the end of a run."""

from __future__ import annotations

from lsg_ray.errors import ClusterError, LsgError, out_of_memory

#: How often work that lost its process is done again; it is pure, so that is safe.
MAX_RETRIES = 10


def is_lost(error: BaseException) -> bool:
    """Return whether an error of a call says that its actor is lost, or one that it works with.

    An actor that fails when it is made is not lost: another would fail too.
    """
    from ray.exceptions import (
        ActorPlacementGroupRemoved,
        NodeDiedError,
        ObjectLostError,
        RayActorError,
        RayTaskError,
        WorkerCrashedError,
    )

    if isinstance(error, RayTaskError):  # of the call itself: what it waited for may be lost
        error = error.cause
    if isinstance(error, RayActorError):
        return not error.actor_init_failed
    others = (ActorPlacementGroupRemoved, NodeDiedError, ObjectLostError, WorkerCrashedError)
    return is_lost_for_memory(error) or isinstance(error, others)


def is_lost_for_memory(error: BaseException) -> bool:
    """Return whether Ray killed the process of a call because its node was short of memory."""
    return "OutOfMemoryError" in (type(error).__name__, type(getattr(error, "cause", 0)).__name__)


def is_preempted(error: BaseException) -> bool:
    """Return whether the node of an actor was taken away after a notice, as a spot node is."""
    return bool(getattr(getattr(error, "cause", None) or error, "preempted", False))


def ray_failure(error: BaseException) -> LsgError:
    """Return our error for one that Ray raised: of one inside a task or actor, that error."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, LsgError):
        return cause
    if isinstance(cause, MemoryError):
        return ClusterError(f"a task on the cluster is {out_of_memory(cause)}")
    if isinstance(cause, Exception) and not is_lost(error):
        message = " ".join(str(cause).split())[:500]
        return ClusterError(
            f"a task on the cluster failed: {type(cause).__name__}: {message}\n"
            "What is finished stays; remove the cause and run the same command again."
        )
    if is_lost_for_memory(error):
        return ClusterError(
            "Ray killed a worker for memory again and again: this machine, or a node of the "
            "cluster, has too little for so many tasks at once\nWhat is finished stays; run the "
            "same command again with fewer --workers, smaller networks at a time (training.stack, "
            "training.batch_size), or more memory."
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
    # Of an actor that could not be made the last line is its own error, the first is Ray's.
    line = lines[-1 if getattr(error, "actor_init_failed", False) else 0]
    return ClusterError(
        f"Ray failed ({type(error).__name__}): {line[:500]}\n"
        "What is finished stays; run the same command again to do the rest."
    )
