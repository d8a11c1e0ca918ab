"""Curvature around configurations of sign networks: the Hessian of a smooth substitute.

Networks of signs have no curvature, so each is replaced by the smooth network of
`lsg_ray.minima.smooth` at a steepness β, γ and norm that are common to all algorithms.  Up to some
thousand weights the Hessian is diagonalised; beyond, its largest eigenvalues come from Lanczos
iteration (ARPACK) and its spectrum from stochastic Lanczos quadrature (S. Ubaru, J. Chen, Y. Saad,
SIAM J. Matrix Anal. Appl. 38, 1075 (2017)), both by products Hv alone.  The trace is exact.

Source: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.minima.chosen import Chosen, Ground, choose
from lsg_ray.minima.smooth import SmoothNetwork
from lsg_ray.rng import Stream, generator
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.typing import (
    Count,
    EnsembleLike,
    Flags,
    Floats,
    Integers,
    Natural,
    Positive,
    SeededTasks,
    Several,
)

#: Addresses in `Stream.LANDSCAPE` of starts of Lanczos iterations here.
_STARTS = 8
#: Lanczos steps of one probe of the spectrum.
_STEPS = 40
#: ARPACK's relative tolerance on eigenvalues.
_TOLERANCE = 1e-6


class Curvature(NamedTuple):
    """Curvature of one configuration.

    eigenvalues (k,) descending; nodes and shares: of the spectrum, weights that sum to one.
    """

    eigenvalues: Floats
    converged: Flags
    trace: Floats
    loss: Floats
    nodes: Floats
    shares: Floats


@public
def hessian(
    ensemble: EnsembleLike,
    *,
    configurations: Integers | None = None,
    beta: Positive = 2.0,
    gamma: Positive = 2.0,
    eigenvalues: Count = 5,
    dense: Natural = 1100,
    probes: Count = 8,
    max_iterations: Count = 1000,
    bins: Several = 60,
    **run: Unpack[SeededTasks],
) -> xarray.Dataset:
    """Measure the curvature of the smooth network at configurations of perceptrons and committees.

    Parameters
    ----------
    ensemble
        Ensemble of perceptrons or committees, of ±1 weights or on the sphere, a view of one, or its
        URL.
    configurations
        Number of configurations, from the first, or list of the configurations to measure;
        without it, the first 20 at most.
    beta
        Steepness β of the hidden units, whose weights are scaled to unit norm.
    gamma
        Steepness γ of the loss.
    eigenvalues
        Number of largest eigenvalues to compute.
    dense
        Largest number of weights for which the Hessian is diagonalised; above it, only products of
        the Hessian with vectors are used.
    probes
        Number of random vectors that estimate the spectrum where the Hessian is not diagonalised.
    max_iterations
        Largest number of iterations of ARPACK.
    bins
        Number of bins of the histogram of eigenvalues.
    seed
        Seed of the starting vectors and probes.
    checkpoints
        Path of a folder for finished tasks, from which an interrupted call resumes.
    progress
        Called with (configurations done, total).

    Returns
    -------
    xarray.Dataset
        Over solution: ``eigenvalue`` (solution, rank), ``converged``, ``trace``, ``loss`` and
        ``errors`` (wrong patterns); ``density`` (solution, bin) of eigenvalues with the edges
        ``left``, ``right``.  Attributes: ``top_eigenvalue_mean`` and ``trace_mean`` with
        ``_stderr`` (NaN unless two solutions differ), ``radial`` (K directions projected out, whose
        eigenvalue is 0).

    Raises
    ------
    InputError
        Parity machines, other networks, more eigenvalues than weights, numbers out of range.

    Notes
    -----
    Dense: 2 P N² + O(N³) flop and 16 N² bytes a configuration; else 4 P N a product and some
    20 N (k + 20) bytes.  Configurations with errors are taken too: ``errors`` tells.
    """
    chosen = choose(ensemble, configurations, for_what="the Hessian", majority=True)
    n_weights = chosen.weights[0].size
    if eigenvalues >= n_weights:
        raise InputError(f"eigenvalues {eigenvalues} given; the network has {n_weights} weights")
    options = (beta, gamma, eigenvalues, n_weights <= dense, probes, max_iterations, run["seed"])
    arguments = [(*options, int(number)) for number in chosen.numbers]
    curvature = chosen.run(_task, Curvature, arguments, run)
    return (
        _dataset(curvature, bins)
        .assign(errors=("solution", chosen.errors))
        .assign_coords(solution=chosen.numbers)
        .assign_attrs(
            chosen.provenance(
                statistic="hessian",
                beta=beta,
                gamma=gamma,
                dense=int(n_weights <= dense),
                seed=run["seed"],
                radial=chosen.ground.shape[0],
                converged=float(curvature.converged.mean()),
                **_averages(curvature, chosen),
            )
        )
    )


def _task(
    ground: Ground,
    w: Floats,
    beta: float,
    gamma: float,
    k: int,
    dense: bool,
    probes: int,
    max_iterations: int,
    seed: int,
    number: int,
) -> Curvature:
    """Measure one configuration."""
    network = SmoothNetwork(w, ground.arena.train, beta, gamma)
    converged = True
    if dense:
        values: Floats = np.asarray(np.linalg.eigvalsh(network.dense()), np.float64)
        top, nodes = values[::-1][:k], values
        shares = np.full(len(values), 1 / len(values))
    else:
        rng = generator(seed, Stream.LANDSCAPE, _STARTS, number)
        top, converged = largest(network, k, rng, max_iterations)
        nodes, shares = quadrature(network, probes, rng)
    about = (np.array([converged]), np.array([network.trace()]), np.array([network.loss]))
    return Curvature(top, *about, nodes, shares)


def largest(
    network: SmoothNetwork, k: int, rng: np.random.Generator, max_iterations: int = 1000
) -> tuple[Floats, bool]:
    """Return the k largest eigenvalues, descending, by products alone, and whether they converged.

    Those that did not are NaN.
    """
    shape = network.units.shape
    size = network.units.size

    def product(v: Floats) -> Floats:
        return network.product(v.reshape(shape)).ravel()

    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = network.project(rng.standard_normal(shape)).ravel()
    try:
        values = eigsh(
            operator,
            k,
            which="LA",
            v0=start,
            tol=_TOLERANCE,
            maxiter=max_iterations,
            return_eigenvectors=False,
        )
        return np.sort(values)[::-1], True
    except ArpackNoConvergence as error:
        values = np.sort(error.eigenvalues)[::-1]
        return np.concatenate([values, np.full(k - len(values), np.nan)]), False


def quadrature(
    network: SmoothNetwork, probes: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return nodes and weights of the spectrum: Gauss rules of random probes, by Lanczos steps."""
    shape, nodes, shares = network.units.shape, [], []
    steps = min(_STEPS, network.units.size)
    for _ in range(probes):
        v = rng.standard_normal(shape).ravel()
        basis = [v / np.linalg.norm(v)]
        diagonal, beside = np.empty(steps), np.empty(steps)
        for step in range(steps):
            product = network.product(basis[-1].reshape(shape)).ravel()
            diagonal[step] = product @ basis[-1]
            for _ in range(2):  # twice is enough (Parlett)
                for old in basis:
                    product -= (product @ old) * old
            beside[step] = np.linalg.norm(product)
            basis.append(product / max(beside[step], np.finfo(np.float64).tiny))
        matrix = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
        values, vectors = np.linalg.eigh(matrix)
        nodes.append(values)
        shares.append(vectors[0] ** 2 / probes)
    return np.concatenate(nodes), np.concatenate(shares)


