"""Commands that measure an ensemble: moments, overlaps, distances, node symmetry, maps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import click

from lsg_ray.cli.options import draw
from lsg_ray.cli.output import as_json, overwrite, print_result, table
from lsg_ray.cli.places import PLACE, check_outputs, figure_at, result_at, store_at
from lsg_ray.errors import InputError


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


part_option = click.option("--part", help="LB, ITR, RB, or a layer from 0; default: all weights.")


def pair_options(command: Callable) -> Callable:
    """Options of commands about pairs of configurations."""
    for option in (
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
        click.option(
            "--pairs", type=click.IntRange(min=1), help="So many pairs that share none, at random."
        ),
        click.option(
            "--configurations", type=click.IntRange(min=2), help="All pairs of so many, at random."
        ),
        click.option(
            "--canonical", is_flag=True, help="After removal of the node-permutation symmetry."
        ),
        click.option(
            "--references",
            type=PLACE,
            metavar="STORE|FILE",
            help="To each of these: a store, FILE.npy, FILE.npz or FILE.npz:NAME.",
        ),
        click.option(
            "--other", type=PLACE, metavar="STORE|FILE", help="Between the ensemble and this one."
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("store", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="MOMENTS", help="Zarr or .npz to write.")
@ensemble_options
@part_option
@click.option(
    "--triples",
    type=click.IntRange(0, 10_000_000),
    default=0,
    help="Third moments of so many triples.",
)
@click.option("--weights", metavar="COLUMN", help="Weigh configurations by a column.")
@click.option("--canonical", is_flag=True, help="After removal of the node-permutation symmetry.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@overwrite
@as_json
def moments(
    store: str,
    out: str,
    triples: int,
    weights: str | None,
    canonical: bool,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Write m, C and connected C of STORE, with standard errors, as Zarr or .npz."""
    from lsg_ray.statistics.moments import moments
    from lsg_ray.statistics.results import MOMENTS

    check_outputs([result_at(out, archive=MOMENTS)], [store], options["overwrite"])
    with measuring(store, canonical, as_json, options) as (view, progress):
        result = moments(view, triples=triples, weights=weights, seed=seed, progress=progress)
    m = result["m"].values
    summary = {
        "n_weights": int(m.size),
        **{k: result.attrs[k] for k in ("count", "effective_count") if k in result.attrs},
        "frozen": int((abs(m) == 1).sum()),
        "mean_abs_m": float(abs(m).mean()),
        "max_m_stderr": float(result["m_stderr"].max()),
    }
    _finish(result, out, options, {**_used(result), **summary}, as_json, archive=MOMENTS)


