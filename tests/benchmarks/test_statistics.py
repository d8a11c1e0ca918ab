"""Moments, overlaps and canonical forms beside what a user would write instead.

At toy size an ordinary test; at full size (two million configurations, some 6 GiB of memory for the
matrix product beside it):

    pytest tests/benchmarks/test_statistics.py --benchmark-enable -s
"""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import psutil
from threadpoolctl import threadpool_limits

import lsg_ray
from lsg_ray.cluster.dask import TASKS_PER_CPU, ray_scheduler
from lsg_ray.cluster.limits import available_cpus
from lsg_ray.cluster.session import ray_session
from tests.ensemble.mixture import synthetic

N = 675

PEAK = """
import re, sys, time
import lsg_ray
ensemble = lsg_ray.open_ensemble(sys.argv[1])
began = time.perf_counter()
lsg_ray.{name}(ensemble)
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())
print(time.perf_counter() - began, int(peak[1]) / 1024)
"""


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def alone(name: str, store) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of a statistic in a process of its own, kernels compiled."""
    script = PEAK.format(name=name)
    ran = subprocess.run(
        [sys.executable, "-c", script, str(store)], capture_output=True, text=True, check=True
    )
    seconds, peak = map(float, ran.stdout.split())
    return seconds, peak


def test_moments_against_a_matrix_product(full, tmp_path):
    """m and C from the store, against float32 XᵀX in memory and Dask's tensordot, all cores."""
    count = 2_000_000 if full else 3_000
    ensemble = synthetic(tmp_path / "e", count, N, 0)
    lsg_ray.moments(ensemble.where("configuration < 1000"))
    signs = np.empty((count, N), np.float32)
    for start in range(0, count, 100_000):
        rows = lsg_ray.open_ensemble(ensemble.url).take(
            np.arange(start, min(start + 100_000, count))
        )
        signs[start : start + 100_000] = rows["weights"]
    ours, theirs = [], []
    with threadpool_limits(available_cpus()):
        for _ in range(3):
            theirs.append(timed(lambda s=signs: s.T @ s))
            ours.append(timed(lambda: lsg_ray.moments(ensemble)))
    C = signs[:1000].T.astype(float) @ signs[:1000] / 1000
    np.testing.assert_array_equal(lsg_ray.moments(signs[:1000])["C"], C)
    del signs
    x = ensemble.to_dask().astype(np.float32)
    tensordot = timed(lambda: da.tensordot(x, x, axes=(0, 0)).compute())
    seconds, peak = alone("moments", ensemble.url)
    ours_, theirs_ = np.median(ours), np.median(theirs)
    print(
        f"\n{count:,} x {N}: moments from the store {ours_:.2f} s, float32 GEMM in memory "
        f"{theirs_:.2f} s ({theirs_ / ours_:.1f}x), dask tensordot {tensordot:.1f} s "
        f"({tensordot / ours_:.1f}x); alone {seconds:.2f} s, peak {peak:.0f} MiB"
    )
    if full:
        assert ours_ <= theirs_
        assert peak <= 1024


def test_moments_are_linear_in_the_count_by_threads_and_by_ray(full, toy_ray, tmp_path):
    """In turn, the fastest of each; what 10⁹ take by the slope; nothing is spilled to disk."""
    counts = (100_000, 1_000_000, 10_000_000) if full else (500, 1000, 2000)
    ensembles = {count: synthetic(tmp_path / f"{count}", count, N, 0) for count in counts}
    seconds: dict[str, dict[int, float]] = {"threads": {}, "Ray": {}}
    peak: dict[int, float] = {}
    with ray_session(cpus=available_cpus()) as cpus:
        ways = {"threads": "threads", "Ray": ray_scheduler(TASKS_PER_CPU * cpus)}
        for count, ensemble in ensembles.items():
            found = set()
            for repeat in range(4 if full else 2):
                for way, scheduler in ways.items():
                    with dask.config.set(scheduler=scheduler):
                        began = time.perf_counter()
                        result = lsg_ray.moments(ensemble)
                        took = time.perf_counter() - began
                    found.add(result["C"].values.tobytes())
                    if repeat:  # the first compiles, and starts workers
                        seconds[way][count] = min(took, seconds[way].get(count, took))
            assert len(found) == 1
            peak[count] = largest_child("ray::")
        assert not spilled(), "partial sums went to disk"
    for way, took_by in seconds.items():
        slope = (took_by[counts[2]] - took_by[counts[1]]) / (counts[2] - counts[1])
        times = ", ".join(f"{count:,}: {took_by[count]:.2f} s" for count in counts)
        print(f"\n{way}, {cpus} cores: {times}; 10⁹: {1e9 * slope:,.0f} s by the slope", end="")
    print(f"\nlargest worker {', '.join(f'{size:.0f}' for size in peak.values())} MiB, its own")
    if full:
        assert seconds["threads"][counts[2]] <= 13 * seconds["threads"][counts[1]]
        assert seconds["Ray"][counts[2]] <= 1.3 * seconds["threads"][counts[2]]
        assert peak[counts[2]] <= 1.2 * peak[counts[1]]


