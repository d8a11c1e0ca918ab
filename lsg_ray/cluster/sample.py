"""Sample an ensemble on a pool of Ray actors: the missing blocks, straight into the store.

An actor (`lsg_ray.cluster.sampler`) holds what all blocks need.  It gets the index of a block,
computes its configurations (`lsg_ray.networks.sampling`), writes them, and returns a few numbers.
Retry, resume and growth are the same thing: do the missing blocks.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from lsg_ray.arrays import public
from lsg_ray.cluster.engines import with_engine
from lsg_ray.cluster.holdings import Where
from lsg_ray.cluster.pool import Pool
from lsg_ray.cluster.progress import Style, byte_progress, progress
from lsg_ray.cluster.progress_actor import ProgressActor, ProgressPoll
from lsg_ray.cluster.replica_actors import check_actors
from lsg_ray.cluster.sampler import BlockDone, Samplers, sample_block
from lsg_ray.cluster.session import check_address, on_cluster, ray_session
from lsg_ray.cluster.tally import Processors, Tally
from lsg_ray.datasets import Dataset, load_dataset
from lsg_ray.ensemble.conflicts import grown_error
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.listing import sweep
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.pages import write_pages
from lsg_ray.ensemble.writer import Plan, check_name, create_ensemble, missing_blocks
from lsg_ray.errors import InputError, StoreError
from lsg_ray.networks.sampling import prepare, trainer_of
from lsg_ray.registry import ALGORITHMS
from lsg_ray.spec import Spec
from lsg_ray.typing import Ints, PathOrUrl


@dataclass(frozen=True)
class SampleConfig:
    """How a run checks what it finds in the store."""

    #: How often blocks that have gone missing by the end of a run are sampled again.
    repeats: int = 3


CONFIG = SampleConfig()
#: Yields the blocks that are finished.
Blocks: TypeAlias = Generator[tuple[int, BlockDone], None, None]


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
    worker_cpus: float = 1,
    worker_gpus: float | None = None,
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
        Number of workers, which are actors of Ray: by default as many as there are CPUs for, on a
        cluster also those that it gets meanwhile; 0 samples in this process, without Ray.
    actors
        Number of processes that share the replicas of a trial, of solvers such as ``elastic-sgd``:
        one CPU each.  The bytes of the store do not depend on it.
    worker_cpus
        Number of CPUs that a worker holds of the cluster, such as 0.5 or 2; it computes on one.
    worker_gpus
        Number of GPUs that a worker holds, such as 0.25 for four workers a GPU; by default, where
        there are GPUs, one with the engine torch, half of one with cuda, else none.
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
    where = Where(workers, actors, worker_cpus, worker_gpus)
    if workers != 0:
        check_address(address)
    where.check(spec, address)
    if str(url).startswith("memory://") and workers != 0:
        raise InputError(f"{url} lives in this process alone; sample it with workers=0")
    check_name(url)
    spec = with_engine(spec, url, address, workers)
    dataset, arena = prepared(spec, style)
    plan = create_ensemble(url, spec, dataset_hash=dataset.content_hash)
    before = plan.count - sum(plan.rows(int(block)) for block in plan.missing)
    if before == plan.count:
        _tidy(plan.url)
        return SampleResult(plan.url, 0, 0, 0.0, before)
    began = time.perf_counter()
    with progress("configurations", plan.count, style, before) as bar:
        tally = Tally(bar, before, "starting" if workers == 0 else "starting workers")
        tally.show(0, 0)
        processors = Processors(plan)
        todo = plan
        for repeat in range(CONFIG.repeats + 1):
            if workers == 0:
                results = _in_process(todo, spec, arena, tally)
            else:
                results = _on_ray(todo, spec, arena, tally, address, where)
            with closing(results):  # an interrupt ends the actors, too
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
    _tidy(plan.url)
    return SampleResult(plan.url, tally.rows, tally.trials, time.perf_counter() - began, before)


def prepared(spec: Spec, style: Style) -> tuple[Dataset, Any]:
    """Return the data set of a run, and what its networks learn and are measured on."""
    ALGORITHMS[spec.algorithm]  # refuses what cannot be sampled before data are fetched
    with byte_progress(style) as on_bytes:
        dataset = load_dataset(spec.dataset, progress=on_bytes)
        return dataset, prepare(spec, dataset)


def _tidy(url: str) -> None:
    """Leave a store behind as it is read best."""
    sweep(url)
    write_pages(url)


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


def _in_process(plan: Plan, spec: Spec, arena: Any, tally: Tally) -> Blocks:
    run = trainer_of(spec, arena)
    for block in map(int, plan.missing):
        counts = [0, 0]

        def report(accepted: bool, counts: list[int] = counts) -> None:
            counts[0] += accepted
            counts[1] += 1
            tally.show(*counts)

        start, rows = block * plan.block_size, plan.rows(block)
        yield block, sample_block(plan.url, spec, arena, block, start, rows, report, run=run)


def _on_ray(
    plan: Plan, spec: Spec, arena: Any, tally: Tally, address: str | None, where: Where
) -> Blocks:
    import ray

    buffers: list[pickle.PickleBuffer] = []
    pickle.dumps(arena, protocol=5, buffer_callback=buffers.append)
    size = sum(buffer.raw().nbytes for buffer in buffers)  # of arrays that every worker reads
    shared = on_cluster(address)
    with ray_session(address, where.private_cpus, size) as cpus:
        check_actors(spec, where.actors, cpus)
        needs, first = where.on(ray.nodes(), spec)
        reported = ray.remote(num_cpus=0, max_restarts=-1)(ProgressActor).remote()
        read = (ray.put(spec.canonical_json()), ray.put(arena))
        crew = Samplers(plan, read, reported, needs, where.actors)
        poll = ProgressPoll(reported, tally.show)
        # A cluster may grow; a private Ray does not.
        most = where.groups or (None if shared else first)
        with Pool(crew, plan.missing, most=most, first=first, shared=shared) as pool:
            for block, done in pool.results(poll):
                poll.forget(block)
                yield block, done
