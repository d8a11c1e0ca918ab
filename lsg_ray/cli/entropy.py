"""Commands about the entropy landscape of a model: scan, thermo, symmetry."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from lsg_ray.cli.options import (
    beta,
    draw,
    figure,
    landscape_run,
    of_references,
    parse_fields,
    seed,
    where_to_run,
    without_place,
)
from lsg_ray.cli.output import as_json, overwrite, print_result, table
from lsg_ray.cli.places import PLACE
from lsg_ray.errors import InputError


@click.command()
@click.argument("model", type=PLACE)
@of_references
@click.option("--out", type=PLACE, required=True, metavar="SCAN", help="Zarr to write.")
@click.option(
    "--fields", metavar="START:STOP:STEP|X,...", help="Distance fields; -3:3:0.1 by default."
)
@click.option(
    "--part", metavar="PART,...", help="Models MODEL-PART of `lsg fit --part`, results SCAN-PART."
)
@click.option(
    "--method", type=click.Choice(["bp", "mc"]), default="bp", show_default=True,
    help="Cavity method, or Monte Carlo where it fails.",
)  # fmt: skip
@click.option("--iso-energy", is_flag=True, help="At the energy of each reference: s, β, e over d.")
@click.option("--refine", type=click.IntRange(min=0), help="Halve steep intervals so often.")
@click.option("--tolerance", type=float, help="bp: on a change of a message; 1e-9.")
@click.option("--max-sweeps", type=click.IntRange(min=2), help="bp: at each field; 5,000.")
@click.option("--damping", type=float, help="bp: by default none, and more where needed.")
@click.option("--magnetizations", is_flag=True, help="bp: keep m at each field.")
@click.option("--chains", type=click.IntRange(min=2), help="mc: of each reference; 128.")
@click.option("--draws", type=click.IntRange(min=4), help="mc: at each field; 40.")
@beta
@figure
@seed
@where_to_run
@overwrite
@as_json
def scan(
    model: str,
    references: str,
    out: str,
    fields: str | None,
    part: str | None,
    method: str,
    iso_energy: bool,
    beta: float,
    figure: str | None,
    seed: int,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Sweep a distance field up and down around references of MODEL: is its landscape smooth?

    Run again after an interruption, it goes on where it was.
    """
    from lsg_ray.cli.fit import part_place
    from lsg_ray.ising.model import load_model
    from lsg_ray.ising.references import as_references
    from lsg_ray.statistics.pieces import forget_pieces, pieces_of
    from lsg_ray.statistics.results import save_result

    parts = [None] if part is None else list(dict.fromkeys(p.strip() for p in part.split(",")))
    places = [
        (model, out) if p is None else (part_place(model, p), part_place(out, p)) for p in parts
    ]
    xs = parse_fields(fields)
    chosen = {
        name: value for name, value in options.items()
        if value is not None and value is not False and name not in ("address", "workers", "count")
    }  # fmt: skip
    run = _scanner(method, iso_energy, beta, seed, chosen)
    summaries, scans, began = {}, {}, time.perf_counter()
    inputs = [references, *(source for source, _ in places)]
    targets = [place for _, place in places]
    with landscape_run(targets, inputs, figure, overwrite, as_json, options) as tell:
        models = [load_model(source) for source, _ in places]
        given = [as_references(references, ising, options["count"]) for ising in models]
        for name, ising, some, target in zip(parts, models, given, targets, strict=True):
            found = run(ising, some, xs, pieces=pieces_of(target), progress=tell)
            save_result(found, target, overwrite=overwrite)
            forget_pieces(target)
            scans[name or "model"] = found
            summaries[name] = {"out": target, **_scan_summary(found)}
    if figure is not None:
        from lsg_ray.report.figures.landscape import iso_figure, scan_figure

        drawn = iso_figure(next(iter(scans.values()))) if iso_energy else scan_figure(scans)
        draw(figure, drawn)
    whole = {"figure": figure, "seconds": time.perf_counter() - began}
    result = {**summaries[None], **whole} if part is None else {"parts": summaries, **whole}
    text = "\n\n".join(
        table({k: v for k, v in {"part": p, **summaries[p]}.items() if v is not None})
        for p in parts
    )
    print_result(result, as_json, text)


def _scanner(
    method: str, iso: bool, beta: float, seed: int, options: dict[str, Any]
) -> Callable[..., Any]:
    """Return the function that scans, with its options checked."""
    from lsg_ray.ising.annealing import anneal_scan
    from lsg_ray.ising.entropy import entropy_scan
    from lsg_ray.ising.isoenergy import iso_energy

    monte_carlo, cavity = {"chains", "draws"}, {"tolerance", "max_sweeps", "damping"}
    only = {"refine", "magnetizations"}
    if iso and method == "mc":
        raise InputError("--iso-energy given with --method mc; it belongs to bp")
    if iso and beta != 1:
        raise InputError("--iso-energy finds beta; --beta does not belong to it")
    unknown = set(options) & (
        (cavity | only) if method == "mc" else monte_carlo | (only if iso else set())
    )
    if unknown:
        name = sorted(unknown)[0].replace("_", "-")
        where = "--iso-energy" if iso else f"--method {method}"
        raise InputError(f"--{name} given with {where}; it does not belong to it")

    def run(model: Any, references: Any, xs: Any, **more: Any) -> Any:
        if iso:
            return iso_energy(model, references, xs, **options, **more)
        if method == "mc":
            return anneal_scan(model, references, xs, beta=beta, seed=seed, **options, **more)
        return entropy_scan(model, references, xs, beta=beta, **options, **more)

    return run


