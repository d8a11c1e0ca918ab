"""`lsg scan`, `tap`, `mc`, `thermo`, `symmetry`: from a model to results with a verdict."""

import numpy as np
import pytest
import xarray

from lsg_ray.ising.model import IsingModel
from lsg_ray.stage import parse_list
from lsg_ray.typing import ListOf

from .conftest import listing


@pytest.fixture
def model(tmp_path):
    """A ferromagnet of 42 spins, as many as the store's networks have weights."""
    J = np.full((42, 42), 1.8 / 42)
    np.fill_diagonal(J, 0)
    return IsingModel(J, np.zeros(42)).save(tmp_path / "model.npz")


@pytest.fixture
def references(tmp_path):
    np.savez(tmp_path / "refs.npz", sigma=np.ones((2, 42), np.int8))
    return tmp_path / "refs.npz"


def test_scan__of_an_independent_model_is_smooth_and_of_a_ferromagnet_is_not(
    lsg, model, references, store, tmp_path
):
    ran = lsg("scan", model, "--references", references, "--out", tmp_path / "scan", "--json",
              "--figure", tmp_path / "scan.png")  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["verdict"] == "first-order"
    assert ran.json["hysteresis"] > 0.9
    assert ran.json["converged"] == 1
    assert 0 < ran.json["s0"] < 0.4
    scan = xarray.open_zarr(tmp_path / "scan")
    assert dict(scan["d"].sizes) == {"reference": 2, "direction": 2, "field": 61}
    for name in ("d", "s", "e", "converged"):
        assert scan[name].dims == ("reference", "direction", "field")
    assert (tmp_path / "scan.png").read_bytes().startswith(b"\x89PNG")
    IsingModel(np.zeros((42, 42)), np.full(42, 0.3)).save(tmp_path / "free.zarr")
    ran = lsg("scan", tmp_path / "free.zarr", "--references", store, "--out", tmp_path / "s2",
              "--fields", "-1:1:0.5", "--count", 1, "--json")  # fmt: skip
    assert ran.json["verdict"] == "smooth"
    assert (ran.json["fields"], ran.json["references"]) == (5, 3)
    entropy = np.log(2 * np.cosh(0.3)) - 0.3 * np.tanh(0.3)
    assert ran.json["s0"] == pytest.approx(entropy, abs=1e-9)
    group = xarray.open_zarr(tmp_path / "s2")["group"]
    assert sorted(group.attrs["flag_meanings"].split()) == ["high", "low", "medium"]
    again = lsg("scan", model, "--references", references, "--out", tmp_path / "scan")
    assert (again.code, "exists" in again.err) == (2, True)
    assert not list(tmp_path.glob(".lsg*"))


def test_scan__takes_the_models_of_parts(lsg, store, tmp_path):
    lsg("fit", store, "--method", "bp", "--part", "LB,RB,full", "--out", tmp_path / "m.zarr")
    ran = lsg("scan", tmp_path / "m.zarr", "--part", "LB,RB,full", "--references", store, "--json",
              "--count", 2, "--fields", "-1,0,1", "--out", tmp_path / "s.zarr",
              "--figure", tmp_path / "s.png")  # fmt: skip
    assert ran.code == 0
    sizes = {name: part["n_weights"] for name, part in ran.json["parts"].items()}
    assert sizes == {"LB": 12, "RB": 30, "full": 42}
    assert (tmp_path / "s-RB.zarr").is_dir()
    run = lsg("mc", tmp_path / "m-RB.zarr", "--references", store, "--count", 1, "--sweeps", 4,
              "--out", tmp_path / "mc.zarr", "--json")  # fmt: skip
    stored = lsg("query", store, "--format", "json", "--columns", "test_accuracy")
    known = [row["test_accuracy"] for row in __import__("json").loads(stored.out)]
    first = xarray.open_zarr(tmp_path / "mc.zarr")["accuracy"].values[:, 0]
    assert set(first.tolist()) <= set(known)
    assert run.json["accuracy_first"] == pytest.approx(first.mean())


def test_constant_energy_and_monte_carlo(lsg, model, references, tmp_path):
    ran = lsg("iso-energy", model, "--references", references, "--out", tmp_path / "iso",
              "--fields", "0.1:1:0.3", "--json", "--figure", tmp_path / "i.png")  # fmt: skip
    assert ran.code == 0
    assert {"beta", "exists"} <= set(xarray.open_zarr(tmp_path / "iso"))
    ran = lsg("anneal", model, "--references", references, "--out", tmp_path / "mc",
              "--fields", "-1:1:0.5", "--chains", 16, "--draws", 8, "--json")  # fmt: skip
    assert ran.json["method"] == "monte carlo"
    assert ran.json["s0_stderr"] > 0


