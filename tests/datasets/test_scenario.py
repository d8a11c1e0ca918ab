"""What the networks get to see."""

import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from lsg_ray import datasets
from lsg_ray.errors import DataError
from lsg_ray.spec import DatasetSpec
from tests.datasets.made import N_TRAIN, TRAIN_IMAGES, idx, idx_contents, register_idx, write_all

SHARED = Path(os.environ.get("LSG_SHARED", Path(__file__).parents[3] / "shared"))
NO_SHARED = "no {}; set LSG_SHARED to the folder that holds data/"


def digits(**fields):
    return datasets.load_dataset(DatasetSpec(name="digits", **{"components": 10, **fields}))


def test_digits__split_is_fixed_and_stratified():
    from sklearn.datasets import load_digits

    raw = datasets.load_images("digits")
    assert raw.train_pixels.shape == (1437, 64)
    assert raw.test_pixels.shape == (360, 64)
    assert raw.train_pixels.max() == raw.white == 16
    everything = np.concatenate([raw.train_pixels, raw.test_pixels])
    np.testing.assert_array_equal(
        np.unique(everything, axis=0, return_counts=True)[0],
        np.unique(load_digits().data.astype(np.uint8), axis=0, return_counts=True)[0],
    )
    counts = np.bincount(raw.test_labels) / np.bincount(
        np.concatenate([raw.train_labels, raw.test_labels])
    )
    assert np.all(np.abs(counts - 0.2) < 0.006)
    assert raw.content_hash.startswith("4df24e69d134")


def test_digits__test_set_does_not_depend_on_the_seed():
    a, b = digits(seed=0, train_examples=100), digits(seed=1, train_examples=100)
    np.testing.assert_array_equal(a.test.x, b.test.x)
    assert not np.array_equal(a.train.x, b.train.x)


def test_raw_pixels__scaled_not_centred():
    raw, data = datasets.load_images("digits"), digits(components=None)
    np.testing.assert_array_equal(data.train.x, raw.train_pixels / np.float32(16))
    np.testing.assert_array_equal(data.train.y, raw.train_labels)
    assert data.components is data.mean is data.explained_variance_ratio is None
    np.testing.assert_array_equal(
        datasets.reconstruct(data, data.test.x[:2])[1].ravel(), data.test.x[1]
    )


@pytest.mark.parametrize("d", [1, 10, 40])
def test_pca__agrees_with_svd(d):
    raw, data = datasets.load_images("digits"), digits(components=d)
    v = raw.train_pixels / 16.0
    _, singular, rows = np.linalg.svd(v - v.mean(0), full_matrices=False)
    rows = rows[:d] * np.sign(rows[np.arange(d), np.abs(rows[:d]).argmax(1)])[:, None]
    np.testing.assert_allclose(data.components, rows, atol=1e-6)
    np.testing.assert_allclose(data.mean, v.mean(0), atol=1e-7)
    ratio = singular**2 / (singular**2).sum()
    np.testing.assert_allclose(data.explained_variance_ratio, ratio[:d], rtol=1e-9)
    for part, pixels in ((data.train, v), (data.test, raw.test_pixels / 16.0)):
        np.testing.assert_allclose(part.x, (pixels - v.mean(0)) @ rows.T, atol=1e-5)


def test_pca__does_not_depend_on_blocks_or_subset(monkeypatch):
    whole = digits()
    monkeypatch.setattr(datasets.projection, "BLOCK_BYTES", 8 * 64 * 100)
    for other in (digits(), digits(train_examples=50, validation_examples=20, seed=3)):
        np.testing.assert_array_equal(other.components, whole.components)
        np.testing.assert_allclose(other.test.x, whole.test.x, rtol=1e-6, atol=1e-7)


def test_pca__same_bytes_on_any_number_of_threads(monkeypatch, rng):
    from threadpoolctl import threadpool_limits

    raw = dataclasses.replace(
        datasets.load_images("digits"),
        train_pixels=rng.integers(0, 256, (1437, 784), dtype=np.uint8),
        test_pixels=rng.integers(0, 256, (360, 784), dtype=np.uint8),
        white=255,
    )
    monkeypatch.setattr(datasets.scenario, "load_images", lambda *_, **__: raw)
    seen = set()
    for threads in (1, 2, 4):
        with threadpool_limits(threads, user_api="blas"):
            data = digits(components=20)
        arrays = data.train.x, data.components, data.explained_variance_ratio
        seen.add(b"".join(array.tobytes() for array in arrays))
    assert len(seen) == 1


def test_pca__constant_images(monkeypatch, own, rng):
    contents = idx_contents(rng)
    contents[TRAIN_IMAGES] = idx(np.full((N_TRAIN, 5, 4), 7, np.uint8))
    write_all(own, register_idx(monkeypatch, contents))
    data = datasets.load_dataset(DatasetSpec(name="mnist", components=3))
    np.testing.assert_array_equal(data.explained_variance_ratio, 0.0)
    np.testing.assert_allclose(data.train.x, 0.0, atol=1e-6)


def test_reconstruct__all_components_give_the_images_back():
    raw, data = datasets.load_images("digits"), digits(components=64)
    images = datasets.reconstruct(data, data.test.x)
    np.testing.assert_allclose(images.reshape(360, -1), raw.test_pixels / 16.0, atol=1e-5)
    assert images.dtype == np.float32
    assert datasets.reconstruct(data, data.test.x[0]).shape == (8, 8)
    with pytest.raises(DataError, match=r"shape \(360, 63\) given; the last axis must be 64"):
        datasets.reconstruct(data, data.test.x[:, :63])


