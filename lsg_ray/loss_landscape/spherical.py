"""The spherical p-spin model: a random landscape on the sphere, to compare others with.

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
from typing import Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.rng import Stream, generator
from lsg_ray.typing import Count, Flags, Floats, Ints, Positive, Progress, Seed, Several

#: Bytes of X at most; twice as much is held while it is made symmetric.
MAX_BYTES = 2**31
#: Armijo's condition, and how often a step is halved at most.
ARMIJO, HALVINGS = 1e-4, 40


class SphericalModel:
    """Couplings of a spherical p-spin model; only their symmetric part matters, and is held.

    Parameters
    ----------
    n, p
        Dimension N and order of the interaction, p ≥ 2.
    seed
        Of X.

    Raises
    ------
    InputError
        Numbers out of range, or 8 N^p bytes over `MAX_BYTES`.

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
        if size > MAX_BYTES:
            most = int((MAX_BYTES / 8) ** (1 / p) + 1e-6)
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
        """Return H of (B, N): (B,)."""
        given = self._points(w)
        return (given * self._contracted(given, 1)).sum(axis=1)

    @public
    def gradient(self, w: ArrayLike) -> Floats:
        """Return ∂H/∂w, (B, N): not projected on the sphere."""
        return self.p * self._contracted(self._points(w), 1)

    @public
    def curvature(self, w: ArrayLike) -> Floats:
        """Return the smallest eigenvalue of the Hessian on the sphere at each of (B, N): (B,).

        Pᵀ(∂²H − (w·∂H/N) 1)P with P the projection on the tangent space; positive at a minimum.
        """
        given = self._points(w)
        force = self.p * (given * self._contracted(given, 1)).sum(axis=1) / self.n
        found = np.empty(len(given))
        for row, (point, shift) in enumerate(zip(given, force, strict=True)):
            hessian = self.p * (self.p - 1) * self._contracted(point[None], 2)[0]
            hessian -= shift * np.eye(self.n)
            unit = point / np.linalg.norm(point)
            along = hessian @ unit
            hessian += np.outer(unit, unit) * (unit @ along + 1e6)
            hessian -= np.outer(unit, along) + np.outer(along, unit)
            found[row] = np.linalg.eigvalsh(hessian)[0]
        return found

    def _points(self, w: ArrayLike) -> Floats:
        given = np.atleast_2d(as_numbers(w, "points"))
        if given.ndim != 2 or given.shape[1] != self.n or not np.isfinite(given).all():
            raise InputError(f"points of shape {given.shape} given; finite (B, {self.n}) is needed")
        return given

    def _contracted(self, w: Floats, left: int) -> Floats:
        """Return Σ S_{i…} w w ⋯ with ``left`` indices left: (B, N, …)."""
        if self.p == left:
            return np.broadcast_to(self.couplings, (len(w), *self.couplings.shape))
        found: Any = (self.couplings.reshape(-1, self.n) @ w.T).reshape(
            *self.couplings.shape[:-1], len(w)
        )
        for _ in range(self.p - 1 - left):
            found = np.einsum("...jb,bj->...b", found, w)
        return np.moveaxis(found, -1, 0)


def on_sphere(w: ArrayLike) -> Floats:
    """Return points (B, N) scaled to Σ w² = N."""
    given = as_numbers(w, "points")
    return given * np.sqrt(given.shape[1] / (given**2).sum(axis=1, keepdims=True))


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
    """Descend the landscape of one model from random starts.

    Each start follows −∂H on the sphere; the first length tried for a step is that of J. Barzilai
    and J. M. Borwein (IMA J. Numer. Anal. 8, 141 (1988)), halved until the energy falls enough
    (Armijo), so it never rises.

    Parameters
    ----------
    n, p
        Of the model, `SphericalModel`.
    starts
        Uniform on the sphere.
    seed
        Of couplings and starts.
    tolerance
        A start has converged when the gradient on the sphere, its length over √N, is below this.
    max_iterations
        For each start.
    progress
        Told ``(starts that are done, starts)``.

    Returns
    -------
    xarray.Dataset
        Over ``start``: ``energy`` (H/N), ``converged``, ``iterations``, ``residual``,
        ``curvature`` (smallest eigenvalue of the Hessian on the sphere), ``w`` (start, weight);
        ``overlap`` (start, start_).  Attributes: ``threshold``, ``converged`` (fraction).

    Raises
    ------
    InputError
        Numbers out of range, or couplings that are too large.

    Notes
    -----
    2 N^p flop an iteration and start; memory 8 N^p bytes, and 8 N^{p−1} a start.
    """
    model = SphericalModel(n, p, seed)
    first = on_sphere(generator(seed, Stream.GLASS, 2, p).standard_normal((starts, n)))
    found = _descend(model, first, tolerance, max_iterations, progress)
    one = {"units": "1"}
    return xarray.Dataset(
        {
            "energy": ("start", found.energy / n, {"long_name": "H/N", **one}),
            "converged": ("start", found.residual <= tolerance),
            "iterations": ("start", found.iterations),
            "residual": ("start", found.residual, one),
            "curvature": ("start", model.curvature(found.w), one),
            "w": (("start", "weight"), found.w, one),
            "overlap": (("start", "start_"), found.w @ found.w.T / n, one),
        },
        attrs={
            "statistic": "spherical minima", "n_weights": n, "p": p, "starts": starts,
            "seed": seed, "tolerance": tolerance, "threshold": threshold_energy(p),
            "converged": float((found.residual <= tolerance).mean()),
        },
    )  # fmt: skip


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
    step = np.full(count, 0.1)
    for iteration in range(1, max_iterations + 1):
        new, lower, turned, moved = _line_search(model, w, energy, slope, step)
        difference, change = new - w, turned - slope
        bend = (difference * change).sum(axis=1)
        square = (difference**2).sum(axis=1)
        step = np.where(bend > 0, square / np.where(bend > 0, bend, 1), 2 * step)
        step = np.clip(step, 1e-6, 10.0)
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
    # What is below the rounding of the energy cannot be seen to fall.
    noise = 1e-13 * np.abs(energy)
    for _ in range(HALVINGS):
        tried = on_sphere(w[open_] - length[open_, None] * slope[open_])
        gradient = model.gradient(tried)
        value = (tried * gradient).sum(axis=1) / model.p
        enough = energy[open_] - ARMIJO * length[open_] * square[open_] + noise[open_]
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
