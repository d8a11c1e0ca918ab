"""Commands that move in the landscape of a model: tap, mc."""

from __future__ import annotations

import time
from typing import Any

import click

from lsg_ray.cli.options import (
    beta,
    draw,
    figure,
    landscape_run,
    of_references,
    seed,
    where_to_run,
    without_place,
)
from lsg_ray.cli.output import as_json, overwrite, print_result, table
from lsg_ray.cli.places import PLACE
from lsg_ray.errors import DataError


@click.command()
@click.argument("model", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="STATES", help="Zarr to write.")
@click.option("--starts", type=click.IntRange(min=1), default=2000, show_default=True)
@click.option("--tolerance", type=float, default=1e-5, show_default=True)
@click.option("--max-iterations", type=click.IntRange(min=1), default=2000, show_default=True)
@beta
@figure
@seed
@where_to_run
@overwrite
@as_json
def tap(
    model: str, out: str, figure: str | None, overwrite: bool, as_json: bool, **options: Any
) -> None:
    """Find fixed points of the TAP equations of MODEL from random starts: how many states?"""
    from lsg_ray.ising.tap import tap_states
    from lsg_ray.statistics.results import save_result

    began = time.perf_counter()
    with landscape_run([out], [model], figure, overwrite, as_json, options) as tell:
        found = tap_states(model, progress=tell, **without_place(options))
    save_result(found, out, overwrite=overwrite)
    if figure is not None:
        from lsg_ray.report.figures.landscape import tap_figure

        draw(figure, tap_figure(found))
    names = (
        "starts", "converged", "states", "stable_states", "saddles", "undetermined_states", "peaks",
        "peak_test",
    )  # fmt: skip
    lowest = float(found["state_f"].values[0]) if found.sizes["state_number"] else None
    summary = {
        **{name: found.attrs[name] for name in names}, "lowest_free_energy": lowest,
        "largest_gradient": float(found["gradient"].where(found["converged"]).max()),
        "iterations": float(found["iterations"].mean()), "out": out, "figure": figure,
        "seconds": time.perf_counter() - began,
    }  # fmt: skip
    print_result(summary, as_json, table({k: v for k, v in summary.items() if v is not None}))


@click.command()
@click.argument("model", type=PLACE)
@of_references
@click.option("--out", type=PLACE, required=True, metavar="RUNS", help="Zarr to write.")
@click.option("--sweeps", type=click.IntRange(min=4), default=100, show_default=True)
@click.option(
    "--chains", type=click.IntRange(min=1), default=16, show_default=True, help="Of each reference."
)
@click.option(
    "--method", type=click.Choice(["metropolis", "heat-bath"]), default="metropolis",
    show_default=True,
)  # fmt: skip
@click.option(
    "--spec",
    type=PLACE,
    metavar="SPEC",
    help="The networks' data, for their accuracy; of a STORE its own.",
)
@beta
@figure
@seed
@where_to_run
@overwrite
@as_json
def mc(
    model: str,
    references: str,
    out: str,
    spec: str | None,
    figure: str | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Let Monte Carlo chains of MODEL run from references: do they escape, or are they trapped?"""
    from lsg_ray.ising.dynamics import relax
    from lsg_ray.statistics.results import save_result

    began = time.perf_counter()
    inputs = [model, references, spec]
    with landscape_run([out], inputs, figure, overwrite, as_json, options) as tell:
        task, why = networks_task(references, spec)
        found = relax(model, references, task=task, progress=tell, **without_place(options))
    save_result(found, out, overwrite=overwrite)
    if figure is not None:
        from lsg_ray.report.figures.landscape import dynamics_figure

        draw(figure, dynamics_figure(found))
    names = (
        "trapped", "memory", "equilibrium_energy", "energy_autocorrelation",
        "equilibrium_converged", "equilibrium_method",
    )  # fmt: skip
    last = found.isel(sweep=-1)
    accuracy = {}
    if "accuracy" in found:
        first = found["accuracy"].isel(sweep=0)
        accuracy = {
            "accuracy_first": float(first.mean()), "accuracy_last": float(last["accuracy"].mean()),
        }  # fmt: skip
    summary = {
        "references": found.sizes["reference"], "sweeps": options["sweeps"],
        "overlap_last": float(last["overlap"].mean()),
        "equilibrium": float(found["equilibrium"].mean()),
        **{name: found.attrs[name] for name in names}, **accuracy, "no_accuracy": why,
        "out": out, "figure": figure, "seconds": time.perf_counter() - began,
    }  # fmt: skip
    print_result(summary, as_json, table({k: v for k, v in summary.items() if v is not None}))


def networks_task(references: str, spec: str | None) -> tuple[Any, str | None]:
    """Return what the networks of references were trained for, or None and the reason."""
    from lsg_ray.datasets import load_dataset
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.ising.dynamics import Task
    from lsg_ray.spec import load_spec
    from lsg_ray.statistics.configurations import is_array_file
    from lsg_ray.statistics.opening import attributes_of

    if spec is not None:
        given = load_spec(spec)
    elif is_array_file(references) or attributes_of(references).get("statistic"):
        return None, "references without data: pass --spec"
    else:
        given = open_ensemble(references).spec
    try:
        examples = load_dataset(given.dataset, download=spec is not None).test
    except DataError as error:
        if spec is not None:
            raise
        return None, str(error)
    return Task(given.network, examples.x, examples.y, given.loss), None