def test_states_dynamics_and_thermodynamics(lsg, model, references, tmp_path):
    ran = lsg("tap", model, "--starts", 50, "--out", tmp_path / "tap", "--json",
              "--figure", tmp_path / "t.png")  # fmt: skip
    assert ran.json["states"] == 2
    assert ran.json["converged"] == 1
    ran = lsg("mc", model, "--references", references, "--sweeps", 20, "--out", tmp_path / "mc",
              "--json", "--figure", tmp_path / "m.png")  # fmt: skip
    assert ran.json["trapped"] == 1
    assert "pass --spec" in ran.json["no_accuracy"]
    ran = lsg("thermo", model, "--ladders", 8, "--draws", 20, "--out", tmp_path / "th", "--json",
              "--figure", tmp_path / "h.png", "--reference", references)  # fmt: skip
    assert (ran.code, "2 references given" in ran.err) == (2, True)
    ran = lsg("thermo", model, "--ladders", 8, "--draws", 20, "--out", tmp_path / "th", "--json",
              "--figure", tmp_path / "h.png")  # fmt: skip
    assert ran.json["s"] == pytest.approx(np.log(2) / 42 + ran.json["s_bethe"], abs=0.1)
    for path in ("t.png", "m.png", "h.png"):
        assert (tmp_path / path).read_bytes().startswith(b"\x89PNG")


def test_symmetry__fits_and_scans_mixtures(lsg, store, tmp_path):
    ran = lsg("symmetry", store, "--fractions", "0,0.6", "--method", "bp", "--count", 1,
              "--fields", "-1,0,1", "--out", tmp_path / "e", "--figure", tmp_path / "e.png",
              "--json")  # fmt: skip
    assert ran.code == 0
    assert ran.json["fractions"] == [0, 0.6]
    assert len(ran.json["s0"]) == 2
    assert xarray.open_zarr(tmp_path / "e")["d"].dims[0] == "fraction"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("scan", "none.zarr", "--references", "REFS"), "none.zarr: not a model"),
        (("scan", "MODEL", "--references", "none.npz"), "none.npz: cannot be read as references"),
        (("scan", "MODEL", "--references", "short.npz"), "references have 5 weights and the model"),
        (("scan", "MODEL", "--references", "zero.npz"), "it must be ±1"),
        (("scan", "MODEL", "--references", "other.npz"), "holds a; an array sigma"),
        (("scan", "nan.npz", "--references", "REFS"), "h[0] is nan"),
        (
            ("scan", "MODEL", "--references", "REFS", "--fields", "a:b"),
            "fields: 'a:b' given; START:STOP:STEP",
        ),
        (
            ("scan", "MODEL", "--references", "REFS", "--fields", "1:0:0.1"),
            "fields: '1:0:0.1' given",
        ),
        (("scan", "MODEL", "--references", "REFS", "--fields", "0:1:0"), "fields: '0:1:0' given"),
        (("scan", "MODEL", "--references", "REFS", "--fields", ""), "fields: '' given"),
        (("scan", "MODEL", "--references", "REFS", "--fields", "nan"), "a finite number"),
        (("scan", "MODEL", "--references", "REFS", "--beta", "-1"), "not in the range x>0"),
        (("scan", "MODEL", "--references", "REFS", "--chains", "9"), "No such option"),
        (("scan", "MODEL", "--references", "REFS", "--part", "LB"), "model-LB.npz: not a model"),
        (("scan", "MODEL"), "--references"),
        (("tap", "MODEL", "--tolerance", "0"), "not in the range x>0"),
        (("tap", "MODEL", "--beta", "nan"), "beta: nan given"),
        (("mc", "MODEL", "--references", "REFS", "--spec", "none.yaml"), "none.yaml"),
        (("thermo", "MODEL", "--x", "1"), "without a reference"),
        (("thermo", "MODEL", "--beta", "0"), "not in the range x>0"),
        (("symmetry", "STORE", "--fractions", "0,2"), "from 0 to 1"),
        (("symmetry", "STORE", "--fractions", "a"), "fractions: 'a' given"),
        (("symmetry", "STORE", "--method", "bp", "--seconds", "1"), "it belongs to pcd"),
    ],
)
def test_bad_input__is_one_line_and_leaves_nothing(
    lsg, model, references, store, tmp_path, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    np.savez("short.npz", sigma=np.ones((1, 5)))
    np.savez("zero.npz", sigma=np.zeros((1, 42)))
    np.savez("other.npz", a=np.ones(3))
    np.savez("nan.npz", J=np.zeros((2, 2)), h=[np.nan, 0])
    paths = {"MODEL": model, "REFS": references, "STORE": store}
    before = listing(tmp_path)
    ran = lsg(*(paths.get(word, word) for word in words), "--out", "out.zarr")
    assert ran.code == 2
    assert message in ran.err
    assert listing(tmp_path) == before


def test_fields__are_round_and_hold_zero():
    steps = ListOf(float, steps=True)
    fields = parse_list("-3:3:0.1", steps)
    assert len(fields) == 61
    assert 0.0 in fields
    assert 0.3 in fields
    assert parse_list("1,2.5", steps) == (1, 2.5)


def test_what_a_result_leaves_open__is_said_with_the_command_that_may_settle_it(
    lsg, references, tmp_path
):
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(0, 0.2, (42, 42)), 1)  # a spin glass below its transition
    model = IsingModel(J + J.T, np.zeros(42)).save(tmp_path / "glass.zarr")
    words = ("scan", model, "--references", references, "--fields", "-1:1:0.5")
    ran = lsg(*words, "--out", tmp_path / "scan.zarr")
    assert ran.code == 0
    lines = [line for line in ran.out.splitlines() if line.startswith("open: ")]
    (unstable,) = [line for line in lines if "solutions are stable" in line]
    words = ["try lsg anneal", model, "--references", references, "--fields=-1,-0.5,0,0.5,1"]
    assert " ".join(map(str, words)) in unstable
    assert unstable.endswith(f"--out {tmp_path / 'scan-anneal.zarr'}")
