"""What is read, and what is refused."""

import dataclasses
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

from lsg_ray import datasets
from lsg_ray.datasets import formats
from lsg_ray.datasets.source import RemoteFile, Source
from lsg_ray.errors import DataError
from lsg_ray.registry import DATA_SETS
from tests.datasets.made import (
    N_TEST,
    N_TRAIN,
    TRAIN_IMAGES,
    idx,
    idx_contents,
    register_idx,
    sha256,
    write_all,
)

# ── idx ──────────────────────────────────────────────────────────────────────────────────────────


def test_idx__image_and_label_counts_differ(monkeypatch, own, rng):
    write_all(own, register_idx(monkeypatch, idx_contents(rng, n_labels=N_TRAIN - 1)))
    with pytest.raises(DataError, match="40 training images and 39 labels seen; 40 of each"):
        datasets.load_images("mnist")


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        (TRAIN_IMAGES, b"\x89PNG0000", "starts with 89504e47"),
        (TRAIN_IMAGES, b"", "starts with nothing"),
        (TRAIN_IMAGES, bytes([0, 0, 8, 3, 0, 0]), "6 bytes seen; its header alone takes 16"),
        (TRAIN_IMAGES, idx(np.zeros((40, 5, 4), np.uint8))[:-1], "799 bytes of data seen"),
        (TRAIN_IMAGES, bytes([0, 0, 8, 3]) + b"\xff" * 12, "0 bytes of data seen"),
        (TRAIN_IMAGES, idx(np.zeros((40, 4, 4), np.uint8)), r"shape \(4, 4\) seen"),
        ("t10k-labels-idx1-ubyte.gz", idx(np.full(N_TEST, 10, np.uint8)), "test label 10 seen"),
    ],
)
def test_idx__not_what_it_should_be(monkeypatch, own, rng, name, contents, message):
    write_all(own, register_idx(monkeypatch, {**idx_contents(rng), name: contents}))
    with pytest.raises(DataError, match=message):
        datasets.load_images("mnist")


# ── CIFAR ────────────────────────────────────────────────────────────────────────────────────────


