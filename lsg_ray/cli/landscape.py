"""``lsg landscape``: walks, paths, swaps, flatness and surfaces of networks of real weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from lsg_ray.cli.options import (
    draw,
    figure,
    landscape_run,
    numbers,
    parse_fields,
    seed,
    where_to_run,
    without_place,
)
from lsg_ray.cli.output import as_json, overwrite, print_result, table
from lsg_ray.cli.places import PLACE
from lsg_ray.errors import InputError

EXAMPLES, PAIRS = 10_000, 10


@click.group()
def landscape() -> None:
    """Explore the loss landscape of a STORE of ReLU networks."""


def on_examples(command: Callable) -> Callable:
    """Options of commands that take losses."""
    for option in (
        click.option(
            "--examples", type=click.IntRange(min=0), default=EXAMPLES, show_default=True,
            help="Training examples, drawn by seed; 0 for all.",
        ),
        click.option("--where", metavar="EXPRESSION", help="Only solutions of STORE that meet it."),
        click.option("--out", type=PLACE, required=True, metavar="RESULT", help="Zarr to write."),
        overwrite, as_json, where_to_run, seed, figure,
    ):  # fmt: skip
        command = option(command)
    return command


def of_solutions(default: int) -> Callable[[Callable], Callable]:
    """Option that chooses how many solutions."""
    return click.option(
        "--configurations", type=click.IntRange(min=1),
        help=f"Solutions: the first so many; up to {default} by default.",
    )  # fmt: skip


@landscape.command()
@click.argument("store", type=PLACE)
@click.option("--sigma", default="0.001,0.003,0.01", show_default=True, metavar="S,...",
              help="Step sizes.")  # fmt: skip
@click.option("--steps", type=click.IntRange(min=4), default=100, show_default=True)
@click.option(
    "--kind", type=click.Choice(["free", "constrained", "metropolis"]), default="free",
    show_default=True, help="constrained: below the loss of the start.",
)  # fmt: skip
@click.option("--trials", type=click.IntRange(min=1), default=40, show_default=True,
              help="constrained: moves drawn at each step.")  # fmt: skip
@click.option("--temperature", type=float, help="metropolis: nats an example.")
@click.option("--walkers", type=click.IntRange(min=1), default=1, show_default=True,
              help="From each solution.")  # fmt: skip
@of_solutions(10)
@on_examples
def walk(store: str, out: str, sigma: str, **options: Any) -> None:
    """Walk at random from solutions of STORE, and watch loss and accuracy."""
    from lsg_ray.landscape.censored import Survival, survival_of, told
    from lsg_ray.landscape.walks import random_walk
    from lsg_ray.report.figures.terrain import walk_figure

    sigmas, flat = numbers(sigma, "--sigma"), ("flat_width", "flat_steps")

    def work(view: Any, **more: Any) -> Any:
        return random_walk(view, sigma=sigmas, **more)

    def tell(found: Any) -> dict[str, Any]:
        last = found.isel(step=-1).mean(("solution", "walker"))
        return {
            "sigma": found["sigma"].values,
            "solutions": found.sizes["solution"],
            **{name: [told(one) for one in survival_of(found, name).values()] for name in flat},
            **{f"{name}_{field}": found[f"{name}_{field}"].values
               for name in flat for field in Survival._fields},
            "train_loss_first": float(found["train_loss"].isel(step=0).mean()),
            "train_loss_last": last["train_loss"].values,
            "test_accuracy_last": last["test_accuracy"].values,
            "settled": found["settled"].mean(("solution", "walker")).values,
            "share": found["share"].mean(("solution", "walker", "move")).values,
        }  # fmt: skip

    _run(store, out, options, work, tell, walk_figure)


@landscape.command()
@click.argument("store", type=PLACE)
@click.option("--other", type=PLACE, metavar="STORE", help="Paths end here; default: in STORE too.")
@click.option("--pairs", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--alphas", metavar="START:STOP:STEP|A,...", help="-0.25:1.25:0.05 by default.")
@click.option(
    "--alignment", type=click.Choice(["none", "matching", "clustering", "all"]), default="none",
    show_default=True, help="Of hidden units; all: each in turn.",
)  # fmt: skip
@on_examples
def interpolate(
    store: str, out: str, other: str | None, alphas: str | None, alignment: str, **options: Any
) -> None:
    """Follow the loss on straight paths between solutions of STORE; how high are the barriers?"""
    import xarray

    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.landscape.interpolation import interpolate
    from lsg_ray.networks.alignment import ALIGNMENTS
    from lsg_ray.report.figures.terrain import paths_figure

    chosen = list(ALIGNMENTS[::-1]) if alignment == "all" else [alignment]
    given = _places(alphas)
    end = None if other is None else open_ensemble(other)

    def work(view: Any, pieces: Path | None, **more: Any) -> Any:
        found = [
            interpolate(view, end, alignment=name, pieces=pieces and pieces / name, **given, **more)  # type: ignore[arg-type]
            for name in chosen
        ]
        if len(found) == 1:
            return found[0]
        joined = xarray.concat(found, "alignment", join="exact", combine_attrs="drop_conflicts")
        return joined.assign_coords(alignment=chosen)

    def tell(found: Any) -> dict[str, Any]:
        return {
            "pairs": found.sizes["pair"],
            "alignment": chosen,
            "train_barrier": found["train_barrier"].mean("pair").values,
            "train_barrier_std": found["train_barrier"].std("pair").values,
            "test_barrier": found["test_barrier"].mean("pair").values,
            "distance": found["distance"].mean("pair").values,
        }

    def drawn(found: Any) -> Any:
        if len(chosen) == 1:
            return paths_figure({chosen[0]: found})
        return paths_figure({name: found.isel(alignment=n) for n, name in enumerate(chosen)})

    _run(store, out, options, work, tell, drawn, [other])


@landscape.command()
@click.argument("store", type=PLACE)
@click.option("--swaps", metavar="K,...", help="Swaps of hidden nodes; powers of two by default.")
@click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True,
              help="Random choices for each solution and k.")  # fmt: skip
@click.option("--alphas", metavar="START:STOP:STEP|A,...", help="-0.25:1.25:0.05 by default.")
@click.option(
    "--beside", type=PLACE, metavar="RESULT", multiple=True, help="Earlier results, for the figure."
)
@of_solutions(5)
@on_examples
def permute(
    store: str, out: str, swaps: str | None, alphas: str | None, beside: tuple[str, ...],
    **options: Any,
) -> None:  # fmt: skip
    """Swap k pairs of hidden nodes of solutions of STORE, then interpolate between the copies."""
    from lsg_ray.landscape.interpolation import swap_barriers
    from lsg_ray.report.figures.terrain import swaps_figure

    ks = None if swaps is None else [int(k) for k in numbers(swaps, "--swaps", whole=True)]
    others = [_result(place, "permutation and interpolation") for place in beside]
    places = _places(alphas)

    def work(view: Any, **more: Any) -> Any:
        return swap_barriers(view, swaps=ks, **places, **more)

    def tell(found: Any) -> dict[str, Any]:
        across = [d for d in found["test_barrier"].dims if d != "swaps"]
        return {
            "swaps": found["swaps"].values,
            "train_barrier": found["train_barrier"].mean(across).values,
            "test_barrier": found["test_barrier"].mean(across).values,
            "test_barrier_std": found["test_barrier"].std(across).values,
            "solutions": found.sizes["solution"],
            "log_group_order": found.attrs["log_group_order"],
        }

    def drawn(found: Any) -> Any:
        return swaps_figure({_shape(one): one for one in [found, *others]})

    _run(store, out, options, work, tell, drawn, beside)


@landscape.command()
@click.argument("store", type=PLACE)
@click.option(
    "--other",
    type=PLACE,
    metavar="STORE",
    help="Compare with it, pair by pair: small, large batch.",
)
@click.option("--eigenvalues", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--radii", default="0.1,0.2,0.3,0.5", show_default=True, metavar="R,...")
@click.option("--directions", type=click.IntRange(min=2), default=10, show_default=True)
@click.option("--probes", type=click.IntRange(min=2), default=10, show_default=True,
              help="Random vectors for the trace.")  # fmt: skip
@click.option("--max-iterations", type=click.IntRange(min=1), default=100, show_default=True)
@of_solutions(10)
@on_examples
def flatness(
    store: str, out: str, other: str | None, radii: str, configurations: int | None, **options: Any
) -> None:
    """Measure how flat solutions of STORE are: Hessian, loss at fixed relative radius."""
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.landscape.comparison import compare_minima
    from lsg_ray.landscape.flatness import flatness
    from lsg_ray.report.figures.terrain import flatness_figure, minima_figure

    chosen = numbers(radii, "--radii")
    second = None if other is None else open_ensemble(other)

    def work(view: Any, **more: Any) -> Any:
        if second is not None:
            return compare_minima(view, second, count=configurations or PAIRS, radii=chosen, **more)
        return flatness(view, configurations=configurations, radii=chosen, **more)

    def tell(found: Any) -> dict[str, Any]:
        if second is None:
            names = [name for name in found.attrs if name.endswith(("_mean", "_std"))]
            return {name: found.attrs[name] for name in ["converged", *names]}
        return {
            "pairs": found.attrs["pairs"],
            "converged": found.attrs["converged"],
            **{
                str(name): {
                    found.attrs["first"] + " (first)": f"{float(found['mean'][0, n]):.6g} ± "
                    f"{float(found['std'][0, n]):.2g}",
                    found.attrs["second"] + " (second)": f"{float(found['mean'][1, n]):.6g} ± "
                    f"{float(found['std'][1, n]):.2g}",
                    "z": float(found["z"][n]),
                }
                for n, name in enumerate(found["quantity"].values)
            },
        }

    drawn = flatness_figure if second is None else minima_figure
    _run(store, out, options, work, tell, drawn, [other])


@landscape.command()
@click.argument("store", type=PLACE)
@click.option("--configuration", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--extent", type=float, default=1.0, show_default=True)
@click.option("--points", type=click.IntRange(min=3), default=25, show_default=True,
              help="In each direction; odd.")  # fmt: skip
@on_examples
def surface(store: str, out: str, **options: Any) -> None:
    """Map the loss on a plane through a solution of STORE, in filter-normalised directions."""
    from lsg_ray.landscape.surface import loss_surface
    from lsg_ray.report.figures.terrain import surface_figure

    def tell(found: Any) -> dict[str, Any]:
        loss = found["train_loss"]
        return {
            "at_the_solution": float(loss.sel(a=0, b=0)), "lowest": float(loss.min()),
            "highest": float(loss.max()), "cosine": found.attrs["cosine"],
        }  # fmt: skip

    _run(store, out, options, loss_surface, tell, surface_figure)


def _run(
    store: str,
    out: str,
    options: dict[str, Any],
    work: Callable[..., Any],
    tell: Callable[[Any], dict[str, Any]],
    drawn: Callable[[Any], Any],
    others: Sequence[str | None] = (),
) -> None:
    """Check the target, open the store, do the work where it is to run, save, draw and tell."""
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.statistics.pieces import forget_pieces, pieces_of
    from lsg_ray.statistics.results import save_result

    options = dict(options)
    figure, overwrite, as_json = (options.pop(n) for n in ("figure", "overwrite", "as_json"))
    where, examples = options.pop("where"), options.pop("examples")
    began = time.perf_counter()
    with landscape_run([out], [store, *others], figure, overwrite, as_json, options) as progress:
        view = open_ensemble(store)
        view = view if where is None else view.where(where)
        found = work(
            view, examples=examples or None, pieces=pieces_of(out), progress=progress,
            **without_place(options),
        )  # fmt: skip
    save_result(found, out, overwrite=overwrite)
    forget_pieces(out)
    if figure is not None:
        draw(figure, drawn(found))
    seconds = time.perf_counter() - began
    summary = {
        "out": out, "figure": figure, **tell(found), "examples": found.attrs["examples"],
        "seconds": seconds,
    }  # fmt: skip
    print_result(summary, as_json, table({k: v for k, v in summary.items() if v is not None}))


def _places(alphas: str | None) -> dict[str, Any]:
    try:
        return {} if alphas is None else {"alphas": parse_fields(alphas)}
    except InputError as error:
        raise InputError(str(error).replace("--fields", "--alphas")) from None


def _result(place: str, statistic: str) -> Any:
    """Open an earlier result of some kind."""
    from lsg_ray.statistics.opening import attributes_of, open_result

    holds = attributes_of(place).get("statistic")
    if holds != statistic:
        raise InputError(f"{place}: holds {holds!r}, not a result {statistic!r}")
    try:
        with open_result(place) as found:
            return found.load()
    except InputError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # a damaged one fails in a dozen ways
        raise InputError(f"{place}: cannot be read as a result ({type(error).__name__})") from None


def _shape(found: Any) -> str:
    return "–".join(str(n) for n in found.attrs["widths"])
