"""Commands that look into a store: info, verify, query."""

from __future__ import annotations

import sys
from typing import Any

import click

from lsg_ray.cli.output import as_json, print_result, print_rows, printable, style, table
from lsg_ray.cli.outputs import PLACE


@click.command()
@click.argument("store", type=PLACE)
@as_json
def info(store: str, as_json: bool) -> None:
    """Show what STORE holds (from its records alone, without reading the weights)."""
    from lsg_ray.ensemble.reader import open_ensemble

    found = open_ensemble(store).info()
    print_result(found, as_json, table(found))


@click.command()
@click.argument("store", type=PLACE)
@click.option("--repair", is_flag=True, help="Drop what is damaged, for a resume to refill.")
@as_json
def verify(store: str, repair: bool, as_json: bool) -> None:
    """Check every block of STORE against its record; exit 1 if something is found."""
    from lsg_ray.cluster.progress import late_progress
    from lsg_ray.ensemble.verify import verify

    with late_progress("blocks", style(as_json)) as on_block:
        report = verify(store, repair=repair, progress=on_block)
    lines = [
        f"{store}: {report.healthy:,} of {report.blocks:,} blocks whole, "
        f"{report.missing:,} missing, {report.rows:,} configurations",
        *(_finding(finding) for finding in report.findings),
    ]
    print_result(report.to_dict(), as_json, "\n".join(lines))
    if not report.ok:
        sys.exit(1)


def _finding(finding: Any) -> str:
    mark = "repaired" if finding.repaired else "note:" if finding.is_note else "FOUND"
    return printable(f"{mark} {finding.kind}: {finding.message}")


@click.command()
@click.argument("store", type=PLACE)
@click.option("--where", metavar="EXPRESSION", help="For example: accuracy > 0.81 and trial == 0")
@click.option(
    "--snapshot", type=click.IntRange(min=0), metavar="TIME",
    help="Columns snapshot_accuracy, ... and weights after that epoch or step of training.",
)  # fmt: skip
@click.option("--columns", metavar="A,B,...", help="Columns; default: all but weights and fields.")
@click.option("--sort", metavar="COLUMN", help="Sort by a column; -COLUMN for descending.")
@click.option("--limit", type=click.IntRange(min=1), help="Rows, at most.")
@click.option("--format", "style", type=click.Choice(["table", "csv", "json"]), default="table")
@as_json
def query(
    store: str, columns: str | None, snapshot: int | None, style: str, as_json: bool, **chosen: Any
) -> None:
    """List configurations of STORE that meet a condition."""
    from lsg_ray.ensemble.query import query
    from lsg_ray.ensemble.reader import open_ensemble

    names = None if columns is None else [name.strip() for name in columns.split(",")]
    found = open_ensemble(store)
    view = found if snapshot is None else found.snapshot(snapshot)
    rows = query(view, columns=names, **chosen)
    print_rows(rows, "object" if as_json else style)
