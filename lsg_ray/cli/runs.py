"""Commands that run a specification: run, sample, report."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import click

from lsg_ray.cli.output import (
    as_json,
    cell,
    options,
    percent,
    print_result,
    say,
    show,
    style,
    table,
)
from lsg_ray.cli.outputs import PLACE, refuse_overlap
from lsg_ray.errors import InputError

#: Characters of what is printed of a step; all is in the report, and in --json.
LONGEST_LINE = 200

#: Options that change a specification.
spec_changes = options(
    click.option("--count", type=click.IntRange(min=1), help="Override ensemble.count."),
    click.option(
        "--set", "overrides", multiple=True, metavar="A.B=C", help="Override a field; repeat."
    ),
)
#: Options of commands that run one.
spec_options = options(
    spec_changes,
    click.option("--workers", type=click.IntRange(min=0), help="Tasks at a time; 0: without Ray."),
    click.option("--address", metavar="ADDRESS", help="Ray cluster; default: RAY_ADDRESS."),
)


@click.command()
@click.argument("spec", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="DIR", help="Folder for all results.")
@click.option(
    "--landscape/--no-landscape", default=True, help="Also fit models and explore them (minutes)."
)
@spec_options
@as_json
def run(
    spec: str, out: str, landscape: bool, count: int | None, overrides: tuple[str, ...],
    as_json: bool, **where: Any,
) -> None:  # fmt: skip
    """Sample, verify, measure, fit and explore models, report: DIR/report.html."""
    specification = load_specification(spec, count, overrides)
    from lsg_ray.pipeline import run

    result = run(
        specification, out, landscape=landscape, log=say(as_json), style=style(as_json), **where
    )
    lines = [f"{name}: {cell(shown)}" for name, shown in result["study"].items()]
    told = [textwrap.shorten(line, LONGEST_LINE, placeholder=" ...") for line in lines]
    print_result(result, as_json, "\n".join([*told, f"report: {result['report']}"]))
    if failed := result["failed"]:
        show(f"lsg: {len(failed)} of {len(result['study'])} steps failed: {', '.join(failed)}; "
             "what is finished is kept: run the same command again", err=True)  # fmt: skip
        sys.exit(1)


@click.command()
@click.argument("spec", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="STORE", help="Store: a path or URL.")
@spec_options
@as_json
def sample(
    spec: str, out: str, count: int | None, overrides: tuple[str, ...], as_json: bool, **where: Any
) -> None:
    """Sample the ensemble of SPEC into STORE; run again to resume, or with more --count to grow."""
    refuse_overlap("--out", out, [spec])
    specification = load_specification(spec, count, overrides)
    from lsg_ray.cluster.sample import sample
    from lsg_ray.ensemble.reader import open_ensemble

    result = sample(specification, out, style=style(as_json), **where)
    info = {**open_ensemble(out).info(), "sampled": result._asdict()}
    rate = result.rows / result.seconds if result.seconds else 0.0
    print_result(
        info,
        as_json,
        f"{out}: {info['rows']:,} of {info['count']:,} configurations, "
        f"{result.rows:,} sampled now ({rate:.2f}/s), acceptance {percent(info['acceptance'])}",
    )


@click.command()
@click.argument("spec", type=PLACE)
@click.option("--seconds", type=float, default=20.0, show_default=True, help="Of calibration.")
@click.option("--cores", default="16,256,4096", show_default=True, metavar="N,...",
              help="Wall times for so many.")  # fmt: skip
@click.option("--price", type=float, help="Dollars for an hour of a core.")
@spec_changes
@as_json
def estimate(
    spec: str, seconds: float, cores: str, price: float | None, as_json: bool, **changes: Any
) -> None:
    """Say what SPEC will take: trials, core-hours, store size, wall times, price."""
    specification = load_specification(spec, **changes)
    from lsg_ray.cluster.estimate import estimate
    from lsg_ray.stage import parse_list
    from lsg_ray.typing import ListOf

    try:
        numbers = [int(n) for n in parse_list(cores, ListOf(int))]
    except ValueError as error:
        raise InputError(f"--cores {cores} given; {error}") from None
    found = estimate(
        specification, seconds=seconds, cores=numbers, price=price, style=style(as_json)
    )
    print_result(found.to_dict(), as_json, _estimate_text(found))


def _estimate_text(found: Any) -> str:
    def between(value: Any, digits: str = ",.4g") -> str:
        return f"{value.value:{digits}} ({value.low:{digits}} to {value.high:{digits}})"

    rows = {
        "configurations": f"{found.configurations:,} in {found.blocks:,} blocks",
        "seconds a trial, one core": between(found.seconds_per_trial),
        "acceptance": between(found.acceptance),
        "trials": between(found.trials),
        "core-hours": between(found.core_hours),
        "store": f"{found.store_bytes / 2**20:,.1f} MiB, "
        f"{found.store_bytes / found.configurations:,.0f} bytes a configuration",
        "requests to an object store": f"{found.store_writes:,} writes, "
        f"{found.store_reads:,} reads; ${found.store_dollars:,.2f}",
    }
    for wall in found.walls:
        dollars = ", ".join(f"${value:,.2f} {name}" for name, value in wall.dollars.items())
        idle = f", {wall.cores - wall.busy:,} idle" if wall.busy < wall.cores else ""
        rows[f"on {wall.cores:,} cores"] = f"{_duration(wall.seconds.value)}; {dollars}{idle}"
    speed = found.assumptions["gpu_speed_in_cores"]
    rows["on one GPU"] = (
        f"{_duration(3600 * found.gpu_hours)}; ${found.gpu_dollars:,.2f} "
        f"(assumed: as {speed:g} cores)"
    )
    lines = [table(rows)]
    if found.suggested_block_size < found.block_size:
        lines.append(
            f"For the largest number of cores: --set ensemble.block_size="
            f"{found.suggested_block_size}"
        )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    for size, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


@click.command()
@click.argument("folder", metavar="DIR", type=PLACE)
@as_json
def report(folder: str, as_json: bool) -> None:
    """Write the report of DIR, the folder of an `lsg run`, anew."""
    from lsg_ray.pipeline import report

    page = report(folder)
    print_result({"report": str(page)}, as_json, f"report: {page}")


def load_specification(path: str, count: int | None, overrides: tuple[str, ...]) -> Any:
    """Read a specification and apply the overrides of the command line."""
    from lsg_ray.spec import load_spec

    return load_spec(path, [*overrides, *([] if count is None else [f"ensemble.count={count}"])])
