"""Commands about data sets and specifications: data, spec."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from lsg_ray.cli.completion import data_sets, names
from lsg_ray.cli.options import PATH, Command, argument, as_json, option, spec_argument
from lsg_ray.cli.output import print_result, progress_style, table
from lsg_ray.cli.runs import load_specification, spec_changes
from lsg_ray.errors import InputError, meant

if TYPE_CHECKING:
    from lsg_ray.datasets import FileSummary


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
@argument(
    "name",
    metavar="NAME|FILE",
    shell_complete=names(data_sets, or_files=True),
    help="Name of a data set (lsg data list), or a file or folder of your own.",
)
@option("--label", metavar="COLUMN", help="Column of labels of a CSV or Parquet FILE.")
@option("--label-path", type=PATH, metavar="FILE", help="Labels of an .npy of inputs.")
@option("--test-path", type=PATH, metavar="FILE", help="Second CSV or Parquet file, for testing.")
@as_json
def data_fetch(
    name: str, label: str | None, label_path: str | None, test_path: str | None, as_json: bool
) -> None:
    """Download a data set once, and check it; or read a FILE of your own.

    Stores know a FILE by its contents: its path is recorded, and found for them.
    """
    from lsg_ray.registry import DATA_SETS

    if name in DATA_SETS:
        if label or label_path or test_path:
            raise InputError(f"{name}: a data set by name; options of a FILE do not fit it")
        _fetch(name, as_json)
        return
    from lsg_ray.paths import expanded

    if "://" not in name and not os.path.lexists(expanded(name)):
        known = DATA_SETS.names()
        raise InputError(
            f"{name}: no such file, and no data set; there are {', '.join(known)}"
            f"{meant(name, known)}"
        )
    from lsg_ray.datasets import record_file

    summary = record_file(name, label=label, label_path=label_path, test_path=test_path)
    print_result({"name": name, **summary._asdict()}, as_json, _as_lines(name, summary))


def _fetch(name: str, as_json: bool) -> None:
    from lsg_ray.cluster.progress import byte_progress
    from lsg_ray.datasets import fetch
    from lsg_ray.registry import DATA_SETS

    with byte_progress(progress_style(as_json)) as on_bytes:
        folder = fetch(name, on_bytes)
    sizes = DATA_SETS[name].sizes({})
    about = {
        "folder": str(folder),
        "examples": sizes.n_train,
        "test_examples": sizes.n_test,
        "shape": sizes.shape,
        "classes": sizes.n_classes,
    }
    shown = {**about, "shape": "x".join(map(str, sizes.shape))}
    print_result({"name": name, **about}, as_json, f"{name}\n{table(shown)}")


def _as_lines(name: str, summary: FileSummary) -> str:
    """Return what a file holds as text."""
    shown: dict[str, object] = {"folder": str(summary.folder)}
    if summary.shape is not None:
        shown |= {
            "examples": summary.examples,
            "test_examples": summary.test_examples,
            "shape": "x".join(map(str, summary.shape)),
            "constant_inputs": summary.constant_inputs or None,
            "classes": summary.classes,
        }
    counts = summary.counts or {}
    if counts:
        more = ", …" if (summary.classes or 0) > len(counts) else ""
        shown["by label"] = ", ".join(f"{name}: {count:,}" for name, count in counts.items()) + more
    if summary.mapped:
        shown["mapped"] = ", ".join(f"{name} → {number}" for number, name in enumerate(counts))
    shown |= {"sha256": summary.sha256, "to use it": summary.missing or None}
    return f"{name}\n{table({key: value for key, value in shown.items() if value is not None})}"


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