def largest_child(name: str) -> float:
    """Memory (MiB) of the largest process below this one, less what it shares with others."""
    sizes = [0.0]
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.name().startswith(name):
                sizes.append(child.memory_full_info().uss / 2**20)
    return max(sizes)


def spilled() -> list[Path]:
    """Return what this process's Ray has written to disk for want of memory."""
    import ray

    folder = Path(ray._private.worker._global_node.get_session_dir_path())
    return [file for file in folder.glob("ray_spilled_objects*/*") if file.is_file()]


def numpy_histogram(words: np.ndarray, n: int) -> np.ndarray:
    """All pairs by blocks of rows: exclusive or, bitwise_count, word by word, bincount."""
    counts = np.zeros(n + 1, np.int64)
    for start in range(0, len(words), 256):
        block = words[start : start + 256]
        rest = words[start:]
        distances = np.zeros((len(block), len(rest)), np.uint16)
        for a, b in zip(block.T, rest.T, strict=True):
            distances += np.bitwise_count(a[:, None] ^ b[None])
        counts += np.bincount(distances[np.triu_indices(len(block), 1, len(rest))], minlength=n + 1)
    return counts


def test_overlaps_against_numpy(full, tmp_path):
    """All pairs; NumPy on a quarter of the rows, one core, scaled by the number of pairs."""
    count = 100_000 if full else 1500
    ensemble = synthetic(tmp_path / "e", count, N, 0)
    lsg_ray.overlaps(ensemble, configurations=1000)
    ours = min(timed(lambda: lsg_ray.overlaps(ensemble)) for _ in range(3))
    some = count // 5
    bits = np.concatenate([ensemble.packed_block(b) for b in ensemble.blocks.tolist()])[:some]
    words = np.zeros((some, 11), np.uint64)
    words.view(np.uint8)[:, : bits.shape[1]] = bits
    found = []
    pairs, all_pairs = some * (some - 1) // 2, count * (count - 1) // 2
    numpy = timed(lambda: found.append(numpy_histogram(words, N))) * all_pairs / pairs
    small = lsg_ray.overlaps(ensemble.where(f"configuration < {some}"))
    np.testing.assert_array_equal(small["pairs"].values[::-1], found[0])
    seconds, peak = alone("overlaps", ensemble.url)
    cores = available_cpus()
    print(
        f"\n{all_pairs:,} pairs: {ours:.2f} s on {cores} cores, NumPy {numpy:.0f} s on one "
        f"({numpy / ours:.0f}x; {numpy / cores / ours:.0f}x a core); alone {seconds:.2f} s, "
        f"peak {peak:.0f} MiB"
    )
    if full:
        assert ours <= numpy / cores / 4
        assert peak <= 500


def test_canonical_forms(full, tmp_path):
    count = 100_000 if full else 200
    ensemble = synthetic(tmp_path / "e", count, N, 0)
    seconds = timed(lambda: lsg_ray.canonicalize(ensemble, tmp_path / "c"))
    print(f"\ncanonical forms of {count:,}, from store to store: {seconds:.1f} s")
    if full:
        assert seconds <= 30


def test_map(full, tmp_path):
    count = 100_000 if full else 300
    ensemble = synthetic(tmp_path / "e", count, N, 0)
    marks = []
    began = time.perf_counter()
    lsg_ray.embed(ensemble, progress=lambda *_: marks.append(time.perf_counter() - began))
    print(f"\nt-SNE of {count:,}: {marks[-1]:.0f} s, of which {marks[0]:.0f} s before the layout")
