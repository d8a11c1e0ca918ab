"""Commands about effective models: fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lsg_ray.cli.output import as_json, overwrite, print_result, table
from lsg_ray.errors import InputError


@click.command()
@click.argument("moments", metavar="MOMENTS|STORE")
@click.option("--out", required=True, metavar="MODEL", help="Model to write: Zarr, or .npz.")
@click.option(
    "--method", type=click.Choice(["pcd", "exact"]), default="pcd", show_default=True
)  # fmt: skip
@click.option("--part", help="LB, ITR, RB: fit the moments of a part; default: all weights.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Time for the fit.")
@click.option("--pseudocount", type=float, help="1 − |m| given to frozen weights.")
@click.option("--figure", metavar="PNG", help="Also draw the model's moments against the data's.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), help="Threads.")
@overwrite
@as_json
def fit(
    moments: str,
    out: str,
    method: Any,
    part: str | None,
    seconds: float | None,
    pseudocount: float | None,
    figure: str | None,
    seed: int,
    workers: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Fit an effective Ising model to the moments of an ensemble.

    MOMENTS is a Zarr of `lsg moments`, an .npz with m and C, or a store.  The model is checked by
    independent Monte Carlo; delta, rms_m and rms_C are what that measures.
    """
    from lsg_ray.cli.measure import check_figure
    from lsg_ray.cluster.progress import late_progress
    from lsg_ray.ising.boltzmann import fit_boltzmann
    from lsg_ray.ising.targets import as_target
    from lsg_ray.statistics.results import check_target

    if not (overwrite and out.endswith(".npz") and Path(out).is_file()):
        check_target(out, overwrite)
    check_figure(figure, out, overwrite)
    target = as_target(moments)
    if part is not None:
        places = target.parts()
        if part not in places:
            raise InputError(
                f"part {part!r} given; {moments} has {', '.join(places) or 'no named parts'}"
            )
        target = target.restrict(places[part])
    with late_progress("fit", "quiet" if as_json else "auto") as progress:
        found = fit_boltzmann(
            target,
            method=method,
            seconds=seconds,
            pseudocount=pseudocount,
            seed=seed,
            threads=workers,
            progress=progress,
        )
    found.model.save(out, overwrite=overwrite)
    if figure is not None:
        from lsg_ray.report.figures.reconstruction import reconstruction_figure
        from lsg_ray.report.style import render

        Path(figure).write_bytes(render(reconstruction_figure(found.check)))
    summary = {"out": out, "figure": figure, "n_weights": found.model.n_spins, **found.report}
    shown = {name: value for name, value in summary.items() if name != "frozen_weights"}
    print_result(summary, as_json, table(shown))
