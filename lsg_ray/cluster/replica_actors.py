"""Replicas of a trial on actors, which exchange their centre with the process of the trial.

A trial on n processes has n groups of replicas: one in the process of the trial, the others on an
actor each.  The processes hold a CPU each and are placed together or not at all (a placement group
of Ray), so trials that wait for each other's CPUs cannot block a cluster.  What is computed does
not depend on n.  An exchange takes some 4 ms, so this is for trials whose mini-batches take
longer, and that are fewer than CPUs; many trials are better run at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.networks.families.committee import Arena
from lsg_ray.networks.replicas import Groups, Make, hosted
from lsg_ray.networks.solvers.committee_trial import Trial
from lsg_ray.registry import ALGORITHMS
from lsg_ray.spec import Spec
from lsg_ray.typing import Array

if TYPE_CHECKING:
    from ray.util.placement_group import PlacementGroup

#: Bytes from which arguments are stored once for all actors, and not sent with each call.
_STORED_BYTES = 100_000


def check_actors(spec: Spec, actors: int, cpus: int | None) -> None:
    """Refuse a number of processes that replicas cannot be shared by.

    Raises
    ------
    InputError
        The algorithm has no replicas to share, or there are too few replicas or CPUs.
    """
    if actors < 1:
        raise InputError(f"actors {actors} given; at least 1 is needed")
    if actors == 1:
        return
    algorithm = ALGORITHMS[spec.algorithm]
    if algorithm.replicas is None:
        known = ", ".join(name for name in ALGORITHMS.names() if ALGORITHMS[name].replicas)
        raise InputError(
            f"actors {actors} given; {algorithm.name} has no replicas to share, these have: {known}"
        )
    replicas = algorithm.replicas(spec)
    if actors > replicas:
        raise InputError(f"actors {actors} given; a trial has {replicas} replicas to share")
    if cpus is not None and actors > cpus:
        raise InputError(f"actors {actors} given; there are {cpus} CPUs, and each takes one")


class ReplicaActor:
    """A group of replicas, of one trial after another: the body of an actor."""

    def __init__(self, spec_json: str, arena: Arena) -> None:
        self._spec, self._arena = Spec.model_validate_json(spec_json), arena
        self._group: object = None

    def begin(self, make: Make, address: tuple[int, int], options: object, part: slice) -> None:
        """Take replicas of a trial."""
        self._group = make(Trial(self._spec, self._arena, *address), options, part)

    def call(self, method: str, rows: Array | None, *arguments: object) -> Array:
        """Call a method of the group."""
        with np.errstate(all="ignore"):  # as in the trial: what is not finite ends it
            values: Array = getattr(self._group, method)(rows, *arguments)
        return values


class Replicas:
    """Actors for the replicas of trials, which this process has a share of.

    ``references``: of the specification as JSON, and of what its networks learn.
    """

    def __init__(self, actors: int, references: Sequence[object]) -> None:
        import ray

        remote = ray.remote(num_cpus=1, max_restarts=0)(ReplicaActor)
        self._handles: list[Any] = [remote.remote(*references) for _ in range(actors - 1)]

    def shared(self) -> AbstractContextManager[None]:
        """Have replicas of trials shared by the actors in this context; it may be opened again."""
        return hosted(partial(_groups, self._handles)) if self._handles else nullcontext()


@contextmanager
def _groups(
    handles: Sequence[Any], make: Make, trial: Trial, options: Any, replicas: int
) -> Iterator[Groups]:
    import ray

    parts = len(handles) + 1
    bounds = [replicas * part // parts for part in range(parts + 1)]
    own, *others = (slice(a, b) for a, b in pairwise(bounds))
    for handle, part in zip(handles, others, strict=True):
        handle.begin.remote(make, trial.address, options, part)
    group = make(trial, options, own)

    def call(method: str, rows: Array | None = None, *arguments: Any) -> Array:
        shared = [_stored(argument) for argument in arguments]
        waiting = [
            handle.call.remote(method, None if rows is None else rows[part], *shared)
            for handle, part in zip(handles, others, strict=True)
        ]
        first = getattr(group, method)(None if rows is None else rows[own], *arguments)
        return np.concatenate([first, *ray.get(waiting)])

    yield call


def _stored(argument: Any) -> Any:
    """Return a reference of a large array, and other arguments as they are."""
    import ray

    large = isinstance(argument, np.ndarray) and argument.nbytes >= _STORED_BYTES
    return ray.put(argument) if large else argument


def place_together(actors: int) -> tuple[PlacementGroup, dict[str, object]]:
    """Reserve a CPU each for actors that work together, the first of which starts the others.

    Returns the placement group, and the options of the first actor.
    """
    from ray.util.placement_group import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    group = placement_group([{"CPU": 1}] * actors)
    strategy = PlacementGroupSchedulingStrategy(
        group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
    )
    return group, {"scheduling_strategy": strategy}
