"""Mistakes of new users: one line that says what was seen and what to do, and nothing written."""

import json
import shutil

import numpy as np
import pytest

from lsg_ray.ensemble.schema import FORMAT_VERSIONS

from .conftest import SPEC, listing


@pytest.fixture
def refused(lsg, tmp_path):
    """Run a command that must be refused: return its one line."""

    def run(*words) -> str:
        before = listing(tmp_path)
        ran = lsg(*words)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
        assert listing(tmp_path) == before
        return ran.err

    return run


@pytest.mark.parametrize(
    ("old", "new", "meant"),
    [
        ("epochs", "epoch", "epochs"),
        ("training:", "trainning:", "training"),
        ("threshold", "treshold", "threshold"),
        ("components", "component", "components"),
        ("digits", "digit", "digits"),
        ("{widths", "{family: binery, widths", "binary"),
        ("{epochs", "{algorithm: mean-feld, epochs", "mean-field"),
        ("name: tiny", "name: tiny\nepochs: 3", "training.epochs"),
        ("name: tiny", "name: tiny\nstudy: {momnts: {}}", "moments"),
        ("name: tiny", "name: tiny\nstudy: {moments: {parts: LB}}", "part"),
    ],
)
def test_misspelt_specification__says_what_was_meant(refused, tmp_path, old, new, meant):
    (tmp_path / "s.yaml").write_text(SPEC.replace(old, new))
    words = ("sample", tmp_path / "s.yaml", "--out", tmp_path / "x", "--workers", 0)
    assert refused(*words).endswith(f"; did you mean {meant}?\n")


def test_misspelt_names__say_what_was_meant(lsg, refused, store, tmp_path):
    address = ("--address", "http://127.0.0.1:1", "--out", "/x")
    for words, meant in (
        (("data", "fetch", "minst"), "mnist"),
        (("experiment", "spec", "sgfig2"), "sg-fig2"),
        (("query", store, "--columns", "acuracy"), "accuracy"),
        (("submit", store, "--stage", "momnts", *address), "moments"),
    ):
        assert refused(*words).endswith(f"; did you mean {meant}?\n")
    assert "did you mean accuracy?" in lsg("query", store, "--where", "acuracy > 0.5").err
    assert "did you mean moments?" in lsg("momnts", store).err
    assert "did you mean sample?" in lsg("smaple").err
    assert "'--where'" in lsg("moments", store, "--wher", "x").err
    assert "did you mean" not in refused("data", "fetch", tmp_path / "none")


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "- a\n- b\n", "text\n", "a: [b\n", "\t"]
)
def test_what_is_no_specification__is_refused(refused, tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    line = refused("sample", tmp_path / "s.yaml", "--out", tmp_path / "x")
    assert "s.yaml: " in line
    assert "unicode string" not in line


def test_wrong_folders__are_named_for_what_they_are(refused, store, spec, tmp_path, lsg):
    run = tmp_path / "run"
    shutil.copytree(store, run / "ensemble.zarr")
    shutil.copy(spec, run / "spec.yaml")
    lsg("moments", store, "--out", tmp_path / "m.zarr")
    (tmp_path / "d.csv").write_text("a,b\n1,2\n")
    out = ("--out", tmp_path / "o.zarr")
    references = ("--references", store)
    for words, told in (
        (("info", run), f"the folder of a run; its store is {run / 'ensemble.zarr'}"),
        (("sample", run, *out), f"that of this run is {run / 'spec.yaml'}"),
        (("sample", store, *out), "a directory, and no specification"),
        (("moments", tmp_path / "m.zarr", *out), "a result ('moments'), and no ensemble"),
        (("scan", store, *references, *out), f"a store, and no model; make one: lsg fit {store}"),
        (("scan", tmp_path / "m.zarr", *references, *out), "a result of lsg moments, and no model"),
        (("fit", tmp_path / "d.csv", *out), "lsg import FILE --out STORE makes one"),
        (("moments", tmp_path, *out), "a directory without a store"),
        (("moments", tmp_path / "none", *out), "nothing there"),
    ):
        assert told in refused(*words)


def test_model_without_couplings__is_refused(refused, store, tmp_path):
    np.savez(tmp_path / "j.npz", h=np.zeros(42))
    words = ("thermo", tmp_path / "j.npz", "--out", tmp_path / "o.zarr")
    assert "not a model" in refused(*words)


@pytest.mark.parametrize("version", [min(FORMAT_VERSIONS) - 1, max(FORMAT_VERSIONS) + 1])
def test_store_of_another_version__says_which_lsg_ray_reads_it(refused, store, version):
    document = json.loads((store / "zarr.json").read_text())
    document["attributes"]["format_version"] = version
    (store / "zarr.json").write_text(json.dumps(document))
    assert "use the lsg-ray that wrote it" in refused("info", store)


def test_too_many_workers__are_refused_before_anything_starts(refused, spec, tmp_path):
    words = ("sample", spec, "--out", tmp_path / "x", "--workers", 100_000)
    assert "100,000 workers given; at most" in refused(*words)
