"""Speed of training a 20-15-15-10 network against plain NumPy, in one run.

At toy size an ordinary test; at full size (60,000 examples):

    pytest tests/benchmarks --benchmark-enable -s
"""

import time

import numpy as np
import pytest

from lsg_ray.networks import binary_network
from lsg_ray.networks.layout import chunk_examples
from lsg_ray.networks.solvers import mean_field
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import NetworkSpec, TrainingSpec
from tests.networks.reference import train_in_numpy

NETWORK = NetworkSpec()


@pytest.fixture
def examples(request):
    """Random inputs with the variances of MNIST's components; MNIST's number at full size."""
    full = request.config.getoption("benchmark_enable")
    n = 60_000 if full else 1_000
    rng = np.random.default_rng(0)
    scale = np.sqrt(np.geomspace(5.1, 0.6, 20))
    return (rng.normal(size=(n, 20)) * scale).astype(np.float32), rng.integers(0, 10, n)


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_training_epoch(benchmark, examples, engine):
    """One epoch; the torch engine stacks 32 networks and is quoted per network."""
    x, y = examples
    count = 32 if engine == "torch" else 1
    seeds = [seed_sequence(0, Stream.TRIAL, i, 0) for i in range(count)]
    training = TrainingSpec(epochs=1, engine=engine)
    mean_field.warm_up()
    benchmark.extra_info["networks"] = count
    benchmark.pedantic(
        mean_field.train,
        (NETWORK, training, x, y, seeds),
        {"device": "cpu"},
        rounds=5,
        warmup_rounds=1,
    )


def test_training_against_numpy(examples, request):
    """Times of one epoch, alternating, median of five; at full size 15 ms or 13 times at least."""
    x, y = examples
    training = TrainingSpec(epochs=1)
    seeds = [seed_sequence(0, Stream.TRIAL, 0, 0)]
    start = mean_field.initial_fields(NETWORK, training, seeds)[0]
    mean_field.train(NETWORK, training, x, y, seeds)
    ours, theirs = [], []
    for _ in range(5):
        began = time.perf_counter()
        mean_field.train(NETWORK, training, x, y, seeds)
        between = time.perf_counter()
        train_in_numpy(NETWORK, training, x, y, start, np.random.default_rng(0))
        ours.append(between - began)
        theirs.append(time.perf_counter() - between)
    ratio = float(np.median(np.array(theirs) / np.array(ours)))
    print(f"\none epoch: {np.median(ours) * 1e3:.1f} ms, NumPy {np.median(theirs) * 1e3:.1f} ms, "
          f"ratio {ratio:.1f}")  # fmt: skip
    if request.config.getoption("benchmark_enable"):
        assert np.median(ours) <= 0.015 or ratio >= 13


@pytest.mark.parametrize("widths", [(20, 15, 15, 10), (784, 100, 100, 10)])
def test_frozen_parts(widths, request):
    """Epochs with a part frozen over whole ones, in turn: gradients of it are not computed."""
    full = request.config.getoption("benchmark_enable")
    n = (60_000 if widths[0] == 20 else 10_000) if full else 400
    rng, network, training = np.random.default_rng(0), NetworkSpec(widths=widths), TrainingSpec()
    training = training.model_copy(update={"epochs": 1})
    x, y = rng.normal(size=(n, widths[0])).astype(np.float32), rng.integers(0, 10, n)
    seeds = [seed_sequence(0, Stream.TRIAL, 0, 0)]
    cases = ((), ("LB",), ("ITR",), ("RB",), ("LB", "ITR"))
    seconds: dict[tuple[str, ...], list[float]] = {case: [] for case in cases}
    for _ in range(15 if full else 1):
        for case in cases:
            began = time.perf_counter()
            mean_field.train(network, training, x, y, seeds, frozen=mean_field.Frozen(case))
            seconds[case].append(time.perf_counter() - began)
    whole = np.array(seconds.pop(()))
    ratios = {"+".join(case): np.median(times / whole) for case, times in seconds.items()}
    print(f"\n{widths}: an epoch {np.median(whole) * 1e3:.1f} ms; frozen "
          + ", ".join(f"{case} {ratio:.2f}" for case, ratio in ratios.items()))  # fmt: skip
    if full:
        assert ratios["LB"] < (0.95 if widths[0] == 20 else 0.7)


def test_selection(benchmark, examples):
    """Accuracy of 100 drawn configurations on a sixth of the examples, as after each trial."""
    x, y = examples
    chunks = chunk_examples(x[: len(x) // 6], y[: len(x) // 6])
    drawn = np.random.default_rng(0).choice([-1, 1], (100, NETWORK.n_weights)).astype(np.int8)
    benchmark(binary_network.evaluate, NETWORK, drawn, chunks)
