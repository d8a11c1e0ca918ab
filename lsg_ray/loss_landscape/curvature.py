"""Curvature of the loss: largest eigenvalues and trace of the Hessian, of several networks at once.

Random vectors are drawn for each network alone, so that errors of networks are independent and the
standard error of a mean over networks is their standard deviation over the square root of their
number.

Lanczos iteration finds the largest eigenvalues from Hessian-vector products alone (C. Lanczos, J.
Res. NBS 45, 255 (1950)), here with full reorthogonalisation; random signs v estimate the trace,
tr H = E[vᵀ H v] (M. Hutchinson, Comm. Stat. 18, 1059 (1989)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.networks.first_layer import Inputs
from lsg_ray.networks.relu_network import hessian_product
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import NetworkSpec
from lsg_ray.typing import Flags, Floats

if TYPE_CHECKING:
    from torch import Tensor


#: Default number of random sign vectors for the trace.
TRACE_PROBES = 10
#: A Ritz pair has converged when its residual is below this share of the largest eigenvalue.
RITZ_TOLERANCE = 1e-3
#: Purposes of random vectors: addresses in `Stream.LANDSCAPE`, above those of networks.
_SIGNS, _START = 6, 7


class Spectrum(NamedTuple):
    """Largest eigenvalues of Hessians, (networks, k) descending, and their residuals.

    residual: ‖H u − λ u‖ (networks, k); iterations: Lanczos steps made; converged (networks,).
    """

    eigenvalues: Floats
    residual: Floats
    iterations: int
    converged: Flags


def top_eigenvalues(
    network: NetworkSpec,
    weights: Tensor,
    inputs: Inputs,
    y: Tensor,
    k: int = 1,
    *,
    max_iterations: int = 100,
    tolerance: float = RITZ_TOLERANCE,
    seed: int = 0,
    addresses: Sequence[tuple[int, ...]] | None = None,
) -> Spectrum:
    """Compute the k algebraically largest eigenvalues of the Hessian of each network.

    Parameters
    ----------
    network
        Architecture.
    weights
        (networks, N) tensor, of the precision of the examples.
    inputs, y
        Examples and classes that the loss is averaged over.
    k
        Number of eigenvalues.
    max_iterations
        Largest number of Lanczos steps; at most N.
    tolerance
        Largest residual, relative to the largest eigenvalue in magnitude.
    seed, addresses
        Seed of the start vectors, one for each network, as in `hessian_trace`.

    Returns
    -------
    Spectrum
        Eigenvalues are lower bounds where they have not converged in `max_iterations`.

    Notes
    -----
    Each step costs one Hessian-vector product for each network; memory: a vector of N for each
    step and network, stored for reorthogonalisation.  C. Lanczos, J. Res. NBS 45, 255 (1950).
    """
    import torch

    n = weights.shape[1]
    if not 1 <= k <= n:
        raise InputError(f"k {k} given; this network has 1 to {n} eigenvalues")
    steps = min(max_iterations, n)
    if steps < k:
        raise InputError(f"max_iterations {max_iterations} given; at least k = {k}")
    draws = np.stack([rng.standard_normal(n) for rng in _streams(weights, seed, _START, addresses)])
    start = torch.tensor(draws, dtype=weights.dtype, device=weights.device)
    basis = [start / start.norm(dim=1, keepdim=True)]
    diagonal: list[Floats] = []
    off_diagonal: list[Floats] = []
    for step in range(1, steps + 1):
        v = basis[-1]
        product = hessian_product(network, weights, v, inputs, y)
        diagonal.append((product * v).sum(1).double().cpu().numpy())
        # Twice is enough (Parlett): the second pass removes what rounding leaves in the first.
        for _ in range(2):
            for old in basis:
                product -= (product * old).sum(1, keepdim=True) * old
        norm = product.norm(dim=1, keepdim=True)
        off_diagonal.append(norm[:, 0].double().cpu().numpy())
        values, residual, converged = _ritz(diagonal, off_diagonal, k, tolerance)
        if step == n or (step >= k and converged.all()):
            break
        basis.append(product / norm.clamp_min(torch.finfo(product.dtype).tiny))
    return Spectrum(values, residual, step, converged | (step == n))


def _ritz(
    diagonal: list[Floats], off_diagonal: list[Floats], k: int, tolerance: float
) -> tuple[Floats, Floats, Flags]:
    """Return Ritz values of tridiagonal matrices, residuals |β_m s_m|, and convergence."""
    from scipy.linalg import eigh_tridiagonal

    a, b = np.array(diagonal).T, np.array(off_diagonal).T
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
    return values, residual, np.all(residual <= tolerance * scale[:, None], axis=1)


def hessian_trace(
    network: NetworkSpec,
    weights: Tensor,
    inputs: Inputs,
    y: Tensor,
    *,
    probes: int = TRACE_PROBES,
    seed: int = 0,
    addresses: Sequence[tuple[int, ...]] | None = None,
) -> tuple[Floats, Floats]:
    """Estimate tr H of each network (networks,) with its standard error, by random signs.

    Parameters
    ----------
    network, weights, inputs, y
        As in `top_eigenvalues`.
    probes
        Number of random sign vectors v for each network, at least 2; the estimate is the mean of
        vᵀ H v.
    seed
        Seed of the signs.
    addresses
        Address of each network in the seed tree; networks of different addresses have independent
        signs.  By default (0,), (1,), …

    Notes
    -----
    The variance of one probe is 2 Σ_{i≠j} H_ij² (M. Hutchinson, Comm. Stat. 18, 1059 (1989)).
    """
    import torch

    if probes < 2:
        raise InputError(f"probes {probes} given; at least 2 are needed for a standard error")
    streams = _streams(weights, seed, _SIGNS, addresses)
    estimates = []
    for _ in range(probes):
        signs = np.stack([rng.integers(0, 2, weights.shape[1]) for rng in streams]) * 2.0 - 1
        v = torch.tensor(signs, dtype=weights.dtype, device=weights.device)
        product = hessian_product(network, weights, v, inputs, y)
        estimates.append((product * v).sum(1).double().cpu().numpy())
    values = np.array(estimates)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(probes)


def _streams(
    weights: Tensor, seed: int, purpose: int, addresses: Sequence[tuple[int, ...]] | None
) -> list[np.random.Generator]:
    """Return a stream of random numbers for each network."""
    paths = [(number,) for number in range(len(weights))] if addresses is None else addresses
    if len(paths) != len(weights):
        raise InputError(f"{len(paths)} addresses given for {len(weights)} networks")
    return [generator(seed, Stream.LANDSCAPE, purpose, *path) for path in paths]
