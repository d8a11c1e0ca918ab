"""Commands about experiments, the figures of the papers: list, spec, run, report."""

from __future__ import annotations

import sys
from typing import Unpack

import click

from lsg_ray.cli.completion import experiments, names
from lsg_ray.cli.options import PATH, Command, argument, as_json, formats_option, option, out_option
from lsg_ray.cli.output import line_logger, print_result, progress_style, show
from lsg_ray.cli.runs import RunOptions, ensembles_option, where_options


@click.group()
def experiment() -> None:
    """Run the figures of the papers, and judge their claims."""


@experiment.command("list", cls=Command)
@as_json
def experiment_list(as_json: bool) -> None:
    """List the experiments: the figures, the number of claims, and minutes at laptop size."""
    from lsg_ray.experiments.catalogue import EXPERIMENTS

    known = {name: EXPERIMENTS[name] for name in EXPERIMENTS.names()}
    rows = [
        {
            "name": name,
            "paper": one.paper.name,
            "figure": one.figure,
            "title": one.title,
            "claims": len(one.claims),
            "laptop_minutes": one.minutes,
        }
        for name, one in known.items()
    ]
    width = max(len(str(row["name"])) for row in rows)
    lines = [
        f"{row['name']:{width}}  {row['paper']}, Fig. {row['figure']}: {row['title']} "
        f"({row['claims']} claims, {row['laptop_minutes']:g} min)"
        for row in rows
    ]
    print_result({"experiments": rows}, as_json, "\n".join(lines))


name_argument = argument(
    "name",
    metavar="NAME",
    shell_complete=names(experiments),
    help="Name of an experiment, as in lsg experiment list.",
)
scale_option = option(
    "--scale",
    type=click.Choice(["toy", "laptop", "paper"]),
    default="laptop",
    help="Size: toy takes seconds, laptop minutes, paper is as published.",
)


@experiment.command("spec", cls=Command)
@name_argument
@scale_option
@as_json
def experiment_spec(name: str, scale: str, as_json: bool) -> None:
    """Print the specification of NAME, such as for lsg estimate and lsg submit."""
    from lsg_ray.experiments.catalogue import EXPERIMENTS
    from lsg_ray.spec import as_yaml

    spec = EXPERIMENTS[name].at(scale)
    print_result(spec.tree(), as_json, as_yaml(spec).rstrip())


@experiment.command("run", cls=Command)
@name_argument
@out_option("DIR", "Folder of all results, with DIR/report.html and DIR/claims.json.")
@scale_option
@where_options
@ensembles_option
@as_json
def experiment_run(
    name: str,
    out: str,
    scale: str,
    ensembles: str | None,
    as_json: bool,
    **where: Unpack[RunOptions],
) -> None:
    """Run NAME: sample, compute its study, and judge its claims.

    Run the same command again to resume.
    """
    from lsg_ray.experiments.page import measured_text
    from lsg_ray.experiments.running import run_experiment

    result = run_experiment(
        name,
        out,
        scale=scale,
        ensembles=ensembles,
        log=line_logger(as_json),
        style=progress_style(as_json),
        **where,
    )
    lines = [
        f"{claim['verdict']}: {claim['statement']} {claim['quantity']} = {measured_text(claim)}, "
        f"{claim['criterion']}"
        for claim in result["claims"]
    ]
    print_result(result, as_json, "\n".join([*lines, f"report: {result['report']}"]))
    if failed := result["failed"]:
        show(f"lsg: {len(failed)} steps failed: {', '.join(failed)}", err=True)
        sys.exit(1)


@experiment.command("report", cls=Command)
@argument(
    "folders",
    metavar="DIR...",
    nargs=-1,
    required=True,
    type=PATH,
    help="Folders of lsg experiment run.",
)
@out_option("PAGE", "Page to write, .html; an earlier one is replaced.")
@formats_option
@as_json
def experiment_report(folders: tuple[str, ...], out: str, formats: str, as_json: bool) -> None:
    """Write one page of experiments that were run: findings and claims first, then all figures."""
    from lsg_ray.experiments.page import experiments_page

    page = experiments_page(folders, out, formats=formats.split(","))
    print_result({"page": str(page)}, as_json, f"page: {page}")
