"""Commands about effective models: fit, check."""

from __future__ import annotations

import math
from typing import Any

import click

from lsg_ray.cli.options import draw
from lsg_ray.cli.output import as_json, overwrite, print_result, table
from lsg_ray.cli.places import PLACE, check_outputs, figure_at, part_place, result_at
from lsg_ray.errors import InputError


@click.command()
@click.argument("moments", metavar="MOMENTS|STORE", type=PLACE)
@click.option(
    "--out", type=PLACE, required=True, metavar="MODEL", help="Model to write: Zarr, or .npz."
)
@click.option(
    "--method",
    default="pcd",
    show_default=True,
    help="pcd (persistent chains), bp (cavity method), plm (pseudolikelihood, of a STORE), exact "
    "(enumeration, N <= 16), or one of an installed package.",
)
@click.option(
    "--part",
    metavar="PART,...",
    help="LB, ITR, RB, full; of several, each goes to MODEL-PART.  Default: full.",
)
@click.option("--where", metavar="EXPRESSION", help="Only configurations of STORE that meet it.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="pcd: time to fit.")
@click.option(
    "--correlations",
    type=click.Choice(["beliefs", "response"]),
    help="bp: match the beliefs of pairs (the paper's; default), or their linear response.",
)
@click.option(
    "--margin", type=float, help="bp: stay below the border of stability, for scans; say 0.05."
)
@click.option("--l1", metavar="NUMBER|auto", help="plm: penalty; 0.01 by default.")
@click.option("--l2", type=float, help="plm, pcd, exact: penalty on J squared.")
@click.option("--count", type=click.IntRange(min=2), help="plm: so many configurations, at random.")
@click.option(
    "--decimate", type=click.Choice(["coupling", "free-energy"]), help="plm: remove couplings."
)
@click.option("--pseudocount", type=float, help="1 − |m| given to frozen weights.")
@click.option(
    "--rounding", type=click.FloatRange(0, 0.1),
    help="By how much given m and C may be off each, as rounded ones are; 0.001 by default.",
)  # fmt: skip
@click.option(
    "--figure", type=PLACE, metavar="PNG", help="Also draw the model's moments against the data's."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), help="Threads, or tasks at a time on Ray.")
