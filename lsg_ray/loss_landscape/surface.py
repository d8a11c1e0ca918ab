"""Loss surfaces: L(w + a d₁ + b d₂) on a grid around a solution, in two random directions.

The directions are filter-normalised, as in `lsg_ray.loss_landscape.flatness` (H. Li et al.,
"Visualizing the loss landscape of neural nets", NeurIPS 2018).
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Unpack

import numpy as np
import xarray
from annotated_types import Ge, Le

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.flatness import filter_normalised
from lsg_ray.loss_landscape.terrain import Terrain, measured, open_solutions, run_protocol
from lsg_ray.renaming import renamed
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import EnsembleLike, Floats, LossTasks, Natural, Positive, Singles


class _Rows(NamedTuple):
    """Measures of one row of the grid, (4, networks)."""

    values: Floats


@renamed(pieces="checkpoints")
@public
def loss_surface(
    solutions: EnsembleLike,
    *,
    configuration: Natural = 0,
    extent: Positive = 1.0,
    points: Annotated[int, Ge(3), Le(1001)] = 25,
    **run: Unpack[LossTasks],
) -> xarray.Dataset:
    """Measure the loss on a plane through a solution, in two filter-normalised random directions.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    configuration
        Index of the solution, its configuration in the ensemble.
    extent
        Half of the side of the plane, which reaches from −extent to extent in both directions.
    points
        Number of points in each direction; odd, so that the solution is one of them.
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
        Over (a, b) ``train_loss``, ``train_accuracy``, ``test_loss``, ``test_accuracy``.

    Raises
    ------
    InputError
        An even number of points, or no such solution.
    """
    if points % 2 == 0:
        raise InputError(f"points {points} given; an odd number is needed")
    chosen = open_solutions(solutions, [configuration])
    w = chosen.weights[0]
    rng = generator(run["seed"], Stream.LANDSCAPE, 5, configuration)
    directions = filter_normalised(chosen.network, w, rng.standard_normal((2, len(w)), np.float32))
    # Rounded, so that the solution itself, at 0, is on the grid.
    grid = np.round(np.linspace(-extent, extent, points), 12)
    arguments = [(w, directions, a, grid) for a in grid]
    rows, about = run_protocol(_surface_row, _Rows, chosen, arguments, (points,), run)
    values = np.moveaxis(rows.values, -2, 0)
    cosine = float(directions[0] @ directions[1] / np.prod(np.linalg.norm(directions, axis=1)))
    about |= {"statistic": "loss surface", "configuration": configuration, "cosine": cosine}
    return xarray.Dataset(measured(values, ("a", "b")), {"a": grid, "b": grid}, about)


def _surface_row(
    terrain: Terrain, w: Singles, directions: Singles, a: float, grid: Floats
) -> _Rows:
    first = w + np.float32(a) * directions[0]
    rows = [terrain.measure((first + np.float32(b) * directions[1])[None]) for b in grid]
    return _Rows(np.concatenate(rows, axis=1))


def _shown(surface: xarray.Dataset) -> dict[str, Any]:
    loss = surface["train_loss"]
    return {
        "at_the_solution": float(loss.sel(a=0, b=0)),
        "lowest": float(loss.min()),
        "highest": float(loss.max()),
        "cosine": surface.attrs["cosine"],
        "examples": surface.attrs["examples"],
    }


STAGE = Stage(
    "surface",
    loss_surface,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    figures=[
        Figure(
            "lsg_ray.report.figures.loss_landscape:surface_figure",
            "Loss surface",
            "surface_caption",
        )
    ],
)
