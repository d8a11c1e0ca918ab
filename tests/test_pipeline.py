"""The pipeline: one folder, all results, resumed when run again, and nothing made on a refusal."""

import os

import pytest
import xarray
import yaml

from lsg_ray import pipeline
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import AcceptanceError, InputError, StoreError
from lsg_ray.results.saving import save_result
from lsg_ray.spec import load_spec, parse_spec
from lsg_ray.statistics.moments import moments

RESULTS = {
    "spec.yaml",
    "ensemble.zarr",
    "moments.zarr",
    "overlaps.zarr",
    "distances.zarr",
    "map.zarr",
}


def tiny(count=6, **ensemble):
    return parse_spec(
        {
            "name": "tiny",
            "dataset": {"name": "digits", "components": 4},
            "network": {"widths": [4, 3, 10]},
            "training": {"epochs": 2, "batch_size": 100},
            "ensemble": {"count": count, "threshold": 0, "draws": 2, "block_size": 2, **ensemble},
        }
    )


@pytest.fixture
def no_report(monkeypatch):
    """Write a line in place of the report, which has tests of its own."""

    def write(path, ensemble, dataset, outcomes, beside, spec, formats=()):
        (path / "report.html").write_text(f"{ensemble.n_rows} {sorted(outcomes)}")
        return path / "report.html"

    monkeypatch.setattr("lsg_ray.report.page.write_report", write)


def test_run__makes_everything_that_the_docstring_names(tmp_path):
    pytest.importorskip("lsg_ray.report.page")
    lines = []
    result = pipeline.run(tiny(), tmp_path / "r", workers=0, log=lines.append)
    made = set(os.listdir(tmp_path / "r"))
    assert made >= RESULTS | {"report.html"}
    assert any(name.endswith(".png") for name in os.listdir(tmp_path / "r" / "figures"))
    assert result["report"] == str(tmp_path / "r" / "report.html")
    assert result["rows"] == 6
    assert [line.split()[0] for line in lines] == list(result["stage_seconds"]) == [
        "sample", "verify", "moments", "overlaps", "distances", "map", "report",
    ]  # fmt: skip
    page = (tmp_path / "r" / "report.html").read_text()
    assert "tiny" in page
    os.remove(tmp_path / "r" / "report.html")
    assert pipeline.report(tmp_path / "r").is_file()


def test_run__stores_what_sampling_and_statistics_give(tmp_path, no_report):
    spec = tiny()
    pipeline.run(spec, tmp_path, workers=0)
    assert set(os.listdir(tmp_path)) == RESULTS | {"report.html"}
    assert load_spec(tmp_path / "spec.yaml") == spec
    ensemble = open_ensemble(tmp_path / "ensemble.zarr")
    assert ensemble.complete
    stored = xarray.open_zarr(tmp_path / "moments.zarr")
    assert (stored["C"].values == moments(ensemble)["C"].values).all()
    assert xarray.open_zarr(tmp_path / "overlaps.zarr")["pairs"].sum() == 15
    assert xarray.open_zarr(tmp_path / "map.zarr").sizes["point"] == 12


def test_run_again__samples_what_is_missing_and_no_more(tmp_path, no_report, monkeypatch):
    first = pipeline.run(tiny(), tmp_path / "r", workers=0)
    store = tmp_path / "r" / "ensemble.zarr"
    times = {file: file.stat().st_mtime_ns for file in store.rglob("*") if file.is_file()}
    again = pipeline.run(tiny(), tmp_path / "r", workers=0)
    assert again["content_hash"] == first["content_hash"]
    assert {file: file.stat().st_mtime_ns for file in times} == times

    (store / "ledger" / "00000001.json").unlink()
    assert pipeline.run(tiny(), tmp_path / "r", workers=0)["content_hash"] == first["content_hash"]

    grown = pipeline.run(tiny(count=9), tmp_path / "r", workers=0)
    whole = pipeline.run(tiny(count=9), tmp_path / "whole", workers=0)
    assert grown["content_hash"] == whole["content_hash"]
    assert (tmp_path / "r" / "report.html").read_text().startswith("9 ")
    assert yaml.safe_load((tmp_path / "r" / "spec.yaml").read_text())["ensemble"]["count"] == 9
    assert xarray.open_zarr(tmp_path / "r" / "moments.zarr").attrs["count"] == 9


def test_run__too_few_for_a_map_leaves_it_out(tmp_path, no_report):
    result = pipeline.run(tiny(count=3), tmp_path, workers=0)
    why = "Needs at least 4 configurations; there are 3."
    assert result["study"]["map"] == {"left_out": why}
    assert result["failed"] == []
    assert set(os.listdir(tmp_path)) == RESULTS - {"map.zarr"} | {"report.html"}


