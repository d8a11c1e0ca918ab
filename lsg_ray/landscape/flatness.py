"""How flat solutions are: curvature, loss at a fixed radius, loss surfaces (Sec. 4.5, A.4.3).

- Curvature: the largest eigenvalues of the Hessian H of the training loss by Lanczos iteration with
  full reorthogonalisation (each step one Hessian-vector product, of several networks at once), and
  its trace by M. Hutchinson's estimator, tr H = E[vᵀ H v] with random signs v.
- Rise: a direction d ~ N(0, 1) is *filter-normalised*: the weights into each unit are scaled to
  the norm that the solution has there (H. Li et al., NeurIPS 2018), which makes radii comparable
  between networks, layers and scales. The rise is the mean of L(w + r d) − L(w) over directions.
- Surface: L(w + a d₁ + b d₂) on a grid, for two such directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike, NDArray

from lsg_ray.errors import InputError
from lsg_ray.landscape.terrain import (
    EXAMPLES,
    SolutionsLike,
    Terrain,
    check_positive,
    measured,
    open_solutions,
    tasks,
    terrain_of,
)
from lsg_ray.networks.inputs import Inputs
from lsg_ray.networks.relu import hessian_product
from lsg_ray.rng import Stage, generator
from lsg_ray.spec import NetworkSpec
from lsg_ray.statistics.graph import Progress
from lsg_ray.statistics.pieces import compute_pieces

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]

#: A Ritz pair has converged when its residual is below this share of the largest eigenvalue.
TOLERANCE = 1e-3
#: Relative radii that the rise of the loss is measured at.
RADII = (0.1, 0.2, 0.3, 0.5)
#: Random directions for the rise, and random sign vectors for the trace.
DIRECTIONS, PROBES = 10, 10


class Spectrum(NamedTuple):
    """Largest eigenvalues of Hessians, (networks, k) descending, and their residuals.

    residual: ‖H u − λ u‖ (networks, k); iterations: Lanczos steps made; converged (networks,).
    """

    eigenvalues: Floats
    residual: Floats
    iterations: int
    converged: NDArray[np.bool_]


def top_eigenvalues(
    network: NetworkSpec,
    weights: Tensor,
    inputs: Inputs,
    y: Tensor,
    k: int = 1,
    *,
    max_iterations: int = 100,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Spectrum:
    """Find the k algebraically largest eigenvalues of the Hessian of each of some networks.

    Parameters
    ----------
    network
        Architecture.
    weights
        (networks, N) tensor; as precise as the examples are.
    inputs, y
        Examples and classes that the loss is the mean over.
    k
        How many.
    max_iterations
        Lanczos steps, at most; N if there are fewer weights.
    tolerance
        On residuals, relative to the largest eigenvalue in magnitude.
    seed
        Of the start vectors.

    Returns
    -------
    Spectrum
        Not converged where `max_iterations` did not suffice: eigenvalues are then lower bounds.

    Notes
    -----
    Each step costs one Hessian-vector product for each network; memory: a vector of N for each
    step and network, kept for reorthogonalisation.  C. Lanczos, J. Res. NBS 45, 255 (1950).
    """
    import torch

    n = weights.shape[1]
    if not 1 <= k <= n:
        raise InputError(f"k {k} given; this network has 1 to {n} eigenvalues")
    steps = min(max_iterations, n)
    if steps < k:
        raise InputError(f"max_iterations {max_iterations} given; at least k = {k}")
    draws = np.random.default_rng([seed, 0]).standard_normal((1, n))
    start = torch.tensor(draws, dtype=weights.dtype, device=weights.device).expand_as(weights)
    basis = [start / start.norm(dim=1, keepdim=True)]
    diagonal: list[Floats] = []
    beside: list[Floats] = []
    for step in range(1, steps + 1):
        v = basis[-1]
        product = hessian_product(network, weights, v, inputs, y)
        diagonal.append((product * v).sum(1).double().cpu().numpy())
        # Twice is enough (Parlett): what rounding leaves of earlier vectors goes in the second.
        for _ in range(2):
            for old in basis:
                product -= (product * old).sum(1, keepdim=True) * old
        norm = product.norm(dim=1, keepdim=True)
        beside.append(norm[:, 0].double().cpu().numpy())
        found = _ritz(diagonal, beside, k)
        if step >= k and found.converged(tolerance).all():
            break
        if step == n:
            break
        basis.append(product / norm.clamp_min(torch.finfo(product.dtype).tiny))
    return Spectrum(found.values, found.residual, step, found.converged(tolerance) | (step == n))


class _Ritz(NamedTuple):
    values: Floats
    residual: Floats
    scale: Floats

    def converged(self, tolerance: float) -> NDArray[np.bool_]:
        small = self.residual <= tolerance * self.scale[:, None]
        return np.asarray(small.all(axis=1))


def _ritz(diagonal: list[Floats], beside: list[Floats], k: int) -> _Ritz:
    """Return Ritz values of the tridiagonal matrices, and residuals |β_m s_m| of their vectors."""
    from scipy.linalg import eigh_tridiagonal

    a, b = np.array(diagonal).T, np.array(beside).T
    networks, m = a.shape
    count = min(k, m)
    values, residual = np.full((2, networks, k), np.nan)
    residual[:] = np.inf
    scale = np.empty(networks)
    for row in range(networks):
        theta, s = eigh_tridiagonal(a[row], b[row, : m - 1])
        values[row, :count] = theta[::-1][:count]
        residual[row, :count] = b[row, m - 1] * np.abs(s[-1, ::-1][:count])
        scale[row] = max(np.abs(theta).max(), np.finfo(np.float64).tiny)
    return _Ritz(values, residual, scale)


def hessian_trace(
    network: NetworkSpec,
    weights: Tensor,
    inputs: Inputs,
    y: Tensor,
    *,
    probes: int = PROBES,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Estimate tr H of each network (networks,) with its standard error, by random signs.

    The variance of one probe is 2 Σ_{i≠j} H_ij² (M. Hutchinson, Comm. Stat. 18, 1059 (1989)).
    """
    import torch

    if probes < 2:
        raise InputError(f"probes {probes} given; at least 2, for an error")
    rng = np.random.default_rng([seed, 1])
    found = []
    for _ in range(probes):
        signs = rng.integers(0, 2, weights.shape[1]) * 2.0 - 1
        v = torch.tensor(signs, dtype=weights.dtype, device=weights.device).expand_as(weights)
        product = hessian_product(network, weights, v.contiguous(), inputs, y)
        found.append((product * v).sum(1).double().cpu().numpy())
    values = np.array(found)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(probes)


