"""Commands that look into a store: info, verify, query."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from lsg_ray.cli.options import OUTPUT, SELECTION, as_json, command, option, store_argument
from lsg_ray.cli.output import print_result, print_rows, printable, progress_style, table

if TYPE_CHECKING:
    from lsg_ray.ensemble.verify import Finding


@command()
@store_argument
@as_json
def info(store: str, as_json: bool) -> None:
    """Show what STORE holds, without reading the weights."""
    from lsg_ray.ensemble.reader import open_ensemble

    values = open_ensemble(store).info()
    print_result(values, as_json, table(values))


@command()
@store_argument
@option(
    "--repair",
    is_flag=True,
    help="Remove damaged blocks; run lsg sample again to sample them anew, or lsg import where "
    "weights were imported.",
)
@as_json
def verify(store: str, repair: bool, as_json: bool) -> None:
    """Check every block of STORE against its record; exit with 1 if one is damaged."""
    from lsg_ray.cluster.progress import progress_bar
    from lsg_ray.ensemble.verify import verify

    with progress_bar("blocks", progress_style(as_json)) as on_block:
        report = verify(store, repair=repair, progress=on_block)
    lines = [
        f"{store}: {report.healthy:,} of {report.blocks:,} blocks whole, "
        f"{report.missing:,} missing, {report.rows:,} configurations",
        *(_finding(finding) for finding in report.findings),
    ]
    print_result(report.to_dict(), as_json, "\n".join(lines))
    if not report.ok:
        sys.exit(1)


def _finding(finding: Finding) -> str:
    mark = "repaired" if finding.repaired else "note:" if finding.is_note else "FOUND"
    return printable(f"{mark} {finding.kind}: {finding.message}")


@command()
@store_argument
@option(
    "--where",
    metavar="EXPRESSION",
    section=SELECTION,
    help='Condition on the columns, for example "accuracy > 0.81 and trial == 0".',
)
@option(
    "--snapshot",
    type=click.IntRange(min=0),
    metavar="TIME",
    section=SELECTION,
    help="Epoch or step of training: columns snapshot_accuracy, ... and weights of that time.",
)
@option(
    "--columns", metavar="A,B,...", help="Columns to list; without it, all but weights and fields."
)
@option("--sort", metavar="COLUMN", help="Column to sort by; -COLUMN for descending order.")
@option("--limit", type=click.IntRange(min=1), help="Largest number of rows.")
@option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    section=OUTPUT,
    help="Form of the list.",
)
@as_json
def query(
    store: str,
    columns: str | None,
    snapshot: int | None,
    style: str,
    where: str | None,
    sort: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List the configurations of STORE that meet a condition."""
    from lsg_ray.ensemble.query import query
    from lsg_ray.ensemble.reader import open_ensemble

    names = None if columns is None else [name.strip() for name in columns.split(",")]
    ensemble = open_ensemble(store)
    view = ensemble if snapshot is None else ensemble.snapshot(snapshot)
    rows = query(view, columns=names, where=where, sort=sort, limit=limit)
    print_rows(rows, "object" if as_json else style)
