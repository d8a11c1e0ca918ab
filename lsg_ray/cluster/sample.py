"""Sample an ensemble on Ray: one task per missing block, results straight into the store.

A task gets the store's URL, a block index and a reference to the training set; it computes the
block's configurations (`lsg_ray.networks.sampling`), writes them, and returns a few numbers.
Retry, resume and growth are the same thing: do the missing blocks.
"""

from __future__ import annotations

import hashlib
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lsg_ray.arrays import public
from lsg_ray.cluster.engines import resources, with_engine
from lsg_ray.cluster.metrics import record_block
from lsg_ray.cluster.progress import Style, byte_progress, progress
from lsg_ray.cluster.progress_actor import ProgressActor, ProgressPoll
from lsg_ray.cluster.replica_actors import Places, check_actors, on_actors
from lsg_ray.cluster.session import available_cpus, check_address, on_cluster, ray_session
from lsg_ray.cluster.tally import Processors, Tally
from lsg_ray.cluster.tasks import MAX_TASK_RETRIES, run_bounded
from lsg_ray.datasets import Dataset, load_dataset
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.conflicts import grown_error
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.ledger import rejection_histogram
from lsg_ray.ensemble.listing import sweep
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.schema import arrays_of
from lsg_ray.ensemble.writer import Plan, check_name, create_ensemble, missing_blocks, write_block
from lsg_ray.errors import InputError, StoreError
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.registry import ALGORITHMS
from lsg_ray.rng import Stream
from lsg_ray.spec import Spec
from lsg_ray.typing import Ints, PathOrUrl


@dataclass(frozen=True)
class SampleConfig:
    """How a run reports, and checks what it finds in the store."""

    #: Seconds between a worker's reports while it computes a block.
    report_seconds: float = 1.0
    #: How often blocks that have gone missing by the end of a run are sampled again.
    repeats: int = 3


CONFIG = SampleConfig()


class BlockDone(NamedTuple):
    """What a task returns: rows and trials of its block, seconds of computing, and on what."""

    rows: int
    trials: int
    seconds: float
    processor: str | None = None


class SampleResult(NamedTuple):
    """Outcome of `sample`: what this call added to the store.

    rows, trials: configurations and trials of this call; seconds: wall time of its sampling;
    resumed: configurations that were there before.  It stands for its store wherever a path does,
    such as in ``lsg_ray.export(lsg_ray.sample(spec, "w.zarr"), "w.npz")``.
    """

    url: str
    rows: int
    trials: int
    seconds: float
    resumed: int

    def __fspath__(self) -> str:
        return self.url


@public
def sample(
    spec: Spec,
    url: PathOrUrl,
    *,
    address: str | None = None,
    workers: int | None = None,
    actors: int = 1,
    style: Style = "notebook",
) -> SampleResult:
    """Sample the ensemble of ``spec`` into the store at ``url``; do what is missing there.

    Parameters
    ----------
    spec
        Specification of the run.
    url
        Path or URL of the store; ``memory://name`` with ``workers=0`` alone.
    address
        Address of the Ray cluster; by default ``RAY_ADDRESS``, else a private Ray here.
    workers
        Number of tasks at a time: by default one per CPU; 0 samples in this process, without Ray.
    actors
        Number of processes that share the replicas of a trial, of solvers such as ``elastic-sgd``:
        one CPU each.  The bytes of the store do not depend on it.
    style
        Where progress is shown: ``auto``, ``notebook`` (in notebooks alone) or ``quiet``.

    Raises
    ------
    SpecError, DataError, StoreInputError
        Something given is wrong; nothing was created.
    AcceptanceError
        The threshold is out of reach; finished blocks stay.
    ClusterError
        Ray could not be started or went away; finished blocks stay.

    Notes
    -----
    Memory of the driver does not grow with the count beyond 8 bytes per missing block.
    """
    if workers == 0 and address:
        raise InputError(f"address {address} and workers=0 given; workers=0 is without Ray")
    if workers != 0:
        check_address(address)
    elif actors != 1:
        raise InputError(f"actors {actors} and workers=0 given; workers=0 is without Ray")
    check_actors(spec, actors, None if on_cluster(address) else workers or available_cpus())
    if str(url).startswith("memory://") and workers != 0:
        raise InputError(f"{url} lives in this process alone; sample it with workers=0")
    check_name(url)
    spec = with_engine(spec, url, address, workers)
    dataset, arena = prepared(spec, style)
    plan = create_ensemble(url, spec, dataset_hash=dataset.content_hash)
    before = plan.count - sum(plan.rows(int(block)) for block in plan.missing)
    if before == plan.count:
        sweep(plan.url)
        return SampleResult(plan.url, 0, 0, 0.0, before)
    began = time.perf_counter()
    with progress("configurations", plan.count, style, before) as bar:
        tally = Tally(bar, before, "" if workers == 0 else "starting workers")
        tally.show(0, 0)
        processors = Processors(plan)
        todo = plan
        for repeat in range(CONFIG.repeats + 1):
            if workers == 0:
                results = _in_process(todo, spec, arena, tally)
            else:
                results = _on_ray(todo, spec, arena, tally, address, workers, actors)
            for _, done in results:
                tally.finish(done.rows, done.trials)
                processors.see(done.processor)
            missing = _missing_again(plan)
            if not len(missing):
                break
            if repeat == CONFIG.repeats:
                raise StoreError(
                    f"{plan.url}: {len(missing):,} blocks are missing again though they were "
                    f"sampled, {missing[0]} the first: another process removes them; stop it "
                    "(lsg verify --repair?), then run the same command again"
                )
            todo = replace(plan, missing=missing)
            tally.lose(sum(plan.rows(int(block)) for block in missing))
    sweep(plan.url)
    return SampleResult(plan.url, tally.rows, tally.trials, time.perf_counter() - began, before)


