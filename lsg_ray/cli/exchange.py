"""Commands that take weights in and everything out: import, export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from lsg_ray.cli.options import (
    OUTPUT,
    PATH,
    SELECTION,
    argument,
    as_json,
    command,
    option,
    out_option,
    overwrite,
)
from lsg_ray.cli.output import line_logger, print_result, progress_style, table
from lsg_ray.cli.outputs import check_outputs, file_at, result_at, store_at
from lsg_ray.errors import InputError

if TYPE_CHECKING:
    from lsg_ray.exchange.importing import Layout


class Chosen(TypedDict):
    """What is exported of a store or of a model."""

    where: str | None
    limit: int | None
    cutoff: float


#: Sections of a specification that may be set.
SET_SECTIONS = ("network", "dataset")


@command("import")
@argument(
    "source",
    type=PATH,
    help="Weights: FILE.npy, FILE.npz, FILE.csv or FILE.parquet of configurations (M, N), ±1, 0 "
    "and 1, or real; FILE.pt or FILE.safetensors of state dicts; a folder of these, one file per "
    "network; or FILE.bqm, a model.",
)
@out_option("STORE", "Store to write: a path or URL.")
@option("--network", metavar="20-15-15-10", help="Widths of the layers, from input to output.")
@option("--family", help="Family of networks; without it, binary or relu, by the weights.")
@option("--dataset", metavar="NAME", help="Data set on which accuracy and loss are computed.")
@option(
    "--spec",
    type=PATH,
    metavar="SPEC",
    help="Specification of network and data set, in place of these options.",
)
@option(
    "--set",
    "overrides",
    multiple=True,
    metavar="A.B=C",
    help="Field of network or dataset to set, such as network.leaky_slope=0.1.",
)
@option(
    "--layout",
    type=click.Choice(["out-in", "in-out", "parameters"]),
    help="Layout of weight matrices; without it, what their shapes say, or else out-in.",
)
@as_json
def import_weights(
    source: str,
    out: str,
    network: str | None,
    family: str | None,
    dataset: str | None,
    spec: str | None,
    overrides: tuple[str, ...],
    layout: Layout | None,
    as_json: bool,
) -> None:
    """Write weights from files of other programs as a store.

    An interrupted import is resumed by the same command.
    """
    from lsg_ray.paths import ending

    if ending(source) == ".bqm":
        if any((network, family, dataset, spec, overrides, layout)):
            raise InputError(f"{source}: a model; options of networks and data sets do not fit it")
        _import_model(source, out, as_json)
        return
    check_outputs([store_at(out)], [source, spec])
    tree = _sections(network, family, dataset, spec, overrides)
    from lsg_ray.cluster.progress import progress_bar
    from lsg_ray.exchange.importing import write_ensemble

    notes: list[str] = []
    with progress_bar("rows read, each twice", progress_style(as_json)) as progress:
        ensemble = write_ensemble(
            source,
            out,
            network=tree["network"] or None,
            dataset=tree["dataset"] or None,
            layout=layout,
            progress=progress,
            log=notes.append,
        )
    for line in notes:
        line_logger(as_json, "")(line)
    info = {**ensemble.info(), "notes": notes}
    accuracy = info["accuracy"]
    accuracies = f", accuracy {accuracy['min']:.4f} to {accuracy['max']:.4f}" if accuracy else ""
    print_result(
        info,
        as_json,
        f"{out}: {info['rows']:,} configurations of {info['n_weights']:,} weights{accuracies}",
    )


def _import_model(source: str, out: str, as_json: bool) -> None:
    from lsg_ray.exchange.graphs import read_bqm
    from lsg_ray.results.saving import MODEL_ARRAYS

    check_outputs([result_at(out, MODEL_ARRAYS)], [source])
    from pathlib import Path

    model = read_bqm(Path(source))
    model.save(out)
    print_result({"out": out, "spins": model.n_spins}, as_json, f"{out}: {model.n_spins:,} spins")


def _sections(
    network: str | None,
    family: str | None,
    dataset: str | None,
    spec: str | None,
    overrides: tuple[str, ...],
) -> dict[str, dict[str, Any]]:
    """Return what is said of network and data set, as sections of a specification."""
    from lsg_ray.spec import load_spec, override

    tree: dict[str, Any] = {name: {} for name in SET_SECTIONS}
    if spec is not None:
        whole = load_spec(spec).tree()
        tree = {name: whole[name] for name in SET_SECTIONS}
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
    unknown = set(sections) - set(SET_SECTIONS)
    if unknown or not all(isinstance(sections[name], dict) for name in SET_SECTIONS):
        raise InputError(
            "--set: fields of network and dataset can be set, such as network.leaky_slope=0.1"
        )
    return sections


@command()
@argument(
    "source",
    metavar="STORE|RESULT",
    type=PATH,
    help="Store of an ensemble, result or model: a path or URL.",
)
@option(
    "--to",
    type=PATH,
    required=True,
    metavar="FILE",
    section=OUTPUT,
    help="File to write; its suffix is the format.",
)
@option(
    "--where",
    metavar="EXPRESSION",
    section=SELECTION,
    help='Condition on the columns of STORE, for example "accuracy > 0.81".',
)
@option(
    "--columns",
    metavar="A,B,...",
    section=SELECTION,
    help="Columns of a store or variables of a result; without it, all that fit.",
)
@option(
    "--limit",
    type=click.IntRange(min=1),
    section=SELECTION,
    help="Largest number of configurations.",
)
@option(
    "--cutoff",
    type=click.FloatRange(min=0),
    default=0.0,
    section=SELECTION,
    help="Largest |coupling| of a model that is left out.",
)
@overwrite
@as_json
def export(
    source: str,
    to: str,
    columns: str | None,
    overwrite: bool,
    as_json: bool,
    **chosen: Unpack[Chosen],
) -> None:
    """Write a store, a result or a model to a file for other programs.

    .npz, .npy, .csv, .parquet, .nc, .mtx; of networks .safetensors and .pt, whose state dicts load
    into torch.nn.Sequential; of models .graphml and .bqm.
    """
    check_outputs([file_at(to)], [source], overwrite)
    from lsg_ray.cluster.progress import progress_bar
    from lsg_ray.exchange.exporting import export

    names = None if columns is None else [name.strip() for name in columns.split(",")]
    with progress_bar("configurations", progress_style(as_json)) as progress:
        exported = export(
            source, to, columns=names, overwrite=overwrite, progress=progress, **chosen
        )
    summary = {name: value for name, value in exported._asdict().items() if value is not None}
    shown = {**summary, "columns": ", ".join(exported.columns)}
    print_result(summary, as_json, table(shown))
