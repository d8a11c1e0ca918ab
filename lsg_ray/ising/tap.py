"""Thouless–Anderson–Palmer equations: how many states does the model have?

Fixed points of (D. J. Thouless, P. W. Anderson, R. G. Palmer, Phil. Mag. 35, 593 (1977); times as
in E. Bolthausen, Commun. Math. Phys. 325, 333 (2014))

    m^{t+1} = tanh(h + J m^t − m^{t−1} ⊙ J²(1 − (m^t)²)),          J² elementwise,

are the stationary points of

    −βF = Σ h_i m_i + ½ mᵀJm + ¼ (1 − m²)ᵀJ²(1 − m²) + Σ_i S(m_i),
    S(m) = −(1 + m)/2 ln (1 + m)/2 − (1 − m)/2 ln (1 − m)/2.

Many random starts lead to many of them, or always to the same one: a smooth free energy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import numpy as np
import xarray
from annotated_types import Ge, Le

from lsg_ray.arrays import public
from lsg_ray.ising.damping import AdaptiveDamping, DampingConfig
from lsg_ray.ising.field_scans import check_size
from lsg_ray.ising.findings import tap_findings
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.stationary import distinct, polish, stability_of, total_fields
from lsg_ray.results.graph import compute
from lsg_ray.results.records import joined, reduce_tasks
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.stage import MODEL, Figure, Stage
from lsg_ray.statistics.modes import MODE_TEST, count_modes, mode_positions
from lsg_ray.typing import Count, Flags, Floats, Ints, ModelLike, Positive, Progress, Seed

#: Most starts of a run.
MAX_STARTS = 1_000_000


@dataclass(frozen=True)
class TapConfig:
    """How starts are iterated, and what is computed of the states."""

    #: Starts of a task: products of N × N by N × 250 run at the rate of large ones.
    task_starts: int = 250
    #: Damping of the iteration, which takes more steps than that of messages.
    damping: DampingConfig = field(default_factory=lambda: DampingConfig(failures=12))
    #: Relative decrease of the free energy that is more than rounding.
    energy_rounding: float = 1e-13
    #: Residual below which Newton's method is tried where the iteration ended; at least the
    #: tolerance.
    polished_below: float = 1e-3
    #: States of lowest free energy whose eigenvalues are computed, at N³ flop each.
    computed_states: int = 50


CONFIG = TapConfig()
#: The criterion of a stable state, which results carry.
STABILITY_CRITERION = (
    "stable: a minimum of the free energy (curvature above zero) where the equations hold "
    "(stability above zero); undetermined where an eigenvalue is zero within its error"
)
_YES_NO = {"flag_values": [-1, 0, 1], "flag_meanings": "no undetermined yes"}


@public
def tap_states(
    model: ModelLike,
    *,
    beta: Positive = 1.0,
    starts: Annotated[int, Ge(1), Le(MAX_STARTS)] = 2000,
    tolerance: Positive = 1e-5,
    max_iterations: Count = 2000,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Iterate the TAP equations from random starts and compare the states they reach.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    beta
        Inverse temperature; multiplies J and h.
    starts
        Number of random starts, m = tanh of normal deviates; by default that of the paper, as are
        the tolerance and the iterations.
    tolerance
        Largest change of a magnetization in an iteration at which the iteration ends; from there,
        Newton's method goes to the rounding error.
    max_iterations
        Largest number of iterations of a start.  The first are without damping; it grows where
        neither the residual nor the free energy falls.
    seed
        Seed of the starts.
    progress
        Called with ``(tasks done, tasks in all)``.

    Returns
    -------
    xarray.Dataset
        Over ``start``: ``f``, βF_TAP/(βN), the free energy per weight in nats; ``converged``,
        whether it has reached a stationary point; ``iterations``, ``residual``, ``damping``;
        ``error``, how far a magnetization may be from its exact value; ``gradient``, the largest
        component of (1 − m²) ∂(−βF)/∂m there, and ``state``, the number of its state, −1 if it has
        not converged.  Two points are one state if they differ by no more than their errors.  Over
        ``state_number``, those of lower free energy first: ``m``, ``state_f``, ``state_error``,
        ``population`` (starts); ``curvature``, the smallest eigenvalue of the Hessian of βF in
        units of (1 − m²)⁻¹, positive for minima, and ``stability``, 1 − λ with λ the largest
        eigenvalue of (1 − m_i²) J_ij² (1 − m_j²), below zero where the equations do not hold (T.
        Plefka, J. Phys. A 15, 1971 (1982)), both NaN beyond the first 50; of all states ``minimum``
        and ``stable`` (a minimum where the equations hold): 1 yes, −1 no, 0 undetermined, where an
        eigenvalue is zero within its error; ``overlap`` (state_number, state_number_).
        Attributes: ``converged`` (fraction), ``states``, ``stable_states``, ``saddles``,
        ``undetermined_states``, ``criterion``; ``peaks`` of the histogram of f over starts that
        reached minima (see `count_peaks`), and ``peak_test``.

    Raises
    ------
    InputError
        Numbers out of range.

    Notes
    -----
    4 N² flop an iteration and start, in matrix products, and N³ a few times for each state; memory
    32 N bytes a start.

    Examples
    --------
    >>> J = np.full((50, 50), 1.5 / 50) - np.eye(50) * 1.5 / 50
    >>> result = tap_states((J, np.zeros(50)), starts=100)
    >>> result.attrs["states"], np.abs(result["m"].values.mean(axis=1)).round(2).tolist()
    (2, [0.84, 0.84])
    """
    ising = as_model(model)
    check_size(ising, beta, np.zeros(1))
    arguments = [
        (beta, min(CONFIG.task_starts, starts - a), tolerance, max_iterations, seed, n)
        for n, a in enumerate(range(0, starts, CONFIG.task_starts))
    ]
    points = compute(reduce_tasks(_iterate, (ising,), arguments, joined), progress)
    return _dataset(ising, beta, points, tolerance, seed)


