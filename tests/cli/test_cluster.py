"""`lsg cluster`: it writes what Python gives, with a figure; bad words write nothing."""

import numpy as np
import pytest
import xarray

import lsg_ray
from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.spec import parse_spec

from .conftest import listing

SPEC = {
    "dataset": {"name": "digits", "components": None},
    "network": {"family": "relu", "widths": [64, 8, 10]},
    "training": {"epochs": 1, "stack": 3},
    "ensemble": {"count": 9, "threshold": 0},
}


@pytest.fixture(scope="module")
def relu(tmp_path_factory):
    path = tmp_path_factory.mktemp("relu") / "s"
    sample(parse_spec(SPEC), path, workers=0)
    return path


CASES = {
    "default": ((), {}),
    "matching": (
        ("--alignment", "matching", "--reference", 3, "--linkage", "ward"),
        {"alignment": "matching", "reference": 3, "linkage": "ward"},
    ),
    "some": (
        ("--configurations", 5, "--seed", 2, "--bins", 4, "--alignment", "none"),
        {"configurations": 5, "seed": 2, "bins": 4, "alignment": "none"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_cluster__writes_what_python_gives(lsg, relu, tmp_path, case):
    words, options = CASES[case]
    ran = lsg("cluster", relu, "--out", tmp_path / "c", "--json", *words)
    assert (ran.code, ran.err) == (0, "")
    expected = lsg_ray.clustering(open_ensemble(relu), **options)
    stored = xarray.open_zarr(tmp_path / "c")
    for name in expected.variables:
        np.testing.assert_array_equal(stored[name].values, expected[name].values)
    assert stored.attrs.keys() == {*expected.attrs, "stage", "options"}
    for name in ("mean", "mean_before", "alignment", "linkage", "configurations"):
        assert ran.json[name] == expected.attrs[name]
    assert len(lsg_ray.flat_clusters(stored, count=2)) == expected.attrs["configurations"]


def test_figure__is_drawn_and_conditions_are_met(lsg, relu, tmp_path):
    words = ("cluster", relu, "--out", tmp_path / "c", "--figure", tmp_path / "c.png")
    ran = lsg(*words, "--where", "configuration != 2")
    assert ran.code == 0
    assert str(tmp_path / "c") in ran.out
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert 2 not in xarray.open_zarr(tmp_path / "c")["configuration"].values
    before = listing(tmp_path)
    again = lsg(*words)
    assert (again.code, "pass --overwrite" in again.err) == (2, True)
    assert listing(tmp_path) == before
    assert lsg(*words, "--overwrite").code == 0


def test_binary_stores__are_clustered_in_canonical_form(lsg, store, tmp_path):
    words = ("cluster", store, "--out", tmp_path / "c", "--figure", tmp_path / "c.png", "--json")
    ran = lsg(*words)
    assert (ran.code, ran.json["alignment"], ran.json["metric"]) == (0, "canonical", "hamming")
    assert ran.json["gaussian_p_value"] is None  # six are too few


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--linkage", "best"), "is not one of"),
        (("--alignment", "canonical"), "choose clustering or matching"),
        (("--alignment", "matching", "--reference", 9), "has rows 0 to 8"),
        (("--where", "configuration < 2"), "clusters need at least 3"),
        (("--configurations", 2), "3"),
        (("--figure", "x.pdf"), "name a .png file"),
    ],
)
def test_bad_words__exit_with_2_and_create_nothing(lsg, relu, tmp_path, words, message):
    ran = lsg("cluster", relu, "--out", tmp_path / "c", *words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not list(tmp_path.iterdir())
