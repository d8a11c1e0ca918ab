"""Perceptrons, committees and parity machines: errors by the definition, and which shapes fit."""

import itertools

import numpy as np
import pytest

from lsg_ray.errors import SpecError
from lsg_ray.networks.families.committee import patterns_of
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import parse_spec

MAJORITIES, PRODUCTS = ("committee", "spherical-committee"), ("parity", "spherical-parity")


def spec_of(family, units, n, full=False, **training):
    inputs = n if full else units * n
    options = {"connection": "full"} if full else {}
    return parse_spec({
        "dataset": {"name": "random-patterns", "patterns": 9, "inputs": inputs},
        "network": {"family": family, "widths": [inputs, units, 1], "options": options},
        "training": training,
        "ensemble": {"count": 1},
    })  # fmt: skip


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("family", "units"),
    [*itertools.product(MAJORITIES, (1, 3)), *itertools.product(PRODUCTS, (1, 2, 3))],
)
def test_errors_are_those_of_the_definition__of_all_signs(family, units, full):
    n, rng = 3, np.random.default_rng(units)
    spec = spec_of(family, units, n, full)
    x, s = rng.choice([-1, 1], (9, spec.network.widths[0])), rng.choice([-1, 1], 9)
    every = np.array(list(itertools.product([-1, 1], repeat=units * n)))
    expected = np.zeros(len(every), int)
    for row, w in enumerate(every.reshape(-1, units, n)):
        for pattern, label in zip(x, s, strict=True):
            own = np.tile(pattern, (units, 1)) if full else pattern.reshape(units, n)
            tau = [np.sign(w[unit] @ own[unit]) for unit in range(units)]
            out = np.prod(tau) if family in PRODUCTS else np.sign(sum(tau))
            expected[row] += out != label
    own = FAMILIES[family].errors(spec.network, every, patterns_of(spec.network, x, s))
    np.testing.assert_array_equal(own, expected)
    assert np.unique(expected).size > 2


@pytest.mark.parametrize("family", PRODUCTS)
def test_a_parity_machine__is_the_same_with_two_units_reversed(family):
    spec, rng = spec_of(family, 3, 5), np.random.default_rng(0)
    w, x = rng.standard_normal((4, 3, 5)), rng.standard_normal((50, 15))
    reversed_ = w * np.array([-1, 1, -1])[:, None]
    network = FAMILIES[family]
    outputs = [network.outputs(spec.network, one.reshape(4, 15), x) for one in (w, reversed_, -w)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], -outputs[2])


def test_only_a_majority_needs_an_odd_number_of_units():
    for family in PRODUCTS:
        assert spec_of(family, 2, 5).network.widths == (10, 2, 1)
    assert spec_of("spherical-parity", 2, 4).network.shapes == ((2, 4),)
    for family in MAJORITIES:
        with pytest.raises(SpecError, match="2 hidden units given; an odd number has no ties"):
            spec_of(family, 2, 5)
    with pytest.raises(SpecError, match="4 inputs of each unit given; with ±1 weights an odd"):
        spec_of("parity", 2, 4)


@pytest.mark.parametrize(
    "algorithm", ["cross-entropy-sgd", "spherical-focusing-bp", "entropic-least-action"]
)
def test_other_solvers_of_the_sphere__name_the_one_of_parity_machines(algorithm):
    with pytest.raises(SpecError, match="spherical-parity networks are trained by least-action"):
        spec_of("spherical-parity", 3, 5, algorithm=algorithm)
