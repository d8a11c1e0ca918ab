"""The `lsg` command.

Every command takes ``--json`` (one JSON document on standard output, nothing else there) and exits
with 0 when done, 1 when it failed, 2 on bad usage or bad input.  Heavy modules load inside the
commands, so that ``lsg --help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from lsg_ray import __version__
from lsg_ray.errors import LsgError

INTERRUPTED = 130

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object; be quiet.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace an earlier result.")


def spec_options(command: Callable) -> Callable:
    """Options of commands that run a specification."""
    for option in (
        click.option("--address", metavar="ADDRESS", help="Ray cluster; default: RAY_ADDRESS."),
        click.option(
            "--workers", type=click.IntRange(min=0), help="Tasks at a time; 0: without Ray."
        ),
        click.option(
            "--set", "overrides", multiple=True, metavar="A.B=C", help="Override a field; repeat."
        ),
        click.option("--count", type=click.IntRange(min=1), help="Override ensemble.count."),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lsg")
def cli() -> None:
    """Sample ensembles of neural-network weights and measure their geometry.

    \b
    Start:   lsg run jobs/specs/quickstart.yaml --out quickstart
    Sample:  lsg sample SPEC --out STORE      (run again to resume)
    Look:    lsg info | verify | query STORE
    Measure: lsg moments STORE --out MOMENTS
    """


@cli.command()
@click.argument("spec")
@click.option("--out", required=True, metavar="DIR", help="Folder for all results.")
@spec_options
@as_json
def run(spec: str, out: str, as_json: bool, **options: Any) -> None:
    """Sample, verify, measure and report: DIR/report.html."""
    specification = _load(spec, options)
    from lsg_ray.pipeline import run

    result = run(specification, out, say=_say(as_json), **_where_to_run(options, as_json))
    _print(result, as_json, f"report: {result['report']}")


@cli.command()
@click.argument("spec")
@click.option("--out", required=True, metavar="STORE", help="Store: a path or URL.")
@spec_options
@as_json
def sample(spec: str, out: str, as_json: bool, **options: Any) -> None:
    """Sample the ensemble of SPEC into STORE; run again to resume, or with more --count to grow."""
    specification = _load(spec, options)
    from lsg_ray.cluster.sample import sample
    from lsg_ray.ensemble.reader import open_ensemble

    result = sample(specification, out, **_where_to_run(options, as_json))
    info = {**open_ensemble(out).info(), "sampled": result._asdict()}
    rate = result.rows / result.seconds if result.seconds else 0.0
    _print(
        info,
        as_json,
        f"{out}: {info['rows']:,} of {info['count']:,} configurations, "
        f"{result.rows:,} sampled now ({rate:.2f}/s), acceptance {_percent(info['acceptance'])}",
    )


@cli.command()
@click.argument("store")
@as_json
def info(store: str, as_json: bool) -> None:
    """Show what STORE holds (from its records alone, without reading the weights)."""
    from lsg_ray.ensemble.reader import open_ensemble

    found = open_ensemble(store).info()
    _print(found, as_json, _table(found))


@cli.command()
@click.argument("store")
@click.option("--repair", is_flag=True, help="Drop what is damaged, so that a resume refills it.")
@as_json
def verify(store: str, repair: bool, as_json: bool) -> None:
    """Check every block of STORE against its record; exit 1 if something is found."""
    from lsg_ray.cluster.progress import late_progress
    from lsg_ray.ensemble.verify import verify

    with late_progress("blocks", "quiet" if as_json else "auto") as on_block:
        report = verify(store, repair=repair, progress=on_block)
    lines = [
        f"{store}: {report.healthy:,} of {report.blocks:,} blocks whole, "
        f"{report.missing:,} missing, {report.rows:,} configurations",
        *(_finding(finding) for finding in report.findings),
    ]
    _print(report.to_dict(), as_json, "\n".join(lines))
    if not report.ok:
        sys.exit(1)


def _finding(finding: Any) -> str:
    return f"{'repaired' if finding.repaired else 'FOUND'} {finding.kind}: {finding.message}"


@cli.command()
@click.argument("store")
@click.option("--where", metavar="EXPRESSION", help="For example: accuracy > 0.81 and trial == 0")
@click.option("--columns", metavar="A,B,...", help="Columns; default: all but weights and fields.")
@click.option("--sort", metavar="COLUMN", help="Sort by a column; -COLUMN for descending.")
@click.option("--limit", type=click.IntRange(min=1), help="Rows, at most.")
@click.option(
    "--format", "style", type=click.Choice(["table", "csv", "json"]), default="table"
)  # fmt: skip
@as_json
def query(
    store: str,
    where: str | None,
    columns: str | None,
    sort: str | None,
    limit: int | None,
    style: str,
    as_json: bool,
) -> None:
    """List configurations of STORE that meet a condition."""
    from lsg_ray.ensemble.query import query
    from lsg_ray.ensemble.reader import open_ensemble

    names = [name.strip() for name in columns.split(",")] if columns is not None else None
    options = {} if names is None else {"columns": names}
    table = query(open_ensemble(store), where, limit=limit, sort=sort, **options)
    _print_rows(table, "object" if as_json else style)


@cli.command()
@click.argument("store")
@click.option("--out", required=True, metavar="MOMENTS", help="Zarr to write.")
@click.option("--part", help="LB, ITR, RB, or a layer number from 0; default: all weights.")
@click.option("--where", metavar="EXPRESSION", help="Only configurations that meet a condition.")
@overwrite
@as_json
def moments(
    store: str, out: str, part: str | None, where: str | None, overwrite: bool, as_json: bool
) -> None:
    """Write m and C of STORE, with standard errors, as Zarr."""
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.statistics.moments import moments
    from lsg_ray.statistics.results import check_target, save_result

    check_target(out, overwrite)
    view = open_ensemble(store)
    view = view.where(where) if where is not None else view
    if part is not None:
        view = view.part(int(part) if part.isdecimal() else part)
    result = moments(view)
    save_result(result, out, overwrite=overwrite)
    m = result["m"].values
    summary = {
        "out": out,
        "n_weights": int(m.size),
        "count": int(result.attrs["count"]),
        "complete": view.complete,
        "frozen": int((abs(m) == 1).sum()),
        "mean_abs_m": float(abs(m).mean()),
    }
    _print(summary, as_json, _table(summary))


@cli.command()
@click.argument("folder", metavar="DIR")
@as_json
def report(folder: str, as_json: bool) -> None:
    """Write the report of DIR, the folder of an `lsg run`, anew."""
    from lsg_ray.pipeline import report

    page = report(folder)
    _print({"report": str(page)}, as_json, f"report: {page}")


@cli.group()
def data() -> None:
    """List and fetch data sets."""


@data.command("list")
@as_json
def data_list(as_json: bool) -> None:
    """Show which data sets are here, and where."""
    from lsg_ray.datasets import dataset_status

    rows = [_plain(status._asdict()) for status in dataset_status()]
    lines = "\n".join(
        f"{row['name']:14} {row['n_train']:>6} + {row['n_test']:<6} {row['place']:13} "
        f"{row['folder'] or ''}"
        for row in rows
    )
    _print({"datasets": rows}, as_json, lines)


@data.command("fetch")
@click.argument("name")
@as_json
def data_fetch(name: str, as_json: bool) -> None:
    """Fetch and check a data set, once."""
    from lsg_ray.cluster.progress import byte_progress
    from lsg_ray.datasets import fetch

    with byte_progress("quiet" if as_json else "auto") as on_bytes:
        folder = fetch(name, on_bytes)
    _print({"name": name, "folder": str(folder)}, as_json, f"{name}: {folder}")


@cli.group()
def spec() -> None:
    """Show the schema of specifications, or one specification resolved."""


@spec.command("schema")
@as_json
def spec_schema(as_json: bool) -> None:
    """Print the JSON schema of specifications."""
    from lsg_ray.spec import Spec

    schema = Spec.model_json_schema()
    _print(schema, as_json, json.dumps(schema, indent=2))


@spec.command("show")
@click.argument("spec")
@click.option(
    "--set", "overrides", multiple=True, metavar="A.B=C", help="Override a field; repeat."
)
@click.option("--count", type=click.IntRange(min=1), help="Override ensemble.count.")
@as_json
def spec_show(spec: str, as_json: bool, **options: Any) -> None:
    """Print SPEC with all defaults filled in, and its hash."""
    import yaml

    resolved = _load(spec, options)
    tree = resolved.model_dump(mode="json")
    text = yaml.safe_dump(tree, sort_keys=False) + f"# spec hash: {resolved.hash}"
    _print({"spec": tree, "hash": resolved.hash}, as_json, text)


def _load(path: str, options: dict[str, Any]) -> Any:
    from lsg_ray.spec import load_spec

    overrides = list(options["overrides"])
    if options["count"] is not None:
        overrides.append(f"ensemble.count={options['count']}")
    return load_spec(path, overrides)


def _where_to_run(options: dict[str, Any], as_json: bool) -> dict[str, Any]:
    return {
        "address": options["address"],
        "workers": options["workers"],
        "style": "quiet" if as_json else "auto",
    }


def _say(as_json: bool) -> Callable[[str], None]:
    return (lambda _: None) if as_json else (lambda line: click.echo(f"{line} ...", err=True))


def _print(result: dict[str, Any], as_json: bool, text: str) -> None:
    click.echo(json.dumps(_plain(result)) if as_json else text)


def _plain(value: Any) -> Any:
    """Turn NumPy values, paths and tuples into what JSON knows; NaN becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


