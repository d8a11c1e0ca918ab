"""Logistic regression of every weight on all others, out of core: what pseudolikelihood minimises.

All rows share the design, so losses and gradients of all are two matrix products over the
configurations, in blocks.  Second derivatives are averages of (1 − tanh² f) σ_jσ_k ≤ C_jk: the raw
moments are one majorising Gram matrix for all rows.  It is scaled, for each row, by the mean of
1 − tanh² f, and then by the curvature along the last step, relative to the Gram's; the quadratic
model with the penalty is minimised by coordinate descent; a row whose objective has grown goes
back, and its scale grows, at most to 1.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lsg_ray.arrays import public
from lsg_ray.ising.targets import Target
from lsg_ray.results.graph import compute
from lsg_ray.results.records import reduce_tasks
from lsg_ray.statistics.configurations import Configurations, ranges
from lsg_ray.typing import Count, Flags, Floats, Ints, NonNegative, Positive, Progress, Singles

#: One configuration in so many is held out, where a penalty is chosen.
HELD_OUT = 10


@dataclass(frozen=True)
class RegressionConfig:
    """How rows are cut, and how exactly their models are minimised."""

    #: Rows that are multiplied at a time, and rows of a task, at most.
    rows: int = 2048
    task_rows: int = 2**16
    #: Coordinate descent: sweeps of a row, and the accuracy of a model's minimum relative to that
    #: of the whole.
    sweeps: int = 200
    inner: float = 0.05
    #: Least curvature that is believed; relative changes of an objective that float32 does not
    #: tell.
    least_seen: float = 0.02
    rounding: float = 1e-5


CONFIG = RegressionConfig()


class Rows(NamedTuple):
    """All rows at a minimum.

    J: (N, N), row i regressed on the others, not symmetric; h: (N,); objective: (N,), penalties
    included; loss: (N,); kkt: the largest violation of the conditions of the minimum; passes: over
    the configurations; history: by name, one number a pass.
    """

    J: Floats
    h: Floats
    objective: Floats
    loss: Floats
    kkt: float
    converged: bool
    passes: int
    history: dict[str, list[float]]


class Sums(NamedTuple):
    """Over some rows: their number; Σ log-losses (N,), Σ 1 − tanh² (N,), Σ residuals (N,), and
    Σ residual_i σ_j (N, N).
    """

    rows: int
    loss: Floats
    curvature: Floats
    residual: Floats
    products: Floats


@public
def fit_rows(
    source: Configurations,
    target: Target,
    *,
    l1: NonNegative = 0.01,
    l2: NonNegative = 0.0,
    start: Rows | None = None,
    allowed: Flags | None = None,
    held_out: bool = False,
    tolerance: Positive = 5e-5,
    max_passes: Count = 200,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Rows:
    """Minimise the penalised pseudolikelihood of every weight.

    Parameters
    ----------
    source, target, l1, l2, tolerance, max_passes
        As in `fit_plm`.
    start
        Rows to start from; by default J = 0 and h = atanh m.
    allowed
        (N, N) couplings that may differ from zero.
    held_out
        Leave out every tenth configuration.

    Raises
    ------
    InputError
        A penalty is negative.
    """
    n, m = len(target.m), target.m
    may = ~np.eye(n, dtype=bool) if allowed is None else allowed & ~np.eye(n, dtype=bool)
    if start is None:
        J, h = np.zeros((n, n)), np.arctanh(m)
    else:
        J, h = np.where(may, start.J, 0.0), start.h.copy()
    keep, penalty, config = "others" if held_out else "all", _Penalty(l1, l2, may), CONFIG
    history: dict[str, list[float]] = {"kkt": [], "objective": []}
    last: tuple[Floats, ...] | None = None
    scale = np.ones(n)
    kkt, passes, loss, objective = np.inf, 0, np.zeros(n), np.zeros(n)
    for passes in range(1, max_passes + 1):
        sums = sum_all(source, J, h, keep)
        loss = sums.loss / sums.rows
        objective = loss + l1 * np.abs(J).sum(axis=1) + 0.5 * l2 * (J * J).sum(axis=1)
        gradient, slope = -sums.products / sums.rows, -sums.residual / sums.rows
        curvature = np.clip(sums.curvature / sums.rows, 1e-3, 1.0)
        if last is None:
            scale = curvature
        else:
            # Rows that have grown (or, as far as float32 tells, only their violation has) go back
            # and take shorter steps from there; with a scale of 1 none grows.
            change = (objective - last[2]) / np.abs(last[2])
            by_row = _violation(J, gradient, slope, penalty)
            worse = (change > CONFIG.rounding) | (
                (change > -CONFIG.rounding) & (by_row > 1.5 * last[6])
            )
            seen = _seen_curvature(
                J - last[0], h - last[1], gradient - last[3], slope - last[4], target
            )
            scale = np.where(worse, np.minimum(2 * np.maximum(scale, curvature / 2), 1.0), seen)
            for now, before in zip((J, h, objective, gradient, slope, loss), last[:6], strict=True):
                now[worse] = before[worse]
        by_row = _violation(J, gradient, slope, penalty)
        kkt = float(by_row.max())
        history["kkt"].append(kkt)
        history["objective"].append(float(objective.sum()))
        if progress is not None:
            progress(passes, 0)
        if kkt <= tolerance or passes == max_passes:
            break
        last = tuple(v.copy() for v in (J, h, objective, gradient, slope, loss, by_row))
        # Rows that are there already would only follow the rounding of float32.
        rows = np.flatnonzero(by_row > tolerance / 2)
        slopes = _Slopes(gradient, slope, scale)
        _descend(rows, J, h, slopes, target, penalty, config.inner * kkt, threads)
    converged = bool(kkt <= tolerance)
    return Rows(J, h, objective, loss, kkt, converged, passes, history)


def _seen_curvature(s: Floats, b: Floats, y: Floats, z: Floats, target: Target) -> Floats:
    """Return the curvature along steps s, b of rows and fields, relative to that of the Gram.

    y, z: changes of the gradient (J. Barzilai, J. M. Borwein, 1988, in the metric of the Gram).
    """
    gram = ((s @ target.C) * s).sum(axis=1) + b * b + 2 * b * (s @ target.m)
    seen = (s * y).sum(axis=1) + b * z
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gram > 1e-14, np.clip(seen / gram, CONFIG.least_seen, 1.0), 1.0)


class _Penalty(NamedTuple):
    """λ, λ₂, and which couplings (N, N) may differ from zero."""

    l1: float
    l2: float
    may: Flags


class _Slopes(NamedTuple):
    """Of rows at J, h: the gradient in J (N, N) and in h (N,), and scales of the Gram (N,)."""

    gradient: Floats
    slope: Floats
    scale: Floats


def _violation(J: Floats, gradient: Floats, slope: Floats, penalty: _Penalty) -> Floats:
    """Return how far each row is from meeting the conditions of the minimum."""
    l1, l2, may = penalty
    smooth = gradient + l2 * J
    wrong = np.where(J != 0, np.abs(smooth + l1 * np.sign(J)), np.maximum(np.abs(smooth) - l1, 0))
    return np.maximum(np.where(may, wrong, 0.0).max(axis=1), np.abs(slope))


def _descend(
    rows: Ints, J: Floats, h: Floats, slopes: _Slopes, target: Target,
    penalty: _Penalty, tolerance: float, threads: int | None
) -> None:  # fmt: skip
    """Move rows to the minimum of their quadratic models, in place."""
    from dask.system import CPU_COUNT

    from lsg_ray.kernels.logistic import descend_row

    (gradient, slope, scale), (l1, l2, may) = slopes, penalty
    C, m = np.array(target.C), np.array(target.m)

    def some(chosen: Ints) -> None:
        active = np.empty(len(h), np.bool_)
        for i in chosen.tolist():
            np.not_equal(J[i], 0, out=active)
            h[i] = descend_row(
                J[i], h[i], gradient[i].copy(), slope[i], C, m, scale[i], l1, l2, may[i],
                tolerance, CONFIG.sweeps, active,
            )  # fmt: skip

    with ThreadPoolExecutor(min(threads or CPU_COUNT, CPU_COUNT)) as pool:
        list(pool.map(some, np.array_split(rows, -(-len(rows) // 32))))


# Sums over configurations


def sum_rows(
    source: Configurations, J: Singles, h: Floats, keep: str, start: int, stop: int
) -> Sums:
    """Sum losses and gradients over rows start:stop; a block function.

    keep: ``all`` rows, the ``held`` out (every `HELD_OUT`-th), or the ``others``.
    """
    from lsg_ray.kernels.logistic import residuals

    n = source.n_weights
    loss, curvature, residual, products = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((n, n))
    scratch = np.empty((2, n), np.float32)
    fields32 = h.astype(np.float32)
    rows = 0
    for first, last in ranges(stop - start, 8 * CONFIG.rows, source.grain):
        whole = source.rows(start + first, start + last)
        if keep != "all":
            held = np.arange(start + first, start + last) % HELD_OUT == HELD_OUT - 1
            whole = whole[held if keep == "held" else ~held]
        for low in range(0, len(whole), CONFIG.rows):
            signs = whole[low : low + CONFIG.rows].astype(np.float32)
            fields = signs @ J.T
            fields += fields32
            residuals(signs, fields, loss, curvature, scratch[0], scratch[1])
            residual += fields.sum(axis=0, dtype=np.float64)
            products += fields.T @ signs
            rows += len(signs)
    return Sums(rows, loss, curvature, residual, products)


def sum_all(source: Configurations, J: Floats, h: Floats, keep: str = "all") -> Sums:
    """Sum losses and gradients over all configurations, under Dask's current scheduler."""
    size = min(CONFIG.task_rows, max(CONFIG.rows, source.n_rows // 32))
    cuts = ranges(source.n_rows, size, source.grain)
    return compute(reduce_tasks(sum_rows, (source, J.astype(np.float32), h, keep), cuts))
