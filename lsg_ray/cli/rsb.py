"""The command about replica-symmetry breaking: networks, SK and effective Ising models."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from lsg_ray.cli.options import draw, seed, where_to_run
from lsg_ray.cli.output import as_json, overwrite, print_result, table
from lsg_ray.cli.places import PLACE, check_outputs, figure_at, result_at
from lsg_ray.errors import InputError


@click.command()
@click.argument("store", required=False, type=PLACE)
@click.option("--out", type=PLACE, required=True, metavar="RESULT", help="Zarr to write.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=PLACE,
    metavar="MODEL",
    help="Of lsg fit, also; repeat.",
)
@click.option("--sk", type=click.IntRange(min=4), metavar="N", help="The SK model, also.")
@click.option(
    "--temperatures", default="0.3,1.5", show_default=True, metavar="T,...", help="Of the SK model."
)
@click.option(
    "--realisations", type=click.IntRange(min=1), default=1, show_default=True,
    help="Of the SK model's couplings, averaged over.",
)  # fmt: skip
@click.option("--burn-in", type=click.IntRange(min=0), default=2000, show_default=True,
              help="Sweeps before replicas are drawn.")  # fmt: skip
@click.option(
    "--replicas", type=click.IntRange(min=4), default=64, show_default=True,
    help="Of each system; of STORE so many at random, at most.",
)  # fmt: skip
@click.option(
    "--alignment", type=click.Choice(["clustering", "matching", "none"]), default="clustering",
    show_default=True, help="How hidden units of real-valued networks are ordered.",
)  # fmt: skip
@click.option("--canonical", is_flag=True, help="Remove the node symmetry of binary networks.")
@click.option("--centered", is_flag=True, help="Of STORE: without the mean configuration.")
@click.option("--where", metavar="EXPRESSION", help="Only configurations of STORE that meet it.")
@click.option("--draws", type=click.IntRange(min=2), default=20, show_default=True,
              help="Of each null.")  # fmt: skip
@click.option("--figure", type=PLACE, metavar="PNG", help="Also draw it.")
@seed
@where_to_run
@overwrite
@as_json
def rsb(
    store: str | None, out: str, figure: str | None, overwrite: bool, as_json: bool, **options: Any
) -> None:
    """Compare overlaps of replicas: P(q), ultrametricity of triples, and nulls, side by side.

    Replicas are networks of STORE, configurations of each MODEL, and spins of the SK model.
    """
    from lsg_ray.cluster.dask import dask_session
    from lsg_ray.report.figures.rsb import MOST
    from lsg_ray.results.saving import save_result

    began = time.perf_counter()
    check_outputs([result_at(out), figure_at(figure)], [store, *options["models"]], overwrite)
    temperatures = _temperatures(options["temperatures"]) if options["sk"] else []
    count = (store is not None) + len(options["models"]) + len(temperatures)
    if not count:
        raise InputError("nothing to measure: name a STORE, --model or --sk")
    if figure is not None and count > MOST:
        raise InputError(f"{count} systems in one --figure; at most {MOST}")
    with dask_session(options["address"], options["workers"]):
        found = _systems(store, temperatures, options, as_json)
    save_result(_joined(found), out, overwrite=overwrite)
    if figure is not None:
        from lsg_ray.report.figures.rsb import rsb_figure

        draw(figure, rsb_figure(found))
    whole = {"out": out, "figure": figure, "seconds": time.perf_counter() - began}
    systems = {name: _summary(result) for name, result in found.items()}
    text = "\n\n".join(table({"system": name, **values}) for name, values in systems.items())
    print_result({"systems": systems, **whole}, as_json, f"{text}\n\n{table(whole)}")


def _temperatures(given: str) -> list[float]:
    try:
        return [float(t) for t in given.split(",")]
    except ValueError:
        raise InputError(f"--temperatures {given} given; numbers with commas") from None


def _systems(
    store: str | None, temperatures: list[float], options: dict[str, Any], as_json: bool
) -> dict[str, Any]:
    """Measure all systems, by name."""
    from lsg_ray.cluster.progress import late_progress
    from lsg_ray.ising.model import load_model
    from lsg_ray.statistics.rsb import replica_overlaps

    style: Any = "quiet" if as_json else "auto"
    common = {"draws": options["draws"], "seed": options["seed"]}
    models = {_name(place): load_model(place) for place in options["models"]}
    if len(models) < len(options["models"]):
        raise InputError("--model names the same model twice; rename one")
    found: dict[str, Any] = {}
    if store is not None:
        name, rows = _networks(store, options)
        with late_progress("tasks", style) as tell:
            found[name] = replica_overlaps(
                rows, configurations=options["replicas"], centered=options["centered"],
                progress=tell, **common,
            )  # fmt: skip
    if temperatures:
        with late_progress("sweeps", style) as tell:
            found |= _sk(temperatures, options, common, tell)
    for name, model in models.items():
        with late_progress("sweeps", style) as tell:
            found[_free(name, found)] = _of_model(model, options, common, tell)
    return found


def _name(place: str) -> str:
    return Path(place).stem


def _free(name: str, taken: dict[str, Any]) -> str:
    return f"model {name}" if name in taken else name


def _networks(store: str, options: dict[str, Any]) -> tuple[str, Any]:
    """Return the name of a store and its configurations, hidden units in a common order."""
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.statistics.symmetry import canonicalize

    view: Any = open_ensemble(store)
    if options["where"] is not None:
        view = view.where(options["where"])
    name = str(view.spec.name)
    if view.binary:
        return name, canonicalize(view) if options["canonical"] else view
    if options["canonical"]:
        raise InputError(f"{store}: --canonical is of ±1 weights; use --alignment")
    if options["alignment"] == "none":
        return name, view
    from lsg_ray.statistics.replicas import aligned_replicas

    return name, aligned_replicas(
        view, options["replicas"], options["alignment"], seed=options["seed"]
    )


def _sk(
    temperatures: list[float], options: dict[str, Any], common: dict[str, Any], tell: Any
) -> dict[str, Any]:
    from lsg_ray.ising.sk import sk_replicas
    from lsg_ray.statistics.rsb import lattice_edges, over_realisations, replica_overlaps

    n = options["sk"]
    drawn = sk_replicas(
        n, temperatures, replicas=options["replicas"], realisations=options["realisations"],
        burn_in=options["burn_in"], seed=options["seed"], threads=options["workers"],
        progress=tell,
    )  # fmt: skip
    found = {}
    for t, temperature in enumerate(temperatures):
        parts = [
            replica_overlaps(spins, flip="symmetric", bins=lattice_edges(n), **common)
            for spins in drawn["spins"].values[:, t]
        ]
        energy = float(drawn["energy_mean"].values[:, t].mean())
        found[f"SK {n}, T = {temperature:g}"] = over_realisations(parts).assign_attrs(
            converged=drawn.attrs["converged"], temperature=temperature, energy_per_spin=energy,
            rhat=float(drawn["rhat"].values[:, t].max()),
        )  # fmt: skip
    return found


def _of_model(model: Any, options: dict[str, Any], common: dict[str, Any], tell: Any) -> Any:
    from lsg_ray.ising.replicas import draw_replicas
    from lsg_ray.statistics.rsb import replica_overlaps

    drawn = draw_replicas(
        model, replicas=options["replicas"], burn_in=options["burn_in"], seed=options["seed"],
        threads=options["workers"], progress=tell,
    )  # fmt: skip
    found = replica_overlaps(
        drawn["spins"].values[0], flip="keep" if model.h.any() else "symmetric", **common
    )
    return found.assign_attrs(
        converged=drawn.attrs["converged"],
        rhat=float(drawn["rhat"].values[0]),
        energy_per_spin=float(drawn["energy_mean"].values[0]) / model.n_spins,
    )


#: Attributes of a system that become variables over ``system``.
NUMBERS = (
    "replicas", "n_weights", "n_pairs", "n_triples", "modes", "modes_p_value", "centered",
    "realisations", "temperature", "converged", "rhat", "energy_per_spin",
)  # fmt: skip


def _joined(found: dict[str, Any]) -> Any:
    """Return all systems in one Dataset over ``system``; what is shorter ends in NaN or −1."""
    import numpy as np
    import xarray

    dims = ("replica", "replica_", "bin")
    most = {dim: max(result.sizes[dim] for result in found.values()) for dim in dims}
    parts = []
    for result in found.values():
        padded = result
        for dim in dims:
            short = most[dim] - result.sizes[dim]
            padded = padded.pad({dim: (0, short)})
        for name in ("leaf_order", "row"):
            padded[name] = padded[name].fillna(-1).astype(np.int64)
        numbers = {name: float(result.attrs.get(name, np.nan)) for name in NUMBERS}
        folded = int(result.attrs["flip"] != "keep")
        parts.append(padded.assign(flip_symmetric=folded, **numbers).drop_attrs())
    first = next(iter(found.values()))
    names = xarray.Variable("system", np.array(list(found), dtype=str))
    whole = xarray.concat(parts, names, data_vars="all", coords="minimal", compat="override")
    for name in first.variables:
        if name in whole.variables and name not in ("system",):
            whole[name].attrs = dict(first[name].attrs)
    about = ("draws", "seed", "package_version")
    return whole.assign_attrs(
        {"statistic": "replica-symmetry breaking"} | {name: first.attrs[name] for name in about}
    )


def _summary(result: Any) -> dict[str, Any]:
    """Return what is printed of a system."""
    from lsg_ray.results.saving import names_of

    about = result.attrs
    values: dict[str, Any] = {name: about[name] for name in NUMBERS if name in about}
    nulls = names_of(result["null"]).tolist()
    for name in ("mean", "std", "mean_abs", "second_moment", "ultrametricity", "excess"):
        values[name] = float(result[name])
        if f"{name}_stderr" in result:
            values[f"{name}_stderr"] = float(result[f"{name}_stderr"])
        values[f"{name}_z"] = dict(zip(nulls, result[f"{name}_z"].values.tolist(), strict=True))
    return values