@click.option("--address", metavar="ADDRESS", help="Ray cluster; default: RAY_ADDRESS, or threads.")
@overwrite
@as_json
def fit(
    moments: str,
    out: str,
    method: Any,
    part: str | None,
    where: str | None,
    figure: str | None,
    workers: int | None,
    address: str | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit an effective Ising model to the moments of an ensemble.

    MOMENTS is of `lsg moments`, or an .npz with m and C; STORE may also be an array of ±1: an .npz
    with sigma, FILE.npz:NAME or an .npy.  Whatever the method, the model is checked by independent
    Monte Carlo: delta, rms_m and rms_C are what that measures, with its noise beside, and excess_*
    what is left without it.  Rounded moments that no ±1 weights have are moved to the nearest that
    some have: moments_change tells how far.
    """
    from lsg_ray.cluster.dask import dask_session
    from lsg_ray.cluster.progress import late_progress
    from lsg_ray.ising.boltzmann import fit_parts
    from lsg_ray.results.saving import MODEL

    parts = list(dict.fromkeys(name.strip() for name in (part or "full").split(",")))
    places = {name: _place(out, name, parts) for name in parts}
    figures = {name: figure and _place(figure, name, parts) for name in parts}
    models = [result_at(place, archive=MODEL) for place in places.values()]
    check_outputs([*models, *map(figure_at, figures.values())], [moments], overwrite)
    chosen = {name: value for name, value in options.items() if value is not None}
    if "l1" in chosen:
        chosen["l1"] = _penalty(chosen["l1"])
    _check_options(method, chosen)
    with (
        dask_session(address, workers) as tasks,
        late_progress("steps", "quiet" if as_json else "auto") as progress,
    ):
        remote = _on_cluster()
        found = fit_parts(
            _given(moments, where), parts, method=method, tasks=remote and len(parts) > 1,
            threads=None if remote else tasks, progress=progress, **chosen,
        )  # fmt: skip
    summaries: dict[str, dict[str, Any]] = {}
    for name, fitted in found.items():
        fitted.model.save(places[name], overwrite=overwrite)
        if (place := figures[name]) is not None:
            from lsg_ray.report.figures.reconstruction import reconstruction_figure

            draw(place, reconstruction_figure(fitted.check))
        summaries[name] = {
            "out": places[name], "figure": figures[name], "n_weights": fitted.model.n_spins,
            **fitted.report,
        }  # fmt: skip
    result = summaries[parts[0]] if len(parts) == 1 else {"parts": summaries}
    print_result(result, as_json, "\n\n".join(_text(name, summaries[name]) for name in parts))


@click.command()
@click.argument("model", type=PLACE)
@click.argument("store", type=PLACE)
@click.option(
    "--out", type=PLACE, metavar="ENERGIES", help="Zarr for the energy of every configuration."
)
@click.option(
    "--triples-out", type=PLACE, metavar="TRIPLES", help="Zarr for the three-body correlations."
)
@click.option(
    "--references", type=PLACE, metavar="FILE", help="Zarr or .npz for the references to choose."
)
@click.option(
    "--count", type=click.IntRange(min=1), default=20, show_default=True,
    help="References of low, of medium and of high energy.",
)  # fmt: skip
@click.option(
    "--triples", type=click.IntRange(1, 1_000_000), help="How many to draw; 10,000, or all.",
)  # fmt: skip
@click.option("--cutoff", type=click.FloatRange(min=0), help="Weakest correlation that counts.")
@click.option("--figure", type=PLACE, metavar="PNG", help="Draw both checks.")
@click.option("--part", help="LB, ITR, RB, or a layer from 0: what the model was fitted to.")
@click.option("--where", metavar="EXPRESSION", help="Only configurations of STORE that meet it.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), help="Threads, or tasks at a time on Ray.")
@click.option("--address", metavar="ADDRESS", help="Ray cluster; default: RAY_ADDRESS, or threads.")
@overwrite
@as_json
def check(
    model: str,
    store: str,
    out: str | None,
    triples_out: str | None,
    references: str | None,
    count: int,
    triples: int | None,
    cutoff: float | None,
    figure: str | None,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare MODEL with the ensemble in STORE beyond the moments it was fitted to.

    Three-body correlations, energies of the stored configurations against their accuracy, and
    references of low, medium and high energy.
    """
    from lsg_ray.cli.symmetry import measuring
    from lsg_ray.ising import checks
    from lsg_ray.ising.model import load_model
    from lsg_ray.ising.references import choose_references, save_references
    from lsg_ray.results.saving import REFERENCES, save_result

    overwrite = options["overwrite"]
    outputs = [
        result_at(out),
        result_at(triples_out, "--triples-out"),
        result_at(references, "--references", REFERENCES),
        figure_at(figure),
    ]
    check_outputs(outputs, [model, store], overwrite)
    ising = load_model(model)
    if triples is None:
        triples = min(10_000, math.comb(ising.n_spins, 3))
    with measuring(store, as_json, options) as (view, progress):
        energies = checks.configuration_energies(ising, view, seed=seed, progress=progress)
        chosen = None if references is None else choose_references(energies, view, count)
        third = checks.three_body(
            ising, view, triples=triples, cutoff=cutoff, seed=seed, progress=progress
        )
    if out is not None:
        save_result(energies, out, overwrite=overwrite)
    if triples_out is not None:
        save_result(third, triples_out, overwrite=overwrite)
    if chosen is not None and references is not None:
        save_references(chosen, references, overwrite=overwrite)
    if figure is not None:
        from lsg_ray.report.figures.checks import checks_figure

        draw(figure, checks_figure(third, energies))
    energy = energies["energy"].values
    summary = {
        "configurations": len(energy),
        "energy_mean": float(energy.mean()),
        "energy_spread": float(energy.std()),
        "typical": energies.attrs["typical"],
        "energy_accuracy_correlation": energies.attrs["correlation"],
        **{f"triples_{name}": third.attrs[name] for name in (
            "cutoff", "above", "reproduced", "correlation", "slope", "rms")},
        "mc_converged": bool(third.attrs["mc_converged"] and energies.attrs["mc_converged"]),
        "out": out, "triples_out": triples_out, "references": references, "figure": figure,
    }  # fmt: skip
    shown = {name: value for name, value in summary.items() if value is not None}
    print_result(summary, as_json, table(shown))


def _place(place: str, part: str, parts: list[str]) -> str:
    """Return where a part goes: the place itself, or beside it with the part's name."""
    return place if len(parts) == 1 else part_place(place, part)


def _penalty(given: str) -> float | str:
    try:
        return "auto" if given == "auto" else float(given)
    except ValueError:
        raise InputError(f"--l1 {given} given; a number, or auto") from None


#: Options that only some methods have.
_METHODS = {
    "correlations": ("bp",), "margin": ("bp",),
    "l1": ("plm",), "l2": ("plm", "pcd", "exact"), "count": ("plm",),
    "decimate": ("plm",), "seconds": ("pcd",), "rounding": ("bp", "pcd", "exact"),
}  # fmt: skip


def _check_options(method: str, options: dict[str, Any]) -> None:
    for name, methods in _METHODS.items():
        if name in options and method not in methods:
            raise InputError(
                f"--{name} given with --method {method}; it belongs to {', '.join(methods)}"
            )


def _given(moments: str, where: str | None) -> Any:
    if where is None:
        return moments
    from lsg_ray.ensemble.reader import open_ensemble

    return open_ensemble(moments).where(where)


def _on_cluster() -> bool:
    """Return whether Dask's graphs run on Ray here."""
    import dask

    return callable(dask.config.get("scheduler", None))


def _text(part: str, summary: dict[str, Any]) -> str:
    hidden = ("frozen_weights", "duplicate_weights", "held_out", "decimated", "figure")
    shown = {"part": part, **summary}
    if not summary.get("moments_change"):
        shown["moments_change"] = None
    return table({k: v for k, v in shown.items() if k not in hidden and v is not None})
