"""Commands about data sets and specifications: data, spec."""

from __future__ import annotations

import json
from typing import Any

import click

from lsg_ray.cli.output import as_json, plain, print_result, style
from lsg_ray.cli.outputs import PLACE
from lsg_ray.cli.runs import load_specification, spec_changes


@click.group()
def data() -> None:
    """List and fetch data sets."""


@data.command("list")
@as_json
def data_list(as_json: bool) -> None:
    """Show which data sets are here, and where."""
    from lsg_ray.datasets import dataset_status

    rows = [plain(status._asdict()) for status in dataset_status()]
    lines = "\n".join(
        f"{row['name']:16} {'options: ' + ', '.join(row['options'])}"
        if row["options"]
        else f"{row['name']:16} {row['n_train']:>6} + {row['n_test']:<6} {row['place']:13} "
        f"{row['folder'] or ''}"
        for row in rows
    )
    print_result({"datasets": rows}, as_json, lines)


@data.command("fetch")
@click.argument("name")
@as_json
def data_fetch(name: str, as_json: bool) -> None:
    """Fetch and check a data set, once; or note where a FILE of your own is."""
    from lsg_ray.cluster.progress import byte_progress
    from lsg_ray.datasets import fetch

    with byte_progress(style(as_json)) as on_bytes:
        folder = fetch(name, on_bytes)
    print_result({"name": name, "folder": str(folder)}, as_json, f"{name}: {folder}")


@click.group()
def spec() -> None:
    """Show the schema of specifications, or one specification resolved."""


@spec.command("schema")
@as_json
def spec_schema(as_json: bool) -> None:
    """Print the JSON schema of specifications."""
    from lsg_ray.spec import Spec

    schema = Spec.model_json_schema()
    print_result(schema, as_json, json.dumps(schema, indent=2))


@spec.command("show")
@click.argument("spec", type=PLACE)
@spec_changes
@as_json
def spec_show(spec: str, as_json: bool, **changes: Any) -> None:
    """Print SPEC with all defaults filled in, and its hash."""
    from lsg_ray.spec import as_yaml

    resolved = load_specification(spec, **changes)
    tree = resolved.tree()
    text = as_yaml(resolved) + f"# spec hash: {resolved.hash}"
    print_result({"spec": tree, "hash": resolved.hash}, as_json, text)
