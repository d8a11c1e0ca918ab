"""Replicas of one trial in groups, which meet through their centre alone.

A solver of replicas has two parts: a group of some of them, which knows its own weights, and the
loop of the trial, which knows the centre.  The loop calls a method of all groups with one row of
arguments per replica, and with others that are the same for all, such as the centre; what the
methods return has replicas as its first axis:

    with trial.groups(Replicas, options, y) as groups:
        w = groups("descend", rows, centre)        # rows (y, B) → w (y, K, n)

All groups are in this process, or elsewhere (`hosted`): on a cluster they are actors.  What a
replica does does not depend on which others are in its group, so results are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from lsg_ray.typing import Array

if TYPE_CHECKING:
    from lsg_ray.networks.solvers.committee_trial import Trial

#: Makes the group of some replicas of a trial: ``make(trial, options, slice)``.
Make: TypeAlias = "Callable[[Trial, Any, slice], object]"
#: Calls a method of all groups, with rows of replicas (or None) and arguments for all.
Groups: TypeAlias = Callable[..., Array]
#: Opens the groups of a trial: ``host(make, trial, options, replicas)``.
Host: TypeAlias = "Callable[[Make, Trial, object, int], AbstractContextManager[Groups]]"


@contextmanager
def in_process(make: Make, trial: Trial, options: object, replicas: int) -> Iterator[Groups]:
    """Hold all replicas in one group of this process."""
    group = make(trial, options, slice(0, replicas))

    def call(method: str, rows: Array | None = None, *arguments: object) -> Array:
        values: Array = getattr(group, method)(rows, *arguments)
        return values

    yield call


_HOST: ContextVar[Host] = ContextVar("host", default=in_process)


@contextmanager
def hosted(host: Host) -> Iterator[None]:
    """Have the groups of trials opened by ``host`` within this context."""
    token = _HOST.set(host)
    try:
        yield
    finally:
        _HOST.reset(token)


def groups(
    make: Make, trial: Trial, options: object, replicas: int
) -> AbstractContextManager[Groups]:
    """Open the groups of the replicas of a trial, where the context says."""
    return _HOST.get()(make, trial, options, replicas)
