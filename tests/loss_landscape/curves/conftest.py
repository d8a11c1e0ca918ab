"""A terrain so small that its Hessian is a matrix."""

import numpy as np
import pytest

from lsg_ray.loss_landscape.terrain import Terrain
from lsg_ray.networks.families.relu import ExampleSet
from lsg_ray.spec import NetworkSpec


@pytest.fixture(scope="session")
def terrain():
    """60 examples of three classes, for networks 5-4-3 with biases: 39 weights."""
    rng = np.random.default_rng(8)
    network = NetworkSpec(family="relu", widths=(5, 4, 3), leaky_slope=0.0, biases=True)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    examples = ExampleSet(x, rng.integers(0, 3, 60))
    return Terrain(network, examples, ExampleSet(x[:20], examples.y[:20]))


@pytest.fixture(scope="session")
def start(terrain):
    """A network on it."""
    return np.random.default_rng(9).normal(0, 0.6, terrain.network.n_weights).astype(np.float32)
