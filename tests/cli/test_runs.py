"""`lsg sample` and `lsg run`: what they write, say and leave alone."""

from pathlib import Path

import pytest

from lsg_ray.cluster import estimate as estimate_module
from lsg_ray.ensemble.reader import open_ensemble

from .conftest import listing


def test_out__in_a_missing_folder_is_made(lsg, spec, tmp_path):
    ran = lsg("sample", spec, "--out", tmp_path / "a" / "b", "--workers", 0, "--count", 2)
    assert ran.code == 0
    assert open_ensemble(tmp_path / "a" / "b").n_complete == 2


def test_out__that_is_a_file_or_foreign_is_left_alone(lsg, spec, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    before = listing(tmp_path)
    for name, message in [
        ("file", "a file is in the way"),
        ("folder", "not empty and not an lsg-ray"),
    ]:
        ran = lsg("sample", spec, "--out", tmp_path / name, "--workers", 0)
        assert ran.code == 2
        assert message in ran.err
    assert listing(tmp_path) == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a place where not even root writes")
def test_out__that_cannot_be_written_is_one_line(lsg, spec, store):
    for words in (("sample", spec, "--workers", 0), ("moments", store)):
        ran = lsg(*words, "--out", "/proc/lsg")
        assert (ran.code, ran.out) == (1, "")
        assert len(ran.err.splitlines()) == 1
        assert "/proc/lsg" in ran.err


def test_sample_again__does_nothing(lsg, spec, store):
    before = listing(store)
    times = [file.stat().st_mtime_ns for file in sorted(store.rglob("*"))]
    ran = lsg("sample", spec, "--out", store, "--workers", 0, "--json")
    sampled = ran.json["sampled"]
    assert (sampled["rows"], sampled["trials"], sampled["resumed"]) == (0, 0, 6)
    assert listing(store) == before
    assert [file.stat().st_mtime_ns for file in sorted(store.rglob("*"))] == times


def test_sample_another_run__names_the_fields_and_changes_nothing(lsg, spec, store):
    before = listing(store)
    changes = ("--set", "training.epochs=3", "--set", "ensemble.seed=9", "--count", 5)
    ran = lsg("sample", spec, "--out", store, "--workers", 0, *changes)
    assert ran.code == 2
    for line in (
        "training.epochs: the store has 2, the spec 3",
        "ensemble.seed: the store has 0, the spec 9",
        "ensemble.count: the store has 6, the spec 5: it can only grow",
    ):
        assert line in ran.err.splitlines()
    assert listing(store) == before


def test_sample_more__grows_to_what_a_new_store_would_hold(lsg, spec, store, tmp_path):
    grown = lsg("sample", spec, "--out", store, "--workers", 0, "--count", 9, "--json")
    assert (grown.json["rows"], grown.json["sampled"]["rows"]) == (9, 3)
    new = lsg("sample", spec, "--out", tmp_path / "n", "--workers", 0, "--count", 9, "--json")
    assert new.json["content_hash"] == grown.json["content_hash"]
    assert lsg("verify", store).code == 0


def test_threshold_out_of_reach__exits_with_1_shows_what_was_seen_and_keeps_blocks(
    lsg, spec, store, tmp_path
):
    """The threshold lies between the accuracies of configurations 0 and 1."""
    first, second = open_ensemble(store).column("accuracy")[:2].tolist()
    assert second < first
    out = tmp_path / "out"
    words = ("sample", spec, "--out", out, "--workers", 0, "--set", "ensemble.block_size=1")
    words += ("--set", f"ensemble.threshold={(first + second) / 2}")
    words += ("--set", "ensemble.give_up_after=1")
    for _ in range(2):
        ran = lsg(*words)
        assert (ran.code, ran.out) == (1, "")
        assert "0 of 1 trials reached ensemble.threshold" in ran.err
        assert f"min {second:.4f}, quartiles" in ran.err
        assert "Lower ensemble.threshold" in ran.err
        assert open_ensemble(out).blocks.tolist() == [0]
    assert lsg(*words, "--json").json["exit_code"] == 1
    assert lsg("verify", out).code == 0


def test_run__tells_its_stages_on_standard_error_and_its_result_on_output(
    lsg, spec, tmp_path, monkeypatch
):
    monkeypatch.setattr("lsg_ray.report.page.write_report", lambda path, *_: path / "report.html")
    words = ("run", spec, "--out", tmp_path / "r", "--workers", 0)
    ran = lsg(*words)
    assert (ran.code, ran.out.splitlines()[-1]) == (0, f"report: {tmp_path / 'r' / 'report.html'}")
    assert "moments: n_weights " in ran.out
    assert "entropy landscape: left_out Needs at least 50 configurations; there are 6." in ran.out
    assert max(map(len, ran.out.splitlines()[:-1])) <= 200
    stages = [line for line in ran.err.splitlines() if line.endswith(" ...")]
    names = ["sample", "verify", "moments", "overlaps", "distances", "map", "report"]
    assert [stage.split()[0] for stage in stages] == names
    again = lsg(*words, "--json")
    assert (again.code, again.err) == (0, "")
    assert again.json["rows"] == 6
    assert list(again.json["stage_seconds"]) == names
    assert again.json["failed"] == []
    assert again.json["study"]["moments"]["count"] == 6


def test_run__a_step_that_fails_is_exit_code_1_and_the_report_says_why(
    lsg, spec, tmp_path, monkeypatch
):
    from lsg_ray import study

    compute = study.compute

    def broken(stage, *inputs, **options):
        if stage.name == "overlaps":
            raise ValueError("of the second statistic")
        return compute(stage, *inputs, **options)

    monkeypatch.setattr(study, "compute", broken)
    ran = lsg("run", spec, "--out", tmp_path / "r", "--workers", 0)
    assert ran.code == 1
    assert "1 of 5 steps failed: overlaps; what is finished is kept" in ran.err
    assert "overlaps: failed ValueError: of the second statistic" in ran.out
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "No overlaps: ValueError: of the second statistic." in page
    assert "Magnetization" in page


def test_estimate__prints_each_ensemble_as_it_is_known(lsg, spec, tmp_path, monkeypatch):
    """What was printed before an interrupt stays; with --json all is one document."""
    several = tmp_path / "several.yaml"
    more = "beside: {more: {ensemble: {seed: 1}}}\nstudy: {moments: }\n"
    several.write_text(spec.read_text() + more)
    ran = lsg("estimate", several, "--seconds", 0.1, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["configurations"] == 6
    assert ran.json["beside"]["more"]["trials"] == ran.json["trials"]  # calibrated once

    def interrupted(specs, **options):
        yield next(estimates(specs, **options))
        raise KeyboardInterrupt

    estimates = estimate_module.estimates
    monkeypatch.setattr(estimate_module, "estimates", interrupted)
    ran = lsg("estimate", several, "--seconds", 0.1)
    assert ran.code == 130
    assert ran.out.startswith("ensemble.zarr\nconfigurations ")
    ran = lsg("estimate", several, "--seconds", 0.1, "--json")
    assert ran.json.keys() == {"error", "exit_code"}
    monkeypatch.undo()
    ran = lsg("estimate", several, "--seconds", 1, "--study")
    assert ran.code == 0
    *_, title, step, total = ran.out.splitlines()
    assert title == "seconds of the study, one core"
    assert step.split()[0] == "moments"
    assert total.split()[0] == "total"
    ran = lsg("estimate", several, "--seconds", 1, "--study", "--json")
    assert ran.json["study"]["moments"]["seconds"] == ran.json["study_seconds"] > 0
    assert ran.json["study_unknown"] == []
    ran = lsg("estimate", several, "--seconds", 0, "--json")
    assert "seconds 0" in ran.json["error"]
