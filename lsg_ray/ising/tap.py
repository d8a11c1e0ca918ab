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

from typing import Annotated, Any, NamedTuple

import numpy as np
import xarray
from annotated_types import Ge, Le

from lsg_ray.arrays import public
from lsg_ray.ising.damping import AdaptiveDamping, DampingConfig
from lsg_ray.ising.entropy import check_size
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.stationary import distinct, polish, stability_of, total_fields
from lsg_ray.results.graph import compute
from lsg_ray.results.records import joined, reduce_tasks
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.stage import MODEL, Figure, Stage
from lsg_ray.statistics.modes import MODE_TEST, count_modes, mode_positions
from lsg_ray.typing import Count, Flags, Floats, Ints, ModelLike, Positive, Progress, Seed

#: The authors' numbers of starts and of iterations, and their tolerance.
STARTS, ITERATIONS, TOLERANCE = 2000, 2000, 1e-5
#: Starts, at most.
MOST_STARTS = 1_000_000
#: Starts of a task: products of N × N by N × 250 run at the rate of large ones.
TASK_STARTS = 250
#: Of iterations, whose way is longer than that of messages.
DAMPING = DampingConfig(failures=12)
#: Fall of the free energy, in units of itself, that is more than rounding.
ENERGY_ROUNDING = 1e-13
#: Residual, at least, from which Newton's method is tried where the iteration came to its end.
POLISHED_FROM = 1e-3
#: States, of lowest free energy, whose eigenvalues are computed: N³ each.
COMPUTED_STATES = 50
#: When a state counts as what.
CRITERION = (
    "stable: a minimum of the free energy (curvature above zero) where the equations hold "
    "(stability above zero); undetermined where an eigenvalue is zero within its error"
)
_FLAGS = {"flag_values": [-1, 0, 1], "flag_meanings": "no undetermined yes"}


