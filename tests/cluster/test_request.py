"""What is submitted as a job; without a cluster."""

import shlex
from pathlib import Path

import click
import pytest

from lsg_ray.cli import jobs as commands
from lsg_ray.cli.main import cli
from lsg_ray.cluster import jobs, request
from lsg_ray.cluster.request import plan_job, runtime_environment
from lsg_ray.errors import InputError
from lsg_ray.spec import Spec, load_spec, parse_spec
from lsg_ray.stages import job_stages

pytestmark = pytest.mark.usefixtures("no_token")
SECRETS = [
    "s3://AKIA:hush-hush@bucket/x",
    "s3://hush-hush@bucket/x",
    "https://account.example/x?sv=1&sig=hush-hush",
    "s3://bucket/x?X-Amz-Signature=hush-hush",
    "gs://bucket/x#access_token=hush-hush",
]


def test_the_id_of_a_job_is_that_of_its_run():
    spec = Spec(name="A.Run_1")
    job = plan_job(spec, "s3://bucket/a/")
    assert job.id.startswith("lsg-sample-a-run-1-")
    assert job.id == plan_job(Spec(name="A.Run_1"), "s3://bucket/a").id
    others = [
        plan_job(spec.replace(ensemble={"count": 7}), "s3://bucket/a"),
        plan_job(spec, "s3://bucket/b"),
        plan_job(spec, "s3://bucket/a", options=["--workers", "3"]),
        plan_job(spec, "/shared/a", "pipeline"),
    ]
    assert len({job.id, *(other.id for other in others)}) == 5
    assert job.metadata["lsg_spec_hash"] == spec.hash


@pytest.mark.parametrize(
    ("stage", "options", "line"),
    [
        ("sample", "", "sample spec.yaml --out s3://bucket/out"),
        ("moments", "--part LB", "moments SOURCE --out s3://bucket/out --part LB"),
        ("fit", "--method bp", "fit SOURCE --out s3://bucket/out --method bp"),
        ("scan", "--references s3://r", "scan SOURCE --out s3://bucket/out --references s3://r"),
        ("walk", "--steps 7", "walk SOURCE --out s3://bucket/out --steps 7"),
    ],
)
def test_each_stage_is_a_command_that_the_command_line_knows(stage, options, line):
    source = Spec() if stage == "sample" else "s3://bucket/in"
    job = plan_job(source, "s3://bucket/out", stage, options.split())
    assert " ".join(job.arguments) == line.replace("SOURCE", "s3://bucket/in")
    commands._check_arguments(list(job.arguments))


def test_a_pipeline_needs_a_disk():
    assert plan_job(Spec(), "/shared/run", "pipeline").arguments[0] == "run"
    with pytest.raises(InputError, match="disk"):
        plan_job(Spec(), "s3://bucket/run", "pipeline")


def test_all_stages_are_commands():
    with click.Context(cli) as context:
        for stage in job_stages():
            assert cli.get_command(context, "run" if stage == "pipeline" else stage) is not None
    assert commands.START_SECONDS == jobs.START_SECONDS


@pytest.mark.parametrize(
    ("source", "stage", "options", "match"),
    [
        ("s3://bucket/in", "sample", [], "reads a specification"),
        (Spec(), "fit", [], "reads a store or model"),
        ("s3://bucket/in", "statistics", [], "stage 'statistics' given; one of sample, pipeline"),
        ("in.zarr", "fit", [], "another machine"),
        (Spec(), "sample", ["a\nb"], "control characters"),
    ],
)
def test_what_does_not_fit_is_refused(source, stage, options, match):
    with pytest.raises(InputError, match=match):
        plan_job(source, "s3://bucket/out", stage, options)


@pytest.mark.parametrize("out", ["s3://bucket/in/", "s3://bucket", "s3://bucket/in/x"])
def test_what_is_read_is_not_written(out):
    with pytest.raises(InputError, match="is what is read"):
        plan_job("s3://bucket/in", out, "fit")


def test_names_of_files_are_refused_and_homes_are_absolute(monkeypatch):
    with pytest.raises(InputError, match=r"x\.npz given; a store is a folder"):
        plan_job(Spec(), "s3://bucket/x.npz")
    monkeypatch.setenv("HOME", "/home/me")
    assert plan_job(Spec(), "~/x").arguments[-1] == "/home/me/x"


@pytest.mark.parametrize(
    "out", ["out.zarr", "./x", "memory://x", "ftp://x/y", "/a\nb", "s3://bucket/../c"]
)
def test_places_that_mean_something_else_elsewhere_are_refused(out):
    with pytest.raises(InputError):
        plan_job(Spec(), out)


@pytest.mark.parametrize("url", SECRETS)
def test_secrets_are_refused_and_not_repeated(url):
    store, out = "s3://bucket/in", "s3://bucket/out"
    for arguments in (
        (Spec(), url),
        (url, out, "fit"),
        (store, out, "scan", ["--references", url]),
        (store, out, "scan", [f"--references={url}"]),
    ):
        with pytest.raises(InputError, match="environment") as error:
            plan_job(*arguments)
        assert "hush-hush" not in str(error.value)


def test_the_shell_sees_one_word_for_each():
    out = '/shared/a b\'; touch $(x) `y` "z" && θ'
    job = plan_job(Spec(), out, options=["--x=$HOME", "; reboot"])
    assert shlex.split(job.entrypoint)[3:] == [
        "sample", "spec.yaml", "--out", out, "--x=$HOME", "; reboot",
    ]  # fmt: skip


def test_the_specification_travels_alone():
    spec = parse_spec({"network": {"family": "relu"}, "ensemble": {"count": 3, "seed": 2**100}})
    with runtime_environment(spec, False) as environment:
        work = Path(environment["working_dir"])
        assert [path.name for path in work.iterdir()] == ["spec.yaml"]
        assert load_spec(work / "spec.yaml").hash == spec.hash
    assert not work.exists()
    with runtime_environment(None, False) as environment:
        assert environment == {}


def test_the_code_travels_without_caches(monkeypatch):
    with runtime_environment(None, True) as environment:
        (package,) = map(Path, environment["py_modules"])
        assert package.name == "lsg_ray"
        files = [path for path in package.rglob("*") if path.is_file()]
        assert package / "cli" / "__main__.py" in files
        assert {".j2", ".mplstyle"} <= {path.suffix for path in files}
        assert not any("__pycache__" in path.parts or path.name[0] == "." for path in files)
        assert sum(path.stat().st_size for path in files) < request.MAX_CODE_BYTES / 2
    monkeypatch.setattr(request, "MAX_CODE_BYTES", 10_000)
    with pytest.raises(InputError, match="MiB"), runtime_environment(None, True):
        pass
