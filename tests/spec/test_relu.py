"""Specifications of ReLU networks."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.registry import FAMILIES
from lsg_ray.spec import parse_spec
from lsg_ray.spec.sections import YES_AND_NO
from tests.spec.made import SEEDS, faults_of

RELU_DEFAULTS = FAMILIES["relu"].defaults


def relu(network=None, **sections):
    return {"network": {"family": "relu", **(network or {})}, **sections}


@pytest.mark.parametrize("section", list(RELU_DEFAULTS))
def test_relu__fields_left_open_are_the_papers(section):
    tree = parse_spec(relu()).model_dump(mode="json")
    for field, value in RELU_DEFAULTS[section].items():
        assert tree[section][field] == (list(value) if isinstance(value, tuple) else value)


relu_fields = st.fixed_dictionaries(
    {},
    optional={
        "dataset": st.fixed_dictionaries(
            {}, optional={"train_examples": st.none() | st.integers(1, 60000), "seed": SEEDS}
        ),
        "network": st.fixed_dictionaries(
            {"family": st.just("relu")},
            optional={
                "widths": st.lists(st.integers(1, 2000), min_size=1, max_size=3).map(
                    lambda hidden: [784, *hidden, 10]
                ),
                "biases": st.booleans(),
                "leaky_slope": st.floats(0, 1),
            },
        ),
        "training": st.fixed_dictionaries(
            {},
            optional={
                "optimizer": st.sampled_from(["adam", "sgd"]),
                "learning_rate": st.floats(1e-6, 1e6),
                "epochs": st.integers(1, 1000),
                "batch_fraction": st.none() | st.floats(0, 1, exclude_min=True),
                "target_loss": st.none() | st.floats(1e-9, 10),
                "stack": st.none() | st.integers(1, 100),
            },
        ),
        "ensemble": st.fixed_dictionaries(
            {}, optional={"count": st.integers(1, 10**6), "threshold": st.floats(0, 1)}
        ),
    },
)


@settings(deadline=None)
@given(relu_fields)
def test_relu__what_is_given_is_kept_and_the_rest_filled(fields):
    given_tree = relu() | fields
    spec = parse_spec(given_tree)
    tree = spec.model_dump(mode="json")
    fraction = given_tree.get("training", {}).get("batch_fraction")
    for section, defaults in RELU_DEFAULTS.items():
        expected = {**defaults, **given_tree.get(section, {})}
        if section == "training" and fraction:
            expected["batch_size"] = None
        for field, value in expected.items():
            assert tree[section][field] == (list(value) if isinstance(value, tuple) else value)
    assert parse_spec(tree) == spec
    assert parse_spec(json.loads(spec.canonical_json())).hash == spec.hash
    assert spec.block_size == min(spec.stack, spec.ensemble.count)
    assert 1 <= spec.stack <= max(8, spec.training.stack or 0)
    assert 1 <= spec.training.batch(60_000) <= 60_000


@settings(deadline=None)
@given(relu_fields, st.data())
def test_relu__misfits_are_refused_each_with_its_line(fields, data):
    misfits = {
        ("training", "engine"): (
            "cuda",
            "'cuda' given; relu networks have 'torch', 'numba' or 'auto'",
        ),
        ("training", "initial_std"): (0.1, "0.1 given; relu networks have 0.0"),
        ("ensemble", "draws"): (100, "100 given; relu networks have 1"),
        ("ensemble", "store_fields"): (True, "true given; relu networks have false"),
        ("dataset", "labels"): ("parity", "'parity' given; relu networks learn 'class' labels"),
    }
    chosen = data.draw(st.lists(st.sampled_from(sorted(misfits)), min_size=1, unique=True))
    tree = {name: dict(values) for name, values in (relu() | fields).items()}
    for section, field in chosen:
        tree.setdefault(section, {})[field] = misfits[section, field][0]
    lines = faults_of(tree)
    for section, field in chosen:
        says = f"{section}.{field}: {misfits[section, field][1]}"
        assert [line for line in lines if line.startswith(says)], (says, lines)
    assert len(lines) == len(chosen) + (("dataset", "labels") in chosen)  # its widths are named too


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        (
            relu(ensemble={"frozen_parts": ["LB"]}),
            ["ensemble.frozen_parts: 'LB' given; relu networks have []: leave it out"],
        ),
        (
            relu({"widths": [784, 10]}),
            ["network.widths: [784, 10] given; relu networks have hidden layers"],
        ),
        (
            relu(dataset={"name": "digits"}),
            ["network.widths: first width 784 given; pixels of digits need 64"],
        ),
        (
            relu({"widths": [784, 130_000, 10]}),
            ["network.widths: 103220000 weights; at most 100000000"],
        ),
        (
            relu(training={"batch_size": 50, "batch_fraction": 0.1}),
            ["training.batch_fraction: 0.1 and batch_size 50 given; set one of them to null"],
        ),
        (
            relu(training={"batch_fraction": 0}),
            ["training.batch_fraction: 0 given; input should be greater than 0"],
        ),
        (
            relu(training={"batch_fraction": 1.5}),
            ["training.batch_fraction: 1.5 given; input should be less than or equal to 1"],
        ),
        (
            relu(training={"target_loss": 0}),
            ["training.target_loss: 0 given; input should be greater than 0"],
        ),
        (relu(training={"stack": 0}), ["training.stack: 0 given; input should be greater than 0"]),
        (
            relu(training={"stack": True}),
            [f"training.stack: true given; a number is needed ({YES_AND_NO})"],
        ),
        (
            {"network": {"biases": True}, "training": {"target_loss": 0.1, "stack": 4}},
            [
                "network.biases: true given; only relu networks have it (network.family)",
                "training.target_loss: 0.1 given; only relu networks have it (network.family)",
                "training.stack: 4 given; only relu networks have it (network.family)",
            ],
        ),
    ],
)
def test_relu__contradictions_are_named(tree, lines):
    assert list(faults_of(tree)) == lines


def test_relu__biases_are_the_last_column_of_each_layer():
    network = parse_spec(relu({"biases": True, "widths": [784, 5, 10]})).network
    assert network.shapes == ((5, 785), (10, 6))
    assert network.n_weights == 5 * 785 + 60
    assert network.parts == {"LB": slice(0, 3925), "RB": slice(3925, 3985)}


@pytest.mark.parametrize(
    ("width", "stack"), [(64, 8), (128, 8), (256, 5), (512, 2), (1024, 1), (5000, 1)]
)
def test_relu__stacks_are_bounded_by_networks_and_bytes(width, stack):
    spec = parse_spec(relu({"widths": [784, width, 10]}))
    assert spec.stack == stack == spec.block_size
    assert stack == 1 or 4 * stack * spec.network.n_weights <= 4 << 20


@pytest.mark.parametrize(
    ("training", "batch"),
    [
        ({}, 256),
        ({"batch_fraction": 0.1}, 100),
        ({"batch_fraction": 1e-9}, 1),
        ({"batch_fraction": 1}, 1000),
        ({"batch_size": None}, 1000),
        ({"batch_size": 5000}, 1000),
    ],
)
def test_relu__batches_fit_the_examples(training, batch):
    assert parse_spec(relu(training=training)).training.batch(1000) == batch
