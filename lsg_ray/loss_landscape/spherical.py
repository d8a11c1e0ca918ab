"""The spherical p-spin model: a random energy landscape on the sphere, for comparison.

    H(w) = N^{−(p−1)/2} Σ_{i1…ip} X_{i1…ip} w_{i1} ⋯ w_{ip},   Σ_i w_i² = N,   X ~ N(0, 1),

with covariance E[H(w)H(w')] = N q^p, q = w·w'/N (A. Crisanti, H.-J. Sommers, Z. Phys. B 87, 341
(1992)).  For p ≥ 3 descent from a random start ends near the threshold −2√((p−1)/p) of H/N, −1.633
for p = 3, where minima become marginal, and above the ground state, −1.657 (L. F. Cugliandolo,
J. Kurchan, Phys. Rev. Lett. 71, 173 (1993); A. Auffinger, G. Ben Arous, J. Černý, Commun. Pure
Appl. Math. 66, 165 (2013)).  For p = 2 the only minima are ± the eigenvector of the smallest
eigenvalue of (X + Xᵀ)/(2√N), −√2 for large N.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.rng import Stream, generator
from lsg_ray.typing import Count, Flags, Floats, Ints, Positive, Progress, Seed, Several

#: Most bytes of the couplings X; twice as much is held while they are made symmetric.
MAX_COUPLING_BYTES = 2**31


@dataclass(frozen=True)
class DescentConfig:
    """Line search of `spherical_minima`.

    Parameters
    ----------
    armijo
        Share of the decrease that the slope predicts, which a step must reach (Armijo's condition).
    max_halvings
        Largest number of halvings of a step.
    first_step, min_step, max_step
        Length of the first step, and bounds of the lengths that are tried first.
    rounding
        Relative rounding error of the energy, below which a decrease cannot be seen.
    """

    armijo: float = 1e-4
    max_halvings: int = 40
    first_step: float = 0.1
    min_step: float = 1e-6
    max_step: float = 10.0
    rounding: float = 1e-13


DESCENT = DescentConfig()


class SphericalModel:
    """Couplings of a spherical p-spin model; only their symmetric part matters, and is stored.

    Parameters
    ----------
    n, p
        Dimension N and order of the interaction, p ≥ 2.
    seed
        Seed of the couplings X.

    Raises
    ------
    InputError
        Numbers are out of range, or 8 N^p bytes exceed `MAX_COUPLING_BYTES`.

    Examples
    --------
    >>> model = SphericalModel(20, 3)
    >>> w = on_sphere(np.random.default_rng(0).normal(size=(2, 20)))
    >>> bool(np.allclose((w * model.gradient(w)).sum(axis=1), 3 * model.energy(w)))
    True
    """

    @public
    def __init__(self, n: Several, p: Several = 3, seed: Seed = 0) -> None:
        size = 8 * n**p
        if size > MAX_COUPLING_BYTES:
            most = int((MAX_COUPLING_BYTES / 8) ** (1 / p) + 1e-6)
            raise InputError(
                f"n {n}, p {p} given: couplings of {size / 2**30:,.1f} GiB; n {most} at most"
            )
        self.n, self.p, self.seed = n, p, seed
        X = generator(seed, Stream.GLASS, 1, p).standard_normal((n,) * p)
        total = np.zeros_like(X)
        for order in itertools.permutations(range(p)):
            total += X.transpose(order)
        #: Symmetric couplings, with the factor N^{−(p−1)/2}: (N, …, N).
        self.couplings = total / (math.factorial(p) * n ** ((p - 1) / 2))

    @public
    def energy(self, w: ArrayLike) -> Floats:
        """Return H of points (B, N): (B,)."""
        points = self._points(w)
        return (points * self._contracted(points, 1)).sum(axis=1)

    @public
    def gradient(self, w: ArrayLike) -> Floats:
        """Return ∂H/∂w, (B, N), not projected on the sphere."""
        return self.p * self._contracted(self._points(w), 1)

    @public
    def curvature(self, w: ArrayLike) -> Floats:
        """Return the smallest eigenvalue of the Hessian on the sphere at each of (B, N): (B,).

        Pᵀ(∂²H − (w·∂H/N) 1)P with P the projection on the tangent space; positive at a minimum.
        """
        points = self._points(w)
        force = self.p * (points * self._contracted(points, 1)).sum(axis=1) / self.n
        smallest = np.empty(len(points))
        for row, (point, shift) in enumerate(zip(points, force, strict=True)):
            hessian = self.p * (self.p - 1) * self._contracted(point[None], 2)[0]
            hessian -= shift * np.eye(self.n)
            unit = point / np.linalg.norm(point)
            along = hessian @ unit
            hessian += np.outer(unit, unit) * (unit @ along + 1e6)
            hessian -= np.outer(unit, along) + np.outer(along, unit)
            smallest[row] = np.linalg.eigvalsh(hessian)[0]
        return smallest

    def _points(self, w: ArrayLike) -> Floats:
        points = np.atleast_2d(as_numbers(w, "points"))
        if points.ndim != 2 or points.shape[1] != self.n or not np.isfinite(points).all():
            raise InputError(
                f"points of shape {points.shape} given; finite (B, {self.n}) is needed"
            )
        return points

    def _contracted(self, w: Floats, left: int) -> Floats:
        """Return Σ S_{i…} w w ⋯ with ``left`` indices left: (B, N, …)."""
        if self.p == left:
            return np.broadcast_to(self.couplings, (len(w), *self.couplings.shape))
        tensor: Any = (self.couplings.reshape(-1, self.n) @ w.T).reshape(
            *self.couplings.shape[:-1], len(w)
        )
        for _ in range(self.p - 1 - left):
            tensor = np.einsum("...jb,bj->...b", tensor, w)
        return np.moveaxis(tensor, -1, 0)


def on_sphere(w: ArrayLike) -> Floats:
    """Return points (B, N) scaled to Σ w² = N."""
    points = as_numbers(w, "points")
    return points * np.sqrt(points.shape[1] / (points**2).sum(axis=1, keepdims=True))


def threshold_energy(p: int) -> float:
    """Return −2√((p − 1)/p), the energy per spin where minima become marginal.

    >>> round(threshold_energy(3), 4)
    -1.633
    """
    return -2 * math.sqrt((p - 1) / p)


@public
def spherical_minima(
    n: Several,
    p: Several = 3,
    starts: Count = 20,
    seed: Seed = 0,
    *,
    tolerance: Positive = 1e-6,
    max_iterations: Count = 10_000,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Descend the energy landscape of one model from random starts.

    Each start follows −∂H on the sphere; the first length tried for a step is that of J. Barzilai
    and J. M. Borwein (IMA J. Numer. Anal. 8, 141 (1988)), halved until the energy falls enough
    (Armijo), so it never rises.

    Parameters
    ----------
    n, p
        Dimension N and order p of the model, as of `SphericalModel`.
    starts
        Number of starts, uniform on the sphere.
    seed
        Seed of couplings and starts.
    tolerance
        Norm of the gradient on the sphere, divided by √N, below which a start has converged.
    max_iterations
        Largest number of iterations of each start.
    progress
        Called with ``(starts done, all starts)``.

    Returns
    -------
    xarray.Dataset
        Over ``start``: ``energy`` (H/N), ``converged``, ``iterations``, ``residual``,
        ``curvature`` (smallest eigenvalue of the Hessian on the sphere), ``w`` (start, weight);
        ``overlap`` (start, start_).  Attributes: ``threshold``, ``converged`` (fraction).

    Raises
    ------
    InputError
        Numbers are out of range, or the couplings are too large.

    Notes
    -----
    Cost: 2 N^p flop per iteration and start; memory: 8 N^p bytes, and 8 N^{p−1} per start.
    """
    model = SphericalModel(n, p, seed)
    first = on_sphere(generator(seed, Stream.GLASS, 2, p).standard_normal((starts, n)))
    minima = _descend(model, first, tolerance, max_iterations, progress)
    one = {"units": "1"}
    return xarray.Dataset(
        {
            "energy": ("start", minima.energy / n, {"long_name": "H/N", **one}),
            "converged": ("start", minima.residual <= tolerance),
            "iterations": ("start", minima.iterations),
            "residual": ("start", minima.residual, one),
            "curvature": ("start", model.curvature(minima.w), one),
            "w": (("start", "weight"), minima.w, one),
            "overlap": (("start", "start_"), minima.w @ minima.w.T / n, one),
        },
        attrs={
            "statistic": "spherical minima",
            "n_weights": n,
            "p": p,
            "starts": starts,
            "seed": seed,
            "tolerance": tolerance,
            "threshold": threshold_energy(p),
            "converged": float((minima.residual <= tolerance).mean()),
        },
    )


class _Points(NamedTuple):
    """Points (B, N), their energies, lengths of gradients over √N, and iterations (B,)."""

    w: Floats
    energy: Floats
    residual: Floats
    iterations: Ints


def _along_sphere(w: Floats, gradient: Floats) -> Floats:
    return gradient - w * ((w * gradient).sum(axis=1, keepdims=True) / w.shape[1])


def _descend(
    model: SphericalModel,
    w: Floats,
    tolerance: float,
    max_iterations: int,
    progress: Progress | None,
) -> _Points:
    count, n = w.shape
    final = _Points(w.copy(), model.energy(w), np.empty(count), np.zeros(count, np.int64))
    left = np.arange(count)
    energy, slope = final.energy.copy(), _along_sphere(w, model.gradient(w))
    final.residual[:] = np.linalg.norm(slope, axis=1) / np.sqrt(n)
    step = np.full(count, DESCENT.first_step)
    for iteration in range(1, max_iterations + 1):
        new, lower, turned, moved = _line_search(model, w, energy, slope, step)
        difference, change = new - w, turned - slope
        bend = (difference * change).sum(axis=1)
        square = (difference**2).sum(axis=1)
        step = np.where(bend > 0, square / np.where(bend > 0, bend, 1), 2 * step)
        step = np.clip(step, DESCENT.min_step, DESCENT.max_step)
        w, energy, slope = new, lower, turned
        final.w[left], final.energy[left] = w, energy
        final.residual[left] = np.linalg.norm(slope, axis=1) / np.sqrt(n)
        final.iterations[left] = iteration
        going = (final.residual[left] > tolerance) & moved
        if not going.all():
            left, w, energy = left[going], w[going], energy[going]
            slope, step = slope[going], step[going]
            if progress is not None:
                progress(count - len(left), count)
        if not len(left):
            break
    return final


def _line_search(
    model: SphericalModel, w: Floats, energy: Floats, slope: Floats, step: Floats
) -> tuple[Floats, Floats, Floats, Flags]:
    """Return points of lower energy down the slope, energies, slopes, and whether they moved."""
    new, lower, turned = w.copy(), energy.copy(), slope.copy()
    square = (slope**2).sum(axis=1)
    open_ = np.arange(len(w))
    length = step.copy()
    noise = DESCENT.rounding * np.abs(energy)
    for _ in range(DESCENT.max_halvings):
        tried = on_sphere(w[open_] - length[open_, None] * slope[open_])
        gradient = model.gradient(tried)
        value = (tried * gradient).sum(axis=1) / model.p
        enough = energy[open_] - DESCENT.armijo * length[open_] * square[open_] + noise[open_]
        good = value <= enough
        new[open_[good]], lower[open_[good]] = tried[good], value[good]
        turned[open_[good]] = _along_sphere(tried[good], gradient[good])
        open_ = open_[~good]
        if not len(open_):
            break
        length[open_] /= 2
    moved = np.ones(len(w), bool)
    moved[open_] = False
    return new, lower, turned, moved