def python2_batch(pixels, key, labels):
    """Write the opcodes that Python 2 and its numpy wrote for ``{'data': …, key: […]}``."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def number(value):
        return b"J" + struct.pack("<i", value)

    data = pixels.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + (number(0) + b"\x85" + text(b"b") + b"\x87R")
        + (b"(" + number(1) + number(pixels.shape[0]) + number(pixels.shape[1]) + b"\x86")
        + (b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R")
        + (b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb")
        + (b"\x89T" + struct.pack("<i", len(data)) + data + b"tb")
    )
    numbers = b"](" + b"".join(number(int(label)) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key) + numbers + b"u."


def tar_gz(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def register_cifar(monkeypatch, tmp_path, name, members, n_train, n_test):
    """Put a small archive in CIFAR's place, in the user's own folder."""
    archive = tar_gz(members)
    (file,) = DATA_SETS[name].files
    file = RemoteFile(file.name, sha256(archive), len(archive))
    source = dataclasses.replace(DATA_SETS[name], files=(file,), n_train=n_train, n_test=n_test)
    monkeypatch.setattr(f"lsg_ray.datasets.{name}.SOURCE", source)
    monkeypatch.setenv("LSG_DATA_DIR", str(tmp_path / "own"))
    write_all(tmp_path / "own" / name, {file.name: archive})
    return source


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar__pickles_of_python_2(monkeypatch, tmp_path, rng, name):
    source: Source = DATA_SETS[name]
    key, members, images, labels = source.label_key, {}, [], []
    for member in (*source.test, "cifar/readme.html", *reversed(source.train)):
        images.append(rng.integers(0, 256, (3, 3072), dtype=np.uint8))
        labels.append(rng.integers(0, source.n_classes, 3))
        members[member] = python2_batch(images[-1], key, labels[-1])
    n_train = 3 * len(source.train)
    register_cifar(monkeypatch, tmp_path, name, members, n_train, 3)

    raw = datasets.load_images(name)
    assert raw.train_pixels.shape == (n_train, 3072)
    assert raw.image_shape == (32, 32, 3)
    np.testing.assert_array_equal(raw.test_labels, labels[0])
    np.testing.assert_array_equal(raw.train_labels, np.concatenate(labels[:1:-1]))
    image = raw.test_pixels[1].reshape(raw.image_shape)
    np.testing.assert_array_equal(image.transpose(2, 0, 1), images[0][1].reshape(3, 32, 32))


def test_unpickle__arrays_of_this_python(rng):
    batch = {b"data": rng.integers(0, 256, (2, 4), dtype=np.uint8), b"labels": [1, 2]}
    result = formats.unpickle_arrays(pickle.dumps(batch, protocol=4), "batch")
    np.testing.assert_array_equal(result[b"data"], batch[b"data"])


class Malicious:
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_cifar__malicious_pickle_is_refused(monkeypatch, tmp_path, protocol):
    mark = tmp_path / "executed"
    bad = pickle.dumps({"data": Malicious(mark)}, protocol=protocol)
    source = DATA_SETS["cifar10"]
    members = dict.fromkeys((*source.train, *source.test), bad)
    register_cifar(monkeypatch, tmp_path, "cifar10", members, 15, 3)
    with pytest.raises(DataError, match=r"data_batch_1: refused: its pickle asks for \w+\.open"):
        datasets.load_images("cifar10")
    assert not mark.exists()
    pickle.loads(bad)["data"].close()  # the same pickle does execute where nothing stops it
    assert mark.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "scalar"),
    ],
)
def test_unpickle__admits_four_names_only(module, name):
    attack = f"c{module}\n{name}\n(S'x'\ntR.".encode()
    with pytest.raises(DataError, match=f"asks for {module}.{name}"):
        formats.unpickle_arrays(attack, "batch")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (b"", "damaged pickle"),
        (pickle.dumps([1, 2]), "not a batch of cifar10"),
        (pickle.dumps({"data": 1}), "not a batch of cifar10"),
        (python2_batch(np.zeros((3, 20), np.uint8), b"labels", [1, 2, 3]), r"shape \(3, 20\)"),
        (python2_batch(np.zeros((3, 3072), np.uint8), b"labels", [1, 2, 10]), "from 0 to 9"),
        (python2_batch(np.zeros((3, 3072), np.uint8), b"labels", [1, -2, 1]), "from 0 to 9"),
        (python2_batch(np.zeros((3, 3072), np.uint8), b"labels", [1, 2]), "10 labels seen; 15"),
    ],
)
def test_cifar__not_a_batch(monkeypatch, tmp_path, batch, message):
    source = DATA_SETS["cifar10"]
    members = dict.fromkeys((*source.train, *source.test), batch)
    register_cifar(monkeypatch, tmp_path, "cifar10", members, 15, 3)
    with pytest.raises(DataError, match=message):
        datasets.load_images("cifar10")


def test_cifar__member_missing(monkeypatch, tmp_path):
    register_cifar(monkeypatch, tmp_path, "cifar100", {"other": b""}, 3, 3)
    with pytest.raises(DataError, match="holds no cifar-100-python/test, cifar-100-python/train"):
        datasets.load_images("cifar100")


def test_cifar__hash_comes_first(monkeypatch, tmp_path):
    def never(*args):
        raise AssertionError("parsed before its hash was checked")

    source = register_cifar(monkeypatch, tmp_path, "cifar10", {"other": b""}, 3, 3)
    path = tmp_path / "own" / "cifar10" / source.files[0].name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    broken = dataclasses.replace(source, parse=never)
    monkeypatch.setattr("lsg_ray.datasets.cifar10.SOURCE", broken)
    with pytest.raises(DataError, match=f"seen; {source.files[0].sha256[:12]}… expected"):
        datasets.load_images("cifar10")
