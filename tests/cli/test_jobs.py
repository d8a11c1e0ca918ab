"""`lsg submit`, `lsg jobs` and the scripts of jobs, without a cluster."""

import subprocess
import sys
from pathlib import Path

import pytest

from lsg_ray.cli.scripts import run_stage
from lsg_ray.cluster import dashboard, jobs
from lsg_ray.ensemble.reader import open_ensemble

ROOT = Path(__file__).parents[2]
SCRIPTS = ("sample", "statistics", "fit", "scan", "landscape", "pipeline")


pytestmark = pytest.mark.usefixtures("no_token")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("--out s3://bucket/x", "--address"),
        ("--out x.zarr HERE", "another machine"),
        ("--out s3://bucket/x --address http://10.0.0.1:8265", "no token"),
        ("--out s3://bucket/x --address 10.0.0.1", "http://HOST:8265"),
        ("--out s3://bucket/x HERE --stage x", "stage 'x' given"),
        ("--out s3://bucket/x HERE --set a.b=1", "a"),
        ("--out s3://bucket/x HERE -- --nonsense", "nonsense"),
        ("--out s3://bucket/x HERE -- --help", "own command"),
        ("--out s3://bucket/x HERE -- --out /y", "before the --"),
        ("--out s3://bucket/x HERE -- --set=ensemble.count=7", "before the --"),
        ("--out s3://bucket/x HERE --start-timeout nan", "start_timeout nan"),
        ("--out s3://bucket/x HERE --stage fit --count 3", "specifications"),
    ],
)
def test_bad_usage_sends_nothing(lsg, spec, words, match, monkeypatch):
    monkeypatch.setattr(dashboard, "_connect", lambda *_: pytest.fail("connected"))
    words = words.replace("HERE", "--address http://127.0.0.1:1")
    ran = lsg("submit", spec, *words.split())
    assert ran.code == 2, ran.err
    assert match in ran.err


def test_no_cluster_is_a_failure_in_one_json_object(lsg, spec):
    address = "http://127.0.0.1:9"
    ran = lsg("submit", spec, "--out", "s3://bucket/x", "--address", address, "--json")
    assert ran.code == 1
    assert ran.json["exit_code"] == 1


def test_failed_jobs_end_with_their_reason(lsg, spec, monkeypatch):
    failed = jobs.JobStatus(
        "lsg-x", "FAILED", "sample", "s3://bucket/x", 1.0, 2.0, 2, "lsg: why", True
    )
    monkeypatch.setattr(jobs, "submit", lambda *_, **__: failed)
    words = ("submit", spec, "--out", "s3://bucket/x", "--address", "http://127.0.0.1:9")
    ran = lsg(*words)
    assert (ran.code, ran.out) == (1, "")
    assert "lsg-x failed with exit code 2\nlsg: why" in ran.err
    done = failed._replace(status="SUCCEEDED", reason="")
    monkeypatch.setattr(jobs, "submit", lambda *_, **__: done)
    assert lsg(*words, "--json").json["status"] == "SUCCEEDED"


def test_lists_are_tables_or_json(lsg, monkeypatch):
    result = jobs.JobStatus("lsg-x", "RUNNING", "sample", "s3://bucket/x", 1.0, 2.0, None, "")
    monkeypatch.setattr(jobs, "job_list", lambda *_, **__: [result])
    words = ("jobs", "list", "--address", "http://127.0.0.1:9")
    assert "RUNNING" in lsg(*words).out
    assert lsg(*words, "--json").json["rows"][0]["id"] == "lsg-x"


def _stage(capsys, stage, *words):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run_stage(stage, [str(word) for word in words])
    return (stop.value.code, *capsys.readouterr())


def test_scripts_take_what_they_read_as_an_option_too(capsys, spec, tmp_path):
    store, moments = tmp_path / "s.zarr", tmp_path / "m.zarr"
    code, _, err = _stage(capsys, "sample", "--spec", spec, "--out", store, "--workers", "0")
    assert code == 0, err
    assert open_ensemble(store).n_complete == 6
    code, _, err = _stage(capsys, "statistics", "moments", f"--store={store}", "--out", moments)
    assert code == 0, err
    assert moments.is_dir()
    code, _, err = _stage(capsys, "statistics", "nonsense", store)
    assert code == 2
    code, _, err = _stage(capsys, "sample", "--spec")
    assert code == 2, err
    assert _stage(capsys, "statistics", "moments", "-h")[0] == 0


def test_scripts_run_from_a_checkout(tmp_path):
    code = f"""
import runpy, sys
for stage in {SCRIPTS!r}:
    script = {str(ROOT / "jobs")!r} + f"/{{stage}}.py"
    sys.path.insert(0, {str(ROOT / "jobs")!r})
    sys.argv = [script, "--help"]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        assert stop.code == 0, stage
    import lsg_ray, statistics
    assert lsg_ray.__file__.startswith({str(ROOT)!r}), lsg_ray.__file__
    assert hasattr(statistics, "fmean"), statistics
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    usages = [line for line in ran.stdout.splitlines() if line.startswith("Usage:")]
    assert [usage.split()[1] for usage in usages] == [f"{stage}.py" for stage in SCRIPTS]
    assert "also be given as --spec" in ran.stdout
