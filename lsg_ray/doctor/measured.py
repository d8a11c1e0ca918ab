"""Speed of this machine: products of matrices, training, and the disk, some seconds in all."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lsg_ray.doctor.check import Check

#: Seconds of each measurement, and examples of an epoch.
SECONDS, EXAMPLES = 0.5, 10_000
#: Operations of training a weight on an example: products of means and of variances, forward and
#: back, with a sum each.
FLOP = 10
#: Side of the matrices, and bytes that are written.
SIDE, WRITTEN = 1024, 64 * 2**20


def speed() -> Sequence[Check]:
    """Return rates of one core: medians, as other programs disturb single times."""
    return [_products(), *_training(), _disk()]


def _products() -> Check:
    from threadpoolctl import threadpool_limits

    a = np.ones((SIDE, SIDE), np.float32)
    with threadpool_limits(1):
        seconds = _median_seconds(lambda: a @ a)
    rate = 2 * SIDE**3 / seconds / 1e9
    return Check("speed of products", "ok", f"{rate:.0f} GFLOP/s, float32, one core, BLAS of NumPy")


def _training() -> Sequence[Check]:
    from lsg_ray.networks.solvers import mean_field
    from lsg_ray.rng import Stream, seed_sequence
    from lsg_ray.spec import NetworkSpec, TrainingSpec

    network, training = NetworkSpec(), TrainingSpec(epochs=1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(EXAMPLES, network.widths[0])).astype(np.float32)
    y = rng.integers(0, network.widths[-1], EXAMPLES)
    seeds = [seed_sequence(0, Stream.TRIAL, 0, 0)]

    def epoch() -> object:
        return mean_field.train(network, training, x, y, seeds)

    began = time.perf_counter()
    epoch()
    first = time.perf_counter() - began
    seconds = _median_seconds(epoch)
    rate = FLOP * network.n_weights * EXAMPLES / seconds / 1e9
    widths = "-".join(map(str, network.widths))
    seen = (
        f"{1e3 * seconds:.1f} ms for an epoch of {EXAMPLES:,} examples, {widths}, one core: "
        f"{rate:.0f} GFLOP/s"
    )
    return [
        Check("speed of training", "ok", seen),
        Check("first call of a kernel", "ok", f"{first:.1f} s: compiled, or read from the cache"),
    ]


def _disk() -> Check:
    content = os.urandom(WRITTEN)
    with tempfile.TemporaryFile(dir=Path.cwd()) as file:
        began = time.perf_counter()
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        seconds = time.perf_counter() - began
    rate = WRITTEN / seconds / 2**20
    return Check("speed of the disk", "ok", f"{rate:,.0f} MiB/s written in {Path.cwd()}")


def _median_seconds(work: Callable[[], object]) -> float:
    """Return the median time of a call, over half a second."""
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times))
