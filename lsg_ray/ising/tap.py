"""Thouless–Anderson–Palmer equations: how many states does the model have?

Fixed points of (D. J. Thouless, P. W. Anderson, R. G. Palmer, Phil. Mag. 35, 593 (1977); times as
in E. Bolthausen, Commun. Math. Phys. 325, 333 (2014))

    m^{t+1} = tanh(h + J m^t − m^{t−1} ⊙ J²(1 − (m^t)²)),          J² elementwise,

are the stationary points of

    −βF = Σ h_i m_i + ½ mᵀJm + ¼ (1 − m²)ᵀJ²(1 − m²) + Σ_i S(m_i),
    S(m) = −(1 + m)/2 ln (1 + m)/2 − (1 − m)/2 ln (1 − m)/2.

Many random starts find many of them, or always the same one: a smooth landscape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.errors import InputError
from lsg_ray.ising.entropy import check_size
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.rng import Stage, seed_sequence
from lsg_ray.statistics.graph import compute, share
from lsg_ray.statistics.modes import count_modes, mode_places

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

#: The authors' numbers of starts and of iterations, and their tolerance.
STARTS, ITERATIONS, TOLERANCE = 2000, 2000, 1e-5
#: Starts, at most.
MOST_STARTS = 1_000_000
#: Starts of a task: products of N × N by N × 250 run at the rate of large ones.
CHUNK = 250
#: Iterations after which a residual must have fallen by a tenth, or else damping grows, up to the
#: most; and how often that may fail.
PATIENCE, STALLED, MOST_DAMPING, GIVE_UP = 50, 0.9, 0.95, 12
#: Two states are one if the root mean square of their difference is below this.
SAME = 1e-3
#: States, of lowest free energy, whose curvature is computed: N³ each.
CURVED = 50
#: Level of Silverman's test.
LEVEL = 0.01


def tap_states(
    model: Any,
    *,
    beta: float = 1.0,
    starts: int = STARTS,
    tolerance: float = TOLERANCE,
    max_iterations: int = ITERATIONS,
    seed: int = 0,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Iterate the TAP equations from random starts and compare where they come to.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    beta
        Inverse temperature, positive; multiplies J and h.
    starts
        Random starts, m = tanh of normal numbers.
    tolerance
        On the largest change of a magnetization in an iteration.
    max_iterations
        For each start, at most.  The first are without damping; it grows where the residual does
        not fall.
    seed
        Of the starts.
    progress
        Told ``(done, in all)``.

    Returns
    -------
    xarray.Dataset
        Over ``start``: ``f``, −(−βF)/(βN), the free energy per weight in nats; ``converged``,
        ``iterations``, ``residual``, ``damping``, ``gradient``, the largest component of
        (1 − m²) ∂(−βF)/∂m there, and ``state``, the number of the distinct state it has come to,
        −1 if it has not converged.  Over ``state_number``, those of lower free energy first: ``m``,
        ``state_f``, ``population`` (starts), ``curvature``, the smallest eigenvalue of the Hessian
        of βF in units of (1 − m²)⁻¹, positive for minima, and ``stability``, 1 − λ with λ the
        largest eigenvalue of (1 − m_i²) J_ij² (1 − m_j²), below zero where the equations do not
        hold (T. Plefka, J. Phys. A 15, 1971 (1982)), both NaN beyond the first 50; ``overlap``
        (state_number, state_number_).
        Attributes: ``converged`` (fraction), ``states``, ``stable_states`` (of the first 50),
        ``peaks`` of the histogram of f (see `count_peaks`), and ``peak_test``.

    Raises
    ------
    InputError
        Numbers out of range.

    Notes
    -----
    4 N² flop an iteration and start, in matrix products; memory 32 N bytes a start.

    Examples
    --------
    >>> J = np.full((50, 50), 1.5 / 50) - np.eye(50) * 1.5 / 50
    >>> found = tap_states((J, np.zeros(50)), starts=100)
    >>> found.attrs["states"], np.abs(found["m"].values.mean(axis=1)).round(2).tolist()
    (2, [0.84, 0.84])
    """
    import dask

    ising = as_model(model)
    if not (np.isfinite(beta) and beta > 0):
        raise InputError(f"beta {beta} given; it must be positive")
    if not 1 <= starts <= MOST_STARTS or max_iterations < 1 or not tolerance > 0:
        raise InputError(
            f"starts {starts}, max_iterations {max_iterations}, tolerance {tolerance} given; all "
            f"must be positive, and starts at most {MOST_STARTS:,}"
        )
    if seed < 0:
        raise InputError(f"seed {seed} given; 0 or more")
    check_size(ising, beta, np.zeros(1))
    leaf, given = dask.delayed(_iterate, pure=False), share(ising)
    cuts = range(0, starts, CHUNK)
    leaves = [
        leaf(given, beta, min(CHUNK, starts - a), tolerance, max_iterations, seed, n)
        for n, a in enumerate(cuts)
    ]
    found = [np.concatenate(v) for v in zip(*compute(leaves, progress), strict=True)]
    return _dataset(ising, beta, _Points(*found), tolerance, seed)