def prepared(spec: Spec, style: Style) -> tuple[Dataset, Any]:
    """Return the data set of a run, and what its networks learn and are measured on."""
    ALGORITHMS[spec.algorithm]  # refuses what cannot be sampled before data are fetched
    with byte_progress(style) as on_bytes:
        dataset = load_dataset(spec.dataset, progress=on_bytes)
        return dataset, prepare(spec, dataset)


def _missing_again(plan: Plan) -> Ints:
    """Return the blocks of a plan that are not complete when all were sampled.

    Raises
    ------
    StoreError
        The last of them is part of a longer block now: the ensemble grew meanwhile.
    """
    missing = missing_blocks(plan.url)
    missing = missing[missing < plan.n_blocks]
    if plan.n_blocks - 1 in missing and plan.count % plan.block_size:
        location = locate(plan.url)
        header = read_header(location)
        if header.count > plan.count:
            raise grown_error(location, header, plan.count)
    return missing


def sample_block(
    url: str,
    spec: Spec,
    arena: Any,
    block: int,
    start: int,
    rows: int,
    on_trial: Callable[[bool], None] | None = None,
    attempts: Callable[[], int] = lambda: 0,
) -> BlockDone:
    """Compute one block and write it; safe to run again or twice at once.

    ``attempts`` returns how often the block was begun before; it is called when the block is done.
    """
    sampled = sample_configurations(spec, arena, start, rows, on_trial=on_trial)
    attempt = attempts()
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


def _in_process(
    plan: Plan, spec: Spec, arena: Any, tally: Tally
) -> Iterator[tuple[int, BlockDone]]:
    for block in map(int, plan.missing):
        counts = [0, 0]

        def report(accepted: bool, counts: list[int] = counts) -> None:
            counts[0] += accepted
            counts[1] += 1
            tally.show(*counts)

        start, rows = block * plan.block_size, plan.rows(block)
        yield block, sample_block(plan.url, spec, arena, block, start, rows, report)


def _on_ray(
    plan: Plan,
    spec: Spec,
    arena: Any,
    tally: Tally,
    address: str | None,
    workers: int | None,
    actors: int,
) -> Iterator[tuple[int, BlockDone]]:
    import ray

    buffers: list[pickle.PickleBuffer] = []
    pickle.dumps(arena, protocol=5, buffer_callback=buffers.append)
    size = sum(buffer.raw().nbytes for buffer in buffers)  # of arrays that every worker reads
    with ray_session(address, workers, size) as cpus:
        needs = resources(spec, ray.cluster_resources().get("GPU", 0), cpus)
        parallel = workers or needs.parallel
        actor = ray.remote(num_cpus=0, max_restarts=-1)(ProgressActor).remote()
        task = ray.remote(
            num_cpus=1, num_gpus=needs.gpus, max_retries=MAX_TASK_RETRIES, retry_exceptions=False
        )(_block_task)
        read = (ray.put(spec.canonical_json()), ray.put(arena))
        check_actors(spec, actors, cpus)
        parallel = max(1, parallel // actors)
        places = Places(actors)

        def submit(block: int) -> Any:
            of_block = (block, block * plan.block_size, plan.rows(block))
            if actors == 1:
                return task.remote(plan.url, *read, actor, *of_block)
            placed = task.options(**places.options(block))
            return placed.remote(plan.url, *read, actor, *of_block, actors, [*read])

        poll = ProgressPoll(actor, tally.show)
        blocks = map(int, plan.missing)
        # Where Ray itself holds back what exceeds its CPUs, one task waits for each that runs.
        in_flight = 2 * parallel if cpus <= parallel and actors == 1 else parallel
        done: BlockDone
        with places:
            for block, done in run_bounded(submit, blocks, in_flight=in_flight, tick=poll):
                places.release(block)
                poll.forget(block)
                yield block, done


def _block_task(
    url: str,
    spec_json: str,
    arena: Any,
    actor: Any,
    block: int,
    start: int,
    rows: int,
    actors: int = 1,
    read: Sequence[Any] = (),
) -> BlockDone:
    """Body of a Ray task; ``read``: references of the specification and arena, for its actors."""
    import ray
    from ray.exceptions import RayError

    spec = Spec.model_validate_json(spec_json)
    compile_once(spec)
    counts = [0, 0]
    last = time.monotonic()

    def report(accepted: bool) -> None:
        nonlocal last
        counts[0] += accepted
        counts[1] += 1
        now = time.monotonic()
        if now - last >= CONFIG.report_seconds:
            last = now
            actor.report.remote(block, counts[0], counts[1])

    begun = actor.begin.remote(block)

    def attempts() -> int:
        try:
            return ray.get(begun)
        except RayError:  # the actor was lost, and with it the count of earlier attempts
            return 0

    with on_actors(actors, read) if actors > 1 else nullcontext():
        done = sample_block(url, spec, arena, block, start, rows, report, attempts)
    size = sum(array.row_bytes for array in arrays_of(spec))
    record_block(done.rows, done.trials, done.rows * size)
    return done


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
