"""Commands that run stages as jobs on a cluster: submit, jobs; and the scripts of ``jobs/``."""

from __future__ import annotations

import copy
import sys
import time
from pathlib import Path
from typing import Any

import click

from lsg_ray.cli.output import (
    as_json,
    options,
    plain,
    print_result,
    print_rows,
    printable,
    say,
    show,
    table,
)
from lsg_ray.cli.outputs import PLACE
from lsg_ray.cli.runs import load_specification, spec_changes
from lsg_ray.cluster import START_SECONDS
from lsg_ray.errors import ClusterError, InputError
from lsg_ray.stages import GROUPS, OF_SPEC, all_stages

#: Options of commands that speak to a cluster's job server.
cluster_options = options(
    click.option(
        "--address", required=True, envvar="RAY_API_SERVER_ADDRESS", metavar="URL",
        help="Dashboard, http://HOST:8265; default: RAY_API_SERVER_ADDRESS.",
    ),
    click.option("--insecure", "allow_insecure", is_flag=True,
                 help="Plain http to another machine without a token."),
)  # fmt: skip
start_timeout = click.option(
    "--start-timeout", type=click.FloatRange(min=0, min_open=True), default=START_SECONDS,
    show_default=True, metavar="S", help="Seconds that a job may wait for its start.",
)  # fmt: skip


@click.command()
@click.argument("source", metavar="SPEC|STORE|MODEL", type=PLACE)
@click.argument("words", nargs=-1, metavar="[-- OPTIONS]")
@click.option(
    "--out", type=PLACE, required=True, metavar="URL", help="Where results go, as the cluster sees."
)
@cluster_options
@click.option("--stage", default="sample", show_default=True,
              help="sample, pipeline (lsg run), or a command that reads SOURCE.")  # fmt: skip
@spec_changes
@start_timeout
@click.option("--follow/--no-follow", default=True, help="Wait for its end, and show its log.")
@click.option("--again", is_flag=True, help="Also if the run has succeeded before.")
@click.option("--with-code", is_flag=True, help="Ship this package, where the cluster has none.")
@click.option(
    "--driver-cpus", type=click.FloatRange(min=0), default=0.0, metavar="N",
    help="CPUs for the job's own process, on any node; 0: on the head.",
)  # fmt: skip
@as_json
def submit(
    source: str, words: tuple[str, ...], out: str, stage: Any, count: int | None,
    overrides: tuple[str, ...], as_json: bool, **more: Any,
) -> None:  # fmt: skip
    """Run a stage on a Ray cluster, as a job, and follow it.

    \b
    lsg submit SPEC --address http://127.0.0.1:8265 --out s3://bucket/ensemble.zarr
    lsg submit STORE --stage moments --address ... --out s3://... -- --part LB

    SPEC is read here; stores and models are URLs, or absolute paths that all nodes share, and
    credentials for them come from the environment of the cluster.  The same run again attaches to
    its job; after a failure it resumes.  What follows -- goes to the stage's own command.
    """
    from lsg_ray.cluster import jobs
    from lsg_ray.cluster.request import plan_job

    run = _source(source, stage, count, overrides)
    _check_words(list(plan_job(run, out, stage, words).arguments))
    tell = say(as_json, "")
    job = jobs.submit(run, out, stage=stage, options=words, log=tell, on_line=tell, **more)
    _conclude(job, as_json)


def _source(source: str, stage: str, count: int | None, overrides: tuple[str, ...]) -> Any:
    if stage in OF_SPEC:
        return load_specification(source, count, overrides)
    if count is not None or overrides:
        raise InputError(f"--count and --set are for specifications; stage {stage} reads {source}")
    return source


def _check_words(words: list[str]) -> None:
    """Refuse here what the command would refuse there."""
    from lsg_ray.cli.main import cli

    if {"-h", "--help"} & set(words):
        raise click.UsageError("--help after --: ask the stage's own command, here")
    with click.Context(cli, info_name="lsg", **cli.context_settings) as context:
        _command_of(words[0]).make_context(words[0], words[1:], parent=context)


def _conclude(job: Any, as_json: bool) -> None:
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
    """List, look at and stop the jobs of `lsg submit` on a cluster."""


@jobs.command("list")
@cluster_options
@as_json
def list_jobs(as_json: bool, **cluster: Any) -> None:
    """List jobs, oldest first."""
    from lsg_ray.cluster.jobs import job_list

    found = job_list(**cluster)
    names = ("id", "status", "began", "seconds", "out")
    columns = {name: [getattr(job, name) for job in found] for name in names}
    columns["began"] = [_clock(seconds) for seconds in columns["began"]]
    print_rows(columns, "object" if as_json else "table")


@jobs.command()
@click.argument("id")
@cluster_options
@as_json
def status(id: str, as_json: bool, **cluster: Any) -> None:
    """Show the state of a job."""
    from lsg_ray.cluster.jobs import job_status

    _show(job_status(id, **cluster), as_json)


@jobs.command()
@click.argument("id")
@click.option("--follow", is_flag=True, help="Go on until it ends; exit as it does.")
@cluster_options
@start_timeout
@as_json
def logs(id: str, follow: bool, start_timeout: float, as_json: bool, **cluster: Any) -> None:
    """Print the log of a job."""
    from lsg_ray.cluster.jobs import follow as follow_job
    from lsg_ray.cluster.jobs import job_log

    if follow:
        tell = say(as_json, "")
        out = tell if as_json else show
        job = follow_job(id, start_timeout=start_timeout, log=tell, on_line=out, **cluster)
        _conclude(job, as_json)
        return
    log = job_log(id, **cluster)
    print_result({"id": id, "log": log}, as_json, log.rstrip("\n"))


@jobs.command()
@click.argument("id")
@cluster_options
@as_json
def stop(id: str, as_json: bool, **cluster: Any) -> None:
    """Stop a job; what it has stored stays, and submitting the run again resumes it."""
    from lsg_ray.cluster.jobs import stop as stop_job

    _show(stop_job(id, **cluster), as_json)


def _show(job: Any, as_json: bool) -> None:
    values = plain(job._asdict())
    print_result(values, as_json, table({**values, "began": _clock(job.began)}))


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "not yet"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def run_stage(stage: str, arguments: list[str]) -> None:
    """Run a command, or those of a group, as a script of its own, and exit as `lsg` does.

    What the command reads, its argument, may also be given as an option: ``--spec``, ``--store``
    or ``--model``.
    """
    from lsg_ray.cli.main import cli, main

    option = {"sample": "--spec", "pipeline": "--spec", "scan": "--model"}.get(stage, "--store")
    command = copy.copy(_command_of(stage))
    command.context_settings = cli.context_settings
    command.epilog = f"The argument may also be given as {option}."
    words: list[str] = []
    given: list[str] = []
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        if name != option:
            words.append(word)
        elif value := value if equals else next(rest, ""):
            given.append(value)
    main([*words, *given], command, Path(sys.argv[0]).name)


def _command_of(stage: str) -> click.Command:
    from lsg_ray.cli.main import cli

    context = click.Context(cli)
    if stage in GROUPS:
        names = [name for name, (group, _) in all_stages().items() if group == stage]
        found = {name: cli.get_command(context, name) for name in names}
        return click.Group(
            stage,
            commands={n: c for n, c in found.items() if c is not None},
            help=f"Commands of the group {stage}.",
        )
    command = cli.get_command(context, "run" if stage == "pipeline" else stage)
    assert command is not None
    return command
