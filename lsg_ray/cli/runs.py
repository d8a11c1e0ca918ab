"""Commands that run a specification: run, sample, estimate; and report."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from lsg_ray.cli.completion import fields, names
from lsg_ray.cli.options import (
    PATH,
    RUNNING,
    argument,
    as_json,
    command,
    formats_option,
    option,
    options,
    out_option,
    spec_argument,
)
from lsg_ray.cli.output import cell, line_logger, percent, print_result, progress_style, show, table
from lsg_ray.cli.outputs import refuse_overlap
from lsg_ray.errors import InputError

if TYPE_CHECKING:
    from lsg_ray.cluster.estimate import Estimate, Range
    from lsg_ray.spec import Spec
    from lsg_ray.typing import JsonObject

#: Characters of what is printed of a step; all is in the report, and in --json.
MAX_LINE_CHARACTERS = 200

#: Options that change a specification.
spec_changes = options(
    option(
        "--count",
        type=click.IntRange(min=1),
        help="Number of configurations, in place of ensemble.count.",
    ),
    option(
        "--set",
        "overrides",
        multiple=True,
        metavar="FIELD=VALUE",
        shell_complete=names(fields),
        help="Value of any field of the specification, such as training.epochs=20. "
        "study.STEP=null leaves a step out, beside.NAME=null an ensemble.",
    ),
)
#: Options of commands that sample, for how and where they run.
where_options = options(
    option(
        "--workers",
        type=click.IntRange(min=0),
        section=RUNNING,
        help="Number of workers, which are actors of Ray; without it, one per CPU, on a cluster "
        "also for those that it gets meanwhile. 0 samples in this process, without Ray.",
    ),
    option(
        "--actors",
        type=click.IntRange(min=1),
        default=1,
        section=RUNNING,
        help="Number of processes that share the replicas of a trial, on Ray: those of elastic-sgd "
        "and replicated-sgd. Results do not depend on it.",
    ),
    option(
        "--worker-cpus",
        type=float,
        default=1.0,
        section=RUNNING,
        help="Number of CPUs that a worker holds of the cluster, such as 0.5 or 2; it computes on "
        "one.",
    ),
    option(
        "--worker-gpus",
        type=float,
        section=RUNNING,
        help="Number of GPUs that a worker holds, such as 0.25; without it, one where "
        "training.engine is torch and there are GPUs, else none.",
    ),
    option(
        "--address",
        metavar="ADDRESS",
        section=RUNNING,
        help="Address of a Ray cluster; without it, RAY_ADDRESS or a private Ray on this machine.",
    ),
)
#: Option of commands that run a study.
ensembles_option = option(
    "--ensembles",
    type=PATH,
    metavar="FOLDER",
    section=RUNNING,
    help="Folder of ensembles that several runs share: each is sampled there once, and DIR has a "
    "link to it. Without it, they are in DIR.",
)
#: Options of commands that run a specification.
spec_options = options(spec_changes, where_options)


class RunOptions(TypedDict):
    """How and where a specification is run."""

    workers: int | None
    actors: int
    worker_cpus: float
    worker_gpus: float | None
    address: str | None


@command()
@spec_argument()
@out_option("DIR", "Folder of all results, with the report DIR/report.html.")
@option(
    "--statistics-only",
    is_flag=True,
    help="Compute the statistics alone, in seconds: no models with their entropy landscape, "
    "and no loss landscape, which take minutes. For a specification without a study.",
)
@option("--landscape/--no-landscape", default=True, hidden=True)  # its name before
@spec_options
@ensembles_option
@as_json
def run(
    spec: str,
    out: str,
    ensembles: str | None,
    statistics_only: bool,
    landscape: bool,
    count: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
    **where: Unpack[RunOptions],
) -> None:
    """Sample SPEC, compute its study, and write a report.

    Without a study in SPEC, that of the paper of its networks is computed.  Run the same command
    again to resume.
    """
    specification = load_specification(spec, count, overrides)
    from lsg_ray.pipeline import run

    result = run(
        specification,
        out,
        ensembles=ensembles,
        landscape=landscape and not statistics_only,
        log=line_logger(as_json),
        style=progress_style(as_json),
        **where,
    )
    lines = [f"{name}: {cell(values)}" for name, values in result["study"].items()]
    lines = [textwrap.shorten(line, MAX_LINE_CHARACTERS, placeholder=" ...") for line in lines]
    print_result(result, as_json, "\n".join([*lines, f"report: {result['report']}"]))
    if failed := result["failed"]:
        show(
            f"lsg: {len(failed)} of {len(result['study'])} steps failed: {', '.join(failed)}; "
            "what is finished is kept: run the same command again",
            err=True,
        )
        sys.exit(1)


@command()
@spec_argument()
@out_option("STORE", "Store of the ensemble: a path or URL (s3://, gs://).")
@spec_options
@as_json
def sample(
    spec: str,
    out: str,
    count: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
    **where: Unpack[RunOptions],
) -> None:
    """Sample the ensemble of SPEC into STORE, or resume it.

    Run the same command again to resume; with a larger --count the store grows.
    """
    refuse_overlap("--out", out, [spec])
    specification = load_specification(spec, count, overrides)
    from lsg_ray.cluster.sample import sample
    from lsg_ray.ensemble.reader import open_ensemble

    result = sample(specification, out, style=progress_style(as_json), **where)
    info = {**open_ensemble(out).info(), "sampled": result._asdict()}
    rate = result.rows / result.seconds if result.seconds else 0.0
    print_result(
        info,
        as_json,
        f"{out}: {info['rows']:,} of {info['count']:,} configurations, "
        f"{result.rows:,} sampled now ({rate:.2f}/s), acceptance {percent(info['acceptance'])}",
    )


@command()
@spec_argument()
@option(
    "--seconds",
    type=float,
    default=20.0,
    help="Seconds of calibration on this machine, of all ensembles together.",
)
@option(
    "--cores",
    default="16,256,4096",
    metavar="N,...",
    help="Numbers of cores to tell wall times for.",
)
@option("--price", type=float, help="Price of a core-hour in dollars.")
@option(
    "--study",
    is_flag=True,
    help="Estimate the steps of the study too, roughly: each is begun on a planted ensemble, and "
    "stopped when its share of --seconds, given once more, is over. Most are right within a factor "
    "of two, some of short steps far too low, where the code is compiled first.",
)
@spec_changes
@as_json
def estimate(
    spec: str,
    seconds: float,
    cores: str,
    price: float | None,
    study: bool,
    count: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Estimate trials, core-hours, store size, wall times and price of SPEC.

    Ensembles beside the first one are estimated each on its own, and printed as soon as known;
    they share the seconds.  So are the steps of the study, with --study.
    """
    specification = load_specification(spec, count, overrides)
    from lsg_ray.cluster.estimate import estimates
    from lsg_ray.spec.steps import SAMPLED
    from lsg_ray.stage import parse_list
    from lsg_ray.typing import ListOf

    try:
        numbers = [int(n) for n in parse_list(cores, ListOf(int))]
    except ValueError as error:
        raise InputError(f"--cores {cores} given; {error}") from None
    style = progress_style(as_json)
    plain: dict[str, JsonObject] = {}
    found = estimates(
        specification.ensembles, seconds=seconds, cores=numbers, price=price, style=style
    )
    for name, result in found:
        if not as_json:  # what is known is printed, and stays where the rest is interrupted
            between = "\n" if plain else ""
            title = f"{between}{name}.zarr\n" if specification.beside else ""
            show(title + estimate_text(result))
        plain[name] = result.to_dict()
    steps = study_estimate(specification, seconds, as_json) if study else {}
    if as_json:
        first = plain.pop(SAMPLED)
        print_result(first | ({"beside": plain} if plain else {}) | steps, as_json, "")


