"""Commands that take weights in and everything out: import, export."""

from __future__ import annotations

from typing import Any

import click

from lsg_ray.cli.output import as_json, overwrite, print_result, say, style, table
from lsg_ray.cli.outputs import PLACE, check_outputs, file_at, result_at, store_at
from lsg_ray.errors import InputError

#: Sections of a specification that may be set.
SECTIONS = ("network", "dataset")


@click.command("import")
@click.argument("source", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="STORE", help="Store: a path or URL.")
@click.option("--network", metavar="20-15-15-10", help="Widths from input to output.")
@click.option("--family", help="Family of networks; default: binary or relu, by the weights.")
@click.option("--dataset", metavar="NAME", help="Data set for accuracy and loss.")
@click.option("--spec", type=PLACE, help="Specification with network and dataset, in their place.")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C",
              help="Set a field of network or dataset; repeat.")  # fmt: skip
@click.option(
    "--layout", type=click.Choice(["out-in", "in-out", "parameters"]),
    help="How matrices lie; default: what the shapes say, or else out-in.",
)  # fmt: skip
@as_json
def import_weights(
    source: str, out: str, network: str | None, family: str | None, dataset: str | None,
    spec: str | None, overrides: tuple[str, ...], layout: Any, as_json: bool,
) -> None:  # fmt: skip
    """Write the weights of SOURCE as a store; run again to go on.

    SOURCE: .npy, .npz or .csv of configurations (M, N), ±1, 0 and 1, or real; .pt or .safetensors
    of state dicts; a folder of these, a file for each network; or .bqm, a model.
    """
    from lsg_ray.paths import ending

    if ending(source) == ".bqm":
        _import_model(source, out, as_json)
        return
    check_outputs([store_at(out)], [source, spec])
    tree = _sections(network, family, dataset, spec, overrides)
    from lsg_ray.cluster.progress import late_progress
    from lsg_ray.exchange.importing import import_weights

    with late_progress("configurations", style(as_json)) as progress:
        imported = import_weights(
            source, out, network=tree["network"] or None, dataset=tree["dataset"] or None,
            layout=layout, progress=progress,
        )  # fmt: skip
    for line in imported.notes:
        say(as_json, "")(line)
    info = {**imported.ensemble.info(), "notes": list(imported.notes)}
    accuracy = info["accuracy"]
    accuracies = f", accuracy {accuracy['min']:.4f} to {accuracy['max']:.4f}" if accuracy else ""
    print_result(
        info, as_json,
        f"{out}: {info['rows']:,} configurations of {info['n_weights']:,} weights{accuracies}",
    )  # fmt: skip


def _import_model(source: str, out: str, as_json: bool) -> None:
    from lsg_ray.exchange.graphs import read_bqm
    from lsg_ray.results.saving import MODEL

    check_outputs([result_at(out, MODEL)], [source])
    from pathlib import Path

    model = read_bqm(Path(source))
    model.save(out)
    print_result({"out": out, "spins": model.n_spins}, as_json, f"{out}: {model.n_spins:,} spins")


def _sections(
    network: str | None, family: str | None, dataset: str | None, spec: str | None,
    overrides: tuple[str, ...],
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Return what is said of network and data set, as sections of a specification."""
    from lsg_ray.spec import load_spec, override

    tree: dict[str, Any] = {name: {} for name in SECTIONS}
    if spec is not None:
        whole = load_spec(spec).tree()
        tree = {name: whole[name] for name in SECTIONS}
    if network is not None:
        parts = network.split("-")
        if not all(part.isdecimal() and len(part) < 10 for part in parts):
            raise InputError(f"--network {network} given; widths such as 20-15-15-10 are needed")
        tree["network"]["widths"] = [int(part) for part in parts]
    if family is not None:
        tree["network"]["family"] = family
    if dataset is not None:
        tree["dataset"]["name"] = dataset
    sections: dict[str, Any] = override(tree, overrides)
    unknown = set(sections) - set(SECTIONS)
    if unknown or not all(isinstance(sections[name], dict) for name in SECTIONS):
        raise InputError("--set: fields of network and dataset can be set, such as "
                         "network.leaky_slope=0.1")  # fmt: skip
    return sections


@click.command()
@click.argument("source", metavar="STORE|RESULT", type=PLACE)
@click.option("--to", type=PLACE, required=True, metavar="FILE", help="Its suffix is the format.")
@click.option("--where", metavar="EXPRESSION", help="Only configurations of STORE that meet it.")
@click.option("--columns", metavar="A,B,...", help="Columns or variables; default: all that fit.")
@click.option("--limit", type=click.IntRange(min=1), help="Configurations, at most.")
@click.option("--cutoff", type=click.FloatRange(min=0), default=0.0, show_default=True,
              help="Of models: couplings up to this size are left out.")  # fmt: skip
@overwrite
@as_json
def export(
    source: str, to: str, columns: str | None, overwrite: bool, as_json: bool, **chosen: Any
) -> None:
    """Write a store, a result or a model to a file for other programs.

    .npz, .npy, .csv, .parquet, .nc, .mtx; of networks .safetensors and .pt, whose state dicts load
    into torch.nn.Sequential; of models .graphml and .bqm.
    """
    check_outputs([file_at(to)], [source], overwrite)
    from lsg_ray.cluster.progress import late_progress
    from lsg_ray.exchange.exporting import export

    names = None if columns is None else [name.strip() for name in columns.split(",")]
    with late_progress("configurations", style(as_json)) as progress:
        exported = export(
            source, to, columns=names, overwrite=overwrite, progress=progress, **chosen
        )
    summary = {name: value for name, value in exported._asdict().items() if value is not None}
    print_result(summary, as_json, table(summary))
