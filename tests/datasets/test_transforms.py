"""Transforms of examples: exact counts, and the order in which they are applied."""

import math

import numpy as np
import pytest

from lsg_ray.datasets import load_dataset, load_images, transforms
from lsg_ray.datasets.source import Part
from lsg_ray.errors import DataError, SpecError
from lsg_ray.spec import DatasetSpec, parse_spec


def digits(**fields):
    return load_dataset(DatasetSpec(name="digits", **{"components": None, **fields}))


def test_classes__are_kept_and_renumbered_in_the_order_given():
    raw, data = load_images("digits"), digits(classes=[4, 3])
    rows = np.isin(raw.train_labels, (3, 4))
    np.testing.assert_array_equal(data.train.x * 16, raw.train_pixels[rows])
    np.testing.assert_array_equal(data.train.y, (raw.train_labels[rows] == 3).astype(int))
    assert len(data.test.y) == np.isin(raw.test_labels, (3, 4)).sum()
    assert data.n_classes == 2


def test_classes__counts_are_known_beforehand():
    for classes in ([3, 4], [9, 0, 5]):
        spec = DatasetSpec(name="digits", classes=classes)
        assert spec.n_examples == len(load_dataset(spec).train.y)


def test_components__are_those_of_the_classes_kept():
    data = digits(classes=[3, 4], components=5)
    v = digits(classes=[3, 4]).train.x.astype(float)
    _, _, rows = np.linalg.svd(v - v.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(data.components @ rows[:5].T), np.eye(5), atol=1e-5)


def test_subset_first__is_the_order_of_the_file():
    raw, data = load_images("digits"), digits(subset="first", train_examples=300)
    np.testing.assert_array_equal(data.train.x * 16, raw.train_pixels[:300])
    aside = digits(subset="first", train_examples=300, validation_examples=100)
    np.testing.assert_array_equal(aside.train.x, data.train.x)
    np.testing.assert_array_equal(aside.validation.x * 16, raw.train_pixels[-100:])


@pytest.mark.parametrize("subset", ["first", "random"])
def test_train_per_class__exact_counts(subset):
    data = digits(train_per_class=25, subset=subset, seed=2, validation_examples=50)
    np.testing.assert_array_equal(np.bincount(data.train.y), np.full(10, 25))
    smaller = digits(train_per_class=20, subset=subset, seed=2)
    rows = {row.tobytes() for row in data.train.x}
    assert all(row.tobytes() in rows for row in smaller.train.x)
    if subset == "first":
        raw = load_images("digits")
        mine = data.train.x[data.train.y == 7] * 16
        np.testing.assert_array_equal(mine, raw.train_pixels[raw.train_labels == 7][:25])


