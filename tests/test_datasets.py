"""Data sets: where files come from, what is refused, and what the networks get to see."""

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lsg_ray import datasets
from lsg_ray.datasets import files, formats
from lsg_ray.datasets.registry import SOURCES, RemoteFile, Source
from lsg_ray.errors import DataError
from lsg_ray.spec import DATASET_SHAPES, DatasetSpec

SHARED = Path(os.environ.get("LSG_SHARED", Path(__file__).parents[2] / "shared"))
N_TRAIN, N_TEST = 40, 12
TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
NO_SHARED = "no {}; set LSG_SHARED to the folder that holds data/"


# ── fakes ────────────────────────────────────────────────────────────────────────────────────────


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def idx(array):
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx_contents(rng, n_train=N_TRAIN, n_test=N_TEST, n_labels=N_TRAIN):
    return {
        TRAIN_IMAGES: idx(rng.integers(0, 256, (n_train, 5, 4), dtype=np.uint8)),
        "train-labels-idx1-ubyte.gz": idx(rng.integers(0, 10, n_labels, dtype=np.uint8)),
        "t10k-images-idx3-ubyte.gz": idx(rng.integers(0, 256, (n_test, 5, 4), dtype=np.uint8)),
        "t10k-labels-idx1-ubyte.gz": idx(rng.integers(0, 10, n_test, dtype=np.uint8)),
    }


def register_idx(monkeypatch, contents, mirrors=()):
    """Put a small data set in MNIST's place; return its files as published."""
    published = {name: gzip.compress(data, mtime=0) for name, data in contents.items()}
    remote = tuple(
        RemoteFile(name, sha256(published[name]), len(data), sha256(data))
        for name, data in contents.items()
    )
    source = dataclasses.replace(
        SOURCES["mnist"],
        files=remote,
        mirrors=tuple(mirrors),
        n_train=N_TRAIN,
        n_test=N_TEST,
        image_shape=(5, 4),
    )
    monkeypatch.setitem(SOURCES, "mnist", source)
    return published


def write_all(folder, published):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in published.items():
        (folder / name).write_bytes(data)