@click.command()
@click.argument("store", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="OVERLAPS", help="Zarr to write.")
@ensemble_options
@part_option
@pair_options
@overwrite
@as_json
def overlaps(
    store: str,
    out: str,
    other: str | None,
    references: str | None,
    canonical: bool,
    configurations: int | None,
    pairs: int | None,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the distribution P(q) of the overlap between configurations of STORE."""
    from lsg_ray.statistics.overlaps import overlaps

    check_outputs([result_at(out)], [store, other, references], options["overwrite"])
    with measuring(store, canonical, as_json, options) as (view, progress):
        result = overlaps(
            view,
            _operand(other, options, canonical),
            references=_operand(references, options, canonical),
            configurations=configurations,
            pairs=pairs,
            seed=seed,
            progress=progress,
        )
    _finish(result, out, options, {**_used(result), **_averages(result)}, as_json)


@click.command()
@click.argument("store", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="DISTANCES", help="Zarr to write.")
@ensemble_options
@part_option
@pair_options
@click.option(
    "--nearest", type=click.IntRange(min=1), help="Also so many neighbours of each reference."
)
@click.option("--matrix", is_flag=True, help="Also all distances, as a matrix.")
@overwrite
@as_json
def distances(
    store: str,
    out: str,
    other: str | None,
    references: str | None,
    canonical: bool,
    configurations: int | None,
    pairs: int | None,
    nearest: int | None,
    matrix: bool,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the distribution of Hamming distances between configurations of STORE."""
    from lsg_ray.statistics.distances import distances

    check_outputs([result_at(out)], [store, other, references], options["overwrite"])
    with measuring(store, canonical, as_json, options) as (view, progress):
        result = distances(
            view,
            _operand(other, options, canonical),
            references=_operand(references, options, canonical),
            nearest=nearest or 0,
            matrix=matrix,
            configurations=configurations,
            pairs=pairs,
            seed=seed,
            progress=progress,
        )
    _finish(result, out, options, {**_used(result), **_averages(result)}, as_json)


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
    from lsg_ray.statistics.results import save_result
    from lsg_ray.statistics.symmetry import canonicalize, node_symmetry

    check_outputs([store_at(out), result_at(labels, "--labels")], [store], options["overwrite"])
    with measuring(store, False, as_json, options) as (view, progress):
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
    with measuring(store, False, as_json, options) as (view, progress):
        made: Any = permute(view, fraction, out, mode=mode, seed=seed, progress=progress)
    info = made.info()
    summary = {name: info[name] for name in ("url", "rows", "content_hash")}
    print_result(summary, as_json, table(summary))


@click.command()
@click.argument("store", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="MAP", help="Zarr to write.")
@click.option("--figure", type=PLACE, metavar="PNG", help="Also draw it.")
@click.option("--color", metavar="COLUMN", default="accuracy", show_default=True)
@click.option(
    "--method", type=click.Choice(["tsne", "pca"]), default="tsne", show_default=True
)  # fmt: skip
@click.option("--configurations", type=click.IntRange(min=1), help="So many, at random.")
@click.option("--starts", is_flag=True, help="Map as many random starts too.")
@click.option("--perplexity", type=float, default=30.0, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--canonical", is_flag=True, help="After removal of the node-permutation symmetry.")
@ensemble_options
@part_option
@overwrite
@as_json
def embed(
    store: str,
    out: str,
    figure: str | None,
    color: str,
    method: Any,
    configurations: int | None,
    starts: bool,
    perplexity: float,
    seed: int,
    canonical: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Map configurations of STORE to the plane, by t-SNE or principal components."""
    from lsg_ray.statistics.configurations import as_configurations
    from lsg_ray.statistics.maps import embed

    check_outputs([result_at(out), figure_at(figure)], [store], options["overwrite"])
    with measuring(store, canonical, as_json, options, "steps") as (view, progress):
        columns = as_configurations(view).columns
        if color not in columns:
            raise InputError(f"--color {color} given; columns are {', '.join(columns)}")
        result = embed(
            view,
            method=method,
            configurations=configurations,
            starts=starts,
            perplexity=perplexity,
            seed=seed,
            threads=options["workers"],
            progress=progress,
        )
    names = ("kl_divergence", "perplexity", "explained_variance_ratio")
    summary = {
        "points": int(result.sizes["point"]),
        "figure": figure,
        **{name: result.attrs[name] for name in names if name in result.attrs},
    }
    _finish(result, out, options, {**_used(result), **summary}, as_json, figure, color)


@contextlib.contextmanager
def measuring(
    store: str,
    canonical: bool,
    as_json: bool,
    options: dict[str, Any],
    unit: str = "tasks",
) -> Iterator[tuple[Any, Any]]:
    """Open the view, choose where to run, and show progress."""
    from lsg_ray.cluster.dask import dask_session
    from lsg_ray.cluster.progress import late_progress

    view = _view(store, options, canonical)
    with (
        dask_session(options["address"], options["workers"]),
        late_progress(unit, "quiet" if as_json else "auto") as progress,
    ):
        yield view, progress


def _view(store: str, options: dict[str, Any], canonical: bool) -> Any:
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.statistics.symmetry import canonicalize

    view: Any = open_ensemble(store)
    if options["where"] is not None:
        view = view.where(options["where"])
    view = canonicalize(view) if canonical else view
    part = options.get("part")
    if part is None:
        return view
    return view.part(int(part) if part.isdecimal() and len(part) < 9 else part)


def _operand(place: str | None, options: dict[str, Any], canonical: bool) -> Any:
    """Open the other set of a comparison: of a store, the same part; of a file, as it is."""
    from lsg_ray.statistics.configurations import is_array_file, read_array

    if place is None:
        return None
    if not is_array_file(place):
        return _view(place, {**options, "where": None}, canonical)
    if canonical:
        raise InputError(f"{place}: --canonical takes stores only; their networks are known")
    return read_array(place)


def _used(result: Any) -> dict[str, Any]:
    """Say how much of the store was there: it may still be sampled."""
    names = ("complete_configurations", "planned_configurations")
    return {name: result.attrs[name] for name in names if name in result.attrs}


def _averages(result: Any) -> dict[str, Any]:
    names = (
        "configurations", "other_configurations", "references", "n_pairs", "mean", "mean_stderr",
        "std", "std_stderr", "independent_mean", "independent_std", "random_std",
    )  # fmt: skip
    return {name: result.attrs[name] for name in names if name in result.attrs}


def _finish(
    result: Any,
    out: str,
    options: dict[str, Any],
    summary: dict[str, Any],
    as_json: bool,
    figure: str | None = None,
    color: str = "",
    archive: Any = None,
) -> None:
    from lsg_ray.statistics.results import save_result

    save_result(result, out, overwrite=options["overwrite"], archive=archive)
    if figure is not None:
        from lsg_ray.report.figures.map import map_figure

        draw(figure, map_figure(result, color=color))
    print_result({"out": out, **summary}, as_json, table({"out": out, **summary}))
