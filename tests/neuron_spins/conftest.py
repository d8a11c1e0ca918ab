"""Small networks along training, sampled in this process; bonds of random weights."""

import itertools

import numpy as np
import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.neuron_spins.bonds import bonds_of
from lsg_ray.spec import parse_spec

#: By family: what its specification has beside digits.
SECTIONS = {
    "relu": {
        "network": {"family": "relu", "widths": [64, 16, 12, 10]},
        "training": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "batch_size": 50,
                     "epochs": 12, "options": {"initial_variance": 2.0}},
    },
    "binarised": {
        "network": {"family": "binarised", "widths": [64, 16, 12, 10]},
        "training": {"learning_rate": 0.01, "batch_size": 50, "epochs": 3},
    },
}  # fmt: skip


def random_bonds(widths=(40, 30, 20), variance=1.0, seed=0, spike=0.0):
    """Return independent weights of variance C/inputs, with a rank-one part of size ``spike``."""
    rng = np.random.default_rng(seed)
    matrices = []
    for inputs, out in itertools.pairwise(widths):
        w = np.sqrt(variance / inputs) * rng.standard_normal((out, inputs))
        one, other = rng.choice([-1, 1], out), rng.choice([-1, 1], inputs)
        matrices.append(w + spike * np.outer(one, other) / np.sqrt(out * inputs))
    return bonds_of(matrices)


def dense(bonds):
    """Return J (N, N)."""
    n = bonds.n_units
    return np.stack([bonds.fields(x) for x in np.eye(n)], axis=1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Function that returns the store of three networks of a family, with snapshots."""
    stores = {}

    def store(family="relu"):
        if family not in stores:
            spec = parse_spec({
                "name": family,
                "dataset": {"name": "digits", "components": None, "train_examples": 200},
                **SECTIONS[family],
                "ensemble": {"count": 3, "snapshots": {"steps": "log:6"}},
            })  # fmt: skip
            path = tmp_path_factory.mktemp(family) / "s.zarr"
            sample(spec, path, workers=0)
            stores[family] = path
        return stores[family]

    return store
