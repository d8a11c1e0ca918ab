r"""Asymmetric valleys: the loss rises less in the directions whose signs are those of the weights.

Around a trained network θ the loss and the error are measured at θ + λ ε, λ from −1 to 1
(arXiv:2405.12489, NeurIPS 2024).  The direction ε is noise of unit variance, a share r of whose
coordinates gets the sign of θ, at the scale of θ, times a width s
(`lsg_ray.loss_landscape.valleys.directions`).  The coordinates of a larger r contain those of a
smaller one, so that ratios differ by nothing else.

With Ē₊, Ē₋ the mean error (or loss) over λ > 0 and λ < 0, the asymmetry index is

    A = (Ē₋ − Ē₊)/(Ē₋ + Ē₊),

0 of a symmetric valley and positive where the side of the own signs is the flatter one.  (The index
is of this package.)  Beside it stand, along λ, the mean of tr(diag p − ppᵀ) = 1 − Σ p² over
examples, p the softmax of the scores, a factor of the curvature of the loss; and the share of
hidden units and examples that are active or not as they are in θ.

Noise is drawn by seed, ensemble and configuration, apart from the starts of training: noise that
is a start is no noise, since trained weights keep most of its signs.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Unpack

import numpy as np
import xarray
from annotated_types import Ge, Le

from lsg_ray.arrays import as_numbers, brief, in_range, public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.terrain import (
    MEASURES,
    Solutions,
    Terrain,
    measured,
    open_solutions,
    run_protocol,
)
from lsg_ray.loss_landscape.valleys.diagnostics import diagnostics
from lsg_ray.loss_landscape.valleys.directions import (
    LAWS,
    SPECIAL,
    Law,
    Scale,
    scaled,
    shared_signs,
    sign_overwrite,
    special_directions,
)
from lsg_ray.loss_landscape.valleys.monotone import CRITERION, averaged, by_units, monotone
from lsg_ray.networks.solvers.related_descent import group_of
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import (
    EnsembleLike,
    Floats,
    Integers,
    Ints,
    LossTasks,
    Numbers,
    Several,
    Singles,
    Variables,
)

#: Default shares of coordinates whose signs are overwritten.
RATIOS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
#: Quantities that have an asymmetry index, with the measure that each is of.
INDICES = ("test_error", "test_loss", "train_error", "train_loss")
#: Purposes of random numbers in `Stream.LANDSCAPE`.
_NOISE, _CHOICE = 30, 31


class _Profiles(NamedTuple):
    """Profiles of one solution along λ.

    values: (6, widths, ratios, directions, λ) the measures, softmax variance, ReLU agreement;
    consistency: (widths, ratios, directions); special, special_consistency: (6, widths, specials,
    λ) and (widths, specials) likewise.
    """

    values: Floats
    consistency: Floats
    special: Floats
    special_consistency: Floats


@public
def valley_asymmetry(
    solutions: EnsembleLike,
    *,
    noise: Law = "gaussian",
    scale: Scale = "norm",
    widths: Numbers = (1.0,),
    ratios: Numbers = RATIOS,
    directions: Several = 16,
    points: Annotated[int, Ge(3), Le(1001)] = 21,
    special: bool = True,
    configurations: Integers | None = None,
    **run: Unpack[LossTasks],
) -> xarray.Dataset:
    """Measure the asymmetry of the loss along directions of more and more consistent signs.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    noise
        Law of the noise, symmetric and of unit variance.
    scale
        Scale of the noise: ``norm``, that of the weights of each layer; ``filter``, of the weights
        into each unit; ``raw``, unit variance.
    widths
        Factor s that the scaled noise is multiplied by; one or several.
    ratios
        Share r of the coordinates of the noise that get the sign of the weight, from 0 to 1.
    directions
        Number of random directions for each solution.
    points
        Number of points λ from −1 to 1; odd, so that the solution is one of them.
    special
        Whether to measure the special directions too: start, weights, signs, and permuted signs.
    configurations
        Number of solutions, the first ones, or their indices; by default up to 8.
    examples
        Number of training examples that the loss is computed on, drawn at random; 0 for all.
    seed
        Seed of all random numbers.
    checkpoints
        Folder for results of finished solutions, from which an interrupted call resumes.
    progress
        Called with ``(solutions done, all solutions)``.

    Returns
    -------
    xarray.Dataset
        Over (width, ratio, solution, step), means over directions of the measures, of
        ``softmax_variance`` and ``relu_agreement``, with the coordinate ``lambda``; over
        (quantity, width, ratio, solution, direction) ``asymmetry``; over (quantity, width, ratio)
        ``asymmetry_mean``, with ``asymmetry_mean_stderr`` over solutions and
        ``asymmetry_direction_stderr`` over directions of these solutions alone;
        ``sign_consistency`` (width, ratio, solution, direction).  With `special`, the same with
        names that begin with ``special_``, over ``special`` in place of ratio, one direction each.
        Attributes: ``monotone_QUANTITY``, whether A rises with r, for each width: yes, no or
        undetermined, with ``criterion``.

    Raises
    ------
    InputError
        An even number of points, ratios outside [0, 1] or that do not ascend.

    Notes
    -----
    Errors, and the verdict (`lsg_ray.loss_landscape.valleys.monotone.monotone`), are over
    solutions, or over groups of related ones (``group``).

    Cost: widths × ratios × directions × points networks for each solution, on the examples and
    twice on the test set.
    """
    if points % 2 == 0:
        raise InputError(f"points {points} given; an odd number is needed")
    s, r = in_range(widths, "widths"), _checked_ratios(ratios)
    chosen = open_solutions(solutions, configurations, default=8)
    # Rounded, so that the solution itself, at 0, is on the grid.
    steps = np.round(np.linspace(-1, 1, points), 12)
    starts = _starts(chosen) if special else None
    # Numbers of configurations are the same in every ensemble.
    ensemble = int(chosen.ensemble.spec_hash[:16], 16)
    arguments = [
        (
            w,
            None if starts is None else starts[row],
            (noise, scale, directions, special),
            s,
            r,
            steps,
            (run["seed"], int(number), ensemble),
        )
        for row, (w, number) in enumerate(zip(chosen.weights, chosen.numbers, strict=True))
    ]
    profiles, about = run_protocol(_profiles, _Profiles, chosen, arguments, (len(arguments),), run)
    group = chosen.numbers // group_of(chosen.spec)
    result = _dataset(profiles, steps, group, starts is not None)
    result = result.assign_coords(
        width=("width", s, {"long_name": "width s"}),
        ratio=("ratio", r, {"long_name": "share r of overwritten signs"}),
        solution=chosen.numbers,
        group=("solution", group),
    )
    return result.assign_attrs(
        about,
        statistic="valley asymmetry",
        noise=noise,
        scale=scale,
        directions=directions,
        **verdicts(result),
    )


def _checked_ratios(given: Numbers) -> Floats:
    ratios = np.atleast_1d(as_numbers(given, "ratios"))
    rising = ratios.ndim == 1 and len(ratios) > 0 and (np.diff(ratios) > 0).all()
    if not rising or not ((ratios >= 0) & (ratios <= 1)).all():
        raise InputError(f"ratios {brief(given)} given; shares from 0 to 1 that ascend are needed")
    return ratios


def _starts(chosen: Solutions) -> Singles | None:
    """Return the weights before training; None where they are not stored, or are what is asked."""
    if chosen.ensemble.at is not None or 0 not in chosen.spec.times[1]:
        return None
    weights: Singles = chosen.ensemble.snapshot(0).take(chosen.numbers)["weights"]
    return weights


def _profiles(
    terrain: Terrain,
    w: Singles,
    start: Singles | None,
    drawn: tuple[Law, Scale, int, bool],
    widths: Floats,
    ratios: Floats,
    steps: Floats,
    address: tuple[int, ...],
) -> _Profiles:
    """Measure around one solution: the body of a task."""
    (law, scale, directions, special), (seed, *path) = drawn, address
    network, n = terrain.network, len(w)
    values = np.empty((6, len(widths), len(ratios), directions, len(steps)))
    consistency = np.empty(values.shape[1:-1])
    for d in range(directions):
        rng = generator(seed, Stream.LANDSCAPE, _NOISE, *path, d)
        noise, chosen = LAWS[law](rng, n), rng.random(n)
        for k, ratio in enumerate(ratios):
            overwritten = sign_overwrite(noise, w, chosen, ratio)
            (direction,) = scaled(network, w, overwritten[None], scale)
            consistency[:, k, d] = shared_signs(w, direction)
            for i, width in enumerate(widths):
                values[:, i, k, d] = _along(terrain, w, width * direction, steps)
    rng = generator(seed, Stream.LANDSCAPE, _CHOICE, *path)
    chosen_ones = special_directions(network, w, start, rng) if special else {}
    along = np.empty((6, len(widths), len(chosen_ones), len(steps)))
    shared = np.empty((len(widths), len(chosen_ones)))
    for k, one in enumerate(chosen_ones.values()):
        (direction,) = scaled(network, w, one[None], scale)
        shared[:, k] = shared_signs(w, direction)
        for i, width in enumerate(widths):
            along[:, i, k] = _along(terrain, w, width * direction, steps)
    return _Profiles(values, consistency, along, shared)


def _along(terrain: Terrain, w: Singles, direction: Singles, steps: Floats) -> Floats:
    """Return the measures and the diagnostics (6, λ) of networks w + λ d."""
    networks = w + steps.astype(np.float32)[:, None] * direction.astype(np.float32)
    return np.concatenate([terrain.measure(networks), diagnostics(terrain, w, networks)])


def asymmetry(profiles: Floats, steps: Floats) -> Floats:
    """Return A = (Ē₋ − Ē₊)/(Ē₋ + Ē₊) of profiles (…, λ); NaN where both means are zero.

    >>> float(asymmetry(np.array([3.0, 0.0, 1.0]), np.array([-1.0, 0.0, 1.0])))
    0.5
    """
    minus, plus = profiles[..., steps < 0].mean(-1), profiles[..., steps > 0].mean(-1)
    total = minus + plus
    return np.divide(minus - plus, total, out=np.full(total.shape, np.nan), where=total != 0)


def _indices(values: Floats, steps: Floats) -> Floats:
    """Return the asymmetries (`INDICES`, …) of measures (4, …, λ)."""
    train_loss, train_accuracy, test_loss, test_accuracy = values
    profiles = (1 - test_accuracy, test_loss, 1 - train_accuracy, train_loss)
    return np.stack([asymmetry(one, steps) for one in profiles])


def _dataset(profiles: _Profiles, steps: Floats, group: Ints, start: bool) -> xarray.Dataset:
    variables = _variables("", profiles.values, profiles.consistency, steps, group)
    names = SPECIAL[not start :] if profiles.special.size else ()
    if names:
        along, shared = (
            some[..., None] for some in (profiles.special, profiles.special_consistency)
        )
        along = np.moveaxis(along, -1, -2)
        variables |= _variables("special_", along, shared, steps, group)
    result = xarray.Dataset(
        variables,
        {
            "quantity": list(INDICES),
            "lambda": ("step", steps, {"long_name": "position λ along the direction"}),
        },
    )
    return result.assign_coords(special=list(names)) if names else result


def _variables(
    prefix: str, values: Floats, consistency: Floats, steps: Floats, group: Ints
) -> Variables:
    """Return variables of profiles (solution, 6, width, ratio or special, direction, λ).

    Special directions are one each, and have no dimension of directions.
    """
    over = "special" if prefix else "ratio"
    values = np.moveaxis(values, 0, 3)  # (6, width, over, solution, direction, λ)
    consistency = np.moveaxis(consistency, 0, 2)
    indices, one = _indices(values[: len(MEASURES)], steps), {"units": "1"}
    dims, index = ("width", over, "solution"), ("quantity", "width", over)
    means, by_solution = values.mean(axis=-2), indices.mean(axis=-1)
    mean, error = averaged(by_units(by_solution, group))
    softmax, relu = means[len(MEASURES) :]
    about, shared = (
        {"long_name": "asymmetry index A", **one},
        {"long_name": "sign consistency", **one},
    )
    named: Variables = {
        **measured(means[: len(MEASURES)], (*dims, "step")),
        "softmax_variance": ((*dims, "step"), softmax, {"long_name": "tr(diag p − ppᵀ)"}),
        "relu_agreement": ((*dims, "step"), relu, {"long_name": "units as in the solution"}),
        "asymmetry_mean": (index, mean, about),
        "asymmetry_mean_stderr": (index, error, one),
    }
    if prefix:
        named["asymmetry"] = (("quantity", *dims), by_solution, about)
        named["sign_consistency"] = (dims, consistency[..., 0], shared)
    else:
        of_one = averaged(indices)[1]
        of_these = np.sqrt((of_one**2).mean(axis=-1) / of_one.shape[-1])
        named["asymmetry"] = (("quantity", *dims, "direction"), indices, about)
        named["asymmetry_direction_stderr"] = (index, of_these, one)
        named["sign_consistency"] = ((*dims, "direction"), consistency, shared)
    return {prefix + name: variable for name, variable in named.items()}


def verdicts(result: xarray.Dataset) -> dict[str, str]:
    """Return whether A rises with the ratio, by quantity (and width), and the criterion."""
    by_solution = result["asymmetry"].mean("direction").transpose("quantity", "width", ...)
    words = {}
    for name, by_width in zip(INDICES, by_solution.values, strict=True):
        units = by_units(by_width, result["group"].values)
        words[f"monotone_{name}"] = ", ".join(monotone(table.T) for table in units)
    return words | {"criterion": CRITERION}


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    rows = {
        name: {
            f"s = {width:g}": [
                f"{mean:.3f} ± {error:.2g}"
                for mean, error in zip(
                    result["asymmetry_mean"].sel(quantity=name, width=width).values,
                    result["asymmetry_mean_stderr"].sel(quantity=name, width=width).values,
                    strict=True,
                )
            ]
            for width in result["width"].values
        }
        for name in INDICES[:2]
    }
    shared = result["sign_consistency"].isel(width=0).mean(("solution", "direction"))
    shown: dict[str, Any] = {
        "noise": result.attrs["noise"],
        "solutions": result.sizes["solution"],
        "ratio": result["ratio"].values,
        "sign_consistency": shared.values,
        **rows,
        **{name: value for name, value in result.attrs.items() if name.startswith("monotone")},
    }
    if "special" in result.coords:
        names = result["special"].values
        mean = result["special_asymmetry_mean"].sel(quantity=INDICES[0]).isel(width=0).values
        shared = result["special_sign_consistency"].isel(width=0).mean("solution")
        shown["special"] = {
            str(name): f"A {a:.3f}, SSR {c:.3f}"
            for name, a, c in zip(names, mean, shared.values, strict=True)
        }
    return shown


STAGE = Stage(
    "valley-asymmetry", valley_asymmetry, reads={"solutions": SOLUTIONS}, summary=_shown,
    figures=[
        Figure("lsg_ray.report.figures.valleys:asymmetry_figure", "Asymmetry of valleys",
               "asymmetry_caption", together=7),
        Figure("lsg_ray.report.figures.valleys:profiles_figure", "Loss along consistent signs",
               "profiles_caption"),
    ],
)  # fmt: skip
