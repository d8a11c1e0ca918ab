"""How flat solutions are: curvature, and loss at a fixed radius (Sec. 4.5, A.4.3).

- Curvature: the largest eigenvalues of the Hessian H of the training loss and its trace
  (`lsg_ray.loss_landscape.curvature`).
- Rise: a direction d ~ N(0, 1) is *filter-normalised*: the weights into each unit are scaled to
  the norm that the solution has there (H. Li et al., NeurIPS 2018), which makes radii comparable
  between networks, layers and scales. The rise is the mean of L(w + r d) − L(w) over directions.

Each solution has random vectors of its own for each of these, by seed, ensemble and number, so
estimates of different solutions are independent (given the examples that the loss is taken on), and
the standard error of a mean over solutions is their standard deviation, which contains the noise of
the estimate, over the square root of their number.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.arrays import in_range, public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.curvature import TRACE_PROBES, hessian_trace, top_eigenvalues
from lsg_ray.loss_landscape.findings import flatness_findings
from lsg_ray.loss_landscape.terrain import MEASURES, Terrain, measured, open_solutions, run_protocol
from lsg_ray.renaming import renamed
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import NetworkSpec
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import (
    Array,
    ChosenLossTasks,
    Count,
    EnsembleLike,
    Flags,
    Floats,
    Ints,
    Natural,
    Numbers,
    Several,
    Singles,
)

#: Default filter-normalised radii at which the rise of the loss is measured.
RISE_RADII = (0.1, 0.2, 0.3, 0.5)
#: Default number of random directions for the rise.
RISE_DIRECTIONS = 10


def filter_normalised(
    network: NetworkSpec, weights: NDArray[np.floating], directions: NDArray[np.floating]
) -> Singles:
    """Scale directions (B, N), unit by unit, to the norms of the weights (N,) into the unit.

    A bias belongs to its unit.
    """
    normalised = np.empty_like(directions, np.float32)
    for layer, shape in zip(network.layer_slices, network.shapes, strict=True):
        w = weights[layer].reshape(shape).astype(np.float64)
        d = directions[:, layer].reshape(-1, *shape).astype(np.float64)
        size = np.linalg.norm(d, axis=2, keepdims=True)
        scaled = d * (np.linalg.norm(w, axis=1)[None, :, None] / np.where(size > 0, size, 1))
        normalised[:, layer] = scaled.reshape(len(directions), -1)
    return normalised


class _Curvature(NamedTuple):
    """Measures of one solution."""

    eigenvalues: Floats
    residual: Floats
    converged: Flags
    iterations: Ints
    trace: Floats
    rise: Floats
    measures: Floats


@renamed(pieces="checkpoints")
@public
def flatness(
    solutions: EnsembleLike,
    *,
    eigenvalues: Count = 3,
    radii: Numbers = RISE_RADII,
    directions: Several = RISE_DIRECTIONS,
    probes: Several = TRACE_PROBES,
    max_iterations: Count = 100,
    side: Natural = 0,
    **run: Unpack[ChosenLossTasks],
) -> xarray.Dataset:
    """Measure how flat the loss is around solutions.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    configurations
        Number of solutions, the first ones, or their indices; by default up to 10.
    eigenvalues
        Number of largest eigenvalues of the Hessian.
    radii
        Filter-normalised radii r at which the rise of the loss is measured: 0.1 changes the weights
        into each unit by a tenth of their norm.
    directions
        Number of random directions for the rise of the loss.
    probes
        Number of random sign vectors for the trace of the Hessian.
    examples
        Number of training examples that the loss is computed on, drawn at random; 0 for all.
    max_iterations
        Largest number of Lanczos iterations.
    seed
        Seed of all random numbers.
    checkpoints
        Folder for results of finished tasks, from which an interrupted call resumes.
    progress
        Called with ``(tasks done, all tasks)``.
    side
        Side of a comparison; random vectors of different sides are independent.

    Returns
    -------
    xarray.Dataset
        Over solutions ``eigenvalue`` (solution, rank) with ``residual``, ``converged``,
        ``iterations``, ``trace`` with ``trace_stderr``, ``rise`` (solution, radius) with
        ``rise_stderr``, and the losses and accuracies.  Attributes: ``NAME_mean`` and ``NAME_std``
        over solutions of the largest eigenvalue, the trace, and losses and accuracies; the standard
        error of a mean is ``NAME_std`` over the square root of the number of solutions.

    Raises
    ------
    InputError
        A number is out of range, or the networks are binary.
    """
    radius = in_range(radii, "radii")
    chosen = open_solutions(solutions, run["configurations"], default=10)
    if eigenvalues > chosen.network.n_weights:
        raise InputError(
            f"eigenvalues {eigenvalues} given; the network has {chosen.network.n_weights}"
        )
    # Numbers of configurations are the same in every ensemble.
    address = (side, int(chosen.ensemble.spec_hash[:16], 16))
    arguments = [
        (
            w,
            eigenvalues,
            radius,
            directions,
            probes,
            max_iterations,
            run["seed"],
            (int(number), *address),
        )
        for w, number in zip(chosen.weights, chosen.numbers, strict=True)
    ]
    measures, about = run_protocol(
        _curvature, _Curvature, chosen, arguments, (len(arguments),), run
    )
    result = _dataset(measures, radius).assign_coords(solution=chosen.numbers)
    return result.assign_attrs(
        about,
        statistic="flatness",
        side=side,
        directions=directions,
        probes=probes,
        **_averages(result),
    )


def _curvature(
    terrain: Terrain,
    w: Singles,
    k: int,
    radii: Floats,
    directions: int,
    probes: int,
    max_iterations: int,
    seed: int,
    address: tuple[int, ...],
) -> _Curvature:
    """Measure one solution: the body of a task."""
    import torch

    (inputs, y), _ = terrain.on()
    network = terrain.network
    flat = torch.tensor(w[None], dtype=inputs.dtype, device=inputs.device)
    drawn_by: dict[str, Any] = {"seed": seed, "addresses": [address]}
    spectrum = top_eigenvalues(
        network, flat, inputs, y, k, max_iterations=max_iterations, **drawn_by
    )
    trace, error = hessian_trace(network, flat, inputs, y, probes=probes, **drawn_by)
    measures = terrain.measure(w[None])[:, 0]
    rng = generator(seed, Stream.LANDSCAPE, 4, *address)
    rises = np.empty((len(radii), directions))
    for index in range(directions):
        drawn = rng.standard_normal((1, len(w)), np.float32)
        d = filter_normalised(network, w, drawn)
        moved = w + radii[:, None].astype(np.float32) * d
        rises[:, index] = terrain.loss(moved) - measures[0]
    return _Curvature(
        spectrum.eigenvalues[0],
        spectrum.residual[0],
        spectrum.converged[:1],
        np.array([spectrum.iterations]),
        np.array([trace[0], error[0]]),
        np.stack([rises.mean(axis=1), rises.std(axis=1, ddof=1) / np.sqrt(directions)]),
        measures,
    )


def _dataset(result: _Curvature, radii: Floats) -> xarray.Dataset:
    trace, rise = result.trace, result.rise
    nat = {"units": "nat"}
    return xarray.Dataset(
        {
            "eigenvalue": (("solution", "rank"), result.eigenvalues, {"long_name": "λ of H"}),
            "residual": (("solution", "rank"), result.residual),
            "converged": ("solution", result.converged[:, 0]),
            "iterations": ("solution", result.iterations[:, 0]),
            "trace": ("solution", trace[:, 0], {"long_name": "tr H"}),
            "trace_stderr": ("solution", trace[:, 1]),
            "rise": (("solution", "radius"), rise[:, 0], {"long_name": "rise of the loss", **nat}),
            "rise_stderr": (("solution", "radius"), rise[:, 1], nat),
            **measured(result.measures.T, ("solution",)),
        },
        {"radius": ("radius", radii, {"long_name": "filter-normalised radius"})},
    )


def _averages(result: xarray.Dataset) -> dict[str, float]:
    columns = {"top_eigenvalue": result["eigenvalue"].isel(rank=0), "trace": result["trace"]}
    columns |= {name: result[name] for name in MEASURES}
    averages: dict[str, float] = {"converged": int(bool(result["converged"].all()))}
    for name, values in columns.items():
        averages |= {f"{name}_mean": float(values.mean()), f"{name}_std": _std(values.values)}
    return averages


def _std(values: Array) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    names = [str(name) for name in result.attrs if str(name).endswith(("_mean", "_std"))]
    return {name: result.attrs[name] for name in ["converged", *names, "examples"]}


STAGE = Stage(
    "flatness",
    flatness,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    findings=flatness_findings,
    hidden={"side"},
    figures=[
        Figure(
            "lsg_ray.report.figures.loss_landscape:flatness_figure",
            "Flatness of solutions",
            "flatness_caption",
        )
    ],
)
