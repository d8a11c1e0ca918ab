"""Topology of the loss on planes through solutions: minima, saddles, and how they merge.

On a grid in a plane h = ln(L + f) has minima, each of which joins an older one at a saddle
(`lsg_ray.loss_landscape.curves.persistence`).  The mean of h(saddle) − h(minimum) over the minima
of a persistence of at least τ, the lowest aside, is the *mean gap* of the slice: what has to be
climbed to leave a minimum within the plane.  Through three solutions the plane holds all of them,
and the gap bounds the barrier between them from above, on whatever path, not the straight one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, Unpack

import numpy as np
import xarray
from annotated_types import Ge, Le

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.curves.measured import measure_subspace
from lsg_ray.loss_landscape.curves.persistence import Minima, minima_of
from lsg_ray.loss_landscape.curves.types import CURVES
from lsg_ray.loss_landscape.flatness import filter_normalised
from lsg_ray.loss_landscape.terrain import Terrain, measured, open_solutions, run_protocol
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.statistics.estimates import stderr
from lsg_ray.typing import (
    EnsembleLike,
    Floats,
    Integers,
    LossTasks,
    NonNegative,
    Positive,
    Several,
    Singles,
    Variables,
)

#: Planes: two filter-normalised random directions, or the way to two other solutions.
Plane = Literal["random", "solutions"]
#: Address of the random numbers in `Stream.LANDSCAPE`.
_SLICES = 22


class _Slice(NamedTuple):
    """Measures of one plane (4, points, points), and the cosine of its directions (1,)."""

    values: Floats
    cosine: Floats


@public
def slice_topology(
    solutions: EnsembleLike,
    *,
    plane: Plane = "random",
    configurations: Integers | None = None,
    slices: Several = 4,
    extent: Positive = 1.0,
    points: Annotated[int, Ge(5), Le(501)] = 33,
    threshold: NonNegative = 0.05,
    **run: Unpack[LossTasks],
) -> xarray.Dataset:
    """Find minima and saddles of the loss on planes through solutions, and their merge tree.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    plane
        Planes: ``random``, through a solution in two filter-normalised directions, or
        ``solutions``, through three solutions, at (0, 0), (1, 0) and (0, 1), each in one plane.
    configurations
        Number of solutions, the first ones, or their indices; by default up to 5, or 15 where there
        are three in a plane.
    slices
        Number of random planes through each solution.
    extent
        Half of the side of the plane around the solution or, of three solutions, how far it goes on
        beyond them, from −extent to 1 + extent.
    points
        Number of points of each side; odd in a random plane, so that the solution is one of them.
    threshold
        Least persistence τ of a minimum, in nats of ln(L + f).
    examples
        Number of training examples that the loss is computed on, drawn at random; 0 for all.
    seed
        Seed of all random numbers.
    checkpoints
        Folder for results of finished tasks, from which an interrupted call resumes.
    progress
        Called with ``(tasks done, all tasks)``.

    Returns
    -------
    xarray.Dataset
        Over (solution, slice, a, b) losses and accuracies; of three solutions ``solution`` is the
        first.  Over (solution, slice, part, minimum), of the training and the test loss, the most
        persistent first, NaN where there are fewer:
        ``birth`` and ``death``, h at the minimum and the saddle, ``minimum_a``, ``minimum_b``,
        ``saddle_a``, ``saddle_b`` their places, ``parent`` the number of the minimum that it joins,
        −1 of the lowest.  Over (solution, slice, part) ``minima``, their number, ``gap``, the mean
        of death − birth but for the lowest, NaN where there is none, and ``open``, whether a
        minimum is at the border.  Over parts ``minima_mean``, ``gap_mean`` with ``…_stderr``, over
        solutions, of the means of their slices.

    Raises
    ------
    InputError
        An even number of points, too few solutions, or networks without gradients.

    Notes
    -----
    A plane costs three products of the first layer for some hundred points
    (`lsg_ray.networks.relu_subspace`).
    """
    if plane == "random" and points % 2 == 0:
        raise InputError(f"points {points} given; an odd number is needed")
    chosen = open_solutions(
        solutions,
        configurations,
        default=5 if plane == "random" else 15,
        at_least=1 if plane == "random" else 3,
    )
    low, high = (-extent, extent) if plane == "random" else (-extent, 1 + extent)
    grid = np.round(np.linspace(low, high, points), 12)
    # Planes of no solution in common: their minima and gaps are independent.
    together, each = (1, slices) if plane == "random" else (3, 1)
    first = np.arange(0, len(chosen.numbers) - together + 1, together)
    numbers = chosen.numbers[first]
    arguments = [
        (
            chosen.weights[row],
            chosen.weights[row + 1 : row + together],
            grid,
            (run["seed"], int(chosen.numbers[row]), index),
        )
        for row in first
        for index in range(each)
    ]
    planes, about = run_protocol(_slice, _Slice, chosen, arguments, (len(numbers), each), run)
    return (
        _dataset(planes, grid, threshold)
        .assign_coords(solution=numbers)
        .assign_attrs(
            about,
            statistic="topology of slices",
            plane=plane,
            extent=extent,
            threshold=threshold,
            floor=CURVES.floor,
        )
    )


def _slice(
    terrain: Terrain, w: Singles, others: Singles, grid: Floats, address: tuple[int, int, int]
) -> _Slice:
    """Measure one plane: the body of a task."""
    seed, number, index = address
    directions = others - w
    if not len(others):
        rng = generator(seed, Stream.LANDSCAPE, _SLICES, number, index, 1)
        drawn = rng.standard_normal((2, len(w)), np.float32)
        directions = filter_normalised(terrain.network, w, drawn)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    values = measure_subspace(terrain, w, directions, points)
    d = directions.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # of weights that are all zero
        cosine = d[0] @ d[1] / np.prod(np.linalg.norm(d, axis=1))
    return _Slice(values.reshape(4, len(grid), len(grid)), np.array([cosine]))


def _dataset(planes: _Slice, grid: Floats, threshold: float) -> xarray.Dataset:
    values = np.moveaxis(planes.values, 2, 0)
    outer, nat = ("solution", "slice", "part"), {"units": "nat"}
    heights = np.log(values[[0, 2]] + CURVES.floor).transpose(1, 2, 0, 3, 4)
    if not np.isfinite(heights).all():
        raise InputError(
            f"extent {grid[-1]:g} given; the loss overflows on planes so large: a smaller one is "
            "needed"
        )
    shape = heights.shape[:3]
    each = {index: minima_of(heights[index]).above(threshold) for index in np.ndindex(*shape)}
    most = max(len(minima.minimum) for minima in each.values())
    names = ("birth", "death", "parent", "minimum_a", "minimum_b", "saddle_a", "saddle_b")
    columns = {name: np.full((*shape, most), np.nan) for name in names}
    count, gap, border = np.zeros(shape, int), np.full(shape, np.nan), np.zeros(shape, bool)
    for index, minima in each.items():
        for name, one in _described(minima, grid).items():
            columns[name][index][: len(one)] = one
        count[index] = len(minima.minimum)
        if count[index] > 1:
            gap[index] = minima.persistence[1:].mean()
        rows, cols = np.divmod(minima.minimum, len(grid))
        ends = (0, len(grid) - 1)
        border[index] = bool((np.isin(rows, ends) | np.isin(cols, ends)).any())
    over = (*outer, "minimum")
    result = xarray.Dataset(
        {
            **measured(values, ("solution", "slice", "a", "b")),
            **{name: (over, column) for name, column in columns.items()},
            "minima": (outer, count),
            "gap": (outer, gap, {"long_name": "mean gap of saddle and minimum", **nat}),
            "open": (outer, border, {"long_name": "a minimum is at the border"}),
            "cosine": (("solution", "slice"), planes.cosine[..., 0]),
        },
        {"a": grid, "b": grid, "part": ["train", "test"]},
    )
    means: Variables = {}
    for name, column in (("minima", count.astype(float)), ("gap", gap)):
        mean, error = _over_solutions(column)
        means |= {f"{name}_mean": ("part", mean), f"{name}_mean_stderr": ("part", error)}
    return result.assign(means)


def _described(minima: Minima, grid: Floats) -> dict[str, Floats]:
    """Return what is stored of the minima, by name."""
    n = len(grid)
    row, column = np.divmod(minima.minimum, n)
    saddle_row, saddle_column = np.divmod(minima.saddle, n)
    none = minima.saddle < 0
    return {
        "birth": minima.birth,
        "death": minima.death,
        "parent": minima.parent.astype(float),
        "minimum_a": grid[row],
        "minimum_b": grid[column],
        "saddle_a": np.where(none, np.nan, grid[saddle_row]),
        "saddle_b": np.where(none, np.nan, grid[saddle_column]),
    }


def _over_solutions(values: Floats) -> tuple[Floats, Floats]:
    """Return the mean over (solution, slice, part) of the means of solutions, and its error.

    Slices without a value do not count; solutions without one neither.
    """
    mean, error = np.full((2, values.shape[2]), np.nan)
    for part in range(values.shape[2]):
        rows = [row[np.isfinite(row)] for row in values[..., part]]
        own = np.array([row.mean() for row in rows if len(row)])
        if len(own):
            mean[part] = own.mean()
        if len(own) > 1:
            error[part] = stderr(own, 0)
    return mean, error


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    names = ("minima_mean", "minima_mean_stderr", "gap_mean", "gap_mean_stderr")
    return {
        "plane": result.attrs["plane"],
        "slices": result.sizes["solution"] * result.sizes["slice"],
        **{
            name: dict(zip(("train", "test"), result[name].values.tolist(), strict=True))
            for name in names
        },
        "with_several_minima": (result["minima"] > 1).sum(("solution", "slice")).values,
        "open": result["open"].sum(("solution", "slice")).values,
        "examples": result.attrs["examples"],
    }


STAGE = Stage(
    "slice-topology",
    slice_topology,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    figures=[
        Figure(
            "lsg_ray.report.figures.slices:slices_figure",
            "Topology of slices of the loss",
            "slices_caption",
        )
    ],
)
