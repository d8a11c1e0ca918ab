"""Stationary points of the TAP free energy: exact positions, identical points, and stability.

An iteration that moves by less than its tolerance may still be far from its fixed point: by
tolerance/(1 − λ), λ its slowest rate.  So Newton's method takes every end point to the rounding
error before points are compared.  In total fields y = atanh m, with φ(m) = h + Jm − m ⊙ J²(1 − m²),
v = 1 − m² and A = ∂φ/∂m, the residual r = φ − y is removed by

    Δy = (1 − A diag v)⁻¹ r = r + A √v S⁻¹ √v r,        S = 1 − √v A √v,

which needs no division by v.  S is the Hessian of βF in units of (v_i v_j)^−½: a state is a minimum
where it is positive definite, and the equations hold there (T. Plefka, J. Phys. A 15, 1971 (1982))
where 1 − v_i J_ij² v_j is.  The last steps bound the distance of a point from its state; two points
are one state if their distance is within their errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lsg_ray.typing import Flags, Floats, Ints, Signs


@dataclass(frozen=True)
class PolishConfig:
    """How Newton's method converges to a stationary point, and when two points are one."""

    #: Largest number of steps: at a degenerate minimum each goes only a third of the way.
    max_steps: int = 80
    #: A step, in magnetizations, after which only rounding is left; and one below which steps that
    #: no longer shrink are rounding of a soft mode.
    exact: float = 1e-13
    noise: float = 1e-4
    #: Largest change of a magnetization in a step, and in all: else a start belongs elsewhere.
    max_step: float = 0.25
    max_distance: float = 0.5
    #: The error of a point in units of its last step: steps of a degenerate minimum shrink by 2/3.
    safety: float = 10.0
    #: Least error, and least distance between two states.
    resolution: float = 1e-9
    #: Steps with the matrix of a known state, for starts that may belong to it, and the share that
    #: each has to reduce their distance to.
    shared_steps: int = 20
    max_ratio: float = 0.7


CONFIG = PolishConfig()


class Polished(NamedTuple):
    """Points (B, N), the largest error of each (B,), and whether Newton's method converged (B,)."""

    m: Floats
    error: Floats
    converged: Flags


class Stability(NamedTuple):
    """Of each state (S,): the eigenvalues where computed, else NaN; and their signs.

    curvature: least eigenvalue of S; stability: that of 1 − v_i J_ij² v_j.  minimum, stable: 1 for
    yes, −1 for no, 0 where an eigenvalue is zero within its error; stable is both.
    """

    curvature: Floats
    stability: Floats
    minimum: Signs
    stable: Signs


def total_fields(m: Floats, J: Floats, J2: Floats, h: Floats) -> Floats:
    """Return φ_i = h_i + Σ_j J_ij m_j − m_i Σ_j J_ij²(1 − m_j²) of magnetizations (B, N)."""
    return h + m @ J - m * ((1 - m * m) @ J2)


def scaled_hessian(m: Floats, J: Floats) -> Floats:
    """Return √v_i v_j ∂²(βF_TAP)/∂m_i∂m_j at m (N,), v = 1 − m²: (N, N)."""
    v = 1 - m * m
    root = np.sqrt(v)
    hessian = (-J - 2 * J * J * np.outer(m, m)) * np.outer(root, root)
    np.fill_diagonal(hessian, 1 + v * ((J * J) @ v))
    return hessian


def plefka_matrix(m: Floats, J: Floats) -> Floats:
    """Return 1 − v_i J_ij² v_j at m (N,): (N, N); positive definite where the equations hold."""
    v = 1 - m * m
    return np.eye(len(m)) - J * J * np.outer(v, v)


class _Newton:
    """Newton's steps with the matrix of one point."""

    def __init__(self, m: Floats, J: Floats, J2: Floats) -> None:
        from scipy.linalg import lu_factor

        v = 1 - m * m
        self.root = np.sqrt(v)
        self.A = J + 2 * J2 * np.outer(m, m)
        np.fill_diagonal(self.A, -(J2 @ v))
        S = -self.A * np.outer(self.root, self.root)
        S[np.diag_indices_from(S)] += 1
        self.lu = lu_factor(S, overwrite_a=True, check_finite=False)

    def step(self, r: Floats) -> Floats:
        """Return Δy for residuals (B, N)."""
        from scipy.linalg import lu_solve

        inner = lu_solve(self.lu, (self.root * r).T, check_finite=False).T
        return r + (self.root * inner) @ self.A.T


