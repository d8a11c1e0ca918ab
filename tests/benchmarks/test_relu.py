"""Training of ReLU networks by both engines against PyTorch modules one by one, on one thread each.

All go through the same batches, and record the mean loss and accuracy of each pass and those of
the test set after it.  At toy size an ordinary test; at full size (pixels of MNIST):

    pytest tests/benchmarks/test_relu.py --benchmark-enable -s
"""

import time
from functools import partial

import numpy as np
import pytest
import torch

from lsg_ray.datasets import Examples, load_dataset
from lsg_ray.errors import DataError
from lsg_ray.networks.first_layer import as_inputs
from lsg_ray.networks.relu_network import glorot_uniform
from lsg_ray.networks.solvers.descent import train_networks
from lsg_ray.networks.threads import one_thread
from lsg_ray.networks.trial import Purpose, trial_generator
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import NetworkSpec, Spec, TrainingSpec, parse_spec

#: Networks that PyTorch trains in each repeat, and repeats.
MODULES, REPEATS = 2, 5
#: Hidden units, and what is promised of each engine: times that PyTorch takes as long.
ENGINES = ("torch", "numba")
WIDTHS = {64: (3.0, 3.5), 128: (1.5, 2.0), 256: (1.0, 1.5), 512: (1.0, 1.5), 1024: (1.0, 1.5)}


def _spec(full: bool, width: int, batch: int, optimizer: str) -> Spec:
    return parse_spec(
        {
            "dataset": {
                "name": "mnist" if full else "digits",
                "train_examples": 12_000 if full else 300,
            },
            "network": {"family": "relu", "widths": [784 if full else 64, width, 10]},
            "training": {
                "optimizer": optimizer, "batch_size": batch, "epochs": 1,
                "learning_rate": 1e-3 if optimizer == "adam" else 0.1,
            },
        }
    )  # fmt: skip


def _tensors(examples: Examples, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(examples.x[:rows]), torch.tensor(examples.y[:rows]).long()


def train_module(
    network: NetworkSpec,
    training: TrainingSpec,
    train: tuple[torch.Tensor, torch.Tensor],
    test: tuple[torch.Tensor, torch.Tensor],
    seed: np.random.SeedSequence,
) -> list[list[float]]:
    """Train one network as anyone would in PyTorch; return its curves (epochs, 4)."""
    (x, y), (test_x, test_y) = train, test
    inputs, hidden, classes = network.widths
    model = torch.nn.Sequential(
        torch.nn.Linear(inputs, hidden, bias=False),
        torch.nn.ReLU(),
        torch.nn.Linear(hidden, classes, bias=False),
    )
    start = torch.from_numpy(glorot_uniform(network, [seed])[0])
    with torch.no_grad():
        for parameter, place in zip(model.parameters(), network.layer_slices, strict=True):
            parameter.copy_(start[place].view_as(parameter))
    kind = torch.optim.Adam if training.optimizer == "adam" else torch.optim.SGD
    optimizer = kind(model.parameters(), lr=training.learning_rate)
    loss_function = torch.nn.CrossEntropyLoss()
    rng, curves, size = trial_generator(seed, Purpose.ORDER), [], training.batch(len(x))
    for _ in range(training.epochs):
        order = torch.from_numpy(rng.permutation(len(x)))
        loss_sum, correct = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for begin in range(0, len(x), size):
            rows = order[begin : begin + size]
            labels = y[rows]
            optimizer.zero_grad()
            scores = model(x[rows])
            loss = loss_function(scores, labels)
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(rows)
            correct += (scores.argmax(1) == labels).sum()
        with torch.no_grad():
            scores = model(test_x)
            tested = loss_function(scores, test_y), (scores.argmax(1) == test_y).float().mean()
        curves.append([float(loss_sum) / len(x), int(correct) / len(x), *map(float, tested)])
    return curves


def _seconds(work) -> float:
    """Seconds of the processor: on one thread those of a clock, where nobody else is at work."""
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("batch", [64, 256])
@pytest.mark.parametrize("width", list(WIDTHS))
def test_training_against_modules(full, width, batch, optimizer):
    """Seconds a network, in turn, medians of five; a stack is as large as the specification's."""
    spec = _spec(full, width if full else width // 16, batch, optimizer)
    try:
        data = load_dataset(spec.dataset)
    except DataError as error:
        pytest.skip(f"needs the images of {spec.dataset.name}: {error}")
    train, test = _tensors(data.train, 12_000), _tensors(data.test, 2_000)
    network, training = spec.network, spec.training
    by_engine = [training.model_copy(update={"engine": engine}) for engine in ENGINES]
    seeds = [seed_sequence(0, Stream.TRIAL, k, 0) for k in range(spec.stack)]
    sets = [(as_inputs(x.numpy(), "cpu"), y) for x, y in (train, test)]
    steps = -(-len(train[0]) // batch) * training.epochs

    def stacked(training):
        return train_networks(network, training, *sets, seeds)

    def modules():
        return [train_module(network, training, train, test, seed) for seed in seeds[:MODULES]]

    with one_thread():
        count, expected = min(MODULES, spec.stack), modules()
        for own in by_engine:
            curves = stacked(own).curves[:MODULES]
            np.testing.assert_allclose(curves, expected, rtol=5e-3, atol=5e-3)
        times = np.array(
            [
                (
                    _seconds(modules) / count,
                    *(_seconds(partial(stacked, own)) / spec.stack for own in by_engine),
                )
                for _ in range(REPEATS if full else 1)
            ]
        )
    theirs, *ours = np.median(times, axis=0) / steps * 1e6
    ratios = np.median(times[:, :1] / times[:, 1:], axis=0)
    print(f"\n{network.widths}, batch {batch}, {optimizer}, stack {spec.stack}: a step and network "
          f"of PyTorch {theirs:.0f} µs")  # fmt: skip
    for engine, own, ratio, promised in zip(ENGINES, ours, ratios, WIDTHS[width], strict=True):
        print(f"engine {engine}: {own:.0f} µs, ratio {ratio:.2f}")
        assert not full or ratio >= promised
