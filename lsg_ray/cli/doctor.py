"""The command that examines this machine, and the versions of what matters."""

from __future__ import annotations

import sys
import textwrap

import click

from lsg_ray.cli.options import as_json as json_option
from lsg_ray.cli.options import command, option
from lsg_ray.cli.output import print_result, show

#: Width of the lines of text; what is longer goes on below.
LINE_CHARACTERS = 100


@command()
@option(
    "--ray",
    is_flag=True,
    help="Start a private Ray, have it run a task, and stop it: some seconds, a minute at most.",
)
@option(
    "--measure",
    is_flag=True,
    help="Measure the speed of training, of products of matrices and of the disk: some seconds.",
)
@json_option
def doctor(ray: bool, measure: bool, as_json: bool) -> None:
    """Examine this machine: what is there, what is missing, and what to do about it.

    Each line is ok, absent (not needed), a warning (works, but slower or in part) or a problem;
    with a problem the exit code is 1.  Nothing is changed or downloaded, and values of the
    environment that may be secrets are not shown.
    """
    from lsg_ray.doctor import examine
    from lsg_ray.doctor.installation import versions

    checks = []
    for check in examine(ray=ray, measure=measure):
        checks.append(check)
        if not as_json:
            show(_text(check.name, check.state, check.seen, check.remedy))
    counts = {state: sum(c.state == state for c in checks) for state in ("problem", "warning")}
    result = {"versions": versions(), "checks": [c._asdict() for c in checks], **counts}
    total = ", ".join(f"{count} {state}{'s' * (count != 1)}" for state, count in counts.items())
    print_result(result, as_json, total)
    if counts["problem"]:
        sys.exit(1)


def _text(name: str, state: str, seen: str, remedy: str) -> str:
    lines = [f"{state:8} {name}: {seen}"]
    if remedy:
        lines.append(f"-> {remedy}")
    wrapped = (
        textwrap.wrap(
            line,
            LINE_CHARACTERS,
            initial_indent="" if number == 0 else " " * 9,
            subsequent_indent=" " * 11,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for number, line in enumerate(lines)
    )
    return "\n".join(line for each in wrapped for line in each)


def print_versions(ctx: click.Context, _parameter: click.Parameter, given: bool) -> None:
    """Print the versions of what matters on one line, from metadata alone."""
    if not given or ctx.resilient_parsing:
        return
    from lsg_ray.doctor.installation import versions

    show(", ".join(f"{name} {version or 'missing'}" for name, version in versions().items()))
    ctx.exit()