def test_subsets__are_nested_prefixes():
    small, large = digits(train_examples=500, seed=4), digits(train_examples=600, seed=4)
    np.testing.assert_array_equal(small.train.x, large.train.x[:500])
    np.testing.assert_array_equal(small.train.y, large.train.y[:500])
    aside = digits(train_examples=500, validation_examples=200, seed=4)
    np.testing.assert_array_equal(small.train.x, aside.train.x)


def test_subsets__all_are_kept_in_order():
    every, by_number = digits(), digits(train_examples=1437)
    np.testing.assert_array_equal(every.train.y, datasets.load_images("digits").train_labels)
    order = np.lexsort(every.train.x.T), np.lexsort(by_number.train.x.T)
    np.testing.assert_array_equal(every.train.x[order[0]], by_number.train.x[order[1]])


@pytest.mark.parametrize("train_examples", [None, 1200, 1237])
def test_validation__is_disjoint_from_training(monkeypatch, train_examples):
    raw = datasets.load_images("digits")
    numbered = dataclasses.replace(  # every image is its own number
        raw,
        train_pixels=np.stack(np.divmod(np.arange(1437), 256), axis=1).astype(np.uint8),
        test_pixels=np.zeros((360, 2), np.uint8),
        image_shape=(1, 2),
        white=1,
    )
    monkeypatch.setattr(datasets.scenario, "load_images", lambda *_, **__: numbered)
    data = digits(components=None, train_examples=train_examples, validation_examples=200)
    train, validation = ((part.x @ [256, 1]).astype(int) for part in (data.train, data.validation))
    assert len(validation) == len(data.validation.y) == 200
    assert len(train) == (train_examples or 1237)
    assert len({*train, *validation}) == len(train) + 200
    np.testing.assert_array_equal(data.train.y, raw.train_labels[train])
    np.testing.assert_array_equal(data.validation.y, raw.train_labels[validation])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train_examples": 1438}, "train_examples: 1438 given, .* 1,437 training images"),
        ({"train_examples": 1400, "validation_examples": 38}, "which leaves 1,399"),
        ({"validation_examples": 1437}, "train_examples: all given, .* leaves 0"),
        ({"validation_examples": 2000}, "leaves 0 to train on"),
        ({"components": 65}, "components: 65 given; digits has 64 pixels"),
    ],
)
def test_scenario__more_than_there_is(fields, message):
    with pytest.raises(DataError, match=message):
        digits(**fields)


def test_parity__even_is_plus_one():
    classes, parity = digits(), digits(labels="parity")
    np.testing.assert_array_equal(parity.train.y, np.where(classes.train.y % 2 == 0, 1, -1))
    np.testing.assert_array_equal(parity.test.x, classes.test.x)
    assert (classes.n_classes, parity.n_classes) == (10, 2)


def test_examples__by_selection():
    data = digits(validation_examples=7)
    assert data.examples("test") is data.test
    assert len(data.examples("validation").y) == 7
    with pytest.raises(DataError, match=r"validation set is empty; set dataset.validation_ex"):
        digits().examples("validation")


def test_dataset__arrays_and_hash_survive_pickling():
    data = digits(validation_examples=5)
    copy = pickle.loads(pickle.dumps(data))
    for part in (copy.train, copy.test, copy.validation):
        assert part.x.dtype == np.float32
        assert part.y.dtype == np.int64
        assert part.x.flags.c_contiguous
        assert part.x.flags.writeable
    np.testing.assert_array_equal(copy.train.x, data.train.x)
    assert copy.content_hash == data.content_hash == digits(validation_examples=5).content_hash


def test_content_hash__differs_between_scenarios():
    fields = [{}, {"seed": 1}, {"train_examples": 9}, {"labels": "parity"}, {"components": 9}]
    assert len({digits(**field).content_hash for field in fields}) == len(fields)


def real(name, monkeypatch):
    folder = SHARED / "data" / name
    if not folder.is_dir():
        pytest.skip(NO_SHARED.format(folder))
    monkeypatch.setenv("LSG_DATA_DIR", str(SHARED / "data"))
    return datasets.load_dataset(DatasetSpec(name=name, components=20))


def test_mnist__agrees_with_the_authors_projection(monkeypatch):
    reference = SHARED / "data" / "reference" / "mnist_test_pca20.npz"
    if not reference.is_file():
        pytest.skip(NO_SHARED.format(reference))
    data = real("mnist", monkeypatch)
    assert data.train.x.shape == (60_000, 20)
    with np.load(reference) as arrays:
        x, y = arrays["x"], arrays["y"]
    np.testing.assert_array_equal(data.test.y, y)
    ours = data.test.x - data.test.x.mean(0)
    ours *= np.sign((ours * x).sum(0))
    np.testing.assert_allclose(ours, x, atol=1e-4)  # that one is centred on the test images
    assert data.explained_variance_ratio.sum() == pytest.approx(0.6436, abs=1e-4)


def test_fashion_mnist__loads(monkeypatch):
    data = real("fashion-mnist", monkeypatch)
    assert data.train.x.shape == (60_000, 20)
    np.testing.assert_array_equal(np.bincount(data.test.y), np.full(10, 1000))
    np.testing.assert_allclose(data.train.x.mean(0), 0.0, atol=1e-5)
    assert data.explained_variance_ratio.sum() == pytest.approx(0.7851, abs=1e-4)
