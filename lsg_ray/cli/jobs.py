"""Commands that run stages as jobs on a cluster: submit, jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from lsg_ray.cli import runs
from lsg_ray.cli.completion import names, stages
from lsg_ray.cli.options import (
    CONTEXT_SETTINGS,
    PATH,
    RUNNING,
    Command,
    argument,
    as_json,
    command,
    option,
    options,
    out_option,
)
from lsg_ray.cli.output import line_logger, print_result, print_rows, printable, show, table
from lsg_ray.cli.runs import load_specification, spec_changes
from lsg_ray.cluster import START_SECONDS
from lsg_ray.errors import ClusterError, InputError
from lsg_ray.stages import OF_SPEC, all_stages, stage_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lsg_ray.cluster.jobs import JobStatus
    from lsg_ray.spec import Spec

#: Options of commands that speak to a cluster's job server.
cluster_options = options(
    option("--address", required=True, envvar="RAY_API_SERVER_ADDRESS", metavar="URL",
           section=RUNNING, help="Dashboard of the cluster, http://HOST:8265."),
    option("--insecure", "allow_insecure", is_flag=True, section=RUNNING,
           help="Allow plain http to another machine without a token."),
)  # fmt: skip
start_timeout = option(
    "--start-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=START_SECONDS,
    metavar="SECONDS",
    section=RUNNING,
    help="Seconds that a job may wait for its start.",
)
_id = argument("id", help="Name of the job: see lsg jobs list.")


class ClusterOptions(TypedDict):
    """Where the job server is."""

    address: str
    allow_insecure: bool


class SubmitOptions(ClusterOptions):
    """How a job is submitted, and followed."""

    start_timeout: float
    follow: bool
    again: bool
    with_code: bool
    driver_cpus: float


@command()
@argument(
    "source",
    metavar="SPEC|STORE|MODEL",
    type=PATH,
    help="What the stage reads: a specification on this machine, or a store or model as all "
    "nodes of the cluster see it.",
)
@argument("arguments", nargs=-1, metavar="[-- OPTIONS]", help="Options of the stage's own command.")
@out_option("URL", "Store or result to write: a URL, or an absolute path that all nodes share.")
@cluster_options
@option(
    "--stage",
    default="sample",
    shell_complete=names(stages),
    help="What to run: sample, pipeline (which is lsg run), or "
    "another command that writes a result.",
)
@spec_changes
@start_timeout
@option(
    "--follow/--no-follow",
    default=True,
    section=RUNNING,
    help="Whether to wait for the end of the job and show its log.",
)
@option("--again", is_flag=True, section=RUNNING, help="Run again what has succeeded before.")
@option(
    "--with-code",
    is_flag=True,
    section=RUNNING,
    help="Send this package too, to a cluster where it is not installed.",
)
@option(
    "--driver-cpus",
    type=click.FloatRange(min=0),
    default=0.0,
    section=RUNNING,
    help="Number of CPUs of the job's own process, on any node; with 0 it runs on the head.",
)
@as_json
def submit(
    source: str,
    arguments: tuple[str, ...],
    out: str,
    stage: str,
    count: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
    **how: Unpack[SubmitOptions],
) -> None:
    """Run a stage on a Ray cluster as a job, and follow it.

    \b
    lsg submit SPEC --address http://127.0.0.1:8265 --out s3://bucket/ensemble.zarr
    lsg submit STORE --stage moments --address ... --out s3://... -- --part LB

    Credentials for URLs come from the environment of the cluster.  The same command again attaches
    to its job; after a failure it resumes.
    """
    from lsg_ray.cluster import jobs
    from lsg_ray.cluster.request import plan_job

    run = _source(source, stage, count, overrides)
    _check_arguments(list(plan_job(run, out, stage, arguments).arguments))
    log = line_logger(as_json, "")
    job = jobs.submit(run, out, stage=stage, options=arguments, log=log, on_line=log, **how)
    _conclude(job, as_json)


def _source(source: str, stage: str, count: int | None, overrides: tuple[str, ...]) -> Spec | str:
    if stage in OF_SPEC:
        return load_specification(source, count, overrides)
    if count is not None or overrides:
        raise InputError(f"--count and --set are for specifications; stage {stage} reads {source}")
    return source


def _check_arguments(words: Sequence[str]) -> None:
    """Refuse here what the command, the first word, would refuse there."""
    name, *arguments = words
    if {"-h", "--help"} & set(arguments):
        raise click.UsageError("--help after --: ask the stage's own command, here")
    with click.Context(click.Group("lsg"), info_name="lsg", **CONTEXT_SETTINGS) as context:
        command_named(name).make_context(name, list(arguments), parent=context)


def command_named(stage: str) -> click.Command:
    """Return the command of a stage, or of the stages of a specification: sample, run."""
    of_spec = {"sample": runs.sample, "run": runs.run, "pipeline": runs.run}
    if stage in of_spec:
        return of_spec[stage]
    from lsg_ray.cli.stage_commands import command_of, defer

    defer("xarray")
    return command_of(stage_of(stage), all_stages()[stage][1])


def _conclude(job: JobStatus, as_json: bool) -> None:
    """Print what became of a job; raise if it failed."""
    if job.status in ("FAILED", "STOPPED"):
        code = "" if job.exit_code is None else f" with exit code {job.exit_code}"
        raise ClusterError(f"job {job.id} {job.status.lower()}{code}\n{job.reason}".rstrip())
    after = f", {job.seconds:.0f} s" if job.done and job.seconds is not None else ""
    print_result(
        job._asdict(), as_json, f"{job.id}: {job.status.lower()}{after}, {printable(job.out)}"
    )


@click.group()
def jobs() -> None:
    """List, follow and stop the jobs of lsg submit."""


@jobs.command("list", cls=Command)
@cluster_options
@as_json
def list_jobs(as_json: bool, **cluster: Unpack[ClusterOptions]) -> None:
    """List jobs, oldest first."""
    from lsg_ray.cluster.jobs import job_list

    print_rows(job_columns(job_list(**cluster)), "object" if as_json else "table")


def job_columns(listed: Sequence[JobStatus]) -> dict[str, list[object]]:
    """Return the columns of a table of jobs."""
    names = ("id", "status", "began", "seconds", "out")
    columns = {name: [getattr(job, name) for job in listed] for name in names}
    columns["began"] = [_clock(seconds) for seconds in columns["began"]]
    return columns


@jobs.command(cls=Command)
@_id
@cluster_options
@as_json
def status(id: str, as_json: bool, **cluster: Unpack[ClusterOptions]) -> None:
    """Show the state of a job."""
    from lsg_ray.cluster.jobs import job_status

    _show(job_status(id, **cluster), as_json)


@jobs.command(cls=Command)
@_id
@option("--follow", is_flag=True, help="Wait for the end of the job; exit with its code.")
@cluster_options
@start_timeout
@as_json
def logs(
    id: str, follow: bool, start_timeout: float, as_json: bool, **cluster: Unpack[ClusterOptions]
) -> None:
    """Print the log of a job."""
    from lsg_ray.cluster.jobs import follow as follow_job
    from lsg_ray.cluster.jobs import job_log

    if follow:
        log = line_logger(as_json, "")
        on_log = log if as_json else show
        job = follow_job(id, start_timeout=start_timeout, log=log, on_line=on_log, **cluster)
        _conclude(job, as_json)
        return
    text = job_log(id, **cluster)
    print_result({"id": id, "log": text}, as_json, text.rstrip("\n"))


@jobs.command(cls=Command)
@_id
@cluster_options
@as_json
def stop(id: str, as_json: bool, **cluster: Unpack[ClusterOptions]) -> None:
    """Stop a job.

    What it has stored stays; submit the same run again to resume it.
    """
    from lsg_ray.cluster.jobs import stop as stop_job

    _show(stop_job(id, **cluster), as_json)


def _show(job: JobStatus, as_json: bool) -> None:
    values = job._asdict()
    print_result(values, as_json, table({**values, "began": _clock(job.began)}))


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "not yet"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