@public
def tap_states(
    model: ModelLike,
    *,
    beta: Positive = 1.0,
    starts: Annotated[int, Ge(1), Le(MOST_STARTS)] = STARTS,
    tolerance: Positive = TOLERANCE,
    max_iterations: Count = ITERATIONS,
    seed: Seed = 0,
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
        On the largest change of a magnetization in an iteration; from there on, Newton's method
        goes to the rounding error.
    max_iterations
        For each start, at most.  The first are without damping; it grows where neither the residual
        nor the free energy falls.
    seed
        Of the starts.
    progress
        Told ``(done, in all)``.

    Returns
    -------
    xarray.Dataset
        Over ``start``: ``f``, βF_TAP/(βN), the free energy per weight in nats; ``converged``,
        whether it has come to a stationary point; ``iterations``, ``residual``, ``damping``;
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
        came to minima (see `count_peaks`), and ``peak_test``.

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
    >>> found = tap_states((J, np.zeros(50)), starts=100)
    >>> found.attrs["states"], np.abs(found["m"].values.mean(axis=1)).round(2).tolist()
    (2, [0.84, 0.84])
    """
    ising = as_model(model)
    check_size(ising, beta, np.zeros(1))
    arguments = [
        (beta, min(TASK_STARTS, starts - a), tolerance, max_iterations, seed, n)
        for n, a in enumerate(range(0, starts, TASK_STARTS))
    ]
    points = compute(reduce_tasks(_iterate, (ising,), arguments, joined), progress)
    return _dataset(ising, beta, points, tolerance, seed)


class _Points(NamedTuple):
    """Where starts have come to: m (starts, N), and numbers of each."""

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
    """Iterate, then go on by Newton's method where that has come near to rest."""
    J, h = beta * model.J, beta * model.h
    rng = np.random.default_rng(seed_sequence(seed, Stream.TAP, number))
    m = np.tanh(rng.standard_normal((starts, model.n_spins)))
    iterations, residual, damping = _settle(m, J, h, tolerance, max_iterations)
    near = np.flatnonzero(residual <= max(POLISHED_FROM, tolerance))
    points = polish(m[near], J, h)
    rest, found = near[points.found], points.found
    m[rest] = points.m[found]
    error, converged = np.full(starts, np.inf), np.zeros(starts, np.bool_)
    error[rest], converged[rest] = points.error[found], True
    residual[rest] = np.abs(np.tanh(total_fields(m[rest], J, J * J, h)) - m[rest]).max(
        axis=1, initial=0.0
    )
    return _Points(
        m, error, tap_free_energy(m, J, h) / (beta * model.n_spins), converged, iterations,
        residual, damping, np.abs((1 - m * m) * tap_gradient(m, J, h)).max(axis=1),
    )  # fmt: skip


def _settle(
    m: Floats, J: Floats, h: Floats, tolerance: float, max_iterations: int
) -> tuple[Ints, Floats, Floats]:
    """Iterate magnetizations (B, N), in place; return iterations, residuals and damping, (B,).

    Where the residual does not fall, damping grows; but not while the free energy falls, as on the
    way out of a saddle.
    """
    J2, starts = J * J, len(m)
    adaptive = AdaptiveDamping(DAMPING, count=starts)
    iterations, residual = np.zeros(starts, np.int64), np.full(starts, np.inf)
    lowest, left = np.full(starts, np.inf), np.arange(starts)
    now, last = m.copy(), m.copy()
    for iteration in range(1, max_iterations + 1):
        gamma = adaptive.gamma[left, None]
        new = np.tanh(h + now @ J - last * ((1 - now * now) @ J2))
        residual[left] = np.abs(new - now).max(axis=1)
        iterations[left] = iteration
        new = (1 - gamma) * new + gamma * now
        m[left] = new
        if iteration % DAMPING.every == 0:
            energy = tap_free_energy(new, J, h)
            falls = energy < lowest[left] - ENERGY_ROUNDING * np.abs(energy)
            adaptive.update(residual[left], falls, left)
            lowest[left] = np.minimum(lowest[left], energy)
        going = (residual[left] > tolerance) & ~adaptive.hopeless[left]
        if not going.any():
            break
        left, now, last = (left, new, now) if going.all() else (left[going], new[going], now[going])
    return iterations, residual, adaptive.gamma


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
    The number, and where the peaks are.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one, two = rng.gamma(4, size=1000), np.r_[rng.normal(-4, 1, 500), rng.normal(4, 1, 500)]
    >>> count_peaks(one)[0], count_peaks(two)[0], count_peaks(np.ones(10))[0]
    (1, 2, 1)
    """
    found = count_modes(values, seed=seed)
    return found.modes, mode_positions(values, found.bandwidth)


def _dataset(
    model: IsingModel, beta: float, points: _Points, tolerance: float, seed: int
) -> xarray.Dataset:
    settled = np.flatnonzero(points.converged)
    groups = distinct(points.m[settled], points.error[settled], points.f[settled])
    count = int(groups.max(initial=-1)) + 1
    firsts = [settled[int(np.flatnonzero(groups == g)[0])] for g in range(count)]
    m, error, state_f = points.m[firsts], points.error[firsts], points.f[firsts]
    state, f = np.full(len(points.f), -1), points.f.copy()
    state[settled], f[settled] = groups, state_f[groups]
    kinds = stability_of(m, error, beta * model.J, COMPUTED_STATES)
    minima = settled[kinds.minimum[groups] >= 0]
    peaks, places = count_peaks(f[minima], seed)
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
            "curvature": ("state_number", kinds.curvature, {"units": "1"}),
            "stability": ("state_number", kinds.stability, {"units": "1"}),
            "minimum": ("state_number", kinds.minimum, _FLAGS),
            "stable": ("state_number", kinds.stable, _FLAGS),
            "overlap": (("state_number", "state_number_"), overlap, {"units": "1"}),
        },
        attrs={
            "statistic": "tap", "beta": beta, "starts": len(points.f), "tolerance": tolerance,
            "seed": seed, "converged": float(points.converged.mean()), "states": count,
            "stable_states": int((kinds.stable > 0).sum()),
            "saddles": int((kinds.minimum < 0).sum()),
            "undetermined_states": int((kinds.stable == 0).sum()),
            "criterion": CRITERION,
            "peaks": peaks, "peak_positions": places.tolist(),
            "peak_test": MODE_TEST,
        },
    )  # fmt: skip


def _shown(found: xarray.Dataset) -> dict[str, Any]:
    names = (
        "starts", "converged", "states", "stable_states", "saddles", "undetermined_states", "peaks",
        "peak_test",
    )  # fmt: skip
    lowest = float(found["state_f"].values[0]) if found.sizes["state_number"] else None
    return {
        **{name: found.attrs[name] for name in names}, "lowest_free_energy": lowest,
        "largest_gradient": float(found["gradient"].where(found["converged"]).max()),
        "iterations": float(found["iterations"].mean()),
    }  # fmt: skip


STAGE = Stage(
    "tap", tap_states, reads={"model": MODEL}, summary=_shown,
    figures=[Figure("lsg_ray.report.figures.entropy_landscape:tap_figure", "TAP states",
                    "tap_caption")],
)  # fmt: skip
