"""What a driver can do: blocks that take no time, as many in flight as a large cluster has cores.

At toy size an ordinary test; at full size (4,096 in flight, LSG_BLOCKS blocks; minutes):

    pytest tests/benchmarks/test_scale.py --benchmark-enable -s
"""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import islice
from queue import SimpleQueue
from typing import Any

import numpy as np
import psutil

from lsg_ray.cluster.estimate import COSTS
from lsg_ray.cluster.pool import Pool, PoolConfig
from lsg_ray.cluster.progress import progress
from lsg_ray.cluster.sampler import BlockDone
from lsg_ray.cluster.session import ray_session
from lsg_ray.cluster.tally import Tally
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.ledger import absent_blocks, complete_blocks
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.writer import create_ensemble
from lsg_ray.spec import Spec


class _Idle:
    """An actor whose blocks take no time."""

    def ready(self) -> None:
        """Be there."""

    def sample(self, _block: int, _attempt: int) -> BlockDone:
        """Do nothing."""
        return BlockDone(1, 1, 0.0)


class _Played:
    """Actors without Ray: a thread finishes whatever is asked of them."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Future[BlockDone] | None] = SimpleQueue()
        self.started = 0
        threading.Thread(target=self._finish, daemon=True).start()

    def _finish(self) -> None:
        while (call := self.calls.get()) is not None:
            call.set_result(BlockDone(1, 1, 0.0))

    def start(self) -> int:
        self.started += 1
        return self.started

    def ready(self, _: int) -> Future[None]:
        there: Future[None] = Future()
        there.set_result(None)
        return there

    def compute(self, _handle: int, _item: int, _attempt: int) -> Future[BlockDone]:
        call: Future[BlockDone] = Future()
        self.calls.put(call)
        return call

    def end(self, _: int) -> None:
        pass


class _Simulated:
    """As many actors as a large cluster has, of which two are real and stand for all."""

    def __init__(self) -> None:
        import ray

        self.real = [ray.remote(num_cpus=1)(_Idle).remote() for _ in range(2)]
        self.started = 0

    def start(self) -> Any:
        self.started += 1
        return self.real[self.started % 2]

    def ready(self, handle: Any) -> Any:
        return handle.ready.remote().future()

    def compute(self, handle: Any, item: int, attempt: int) -> Any:
        return handle.sample.remote(item, attempt).future()

    def end(self, _: Any) -> None:
        pass


def _by_actors(blocks: int, in_flight: int) -> Iterator[int]:
    config = PoolConfig(ahead_seconds=0.0)  # a block each, so many in flight as actors
    with Pool(_Simulated(), range(blocks), most=in_flight, config=config) as pool:
        for block, _ in pool.results():
            yield block


def _by_players(blocks: int, in_flight: int) -> Iterator[int]:
    config = PoolConfig(ahead_seconds=0.0)
    crew = _Played()
    with Pool(crew, np.arange(blocks), most=in_flight, config=config) as pool:
        for block, _ in pool.results():
            yield block
    crew.calls.put(None)


def _by_tasks(blocks: int, in_flight: int) -> Iterator[int]:
    """A task for each block, as many at a time: what a pool of actors is compared with."""
    import ray

    task = ray.remote(num_cpus=1)(lambda _: BlockDone(1, 1, 0.0))
    waiting, pending = iter(range(blocks)), {}
    while True:
        for block in islice(waiting, in_flight - len(pending)):
            pending[task.remote(block)] = block
        if not pending:
            return
        done, others = ray.wait(list(pending), timeout=0.5)
        if done and others:
            more, _ = ray.wait(others, num_returns=len(others), timeout=0)
            done += more
        for reference in done:
            ray.get(reference)
            yield pending.pop(reference)


def _timed(ways: Iterator[int], blocks: int) -> tuple[float, float, float]:
    """Return seconds of wall time and of the driver for a block, and MiB that the driver grew."""
    process = psutil.Process()
    seen = np.zeros(blocks, bool)
    memory, began, used = [process.memory_info().rss], time.perf_counter(), _cpu(process)
    with progress("configurations", blocks, "quiet", 0) as bar:
        tally = Tally(bar, 0)
        for number, block in enumerate(ways):
            tally.finish(1, 1)
            seen[block] = True
            if number % 1000 == 0:
                memory.append(process.memory_info().rss)
    assert seen.all()
    assert tally.rows == blocks
    wall, used = time.perf_counter() - began, _cpu(process) - used
    return wall / blocks, used / blocks, (max(memory) - memory[0]) / 2**20


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def test_the_driver_keeps_up_with_a_large_cluster(request, toy_ray):
    """Time of a block through submit, wait and count, by actors and by tasks, and the memory."""
    full = request.config.getoption("benchmark_enable")
    blocks, in_flight = (int(os.environ.get("LSG_BLOCKS", 50_000)), 4096) if full else (300, 64)
    found = {}
    with ray_session(cpus=2):
        # The task path is measured with fewer: it takes minutes.
        for way, number in ((_by_tasks, min(blocks, 20_000)), (_by_actors, blocks)):
            found[way] = wall, used, growth = _timed(way(number, in_flight), number)
            print(f"\n{way.__name__}: {number:,} blocks, {in_flight:,} in flight: "
                  f"{1e3 * wall:.2f} ms each with workers on the same {os.cpu_count()} cores, "
                  f"{1e3 * used:.2f} of the driver's CPU; it grew by {growth:.0f} MiB")  # fmt: skip
    if full:
        _, used, growth = found[_by_actors]
        assert growth < 300
        assert used < COSTS.driver_seconds  # of CPU: here two workers take the time of the driver
        assert used < found[_by_tasks][1]


def test_the_time_and_memory_of_a_block_do_not_grow_with_their_number(request):
    """The pool, the counts and the bar, without Ray: 10⁴ to 10⁶ blocks, 4,096 in flight."""
    full = request.config.getoption("benchmark_enable")
    sizes, in_flight = ((10_000, 100_000, 1_000_000), 4096) if full else ((200, 400, 800), 64)
    _timed(_by_players(sizes[0], in_flight), sizes[0])  # what is made once
    wall, memory = {}, {}
    for blocks in sizes:
        wall[blocks], used, memory[blocks] = _timed(_by_players(blocks, in_flight), blocks)
        took = f"{1e6 * wall[blocks]:.0f} µs each, {1e6 * used:.0f} of CPU"
        where = f"{blocks:,} blocks, {in_flight:,} in flight, without Ray"
        print(f"\n{where}: {took}; grew by {memory[blocks]:.0f} MiB", end="")
    if full:
        assert wall[sizes[2]] < 1.5 * wall[sizes[0]]
        assert memory[sizes[2]] < 50  # 8 bytes for a block that is missing, 1 for one that is seen


def test_a_ledger_of_many_blocks_is_listed_quickly(request, tmp_path):
    """A resume lists the records of a store once, whatever their number."""
    full = request.config.getoption("benchmark_enable")
    blocks = 100_000 if full else 300
    spec = Spec.model_validate({"ensemble": {"count": blocks, "block_size": 1}})
    plan = create_ensemble(tmp_path / "s", spec, dataset_hash="d")
    for block in range(0, blocks, 2):
        (tmp_path / "s" / "ledger" / f"{block:08d}.json").touch()
    began = time.perf_counter()
    location = locate(plan.url)
    header = read_header(location)
    missing = absent_blocks(header, complete_blocks(location, header))
    seconds = time.perf_counter() - began
    np.testing.assert_array_equal(missing, np.arange(1, blocks, 2))
    print(f"\n{blocks // 2:,} records of {blocks:,} blocks listed in {seconds:.2f} s")
    if full:
        assert seconds < 10
