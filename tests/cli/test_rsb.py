"""lsg rsb: networks, models and SK in one result and one picture; bad words write nothing."""

import os

import numpy as np
import pytest
import xarray

from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ising.model import IsingModel
from lsg_ray.results.saving import names_of
from lsg_ray.statistics.rsb import replica_overlaps

QUICK = ("--burn-in", 20, "--draws", 2)


def test_systems__stand_side_by_side(lsg, store, tmp_path):
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(0, 0.1, (12, 12)), 1)
    IsingModel(J + J.T, rng.normal(size=12)).save(tmp_path / "m.npz")
    ran = lsg(
        "rsb", store, "--model", tmp_path / "m.npz", "--sk", 16, "--temperatures", "0.5,2",
        "--realisations", 2, "--replicas", 8, "--out", tmp_path / "r", "--figure",
        tmp_path / "r.png", "--json", *QUICK,
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    names = ["tiny", "SK 16, T = 0.5", "SK 16, T = 2", "m"]
    assert list(ran.json["systems"]) == names
    found = xarray.open_zarr(tmp_path / "r")
    assert names_of(found["system"]).tolist() == [name.replace(" ", "_") for name in names]
    assert found["replicas"].values.tolist() == [6, 8, 8, 8]
    assert found["flip_symmetric"].values.tolist() == [0, 1, 1, 0]
    expected = replica_overlaps(open_ensemble(store), draws=2)
    first = found.isel(system=0)
    np.testing.assert_array_equal(first["q"][:6, :6], expected["q"])
    assert np.isnan(first["q"][6:]).all()
    assert first["leaf_order"].values.tolist() == [*expected["leaf_order"].values, -1, -1]
    for name in ("mean", "ultrametricity", "ultrametricity_z"):
        np.testing.assert_array_equal(first[name], expected[name])
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert found.attrs["statistic"] == "replica-symmetry breaking"
    again = lsg("rsb", "--sk", 16, "--out", tmp_path / "r", *QUICK)
    assert (again.code, again.out) == (2, "")
    assert "--overwrite" in again.err


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
        ran = lsg("rsb", relu, "--alignment", alignment, "--out", out, "--json", *QUICK)
        assert ran.code == 0
        means[alignment] = ran.json["systems"]["relu"]["mean"]
    assert means["matching"] > means["none"]
    assert lsg("rsb", relu, "--canonical", "--out", tmp_path / "x").code == 2


def test_binary_networks__can_be_canonical(lsg, store, tmp_path):
    ran = lsg("rsb", store, "--canonical", "--out", tmp_path / "r", "--json", *QUICK)
    assert ran.code == 0
    assert ran.json["systems"]["tiny"]["replicas"] == 6


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "nothing to measure"),
        (("--sk", 8, "--temperatures", "cold"), "numbers with commas"),
        (("--sk", 8, "--temperatures", "0"), "positive"),
        (("--model", "none.zarr"), "not a model"),
        (("--sk", 8, "--temperatures", "1,2,3,4,5,6,7", "--figure", "F"), "at most 6"),
        (("STORE", "--where", "accuracy > 2"), "0 configurations selected"),
    ],
)
def test_bad_words__exit_with_2_and_create_nothing(lsg, store, tmp_path, words, says):
    given = {"STORE": store, "F": tmp_path / "f.png"}
    ran = lsg("rsb", *(given.get(word, word) for word in words), "--out", tmp_path / "r", *QUICK)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert os.listdir(tmp_path) == ["s"]