@pytest.mark.parametrize("n_inputs", [8, 9])
def test_binarize_median__halves_of_each_example(rng, n_inputs):
    x = rng.integers(0, 4, (50, n_inputs))  # many ties
    signs = transforms.binarize_by_median(x)
    np.testing.assert_array_equal((signs > 0).sum(1), n_inputs - n_inputs // 2)
    for row, ranked in zip(x, signs, strict=True):
        assert row[ranked < 0].max() <= row[ranked > 0].min()


def test_binarize_median__of_images_is_balanced():
    data = digits(binarize="median")
    np.testing.assert_array_equal(np.abs(data.train.x), 1)
    np.testing.assert_array_equal(data.train.x.sum(1), 0)
    np.testing.assert_array_equal(data.test.x.sum(1), 0)


@pytest.mark.parametrize("n", [40, 41])
def test_binarize_feature_median__halves_of_each_feature(rng, n):
    train, test = rng.integers(0, 4, (n, 6)), rng.normal(size=(30, 6))
    signs, tested = transforms.binarize_features_by_median(train, test)
    np.testing.assert_array_equal((signs > 0).sum(0), n - n // 2)
    for feature, ranked in zip(train.T, signs.T, strict=True):
        assert feature[ranked < 0].max() <= feature[ranked > 0].min()
    np.testing.assert_array_equal(tested > 0, test > np.median(train, axis=0))


def test_binarize_zero__sign():
    data = load_dataset(
        DatasetSpec.model_validate({
            "name": "random-patterns", "patterns": 50, "inputs": 7, "values": "gaussian",
            "binarize": "zero",
        })
    )  # fmt: skip
    raw = load_images(
        DatasetSpec.model_validate({
            "name": "random-patterns", "patterns": 50, "inputs": 7, "values": "gaussian",
        })
    )  # fmt: skip
    np.testing.assert_array_equal(data.train.x, np.sign(raw.train_pixels))


def test_shuffle_pixels__keeps_histograms_and_destroys_correlations():
    plain, shuffled = digits(train_examples=600), digits(train_examples=600, shuffle_pixels=True)
    for before, after in ((plain.train, shuffled.train), (plain.test, shuffled.test)):
        np.testing.assert_array_equal(np.sort(before.x, axis=0), np.sort(after.x, axis=0))
        np.testing.assert_array_equal(before.y, after.y)
    varying = plain.train.x.std(0) > 0.05

    def strongest(x):
        correlation = np.corrcoef(x[:, varying].T) - np.eye(varying.sum())
        return np.abs(correlation).max()

    assert strongest(plain.train.x) > 0.6
    assert strongest(shuffled.train.x) < 6 / math.sqrt(600)


def test_shuffle_pixels__does_not_depend_on_blocks(monkeypatch, rng):
    x = rng.normal(size=(30, 9)).astype(np.float32)
    whole = transforms.shuffle_features(x, 5, 0)
    monkeypatch.setattr(transforms, "_BLOCK", 60)
    np.testing.assert_array_equal(transforms.shuffle_features(x, 5, 0), whole)
    assert not np.array_equal(transforms.shuffle_features(x, 5, 1), whole)


def test_standardize__on_the_training_part():
    data, plain = digits(standardize=True), digits()
    mean, std = plain.train.x.mean(0, dtype=float), plain.train.x.std(0, dtype=float)
    scale = np.where(std > 0, std, 1)
    np.testing.assert_allclose(data.train.x, (plain.train.x - mean) / scale, atol=2e-5)
    np.testing.assert_allclose(data.test.x, (plain.test.x - mean) / scale, atol=2e-5)
    assert (std == 0).any()
    np.testing.assert_array_equal(data.train.x[:, std == 0], 0)
    subset = digits(standardize=True, train_examples=100)
    np.testing.assert_array_equal(subset.test.x, data.test.x)


def test_standardize__then_components_are_those_of_correlations():
    data, z = digits(standardize=True, components=4), digits(standardize=True).train.x.astype(float)
    _, singular, rows = np.linalg.svd(z, full_matrices=False)
    np.testing.assert_allclose(np.abs(data.components @ rows[:4].T), np.eye(4), atol=1e-4)
    np.testing.assert_allclose(
        data.explained_variance_ratio, (singular**2 / (singular**2).sum())[:4], rtol=1e-5
    )


def test_components__of_real_numbers_with_a_large_mean(rng):
    from lsg_ray.datasets.projection import fit_projection, project

    x = (1e4 + rng.normal(size=(500, 6)) * [5, 4, 3, 2, 1, 0.5]).astype(np.float32)
    fitted = fit_projection("x", x, 1, standardize=False, components=6)
    variances = project(x, np.arange(500), 1, fitted).var(0)
    values = np.linalg.eigvalsh(np.cov(x.T.astype(float), ddof=0))[::-1]
    np.testing.assert_allclose(variances, values, rtol=1e-3)


@pytest.mark.parametrize("labels", ["class", "parity"])
def test_label_noise__share_and_only_of_training(labels):
    clean, noisy = (digits(labels=labels, label_noise=share) for share in (0.0, 0.3))
    changed = (clean.train.y != noisy.train.y).mean()
    assert abs(changed - 0.3) < 4 * math.sqrt(0.21 / 1437)
    np.testing.assert_array_equal(clean.test.y, noisy.test.y)
    np.testing.assert_array_equal(clean.train.x, noisy.train.x)
    assert set(np.unique(noisy.train.y)) == set(np.unique(clean.train.y))
    everything = digits(labels=labels, label_noise=1.0)
    assert not (everything.train.y == clean.train.y).any()


def test_order__of_all_transforms():
    """The whole chain, written out by hand with the functions."""
    spec = DatasetSpec(
        name="digits", classes=[8, 1], binarize="median", train_per_class=60, shuffle_pixels=True,
        standardize=True, components=10, labels="parity", label_noise=0.1, seed=6,
    )  # fmt: skip
    data, raw = load_dataset(spec), load_images("digits")
    part = transforms.keep_classes(Part(raw.train_pixels, raw.train_labels), (8, 1))
    signs = transforms.binarize_by_median(part.pixels)
    order = np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(6, spawn_key=(0,)))
    ).permutation(len(signs))
    rows = transforms.first_of_each_class(order, part.labels, 60, 2)
    shuffled = transforms.shuffle_features(signs[rows], 6, 0)
    mean, std = signs.mean(0), signs.std(0)
    z = (shuffled - mean) / np.where(std > 0, std, 1)
    np.testing.assert_allclose(data.train.x, z @ data.components.T.astype(float), atol=1e-5)
    y = transforms.noisy_labels(1 - 2 * part.labels[rows].astype(np.int64), 0.1, 2, 6, signs=True)
    np.testing.assert_array_equal(data.train.y, y)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"classes": [3]}, "dataset.classes: [3] given; two or more"),
        ({"classes": [3, 3]}, "dataset.classes: [3, 3] given; two or more, each once"),
        ({"classes": [3, 10]}, "dataset.classes: 10 given; digits has classes 0 to 9"),
        ({"train_per_class": 5, "train_examples": 5}, "dataset.train_per_class: 5 given, with"),
        ({"train_per_class": 140}, "dataset.train_per_class: 140 given; digits has a class of 139"),
        ({"binarize": "mean"}, "dataset.binarize: 'mean' given"),
        ({"subset": "last"}, "dataset.subset: 'last' given"),
        ({"label_noise": 1.5}, "dataset.label_noise: 1.5 given"),
    ],
)
def test_faults__are_named(fields, fault):
    with pytest.raises(SpecError) as error:
        parse_spec({"dataset": {"name": "digits", **fields}})
    assert error.value.faults[0].startswith(fault)


