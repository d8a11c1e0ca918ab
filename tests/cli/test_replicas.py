"""lsg replicas, model-replicas and sk: one kind of result, side by side in one picture."""

import os

import numpy as np
import pytest
import xarray
from annotated_types import Le

from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.model_replicas import draw_replicas
from lsg_ray.ising.sk import sk_replicas
from lsg_ray.stage import unwrapped
from lsg_ray.stages import STAGES, stage_of
from lsg_ray.statistics.rsb import lattice_edges, over_realisations, replica_overlaps

QUICK = ("--draws", 2)


def test_draws_without_end__are_refused(lsg, store, tmp_path):
    """One option of 2³¹ − 1 by mistake would run, and fill memory, for ever."""
    most = {}
    for name in STAGES:
        fields = stage_of(name).config.model_fields
        for option in ("draws", "samples"):
            if option in fields:
                _, marks = unwrapped(fields[option])
                most[name, option] = min(mark.le for mark in marks if isinstance(mark, Le))
    assert max(most.values()) <= 10_000_000
    assert len(most) > 8
    for name in ("replicas", "model-replicas", "sk"):
        assert most[name, "draws"] == 100_000
    ran = lsg("replicas", store, "--out", tmp_path / "r.zarr", "--draws", 2**31 - 1)
    assert ran.code == 2
    assert "'--draws': 2147483647 is not in the range 2<=x<=100000" in ran.err
    assert not (tmp_path / "r.zarr").exists()


def test_systems__stand_side_by_side(lsg, store, tmp_path):
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(0, 0.1, (12, 12)), 1)
    model = IsingModel(J + J.T, rng.normal(size=12))
    model.save(tmp_path / "m.npz")
    ran = lsg("model-replicas", tmp_path / "m.npz", "--replicas", 8, "--burn-in", 20, "--out",
              tmp_path / "r-m", "--json", *QUICK)  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["replicas"] == 8
    drawn = draw_replicas(model, replicas=8, burn_in=20)
    same(tmp_path / "r-m", replica_overlaps(drawn["spins"].values[0], draws=2))
    sk = ("sk", "--n", 16, "--temperatures", "0.5,2", "--realisations", 2, "--replicas", 8,
          "--burn-in", 20, *QUICK)  # fmt: skip
    drawn = sk_replicas(16, [0.5, 2], replicas=8, realisations=2, burn_in=20)
    for t, temperature in enumerate((0.5, 2)):
        out = tmp_path / f"r-{temperature}"
        ran = lsg(*sk, "--temperature", temperature, "--out", out, "--json")
        assert (ran.code, ran.err) == (0, "")
        assert ran.json["realisations"] == 2
        parts = [
            replica_overlaps(spins, draws=2, flip="symmetric", bins=lattice_edges(16))
            for spins in drawn["spins"].values[:, t]
        ]
        same(out, over_realisations(parts))
        energy = float(drawn["energy_mean"].values[:, t].mean())
        assert ran.json["energy_per_spin"] == pytest.approx(energy, abs=1e-15)
    beside = [word for name in ("m", "0.5", "2") for word in ("--beside", tmp_path / f"r-{name}")]
    words = ("replicas", store, "--out", tmp_path / "r", *QUICK)
    ran = lsg(*words, *beside, "--figure", tmp_path / "r.png", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["replicas"] == 6
    assert set(ran.json["ultrametricity_z"]) == {"independent", "shuffled"}
    expected = replica_overlaps(open_ensemble(store), draws=2)
    same(tmp_path / "r", expected)
    result = xarray.open_zarr(tmp_path / "r")
    assert result.attrs["system"] == "tiny"
    assert xarray.open_zarr(tmp_path / "r-0.5").attrs["system"] == "SK 16, T = 0.5"
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    again = lsg(*words)
    assert (again.code, again.out) == (2, "")
    assert "--overwrite" in again.err


def same(path, expected):
    result = xarray.open_zarr(path)
    for name in expected.data_vars:
        np.testing.assert_array_equal(result[name], expected[name])


@pytest.fixture(scope="module")
def relu(tmp_path_factory):
    """Store of five small ReLU networks."""
    from lsg_ray.cli import main

    folder = tmp_path_factory.mktemp("relu")
    (folder / "spec.yaml").write_text(
        "name: relu\ndataset: {name: digits}\n"
        "network: {family: relu, widths: [64, 6, 10]}\n"
        "training: {epochs: 1}\nensemble: {count: 5, threshold: 0}\n"
    )
    with pytest.raises(SystemExit) as stop:
        main(["sample", str(folder / "spec.yaml"), "--out", str(folder / "s"), "--workers", "0"])
    assert stop.value.code == 0
    return folder / "s"


def test_real_networks__are_aligned(lsg, relu, tmp_path):
    means = {}
    for alignment in ("none", "matching", "clustering"):
        out = tmp_path / alignment
        ran = lsg("replicas", relu, "--alignment", alignment, "--out", out, "--json", *QUICK)
        assert ran.code == 0
        means[alignment] = ran.json["mean"]
    assert means["matching"] > means["none"]
    for words, message in (
        (("--canonical",), "use --alignment"),
        (("--part", "LB"), "without --part"),
    ):
        ran = lsg("replicas", relu, *words, "--out", tmp_path / "x")
        assert (ran.code, message in ran.err) == (2, True)
    words = ("--part", "LB", "--alignment", "none", "--out", tmp_path / "x")
    assert lsg("replicas", relu, *words, *QUICK).code == 0


def test_binary_networks__can_be_canonical_and_centered(lsg, store, tmp_path):
    for words in (("--canonical",), ("--centered",), ("--part", "RB")):
        out = tmp_path / words[0]
        ran = lsg("replicas", store, *words, "--out", out, "--json", *QUICK)
        assert ran.code == 0
        assert ran.json["replicas"] == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sk", "--n", 8, "--temperatures", "cold"), "numbers with commas"),
        (("sk", "--n", 8, "--temperatures", "0", "--temperature", "0.1"), "0.1 given; [0.0]"),
        (("sk", "--n", 8, "--temperature", "0"), "not in the range x>0"),
        (("model-replicas", "none.zarr"), "not a model"),
        (("replicas", "STORE", "--where", "accuracy > 2"), "0 configurations selected"),
        (("replicas", "STORE", "--beside", "R"), "--beside given without --figure"),
        (("replicas", "STORE", "--beside", "M", "--figure", "F"), "but of moments"),
        (("replicas", "STORE", *("--beside", "R") * 7, "--figure", "F"), "it shows 6"),
    ],
)
def test_bad_words__exit_with_2_and_create_nothing(lsg, store, tmp_path, words, message):
    paths = {name: tmp_path / name for name in "FM"}
    paths |= {"STORE": store, "R": tmp_path / "0"}
    lsg("moments", store, "--out", tmp_path / "M")
    named = iter(range(9))
    if "it shows" in message:
        for number in range(6):
            ran = lsg("replicas", store, "--out", tmp_path / str(number), *QUICK)
            assert ran.code == 0
    before = sorted(os.listdir(tmp_path))
    given = [
        tmp_path / str(next(named) % 6) if word == "R" and "it shows" in message
        else tmp_path / "f.png" if word == "F" else paths.get(word, word)
        for word in words
    ]  # fmt: skip
    ran = lsg(*given, "--out", tmp_path / "r", *QUICK)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert sorted(os.listdir(tmp_path)) == before
