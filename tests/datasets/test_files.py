"""Where files come from: the user's folder, the cache, mirrors."""

import dataclasses
import gzip
import subprocess
import sys

import numpy as np
import pytest

from lsg_ray import datasets
from lsg_ray.datasets import files, formats
from lsg_ray.errors import DataError, InputError
from lsg_ray.registry import DATA_SETS
from tests.datasets.made import (
    N_TEST,
    N_TRAIN,
    TRAIN_IMAGES,
    Mirror,
    files_in,
    forms,
    idx,
    idx_contents,
    register_idx,
    sha256,
    write_all,
)

# ── registry ─────────────────────────────────────────────────────────────────────────────────────


def test_registry__names_are_those_of_the_sources():
    for name in DATA_SETS.names():
        assert DATA_SETS[name].name == name
        assert np.prod(DATA_SETS[name].image_shape) == DATA_SETS[name].n_pixels


def test_registry__hashes_and_mirrors_are_well_formed():
    hashes = []
    for source in map(DATA_SETS.__getitem__, DATA_SETS.names()):
        assert all(url.startswith("http") and url.endswith("/") for url in source.mirrors)
        for file in source.files:
            hashes += [file.sha256, *filter(None, [file.content_sha256])]
    assert len(set(hashes)) == len(hashes) == 18
    assert all(len(bytes.fromhex(text)) == 32 for text in hashes)


def test_unknown_name__lists_known():
    with pytest.raises(DataError, match=r"'imagenet' is no data set; there are digits, mnist"):
        datasets.load_images("imagenet")


def test_import__is_light():
    code = (
        "import sys, lsg_ray.datasets;"
        "print([m for m in ('sklearn', 'platformdirs', 'requests', 'scipy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


# ── the user's own folder ────────────────────────────────────────────────────────────────────────


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


@pytest.mark.parametrize("form", ["published", "unpacked"])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("within", [".", "raw", "MNIST/raw", "../MNIST/raw"])
def test_own_folder__names_and_folders_of_other_tools(monkeypatch, own, rng, form, dotted, within):
    published = forms(register_idx(monkeypatch, idx_contents(rng)))[form]
    names = {name: name.replace("-idx", ".idx") if dotted else name for name in published}
    own.mkdir()
    write_all(own / within, {names[name]: data for name, data in published.items()})
    assert datasets.load_images("mnist").train_pixels.shape == (N_TRAIN, 20)
    folder = datasets.fetch("mnist")
    assert folder == (own.parent / "MNIST" / "raw" if within.startswith("..") else own)
    status = datasets.dataset_status()[1]
    assert (status.name, status.folder, status.missing) == ("mnist", folder, ())
    assert status.n_bytes == sum(map(len, published.values()))


def test_own_folder__of_several_copies_the_hash_decides(monkeypatch, own, rng):
    published = register_idx(monkeypatch, idx_contents(rng))
    write_all(own, {**published, TRAIN_IMAGES: b"damaged"})
    with pytest.raises(DataError, match=TRAIN_IMAGES):
        datasets.load_images("mnist")
    good = gzip.decompress(published[TRAIN_IMAGES])
    (own / "train-images.idx3-ubyte").write_bytes(good)
    assert datasets.load_images("mnist").train_pixels.tobytes() == good[16:]


def test_own_folder__of_another_set_in_the_layout_of_torchvision_is_not_taken(
    monkeypatch, own, rng, mirrors
):
    published = register_idx(monkeypatch, idx_contents(rng), [mirrors[0].url])
    mirrors[0].files = published
    write_all(own.parent / "FashionMNIST" / "raw", published)
    (own.parent / "MNIST" / "raw").mkdir(parents=True)
    assert datasets.fetch("mnist") == own.parent.parent / "cache" / "mnist"


def test_own_folder__an_archive_lies_where_torchvision_puts_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LSG_DATA_DIR", str(tmp_path))
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"tar.gz: SHA-256 .*rename .*python.tar.gz to have"):
        datasets.load_images("cifar10")


@pytest.mark.parametrize("variable", ["LSG_DATA_DIR", "LSG_CACHE_DIR"])
def test_folders__may_be_named_from_home(monkeypatch, tmp_path, rng, variable):
    published = register_idx(monkeypatch, idx_contents(rng))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(variable, "~/d")
    write_all(tmp_path / "d" / "mnist", published)
    assert datasets.fetch("mnist") == tmp_path / "d" / "mnist"
    monkeypatch.setenv(variable, "~nobody-of-that-name/d")
    with pytest.raises(InputError, match="no home folder of ~nobody-of-that-name is known"):
        datasets.fetch("mnist")


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
    expected = DATA_SETS["mnist"].files[0].content_sha256
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
    only_first = dataclasses.replace(DATA_SETS["mnist"], mirrors=(first.url,))
    monkeypatch.setattr("lsg_ray.datasets.mnist.SOURCE", only_first)
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
        *(DATA_SETS["mnist"].licence, ()),
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
    assert (status.name, status.place, status.missing) == ("digits", "package", ())
    assert status.n_bytes > 0
    assert datasets.fetch("digits") == status.folder
