"""Mined curves: directions in which the loss through a solution has a given shape, if there are.

A search on the training loss says that the shape is there; the label of the same curve on held-out
data says whether it is one of the problem or of the training set alone.  The sign of the curvature
uᵀHu along the direction goes with it: a w-peak is a maximum along its line, so the Hessian has a
negative direction there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.curves.curves import Points
from lsg_ray.loss_landscape.curves.directions import curvatures
from lsg_ray.loss_landscape.curves.measured import (
    label_shares,
    measure_subspace,
    type_variables,
    typed,
)
from lsg_ray.loss_landscape.curves.mining import MINING, MiningConfig, mine
from lsg_ray.loss_landscape.curves.targets import (
    CURVE_TARGETS,
    SURFACE_AXES,
    SURFACE_TARGETS,
    TARGETS,
)
from lsg_ray.loss_landscape.curves.types import CURVES, LABELS, curve_type
from lsg_ray.loss_landscape.terrain import Solutions, Terrain, measured, open_solutions, terrain_of
from lsg_ray.networks.threads import one_thread
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.results.saving import names_of
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import (
    Count,
    EnsembleLike,
    Flags,
    Floats,
    Integers,
    Ints,
    LossTasks,
    Natural,
    Positive,
    Singles,
)

#: Address of the random numbers in `Stream.LANDSCAPE`.
_MINED = 21
#: Angles at which the rings of a bottle are tested, and their radii: the valley, and the rim.
RING_ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
VALLEY, RIM = 0.6, 1.0


class _Mined(NamedTuple):
    """Of a stack of networks: measures (n, 4, points…), uᵀHu (n, D), steps and whether held (n,).

    ring: of surfaces, the measures on both rings (n, 4, 2, angles).
    """

    values: Floats
    curvature: Floats
    steps: Ints
    held: Flags
    ring: Floats


@public
def mine_curves(
    solutions: EnsembleLike,
    *,
    configurations: Integers | None = None,
    surfaces: Natural = 1,
    points: Points = 41,
    steps: Count = MINING.steps,
    batch: Count = MINING.batch,
    learning_rate: Positive = MINING.learning_rate,
    margin: Positive = MINING.margin,
    stack: Count = 8,
    **run: Unpack[LossTasks],
) -> xarray.Dataset:
    """Search for directions in which the loss through a solution has a given shape.

    Shapes are the five types of curves (v-basin, v-side, w-basin, w-peak, vvv-basin) and, of
    planes, a saddle and the bottom of a bottle.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    configurations
        Number of solutions, the first ones, or their indices; by default up to 10.
    surfaces
        Number of solutions, the first ones, of which planes are searched for too.
    points
        Number of points of a curve, and of each side of a plane, odd, so that the solution is one.
    steps
        Number of steps of a search, at most.
    batch
        Number of examples of a minibatch.
    learning_rate
        Learning rate of Adam.
    margin
        Margin of the constraints, in nats; a search ends when all hold with a third of it.
    stack
        Number of networks that are searched together.
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
        Over (type, solution, point) losses and accuracies on the curve; over (type, solution), of
        the training and the test loss, ``train_label``, … as of
        `lsg_ray.loss_landscape.curves.measured.type_variables`; ``unit_curvature`` uᵀHu of the
        training loss, ``steps`` and ``converged``, whether all constraints hold.  Over (type,
        label) ``train_share`` and ``test_share`` with ``…_stderr`` over networks.  With surfaces,
        over (surface, surface_solution, a, b) ``surface_train_loss`` and ``surface_test_loss``;
        over (surface, surface_solution) and the part, training or test, ``valley``, how far the
        ring of radius 0.6 is below the solution at least, ``rim``, how far that of radius 1 is
        above it at least (nats of ln(g + f)), and ``formed``, whether the axes have the right
        labels and, of a bottle, the valley is at least τ deep and the rim not below the solution.

    Raises
    ------
    InputError
        An even number of points, or networks without gradients.

    Notes
    -----
    A stack of networks goes through one forward and backward pass a step; results of a network may
    differ in their last bits with the others of its stack.
    """
    if points % 2 == 0:
        raise InputError(f"points {points} given; an odd number is needed")
    chosen = open_solutions(solutions, configurations, default=10)
    config = replace(MINING, steps=steps, batch=batch, learning_rate=learning_rate, margin=margin)
    terrain = terrain_of(chosen.ensemble, run["examples"], run["seed"])
    planes = min(surfaces, len(chosen.numbers))
    counts = dict.fromkeys(CURVE_TARGETS, len(chosen.numbers)) | dict.fromkeys(
        SURFACE_TARGETS, planes
    )
    arguments = [
        (
            name,
            chosen.weights[begin : min(begin + stack, count)],
            points,
            run["seed"],
            chosen.numbers[begin : min(begin + stack, count)],
            tuple(vars(config).values()),
        )
        for name, count in counts.items()
        for begin in range(0, count, stack)
    ]
    results = run_tasks(_mined, terrain, arguments, _Mined, run["checkpoints"], run["progress"])
    names = [argument[0] for argument in arguments]
    curves = [_joined(results, names, name) for name in CURVE_TARGETS]
    result = _dataset(curves, np.round(np.linspace(-1, 1, points), 12))
    if planes:
        joined = [_joined(results, names, name) for name in SURFACE_TARGETS]
        result = result.merge(_planes(joined, chosen, planes))
    return result.assign_coords(solution=chosen.numbers).assign_attrs(
        chosen.provenance(seed=run["seed"], examples=len(terrain.train.y)),
        statistic="mined curves",
        floor=CURVES.floor,
        threshold=CURVES.threshold,
        steps=steps,
        batch=batch,
        margin=margin,
        learning_rate=learning_rate,
    )


def _mined(
    terrain: Terrain,
    name: str,
    weights: Singles,
    points: int,
    seed: int,
    numbers: Ints,
    config: Sequence[float],
) -> _Mined:
    """Search for one shape from a stack of networks, and measure it: the body of a task."""
    target, settings = TARGETS[name], MiningConfig(*config)  # type: ignore[arg-type]  # as stored
    place = list(TARGETS).index(name)
    streams = [generator(seed, Stream.LANDSCAPE, _MINED, place, int(n)) for n in numbers]
    with one_thread():
        mined = mine(terrain, weights, target, streams, settings)
        line = np.round(np.linspace(-1, 1, points), 12)
        flat = mined.epsilon.shape[1] == 2
        grid = np.stack(np.meshgrid(line, line, indexing="ij"), -1) if flat else line[:, None]
        rings = np.stack(
            [
                radius * np.stack([np.cos(RING_ANGLES), np.sin(RING_ANGLES)], -1)
                for radius in (VALLEY, RIM)
            ]
        )
        values, ring, curvature = [], [], []
        for w, epsilon in zip(weights, mined.epsilon, strict=True):
            measures = measure_subspace(terrain, w, epsilon, grid.reshape(-1, len(epsilon)))
            values.append(measures.reshape(4, *grid.shape[:-1]))
            size = np.linalg.norm(epsilon.astype(np.float64), axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):  # of weights that are all zero
                curvature.append(curvatures(terrain, w, epsilon) / size**2)
            around = measure_subspace(terrain, w, epsilon, rings.reshape(-1, 2)) if flat else None
            ring.append(np.empty((4, 0)) if around is None else around.reshape(4, 2, -1))
    return _Mined(np.stack(values), np.stack(curvature), mined.steps, mined.held, np.stack(ring))


def _joined(results: Sequence[_Mined], names: Sequence[str], name: str) -> _Mined:
    """Return the results of one shape over all its stacks."""
    own = [result for result, shape in zip(results, names, strict=True) if shape == name]
    return _Mined(*map(np.concatenate, zip(*own, strict=True)))


def _dataset(curves: Sequence[_Mined], line: Floats) -> xarray.Dataset:
    values = np.stack([np.moveaxis(one.values, 1, 0) for one in curves], axis=1)
    dims = ("type", "solution")
    shape = values.shape[1:3]
    result = xarray.Dataset(
        {
            **measured(values, (*dims, "point")),
            "unit_curvature": (
                dims,
                [one.curvature[:, 0] for one in curves],
                {"long_name": "uᵀHu"},
            ),
            "steps": (dims, [one.steps for one in curves]),
            "converged": (dims, [one.held for one in curves]),
        },
        {
            "type": list(CURVE_TARGETS),
            "label": np.array(LABELS),
            "position": ("point", line, {"long_name": "λ"}),
        },
    )
    positions = np.broadcast_to(line, values.shape[1:])
    for part, loss in (("train", values[0]), ("test", values[2])):
        kinds = typed(loss)
        variables = type_variables(kinds, positions, dims, f"{part}_")
        label = variables.pop(f"{part}_label")
        groups = np.array([kind.group for kind in kinds]).reshape(shape)
        shares = [label_shares(row[:, None]) for row in groups]
        share, error = np.moveaxis(np.array(shares), 1, 0)
        over, one = ("type", "label"), {"units": "1"}
        result = result.assign(
            {
                **variables,
                f"{part}_share": (over, share, one),
                f"{part}_share_stderr": (over, error, one),
            }
        ).assign_coords({f"{part}_label": label})
    return result


def _planes(planes: Sequence[_Mined], chosen: Solutions, count: int) -> xarray.Dataset:
    """Return the surfaces and what was found of their shapes."""
    dims = ("surface", "surface_solution")
    shape = (len(planes), count, 2)
    valley, rim, formed = np.empty(shape), np.empty(shape), np.empty(shape, bool)
    for index in np.ndindex(*shape):
        surface, row, part = index
        loss = np.log(planes[surface].values[row, 2 * part] + CURVES.floor)
        middle = len(loss) // 2
        ring = np.log(planes[surface].ring[row, 2 * part] + CURVES.floor) - loss[middle, middle]
        valley[index], rim[index] = -ring[0].max(), ring[1].min()
        name = list(SURFACE_TARGETS)[surface]
        curves = planes[surface].values[row, 2 * part]
        axes = (curve_type(curves[:, middle]).label, curve_type(curves[middle]).label)
        whole = name != "bottle" or (valley[index] >= CURVES.threshold and rim[index] >= 0)
        formed[index] = axes == SURFACE_AXES[name] and whole
    losses = np.stack([one.values for one in planes])
    nat, both = {"units": "nat"}, (*dims, "part")
    return xarray.Dataset(
        {
            "surface_train_loss": ((*dims, "a", "b"), losses[:, :, 0], nat),
            "surface_test_loss": ((*dims, "a", "b"), losses[:, :, 2], nat),
            "surface_curvature": ((*dims, "axis"), np.stack([one.curvature for one in planes])),
            "surface_converged": (dims, np.stack([one.held for one in planes])),
            "valley": (both, valley, nat),
            "rim": (both, rim, nat),
            "formed": (both, formed),
        },
        {
            "surface": list(SURFACE_TARGETS),
            "surface_solution": chosen.numbers[:count],
            "part": ["train", "test"],
        },
    )


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    types = names_of(result["type"]).tolist()
    own = np.array(types)[:, None]
    counts = {f"{p}_hits": names_of(result[f"{p}_label"]) == own for p in ("train", "test")}
    counts["converged"] = result["converged"].values
    counts["negative_curvature"] = result["unit_curvature"].values < 0
    shown: dict[str, Any] = {"solutions": result.sizes["solution"]}
    for key, hits in counts.items():
        shown[key] = dict(zip(types, hits.sum(axis=1).tolist(), strict=True))
    if "formed" in result:
        formed = result["formed"].sum("surface_solution").values.tolist()
        shown["surfaces"] = result.sizes["surface_solution"]
        shown["formed"] = {
            name: dict(zip(("train", "test"), row, strict=True))
            for name, row in zip(SURFACE_TARGETS, formed, strict=True)
        }
    return shown | {"examples": result.attrs["examples"]}


STAGE = Stage(
    "mine-curves",
    mine_curves,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    figures=[
        Figure(
            "lsg_ray.report.figures.mined_curves:mined_figure", "Mined loss curves", "mined_caption"
        )
    ],
)
