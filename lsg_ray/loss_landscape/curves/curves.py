"""Types of the loss curves through solutions, along directions by construction.

Z. Xu, Y. Li, Z. Zhan, arXiv:2405.12493.  A Gaussian direction of norm ‖ε‖ has the curvature
εᵀHε = ‖ε‖² tr H / N on average, with a relative standard deviation of √(2 tr H²) / tr H, small
where many eigenvalues contribute: this is why random directions show v-basins.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Unpack

import numpy as np
import xarray
from annotated_types import Ge, Le

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.curves.directions import (
    DRAWN,
    EIGEN_TOLERANCE,
    SINGLE,
    Scaling,
    curvatures,
    directions_of,
    kinds_of,
)
from lsg_ray.loss_landscape.curves.measured import (
    label_shares,
    measure_subspace,
    type_variables,
    typed,
)
from lsg_ray.loss_landscape.curves.types import CURVES, LABELS
from lsg_ray.loss_landscape.terrain import Terrain, measured, open_solutions, run_protocol
from lsg_ray.results.saving import names_of
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import (
    Array,
    EnsembleLike,
    Floats,
    Integers,
    LossTasks,
    Positive,
    Repeats,
    Singles,
)

#: Points of a curve: an odd number, so that the solution, λ = 0, is one of them.
Points = Annotated[int, Ge(41), Le(1001)]
#: Address of the random numbers in `Stream.LANDSCAPE`.
_CURVES = 20


class _Curves(NamedTuple):
    """Of one solution: measures (4, D, points), εᵀHε and ‖ε‖ (D,), residuals (2,)."""

    values: Floats
    curvature: Floats
    length: Floats
    residual: Floats


@public
def loss_curves(
    solutions: EnsembleLike,
    *,
    configurations: Integers | None = None,
    points: Points = 41,
    draws: Repeats = 3,
    length: Positive = 1.0,
    scaling: Scaling = "whole",
    **run: Unpack[LossTasks],
) -> xarray.Dataset:
    """Classify loss curves through solutions, along directions by construction.

    Directions: the negative gradient, the weights themselves, another solution, eigenvectors of the
    largest and the smallest eigenvalue of the Hessian, Gaussian and filter-normalised ones.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    configurations
        Number of solutions, the first ones, or their indices; by default up to 10.
    points
        Number of points of a curve, odd, so that the solution, λ = 0, is one of them.
    draws
        Number of Gaussian and of filter-normalised directions of each solution.
    length
        Length of a direction, in units of the norm of the weights.
    scaling
        Norms that directions are scaled to: of all weights (``whole``), or of each layer
        (``layer``).
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
        Over (solution, direction, point) losses and accuracies; ``position`` λ (direction, point),
        from −1 to 1, to another solution from −1 to 2.  Over (solution, direction), of the training
        and the test loss, ``train_label``, … as of
        `lsg_ray.loss_landscape.curves.measured.type_variables`; ``curvature`` εᵀHε of the training
        loss (nat), ``unit_curvature`` of the unit vector, ``length`` ‖ε‖.  Over (construction,
        label) ``train_share`` and ``test_share`` with ``…_stderr`` over networks (`label_shares`).
        Over constructions ``agreement``, the share of curves of one label on both sets.  Over
        (solution, end) ``residual`` of the two eigenvectors, relative, and ``converged``.

    Raises
    ------
    InputError
        An even number of points, fewer than two solutions, or networks without gradients.

    Notes
    -----
    For each solution the Hessian products of the two eigenvectors, 100 at most; a curve costs as
    much as two networks (`lsg_ray.networks.relu_subspace`).
    """
    if points % 2 == 0:
        raise InputError(f"points {points} given; an odd number is needed")
    chosen = open_solutions(solutions, configurations, default=10, at_least=2)
    grid = grids(points, draws)
    arguments = [
        (w, other, grid, draws, length, scaling, (run["seed"], int(number)))
        for w, other, number in zip(
            chosen.weights, np.roll(chosen.weights, -1, axis=0), chosen.numbers, strict=True
        )
    ]
    curves, about = run_protocol(_curves, _Curves, chosen, arguments, (len(arguments),), run)
    return (
        _dataset(curves, grid, draws)
        .assign_coords(solution=chosen.numbers)
        .assign_attrs(
            about,
            statistic="loss curves",
            draws=draws,
            length=length,
            scaling=scaling,
            floor=CURVES.floor,
            threshold=CURVES.threshold,
        )
    )


def grids(points: int, draws: int) -> Floats:
    """Return λ of each direction (D, points): from −1 to 1, to another solution from −1 to 2.

    λ = 0 is in the middle of both, so the step to another solution is twice as long after it.
    """
    plain = np.round(np.linspace(-1, 1, points), 12)
    far = np.where(plain > 0, 2 * plain, plain)
    return np.stack([far if name == "solution" else plain for name in kinds_of(draws)])


def _curves(
    terrain: Terrain,
    w: Singles,
    other: Singles,
    grid: Floats,
    draws: int,
    length: float,
    scaling: Scaling,
    address: tuple[int, int],
) -> _Curves:
    """Measure all curves of one solution: the body of a task."""
    seed, number = address
    rng = generator(seed, Stream.LANDSCAPE, _CURVES, number)
    epsilon, residual = directions_of(
        terrain, w, other, rng, draws=draws, length=length, scaling=scaling
    )
    values = [
        measure_subspace(terrain, w, one[None], places[:, None])
        for one, places in zip(epsilon, grid, strict=True)
    ]
    curvature = curvatures(terrain, w, epsilon)
    return _Curves(
        np.stack(values, axis=1),
        curvature,
        np.linalg.norm(epsilon.astype(np.float64), axis=1),
        residual,
    )


def _dataset(curves: _Curves, grid: Floats, draws: int) -> xarray.Dataset:
    values = np.moveaxis(curves.values, 1, 0)
    dims, nat = ("solution", "direction"), {"units": "nat"}
    names = np.array(kinds_of(draws))
    positions = np.broadcast_to(grid, values.shape[1:])
    with np.errstate(divide="ignore", invalid="ignore"):  # between equal networks there is none
        unit = curves.curvature / curves.length**2
    result = xarray.Dataset(
        {
            **measured(values, (*dims, "point")),
            "position": (("direction", "point"), grid, {"long_name": "λ", "units": "1"}),
            "curvature": (dims, curves.curvature, {"long_name": "εᵀHε", **nat}),
            "unit_curvature": (dims, unit, {"long_name": "uᵀHu"}),
            "length": (dims, curves.length, {"long_name": "‖ε‖"}),
            "residual": (("solution", "end"), curves.residual),
            "converged": (("solution", "end"), curves.residual <= EIGEN_TOLERANCE),
        },
        {
            "end": np.array(["top", "bottom"]),
            "construction": np.array([*SINGLE, *DRAWN]),
            "label": np.array(LABELS),
            "kind": ("direction", names),
        },
    )
    groups = {}
    for part, loss in (("train", values[0]), ("test", values[2])):
        kinds = typed(loss)
        variables = type_variables(kinds, positions, dims, f"{part}_")
        label = variables.pop(f"{part}_label")
        result = result.assign(variables).assign_coords({f"{part}_label": label})
        groups[part] = np.array([kind.group for kind in kinds]).reshape(loss.shape[:2])
        shares = [label_shares(groups[part][:, names == name]) for name in [*SINGLE, *DRAWN]]
        share, error = np.moveaxis(np.array(shares), 1, 0)
        over, one = ("construction", "label"), {"units": "1"}
        result = result.assign(
            {f"{part}_share": (over, share, one), f"{part}_share_stderr": (over, error, one)}
        )
    same = result["train_label"].values == result["test_label"].values
    agreement = [float(same[:, names == name].mean()) for name in [*SINGLE, *DRAWN]]
    return result.assign(agreement=("construction", agreement, {"units": "1"}))


def most_frequent(share: Array, stderr: Array) -> str:
    """Describe the most frequent label of a construction.

    >>> most_frequent([0.0, 1.0, *[0.0] * 6], [0.1] * 8)
    'v-side 1.00 ± 0.10'
    """
    best = int(np.argmax(share))
    return f"{LABELS[best]} {share[best]:.2f} ± {stderr[best]:.2f}"


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    names, kinds = names_of(result["construction"]).tolist(), names_of(result["kind"])
    unit = result["unit_curvature"].values
    columns: dict[str, list[Any]] = {
        part: [
            most_frequent(*pair)
            for pair in zip(
                result[f"{part}_share"].values, result[f"{part}_share_stderr"].values, strict=True
            )
        ]
        for part in ("train", "test")
    }
    columns["agreement"] = result["agreement"].values.tolist()
    columns["unit_curvature"] = [float(unit[:, kinds == name].mean()) for name in names]
    return {
        "solutions": result.sizes["solution"],
        **{key: dict(zip(names, column, strict=True)) for key, column in columns.items()},
        "eigenvectors_converged": f"{int(result['converged'].sum())} of {result['converged'].size}",
        "examples": result.attrs["examples"],
    }


STAGE = Stage(
    "curves",
    loss_curves,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    figures=[
        Figure(
            "lsg_ray.report.figures.curves:curves_figure", "Types of loss curves", "curves_caption"
        )
    ],
)