@pytest.fixture(autouse=True)
def _no_network_no_user_files(monkeypatch, tmp_path):
    monkeypatch.delenv("LSG_DATA_DIR", raising=False)
    monkeypatch.setenv("LSG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def own(monkeypatch, tmp_path):
    """Return a folder for MNIST that the user keeps; it does not exist yet."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("LSG_DATA_DIR", str(tmp_path / "own"))
    return tmp_path / "own" / "mnist"


class Mirror:
    """A mirror on this machine that serves what `files` holds and counts requests."""

    def __init__(self):
        self.files = {}
        self.requests = []
        self.delay = 0.0
        self.cut = None  # send only so many bytes of a body
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.requests.append(self.path)
                time.sleep(mirror.delay)
                body = mirror.files.get(self.path.lstrip("/"))
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the client may have had enough
                    self.wfile.write(body[: mirror.cut])

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def mirrors():
    pair = Mirror(), Mirror()
    yield pair
    for mirror in pair:
        mirror.close()


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# ── registry ─────────────────────────────────────────────────────────────────────────────────────


def test_registry__agrees_with_spec():
    assert set(SOURCES) == set(DATASET_SHAPES)
    for name, (pixels, classes) in DATASET_SHAPES.items():
        assert np.prod(SOURCES[name].image_shape) == pixels
        assert SOURCES[name].n_classes == classes


def test_registry__hashes_and_mirrors_are_well_formed():
    hashes = []
    for source in SOURCES.values():
        assert all(url.startswith("http") and url.endswith("/") for url in source.mirrors)
        for file in source.files:
            hashes += [file.sha256, *filter(None, [file.content_sha256])]
    assert len(set(hashes)) == len(hashes) == 18
    assert all(len(bytes.fromhex(text)) == 32 for text in hashes)


def test_unknown_name__lists_known():
    with pytest.raises(DataError, match=r"'imagenet' is unknown; known are digits, mnist"):
        datasets.load_images("imagenet")


def test_import__is_light():
    code = (
        "import sys, lsg_ray.datasets;"
        "print([m for m in ('sklearn', 'pooch', 'requests', 'scipy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


# ── the user's own folder ────────────────────────────────────────────────────────────────────────


def forms(published):
    """Forms in which a user may keep the files: all of them hold the same contents."""
    unpacked = {name: gzip.decompress(data) for name, data in published.items()}
    bare = {name.removesuffix(".gz"): data for name, data in unpacked.items()}
    repacked = {name: gzip.compress(data, 1, mtime=9) for name, data in unpacked.items()}
    return {"published": published, "unpacked": bare, "repacked": repacked}


@pytest.mark.parametrize("form", ["published", "unpacked", "repacked"])
def test_own_folder__any_form_of_the_files(monkeypatch, own, rng, form):
    contents = idx_contents(rng)
    published = register_idx(monkeypatch, contents)
    write_all(own, forms(published)[form])
    raw = datasets.load_images("mnist")
    assert raw.train_pixels.shape == (N_TRAIN, 20)
    assert raw.train_pixels.tobytes() == contents[TRAIN_IMAGES][16:]
    assert raw.test_labels.tobytes() == contents["t10k-labels-idx1-ubyte.gz"][8:]
    assert (raw.image_shape, raw.n_classes, raw.white) == ((5, 4), 10, 255)
    assert datasets.fetch("mnist") == own


def test_own_folder__content_hash_covers_every_array(monkeypatch, own, rng):
    contents = idx_contents(rng)
    hashes = set()
    for name in [None, *contents]:
        changed = dict(contents)
        if name is not None:
            changed[name] = contents[name][:-1] + bytes([contents[name][-1] ^ 1])
        write_all(own, register_idx(monkeypatch, changed))
        hashes.add(datasets.load_images("mnist").content_hash)
    assert len(hashes) == 5


def test_own_folder__missing_file_is_never_downloaded(monkeypatch, own, rng, mirrors):
    published = register_idx(monkeypatch, idx_contents(rng), [mirrors[0].url])
    mirrors[0].files = published
    write_all(own, {k: v for k, v in published.items() if k != TRAIN_IMAGES})
    with pytest.raises(DataError, match=r"no train-images-idx3-ubyte.gz or train-images.*rename"):
        datasets.load_images("mnist")
    assert mirrors[0].requests == []


def test_own_folder__other_contents(monkeypatch, own, rng, mirrors):
    published = register_idx(monkeypatch, idx_contents(rng), [mirrors[0].url])
    mirrors[0].files = published
    other = idx(np.zeros((N_TRAIN, 5, 4), dtype=np.uint8))
    write_all(own, {**published, TRAIN_IMAGES: gzip.compress(other)})
    expected = SOURCES["mnist"].files[0].content_sha256
    with pytest.raises(DataError) as error:
        datasets.load_images("mnist")
    for text in (str(own / TRAIN_IMAGES), sha256(other)[:12], expected[:12], "put the original"):
        assert text in str(error.value)
    assert mirrors[0].requests == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-30], "damaged gzip data"),
        (lambda data: data[:40] + b"\xff\x00\xff\x00" + data[44:], "damaged gzip data|SHA-256"),
        (lambda data: data[:5], "damaged gzip data"),
        (lambda _: b"", "SHA-256"),
        (lambda _: gzip.compress(bytes(3_000_000)), "more than the 816 bytes it should hold"),
        (lambda _: bytes(1_000_000), "1,000,000 bytes seen; at most"),
    ],
)
def test_own_folder__damaged_file(monkeypatch, own, rng, damage, message):
    published = register_idx(monkeypatch, idx_contents(rng))
    write_all(own, {**published, TRAIN_IMAGES: damage(published[TRAIN_IMAGES])})
    with pytest.raises(DataError, match=message):
        datasets.load_images("mnist")


def test_gunzip__stops_at_the_size():
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(DataError, match="more than the 100 bytes"):
        formats.gunzip(bomb, 100, "bomb")
    assert formats.gunzip(gzip.compress(bytes(100)), 100, "good") == bytes(100)


# ── the cache and the mirrors ────────────────────────────────────────────────────────────────────


def test_mirrors__next_one_after_404_then_cache(monkeypatch, tmp_path, rng, mirrors):
    bad, good = mirrors
    published = good.files = register_idx(monkeypatch, idx_contents(rng), [bad.url, good.url])
    monkeypatch.setenv("LSG_DATA_DIR", str(tmp_path))  # has no folder mnist
    seen = []
    raw = datasets.load_images("mnist", progress=lambda *args: seen.append(args))
    assert len(bad.requests) == len(good.requests) == 4
    sizes = {name: len(data) for name, data in published.items()}
    assert {args[0]: args[1:] for args in seen} == {k: (n, n) for k, n in sizes.items()}
    assert files_in(tmp_path / "cache") == sorted(published)

    again = datasets.load_images("mnist")
    assert datasets.fetch("mnist") == tmp_path / "cache" / "mnist"
    assert again.content_hash == raw.content_hash
    assert len(bad.requests) == len(good.requests) == 4


def test_mirrors__wrong_file_leaves_nothing(monkeypatch, tmp_path, rng, mirrors):
    bad, missing = mirrors
    published = register_idx(monkeypatch, idx_contents(rng), [bad.url, missing.url])
    bad.files = {name: gzip.compress(b"error page") for name in published}
    with pytest.raises(DataError) as error:
        datasets.fetch("mnist")
    for text in (
        f"{TRAIN_IMAGES} could not be downloaded",
        f"{bad.url}{TRAIN_IMAGES}: contents with SHA-256 {sha256(b'error page')[:12]}",
        f"{missing.url}{TRAIN_IMAGES}: answers 404",
        "$LSG_DATA_DIR/mnist/",
    ):
        assert text in str(error.value)
    assert files_in(tmp_path / "cache") == []


def test_mirrors__too_long_cut_off_silent_or_closed(monkeypatch, tmp_path, rng, mirrors):
    first, second = mirrors
    closed = Mirror()
    closed.close()
    published = register_idx(
        monkeypatch, idx_contents(rng), [first.url, second.url, closed.url, "nonsense://"]
    )
    first.files = {name: bytes(1_000_000) for name in published}
    second.files, second.cut = published, 30
    with pytest.raises(DataError) as error:
        datasets.fetch("mnist")
    for text in ("sends more than the", "IncompleteRead", "ConnectionError", "InvalidSchema"):
        assert text in str(error.value)
    assert files_in(tmp_path / "cache") == []

    monkeypatch.setattr(files, "TIMEOUT", (0.2, 0.2))
    first.files, first.delay, second.cut = published, 0.5, None
    only_first = dataclasses.replace(SOURCES["mnist"], mirrors=(first.url,))
    monkeypatch.setitem(SOURCES, "mnist", only_first)
    with pytest.raises(DataError, match="does not answer in time"):
        datasets.fetch("mnist")


def test_cache__damaged_file_is_fetched_again(monkeypatch, tmp_path, rng, mirrors):
    published = register_idx(monkeypatch, idx_contents(rng), [mirrors[0].url])
    mirrors[0].files = dict(published)
    folder = datasets.fetch("mnist")
    (folder / TRAIN_IMAGES).write_bytes(b"damaged")
    mirrors[0].requests.clear()
    datasets.fetch("mnist")
    assert mirrors[0].requests == [f"/{TRAIN_IMAGES}"]
    assert (folder / TRAIN_IMAGES).read_bytes() == published[TRAIN_IMAGES]

    (folder / TRAIN_IMAGES).write_bytes(b"damaged")
    mirrors[0].files.clear()
    with pytest.raises(DataError, match=r"(?s)cache.*SHA-256.*answers 404"):
        datasets.fetch("mnist")


def test_cache__cannot_be_written(monkeypatch, tmp_path, rng):
    register_idx(monkeypatch, idx_contents(rng), ["http://127.0.0.1:9/"])
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cannot be written: .*; set LSG_CACHE_DIR"):
        datasets.fetch("mnist")


def test_mirrors__unpacked_on_the_way(monkeypatch, rng, mirrors):
    contents = idx_contents(rng)
    register_idx(monkeypatch, contents, [mirrors[0].url])
    mirrors[0].files = contents
    assert datasets.load_images("mnist").train_pixels.tobytes() == contents[TRAIN_IMAGES][16:]
    mirrors[0].files = {}
    datasets.fetch("mnist")


def test_status__own_cache_absent(monkeypatch, tmp_path, own, rng, mirrors):
    published = register_idx(monkeypatch, idx_contents(rng), [mirrors[0].url])
    mirrors[0].files = published
    n_bytes = sum(map(len, published.values()))

    def mnist():
        return {status.name: status for status in datasets.dataset_status()}["mnist"]

    assert mnist().place == "absent"
    assert mnist().missing == tuple(published)
    folder = datasets.fetch("mnist")
    assert mnist() == (
        *("mnist", "cache", folder, n_bytes, N_TRAIN, N_TEST, ()),
        SOURCES["mnist"].licence,
    )
    own.mkdir(parents=True)
    assert (mnist().place, mnist().folder, mnist().n_bytes) == ("data-dir", own, 0)
    assert mnist().missing == tuple(published)


def test_own_folder__a_slip_in_its_name_is_no_download(monkeypatch, tmp_path):
    monkeypatch.setenv("LSG_DATA_DIR", str(tmp_path / "typo"))
    with pytest.raises(DataError, match=r"typo.*no folder"):
        datasets.load_images("mnist")


def test_status__digits_are_always_there():
    status = datasets.dataset_status()[0]
    assert (status.name, status.place, status.missing) == ("digits", "scikit-learn", ())
    assert status.n_bytes > 0
    assert datasets.fetch("digits") == status.folder


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
    (file,) = SOURCES[name].files
    file = RemoteFile(file.name, sha256(archive), len(archive))
    source = dataclasses.replace(SOURCES[name], files=(file,), n_train=n_train, n_test=n_test)
    monkeypatch.setitem(SOURCES, name, source)
    monkeypatch.setenv("LSG_DATA_DIR", str(tmp_path / "own"))
    write_all(tmp_path / "own" / name, {file.name: archive})
    return source


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar__pickles_of_python_2(monkeypatch, tmp_path, rng, name):
    source: Source = SOURCES[name]
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
    source = SOURCES["cifar10"]
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
    source = SOURCES["cifar10"]
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
    monkeypatch.setattr(formats, "_read_cifar", never)
    with pytest.raises(DataError, match=f"seen; {source.files[0].sha256[:12]}… expected"):
        datasets.load_images("cifar10")


# ── scenarios ────────────────────────────────────────────────────────────────────────────────────


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
    monkeypatch.setattr(datasets.scenario, "_BLOCK_BYTES", 8 * 64 * 100)
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


# ── the real thing ───────────────────────────────────────────────────────────────────────────────


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
