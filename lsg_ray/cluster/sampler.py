"""Actors that sample: each holds examples, compiled kernels and device for one block after another.

An actor gets the store's URL and references of the specification and examples once; a block is an
index.  It writes what it computes straight into the store, and returns a few numbers.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from lsg_ray.cluster.holdings import Needs
from lsg_ray.cluster.metrics import record_block
from lsg_ray.cluster.replica_actors import Replicas, place_together
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.ledger import rejection_histogram
from lsg_ray.ensemble.schema import arrays_of
from lsg_ray.ensemble.writer import Plan, write_block
from lsg_ray.networks.algorithm import Run
from lsg_ray.networks.sampling import sample_configurations, trainer_of
from lsg_ray.registry import ALGORITHMS
from lsg_ray.rng import Stream
from lsg_ray.spec import Spec

if TYPE_CHECKING:
    from ray.util.placement_group import PlacementGroup

#: An actor, and the placement group of those that it shares replicas with.
Handle: TypeAlias = "tuple[Any, PlacementGroup | None]"
#: Seconds between an actor's reports while it computes a block.
REPORT_SECONDS = 1.0


class BlockDone(NamedTuple):
    """What a block returns: its rows and trials, seconds of computing, and on what."""

    rows: int
    trials: int
    seconds: float
    processor: str | None = None


def sample_block(
    url: str,
    spec: Spec,
    arena: Any,
    block: int,
    start: int,
    rows: int,
    on_trial: Callable[[bool], None] | None = None,
    *,
    run: Run | None = None,
    attempt: int = 0,
) -> BlockDone:
    """Compute one block and write it; safe to run again or twice at once.

    Parameters
    ----------
    url, spec, arena
        The store, what is sampled, and the result of `lsg_ray.networks.sampling.prepare`.
    block, start, rows
        Index of the block, its first configuration and their number.
    on_trial
        Called after each trial with whether it was accepted.
    run
        Result of `trainer_of`, which blocks of one process share.
    attempt
        How often the block may have been begun before.
    """
    sampled = sample_configurations(spec, arena, start, rows, run=run, on_trial=on_trial)
    trials = rows + len(sampled.missed)
    rejected = rejection_histogram(np.nan_to_num(sampled.missed))
    processor = _processor(spec)
    written = write_block(
        url,
        block,
        Block(start, sampled.weights, sampled.columns, trials, rejected, sampled.seconds),
        attempt=attempt,
        seed_path=(spec.ensemble.seed, int(Stream.TRIAL), start),
        count=spec.ensemble.count,
        processor=processor,
    )
    if written == "present" and attempt == 0:  # another driver was quicker
        return BlockDone(0, 0, sampled.seconds)
    return BlockDone(rows, trials, sampled.seconds, processor)


def _processor(spec: Spec) -> str:
    """Return the kind of processor that this process computes on."""
    from lsg_ray.kernels.compile import processor

    if spec.training.engine == "cuda":
        from lsg_ray.kernels.cuda.launch import name

        return f"{processor()} {name()}"
    if spec.training.engine != "torch":
        return processor()
    import torch

    if torch.cuda.is_available():
        return f"{processor()} {torch.cuda.get_device_name()}"
    return f"{processor()} {torch.backends.cpu.get_cpu_capability()}"


class Sampler:
    """Body of an actor; ``read``: references of specification and examples, for its replicas."""

    def __init__(
        self,
        url: str,
        spec_json: str,
        arena: Any,
        progress: Any,
        actors: int = 1,
        read: Sequence[object] = (),
    ) -> None:
        self._url, self._spec = url, Spec.model_validate_json(spec_json)
        self._arena, self._progress = arena, progress
        self._replicas_of = (actors, read)
        self._row_bytes = sum(array.row_bytes for array in arrays_of(self._spec))

    def ready(self) -> None:
        """Compile or load kernels, move the examples to the device, start actors of replicas."""
        compile_once(self._spec)
        self._run = trainer_of(self._spec, self._arena)
        self._replicas = Replicas(*self._replicas_of)

    def sample(self, block: int, start: int, rows: int, attempt: int) -> BlockDone:
        """Compute a block and write it."""
        counts, last = [0, 0], time.monotonic()

        def report(accepted: bool) -> None:
            nonlocal last
            counts[0] += accepted
            counts[1] += 1
            now = time.monotonic()
            if now - last >= REPORT_SECONDS:
                last = now
                self._progress.report.remote(block, *counts)

        where = (self._url, self._spec, self._arena, block, start, rows)
        with self._replicas.shared():
            done = sample_block(*where, report, run=self._run, attempt=attempt)
        record_block(done.rows, done.trials, done.rows * self._row_bytes)
        return done


class Samplers:
    """The actors of a run, as its pool sees them.

    Parameters
    ----------
    plan
        The store, and its blocks.
    read
        References of the specification as JSON, and of the examples.
    progress
        Handle of the actor that progress is reported to.
    needs
        Of each process.
    actors
        Number of processes that share the replicas of a trial.
    """

    def __init__(
        self, plan: Plan, read: tuple[object, object], progress: object, needs: Needs, actors: int
    ) -> None:
        import ray

        self._plan, self._actors = plan, actors
        self._arguments: tuple[object, ...] = (plan.url, *read, progress)
        if actors > 1:
            self._arguments += (actors, [*read])
        self._remote = ray.remote(
            num_cpus=needs.cpus, num_gpus=needs.gpus, max_restarts=0, max_task_retries=0
        )(Sampler)

    def start(self) -> Handle:
        """Ask for an actor, with CPUs for those that it shares replicas with."""
        if self._actors == 1:
            return self._remote.remote(*self._arguments), None
        group, options = place_together(self._actors)
        return self._remote.options(**options).remote(*self._arguments), group

    def ready(self, handle: Handle) -> Future[None]:
        """Have the actor prepare itself."""
        future: Future[None] = handle[0].ready.remote().future()
        return future

    def compute(self, handle: Handle, item: int, attempt: int) -> Future[BlockDone]:
        """Have it sample a block."""
        where = (item, item * self._plan.block_size, self._plan.rows(item))
        future: Future[BlockDone] = handle[0].sample.remote(*where, attempt).future()
        return future

    def end(self, handle: Handle) -> None:
        """End it, with all that it shares replicas with."""
        import ray
        from ray.util.placement_group import remove_placement_group

        ray.kill(handle[0])
        if handle[1] is not None:
            remove_placement_group(handle[1])


def compile_once(spec: Spec) -> None:
    """Compile the kernels once per machine: the first worker does, the others wait and load."""
    warm_up = ALGORITHMS[spec.algorithm].warm_up
    if warm_up is None:
        return
    from filelock import FileLock

    from lsg_ray.kernels.compile import CACHE_FOLDER

    folder = Path(CACHE_FOLDER)
    # numba's cache is by path of the sources: shipped code lies somewhere else in each job.
    digest = hashlib.sha256(str(Path(__file__).resolve()).encode()).hexdigest()[:12]
    marker = folder / f"compiled-{digest}"
    if marker.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "compiling.lock"):
            warm_up(spec)
            marker.touch()
    except OSError:  # a disk that is not for writing: each process compiles for itself
        warm_up(spec)
