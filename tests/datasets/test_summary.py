"""What `lsg data fetch FILE` reads, checks, records and reports."""

import numpy as np
import pytest

from lsg_ray.datasets import load_images, locating, record_file
from lsg_ray.errors import DataError
from lsg_ray.spec import DatasetSpec
from tests.datasets.own import csv_text


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSG_CACHE_DIR", str(tmp_path / "cache"))
    locating._seen.clear()


def test_archive__sizes_classes_and_what_is_missing(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 5))
    x[:, 2] = 1
    y = np.repeat([3, 5, 9], 10)
    np.savez("xy.npz", x=x, y=y)
    summary = record_file("xy.npz")
    assert summary.folder == tmp_path
    assert (summary.examples, summary.test_examples, summary.shape) == (30, None, (5,))
    assert (summary.classes, summary.counts) == (3, {"3": 10, "5": 10, "9": 10})
    assert summary.mapped
    assert summary.constant_inputs == 1
    assert summary.missing == "set dataset.test_fraction: no test part"
    np.savez("parts.npz", x_train=x, y_train=y // 4, x_test=x[:12], y_test=y[:12] // 4)
    summary = record_file("parts.npz")
    assert (summary.test_examples, summary.mapped, summary.missing) == (12, False, "")
    assert summary.counts == {"0": 10, "1": 10, "2": 10}


def test_table_without_a_known_label__is_recorded_by_its_hash(tmp_path):
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    (tmp_path / "d.csv").write_text(csv_text(x, y, label="species"))
    summary = record_file("d.csv")
    assert summary.examples is None
    assert summary.missing.startswith("set dataset.label to the column of labels, of ")
    assert record_file("d.csv", label="species").sha256 == summary.sha256
    assert record_file("d.csv", label="species").counts == {"0": 5, "1": 5}


def test_moved_pair__is_found_once_it_is_fetched_again(tmp_path):
    """The data of a store are known by the hash of inputs and labels together."""
    np.save("x.npy", np.random.default_rng(0).normal(size=(20, 3)))
    np.save("y.npy", np.arange(20) % 2)
    with pytest.raises(DataError, match=r"give the labels by dataset\.label_path"):
        record_file("x.npy")
    spec = DatasetSpec(name="file", path="x.npy", label_path="y.npy", test_fraction=0.2)
    (tmp_path / "moved").mkdir()
    for name in ("x.npy", "y.npy"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    stored = DatasetSpec.model_validate(spec.model_dump(), context={"stored": True})
    with pytest.raises(DataError, match="lsg data fetch"):
        load_images(stored)
    record_file("moved/x.npy", label_path="moved/y.npy")
    assert load_images(stored).train_pixels.shape == (16, 3)


def test_number_that_is_not_finite__is_named():
    x = np.ones((20, 3))
    x[7, 1] = np.nan
    np.savez("xy.npz", x=x, y=np.arange(20) % 2)
    with pytest.raises(DataError, match="row 7, input 1: nan seen"):
        record_file("xy.npz")
