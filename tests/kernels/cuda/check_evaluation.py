"""Draws and their correct answers against the CPU's evaluation; a whole sampling run."""

from dataclasses import replace

import numpy as np
import pytest

import lsg_ray
from lsg_ray.networks import sampling
from lsg_ray.networks.binary_network import evaluate
from lsg_ray.networks.layout import Layout, chunk_examples
from lsg_ray.networks.solvers import thread_blocks
from lsg_ray.networks.trial import Purpose
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import NetworkSpec, parse_spec
from tests.kernels.cuda import reference


def _seeds(count):
    return [seed_sequence(0, Stream.TRIAL, i, 0) for i in range(count)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    config = replace(thread_blocks.CONFIG, threads=1, trials=3, tiles=(16,))
    monkeypatch.setattr(thread_blocks, "CONFIG", config)


def _drawn(network, fields, seed, draws, fixed):
    """(draws, N) by the definition, in NumPy."""
    layout, key = Layout(network.widths), reference.key_of(seed, Purpose.DRAW)
    quads = np.arange(layout.n_padded // 4)
    words = reference.philox((quads, np.arange(draws)[:, None], 0, 2), key)
    levels = np.moveaxis(words >> np.uint64(8), 0, -1).reshape(draws, -1)[:, layout.positions]
    plus = np.where(fixed, fields > 0, 1 / (1 + np.exp(-fields.astype(float))))
    return np.where(levels / 2**24 < plus, 1, -1)


@pytest.mark.parametrize(("widths", "loss"), [((3, 5, 4), "cross_entropy"), ((4, 3, 1), "hinge")])
def test_the_best_draw_is_that_of_the_cpu(widths, loss):
    network, draws, rng = NetworkSpec(widths=widths), 4, np.random.default_rng(1)
    y = rng.choice([-1, 1], 50) if loss == "hinge" else rng.integers(0, widths[-1], 50)
    examples = chunk_examples(rng.normal(size=(50, widths[0])), y)
    fields = rng.normal(0, 1.5, (2, network.n_weights)).astype(np.float32)
    along = np.stack([fields * 0, fields], 1)
    fixed = np.arange(network.n_weights) < 5
    best, snapshots = thread_blocks.best_draws(
        network, loss, examples, fields, _seeds(2), draws, fixed, along
    )
    for row, seed in enumerate(_seeds(2)):
        drawn = _drawn(network, fields[row], seed, draws, fixed)
        accuracy, _ = evaluate(network, drawn, examples, loss)
        number = int(np.argmax(accuracy))
        np.testing.assert_array_equal(best[row], drawn[number])
        blank = _drawn(network, 0 * fields[row], seed, draws, fixed)
        np.testing.assert_array_equal(snapshots[row], [blank[number], drawn[number]])


TINY = {
    "name": "tiny",
    "dataset": {"name": "digits", "components": 2, "train_examples": 30},
    "network": {"widths": [2, 10]},
    "training": {"epochs": 1, "batch_size": 15, "engine": "cuda"},
    "ensemble": {
        "count": 4, "threshold": 0.11, "draws": 1, "store_fields": True, "snapshots": [0, 1],
        "block_size": 3,
    },
}  # fmt: skip


def test_a_run_is_stored_as_it_is():
    """Blocks of three and one, in launches of up to three trials; each configuration its own."""
    spec = parse_spec(TINY)
    done = lsg_ray.sample(spec, "memory://simulated", workers=0)
    assert done.rows == 4
    ensemble = lsg_ray.open_ensemble("memory://simulated")
    assert (ensemble.to_pandas()["accuracy"] >= 0.11).all()
    arena = sampling.prepare(spec, lsg_ray.load_dataset(spec.dataset))
    alone = sampling.sample_configurations(spec, arena, 2, 1)
    np.testing.assert_array_equal(alone.weights, ensemble.numpy()[2:3])
