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


def test_selection(benchmark, examples):
    """Accuracy of 100 drawn configurations on a sixth of the examples, as after each trial."""
    x, y = examples
    chunks = chunk_examples(x[: len(x) // 6], y[: len(x) // 6])
    drawn = np.random.default_rng(0).choice([-1, 1], (100, NETWORK.n_weights)).astype(np.int8)
    benchmark(binary_network.evaluate, NETWORK, drawn, chunks)