class _Points(NamedTuple):
    """The points that starts have reached: m (starts, N), and numbers of each."""

    m: Floats
    error: Floats
    f: Floats
    converged: Flags
    iterations: Ints
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
    """Iterate, then continue by Newton's method where that has come near a stationary point."""
    J, h = beta * model.J, beta * model.h
    rng = np.random.default_rng(seed_sequence(seed, Stream.TAP, number))
    m = np.tanh(rng.standard_normal((starts, model.n_spins)))
    iterations, residual, damping = _fixed_points(m, J, h, tolerance, max_iterations)
    near = np.flatnonzero(residual <= max(CONFIG.polished_below, tolerance))
    points = polish(m[near], J, h)
    done = near[points.converged]
    m[done] = points.m[points.converged]
    error, converged = np.full(starts, np.inf), np.zeros(starts, np.bool_)
    error[done], converged[done] = points.error[points.converged], True
    changes = np.abs(np.tanh(total_fields(m[done], J, J * J, h)) - m[done])
    residual[done] = changes.max(axis=1, initial=0.0)
    return _Points(
        m,
        error,
        tap_free_energy(m, J, h) / (beta * model.n_spins),
        converged,
        iterations,
        residual,
        damping,
        np.abs((1 - m * m) * tap_gradient(m, J, h)).max(axis=1),
    )


def _fixed_points(
    m: Floats, J: Floats, h: Floats, tolerance: float, max_iterations: int
) -> tuple[Ints, Floats, Floats]:
    """Iterate magnetizations (B, N), in place; return iterations, residuals and damping, (B,).

    Damping grows where the residual does not fall; but not while the free energy falls, as it does
    near a saddle.
    """
    J2, starts = J * J, len(m)
    damping = AdaptiveDamping(CONFIG.damping, count=starts)
    iterations, residual = np.zeros(starts, np.int64), np.full(starts, np.inf)
    lowest, left = np.full(starts, np.inf), np.arange(starts)
    now, last = m.copy(), m.copy()
    for iteration in range(1, max_iterations + 1):
        gamma = damping.gamma[left, None]
        new = np.tanh(h + now @ J - last * ((1 - now * now) @ J2))
        residual[left] = np.abs(new - now).max(axis=1)
        iterations[left] = iteration
        new = (1 - gamma) * new + gamma * now
        m[left] = new
        if iteration % CONFIG.damping.every == 0:
            energy = tap_free_energy(new, J, h)
            falls = energy < lowest[left] - CONFIG.energy_rounding * np.abs(energy)
            damping.update(residual[left], falls, left)
            lowest[left] = np.minimum(lowest[left], energy)
        active = (residual[left] > tolerance) & ~damping.hopeless[left]
        if not active.any():
            break
        if active.all():
            now, last = new, now
        else:
            left, now, last = left[active], new[active], now[active]
    return iterations, residual, damping.gamma


def tap_free_energy(m: Floats, J: Floats, h: Floats) -> Floats:
    """Return βF_TAP of magnetizations (B, N), for βJ and βh: (B,)."""
    from scipy.special import entr

    v = 1 - m * m
    entropy = (entr((1 + m) / 2) + entr((1 - m) / 2)).sum(axis=1)
    return -(
        m @ h
        + 0.5 * np.einsum("bi,bi->b", m, m @ J)
        + 0.25 * np.einsum("bi,bi->b", v, v @ (J * J))
        + entropy
    )