def test_report__measures_anew(tmp_path, no_report):
    pipeline.run(tiny(), tmp_path, workers=0)
    for name in ("report.html", "moments.zarr/zarr.json", "spec.yaml"):
        os.remove(tmp_path / name)
    (tmp_path / "moments.zarr").rename(tmp_path / "elsewhere")
    assert pipeline.report(tmp_path) == tmp_path / "report.html"
    assert xarray.open_zarr(tmp_path / "moments.zarr").attrs["count"] == 6


# Refusals


def test_folder_of_other_things__is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="holds other files; name a new or empty folder"):
        pipeline.run(tiny(), tmp_path, workers=0)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_file__is_refused(tmp_path):
    (tmp_path / "r").write_text("mine")
    with pytest.raises(InputError, match="is a file; name a folder"):
        pipeline.run(tiny(), tmp_path / "r", workers=0)
    assert (tmp_path / "r").read_text() == "mine"


def test_damaged_result__is_told_before_anything_is_sampled(tmp_path, no_report):
    pipeline.run(tiny(), tmp_path / "r", workers=0, landscape=False)
    os.remove(tmp_path / "r" / "overlaps.zarr" / "zarr.json")
    with pytest.raises(InputError, match=r"overlaps\.zarr is not a result of lsg.*delete it"):
        pipeline.run(tiny(8), tmp_path / "r", workers=0, landscape=False)
    assert open_ensemble(tmp_path / "r" / "ensemble.zarr").n_rows == 6


def test_folder_of_another_run__is_refused_and_left_as_it_is(tmp_path, no_report):
    pipeline.run(tiny(), tmp_path, workers=0)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=r"ensemble.seed: the store has 0, the spec 1"):
        pipeline.run(tiny(seed=1), tmp_path, workers=0)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_bad_input__creates_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relu = parse_spec(
        {
            "dataset": {"name": "digits", "components": 4},
            "network": {"family": "relu", "widths": [4, 3, 10]},
            "ensemble": {"count": 1},
        }
    )
    many = tiny().replace(dataset={"train_examples": 99_999})
    for spec, folder, message in [
        (tiny(count=1), "a", "a report needs at least 2 configurations"),
        (relu, "a/b/c", "a report needs at least 2 configurations"),
        (many, "a/b/c", "dataset.train_examples: 99999"),
        (tiny(), "s3://bucket/run", "is a URL"),
        (tiny(), "memory://run", "is a URL"),
    ]:
        with pytest.raises(InputError, match=message):
            pipeline.run(spec, folder, workers=0)
        assert os.listdir(tmp_path) == []


def test_threshold_out_of_reach__keeps_the_store_and_says_so(tmp_path, no_report):
    spec = tiny(threshold=1, give_up_after=2)
    with pytest.raises(AcceptanceError, match="0 of 2 trials reached"):
        pipeline.run(spec, tmp_path / "r", workers=0)
    assert os.listdir(tmp_path / "r") == ["ensemble.zarr"]
    with pytest.raises(AcceptanceError):
        pipeline.run(spec, tmp_path / "r", workers=0)


def test_damaged_store__stops_the_run_before_anything_is_measured(tmp_path, no_report):
    pipeline.run(tiny(), tmp_path, workers=0)
    os.remove(tmp_path / "report.html")
    chunk = tmp_path / "ensemble.zarr" / "weights" / "c.1.0"
    data = bytearray(chunk.read_bytes())
    data[0] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(StoreError, match=r"is damaged \(1 findings\); run: lsg verify --repair"):
        pipeline.run(tiny(), tmp_path, workers=0)
    assert not (tmp_path / "report.html").exists()


def test_foreign_file_in_the_store__does_not_stop_the_run(tmp_path, no_report):
    """No repair deletes what is not ours, so a refusal would be for good."""
    pipeline.run(tiny(), tmp_path, workers=0)
    (tmp_path / "ensemble.zarr" / ".DS_Store").write_text("")
    assert pipeline.run(tiny(), tmp_path, workers=0)["complete"]
    assert (tmp_path / "ensemble.zarr" / ".DS_Store").exists()


@pytest.mark.parametrize("make", [lambda _: None, os.mkdir, lambda path: path.write_text("")])
def test_report__without_an_ensemble_is_refused(tmp_path, make):
    make(tmp_path / "r")
    with pytest.raises(InputError, match=r"holds no ensemble.zarr; make one with: lsg run"):
        pipeline.report(tmp_path / "r")


def test_report__of_a_kept_result_that_is_not_ours_says_so_in_its_section(tmp_path):
    pipeline.run(tiny(), tmp_path / "r", workers=0, landscape=False)
    path = tmp_path / "r" / "overlaps.zarr"
    with xarray.open_zarr(path) as opened:
        result = opened.load()
    del result.attrs["mean"]
    save_result(result, path, overwrite=True)
    page = pipeline.report(tmp_path / "r").read_text(encoding="utf-8")
    assert "No figure: KeyError: &#39;mean&#39;." in page
    assert page.count("<figure>") == 6  # of all else