class _Points(NamedTuple):
    """Where starts have come to: m (starts, N), and numbers of each."""

    m: Floats
    f: Floats
    converged: NDArray[np.bool_]
    iterations: NDArray[np.int64]
    residual: Floats
    damping: Floats
    gradient: Floats


def _iterate(
    model: IsingModel,
    beta: float,
    starts: int,
    tolerance: float,
    max_iterations: int,
    seed: int,
    number: int,
) -> _Points:
    J, h = beta * model.J, beta * model.h
    J2 = J * J
    rng = np.random.default_rng(seed_sequence(seed, Stage.TAP, number))
    m = np.tanh(rng.standard_normal((starts, model.n_spins)))
    iterations, failures = np.zeros(starts, np.int64), np.zeros(starts, np.int64)
    damping, residual, best = np.zeros(starts), np.full(starts, np.inf), np.full(starts, np.inf)
    left = np.arange(starts)
    now, last = m.copy(), m.copy()
    for iteration in range(1, max_iterations + 1):
        gamma = damping[left, None]
        new = np.tanh(h + now @ J - last * ((1 - now * now) @ J2))
        residual[left] = np.abs(new - now).max(axis=1)
        iterations[left] = iteration
        new = (1 - gamma) * new + gamma * now
        m[left] = new
        if iteration % PATIENCE == 0:
            slow = left[residual[left] > STALLED * best[left]]
            failures[slow] += 1
            damping[slow] = np.minimum((1 + damping[slow]) / 2, MOST_DAMPING)
            best[left] = np.minimum(best[left], residual[left])
        going = (residual[left] > tolerance) & (failures[left] <= GIVE_UP)
        if not going.any():
            break
        left, now, last = (left, new, now) if going.all() else (left[going], new[going], now[going])
    return _Points(
        m, tap_free_energy(m, J, h) / (beta * model.n_spins), residual <= tolerance, iterations,
        residual, damping, np.abs((1 - m * m) * tap_gradient(m, J, h)).max(axis=1),
    )  # fmt: skip


def tap_free_energy(m: Floats, J: Floats, h: Floats) -> Floats:
    """Return βF_TAP of magnetizations (B, N), for βJ and βh: (B,)."""
    from scipy.special import entr

    v = 1 - m * m
    entropy = (entr((1 + m) / 2) + entr((1 - m) / 2)).sum(axis=1)
    found: Floats = -(
        m @ h
        + 0.5 * np.einsum("bi,bi->b", m, m @ J)
        + 0.25 * np.einsum("bi,bi->b", v, v @ (J * J))
        + entropy
    )
    return found


def tap_gradient(m: Floats, J: Floats, h: Floats) -> Floats:
    """Return ∂(−βF_TAP)/∂m_i = h_i + Σ_j J_ij m_j − m_i Σ_j J_ij²(1 − m_j²) − atanh m_i: (B, N)."""
    inside = np.clip(m, -1 + 2.0**-53, 1 - 2.0**-53)
    found: Floats = h + m @ J - m * ((1 - m * m) @ (J * J)) - np.arctanh(inside)
    return found


