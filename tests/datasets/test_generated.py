"""Data sets made from a seed, against closed forms."""

import math

import numpy as np
import pytest

from lsg_ray.datasets import load_dataset, load_images
from lsg_ray.datasets.gaussian_mixture import GaussianMixture, centres
from lsg_ray.datasets.teacher import Teacher, teacher_weights
from lsg_ray.errors import DataError, SpecError
from lsg_ray.registry import DATA_SETS
from lsg_ray.spec import DatasetSpec, parse_spec

SIZES = {"patterns": 4000, "inputs": 21, "test_patterns": 500}
GENERATED = ["random-patterns", "teacher", "gaussian-mixture", "parity"]


def spec(name, seed=0, **options):
    return DatasetSpec.model_validate({"name": name, "seed": seed, **SIZES, **options})


def raw(name, seed=0, **options):
    return load_images(spec(name, seed, **options))


@pytest.mark.parametrize("name", GENERATED)
def test_generated__sizes_and_seed(name):
    data, again, other = raw(name), raw(name), raw(name, seed=1)
    assert data.train_pixels.shape == (4000, 21)
    assert data.test_pixels.shape == (500, 21)
    assert data.image_shape == (21,)
    assert data.white == 1
    np.testing.assert_array_equal(data.train_pixels, again.train_pixels)
    assert data.content_hash == again.content_hash != other.content_hash
    assert not np.array_equal(data.train_pixels[:500], data.test_pixels)


@pytest.mark.parametrize("name", GENERATED)
def test_generated__training_patterns_do_not_depend_on_test_patterns(name):
    few, many = raw(name), raw(name, test_patterns=700)
    np.testing.assert_array_equal(few.train_pixels, many.train_pixels)
    np.testing.assert_array_equal(few.train_labels, many.train_labels)


@pytest.mark.parametrize("values", ["signs", "gaussian"])
def test_random_patterns__moments_and_labels(values):
    data = raw("random-patterns", values=values, n_classes=4)
    x, n = data.train_pixels.astype(float), 4000
    assert data.train_pixels.dtype == (np.int8 if values == "signs" else np.float32)
    if values == "signs":
        assert set(np.unique(x)) == {-1.0, 1.0}
    assert np.abs(x.mean(0)).max() < 4.5 / math.sqrt(n)
    covariance = x.T @ x / n
    np.testing.assert_allclose(covariance, np.eye(21), atol=5 * math.sqrt(2 / n))
    counts = np.bincount(data.train_labels, minlength=4)
    assert np.abs(counts / n - 0.25).max() < 4 * math.sqrt(0.25 * 0.75 / n)
    y = 2.0 * (data.train_labels % 2) - 1
    assert np.abs(x.T @ y / n).max() < 4.5 / math.sqrt(n)  # labels know nothing of inputs


@pytest.mark.parametrize("weights", ["binary", "continuous"])
@pytest.mark.parametrize(("hidden", "receptive"), [(1, "full"), (3, "full"), (3, "tree")])
@pytest.mark.parametrize("values", ["signs", "gaussian"])
def test_teacher__labels_are_its_own(weights, hidden, receptive, values):
    how = {"weights": weights, "hidden": hidden, "receptive": receptive, "values": values}
    data, options = raw("teacher", seed=3, **how), Teacher(**SIZES, **how)
    w = teacher_weights(options, 3)
    if weights == "binary":
        assert set(np.unique(w)) <= {-1.0, 1.0}
    else:
        np.testing.assert_allclose(np.linalg.norm(w, axis=1), 1)
    for x, labels in (
        (data.train_pixels, data.train_labels), (data.test_pixels, data.test_labels),
    ):  # fmt: skip
        for pattern, label in zip(x[:200].astype(float), labels[:200], strict=True):
            inputs = pattern.reshape(hidden, -1) if receptive == "tree" else [pattern] * hidden
            units = [np.sign(w[unit] @ inputs[unit]) for unit in range(hidden)]
            assert label == (0 if sum(units) > 0 else 1)
    assert 0.4 < data.train_labels.mean() < 0.6


def test_teacher__parity_labels_are_its_sign():
    how = spec("teacher", labels="parity")
    data, classes = load_dataset(how), raw("teacher")
    np.testing.assert_array_equal(data.train.y, 1 - 2 * classes.train_labels.astype(int))
    np.testing.assert_array_equal(data.train.x, classes.train_pixels)


def test_gaussian_mixture__simplex_and_bayes_error():
    options = GaussianMixture(**SIZES, n_classes=5, separation=3.0)
    m = centres(options, 0)
    distances = np.linalg.norm(m[:, None] - m, axis=-1)
    np.testing.assert_allclose(distances, 3.0 * (1 - np.eye(5)), atol=1e-9)
    np.testing.assert_allclose(m.sum(0), 0, atol=1e-12)
    two = raw("gaussian-mixture", separation=2.0)
    m = centres(GaussianMixture(**SIZES), 0)
    x, y = two.train_pixels.astype(float), two.train_labels
    for label in (0, 1):
        rows = x[y == label]
        np.testing.assert_allclose(rows.mean(0), m[label], atol=4.5 / math.sqrt(len(rows)))
        np.testing.assert_allclose(np.cov(rows.T), np.eye(21), atol=6 * math.sqrt(2 / len(rows)))
    wrong = ((x @ (m[0] - m[1]) < 0) != y).mean()
    bayes = 0.5 * math.erfc(1.0 / math.sqrt(2))
    assert abs(wrong - bayes) < 4 * math.sqrt(bayes * (1 - bayes) / 4000)


