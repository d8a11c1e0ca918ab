"""Commands that measure: what they write is what Python gives, and bad words write nothing."""

import json
import os
import re

import numpy as np
import pytest
import xarray

import lsg_ray
from lsg_ray.ensemble.ledger import record_key
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ising.model import load_model
from lsg_ray.statistics.moments import moments
from tests.ensemble.mixture import synthetic
from tests.ensemble.synthetic import fill, make_spec

from .conftest import listing

# moments


def test_moments__are_those_of_python(lsg, store, tmp_path):
    ensemble = open_ensemble(store)
    cases = {
        (): ensemble,
        ("--part", "RB"): ensemble.part("RB"),
        ("--part", "0"): ensemble.part(0),
        ("--where", "configuration < 4"): ensemble.where("configuration < 4"),
        ("--part", "LB", "--where", "trial == 0"): ensemble.part("LB").where("trial == 0"),
    }
    for words, view in cases.items():
        ran = lsg("moments", store, "--out", tmp_path / "m", "--overwrite", "--json", *words)
        assert ran.code == 0
        expected = moments(view)
        stored = xarray.open_zarr(tmp_path / "m")
        assert (stored["C"].values == expected["C"].values).all()
        assert stored.attrs.pop("stage") == "moments"
        assert "seed" in stored.attrs.pop("options")
        assert stored.attrs == expected.attrs
        assert (ran.json["count"], ran.json["n_weights"]) == (view.n_rows, view.n_weights)


