"""What a driver can do: tasks that do nothing, with as many in flight as a large cluster has cores.

At toy size an ordinary test; at full size (10⁵ blocks, 4,096 in flight; minutes):

    pytest tests/benchmarks/test_scale.py --benchmark-enable -s
"""

import os
import time

import numpy as np
import psutil

from lsg_ray.cluster.estimate import COSTS
from lsg_ray.cluster.progress import progress
from lsg_ray.cluster.sample import BlockDone
from lsg_ray.cluster.session import ray_session
from lsg_ray.cluster.tally import Tally
from lsg_ray.cluster.tasks import run_bounded
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.ledger import absent_blocks, complete_blocks
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.writer import create_ensemble
from lsg_ray.spec import Spec


def _nothing(_block: int) -> BlockDone:
    return BlockDone(1, 1, 0.0)


def test_the_driver_keeps_up_with_a_large_cluster(request, toy_ray):
    """Blocks per second through submit, wait and count, and what memory that takes."""
    import ray

    full = request.config.getoption("benchmark_enable")
    blocks, in_flight = (100_000, 4096) if full else (300, 64)
    process = psutil.Process()
    with ray_session(cpus=2), progress("configurations", blocks, "quiet", 0) as bar:
        task = ray.remote(num_cpus=1)(_nothing)
        tally = Tally(bar, 0)
        list(run_bounded(task.remote, range(8), in_flight=4))  # workers are up
        memory = [process.memory_info().rss]
        began = time.perf_counter()
        seen = np.zeros(blocks, bool)
        for block, done in run_bounded(task.remote, range(blocks), in_flight=in_flight):
            tally.finish(done.rows, done.trials)
            seen[block] = True
            if block % 1000 == 0:
                memory.append(process.memory_info().rss)
        seconds = time.perf_counter() - began
    assert seen.all()
    assert tally.rows == blocks
    growth = (max(memory) - memory[0]) / 2**20
    print(f"\n{blocks:,} blocks, {in_flight:,} in flight: {blocks / seconds:,.0f}/s "
          f"({1e3 * seconds / blocks:.2f} ms each, workers on the same "
          f"{os.cpu_count()} cores), driver grew by {growth:.0f} MiB")  # fmt: skip
    if full:
        assert growth < 300
        assert seconds / blocks < 2 * COSTS.driver_seconds


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
