import json

import pytest
import xarray
from click.testing import CliRunner

from lsg_ray.cli.main import cli, main
from lsg_ray.cluster.sample import sample
from tests.ensemble.mixture import synthetic
from tests.loss_landscape.conftest import relu_spec


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("terrain") / "solutions.zarr"
    sample(relu_spec(5), path, workers=0)
    return path


def run(*words):
    done = CliRunner().invoke(cli, [*map(str, words), "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout.splitlines()[-1])


def fails(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words)])
    assert stop.value.code == 2
    return capsys.readouterr().err


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


def test_walks(store, tmp_path):
    out, png = tmp_path / "walk.zarr", tmp_path / "walk.png"
    result = run("walk", store, "--out", out, "--figure", png, "--steps", 5,
                "--sigma", "0.01,0.3", "--configurations", 3)  # fmt: skip
    assert result["solutions"] == 3
    assert result["train_loss_last"][1] > result["train_loss_last"][0]
    assert is_png(png)
    with xarray.open_zarr(out) as walk:
        assert walk["train_loss"].shape == (2, 3, 1, 6)
        assert walk.attrs["statistic"] == "random walk"
        # What is told is what is stored, by σ: no walk of the first leaves, all of the second do.
        assert result["flat_width_left"] == walk["flat_width_left"].values.tolist() == [0, 1]
        assert result["flat_width_mean"] == [None, walk["flat_width_mean"].values[1]]
        assert result["flat_width_mean"][1] == pytest.approx(walk["flat_width"][1].values.mean())
        assert result["flat_width_restricted_mean"][0] == walk["reach"][0].values.min()
        assert result["flat_width_median_high"][0] is None
    assert result["flat_width"][0].startswith("at least ")
    assert result["flat_width"][1].startswith(f"{result['flat_width_mean'][1]:.3g} ± ")
    assert result["flat_steps"][0] == "at least 5 ± 0 (0 % left)"
    assert not list(tmp_path.glob(".lsg*"))


@pytest.mark.parametrize("kind", ["constrained", "metropolis"])
def test_other_walks(store, tmp_path, kind):
    more = ["--temperature", "0.01"] if kind == "metropolis" else ["--trials", "6"]
    result = run("walk", store, "--out", tmp_path / "w.zarr", "--kind", kind,
                "--steps", 4, "--sigma", 0.01, "--configurations", 2, *more,
                "--figure", tmp_path / "w.png")  # fmt: skip
    assert 0 <= result["share"][0] <= 1


def test_paths_by_every_alignment(store, tmp_path):
    out, png = tmp_path / "paths.zarr", tmp_path / "paths.png"
    result = run("interpolate", store, "--out", out, "--figure", png, "--pairs", 3,
                "--alphas", "0:1:0.25", "--alignment", "all")  # fmt: skip
    assert result["alignment"] == ["none", "matching", "clustering"]
    assert result["distance"][1] < result["distance"][0]
    assert is_png(png)


def test_swaps_beside_earlier_ones(store, tmp_path):
    first = tmp_path / "first.zarr"
    result = run("swaps", store, "--out", first, "--swaps", "1,2,6",
                "--configurations", 2, "--alphas", "0:1:0.25")  # fmt: skip
    assert result["swaps"] == [1, 2, 6]
    run("swaps", store, "--out", tmp_path / "second.zarr", "--swaps", "1",
        "--configurations", 1, "--alphas", "0,0.5,1", "--beside", first,
        "--figure", tmp_path / "both.png")  # fmt: skip
    assert is_png(tmp_path / "both.png")


def test_flatness_alone_and_beside_another(store, tmp_path):
    result = run("flatness", store, "--out", tmp_path / "flat.zarr",
                "--configurations", 2, "--figure", tmp_path / "flat.png")  # fmt: skip
    assert result["converged"] == 1
    assert result["top_eigenvalue_mean"] > 0
    result = run("compare", store, "--second", store, "--out", tmp_path / "two.zarr",
                "--count", 2, "--figure", tmp_path / "two.png")  # fmt: skip
    assert result["test_loss"]["z"] == pytest.approx(0, abs=1e-9)
    with xarray.open_zarr(tmp_path / "two.zarr") as both:
        assert (both["rise"][0] != both["rise"][1]).all()  # directions are those of a side


def test_a_surface(store, tmp_path):
    result = run("surface", store, "--out", tmp_path / "s.zarr", "--points", 5,
                "--figure", tmp_path / "s.png")  # fmt: skip
    assert result["lowest"] <= result["at_the_solution"] <= result["highest"]


def test_bad_input_is_told_in_a_line(store, tmp_path, capsys):
    binary = tmp_path / "binary.zarr"
    synthetic(binary, 10, 200)
    out = ["--out", tmp_path / "no.zarr"]
    cases = [
        (["walk", binary, *out], "binary networks"),
        (["walk", store, *out, "--sigma", "0"], "numbers above 0 are needed"),
        (["walk", store, *out, "--sigma", "1e300"], "at most 1e+15"),
        (["walk", store, *out, "--sigma", "a"], "numbers with commas"),
        (["walk", store, *out, "--kind", "metropolis"], "need one"),
        (["walk", tmp_path / "none.zarr", *out], "nothing there"),
        (["walk", store, *out, "--where", "trial > 99"], "no configurations"),
        (["swaps", store, *out, "--swaps", "7"], "6 disjoint pairs"),
        (["swaps", store, *out, "--swaps", "1.5"], "whole numbers"),
        (["swaps", store, *out, "--beside", store], "--beside given without --figure"),
        (
            ["swaps", store, *out, "--beside", store, "--figure", tmp_path / "f.png"],
            "not a result of lsg swaps",
        ),
        (
            ["walk", store, *out, "--walkers", "2147483647"],
            "walks given (sigma, configurations, walkers); at most",
        ),
        (["interpolate", store, *out, "--alphas", "0:0.5:0.1"], "hold 0 and 1"),
        (["interpolate", store, *out, "--alphas", "x"], "alphas: 'x' given"),
        (["flatness", store, *out, "--radii", "-1"], "numbers above 0 are needed"),
        (["compare", store, *out, "--second", binary], "binary networks"),
        (["surface", store, *out, "--points", "4"], "odd number"),
        (["surface", store, *out, "--configuration", "9"], "configuration 9"),
    ]
    for words, expected in cases:
        assert expected in fails(capsys, *words), words
    assert not (tmp_path / "no.zarr").exists()
    assert not list(tmp_path.glob(".lsg*"))