def test_faults__that_only_the_data_show():
    with pytest.raises(DataError, match=r"train_per_class: 139 given; class \d has 1\d\d training"):
        digits(train_per_class=139, validation_examples=300)


NEW = [
    {"classes": [3, 4]}, {"train_per_class": 5}, {"subset": "first"}, {"binarize": "median"},
    {"binarize": "zero"}, {"shuffle_pixels": True}, {"standardize": True}, {"label_noise": 0.1},
]  # fmt: skip


def test_identity__new_fields_count_only_where_they_are_given():
    plain = parse_spec({})
    assert plain.hash == "c52627c9683f9ca4a96c00bee8cfaa5f0fd2954dc861d1ae929af2c96cab4ee3"
    neutral = {
        "classes": None, "train_per_class": None, "subset": "random", "binarize": None,
        "shuffle_pixels": False, "standardize": False, "label_noise": 0.0, "options": {},
    }  # fmt: skip
    assert parse_spec({"dataset": neutral}).hash == plain.hash
    widths = {"network": {"widths": [20, 5, 2]}}
    hashes = {plain.hash}
    for fields in NEW:
        tree = {"dataset": fields, **(widths if "classes" in fields else {})}
        spec = parse_spec(tree)
        assert spec.dataset.later
        hashes.add(spec.hash)
    assert len(hashes) == len(NEW) + 1
    assert len({digits(**fields).content_hash for fields in NEW}) == len(NEW)
    assert not plain.dataset.later