def _percent(fraction: float | None) -> str:
    return "unknown" if fraction is None else f"{fraction:.1%}"


def _table(values: dict[str, Any]) -> str:
    width = max(len(key) for key in values)
    return "\n".join(f"{key:{width}}  {_cell(value)}" for key, value in values.items())


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _print_rows(table: dict[str, Any], style: str) -> None:
    names = list(table)
    rows = [
        dict(zip(names, map(_plain, row), strict=True)) for row in zip(*table.values(), strict=True)
    ]
    if style == "json":
        click.echo(json.dumps(rows))
    elif style == "object":
        click.echo(json.dumps({"count": len(rows), "rows": rows}))
    elif style == "csv":
        import csv
        import io

        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        click.echo(text.getvalue(), nl=False)
    else:
        cells = [[_cell(row[name]) for name in names] for row in rows]
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        for line in [names, *cells]:
            click.echo(
                "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad usage or input, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        cli.main(args=arguments, standalone_mode=False, prog_name="lsg")
        sys.exit(0)
    except click.ClickException as error:
        error.show()
        _fail(words, error.format_message(), error.exit_code)
    except LsgError as error:
        _fail(words, str(error), error.exit_code, echo=True)
    except (KeyboardInterrupt, click.Abort):
        _fail(words, "interrupted; run the same command again to resume", INTERRUPTED, echo=True)
    except BrokenPipeError:
        _close_output()
        sys.exit(1)
    except OSError as error:
        message = f"{error.filename or 'output'}: {error.strerror or error}"
        _fail(words, message, 1, echo=True)
    except MemoryError as error:
        _fail(words, f"out of memory: {error}", 1, echo=True)


def _fail(words: list[str], message: str, code: int, echo: bool = False) -> None:
    if echo:
        click.echo(f"lsg: {message}", err=True)
    if "--json" in words:
        try:
            click.echo(json.dumps({"error": message, "exit_code": code}))
        except OSError:
            _close_output()
    sys.exit(code)


def _close_output() -> None:
    """Send what is still to be printed nowhere, so that Python has nothing to flush at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