def tap_gradient(m: Floats, J: Floats, h: Floats) -> Floats:
    """Return ∂(−βF_TAP)/∂m_i = h_i + Σ_j J_ij m_j − m_i Σ_j J_ij²(1 − m_j²) − atanh m_i: (B, N)."""
    inside = np.clip(m, -1 + 2.0**-53, 1 - 2.0**-53)
    return h + m @ J - m * ((1 - m * m) @ (J * J)) - np.arctanh(inside)


def count_peaks(values: Floats, seed: int = 0) -> tuple[int, Floats]:
    """Count the peaks of a distribution, `lsg_ray.statistics.modes`.

    Returns
    -------
    The number, and the positions of the peaks.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one, two = rng.gamma(4, size=1000), np.r_[rng.normal(-4, 1, 500), rng.normal(4, 1, 500)]
    >>> count_peaks(one)[0], count_peaks(two)[0], count_peaks(np.ones(10))[0]
    (1, 2, 1)
    """
    modes = count_modes(values, seed=seed)
    return modes.modes, mode_positions(values, modes.bandwidth)


def _dataset(
    model: IsingModel, beta: float, points: _Points, tolerance: float, seed: int
) -> xarray.Dataset:
    converged = np.flatnonzero(points.converged)
    groups = distinct(points.m[converged], points.error[converged], points.f[converged])
    count = int(groups.max(initial=-1)) + 1
    firsts = [converged[int(np.flatnonzero(groups == g)[0])] for g in range(count)]
    m, error, state_f = points.m[firsts], points.error[firsts], points.f[firsts]
    state, f = np.full(len(points.f), -1), points.f.copy()
    state[converged], f[converged] = groups, state_f[groups]
    stability = stability_of(m, error, beta * model.J, CONFIG.computed_states)
    minima = converged[stability.minimum[groups] >= 0]
    peaks, positions = count_peaks(f[minima], seed)
    nat = {"units": "nat"}
    overlap = m @ m.T / model.n_spins
    return xarray.Dataset(
        {
            "f": ("start", f, {"long_name": "TAP free energy per weight", **nat}),
            **{
                name: ("start", getattr(points, name), {"units": units})
                for name, units in (
                    ("converged", "1"), ("iterations", "1"), ("residual", "1"), ("error", "1"),
                    ("damping", "1"), ("gradient", "nat"),
                )
            },
            "state": ("start", state),
            "m": (("state_number", "weight"), m, {"long_name": "magnetization", "units": "1"}),
            "state_f": ("state_number", state_f, nat),
            "state_error": ("state_number", error, {"units": "1"}),
            "population": ("state_number", np.bincount(groups, minlength=count)),
            "curvature": ("state_number", stability.curvature, {"units": "1"}),
            "stability": ("state_number", stability.stability, {"units": "1"}),
            "minimum": ("state_number", stability.minimum, _YES_NO),
            "stable": ("state_number", stability.stable, _YES_NO),
            "overlap": (("state_number", "state_number_"), overlap, {"units": "1"}),
        },
        attrs={
            "statistic": "tap", "beta": beta, "starts": len(points.f), "tolerance": tolerance,
            "seed": seed, "converged": float(points.converged.mean()), "states": count,
            "stable_states": int((stability.stable > 0).sum()),
            "saddles": int((stability.minimum < 0).sum()),
            "undetermined_states": int((stability.stable == 0).sum()),
            "criterion": STABILITY_CRITERION,
            "peaks": peaks, "peak_positions": positions.tolist(),
            "peak_test": MODE_TEST,
        },
    )  # fmt: skip


def _summary(result: xarray.Dataset) -> dict[str, Any]:
    names = (
        "starts",
        "converged",
        "states",
        "stable_states",
        "saddles",
        "undetermined_states",
        "peaks",
        "peak_test",
    )
    lowest = float(result["state_f"].values[0]) if result.sizes["state_number"] else None
    return {
        **{name: result.attrs[name] for name in names},
        "lowest_free_energy": lowest,
        "largest_gradient": float(result["gradient"].where(result["converged"]).max()),
        "iterations": float(result["iterations"].mean()),
    }


STAGE = Stage(
    "tap",
    tap_states,
    reads={"model": MODEL},
    summary=_summary,
    findings=tap_findings,
    figures=[
        Figure("lsg_ray.report.figures.entropy_landscape:tap_figure", "TAP states", "tap_caption")
    ],
)
