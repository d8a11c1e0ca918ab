"""Arrays in files, and what is read, which is never written."""

import os
import shutil

import numpy as np
import pytest

import lsg_ray
from lsg_ray.ising.model import load_model

from .conftest import listing

# Arrays


@pytest.fixture
def arrays(store, tmp_path):
    """Configurations in several forms."""
    sigma = lsg_ray.open_ensemble(store).numpy()
    result = lsg_ray.moments(sigma)
    np.savez(tmp_path / "all.npz", m=result["m"], C=result["C"], sigma=sigma, few=sigma[:1])
    np.savez(tmp_path / "two", first=sigma, second=sigma[:3])
    np.savez(tmp_path / "moments.npz", m=result["m"], C=result["C"])
    np.save(tmp_path / "rows", sigma)
    os.rename(tmp_path / "two.npz", tmp_path / "two.NPZ")
    os.rename(tmp_path / "rows.npy", tmp_path / "rows.NPY")
    return tmp_path


def test_fit__takes_configurations_and_moments_of_files(lsg, store, arrays):
    plm, bp = ("--method", "plm", "--l1", 0.1), ("--method", "bp")
    for path, words in (
        ("all.npz", plm), ("two.NPZ:first", plm), ("rows.NPY", plm),
        ("all.npz", bp), ("two.NPZ:first", bp), ("rows.NPY", bp),
    ):  # fmt: skip
        ran = lsg("fit", arrays / path, *words, "--out", arrays / "j.zarr", "--overwrite")
        assert ran.code == 0, (path, ran.err)
        # Moments alone do not say of how many configurations they are.
        same = arrays / "moments.npz" if (path, words) == ("all.npz", bp) else store
        lsg("fit", same, *words, "--out", arrays / "same.zarr", "--overwrite")
        np.testing.assert_array_equal(
            load_model(arrays / "j.zarr").J, load_model(arrays / "same.zarr").J
        )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("moments.npz", "moments given; pseudolikelihood needs the configurations"),
        ("two.NPZ", "two.NPZ holds first, second; write"),
        ("two.NPZ:third", "two.NPZ holds first, second; write"),
        ("two.NPZ:", "two.NPZ holds first, second; write"),
        ("none.npz:a", "none.npz: cannot be read as an array"),
    ],
)
def test_fit__says_what_a_file_lacks(lsg, arrays, path, message):
    ran = lsg("fit", arrays / path, "--method", "plm", "--out", arrays / "j.zarr")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert message in ran.err
    assert not (arrays / "j.zarr").exists()


@pytest.mark.parametrize("path", ["two.NPZ:second", "all.npz:few", "all.npz", "rows.NPY"])
@pytest.mark.parametrize(
    "words",
    [
        ("scan", "MODEL", "--fields", "0", "--references"),
        ("mc", "MODEL", "--sweeps", 4, "--chains", 1, "--references"),
        ("overlaps", "STORE", "--references"),
        ("distances", "STORE", "--other"),
    ],
    ids=lambda words: words[0],
)
def test_arrays_in_files__are_taken_by_all_that_take_references(
    lsg, store, model, arrays, words, path
):
    named = {"MODEL": model, "STORE": store}
    words = [named.get(word, word) for word in words]
    ran = lsg(*words, arrays / path, "--out", arrays / "o.zarr")
    assert ran.code == 0, ran.err
    assert lsg(*words, arrays / "two.NPZ:third", "--out", arrays / "p.zarr").code == 2


def test_thermo__takes_one_array_of_a_file(lsg, model, arrays):
    words = ("--ladders", 2, "--burn-in", 4, "--draws", 4, "--out", arrays / "t.zarr")
    assert lsg("thermo", model, "--reference", arrays / "all.npz:few", *words).code == 0


# What is read is not written


@pytest.fixture
def deeper(store, model, tmp_path):
    """A store and a model with a folder around them, and links to them."""
    folder = tmp_path / "deep"
    folder.mkdir()
    shutil.copytree(store, folder / "t")
    shutil.move(store, folder / "s")
    shutil.move(model, folder / "j")
    (tmp_path / "link").symlink_to(folder)
    np.savez(folder / "r.npz", sigma=np.ones((2, 42), np.int8))
    assert lsg_ray.open_ensemble(folder / "s").n_complete
    return folder


def spellings(path):
    path = str(path)
    yield from (path, f"{path}/", f"file://{path}", os.path.relpath(path))
    yield path.replace("/deep/", "/link/")
    yield os.path.dirname(path)
    yield f"{path}/x.zarr"


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (("moments", "s"), "s"),
        (("overlaps", "s", "--other", "j"), "j"),
        (("distances", "s", "--references", "r.npz"), "r.npz"),
        (("embed", "s"), "s"),
        (("cluster", "s"), "s"),
        (("permute", "s", "--fraction", 0.5), "s"),
        (("canonicalize", "s"), "s"),
        (("fit", "j"), "j"),
        (("check", "j", "s"), "j"),
        (("check", "j", "s"), "s"),
        (("scan", "j", "--references", "r.npz:sigma"), "r.npz"),
        (("scan", "j", "--references", "r.npz"), "j"),
        (("mc", "j", "--references", "r.npz"), "j"),
        (("tap", "j"), "j"),
        (("thermo", "j", "--reference", "r.npz"), "r.npz"),
        (("symmetry", "s"), "s"),
        (("model-replicas", "j"), "j"),
        (("replicas", "s"), "s"),
        (("labels", "s"), "s"),
        (("references", "j", "s"), "s"),
        (("interpolate", "s", "--other", "t"), "t"),
        (("walk", "s"), "s"),
    ],
)
def test_output_that_is_read__is_refused_however_it_is_spelt(lsg, deeper, words, read):
    names = {"s", "t", "j", "r.npz"}
    words = [str(deeper / word) if str(word).partition(":")[0] in names else word for word in words]
    if words[0] not in ("permute", "canonicalize"):
        words.append("--overwrite")
    before = listing(deeper)
    for path in spellings(deeper / read):
        ran = lsg(*words, "--out", path)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), (path, ran)
        assert "is what is read" in ran.err
    assert listing(deeper) == before


def test_model_of_a_part__that_is_read_is_not_written(lsg, deeper):
    shutil.move(deeper / "j", deeper / "m-LB.zarr")
    ran = lsg("fit", deeper / "m-LB.zarr", "--part", "LB,RB", "--out", deeper / "m.zarr")
    assert (ran.code, "m-LB.zarr is what is read" in ran.err) == (2, True)


def test_earlier_results_for_a_figure__are_not_written(lsg, deeper):
    path = deeper / "j"
    ran = lsg("swaps", deeper / "s", "--beside", path, "--out", path)
    assert ran.code == 2


def test_two_outputs__are_two_places(lsg, deeper):
    for second in (deeper / "o.png", deeper / "o.png" / "t.png"):
        words = ("check", deeper / "j", deeper / "s", "--out", deeper / "o.png", "--figure", second)
        ran = lsg(*words)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
    parts = ("fit", deeper / "s", "--part", "LB,RB", "--out", deeper / "o")
    ran = lsg(*parts, "--figure", deeper / "o-LB" / "f.png")
    assert "--out" in ran.err
    assert "--figure" in ran.err
    assert "name two paths" in ran.err
    assert not (deeper / "o").exists()
