"""Data of one's own: files, folders and options that are refused."""

import gzip
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lsg_ray import datasets
from lsg_ray.datasets import load_dataset, tables
from lsg_ray.errors import DataError, LsgError, SpecError
from lsg_ray.spec import parse_spec
from tests.datasets.made import idx
from tests.datasets.own import bomb, write_npz
from tests.datasets.own import file_spec as of

pytestmark = pytest.mark.usefixtures("own_folder")
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
