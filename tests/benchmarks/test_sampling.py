"""Scaling over workers, cost of Ray and the store, and memory of driver and workers.

At toy size an ordinary test; at full size:

    pytest tests/benchmarks/test_sampling.py --benchmark-enable -s
"""

import subprocess
import sys
import time

import numpy as np
import psutil

from lsg_ray.cluster.limits import available_cpus
from lsg_ray.cluster.sample import sample
from lsg_ray.cluster.session import ray_session
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.networks.solvers import mean_field
from lsg_ray.spec import Spec


def _spec(full: bool) -> Spec:
    return Spec.model_validate(
        {
            "dataset": {"name": "digits"},
            "training": {"epochs": 100 if full else 2, "batch_size": 50},
            "ensemble": {"count": 1200 if full else 16, "threshold": 0.0, "draws": 50},
        }
    )


def test_workers_scale(request, toy_ray, tmp_path):
    """Configurations per second of one and two workers, and the cost of Ray, store and records.

    In turn, three times at full size, medians.  What starts once does not count, Ray, the workers
    and what they compile: it is the time of a store of two configurations.
    """
    full = request.config.getoption("benchmark_enable")
    spec = _spec(full)
    mean_field.warm_up()
    arena = prepare(spec, load_dataset(spec.dataset))
    first = spec.replace(ensemble={"count": 2, "block_size": 1})
    rates: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for repeat in range(3 if full else 1):
        began = time.perf_counter()
        sample_configurations(spec, arena, 0, spec.ensemble.count)
        rates[0].append(spec.ensemble.count / (time.perf_counter() - began))
        for workers in (1, 2):
            store = tmp_path / f"{repeat}-{workers}"
            with ray_session(cpus=workers):
                start = sample(first, f"{store}-first.zarr", workers=workers)
                result = sample(spec, f"{store}.zarr", workers=workers)
            rates[workers].append((result.rows - start.rows) / (result.seconds - start.seconds))
    bare, one, two = (float(np.median(rates[workers])) for workers in (0, 1, 2))
    print(f"\nbare kernel {bare:.2f}/s, one worker {one:.2f}/s ({one / bare:.0%}), "
          f"two workers {two:.2f}/s ({two / one:.2f}x)")  # fmt: skip
    if full and available_cpus() >= 2:
        assert one >= 0.9 * bare
        assert two >= 1.8 * one


_DRIVER = """
import pathlib, re, sys
from lsg_ray.cluster.sample import sample
from lsg_ray.spec import load_spec
sample(load_spec(sys.argv[1], sys.argv[3:]), sys.argv[2], workers=2)
# Not ru_maxrss, which starts from the parent's.
print(int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024)
"""


def test_memory(request, tmp_path):
    """Peak memory of driver and workers; at full size a million takes a step a configuration."""
    full = request.config.getoption("benchmark_enable")
    for count in (1_000, 1_000_000) if full else (1_010,):
        _check_memory(tmp_path / str(count), count, pause=0.5 if full else 0.1)


def _check_memory(folder, count, pause):
    folder.mkdir()
    file = folder / "spec.yaml"
    file.write_text(
        "{dataset: {name: digits, train_examples: 10}, training: {epochs: 1, batch_size: 10},"
        f"ensemble: {{count: {count}, threshold: 0, draws: 1}}}}"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(file), str(folder / "s.zarr")],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    worker_peak = 0
    while driver.poll() is None:
        worker_peak = max(worker_peak, _largest_worker(driver.pid))
        time.sleep(pause)
    out, _ = driver.communicate()
    assert driver.returncode == 0
    peak = int(out.split()[-1])
    print(f"\n{count:,} configurations: driver {peak} MB, largest worker {worker_peak} MB")
    assert peak < 500
    assert worker_peak < 600
    assert open_ensemble(folder / "s.zarr").complete


def _largest_worker(pid: int) -> int:
    sizes = [0]
    try:
        for child in psutil.Process(pid).children(recursive=True):
            if " ".join(child.cmdline()).startswith("ray::Sampler"):
                sizes.append(child.memory_info().rss // 2**20)
    except psutil.Error:
        pass
    return int(np.max(sizes))
