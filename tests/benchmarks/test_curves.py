"""Loss curves: the classifier under noise, mining in stacks beside one network at a time.

At toy size an ordinary test; at full size (pixels of MNIST, some minutes):

    pytest tests/benchmarks/test_curves.py --benchmark-enable -s
"""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import DataError
from lsg_ray.loss_landscape.curves.mining import MINING, mine
from lsg_ray.loss_landscape.curves.targets import CURVE_TARGETS
from lsg_ray.loss_landscape.curves.types import CURVES, curve_type
from lsg_ray.loss_landscape.terrain import Terrain
from lsg_ray.networks.families.relu import example_set
from lsg_ray.networks.relu_network import glorot_uniform
from lsg_ray.networks.relu_subspace import evaluate_subspace
from lsg_ray.networks.threads import one_thread
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import NetworkSpec, parse_spec
from tests.loss_landscape.curves.test_types import ORACLES

from .test_ising import timed

REPEATS = 2


@pytest.mark.parametrize("label", ORACLES)
def test_classifier_under_noise(full, label):
    """Multiplicative noise of five per cent: at least 99 % of 1,000 curves."""
    rng, count = np.random.default_rng(11), 1000 if full else 20
    noisy = ORACLES[label] * (1 + 0.05 * rng.normal(size=(count, 41)))
    right = sum(curve_type(curve).label == label for curve in noisy)
    print(f"\n{label}: {right} of {count}")
    assert right >= 0.99 * count


def problem(full, networks):
    """Untrained networks, for which a step costs what it costs for others."""
    name = "mnist" if full else "digits"
    tree = {
        "dataset": {"name": name, "train_examples": 10_000 if full else 300},
        "network": {"family": "relu", "widths": [784, 64, 10] if full else [64, 8, 10]},
    }
    spec = parse_spec(tree)
    try:
        dataset = load_dataset(spec.dataset, download=False)
    except DataError as error:
        pytest.skip(str(error))
    terrain = Terrain(spec.network, example_set(dataset.train), example_set(dataset.test))
    seeds = [seed_sequence(0, Stream.TRIAL, number) for number in range(networks)]
    return terrain, glorot_uniform(spec.network, seeds), dataset.train


def mine_module(network: NetworkSpec, x, y, w, target, steps, rng):
    """Mine one network as anyone would in PyTorch: each point through the network in turn."""
    start = torch.tensor(w)
    u = torch.tensor(rng.standard_normal((1, len(w)), np.float32))
    u = (u / u.norm()).requires_grad_()
    adam = torch.optim.Adam([u], lr=MINING.learning_rate)

    def loss(flat, rows):
        a = x[rows]
        for number, (shape, where) in enumerate(
            zip(network.shapes, network.layer_slices, strict=True)
        ):
            a = a @ flat[where].view(shape).T
            a = a if number + 1 == len(network.shapes) else a.relu()
        return (torch.nn.functional.cross_entropy(a, y[rows]) + CURVES.floor).log()

    constraints = [v.ravel().tolist() for v in (target.points, target.sense, target.offset)]
    for _ in range(steps):
        rows = torch.tensor(rng.integers(0, len(x), MINING.batch))
        epsilon = target.length * start.norm() * u[0] / u.norm()
        with torch.no_grad():
            at_zero = loss(start, rows)
        objective = torch.zeros(())
        for point, sense, offset in zip(*constraints, strict=True):
            rise = loss(start + point * epsilon, rows) - at_zero
            objective = objective + (sense * (rise - offset) + MINING.margin).relu()
        adam.zero_grad()
        objective.backward()
        adam.step()


@pytest.mark.parametrize("name", ["w-peak"])
def test_mining_in_stacks(full, name):
    """Steps alone, without the tests on all examples, which a loop would need too."""
    networks, steps = (8, 15) if full else (2, 3)
    terrain, weights, train = problem(full, networks)
    target, x, y = CURVE_TARGETS[name], torch.tensor(train.x), torch.tensor(train.y).long()
    # Constraints that cannot hold are never tested but at the end.
    config = replace(MINING, steps=steps, first=steps)

    def streams():
        return [np.random.default_rng([3, number]) for number in range(networks)]

    def stacked():
        mine(terrain, weights, target, streams(), config)

    def single():
        for w, rng in zip(weights, streams(), strict=True):
            mine(terrain, w[None], target, [rng], config)

    def modules():
        for w, rng in zip(weights, streams(), strict=True):
            mine_module(terrain.network, x, y, w, target, steps, rng)

    with one_thread():
        stacked()  # kernels are compiled
        ratios = []
        for _ in range(REPEATS if full else 1):
            ours, alone, theirs = (timed(run) for run in (stacked, single, modules))
            ratios.append((theirs / ours, alone / ours))
    best, own = np.median(ratios, axis=0)
    each = 1e3 * ours / steps / networks
    print(
        f"\nmining {name}, {networks} networks, {steps} steps: {each:.2f} ms a step and network; "
        f"PyTorch one at a time {best:.1f} times as long, stacks of one {own:.1f} times"
    )
    if full:
        assert best >= 4


def test_lines_beside_networks(full):
    """41 points of a line, against 41 networks in one stack."""
    terrain, weights, _ = problem(full, 1)
    epsilon = np.random.default_rng(1).normal(0, 0.05, weights.shape).astype(np.float32)
    line = np.linspace(-1, 1, 41)
    (inputs, y), _ = terrain.on()
    points = weights + line[:, None].astype(np.float32) * epsilon
    with one_thread():
        terrain.loss(points[:1])
        seconds = []
        for _ in range(REPEATS if full else 1):
            begin = time.perf_counter()
            evaluate_subspace(terrain.network, weights[0], epsilon, line[:, None], inputs, y)
            middle = time.perf_counter()
            terrain.loss(points)
            seconds.append((middle - begin, time.perf_counter() - middle))
    ours, theirs = np.median(seconds, axis=0)
    print(f"\nline of 41 points: {ours:.3f} s, networks one by one in a stack {theirs:.3f} s "
          f"({theirs / ours:.1f} times)")  # fmt: skip
    if full:
        assert theirs > 1.5 * ours
