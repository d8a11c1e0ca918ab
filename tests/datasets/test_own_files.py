"""Data of one's own: formats, identity, and files that are refused."""

import gzip
import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lsg_ray import datasets
from lsg_ray.datasets import file, load_dataset, load_images, locating, tables
from lsg_ray.datasets.tables import DataWarning
from lsg_ray.errors import DataError, LsgError, SpecError
from lsg_ray.spec import DatasetSpec, parse_spec
from tests.datasets.made import idx
from tests.datasets.own import bomb, csv_text, examples, write_idx, write_npz


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for known in (locating._seen, locating._downloaded, file._warned):
        known.clear()


@pytest.fixture
def data(rng):
    return examples(rng)


def of(path, **options):
    return DatasetSpec.model_validate({"name": "file", "path": str(path), **options})


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


# What is refused

X, Y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2


def _replaced(name, value):
    arrays = {"x": X, "y": Y, name: value}
    np.savez("bad", **arrays)


def _text(text):
    Path("bad.npz").write_text(text)


def _bytes(data):
    Path("bad.npz").write_bytes(data)


def _with(x, row, column, value):
    changed = x.copy()
    changed[row, column] = value
    return changed


def _truncated():
    np.savez("bad", x=X, y=Y)
    _bytes(Path("bad.npz").read_bytes()[:-40])


def _flipped():
    np.savez("bad", x=X, y=Y)
    data = bytearray(Path("bad.npz").read_bytes())
    data[300] ^= 255
    _bytes(bytes(data))


def _lying():
    """An array that is shorter than its header says."""
    with zipfile.ZipFile("bad.npz", "w") as archive:
        with archive.open("x.npy", "w") as member:
            head = {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2)}
            np.lib.format.write_array_header_1_0(member, head)
            member.write(bytes(320))
        with archive.open("y.npy", "w") as member:
            np.save(member, Y)


def _huge_npy():
    head = {"descr": "<f8", "fortran_order": False, "shape": (-1, 2)}
    with open("bad.npz", "wb") as member:
        np.lib.format.write_array_header_1_0(member, head)


def _packed_damaged():
    np.savez_compressed("bad", x=X, y=Y)
    data = bytearray(Path("bad.npz").read_bytes())
    data[60:64] = b"\xff" * 4
    _bytes(bytes(data))


def _bad_head(text):
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    with zipfile.ZipFile("bad.npz", "w") as archive:
        archive.writestr("x.npy", head + bytes(320))
        archive.writestr("y.npy", head)


