"""Data of one's own: formats, labels and identity."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from lsg_ray import datasets
from lsg_ray.datasets import load_dataset, load_images, locating, tables
from lsg_ray.datasets.tables import DataWarning
from lsg_ray.errors import DataError, SpecError
from lsg_ray.spec import parse_spec
from tests.datasets.made import idx
from tests.datasets.own import csv_text, write_idx, write_npz
from tests.datasets.own import file_spec as of

pytestmark = pytest.mark.usefixtures("own_folder")


def by_row(x):
    return sorted(map(bytes, np.ascontiguousarray(x)))


def write(kind, x, y):
    """Write the examples, the first twelve for testing, in a format; return its options."""
    if kind == "npz":
        write_npz("d.npz", x, y, 12)
    elif kind == "npz packed":
        np.savez_compressed(
            "d.npz", x_train=x[12:], y_train=y[12:], x_test=x[:12], y_test=y[:12], other=[1]
        )
    elif kind == "npz of other order, type and names":
        np.savez(
            "d.npz", X_train=np.asfortranarray(x[12:].astype(">f8")), Y_train=y[12:, None] * 1.0,
            X_test=x[:12].astype(np.float64), y_test=y[:12].astype(np.uint8),
        )  # fmt: skip
    elif kind == "folder of npy":
        Path("d").mkdir()
        for name, array in (
            ("x_train", x[12:]), ("y_train", y[12:]), ("x_test", x[:12]), ("y_test", y[:12]),
        ):  # fmt: skip
            np.save(f"d/{name}.npy", array)
        return {"path": "d"}
    elif kind in ("csv", "semicolons"):
        sep = "," if kind == "csv" else ";"
        Path("d.csv").write_text(csv_text(x[12:], y[12:], sep=sep))
        Path("t.csv").write_text(csv_text(x[:12], y[:12], sep=sep))
        return {"path": "d.csv", "test_path": "t.csv", "label": "label"}
    elif kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        for name, rows in (("d", slice(12, None)), ("t", slice(12))):
            columns = {f"in{i}": x[rows, i] for i in range(x.shape[1])}
            parquet.write_table(pyarrow.table({**columns, "label": y[rows]}), f"{name}.parquet")
        return {"path": "d.parquet", "test_path": "t.parquet"}
    return {"path": "d.npz"}


@pytest.mark.parametrize(
    "kind",
    ["npz", "npz packed", "npz of other order, type and names", "folder of npy", "csv",
     "semicolons", "parquet"],
)  # fmt: skip
def test_formats__give_the_same_examples(kind, data):
    x, y = data
    dataset = load_dataset(of(**write(kind, x, y)))
    np.testing.assert_array_equal(dataset.train.x, x[12:])
    np.testing.assert_array_equal(dataset.train.y, y[12:])
    np.testing.assert_array_equal(dataset.test.x, x[:12])
    np.testing.assert_array_equal(dataset.test.y, y[:12])
    assert (dataset.n_classes, dataset.image_shape) == (3, (5,))
    assert dataset.train.x.flags.writeable


@pytest.mark.parametrize("kind", ["npz", "csv", "pair", "folder", "parquet"])
def test_split__is_by_seed_and_the_same_share_of_each_class(kind, data):
    x, y = data
    options = {"path": "d.npz"}
    if kind == "npz":
        write_npz("d.npz", x, y)
    elif kind == "csv":
        Path("d.npz").write_text(csv_text(x, y))
    elif kind == "pair":
        np.save("d.npy", x)
        np.save("e.npy", y)
        options = {"path": "d.npy", "label_path": "e.npy"}
    elif kind == "folder":
        Path("d").mkdir()
        np.save("d/x.npy", x)
        np.save("d/y.npy", y)
        options = {"path": "d"}
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        columns = {f"in{i}": x[:, i] for i in range(x.shape[1])}
        parquet.write_table(pyarrow.table({**columns, "y": y}), "d.npz")
    first, again, other = (
        load_dataset(of(**options, test_fraction=0.25, seed=seed)) for seed in (0, 0, 1)
    )
    assert by_row(np.concatenate([first.train.x, first.test.x])) == by_row(x)
    np.testing.assert_array_equal(np.bincount(first.test.y), [5, 5, 5])
    np.testing.assert_array_equal(first.test.x, again.test.x)
    assert not np.array_equal(first.test.x, other.test.x)
    order = {row.tobytes(): index for index, row in enumerate(x)}
    indices = [order[row.tobytes()] for row in first.train.x]
    assert indices == sorted(indices)  # the order of the file
    np.testing.assert_array_equal(first.train.y, y[indices])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "names",
    [("train-x", "train-y", "test-x", "test-y"), ("a", "b", "c", "d"), ("d", "c", "b", "a")],
)
def test_idx__of_any_name_is_as_published(rng, packed, names):
    x, y = rng.integers(0, 256, (60, 4, 3)), rng.permutation(np.arange(60) % 3)
    write_idx(Path("d"), x, y, 12, packed, names)
    spec = of("d")
    raw, dataset = load_images(spec), load_dataset(spec)
    assert (raw.white, raw.image_shape, raw.train_pixels.dtype) == (255, (4, 3), np.uint8)
    np.testing.assert_array_equal(raw.train_pixels, x[12:].reshape(48, -1))
    np.testing.assert_array_equal(dataset.test.x, (x[:12].reshape(12, -1) / 255).astype(np.float32))
    np.testing.assert_array_equal(dataset.test.y, y[:12])


def test_idx__pair_and_real_numbers(rng):
    Path("d").mkdir()
    x = rng.normal(size=(20, 6)).astype(">f4")
    Path("d/numbers").write_bytes(struct.pack(">4B2I", 0, 0, 13, 2, 20, 6) + x.tobytes())
    Path("d/classes").write_bytes(idx((np.arange(20) % 2).astype(np.uint8)))
    dataset = load_dataset(of("d", test_fraction=0.5))
    assert by_row(np.concatenate([dataset.train.x, dataset.test.x])) == by_row(x.astype(np.float32))


def test_images__keep_their_shape(rng):
    x, y = rng.integers(0, 256, (30, 6, 5, 3), dtype=np.uint8), np.arange(30) % 2
    write_npz("d.npz", x, y, 10)
    raw = load_images(of("d.npz"))
    assert (raw.image_shape, raw.white) == ((6, 5, 3), 255)
    np.save("x.npy", x.reshape(30, -1))  # rows of bytes are numbers as any other
    np.save("y.npy", y)
    flat = load_images(of("x.npy", label_path="y.npy", test_fraction=0.5))
    assert (flat.image_shape, flat.white, flat.train_pixels.max() > 200) == ((90,), 1, True)


@pytest.mark.parametrize(
    ("labels", "expected", "message"),
    [
        ([1, 2, 3], [0, 1, 2], "1 → 0, 2 → 1, 3 → 2"),
        ([0, 5, 7], [0, 1, 2], "0 → 0, 5 → 1, 7 → 2"),
        ([1.0, 2.0, -3.0], [1, 2, 0], "-3 → 0, 1 → 1, 2 → 2"),
        (["dog", "cat", "eel"], [1, 0, 2], "cat → 0, dog → 1, eel → 2"),
        ([1, -1, 1], [0, 1, 0], "1 → 0, -1 → 1"),
        ([True, False, True], [1, 0, 1], None),
        ([0, 1, 2], [0, 1, 2], None),
    ],
)
def test_labels__are_mapped_and_it_is_said_once(recwarn, data, labels, expected, message):
    x, y = data
    write_npz("d.npz", x, np.array(labels)[y])
    spec = of("d.npz", test_fraction=0.2, subset="first")
    dataset = load_dataset(spec)
    rows = {row.tobytes(): index for index, row in enumerate(x)}
    indices = [rows[row.tobytes()] for row in dataset.train.x]
    np.testing.assert_array_equal(dataset.train.y, np.array(expected)[y[indices]])
    of("d.npz", test_fraction=0.2)
    said = [str(one.message) for one in recwarn if one.category is DataWarning]
    assert [message in one for one in said] == ([] if message is None else [True])
    assert ("label_values" in spec.options) == (message is not None)


def test_labels__of_signs_are_what_they_were(data):
    x, y = data
    signs = np.where(y == 0, 1, -1)
    write_npz("d.npz", x, signs, 12)
    with pytest.warns(DataWarning):
        spec = of("d.npz", labels="parity")
    np.testing.assert_array_equal(load_dataset(spec).train.y, signs[12:])


def test_constant_inputs__are_warned(data):
    x, y = data
    x[:, 2] = 4
    Path("d.csv").write_text(csv_text(x, y))
    with pytest.warns(DataWarning, match=r"1 of 5 inputs are constant .*, in2 the first"):
        dataset = load_dataset(of("d.csv", test_fraction=0.2, standardize=True))
    np.testing.assert_array_equal(dataset.train.x[:, 2], 0)


# Identity


def full(spec):
    return parse_spec({"dataset": spec, "network": {"widths": [5, 4, 3]}})


def test_identity__is_the_contents_and_not_the_path(data):
    write_npz("d.npz", *data)
    Path("elsewhere").mkdir()
    Path("elsewhere/copy.dat").write_bytes(Path("d.npz").read_bytes())
    how = {"name": "file", "test_fraction": 0.2}
    one, two = (
        full({**how, "path": path}) for path in ("d.npz", os.path.abspath("elsewhere/copy.dat"))
    )
    assert one.hash == two.hash
    assert load_dataset(one.dataset).content_hash == load_dataset(two.dataset).content_hash
    assert "d.npz" not in one.canonical_json()
    assert one.tree()["dataset"]["options"]["path"] == "d.npz"
    assert full({**how, "path": "d.npz", "test_fraction": 0.3}).hash != one.hash
    write_npz("d.npz", data[0] + 1, data[1])
    assert full({**how, "path": "d.npz"}).hash != one.hash


def test_stored__finds_the_file_by_its_contents(data, monkeypatch):
    write_npz("d.npz", *data)
    spec = full({"name": "file", "path": "d.npz", "test_fraction": 0.2})
    stored = parse_spec(json.loads(spec.canonical_json()), stored=True)
    assert stored.hash == spec.hash
    assert "path" not in stored.dataset.options
    dataset = load_dataset(stored.dataset, download=False)
    assert dataset.content_hash == load_dataset(spec.dataset).content_hash
    locating._seen.clear()  # another process: the cache knows
    assert load_dataset(stored.dataset).content_hash == dataset.content_hash
    locating._seen.clear()
    monkeypatch.setenv("LSG_CACHE_DIR", "empty")  # another machine
    with pytest.raises(DataError, match=r"not known here; .* lsg data fetch PATH"):
        load_dataset(stored.dataset)
    Path("moved.npz").write_bytes(Path("d.npz").read_bytes())
    assert datasets.fetch("moved.npz") == Path.cwd()
    assert load_dataset(stored.dataset).content_hash == dataset.content_hash
    Path("moved.npz").unlink()
    with pytest.raises(DataError, match=r"not where they were .*; .* lsg data fetch PATH"):
        load_dataset(stored.dataset)


def test_stored__reads_no_file_and_names_none(data):
    write_npz("d.npz", *data)
    how = {"name": "file", "path": "d.npz", "test_fraction": 0.2}
    for dataset in (how, {**how, "path": "/dev/zero"}, {"name": "file", "options": how}):
        with pytest.raises(SpecError, match=r"given; nothing stored names it|allowed are"):
            parse_spec({"dataset": dataset, "network": {"widths": [5, 4, 3]}}, stored=True)
    with pytest.raises(SpecError, match=r"sha256, shape and counts are missing"):
        parse_spec({"dataset": {"name": "file", "test_fraction": 0.2}}, stored=True)


def test_changed__is_an_error_that_says_so(data):
    write_npz("d.npz", *data)
    spec = full({"name": "file", "path": "d.npz", "test_fraction": 0.2})
    write_npz("d.npz", data[0] + 1, data[1])
    with pytest.raises(DataError, match=r"d.npz: changed: SHA-256 \w{12}… seen, .* --out"):
        load_dataset(spec.dataset)
    pinned = {"sha256": spec.dataset.options["sha256"]}
    with pytest.raises(DataError, match=r"d.npz: changed: SHA-256"):
        full({"name": "file", "path": "d.npz", "test_fraction": 0.2, **pinned})
    write_npz("d.npz", *data)
    assert full({"name": "file", "path": "d.npz", "test_fraction": 0.2, **pinned}).hash == spec.hash


def test_facts__that_are_wrong_are_refused(data):
    write_npz("d.npz", *data)
    spec = full({"name": "file", "path": "d.npz", "test_fraction": 0.2})
    options = {**spec.dataset.options, "counts": [10, 20, 30]}
    with pytest.raises(DataError, match=r"holds other examples than the specification says"):
        load_dataset(full({"name": "file", "options": options}).dataset)


def test_options__that_change_no_fact_may_be_changed(data):
    write_npz("d.npz", *data)
    spec = full({"name": "file", "path": "d.npz", "test_fraction": 0.2})
    options = {**spec.dataset.options, "test_fraction": 0.5}
    assert len(load_dataset(full({"name": "file", "options": options}).dataset).test.y) == 30


def test_one_pass__without_a_second_copy(monkeypatch, rng):
    """In small what `10⁶ × 10³` is in large: memory beyond the numbers is that of some blocks."""
    import tracemalloc

    x, y = rng.normal(size=(20_000, 100)).astype(np.float32), np.arange(20_000) % 2
    write_npz("d.npz", x, y)
    spec = of("d.npz", test_fraction=0.1)
    monkeypatch.setattr(tables, "LIMITS", tables.FileLimits(block_bytes=2**16))
    monkeypatch.setattr(datasets.projection, "BLOCK_BYTES", 2**16)
    tracemalloc.start()
    dataset = load_dataset(spec)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes + 3_000_000  # labels and permutations: 8 bytes each
    assert dataset.train.x.shape == (18_000, 100)
