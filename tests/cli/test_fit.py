"""`lsg fit`: from moments or a store to a model with its report."""

import re

import numpy as np
import pytest
import xarray

import lsg_ray
from lsg_ray.ising.checks import configuration_energies, three_body
from lsg_ray.ising.model import load_model
from tests.ensemble.mixture import synthetic

from .conftest import listing

KEYS = {"rms_m", "rms_C", "delta", "converged", "frozen", "seconds"}


def test_fit__writes_a_model_and_says_how_good_it_is(lsg, store, tmp_path):
    lsg("moments", store, "--out", tmp_path / "m")
    figure = tmp_path / "f.png"
    for path, out, extra in (
        (store, "a.zarr", ()),
        (tmp_path / "m", "b.npz", ("--figure", figure)),
        (tmp_path / "m", "c.zarr", ("--part", "RB")),
    ):
        ran = lsg("fit", path, "--out", tmp_path / out, "--seconds", 0.5, "--json", *extra)
        assert (ran.code, ran.err) == (0, "")
        assert ran.json.keys() >= KEYS
        model = load_model(tmp_path / out)
        assert model.n_spins == ran.json["n_weights"] == (30 if extra[:1] == ("--part",) else 42)
    assert figure.read_bytes().startswith(b"\x89PNG")
    ran = lsg(
        "fit", store, "--method", "bp", "--part", "LB,RB,full", "--json",
        "--out", tmp_path / "parts.npz", "--figure", tmp_path / "parts.png",
    )  # fmt: skip
    assert ran.code == 0
    for name, size in (("LB", 12), ("RB", 30), ("full", 42)):
        assert ran.json["parts"][name].keys() >= KEYS
        assert load_model(tmp_path / f"parts-{name}.npz").n_spins == size
    assert (tmp_path / "parts.png").is_file()  # all parts in one
    text = lsg("fit", store, "--method", "plm", "--l1", "0.1", "--out", tmp_path / "plm.zarr")
    assert (text.code, "sparsity" in text.out) == (0, True)
    again = lsg("fit", store, "--out", tmp_path / "b.npz")
    assert (again.code, "exists" in again.err) == (2, True)
    assert lsg("fit", store, "--out", tmp_path / "b.npz", "--overwrite", "--seconds", 0.3).code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bad.npz",), "C[0, 1] is 2"),
        (("none.npz",), "cannot be read"),
        (("none",), "nothing there"),
        (("STORE", "--part", "ITR"), "there are LB, RB"),
        (("STORE", "--part", " xx, xx"), "part 'xx' given; there are LB, RB"),
        (("ok.npz", "--options", "steps"), "--options steps given; NAME=VALUE is needed"),
        (("ok.npz", "--options", "steps=many"), "steps"),
        (("ok.npz", "--options", "l2=1"), "pcd has no option l2"),
        (("STORE", "--part", "LB,LB,xx"), "'xx' given; there are LB, RB"),
        (("ok.npz", "--method", "plm"), "needs the configurations"),
        (("ok.npz", "--where", "accuracy > 0"), "ok.npz"),
        (("STORE", "--where", "accuracy > 2"), "0 configurations selected"),
        (("STORE", "--method", "plm", "--l1", "much"), "l1: 'much' given"),
        (("STORE", "--method", "plm", "--l1", "-1"), "not negative"),
        (("STORE", "--l1", "1"), "l1 given with method pcd; it belongs to plm"),
        (("STORE", "--address", "nonsense"), "nonsense"),
        (("ok.npz", "--part", "LB"), "no named parts"),
        (("ok.npz", "--method", "magic"), "magic"),
        (("ok.npz", "--seconds", "-1"), "seconds"),
        (("wide.npz", "--method", "exact"), "at most 16"),
        (("ok.npz", "--pseudocount", "2"), "one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input__exits_with_2_and_writes_nothing(
    lsg, store, tmp_path, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    np.savez("bad.npz", m=np.zeros(2), C=[[1, 2], [2, 1]])
    np.savez("ok.npz", m=np.zeros(2), C=np.eye(2))
    np.savez("wide.npz", m=np.zeros(20), C=np.eye(20))
    before = listing(tmp_path)
    if "--pseudocount" in words:
        np.savez("ok.npz", m=[1.0, 0, 0], C=np.eye(3))
        before, message = listing(tmp_path), "pseudocount 2.0 given"
    words = [store if word == "STORE" else word for word in words]
    ran = lsg("fit", *words, "--out", "model.npz")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert listing(tmp_path) == before


def test_fitted_model__of_a_shallow_ensemble_reproduces_it(tmp_path):
    ensemble = synthetic(tmp_path / "s", 3000, 200, 2)
    fit = lsg_ray.fit_boltzmann(ensemble.part(0), seconds=4)
    assert fit.report["delta"] < fit.report["delta_independent"] / 2


def test_check__compares_and_chooses_references(lsg, store, tmp_path):
    lsg("fit", store, "--out", tmp_path / "m.zarr", "--method", "bp")
    ran = lsg(
        "check", tmp_path / "m.zarr", store, "--out", tmp_path / "e.zarr", "--triples", 50,
        "--figure", tmp_path / "c.png", "--json",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["configurations"] == 6
    result = xarray.open_zarr(tmp_path / "e.zarr")
    model = load_model(tmp_path / "m.zarr")
    energies = configuration_energies(model, lsg_ray.open_ensemble(store))
    third = three_body(model, lsg_ray.open_ensemble(store), triples=50)
    for name, values in {**energies, **third}.items():
        np.testing.assert_array_equal(result[name], values)
    assert ran.json["typical"] == energies.attrs["typical"]
    assert ran.json["triples_slope"] == third.attrs["slope"]
    ran = lsg(
        "references",
        tmp_path / "m.zarr",
        store,
        "--out",
        tmp_path / "r.npz",
        "--count",
        2,
        "--json",
    )
    assert (ran.code, ran.err) == (0, "")
    assert np.load(tmp_path / "r.npz")["sigma"].shape == (6, 42)
    assert {path.name for path in tmp_path.iterdir()} == {"s", "m.zarr", "e.zarr", "r.npz", "c.png"}
    before = listing(tmp_path)
    for words, message in (
        (("check", "--part", "LB"), "the model has 42 weights"),
        (("references", "--out", tmp_path / "x.npz"), "20 references of each of 3 groups"),
        (("check", "--out", tmp_path / "e.zarr"), "exists"),
        (("check", "--triples", 50_000), "50,000 triples asked for"),
        (("check", "--figure", tmp_path / "no" / "c.png"), "no"),
    ):
        out = () if "--out" in words else ("--out", tmp_path / "x.zarr")
        ran = lsg(words[0], tmp_path / "m.zarr", store, *words[1:], *out)
        assert ran.code == 2
        assert message in ran.err
        assert listing(tmp_path) == before


def test_fit__of_rounded_moments_tells_how_far_they_were_moved(lsg, tmp_path):
    C = [[1, 0.3333, 0], [0.3333, 1, 0], [0, 0, 1]]
    np.savez(tmp_path / "m.npz", m=[0.6667, 0.6667, 0], C=C)
    np.savez(tmp_path / "ok.npz", m=[0.6, 0.6, 0], C=C)
    base = ("fit", tmp_path / "m.npz", "--method", "exact", "--out")
    text = lsg(*base, tmp_path / "a.npz")
    assert (text.code, "moments_change" in text.out) == (0, True)
    printed = lsg(*base, tmp_path / "b.npz", "--json", "--rounding", "1e-4")
    assert printed.json["moments_change"] == pytest.approx(1e-4)
    bad = lsg(*base, tmp_path / "c.npz", "--rounding", "1e-6")
    assert (bad.code, "negative probability" in bad.err) == (2, True)
    assert not (tmp_path / "c.npz").exists()
    exact = lsg("fit", tmp_path / "ok.npz", "--method", "exact", "--out", tmp_path / "d.npz")
    assert exact.code == 0
    assert re.search(r"^moments_change +0$", exact.out, re.M)
