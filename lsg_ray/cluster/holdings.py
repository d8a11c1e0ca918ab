"""What the workers of a run hold of a cluster: how many there are, and CPUs and GPUs of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import NamedTuple

from lsg_ray.cluster.limits import available_cpus
from lsg_ray.cluster.progress import warn
from lsg_ray.cluster.replica_actors import check_actors
from lsg_ray.cluster.session import on_cluster
from lsg_ray.errors import InputError
from lsg_ray.spec import Spec
from lsg_ray.typing import JsonObject

#: GPUs that a worker holds by default, by engine: of cuda, one worker launches while another judges
#: the trials of its last launch on the CPU.
GPU_SHARES: dict[str, float] = {"torch": 1, "cuda": 0.5}
#: Largest number of workers on one machine, by CPU and in any case: each is a process of some
#: hundred MB, and computes on one CPU.
WORKERS_PER_CPU, LEAST_MOST_WORKERS = 16, 64
#: Smallest part of a CPU or GPU that may be given; Ray counts ten-thousandths.
SMALLEST_PART = 0.001


class Needs(NamedTuple):
    """CPUs and GPUs that an actor holds, either of which may be a part of one."""

    cpus: float = 1
    gpus: float = 0


class Where(NamedTuple):
    """What is given of the workers of a run.

    workers: their number, 0 for this process; actors: that share the replicas of a trial;
    worker_cpus, worker_gpus: that each holds, see `Needs`.
    """

    workers: int | None = None
    actors: int = 1
    worker_cpus: float = 1
    worker_gpus: float | None = None

    @property
    def groups(self) -> int | None:
        """Number of trials at a time, where it is given."""
        return self.workers and max(1, self.workers // self.actors)

    @property
    def private_cpus(self) -> int | None:
        """Number of CPUs of a private Ray for these workers."""
        return self.workers and math.ceil(self.workers * self.worker_cpus - 1e-9)

    def check(self, spec: Spec, address: str | None) -> None:
        """Refuse numbers that cannot be, before anything is created.

        Raises
        ------
        InputError
            Out of range, more than this machine has where the run is on it, or without a meaning
            for each other.
        """
        if self.workers is not None and (
            not isinstance(self.workers, Integral) or self.workers < 0
        ):
            raise InputError(f"{self.workers!r} workers given; 0, in this process, or more")
        for name, value in self._parts():
            if not SMALLEST_PART <= value < math.inf and (value or name == "worker_cpus"):
                raise InputError(f"{name} {value:g} given; at least {SMALLEST_PART} is needed")
            if value > 1 and value != int(value):
                raise InputError(f"{name} {value:g} given; above 1 Ray takes whole numbers")
            if value != 1 and self.actors > 1:
                raise InputError(f"{name} and actors {self.actors} given; actors hold one CPU each")
        if self.workers == 0 and (self.worker_cpus, self.worker_gpus) != (1, None):
            raise InputError(
                "worker_cpus or worker_gpus and workers=0 given; workers=0 is without Ray"
            )
        if self.workers == 0 and self.actors != 1:
            raise InputError(f"actors {self.actors} and workers=0 given; workers=0 is without Ray")
        if on_cluster(address):
            check_actors(spec, self.actors, None)
            return
        most = max(LEAST_MOST_WORKERS, WORKERS_PER_CPU * available_cpus())
        if self.workers and self.workers > most:
            raise InputError(
                f"{self.workers:,} workers given; at most {most} on this machine, which has "
                f"{available_cpus()} CPUs: leave the number out for one per CPU"
            )
        cpus = self.private_cpus or available_cpus()
        check_actors(spec, self.actors, cpus)
        if self.worker_cpus > cpus:
            raise InputError(f"worker_cpus {self.worker_cpus:g} given; there are {cpus} CPUs")
        if self.worker_gpus and self.worker_gpus > (gpus := _gpus_here()):
            raise InputError(f"worker_gpus {self.worker_gpus:g} given; there are {gpus} GPUs")

    def _parts(self) -> list[tuple[str, float]]:
        parts = [("worker_cpus", self.worker_cpus)]
        return parts if self.worker_gpus is None else [*parts, ("worker_gpus", self.worker_gpus)]

    def on(self, nodes: Sequence[JsonObject], spec: Spec) -> tuple[Needs, int]:
        """Return what an actor holds, and how many trials at a time a cluster has room for.

        ``nodes``: as by ``ray.nodes()``.  Warns where no node has what an actor holds: it may be
        that an autoscaler brings one.
        """
        alive = [node["Resources"] for node in nodes if node["Alive"]]
        gpus = self.worker_gpus
        if gpus is None:
            with_gpu = any(node.get("GPU", 0) >= 1 for node in alive)
            gpus = GPU_SHARES.get(spec.training.engine, 0) if with_gpu else 0
        needs = Needs(self.worker_cpus, gpus)
        room = sum(_room(node, needs) for node in alive)
        if not room and (needs != Needs()):
            held = f"{needs.cpus:g} CPUs" + (f" and {needs.gpus:g} GPUs" if needs.gpus else "")
            warn(f"no node of the cluster has {held} for a worker; waiting for one that has")
        return needs, max(1, room // self.actors)


def _room(node: Mapping[str, float], needs: Needs) -> int:
    """Return how many actors a node has room for."""
    rooms = [node.get("CPU", 0) / needs.cpus]
    if needs.gpus:
        rooms.append(node.get("GPU", 0) / needs.gpus)
    return int(min(rooms) + 1e-9)


def _gpus_here() -> int:
    import torch

    return torch.cuda.device_count()
