"""Commands that make stores of a store: canonicalize, permute."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import click

from lsg_ray.cli.output import as_json, print_result, table
from lsg_ray.cli.places import PLACE, check_outputs, result_at, store_at


def ensemble_options(command: Callable) -> Callable:
    """Options of commands that measure a view of an ensemble, somewhere."""
    for option in (
        click.option(
            "--workers", type=click.IntRange(min=1), help="Threads, or tasks at a time on Ray."
        ),
        click.option(
            "--address", metavar="ADDRESS", help="Ray cluster; default: RAY_ADDRESS, or threads."
        ),
        click.option(
            "--where", metavar="EXPRESSION", help="Only configurations of STORE that meet it."
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("store", type=PLACE)
@click.option(
    "--out", type=PLACE, metavar="STORE", help="Store to write; without it, count labels only."
)
@click.option(
    "--labels", type=PLACE, metavar="LABELS", help="Zarr for the labels and their counts."
)
@ensemble_options
@click.option("--overwrite", is_flag=True, help="Replace earlier labels (never a store).")
@as_json
def canonicalize(
    store: str, out: str | None, labels: str | None, as_json: bool, **options: Any
) -> None:
    """Bring the hidden units of every configuration into canonical order; count what repeats.

    Units are ranked by their mean pre-activation over the test images of the digit 1.  Outputs of
    the networks are unchanged, which is checked on real inputs.
    """
    from lsg_ray.results.saving import save_result
    from lsg_ray.statistics.symmetry import canonicalize, node_symmetry

    check_outputs([store_at(out), result_at(labels, "--labels")], [store], options["overwrite"])
    with measuring(store, as_json, options) as (view, progress):
        if out is not None:
            canonicalize(view, out, progress=progress)
        found = node_symmetry(view, progress=progress)
    if labels is not None:
        save_result(found, labels, overwrite=options["overwrite"])
    names = (
        "configurations", "distinct_labels", "distinct_forms", "permutation_dependent_pairs",
        "identical_pairs", "log_group_order",
    )  # fmt: skip
    summary = {"out": out, "labels": labels, **{name: found.attrs[name] for name in names}}
    print_result(summary, as_json, table(summary))


@click.command()
@click.argument("store", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="STORE", help="Store to write.")
@click.option("--fraction", type=float, required=True, help="Permuted fraction p, 0 to 1.")
@click.option(
    "--mode",
    type=click.Choice(["replace", "add"]),
    default="replace",
    show_default=True,
    help="Replace configurations, or add permuted copies so that p of all are in such pairs.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@ensemble_options
@as_json
def permute(
    store: str, out: str, fraction: float, mode: Any, seed: int, as_json: bool, **options: Any
) -> None:
    """Mix random node permutations of STORE's own configurations into a new store."""
    from lsg_ray.statistics.symmetry import permute

    check_outputs([store_at(out)], [store])
    with measuring(store, as_json, options) as (view, progress):
        made: Any = permute(view, fraction, out, mode=mode, seed=seed, progress=progress)
    info = made.info()
    summary = {name: info[name] for name in ("url", "rows", "content_hash")}
    print_result(summary, as_json, table(summary))


@contextlib.contextmanager
def measuring(store: str, as_json: bool, options: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Open the view, choose where to run, and show progress."""
    from lsg_ray.cluster.dask import dask_session
    from lsg_ray.cluster.progress import late_progress
    from lsg_ray.study import view_of

    view = view_of(store, options)
    with (
        dask_session(options["address"], options["workers"]),
        late_progress("tasks", "quiet" if as_json else "auto") as progress,
    ):
        yield view, progress