def _dataset(curvature: Curvature, bins: int) -> xarray.Dataset:
    low, high = float(curvature.nodes.min()), float(curvature.nodes.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    density = [
        np.histogram(nodes, edges, weights=shares)[0] / np.diff(edges)
        for nodes, shares in zip(curvature.nodes, curvature.shares, strict=True)
    ]
    return xarray.Dataset(
        {
            "eigenvalue": (("solution", "rank"), curvature.eigenvalues, {"long_name": "λ of H"}),
            "converged": ("solution", curvature.converged[:, 0]),
            "trace": ("solution", curvature.trace[:, 0], {"long_name": "tr H"}),
            "loss": ("solution", curvature.loss[:, 0], {"long_name": "smooth loss"}),
            "density": (("solution", "bin"), density, {"long_name": "density of eigenvalues"}),
            "left": ("bin", edges[:-1]),
            "right": ("bin", edges[1:]),
        }
    )


def _averages(curvature: Curvature, chosen: Chosen) -> dict[str, float]:
    averages: dict[str, float] = {}
    columns = {"top_eigenvalue": curvature.eigenvalues[:, 0], "trace": curvature.trace[:, 0]}
    for name, values in columns.items():
        mean, error = chosen.averaged(values)
        averages |= {f"{name}_mean": float(mean), f"{name}_stderr": float(error)}
    return averages


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    about = result.attrs
    return {
        "solutions": result.sizes["solution"],
        **{
            name: f"{about[f'{name}_mean']:.5g} ± {about[f'{name}_stderr']:.2g}"
            for name in ("top_eigenvalue", "trace")
        },
        "converged": about["converged"],
    }


STAGE = Stage(
    "hessian", hessian, reads={"ensemble": ENSEMBLE}, summary=_shown, unit="configurations",
    figures=[Figure("lsg_ray.report.figures.flat_minima:hessian_figure",
                    "Curvature of the smooth network", "hessian_caption", together=6)],
)  # fmt: skip
