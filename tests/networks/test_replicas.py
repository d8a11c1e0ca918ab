"""Replicas in groups: results do not depend on how many there are, nor on where they are."""

from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest

from lsg_ray.datasets import load_dataset
from lsg_ray.networks.replicas import hosted
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.spec import parse_spec

SPHERE = {
    "dataset": {"name": "random-patterns", "patterns": 40, "inputs": 45},
    "network": {"family": "spherical-committee", "widths": [45, 3, 1]},
    "training": {"algorithm": "elastic-sgd", "epochs": 60, "batch_size": 10},
}
SIGNS = {
    "dataset": {"name": "random-patterns", "patterns": 30, "inputs": 101},
    "network": {"family": "perceptron", "widths": [101, 1]},
    "training": {"algorithm": "replicated-sgd", "epochs": 30, "batch_size": 10},
}
KINDS = [
    (SPHERE, {"replicas": 4, "centre": "mean"}),
    (SPHERE, {"replicas": 5, "centre": "explicit", "centre_momentum": 0.5}),
    (SIGNS, {"replicas": 5, "formula": "simple"}),
    (SIGNS, {"replicas": 7, "formula": "explicit", "start": "random"}),
]


def spec_of(tree, options):
    training = {**tree["training"], "options": options}
    ensemble = {"count": 2, "threshold": 0.5, "block_size": 1, "snapshots": [0, 5]}
    return parse_spec({**tree, "training": training, "ensemble": ensemble})


def split(parts):
    """Return a host that has groups of the given sizes in this process."""
    bounds = np.cumsum([0, *parts])

    @contextmanager
    def host(make, trial, options, replicas):
        assert bounds[-1] == replicas
        slices = [slice(a, b) for a, b in pairwise(bounds)]
        groups = [make(trial, options, part) for part in slices]

        def call(method, rows=None, *arguments):
            of_group = [None if rows is None else rows[part] for part in slices]
            return np.concatenate(
                [getattr(g, method)(r, *arguments) for g, r in zip(groups, of_group, strict=True)]
            )

        yield call

    return host


@pytest.mark.parametrize(("tree", "options"), KINDS)
def test_groups__do_not_change_a_bit(tree, options):
    spec = spec_of(tree, options)
    arena = prepare(spec, load_dataset(spec.dataset))
    whole = sample_configurations(spec, arena, 0, 2)
    y = options["replicas"]
    for parts in ([2, y - 2], [1] * y):
        with hosted(split(parts)):
            apart = sample_configurations(spec, arena, 0, 2)
        np.testing.assert_array_equal(apart.weights, whole.weights)
        assert apart.missed.tolist() == whole.missed.tolist()
        for name, column in whole.columns.items():
            np.testing.assert_array_equal(apart.columns[name], column)
