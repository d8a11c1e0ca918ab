"""The command that clusters an ensemble: distances after reordering, their fit, their hierarchy."""

from __future__ import annotations

from typing import Any

import click

from lsg_ray.cli.measure import ensemble_options, measuring
from lsg_ray.cli.options import draw
from lsg_ray.cli.output import as_json, overwrite, print_result, table
from lsg_ray.cli.places import PLACE, check_outputs, figure_at, result_at

#: Attributes of the result that are printed.
PRINTED = (
    "complete_configurations", "planned_configurations", "configurations", "n_weights",
    "alignment", "reference", "linkage", "metric", "log_group_order", "n_pairs", "mean_before",
    "std_before", "mean", "mean_stderr", "std", "independent", "relative_mean_before",
    "relative_mean", "gaussian_kolmogorov", "gaussian_p_value", "gaussian_accepted", "modes",
    "modes_p_value", "peaks", "cophenetic_correlation",
)  # fmt: skip


@click.command()
@click.argument("store", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="RESULT", help="Zarr to write.")
@click.option("--figure", type=PLACE, metavar="PNG", help="Also draw histogram, tree and matrices.")
@click.option(
    "--alignment",
    type=click.Choice(["clustering", "matching", "canonical", "none"]),
    help="How hidden units are reordered; default: clustering (the paper's), of ±1 weights "
    "canonical.",
)
@click.option(
    "--reference",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Row that --alignment matching matches the others to.",
)
@click.option(
    "--linkage",
    type=click.Choice(["single", "complete", "average", "weighted", "centroid", "median", "ward"]),
    default="average",
    show_default=True,
)
@click.option("--configurations", type=click.IntRange(min=3), help="So many, at random.")
@click.option("--bins", type=click.IntRange(min=1), help="Of the histogram.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@ensemble_options
@overwrite
@as_json
def cluster(
    store: str,
    out: str,
    figure: str | None,
    alignment: Any,
    reference: int,
    linkage: Any,
    configurations: int | None,
    bins: int | None,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Cluster the configurations of STORE by their distance.

    Hidden units are reordered first, since networks that differ by a permutation of them are the
    same.  Writes all distances, their histogram with a Gaussian fit and the number of modes, the
    tree of agglomerative clustering, and its cophenetic distances.
    """
    from lsg_ray.statistics.clustering import cluster
    from lsg_ray.statistics.results import save_result

    check_outputs([result_at(out), figure_at(figure)], [store], options["overwrite"])
    with measuring(store, False, as_json, options, "steps") as (view, progress):
        result = cluster(
            view,
            alignment=alignment,
            reference=reference,
            linkage=linkage,
            configurations=configurations,
            bins=bins,
            seed=seed,
            progress=progress,
        )
    save_result(result, out, overwrite=options["overwrite"])
    if figure is not None:
        from lsg_ray.report.figures.clustering import clustering_figure

        draw(figure, clustering_figure(result))
    names = (name for name in PRINTED if name in result.attrs)
    summary = {"out": out, "figure": figure, **{name: result.attrs[name] for name in names}}
    print_result(summary, as_json, table(summary))