CSV = "a,b,y\n" + "".join(f"{i},{i * i},{i % 2}\n" for i in range(10))
BAD = {
    "no arrays": (lambda: np.savez("bad", a=X), "holds a; arrays x_train, y_train"),
    "objects": (lambda: _replaced("x", np.array([{}, 1], object)), "Python objects"),
    "object labels": (lambda: _replaced("y", np.array(["a", None] * 10, object)), "Python objects"),
    "nan": (lambda: _replaced("x", _with(X, 7, 1, np.nan)), "row 7, input 1: nan seen"),
    "infinity": (lambda: _replaced("x", _with(X, 7, 1, np.inf)), "row 7, input 1: inf seen"),
    "too large": (lambda: _replaced("x", _with(X, 7, 1, 1e200)), "too large for float32"),
    "complex": (lambda: _replaced("x", X * 1j), "inputs are complex128; real numbers"),
    "text inputs": (lambda: _replaced("x", X.astype(str)), "real numbers are needed"),
    "dates": (lambda: _replaced("x", X.astype("M8[s]")), "real numbers are needed"),
    "one axis": (lambda: _replaced("x", X[:, 0]), r"shape \(20,\) seen; \(n, inputs\)"),
    "scalar": (lambda: _replaced("x", np.float64(3)), r"shape \(1,\) seen"),
    "nothing": (lambda: _replaced("x", X[:, :0]), "20 examples of 0 inputs"),
    "no example": (lambda: np.savez("bad", x=X[:0], y=Y[:0]), "0 examples"),
    "one example": (lambda: np.savez("bad", x=X[:1], y=Y[:1]), "all 1 labels are 0"),
    "fewer labels": (lambda: _replaced("y", Y[:-1]), "19 labels seen; .* 20 examples"),
    "one-hot": (lambda: _replaced("y", np.eye(2)[Y]), "of one-hot rows take argmax"),
    "one class": (lambda: _replaced("y", 0 * Y), "all 20 labels are 0; two classes"),
    "regression": (lambda: _replaced("y", Y + 0.25), "regression is not supported"),
    "regression in integers": (lambda: _replaced("y", np.arange(20)), "regression is not"),
    "missing label": (lambda: _replaced("y", np.where(Y == 1, np.nan, Y)), "label of row 1 is nan"),
    "empty label": (lambda: _replaced("y", np.array(["a", ""])[Y]), "label of row 1 is missing"),
    "all the same": (lambda: _replaced("x", 0 * X), "all training examples are the same"),
    "truncated": (_truncated, "damaged archive"),
    "flipped": (_flipped, "damaged|its header says|Bad CRC"),
    "lying": (_lying, "its header says"),
    "packed and damaged": (_packed_damaged, "no array is read"),
    "open bracket": (lambda: _bad_head(b"{'descr': '<f8', ("), "no array is read"),
    "deep head": (lambda: _bad_head(b"-" * 9000 + b"1"), "no array is read"),
    "head of nothing": (
        lambda: _bad_head(b"{'descr': '|S0', 'fortran_order': False, 'shape': (20,), }"),
        "numbers of no bytes",
    ),
    "names of two lines": (lambda: _text('a,"b\nc",z\n1,2,0\n2,3,1\n'), "of a, b c, z"),
    "negative shape": (_huge_npy, "label_path|its header says"),
    "bomb": (lambda: bomb("bad.npz"), "that unpack to .*; refused"),
    "pickle": (lambda: _bytes(b"\x80\x04\x95abc."), "neither .npz, .npy, Parquet nor text"),
    "zeros": (lambda: _bytes(bytes(5000)), "neither .npz, .npy, Parquet nor text"),
    "empty": (lambda: _bytes(b""), "empty"),
    "no table": (lambda: _text("hello\nworld\n"), "no table of two or more columns"),
    "no rows": (lambda: _text("a,b,y\n"), "0 examples of 2 inputs"),
    "short line": (lambda: _text(CSV + "1,2\n"), "line 12: 2 columns; 3 expected"),
    "long line": (lambda: _text(CSV + "1,2,3,4\n"), "line 12: 4 columns; 3 expected"),
    "word": (lambda: _text(CSV + "1,x,0\n"), "line 12, column 'b': 'x' seen; a finite"),
    "csv nan": (lambda: _text(CSV + "1,nan,0\n"), "line 12, column 'b': 'nan' seen"),
    "csv infinity": (lambda: _text(CSV + "-inf,2,0\n"), "line 12, column 'a': '-inf' seen"),
    "csv missing": (lambda: _text(CSV + ",2,0\n"), "line 12, column 'a': '' seen"),
    "csv no label": (lambda: _text(CSV + "1,2,\n"), "line 12, column 'y': no label"),
    "csv regression": (lambda: _text(CSV + "1,2,0.5\n"), "regression is not supported"),
    "csv no label column": (lambda: _text(CSV.replace("y", "z", 1)), "dataset.label .*a, b, z"),
    "csv index": (lambda: _text("," + CSV), "column 0 has no name|columns; 4 expected"),
    "csv twice": (lambda: _text(CSV.replace("b", "a", 1)), "two columns are called 'a'"),
    "csv quote": (lambda: _text(CSV + '1,"2,0\n'), "line 12: 2 columns; 3 expected"),
    "csv nul": (lambda: _text(CSV + "1,\0,0\n"), "line 12|NUL"),
    "csv latin": (lambda: _bytes(CSV.encode() + b"1,\xff,0\n"), "text in UTF-8"),
    "parquet": (lambda: _bytes(b"PAR1" + bytes(50)), "Parquet"),
    "no test part": (lambda: np.savez("bad", x_train=X, y_train=Y), None),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_file__is_one_line(kind):
    make, message = BAD[kind]
    make()
    how = {"path": "bad.npz", "test_fraction": 0.25}
    if message is None:
        del how["test_fraction"]
        message = r"dataset.test_fraction: missing; bad.npz has no test part"
    with pytest.raises(LsgError, match=message) as error:
        load_dataset(of(**how))
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def _idx_folder(*arrays):
    Path("d").mkdir()
    for index, array in enumerate(arrays):
        Path(f"d/{index}").write_bytes(idx(array) if isinstance(array, np.ndarray) else array)


IMAGES, CLASSES = np.zeros((20, 3, 2), np.uint8), (np.arange(20) % 2).astype(np.uint8)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((), "idx files: none; one or two pairs"),
        ((IMAGES,), "idx files: 0 20; one or two pairs"),
        ((IMAGES, CLASSES[:-1]), "one or two pairs"),
        ((IMAGES, CLASSES, IMAGES, CLASSES), "one or two pairs"),
        ((IMAGES, idx(CLASSES)[:-1]), "27 bytes; its header says 28"),
        ((idx(IMAGES)[:9], CLASSES), "ends within its head"),
        ((IMAGES, b"\x1f\x8bnonsense"), "damaged"),
        ((IMAGES, gzip.compress(idx(CLASSES))[:10] + b"\xff" * 20), "damaged"),
        ((IMAGES, gzip.compress(idx(CLASSES))[:-4]), "damaged|ends before"),
    ],
)
def test_bad_folder__is_one_line(parts, message):
    _idx_folder(*parts)
    with pytest.raises(DataError, match=message):
        load_dataset(of("d", test_fraction=0.2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "absent.npz"}, "absent.npz cannot be read: No such file"),
        ({"path": "https://host/d.npz"}, "local paths, s3:// and gs:// are read"),
        ({"path": "s3://bucket"}, "names a bucket"),
        ({"path": "/dev/null"}, "neither a file nor a folder"),
        ({"path": "pipe"}, "neither a file nor a folder"),
        ({"path": "a\0b"}, "cannot be read|given"),
        ({"path": "d.npz", "test_fraction": 1e-4}, "test_fraction: 0.0001 given; of classes of up"),
        ({"path": "d.npz", "label": "y"}, r"dataset.label: 'y' given; d.npz is an .npz"),
        ({"path": "d.npz", "label_path": "y.npy"}, r"dataset.label_path: 'y.npy' given; d.npz is"),
        ({"path": "x.npy"}, "is one array; give the labels by dataset.label_path"),
        ({"path": "x.npy", "label_path": "d.npz"}, "d.npz: no array is read"),
        ({"path": "d.csv", "label": "z"}, r"dataset.label: 'z' given; d.csv has the columns a, b"),
        ({"path": "d.csv", "label": 3}, r"dataset.label: 3 given; d.csv has the columns a, b"),
        ({"path": "d.csv", "test_path": "t.csv"}, r"t.csv: other columns than d.csv"),
        ({"path": "d.csv", "test_path": "d.csv"}, r"dataset.test_fraction: 0.2 given; d.csv has"),
    ],
)
def test_bad_options__are_one_line(options, message):
    np.savez("d", x=X, y=Y)
    np.save("x", X)
    Path("d.csv").write_text(CSV)
    Path("t.csv").write_text(CSV.replace("b", "c", 1))
    os.mkfifo("pipe")
    with pytest.raises(LsgError, match=message) as error:
        parse_spec({"dataset": {"name": "file", "test_fraction": 0.2, **options}})
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value).partition("network.widths")[0].rstrip("\n")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "dataset.path: missing; the path or URL"),
        ({"path": 3}, "dataset.path: 3 given"),
        ({"path": "d.npz", "test_fraction": 1}, "dataset.test_fraction: 1 given"),
        ({"path": "d.npz", "sha256": "0"}, "dataset.sha256: '0' given"),
        ({"path": "d.npz", "paths": 3}, "dataset.paths: unknown field; allowed are name"),
        ({"path": "d.npz", "options": {"path": "e.npz"}}, "dataset.path: given twice"),
    ],
)
def test_bad_fields__are_named(options, fault):
    with pytest.raises(SpecError) as error:
        parse_spec({"dataset": {"name": "file", **options}})
    assert error.value.faults[0].startswith(fault)


def test_limits__are_warned(monkeypatch, data):
    write_npz("d.npz", *data)
    np.savez("wide", x=np.zeros((4, 300)), y=[0, 1, 0, 1])
    monkeypatch.setattr(tables, "LIMITS", tables.FileLimits(inputs=299, bytes=1000))
    with pytest.raises(DataError, match="300 inputs an example; at most 299"):
        of("wide.npz", test_fraction=0.5)
    with pytest.raises(DataError, match="60 examples of 5 inputs take more than"):
        of("d.npz", test_fraction=0.5)


def test_status__says_which_options_there_are():
    status = {one.name: one for one in datasets.dataset_status()}
    assert status["file"].place == "options"
    assert status["file"].options[:2] == ("path", "label_path")
    assert status["parity"].n_train is None
    with pytest.raises(DataError, match="parity: is made of the options"):
        datasets.fetch("parity")
