"""Entropy scans and TAP states beside a NumPy loop.

At toy size an ordinary test; at full size (some five minutes):

    pytest tests/benchmarks/test_landscape.py --benchmark-enable -s
"""

import time

import dask
import numpy as np
import pytest

from lsg_ray.cluster.dask import ray_scheduler
from lsg_ray.cluster.session import ray_session
from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.tap import tap_states

from .test_ising import N, numpy_sweep, spin_glass, timed

TOLERANCE = 1e-9


def numpy_branch(model, sigma, fields) -> int:
    """Warm-started sweeps of plain NumPy, tanh J hoisted; returns how many."""
    t, messages = np.tanh(model.J), np.tanh(model.h + fields[0] * sigma)[:, None] + 0 * model.J
    sweeps = 0
    for x in fields:
        h, moved = model.h + x * sigma, np.inf
        while moved > TOLERANCE and sweeps < 100_000:
            new = numpy_sweep(messages, t, h)
            moved = np.abs(new - messages).max()
            messages, sweeps = new, sweeps + 1
        # Energy and entropy would come on top.
    return sweeps


def test_scan_against_numpy(full):
    """Per core, 61 fields in both directions; the loop on a few fields, and by its sweeps."""
    n, references, fields = (N, 8, 61) if full else (40, 1, 5)
    model = spin_glass(n, 0.7)
    xs = np.round(np.linspace(-3, 3, fields), 10)
    sigma = np.random.default_rng(1).choice([-1, 1], (references, n))
    entropy_scan(model, sigma[:1], xs[:2])
    with dask.config.set(scheduler="synchronous"):
        ours = timed(lambda: entropy_scan(model, sigma, xs)) / (2 * references)
    theirs = timed(lambda: numpy_branch(model, sigma[0], xs))
    print(
        f"\nscan, N = {n}, {fields} fields, one direction, one core: {ours:.2f} s, NumPy sweeps "
        f"{theirs:.1f} s ({theirs / ours:.0f}x)"
    )
    if full:
        assert theirs / ours >= 6


@pytest.mark.parametrize("workers", [2])
def test_scan_on_two_workers(full, toy_ray, workers):
    n, references, fields = (N, 16, None) if full else (20, 2, [-1.0, 0.0, 1.0])
    model = spin_glass(n, 0.7)
    sigma = np.random.default_rng(1).choice([-1, 1], (references, n))
    times = []
    with dask.config.set(scheduler="synchronous"):
        entropy_scan(model, sigma[:1], [0.0])  # compiled once, for all workers
    with ray_session(cpus=workers):
        for in_flight in (1, 2 * workers):
            with dask.config.set(scheduler=ray_scheduler(in_flight)):
                entropy_scan(model, sigma[:2], [0.0])  # workers start and load the kernels
                times.append(timed(lambda: entropy_scan(model, sigma, fields)))
    print(f"\nscan on Ray, one task at a time {times[0]:.1f} s, on {workers} workers "
          f"{times[1]:.1f} s ({times[0] / times[1]:.2f}x)")  # fmt: skip
    if full:
        assert times[0] / times[1] >= 1.8


def test_tap_of_two_thousand_starts(full):
    n, starts = (N, 2000) if full else (30, 50)
    began = time.perf_counter()
    found = tap_states(spin_glass(n, 0.7), starts=starts)
    taken = time.perf_counter() - began
    print(f"\nTAP, N = {n}, {starts} starts: {taken:.1f} s, {found.attrs['states']} states")
    assert found.attrs["converged"] == 1
    if full:
        assert taken <= 60