def tap_curvature(m: Floats, J: Floats) -> float:
    """Return the smallest eigenvalue of (v_i v_j)^½ ∂²(βF_TAP)/∂m_i∂m_j at m (N,), v = 1 − m²."""
    v = 1 - m * m
    hessian = -J - 2 * J * J * np.outer(m, m)
    root = np.sqrt(v)
    hessian *= np.outer(root, root)
    np.fill_diagonal(hessian, 1 + v * ((J * J) @ v))
    return float(np.linalg.eigvalsh(hessian)[0])


def tap_stability(m: Floats, J: Floats) -> float:
    """Return 1 − λ, λ the largest eigenvalue of (1 − m_i²) J_ij² (1 − m_j²), at m (N,)."""
    v = 1 - m * m
    return 1 - float(np.linalg.eigvalsh(J * J * np.outer(v, v))[-1])


def count_peaks(values: Floats, seed: int = 0) -> tuple[int, Floats]:
    """Count the peaks of a distribution by Silverman's test, `lsg_ray.statistics.modes`.

    Returns
    -------
    The number, and where the peaks are.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one, two = rng.gamma(4, size=1000), np.r_[rng.normal(-4, 1, 500), rng.normal(4, 1, 500)]
    >>> count_peaks(one)[0], count_peaks(two)[0], count_peaks(np.ones(10))[0]
    (1, 2, 1)
    """
    found = count_modes(values, level=LEVEL, seed=seed)
    return found.modes, mode_places(values, found.bandwidth)


def _dataset(
    model: IsingModel, beta: float, points: _Points, tolerance: float, seed: int
) -> xarray.Dataset:
    settled = np.flatnonzero(points.converged)
    state = np.full(len(points.f), -1)
    groups = _distinct(points.m[settled], points.f[settled])
    state[settled] = groups
    count = int(groups.max(initial=-1)) + 1
    firsts = [settled[int(np.flatnonzero(groups == g)[0])] for g in range(count)]
    m = points.m[firsts]
    peaks, places = count_peaks(points.f[settled])
    J = beta * model.J
    curvature = np.full(count, np.nan)
    curvature[:CURVED] = [tap_curvature(row, J) for row in m[:CURVED]]
    stability = np.full(count, np.nan)
    stability[:CURVED] = [tap_stability(row, J) for row in m[:CURVED]]
    one, nat = {"units": "1"}, {"units": "nat"}
    overlap = m @ m.T / model.n_spins
    return xarray.Dataset(
        {
            "f": ("start", points.f, {"long_name": "TAP free energy per weight", **nat}),
            **{
                name: ("start", getattr(points, name))
                for name in ("converged", "iterations", "residual", "damping", "gradient")
            },
            "state": ("start", state),
            "m": (("state_number", "weight"), m, {"long_name": "magnetization", **one}),
            "state_f": ("state_number", points.f[firsts], nat),
            "population": ("state_number", np.bincount(groups, minlength=count)),
            "curvature": ("state_number", curvature),
            "stability": ("state_number", stability),
            "overlap": (("state_number", "state_number_"), overlap, one),
        },
        attrs={
            "statistic": "tap", "beta": beta, "starts": len(points.f), "tolerance": tolerance,
            "seed": seed, "converged": float(points.converged.mean()), "states": count,
            "stable_states": int((stability > 0).sum()),
            "peaks": peaks, "peak_positions": places.tolist(),
            "peak_test": f"Silverman, level {LEVEL:g}",
        },
    )  # fmt: skip


def _distinct(m: Floats, f: Floats) -> NDArray[np.int64]:
    """Number distinct states, those of lower free energy first; (rows,)."""
    found = np.full(len(m), -1)
    number = 0
    for row in np.argsort(f, kind="stable"):
        if found[row] >= 0:
            continue
        near = np.sqrt(np.mean((m - m[row]) ** 2, axis=1)) < SAME
        found[near & (found < 0)] = number
        number += 1
    return found
