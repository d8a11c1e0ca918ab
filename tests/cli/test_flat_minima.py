"""Measures of flatness from the command line: numbers, figures, and one line for bad input."""

import pytest
import xarray

SPEC = """
name: tree
dataset: {{name: random-patterns, patterns: 30, inputs: 45}}
network: {{family: spherical-committee, widths: [45, 3, 1]}}
training: {{algorithm: {algorithm}}}
ensemble: {{count: 3}}
study: {{volume: {{stage: spherical-local-entropy, gammas: [25.0], theory: false}}, hessian: {{}}}}
"""


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two ensembles on the same patterns."""
    from lsg_ray.cli import main

    folder = tmp_path_factory.mktemp("trees")
    for algorithm in ("least-action", "spherical-focusing-bp"):
        spec = folder / f"{algorithm}.yaml"
        spec.write_text(SPEC.format(algorithm=algorithm))
        with pytest.raises(SystemExit) as stop:
            main(["sample", str(spec), "--out", str(folder / algorithm), "--workers", "0"])
        assert stop.value.code == 0
    return folder / "least-action", folder / "spherical-focusing-bp"


def test_each_measure__is_computed_and_drawn(lsg, stores, tmp_path):
    for name, options, shown in [
        ("spherical-local-entropy", ["--gammas", "25,6"], "gamma 25"),
        ("hessian", ["--eigenvalues", 2], "top_eigenvalue"),
        ("local-energy", ["--draws", 5], "rise at 0.1"),
        ("input-robustness", ["--draws", 5], "rise at 0.1"),
    ]:
        out, png = tmp_path / f"{name}.zarr", tmp_path / f"{name}.png"
        ran = lsg(name, stores[0], "--out", out, "--figure", png, "--json", *options)
        assert ran.code == 0
        assert ran.json["solutions"] == 3
        assert shown in ran.json
        assert png.read_bytes().startswith(b"\x89PNG")
        with xarray.open_zarr(out) as found:
            assert found.attrs["algorithm"] == "least-action"


def test_table__of_two_stores(lsg, stores, tmp_path):
    out, png = tmp_path / "table.zarr", tmp_path / "table.png"
    ran = lsg("flatness-table", stores[0], "--second", stores[1], "--out", out, "--figure", png,
              "--samples", 20, "--draws", 5, "--json")  # fmt: skip
    assert ran.code == 0
    assert ran.json["rows"] + ran.json["repeats"] == 6
    assert "with local_entropy_25" in ran.json["spearman"]["trace"]
    assert ran.json["means"]["errors"]["tree"] == "0 ± 0"
    assert png.exists()


def test_bad_input__is_exit_two(lsg, stores, tmp_path):
    for words, told in [
        (["spherical-local-entropy", stores[0], "--gammas", "-1"], "above 0 are needed"),
        (["hessian", stores[0], "--beta", "0"], "0"),
        (["local-energy", stores[0], "--draws", "1"], "draws"),
        (["flatness-table", stores[0], "--second", tmp_path / "none"], "none"),
    ]:
        ran = lsg(*words, "--out", tmp_path / "out.zarr")
        assert ran.code == 2
        assert told in ran.err
        assert not (tmp_path / "out.zarr").exists()