def study_estimate(spec: Spec, seconds: float, as_json: bool) -> JsonObject:
    """Estimate the steps of a study, and print each as it is known; return all for --json."""
    from lsg_ray.study_costs import study_costs

    steps: JsonObject = {}
    total, unknown = 0.0, []
    for cost in study_costs(spec, seconds=seconds, style=progress_style(as_json)):
        if not as_json:
            if not steps:
                show("\nseconds of the study, one core")
            known = cost.seconds == cost.seconds
            show(f"  {cost.name:20}  {f'{cost.seconds:,.3g}' if known else '':>8}  {cost.how}")
        steps[cost.name] = cost.to_dict()
        if cost.seconds != cost.seconds:
            unknown.append(cost.name)
        else:
            total += cost.seconds
    if not as_json:
        without = f"  without {', '.join(unknown)}" if unknown else ""
        show(f"  {'total':20}  {total:>8,.3g}{without}")
    return {"study": steps, "study_seconds": total, "study_unknown": unknown}


def estimate_text(result: Estimate) -> str:
    """Return an estimate for people: a line for each number, with its interval."""

    def between(value: Range, digits: str = ",.4g") -> str:
        return f"{value.value:{digits}} (95 %: {value.low:{digits}} to {value.high:{digits}})"

    rows = {
        "configurations": f"{result.configurations:,} in {result.blocks:,} blocks",
        "seconds a trial, one core": between(result.seconds_per_trial),
        "acceptance": between(result.acceptance),
        "trials": between(result.trials, ",.0f"),
        "core-hours": between(result.core_hours),
        "store": f"{result.store_bytes / 2**20:,.1f} MiB, "
        f"{result.store_bytes / result.configurations:,.0f} bytes a configuration",
        "requests to an object store": f"{result.store_writes:,} writes, "
        f"{result.store_reads:,} reads; ${result.store_dollars:,.2f}",
    }
    for wall in result.walls:
        dollars = ", ".join(f"${value:,.2f} {name}" for name, value in wall.dollars.items())
        idle = f", {wall.cores - wall.busy:,} idle" if wall.busy < wall.cores else ""
        rows[f"on {wall.cores:,} cores"] = f"{_duration(wall.seconds.value)}; {dollars}{idle}"
    speed = result.assumptions["gpu_speed_in_cores"]
    rows["on one GPU"] = (
        f"{_duration(3600 * result.gpu_hours)}; ${result.gpu_dollars:,.2f} "
        f"(assumed: as {speed:g} cores)"
    )
    if shortened := result.calibration["shortened"]:
        rows["calibrated by"] = f"{shortened}; acceptance as of a threshold of 0"
    lines = [table(rows)]
    if result.suggested_block_size < result.block_size:
        lines.append(
            f"For the largest number of cores: --set ensemble.block_size="
            f"{result.suggested_block_size}"
        )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    for size, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


@command()
@argument("folder", metavar="DIR", type=PATH, help="Folder of an lsg run.")
@formats_option
@as_json
def report(folder: str, formats: str, as_json: bool) -> None:
    """Write the report of DIR anew, from the results that are there.

    Statistics are computed again where their results are missing; models and landscapes are not.
    """
    from lsg_ray.pipeline import report

    page = report(folder, formats.split(","))
    print_result({"report": str(page)}, as_json, f"report: {page}")


def load_specification(path: str, count: int | None, overrides: tuple[str, ...]) -> Spec:
    """Read a specification and apply the overrides of the command line."""
    from lsg_ray.spec import load_spec

    return load_spec(path, [*overrides, *([] if count is None else [f"ensemble.count={count}"])])