def _scan_summary(found: Any) -> dict[str, Any]:
    names = (
        "verdict", "hysteresis", "discontinuities", "jump", "s0", "s0_stderr", "s0_stable",
        "converged",
        "stable", "exists", "largest_step", "unexplained_step",
    )  # fmt: skip
    about = found.attrs
    summary = {name: about[name] for name in names if name in about}
    return {
        **summary, "references": found.sizes["reference"], "fields": found.sizes["field"],
        "n_weights": about["n_weights"], "method": about["method"],
    }  # fmt: skip


@click.command()
@click.argument("model", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="CURVES", help="Zarr to write.")
@click.option(
    "--reference", type=PLACE, metavar="FILE", help="One reference: .npz with sigma; see --x."
)
@click.option("--x", type=float, default=0.0, show_default=True, help="Distance field.")
@click.option("--ladders", type=click.IntRange(min=2), default=32, show_default=True)
@click.option("--burn-in", type=click.IntRange(min=0), default=500, show_default=True)
@click.option("--draws", type=click.IntRange(min=4), default=200, show_default=True)
@click.option("--thin", type=click.IntRange(min=1), default=5, show_default=True)
@beta
@figure
@seed
@click.option("--workers", type=click.IntRange(min=1), help="Threads.")
@overwrite
@as_json
def thermo(
    model: str,
    out: str,
    reference: str | None,
    figure: str | None,
    workers: int | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Integrate the heat capacity of MODEL from infinite temperature: S and C_v over β."""
    from lsg_ray.ising.branch import bethe_entropy
    from lsg_ray.ising.model import load_model
    from lsg_ray.ising.references import as_references
    from lsg_ray.ising.thermodynamics import thermodynamics
    from lsg_ray.statistics.results import save_result

    began = time.perf_counter()
    places = {"address": None, "workers": workers}
    with landscape_run(
        [out], [model, reference], figure, overwrite, as_json, places, unit="sweeps"
    ) as tell:
        ising = load_model(model)
        sigma = None if reference is None else as_references(reference, ising).sigma
        found = thermodynamics(ising, reference=sigma, threads=workers, progress=tell, **options)
        field = 0.0 if sigma is None else options["x"] * sigma[0]
        cavity = bethe_entropy(ising, options["beta"], options["beta"] * field)
        found = found.assign_attrs(
            s_bethe=cavity.s, s_bethe_converged=int(cavity.converged),
            s_bethe_stable=int(cavity.stable),
        )  # fmt: skip
    save_result(found, out, overwrite=overwrite)
    if figure is not None:
        from lsg_ray.report.figures.landscape import thermo_figure

        draw(figure, thermo_figure({"model": found}))
    names = (
        "s", "s_stderr", "s_bethe", "s_bethe_converged", "s_bethe_stable", "converged", "rhat_max",
        "round_trips", "autocorrelation",
    )  # fmt: skip
    summary = {
        **{name: found.attrs[name] for name in names}, "temperatures": found.sizes["beta"],
        "out": out, "figure": figure, "seconds": time.perf_counter() - began,
    }  # fmt: skip
    print_result(summary, as_json, table({k: v for k, v in summary.items() if v is not None}))


@click.command()
@click.argument("store", type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="EFFECT", help="Zarr to write.")
@click.option(
    "--fractions", default="0,0.3,0.6,0.9", show_default=True, metavar="P,...",
    help="Permuted fractions.",
)  # fmt: skip
@click.option(
    "--mode", type=click.Choice(["add", "replace"]), default="add", show_default=True,
    help="Add permuted copies, or replace.",
)  # fmt: skip
@click.option(
    "--method", type=click.Choice(["bp", "pcd"]), default="pcd", show_default=True,
    help="Of the fits.",
)  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="pcd: for each fit.")
@click.option("--fields", metavar="START:STOP:STEP|X,...", help="As of lsg scan.")
@click.option("--count", type=click.IntRange(min=1), default=5, show_default=True,
              help="References of low, of medium and of high energy.")  # fmt: skip
@figure
@seed
@where_to_run
@overwrite
@as_json
def symmetry(
    store: str,
    out: str,
    fractions: str,
    fields: str | None,
    seconds: float | None,
    figure: str | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Mix node permutations into STORE, fit a model to each mixture, and scan it."""
    from lsg_ray.ising.symmetry import permutation_effect
    from lsg_ray.statistics.results import save_result

    try:
        chosen = [float(p) for p in fractions.split(",")]
    except ValueError:
        raise InputError(f"--fractions {fractions} given; numbers with commas") from None
    more: dict[str, Any] = {} if seconds is None else {"seconds": seconds}
    if more and options["method"] != "pcd":
        raise InputError("--seconds given with --method bp; it belongs to pcd")
    began = time.perf_counter()
    with landscape_run(
        [out], [store], figure, overwrite, as_json, options, unit="fractions"
    ) as tell:
        found = permutation_effect(
            store, chosen, fields=parse_fields(fields), progress=tell, **more,
            **without_place(options),
        )  # fmt: skip
    save_result(found, out, overwrite=overwrite)
    if figure is not None:
        from lsg_ray.report.figures.landscape import permutation_figure

        draw(figure, permutation_figure(found))
    summary = {
        "fractions": found["fraction"].values, "s0": found["s0"].values,
        "rms_C": found["rms_C"].values, "hysteresis": found["hysteresis_largest"].values,
        "verdict": found.attrs["verdict"], "converged": found.attrs["converged"], "out": out,
        "figure": figure, "seconds": time.perf_counter() - began,
    }  # fmt: skip
    print_result(summary, as_json, table({k: v for k, v in summary.items() if v is not None}))