@pytest.mark.parametrize("order", [None, 1, 3])
def test_parity__closed_form(order):
    data = raw("parity", **({} if order is None else {"order": order}))
    signs = np.prod(data.train_pixels[:, :order].astype(int), axis=1)
    np.testing.assert_array_equal(data.train_labels, (1 - signs) // 2)
    if order != 1:  # no single input tells anything
        assert np.abs((data.train_pixels * signs[:, None]).mean(0)).max() < 4.5 / math.sqrt(4000)


@pytest.mark.parametrize(
    ("dataset", "fault"),
    [
        ({"name": "random-patterns", "inputs": 5}, "dataset.patterns: missing"),
        ({"name": "random-patterns", "patterns": 0, "inputs": 5}, "dataset.patterns: 0 given"),
        ({"name": "random-patterns", **SIZES, "values": "x"}, "dataset.values: 'x' given"),
        ({"name": "random-patterns", **SIZES, "n_classes": 1}, "dataset.n_classes: 1 given"),
        ({"name": "random-patterns", **SIZES, "color": 1}, "dataset.color: unknown field"),
        (
            {"name": "random-patterns", "options": {**SIZES, "color": 1}},
            "dataset.options: 'color' given; allowed are patterns",
        ),
        (
            {"name": "parity", **SIZES, "options": {"inputs": 3}},
            "dataset.inputs: given twice, beside the name and in options",
        ),
        ({"name": "teacher", **SIZES, "hidden": 2}, "dataset.hidden: 2 given; an odd number"),
        (
            {"name": "teacher", **SIZES, "hidden": 5, "receptive": "tree"},
            "dataset.inputs: 21 given; a tree of 5",
        ),
        ({"name": "teacher", **SIZES, "inputs": 20}, "dataset.inputs: 20 a hidden unit given"),
        ({"name": "gaussian-mixture", **SIZES, "n_classes": 22}, "dataset.n_classes: 22 given"),
        ({"name": "gaussian-mixture", **SIZES, "separation": -1}, "dataset.separation: -1 given"),
        ({"name": "parity", **SIZES, "order": 22}, "dataset.order: 22 given"),
        ({"name": "digits", "options": {"a": 1}}, "dataset.options: {'a': 1} given; digits has"),
        ({"name": "digits", "patterns": 1}, "dataset.patterns: unknown field"),
        (
            {"name": "gaussian-mixture", "patterns": 1, "inputs": 4},
            "dataset.patterns: 1 given; at least the number of classes (2)",
        ),
        (
            {"name": "random-patterns", "patterns": 9, "inputs": 4, "n_classes": 10},
            "dataset.patterns: 9 given; at least the number of classes (10)",
        ),
        ({"name": "teacher", "patterns": 1, "inputs": 3}, "dataset.patterns: 1 given; at least"),
        ({"name": "parity", "patterns": 1, "inputs": 3}, "dataset.patterns: 1 given; at least"),
        ({"options": {"a": 1}}, "dataset.options: {'a': 1} given; mnist has none"),
    ],
)
def test_options__faults_are_named(dataset, fault):
    with pytest.raises(SpecError) as error:
        parse_spec({"dataset": dataset, "network": {"widths": [21, 3, 2]}})
    assert error.value.faults[0].startswith(fault)


def test_options__flat_and_nested_are_one_run():
    widths = {"network": {"widths": [21, 3, 2]}}
    flat = parse_spec({"dataset": {"name": "parity", **SIZES}, **widths})
    nested = parse_spec({"dataset": {"name": "parity", "options": SIZES}, **widths})
    explicit = parse_spec({"dataset": {"name": "teacher", **SIZES, "values": "signs"}, **widths})
    default = parse_spec({"dataset": {"name": "teacher", **SIZES}, **widths})
    assert flat.hash == nested.hash == parse_spec(flat.tree()).hash
    assert explicit.hash == default.hash
    assert flat.replace(dataset={"seed": 4}).dataset.seed == 4


@pytest.mark.parametrize("name", GENERATED)
def test_widths__that_fit_are_said(name):
    def faults(widths, **fields):
        with pytest.raises(SpecError) as error:
            parse_spec(
                {"dataset": {"name": name, **SIZES, **fields}, "network": {"widths": widths}}
            )
        return error.value.faults

    assert faults([20, 3, 2]) == (
        f"network.widths: first width 20 given; inputs of {name} need 21",
    )
    assert faults([21, 3, 1])[0].endswith(f"class labels of {name} need 2")
    assert faults([21, 3, 2], labels="parity")[0].endswith(f"parity labels of {name} need 1")
    assert faults([22, 3, 2], components=22) == (
        f"dataset.components: 22 given; {name} has 21 inputs",
    )


def test_too_large__is_refused_before_anything_is_made():
    huge = {"name": "random-patterns", "patterns": 2**31 - 1, "inputs": 2**20}
    with pytest.raises(DataError, match=r"dataset.patterns: 2,147,483,647 patterns .* at most"):
        load_dataset(DatasetSpec.model_validate(huge))


def test_load_images__of_options_needs_a_specification():
    with pytest.raises(DataError, match=r"parity has options \(patterns, inputs"):
        load_images("parity")
    assert DATA_SETS["parity"].config is not None
