"""A run of several ensembles: each is sampled, measured beside the others, and reported."""

import shutil

import pytest
import xarray

from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import InputError
from lsg_ray.pipeline import _check_study, report, run
from lsg_ray.spec import parse_spec

TREE = {
    "name": "two",
    "dataset": {"name": "random-patterns", "patterns": 20, "inputs": 45, "test_patterns": 20},
    "network": {"family": "spherical-committee", "widths": [45, 3, 1]},
    "training": {"algorithm": "least-action", "epochs": 500},
    "ensemble": {"count": 3},
    "beside": {"entropic": {"training": {"algorithm": "entropic-least-action"}}},
    "study": {
        "table": {"stage": "flatness-table", "second": "entropic", "draws": 5, "samples": 20},
        "volume-least": {"stage": "spherical-local-entropy", "gammas": [25.0], "theory": False},
        "volume-entropic": {
            "stage": "spherical-local-entropy", "solutions": "entropic", "gammas": [25.0],
            "theory": False, "where": "configuration < 2",
        },
    },
}  # fmt: skip


def test_run__samples_measures_and_resumes(tmp_path):
    spec = parse_spec(TREE)
    result = run(spec, tmp_path / "run", workers=0)
    assert result["failed"] == []
    assert list(result["study"]["table"]["means"]["trace"]) == ["least-action", "entropic"]
    beside = open_ensemble(tmp_path / "run" / "entropic.zarr")
    assert beside.spec == spec.others["entropic"]
    around = xarray.open_zarr(tmp_path / "run" / "volume-entropic.zarr")
    assert around.attrs["algorithm"] == "entropic-least-action"
    assert around.sizes["solution"] == 2  # the view is of that ensemble
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Ensemble entropic" in page
    assert beside.info()["content_hash"] in page
    assert (tmp_path / "run" / "figures" / "volume.png").is_file()  # of both steps

    began = (tmp_path / "run" / "table.zarr" / "zarr.json").stat().st_mtime_ns
    more = spec.replace(
        beside={"entropic": {**TREE["beside"]["entropic"], "ensemble": {"count": 4}}}
    )
    run(more, tmp_path / "run", workers=0)
    assert (tmp_path / "run" / "table.zarr" / "zarr.json").stat().st_mtime_ns > began
    assert report(tmp_path / "run").is_file()


def test_other_ensemble__in_the_place_of_one_beside_is_refused_before_anything_is_sampled(tmp_path):
    spec = parse_spec({**TREE, "study": {}})
    run(spec, tmp_path / "run", workers=0)
    before = (tmp_path / "run" / "spec.yaml").read_text(encoding="utf-8")
    other = {"entropic": {"training": {"algorithm": "elastic-sgd"}}}
    with pytest.raises(InputError, match=r"entropic\.zarr: holds another run"):
        run(spec.replace(beside=other, ensemble={"count": 5}), tmp_path / "run", workers=0)
    assert open_ensemble(tmp_path / "run" / "ensemble.zarr").n_rows == 3
    assert (tmp_path / "run" / "spec.yaml").read_text(encoding="utf-8") == before
    step = {"entropic": {"stage": "spherical-local-entropy"}}
    with pytest.raises(InputError, match="is an ensemble; give the step entropic another name"):
        run(spec.replace(beside={}, study=step), tmp_path / "run", workers=0)


def test_report__without_an_ensemble_beside_says_what_is_left_out(tmp_path):
    study = {"volume": {"stage": "spherical-local-entropy", "solutions": "entropic",
                        "gammas": [25.0], "theory": False}}  # fmt: skip
    spec = parse_spec({**TREE, "study": study})
    run(spec, tmp_path / "run", workers=0)
    shutil.rmtree(tmp_path / "run" / "entropic.zarr")
    page = report(tmp_path / "run").read_text(encoding="utf-8")
    assert "it reads entropic, which is not there" in page


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (None, "beside: ensembles given; a study that reads them is needed"),
        ({"moments": {"where": "epoch > 1"}}, "study.moments: .*epoch"),
        ({"path": {"stage": "interpolate"}}, "study.path: interpolate is of networks of real"),
        ({"moments": {"ensemble": "real", "part": "1"}}, None),
        ({"path": {"stage": "interpolate", "solutions": "real", "where": "accuracy > 0.1"}}, None),
    ],
)
def test_steps__are_checked_against_the_ensembles_that_they_read(tmp_path, study, message):
    """Of ±1 weights, and of real ones beside: columns and stages differ."""
    spec = parse_spec({
        "network": {"widths": [20, 5, 10]}, "ensemble": {"count": 2},
        "beside": {"real": {"network": {"family": "relu", "widths": [784, 5, 10]}}}, "study": study,
    })  # fmt: skip
    if message is None:
        _check_study(spec)
    else:
        with pytest.raises(InputError, match=message):
            run(spec, tmp_path / "run", workers=0)
        assert not (tmp_path / "run").exists()