def polish(m: Floats, J: Floats, h: Floats) -> Polished:
    """Go from magnetizations (B, N) near stationary points to the points they belong to.

    Each point that is not near a known one takes a matrix of its own in every step, N³/3 flop;
    starts of the same state share the last.
    """
    J2 = J * J
    y0 = total_fields(m, J, J2, h)
    points = Polished(np.tanh(y0), np.full(len(m), np.inf), np.zeros(len(m), np.bool_))
    left = np.arange(len(m))
    while len(left):
        first = left[0]
        y, error, newton = _newton(y0[first], J, J2, h)
        left = left[1:]
        if newton is None or np.abs(np.tanh(y) - np.tanh(y0[first])).max() > CONFIG.max_distance:
            continue
        state = np.tanh(y)
        points.m[first], points.error[first], points.converged[first] = state, error, True
        near = left[np.abs(points.m[left] - state).max(axis=1) < CONFIG.max_distance]
        same = near[_converge_to(state, error, y0[near], newton, J, J2, h)]
        points.m[same], points.error[same], points.converged[same] = state, error, True
        left = np.setdiff1d(left, same)
    return points


def _newton(y: Floats, J: Floats, J2: Floats, h: Floats) -> tuple[Floats, float, _Newton | None]:
    """Return where Newton's method ends from fields y (N,), its error, and its last matrix."""
    before = np.inf
    for _ in range(CONFIG.max_steps):
        m = np.tanh(y)
        try:
            newton = _Newton(m, J, J2)
        except ValueError:  # not finite
            return y, np.inf, None
        with np.errstate(all="ignore"):
            step = newton.step(total_fields(m[None], J, J2, h) - y)[0]
        if not np.isfinite(step).all():
            return y, np.inf, None
        while (moved := float(np.abs(np.tanh(y + step) - m).max())) > CONFIG.max_step:
            step /= 2
        y = y + step
        if moved <= CONFIG.exact or (moved <= CONFIG.noise and moved > 0.9 * before):
            last = min(before, CONFIG.noise) if moved > CONFIG.exact else 0.0
            return y, CONFIG.safety * max(moved, last), newton
        before = moved
    return y, np.inf, None


def _converge_to(
    state: Floats, error: float, y: Floats, newton: _Newton, J: Floats, J2: Floats, h: Floats
) -> Flags:
    """Return which of fields y (B, N) steps with the matrix of a state lead to that state."""
    if not len(y):
        return np.zeros(0, np.bool_)
    within = np.zeros(len(y), np.bool_)
    left, distance = np.arange(len(y)), np.full(len(y), np.inf)
    for _ in range(CONFIG.shared_steps):
        m = np.tanh(y[left])
        with np.errstate(all="ignore"):
            y[left] += newton.step(total_fields(m, J, J2, h) - y[left])
        now = np.abs(np.tanh(y[left]) - state).max(axis=1)
        within[left] = now <= error + CONFIG.resolution
        closer = ~within[left] & (now < CONFIG.max_ratio * distance[left])
        distance[left] = now
        left = left[closer]
        if not len(left):
            break
    return within


def distinct(m: Floats, error: Floats, f: Floats) -> Ints:
    """Number states, those of lower free energy first: (B,).

    Parameters
    ----------
    m, error
        Points (B, N), and the largest error of a magnetization (B,).
    f
        (B,) free energies.
    """
    state = np.full(len(m), -1)
    number = 0
    for row in np.argsort(f, kind="stable"):
        if state[row] >= 0:
            continue
        left = np.flatnonzero(state < 0)
        reach = error[left] + error[row] + CONFIG.resolution
        state[left[np.abs(m[left] - m[row]).max(axis=1) <= reach]] = number
        number += 1
    return state


def stability_of(m: Floats, error: Floats, J: Floats, computed: int) -> Stability:
    """Return the stability of stationary points (S, N), with eigenvalues of the first ``computed``.

    An eigenvalue counts as zero within its error, which follows from that of m; the signs of those
    that are not computed come from Cholesky factorisations.
    """
    count = len(m)
    values = np.full((2, count), np.nan)
    signs = np.zeros((2, count), np.int8)
    for k, (row, row_error) in enumerate(zip(m, error, strict=True)):
        margin = _margin(row, row_error, J)
        for which, matrix in enumerate((scaled_hessian(row, J), plefka_matrix(row, J))):
            if k < computed:
                value = values[which, k] = np.linalg.eigvalsh(matrix)[0]
                signs[which, k] = np.sign(value) * (abs(value) > margin)
            else:
                signs[which, k] = _sign(matrix, margin)
    return Stability(values[0], values[1], signs[0], signs.min(axis=0, initial=1))


def _margin(m: Floats, error: float, J: Floats) -> float:
    """Return the error of an eigenvalue at m (N,) by rounding and by the error of m."""
    size = 1 + float((np.abs(J) + 2 * J * J).sum(axis=1).max())
    return float(len(m) * np.finfo(np.float64).eps * size + 4 * size * error)


def _sign(matrix: Floats, margin: float) -> int:
    """Return the sign of the least eigenvalue of a symmetric matrix; 0 within a margin."""
    shift = margin * np.eye(len(matrix))
    if _is_positive(matrix - shift):
        return 1
    return 0 if _is_positive(matrix + shift) else -1


def _is_positive(matrix: Floats) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True
