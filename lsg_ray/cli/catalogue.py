"""Commands about data sets and specifications: data, spec."""

from __future__ import annotations

import json

import click

from lsg_ray.cli.options import Command, argument, as_json, spec_argument
from lsg_ray.cli.output import print_result, progress_style
from lsg_ray.cli.runs import load_specification, spec_changes


@click.group()
def data() -> None:
    """List data sets, and download them."""


@data.command("list", cls=Command)
@as_json
def data_list(as_json: bool) -> None:
    """List the data sets, and where they are stored."""
    from lsg_ray.datasets import dataset_status

    rows = dataset_status()
    lines = "\n".join(
        f"{row.name:16} {'options: ' + ', '.join(row.options)}"
        if row.options
        else f"{row.name:16} {row.n_train:>6} + {row.n_test:<6} {row.place:13} {row.folder or ''}"
        for row in rows
    )
    print_result({"datasets": [row._asdict() for row in rows]}, as_json, lines)


@data.command("fetch", cls=Command)
@argument("name", help="Name of a data set: see lsg data list.")
@as_json
def data_fetch(name: str, as_json: bool) -> None:
    """Download a data set once, and check it; or note where a FILE of your own is."""
    from lsg_ray.cluster.progress import byte_progress
    from lsg_ray.datasets import fetch

    with byte_progress(progress_style(as_json)) as on_bytes:
        folder = fetch(name, on_bytes)
    print_result({"name": name, "folder": str(folder)}, as_json, f"{name}: {folder}")


@click.group()
def spec() -> None:
    """Show a specification with its defaults, or the schema of all."""


@spec.command("schema", cls=Command)
@as_json
def spec_schema(as_json: bool) -> None:
    """Print the JSON schema of specifications: all fields, types and defaults."""
    from lsg_ray.spec import Spec

    schema = Spec.model_json_schema()
    print_result(schema, as_json, json.dumps(schema, indent=2))


@spec.command("show", cls=Command)
@spec_argument()
@spec_changes
@as_json
def spec_show(spec: str, count: int | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print SPEC with all defaults filled in, and its hash."""
    from lsg_ray.spec import as_yaml

    resolved = load_specification(spec, count, overrides)
    text = as_yaml(resolved) + f"# spec hash: {resolved.hash}"
    print_result({"spec": resolved.tree(), "hash": resolved.hash}, as_json, text)