def test_moments__overwrite_results_alone_and_only_when_told(lsg, store, tmp_path):
    out = tmp_path / "m"
    assert lsg("moments", store, "--out", out).code == 0
    again = lsg("moments", store, "--out", out)
    assert (again.code, again.out) == (2, "")
    assert "pass --overwrite" in again.err
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    (tmp_path / "notes").write_text("mine")
    before = listing(tmp_path)
    for path in (store, tmp_path / "thesis", tmp_path / "notes", tmp_path):
        ran = lsg("moments", store, "--out", path, "--overwrite")
        assert ran.code == 2
        read = path in (store, tmp_path)
        message = "is what is read" if read else "not a result of lsg; it is not overwritten"
        assert message in ran.err
    assert lsg("moments", store, "--out", tmp_path / "no" / "m").code == 2
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--part", "XX"), "this network has LB, RB and layers 0 to 1"),
        (("--part", "ITR"), "this network has LB, RB"),
        (("--part", "2"), "layers 0 to 1"),
        (("--part", "-1"), "layers 0 to 1"),
        (("--part", "²"), "layers 0 to 1"),
        (("--where", "accuracy > 1"), "0 configurations selected; moments need at least 2"),
        (("--where", "configuration == 1"), "1 configurations selected"),
        (("--where", "oops > 1"), "oops"),
    ],
)
def test_moments__bad_words_exit_with_2_and_create_nothing(lsg, store, tmp_path, words, message):
    ran = lsg("moments", store, "--out", tmp_path / "m", *words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert os.listdir(tmp_path) == ["s"]


# The others


@pytest.fixture
def deep(tmp_path):
    """60 synthetic configurations 20-15-15-10 in blocks of 10."""
    return synthetic(tmp_path / "deep", 60, 675, 1, block_size=10)


CASES = {
    "moments": (("--triples", 7, "--weights", "accuracy"), None),
    "overlaps": ((), lambda e: lsg_ray.overlaps(e)),
    "overlaps of a part": (("--part", "ITR"), lambda e: lsg_ray.overlaps(e.part("ITR"))),
    "overlaps of some": (
        ("--configurations", 20, "--seed", 3),
        lambda e: lsg_ray.overlaps(e, configurations=20, seed=3),
    ),
    "overlaps of pairs": (("--pairs", 9), lambda e: lsg_ray.overlaps(e, pairs=9)),
    "distances canonical": (
        ("--canonical", "--part", "LB"),
        lambda e: lsg_ray.distances(lsg_ray.canonicalize(e).part("LB")),
    ),
    "distances to references": (
        ("--references", "REFERENCES", "--nearest", 2, "--matrix"),
        lambda e: lsg_ray.distances(e, references=e.numpy(4), nearest=2, matrix=True),
    ),
    "distances to another": (("--other", "STORE"), lambda e: lsg_ray.distances(e, e)),
    "embed": (("--method", "pca"), lambda e: lsg_ray.embed(e, method="pca")),
    "embed canonical": (
        ("--method", "pca", "--canonical", "--color", "loss"),
        lambda e: lsg_ray.embed(lsg_ray.canonicalize(e), method="pca", color="loss"),
    ),
}


@pytest.mark.parametrize("case", [name for name in CASES if name != "moments"])
def test_commands__write_what_python_gives(lsg, deep, tmp_path, case):
    command, (words, measure) = case.split()[0], CASES[case]
    np.savez(tmp_path / "r.npz", sigma=deep.numpy(4))
    paths = {"STORE": deep.url, "REFERENCES": tmp_path / "r.npz"}
    words = [paths.get(word, word) for word in words]
    ran = lsg(command, deep.url, "--out", tmp_path / "o", "--json", *words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["complete_configurations"] == ran.json["planned_configurations"] == 60
    stored, expected = xarray.open_zarr(tmp_path / "o"), measure(deep)
    for name in expected.data_vars:
        np.testing.assert_array_equal(stored[name].values, expected[name].values)
    assert stored.attrs.keys() == {*expected.attrs, "stage", "options"}
    text = lsg(command, deep.url, "--out", tmp_path / "o", "--overwrite", *words)
    assert text.code == 0
    assert str(tmp_path / "o") in text.out


def test_figure__is_drawn_beside_the_map(lsg, deep, tmp_path):
    words = (
        "embed",
        deep.url,
        "--out",
        tmp_path / "o",
        "--figure",
        tmp_path / "f.png",
        "--canonical",
    )
    assert lsg(*words, "--configurations", 20).code == 0
    png = (tmp_path / "f.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    before = listing(tmp_path)
    for wrong in (words, (*words[:3], tmp_path / "new", *words[4:])):
        ran = lsg(*wrong)
        assert ran.code == 2
        assert re.search("exists; name another (place|path) or pass --overwrite", ran.err)
    assert listing(tmp_path) == before
    assert lsg(*words, "--overwrite", "--method", "pca").code == 0
    assert (tmp_path / "f.png").read_bytes() != png


def test_incomplete_store__is_measured_as_far_as_it_goes(lsg, deep, tmp_path):
    (tmp_path / "deep" / record_key(3)).unlink()
    ran = lsg("moments", deep.url, "--out", tmp_path / "m", "--json").json
    assert (ran["count"], ran["complete_configurations"], ran["planned_configurations"]) == (
        50,
        50,
        60,
    )


def test_canonicalize_and_permute__make_stores(lsg, deep, tmp_path):
    ran = lsg("permute", deep.url, "--fraction", 0.5, "--out", tmp_path / "p", "--json")
    assert (ran.code, ran.json["rows"]) == (0, 60)
    ran = lsg("canonicalize", tmp_path / "p", "--out", tmp_path / "c", "--json")
    assert (ran.code, ran.json["rows"]) == (0, 60)
    ran = lsg("labels", tmp_path / "p", "--out", tmp_path / "l", "--json")
    assert ran.code == 0
    assert (ran.json["configurations"], ran.json["distinct_forms"]) == (60, 60)
    assert xarray.open_zarr(tmp_path / "l")["label"].shape == (60, 30)
    assert lsg("canonicalize", deep.url, "--out", tmp_path / "d").code == 0
    np.testing.assert_array_equal(
        open_ensemble(tmp_path / "c").numpy(), open_ensemble(tmp_path / "d").numpy()
    )
    assert lsg("verify", tmp_path / "c").code == 0
    assert lsg("info", tmp_path / "c", "--json").json["derivation"]["kind"] == "canonical"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("overlaps", "--part", "XX"), "part 'XX' given"),
        (("overlaps", "--part", "9" * 5000), "given; this network has"),
        (("overlaps", "--where", "accuracy > 2"), "0 configurations selected; pairs need"),
        (("overlaps", "--other", "none"), "nothing there"),
        (("overlaps", "--references", "none.npz"), "none.npz: cannot be read"),
        (("overlaps", "--references", "BAD"), "cannot be read as an array"),
        (("overlaps", "--references", "OBJECTS"), "cannot be read as an array"),
        (("overlaps", "--references", "ZEROS"), "zeros.npy holds 0 at row 0, weight 0"),
        (("overlaps", "--references", "NARROW"), "675 weights a configuration"),
        (("overlaps", "--references", "TWO"), "two.npz holds a, b; write"),
        (("overlaps", "--references", "TWO:c"), "two.npz holds a, b; write"),
        (("overlaps", "--references", "NARROW", "--other", "STORE"), "references and other"),
        (("overlaps", "--pairs", "31"), "30 share no configuration"),
        (("overlaps", "--pairs", "3", "--configurations", "3"), "exclude each other"),
        (("overlaps", "--canonical", "--references", "ZEROS"), "--canonical takes stores only"),
        (("overlaps", "--address", "http://x:1"), "write auto, host:port"),
        (("overlaps", "--address", "x" * 300 + ":1"), "write auto, host:port"),
        (("distances", "--nearest", "3"), "of which references"),
        (("distances", "--matrix", "--pairs", "3"), "matrix and pairs given"),
        (("embed", "--color", "shape"), "color shape given"),
        (("embed", "--figure", "f.pdf"), "name a .png file"),
        (("embed", "--figure", "no/f.png"), "no such folder"),
        (("embed", "--perplexity", "nan"), "perplexity: nan given"),
        (("embed", "--configurations", "3"), "a map takes 4"),
        (("moments", "--weights", "weights"), "columns of"),
        (("permute", "--fraction", "1.5"), "fraction 1.5 given"),
        (("permute", "--fraction", "nan"), "fraction: nan given"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, tuple) else None,
)
def test_bad_words__exit_with_2_and_write_nothing(lsg, deep, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    np.save("zeros.npy", np.zeros((2, 675), int))
    np.save("narrow.npy", np.ones((2, 7), int))
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez("two.npz", a=np.ones((2, 675)), b=np.ones((2, 675)))
    data = (tmp_path / "two.npz").read_bytes()
    (tmp_path / "bad.npz").write_bytes(data[:200] + bytes(50) + data[250:])
    paths = {
        "ZEROS": "zeros.npy", "NARROW": "narrow.npy", "OBJECTS": "objects.npy", "TWO": "two.npz",
        "TWO:c": "two.npz:c", "BAD": "bad.npz:a", "STORE": deep.url,
    }  # fmt: skip
    before = listing(tmp_path)
    words = [paths.get(word, word) for word in words]
    ran = lsg(words[0], deep.url, "--out", "out", *words[1:], "--json")
    assert (ran.code, ran.json["exit_code"]) == (2, 2)
    assert message in json.loads(ran.out)["error"]
    assert listing(tmp_path) == before


def test_damaged_block__is_named_by_every_command(lsg, deep, tmp_path):
    chunk = tmp_path / "deep" / "weights" / "c.2.0"
    data = chunk.read_bytes()
    chunk.write_bytes(data[:9] + bytes([data[9] ^ 1]) + data[10:])
    for command in ("moments", "overlaps", "distances", "embed", "canonicalize"):
        ran = lsg(command, deep.url, "--out", tmp_path / "out")
        assert ran.code == 1
        assert "weights" in ran.err
        assert "block 2" in ran.err
        if command != "canonicalize":  # which resumes
            assert not (tmp_path / "out").exists()


def test_places__inside_a_store_or_nowhere_are_refused(lsg, deep, tmp_path):
    assert lsg("moments", deep.url, "--out", tmp_path / "m").code == 0
    before = listing(tmp_path)
    for command in ("moments", "canonicalize"):
        for path in (tmp_path / "deep" / "x", tmp_path / "m" / "x", tmp_path / "deep", ""):
            assert lsg(command, deep.url, "--out", path).code == 2
    assert lsg("canonicalize", deep.url, "--out", "memory://x").code == 2
    assert lsg("moments", deep.url, "--out", "ftp://bucket/m").code == 2
    assert listing(tmp_path) == before


def test_a_result_never_replaces_what_is_read_however_it_is_spelt(lsg, tmp_path):
    model, path = tmp_path / "m.npz", tmp_path / "model.zarr"
    np.savez(model, J=np.array([[0, 0.3], [0.3, 0]]), h=np.zeros(2))
    assert lsg("tap", model, "--out", path, "--starts", 4).code == 0
    load_model(model).save(path, overwrite=True)
    (tmp_path / "link").symlink_to(path)
    for spelling in (f"file://{path}", tmp_path / "link", f"{path}/", path):
        ran = lsg("tap", path, "--out", spelling, "--starts", 4, "--overwrite")
        assert ran.code == 2, spelling
    assert load_model(path).n_spins == 2
    ran = lsg("fit", model, "--out", "memory://f.npz", "--method", "exact")
    assert ran.code == 2
    assert "an .npz goes to a local path" in ran.err
    assert load_model(f"file://{model}").n_spins == 2


@pytest.mark.parametrize(
    "words",
    [
        ["canonicalize", "--out", "x"],
        ["labels", "--out", "x"],
        ["moments", "--canonical", "--out", "x"],
        ["distances", "--canonical", "--out", "x"],
    ],
)  # fmt: skip
def test_store_of_a_stranger__downloads_nothing(lsg, tmp_path, monkeypatch, words):
    from lsg_ray.datasets import files

    def never(*_, **__):
        raise AssertionError("a download")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "_download", never)
    monkeypatch.setenv("LSG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("LSG_DATA_DIR", raising=False)
    fill(tmp_path / "s", make_spec(widths=(5, 3, 10)))
    ran = lsg(words[0], tmp_path / "s", *words[1:])
    assert ran.code == 2
    assert (
        "mnist: train-images-idx3-ubyte.gz is not on this machine; run: lsg data fetch mnist"
        in (ran.err)
    )
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "x").exists()
