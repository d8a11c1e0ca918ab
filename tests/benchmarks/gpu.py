"""What a GPU does for the package: run on a machine with one, prints a table with the card's name.

    pip install 'lsg-ray[gpu]'
    python tests/benchmarks/gpu.py [--networks 512] [--epochs 5] [--count 2048] [--dollars 2.5]

Times are of the best of three, after a first that compiles.  Floors: flops over the float32 GEMM of
torch (without TF32), bytes over the bandwidth of a copy, both measured in the same run; without a
torch for CUDA shares of them are nan.  ``--data mnist`` takes MNIST, which must be there, in place
of random examples of its size and of the digits of scikit-learn in the sampling run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import lsg_ray
from lsg_ray.ising.chains import Chains
from lsg_ray.ising.model import IsingModel
from lsg_ray.networks import sampling
from lsg_ray.networks.layout import Arena, chunk_examples
from lsg_ray.networks.solvers import mean_field, thread_blocks
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import NetworkSpec, Spec, TrainingSpec, parse_spec

NETWORK = NetworkSpec()
#: Configurations of the liquid-like paper, and trials for each as `lsg estimate` finds on MNIST.
PAPER, TRIALS_EACH = 2_000_000, 1.05
#: Spins of the Monte Carlo, as many as the deep network has weights.
SPINS = 675

Row = tuple[str, str]


def best(work: Callable[[], Any], repeats: int = 3) -> float:
    """Return the shortest time of some calls, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def floors() -> tuple[float, float]:
    """Return flop/s of a float32 GEMM and bytes/s of a copy, as torch reaches; NaN without."""
    import torch

    if not torch.cuda.is_available():
        return np.nan, np.nan
    torch.backends.cuda.matmul.allow_tf32 = False
    n = 8192
    a, b = (torch.randn(n, n, device="cuda") for _ in range(2))
    source = torch.empty(2**28, device="cuda")
    target = torch.empty_like(source)

    def waited(work: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            work()
            torch.cuda.synchronize()

        return run

    product = best(waited(lambda: torch.matmul(a, b)))
    copy = best(waited(lambda: target.copy_(source)))
    return 2 * n**3 / product, 2 * 4 * 2**28 / copy


def flops_of_epoch(network: NetworkSpec, examples: int) -> float:
    """Two products forward, two of the gradient, and two back but in the first layer."""
    sizes = [a * b for a, b in itertools.pairwise(network.widths)]
    return 2.0 * examples * (6 * sum(sizes) - 2 * sizes[0])


def examples_of(data: str, examples: int) -> tuple[Any, Any, Any, Any]:
    """Return a training set and a test set: MNIST, or random of its size and variances."""
    if data == "mnist":
        found = lsg_ray.load_dataset(parse_spec({"dataset": {"name": "mnist"}}).dataset)
        return found.train.x, found.train.y, found.test.x, found.test.y
    rng, n_test = np.random.default_rng(0), max(examples // 6, 8)
    x = rng.normal(size=(examples + n_test, 20)) * np.sqrt(np.geomspace(5.1, 0.6, 20))
    y = rng.integers(0, 10, len(x))
    x = x.astype(np.float32)
    return x[:examples], y[:examples], x[examples:], y[examples:]


def training(options: argparse.Namespace, peaks: tuple[float, float]) -> list[Row]:
    """Time of an epoch of a network, in launches of many; the same bits with other threads."""
    x, y, *_ = examples_of(options.data, options.examples)
    spec = TrainingSpec(epochs=options.epochs, engine="cuda")
    seeds = [seed_sequence(0, Stream.TRIAL, i, 0) for i in range(options.networks)]
    seconds = best(lambda: mean_field.train(NETWORK, spec, x, y, seeds))
    each = seconds / options.networks / options.epochs
    few = TrainingSpec(epochs=1, engine="cuda")
    cpu = mean_field.train(NETWORK, TrainingSpec(epochs=1), x, y, seeds[:1])
    gpu = mean_field.train(NETWORK, few, x, y, seeds[:1])
    flops, read = flops_of_epoch(NETWORK, len(x)), 4.0 * len(x) * (x.shape[1] + 2)
    rows = [
        (f"epoch of a network, {options.networks} at a time", f"{1e6 * each:,.1f} µs"),
        ("of the floor of flops, of bytes", f"{flops / peaks[0] / each:.0%}, "
         f"{read / peaks[1] / each:.0%}"),
        ("loss of the first epoch, GPU and CPU", f"{gpu.loss[0, 0]:.4f}, {cpu.loss[0, 0]:.4f}"),
    ]  # fmt: skip
    if not options.toy:
        before = thread_blocks.CONFIG.threads
        same = [_with_threads(n, few, x, y, seeds[:8]) for n in (before, 64, 256)]
        equal = all(np.array_equal(same[0], other) for other in same[1:])
        rows.append((f"bits with {before}, 64, 256 threads", "equal" if equal else "DIFFERENT"))
    return rows


def _with_threads(threads: int, spec: TrainingSpec, x: Any, y: Any, seeds: Any) -> Any:
    before = thread_blocks.CONFIG
    thread_blocks.CONFIG = replace(before, threads=threads)
    try:
        return mean_field.train(NETWORK, spec, x, y, seeds).fields
    finally:
        thread_blocks.CONFIG = before


def trials(options: argparse.Namespace) -> list[Row]:
    """Trials a second with all that belongs to one, and what the paper's ensemble costs."""
    x, y, x_test, y_test = examples_of(options.data, options.examples)
    spec = Spec(
        training=TrainingSpec(engine="cuda", epochs=options.trial_epochs),
        ensemble={"threshold": 0.0, "draws": options.draws},
    )
    test = chunk_examples(x_test, y_test)
    arena = Arena(np.ascontiguousarray(x), y.astype(np.int32), test, test)
    rows = options.networks
    seconds = best(lambda: sampling.sample_configurations(spec, arena, 0, rows), 1)
    hours = PAPER * TRIALS_EACH * seconds / rows / 3600
    what = f"trials a second ({options.trial_epochs} epochs, {options.draws} draws, judged)"
    return [
        (what, f"{rows / seconds:,.0f}"),
        (f"{PAPER:,} configurations at {TRIALS_EACH} trials", f"{hours:,.1f} h, "
         f"${hours * options.dollars:,.2f} at ${options.dollars:g} an hour"),
    ]  # fmt: skip


def monte_carlo(options: argparse.Namespace) -> list[Row]:
    """Spins tried a second, and the mean energy beside the CPU's."""
    rng, n = np.random.default_rng(0), 12 if options.toy else SPINS
    J = np.triu(rng.normal(size=(n, n)) * 0.5 / np.sqrt(n), 1)
    model = IsingModel(J + J.T, 0.1 * rng.normal(size=n))
    count, sweeps = (16, 2) if options.toy else (8192, 100)
    chains = Chains(model, count, layout="cuda")
    seconds = best(lambda: chains.sweep(sweeps))
    cpu = Chains(model, min(count, 1024), seed=1)
    cpu.sweep(4 * sweeps)
    energies = chains.energies(), cpu.energies()
    means = ", ".join(f"{e.mean():.2f} ± {e.std() / np.sqrt(len(e)):.2f}" for e in energies)
    return [
        (f"Monte Carlo, N = {n}, {count:,} chains", f"{count * n * sweeps / seconds / 1e6:,.1f} "
         "million spins/s"),
        ("its mean energy, GPU and CPU, nat", means),
    ]  # fmt: skip


def sampling_run(options: argparse.Namespace) -> list[Row]:
    """Sample through Ray with both engines, verify, and compare the ensembles."""
    tree = {
        "name": "gpu",
        "dataset": {"name": options.data},
        "training": {"epochs": options.trial_epochs},
        "ensemble": {"count": options.count, "threshold": 0.0, "draws": options.draws},
    }
    rows, tables = [], []
    with tempfile.TemporaryDirectory() as folder:
        for engine in ("cuda", "numba"):
            spec, store = parse_spec(tree), Path(folder) / f"{engine}.zarr"
            spec = spec.replace(training={"engine": engine})
            done = lsg_ray.sample(spec, store, workers=None if engine == "numba" else 2)
            sound = lsg_ray.verify(store)
            tables.append(lsg_ray.open_ensemble(store).to_pandas())
            what = f"{done.rows:,} configurations through Ray, {engine}"
            good = "verified" if sound.ok else "DAMAGED"
            rows.append((what, f"{done.trials / done.seconds:,.1f} trials/s, {good}"))
    for name in ("accuracy", "polarization"):
        values = [table[name].to_numpy(float) for table in tables]
        errors = [v.std(ddof=1) / np.sqrt(len(v)) for v in values]
        gap = (values[0].mean() - values[1].mean()) / max(np.hypot(*errors), 1e-12)
        shown = ", ".join(f"{v.mean():.4f} ± {e:.4f}" for v, e in zip(values, errors, strict=True))
        rows.append((f"mean {name}, GPU and CPU", f"{shown}: {gap:+.1f} standard errors apart"))
    return rows


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure the engine cuda on one GPU.")
    parser.add_argument("--networks", type=int, default=512, help="networks of a launch")
    parser.add_argument("--epochs", type=int, default=5, help="epochs that are timed")
    parser.add_argument("--trial-epochs", type=int, default=50, help="epochs of a trial")
    parser.add_argument("--examples", type=int, default=60_000, help="random training examples")
    parser.add_argument("--draws", type=int, default=100, help="draws of a trial")
    parser.add_argument("--count", type=int, default=2048, help="configurations of the Ray run")
    parser.add_argument("--dollars", type=float, default=2.5, help="price of an hour of the GPU")
    parser.add_argument("--data", choices=("digits", "mnist"), default="digits")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, to try the script")
    options = parser.parse_args(arguments)
    if options.toy:
        small = {"networks": 1, "epochs": 1, "trial_epochs": 1, "examples": 8, "draws": 1}
        vars(options).update(small, count=1)
        thread_blocks.CONFIG = replace(thread_blocks.CONFIG, threads=1, trials=2)
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a table."""
    options = options_of(arguments)
    from lsg_ray.kernels.cuda import launch

    needed = launch.missing()
    if needed is not None:
        print(f"gpu.py: this machine lacks {needed}", file=sys.stderr)
        return 2
    peaks = floors()
    rows = [
        ("GPU", launch.name()),
        ("float32 GEMM; copy", f"{peaks[0] / 1e12:.1f} TFLOP/s; {peaks[1] / 1e12:.2f} TB/s"),
        *training(options, peaks),
        *trials(options),
        *monte_carlo(options),
    ]
    if not options.toy:
        rows += sampling_run(options)
    if options.json:
        print(json.dumps(dict(rows), ensure_ascii=False))
    else:
        print("\n".join(["| what | figure |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