def filter_normalised(
    network: NetworkSpec, weights: NDArray[np.floating], directions: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Scale the part of directions (B, N) that leads into each unit to the norm of the weights (N,)
    there; a bias counts to its unit.
    """  # fmt: skip
    found = np.empty_like(directions, np.float32)
    for place, shape in zip(network.layer_slices, network.shapes, strict=True):
        w = weights[place].reshape(shape).astype(np.float64)
        d = directions[:, place].reshape(-1, *shape).astype(np.float64)
        size = np.linalg.norm(d, axis=2, keepdims=True)
        scaled = d * (np.linalg.norm(w, axis=1)[None, :, None] / np.where(size > 0, size, 1))
        found[:, place] = scaled.reshape(len(directions), -1)
    return found


class _Curvature(NamedTuple):
    """What a task finds of one solution."""

    eigenvalues: Floats
    residual: Floats
    converged: NDArray[np.bool_]
    iterations: NDArray[np.int64]
    trace: Floats
    rise: Floats
    measures: Floats


def flatness(
    solutions: SolutionsLike,
    *,
    configurations: int | Sequence[int] | None = None,
    eigenvalues: int = 3,
    radii: ArrayLike = RADII,
    directions: int = DIRECTIONS,
    probes: int = PROBES,
    examples: int | None = EXAMPLES,
    max_iterations: int = 100,
    seed: int = 0,
    pieces: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Measure how flat the loss is around solutions.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or its URL.
    configurations
        Solutions: so many, or which; by default up to 10.
    eigenvalues
        Largest eigenvalues of the Hessian.
    radii
        Filter-normalised radii r that the rise of the loss is measured at: 0.1 changes the weights
        into each unit by a tenth of their norm.
    directions, probes
        Random directions for the rise; random sign vectors for the trace.
    examples, seed, pieces, progress
        As in `lsg_ray.landscape.walks.random_walk`.
    max_iterations
        Of Lanczos.

    Returns
    -------
    xarray.Dataset
        Over solutions ``eigenvalue`` (solution, rank) with ``residual``, ``converged``,
        ``iterations``, ``trace`` with ``trace_stderr``, ``rise`` (solution, radius) with
        ``rise_stderr``, and the losses and accuracies.  Attributes: ``NAME_mean`` and ``NAME_std``
        over solutions of the largest eigenvalue, the trace, and losses and accuracies.

    Raises
    ------
    InputError
        Numbers out of range, an ensemble of binary networks.
    """
    radius = np.atleast_1d(np.asarray(radii, np.float64))
    for value in radius:
        check_positive(radius=float(value))
    if directions < 2 or probes < 2:
        raise InputError(
            f"directions {directions}, probes {probes} given; at least 2 of each, for an error"
        )
    chosen = open_solutions(solutions, configurations, usual=10)
    if not 1 <= eigenvalues <= chosen.network.n_weights:
        raise InputError(
            f"eigenvalues {eigenvalues} given; the network has {chosen.network.n_weights}"
        )
    terrain = terrain_of(chosen.ensemble, examples, seed)
    arguments = [
        (w, eigenvalues, radius, directions, probes, max_iterations, (seed, int(number)))
        for w, number in zip(chosen.weights, chosen.numbers, strict=True)
    ]
    fingerprint = (
        "flatness", chosen.ensemble.spec_hash, chosen.numbers, eigenvalues, radius, directions,
        probes, len(terrain.train.y), max_iterations, seed, chosen.weights[:, :1],
    )  # fmt: skip
    found = compute_pieces(
        tasks(terrain, _curvature, arguments), _Curvature, pieces, fingerprint, progress
    )
    result = _dataset(found, radius).assign_coords(solution=chosen.numbers)
    return result.assign_attrs(
        chosen.provenance(
            statistic="flatness", seed=seed, directions=directions, probes=probes,
            examples=len(terrain.train.y), **_averages(result),
        )
    )  # fmt: skip


def _curvature(
    terrain: Terrain,
    w: NDArray[np.float32],
    k: int,
    radii: Floats,
    directions: int,
    probes: int,
    max_iterations: int,
    address: tuple[int, ...],
) -> _Curvature:
    """Measure one solution: the body of a task."""
    import torch

    (inputs, y), _ = terrain.on()
    network = terrain.network
    flat = torch.tensor(w[None], dtype=inputs.dtype, device=inputs.device)
    spectrum = top_eigenvalues(network, flat, inputs, y, k, max_iterations=max_iterations)
    trace, error = hessian_trace(network, flat, inputs, y, probes=probes)
    measures = terrain.measure(w[None])[:, 0]
    seed, number = address
    rng = generator(seed, Stage.LANDSCAPE, 4, number)
    rises = np.empty((len(radii), directions))
    for place in range(directions):
        drawn = rng.standard_normal((1, len(w)), np.float32)
        d = filter_normalised(network, w, drawn)
        moved = w + radii[:, None].astype(np.float32) * d
        rises[:, place] = terrain.loss(moved) - measures[0]
    return _Curvature(
        spectrum.eigenvalues[0], spectrum.residual[0], spectrum.converged[:1],
        np.array([spectrum.iterations]), np.array([trace[0], error[0]]),
        np.stack([rises.mean(axis=1), rises.std(axis=1, ddof=1) / np.sqrt(directions)]), measures,
    )  # fmt: skip


def _dataset(found: Sequence[_Curvature], radii: Floats) -> xarray.Dataset:
    def column(name: str) -> NDArray:
        return np.stack([getattr(one, name) for one in found])

    trace, rise = column("trace"), column("rise")
    nat = {"units": "nat"}
    return xarray.Dataset(
        {
            "eigenvalue": (("solution", "rank"), column("eigenvalues"), {"long_name": "λ of H"}),
            "residual": (("solution", "rank"), column("residual")),
            "converged": ("solution", column("converged")[:, 0]),
            "iterations": ("solution", column("iterations")[:, 0]),
            "trace": ("solution", trace[:, 0], {"long_name": "tr H"}),
            "trace_stderr": ("solution", trace[:, 1]),
            "rise": (("solution", "radius"), rise[:, 0], {"long_name": "rise of the loss", **nat}),
            "rise_stderr": (("solution", "radius"), rise[:, 1], nat),
            **measured(column("measures").T, ("solution",)),
        },
        {"radius": ("radius", radii, {"long_name": "filter-normalised radius"})},
    )


def _averages(result: xarray.Dataset) -> dict[str, float]:
    columns = {"top_eigenvalue": result["eigenvalue"].isel(rank=0), "trace": result["trace"]}
    columns |= {
        name: result[name] for name in
        ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
    }  # fmt: skip
    found: dict[str, float] = {"converged": int(bool(result["converged"].all()))}
    for name, values in columns.items():
        found |= {f"{name}_mean": float(values.mean()), f"{name}_std": _std(values.values)}
    return found


def _std(values: NDArray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


class _Rows(NamedTuple):
    """Measures on some rows of the grid, (4, networks)."""

    values: Floats


def loss_surface(
    solutions: SolutionsLike,
    *,
    configuration: int = 0,
    extent: float = 1.0,
    points: int = 25,
    examples: int | None = EXAMPLES,
    seed: int = 0,
    pieces: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Measure the loss on a plane through a solution, in two filter-normalised random directions.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or its URL.
    configuration
        Which solution.
    extent
        The plane reaches from −extent to extent in both directions.
    points
        In each direction; odd, so that the solution is among them.
    examples, seed, pieces, progress
        As in `lsg_ray.landscape.walks.random_walk`.

    Returns
    -------
    xarray.Dataset
        Over (a, b) ``train_loss``, ``train_accuracy``, ``test_loss``, ``test_accuracy``.

    Raises
    ------
    InputError
        An even or too small number of points, an extent that is not positive.
    """
    check_positive(extent=extent)
    if points < 3 or points % 2 == 0 or points > 1001:
        raise InputError(f"points {points} given; an odd number from 3 to 1001 is needed")
    chosen = open_solutions(solutions, [configuration])
    terrain = terrain_of(chosen.ensemble, examples, seed)
    w = chosen.weights[0]
    rng = generator(seed, Stage.LANDSCAPE, 5, configuration)
    directions = filter_normalised(chosen.network, w, rng.standard_normal((2, len(w)), np.float32))
    # As round as they can be: the solution itself, at 0, must be on the grid.
    grid = np.round(np.linspace(-extent, extent, points), 12)
    arguments = [(w, directions, a, grid) for a in grid]
    fingerprint = (
        "surface", chosen.ensemble.spec_hash, w, grid, len(terrain.train.y), seed
    )  # fmt: skip
    found = compute_pieces(
        tasks(terrain, _surface_row, arguments), _Rows, pieces, fingerprint, progress
    )
    values = np.stack([row.values for row in found], axis=1)
    cosine = float(directions[0] @ directions[1] / np.prod(np.linalg.norm(directions, axis=1)))
    return xarray.Dataset(
        measured(values, ("a", "b")), {"a": grid, "b": grid}
    ).assign_attrs(
        chosen.provenance(
            statistic="loss surface", configuration=configuration, seed=seed, cosine=cosine,
            examples=len(terrain.train.y),
        )
    )  # fmt: skip


def _surface_row(
    terrain: Terrain, w: NDArray[np.float32], directions: NDArray[np.float32], a: float,
    grid: Floats,
) -> _Rows:  # fmt: skip
    first = w + np.float32(a) * directions[0]
    rows = [
        terrain.measure((first + np.float32(b) * directions[1])[None]) for b in grid
    ]  # fmt: skip
    return _Rows(np.concatenate(rows, axis=1))
