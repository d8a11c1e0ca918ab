"""Stores of perceptrons and committees, sampled in this process."""

import itertools

import numpy as np
import pytest

from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.networks.algorithm import Algorithm
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.registry import ALGORITHMS
from lsg_ray.spec import parse_spec


def _no_trials(spec, arena, device):
    raise AssertionError("these weights are given")


#: Instead of a solver, of stores of given weights.
GIVEN = Algorithm("given", ("perceptron", "committee", "parity", "spherical-parity"), _no_trials)


@pytest.fixture(scope="session", autouse=True)
def given_weights():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ALGORITHMS.builtin, "given", f"{__name__}:GIVEN")
        yield


def machine(family="spherical-committee", units=3, n=15, alpha=0.6, count=3, **sections):
    """Return a specification of random patterns; ``connection`` goes into the options."""
    connection = sections.pop("connection", "tree")
    inputs = n if connection == "full" else units * n
    network = {"family": family, "widths": [inputs, units, 1]}
    if "perceptron" in family:
        inputs = n
        network["widths"] = [n, 1]
    elif connection == "full":
        network["options"] = {"connection": "full"}
    size = n if "perceptron" in family else units * n
    patterns = max(1, round(alpha * size))
    return parse_spec({
        "name": sections.pop("name", "machine"),
        "dataset": {"name": "random-patterns", "patterns": patterns, "inputs": inputs,
                    "test_patterns": 50, **sections.pop("dataset", {})},
        "network": network,
        "training": {"epochs": 500, **sections.pop("training", {})},
        "ensemble": {"count": count, **sections.pop("ensemble", {})},
    })  # fmt: skip


@pytest.fixture(scope="session")
def machine_spec():
    return machine


@pytest.fixture(scope="session")
def machines():
    """Function that stores an ensemble: solutions of its algorithm, or given weights (M, N)."""
    numbers = itertools.count()

    def store(spec, weights=None):
        dataset = load_dataset(spec.dataset)
        arena = prepare(spec, dataset) if weights is None else None
        url = f"memory://machines-{next(numbers)}"
        plan = create_ensemble(url, spec, dataset_hash=dataset.content_hash)
        for index in range(plan.n_blocks):
            start = index * plan.block_size
            rows = min(plan.block_size, spec.ensemble.count - start)
            if weights is None:
                sampled = sample_configurations(spec, arena, start, rows)
                block = Block(start, sampled.weights, sampled.columns, rows)
            else:
                some = np.asarray(weights)[start : start + rows]
                whole = ("errors", "epochs", "trial", "stopped")
                names = (*whole, "alpha", "norm", "accuracy", "loss", "test_accuracy")
                columns = {n: np.zeros(rows, np.int32 if n in whole else float) for n in names}
                block = Block(start, some, columns, rows)
            write_block(url, index, block)
        return open_ensemble(url)

    return store


@pytest.fixture(scope="session")
def committees(machines):
    """Four solutions of a tree of three units, by least-action learning."""
    return machines(machine(count=4, name="committees"))


@pytest.fixture(scope="session")
def focused(machines):
    """The same network on the same patterns, by focusing belief propagation."""
    training = {"algorithm": "spherical-focusing-bp"}
    return machines(machine(count=2, name="focused", training=training))


@pytest.fixture(scope="session")
def perceptrons(machines):
    """Random ±1 perceptrons, with errors."""
    spec = machine("perceptron", n=25, count=3, training={"algorithm": "given"})
    rng = np.random.default_rng(0)
    return machines(spec, rng.choice(np.array([-1, 1], np.int8), (3, 25)))
