"""Logistic regression of every weight on all others, out of core, as pseudolikelihood needs it.

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


@dataclass(frozen=True)
class RegressionConfig:
    """How configurations are cut into blocks, and how exactly models of rows are minimised."""

    #: Configurations that are multiplied at a time, and those of a task, at most.
    block_rows: int = 2048
    task_rows: int = 2**16
    #: One configuration of this number is held out where a penalty is chosen.
    held_out_every: int = 10
    #: Coordinate descent: sweeps of a row, at most; accuracy of a model's minimum relative to that
    #: of the whole; and rows of a thread's batch.
    sweeps: int = 200
    inner: float = 0.05
    batch: int = 32
    #: Least mean of 1 − tanh² f; least relative curvature along a step, and the least of the Gram
    #: matrix from which it is computed.
    min_curvature: float = 1e-3
    min_relative_curvature: float = 0.02
    min_gram: float = 1e-14
    #: Relative change of an objective below which float32 does not resolve it; a row whose
    #: violation has grown by this factor has grown then.
    rounding: float = 1e-5
    worse: float = 1.5


REGRESSION = RegressionConfig()


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
        (N, N), whether a coupling may differ from zero; by default all may.
    held_out
        Whether to leave out every tenth configuration.

    Raises
    ------
    InputError
        A penalty is negative.
    """
    n = len(target.m)
    off_diagonal = ~np.eye(n, dtype=bool)
    penalty = _Penalty(l1, l2, off_diagonal if allowed is None else allowed & off_diagonal)
    if start is None:
        J, h = np.zeros((n, n)), np.arctanh(target.m)
    else:
        J, h = np.where(penalty.allowed, start.J, 0.0), start.h.copy()
    history: dict[str, list[float]] = {"kkt": [], "objective": []}
    last: _Iterate | None = None
    scale = np.ones(n)
    for passes in range(1, max_passes + 1):
        sums = sum_all(source, J, h, "others" if held_out else "all")
        now = _evaluated(sums, J, h, penalty)
        curvature = np.clip(sums.curvature / sums.rows, REGRESSION.min_curvature, 1.0)
        scale = curvature if last is None else _go_back(now, last, scale, curvature, target)
        kkt = float(now.violation.max())
        history["kkt"].append(kkt)
        history["objective"].append(float(now.objective.sum()))
        if progress is not None:
            progress(passes, 0)
        if kkt <= tolerance or passes == max_passes:
            break
        last = _Iterate(*(values.copy() for values in now))
        # Rows that are at their minimum already would only follow the rounding of float32.
        rows = np.flatnonzero(now.violation > tolerance / 2)
        _descend(rows, now, scale, target, penalty, REGRESSION.inner * kkt, threads)
    return Rows(J, h, now.objective, now.loss, kkt, kkt <= tolerance, passes, history)


def _relative_curvature(s: Floats, b: Floats, y: Floats, z: Floats, target: Target) -> Floats:
    """Return the curvature along steps s, b of rows and fields, relative to that of the Gram.

    y, z: changes of the gradient (J. Barzilai, J. M. Borwein, 1988, in the metric of the Gram).
    """
    gram = ((s @ target.C) * s).sum(axis=1) + b * b + 2 * b * (s @ target.m)
    along_step = (s * y).sum(axis=1) + b * z
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.clip(along_step / gram, REGRESSION.min_relative_curvature, 1.0)
        return np.where(gram > REGRESSION.min_gram, relative, 1.0)


class _Penalty(NamedTuple):
    """λ, λ₂, and which couplings (N, N) may differ from zero."""

    l1: float
    l2: float
    allowed: Flags


class _Iterate(NamedTuple):
    """Rows at J (N, N), h (N,): of each the objective, the gradient in J, the slope in h, the loss,
    and the violation of the conditions of the minimum.
    """

    J: Floats
    h: Floats
    objective: Floats
    gradient: Floats
    slope: Floats
    loss: Floats
    violation: Floats


def _evaluated(sums: Sums, J: Floats, h: Floats, penalty: _Penalty) -> _Iterate:
    loss = sums.loss / sums.rows
    objective = loss + penalty.l1 * np.abs(J).sum(axis=1) + 0.5 * penalty.l2 * (J * J).sum(axis=1)
    gradient, slope = -sums.products / sums.rows, -sums.residual / sums.rows
    violation = _violation(J, gradient, slope, penalty)
    return _Iterate(J, h, objective, gradient, slope, loss, violation)


def _go_back(
    now: _Iterate, last: _Iterate, scale: Floats, curvature: Floats, target: Target
) -> Floats:
    """Take rows that have grown back to the last iterate, in place; return all new scales.

    A row has also grown where only its violation has, within the rounding of float32.  Its steps
    from the last iterate are shorter; with a scale of 1 no row grows.
    """
    change = (now.objective - last.objective) / np.abs(last.objective)
    worse = (change > REGRESSION.rounding) | (
        (change > -REGRESSION.rounding) & (now.violation > REGRESSION.worse * last.violation)
    )
    relative = _relative_curvature(
        now.J - last.J, now.h - last.h, now.gradient - last.gradient, now.slope - last.slope, target
    )
    for values, before in zip(now, last, strict=True):
        values[worse] = before[worse]
    return np.where(worse, np.minimum(2 * np.maximum(scale, curvature / 2), 1.0), relative)


def _violation(J: Floats, gradient: Floats, slope: Floats, penalty: _Penalty) -> Floats:
    """Return the violation of the conditions of the minimum by each row."""
    l1, l2, allowed = penalty
    smooth = gradient + l2 * J
    wrong = np.where(J != 0, np.abs(smooth + l1 * np.sign(J)), np.maximum(np.abs(smooth) - l1, 0))
    return np.maximum(np.where(allowed, wrong, 0.0).max(axis=1), np.abs(slope))


def _descend(
    rows: Ints,
    now: _Iterate,
    scale: Floats,
    target: Target,
    penalty: _Penalty,
    tolerance: float,
    threads: int | None,
) -> None:
    """Move rows to the minimum of their quadratic models, with scales of the Gram, in place."""
    from dask.system import CPU_COUNT

    from lsg_ray.kernels.logistic import descend_row

    (l1, l2, allowed), J, h = penalty, now.J, now.h
    C, m = np.array(target.C), np.array(target.m)

    def descend(batch: Ints) -> None:
        active = np.empty(len(h), np.bool_)
        for i in batch.tolist():
            np.not_equal(J[i], 0, out=active)
            h[i] = descend_row(
                J[i], h[i], now.gradient[i].copy(), now.slope[i], C, m, scale[i], l1, l2,
                allowed[i], tolerance, REGRESSION.sweeps, active,
            )  # fmt: skip

    with ThreadPoolExecutor(min(threads or CPU_COUNT, CPU_COUNT)) as pool:
        list(pool.map(descend, np.array_split(rows, -(-len(rows) // REGRESSION.batch))))


# Sums over configurations


def sum_rows(
    source: Configurations, J: Singles, h: Floats, keep: str, start: int, stop: int
) -> Sums:
    """Sum losses and gradients over rows start:stop; a block function.

    keep: ``all`` rows, the ``held`` out (every tenth), or the ``others``.
    """
    from lsg_ray.kernels.logistic import residuals

    n = source.n_weights
    loss, curvature, residual, products = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((n, n))
    scratch = np.empty((2, n), np.float32)
    fields32 = h.astype(np.float32)
    rows, every, block = 0, REGRESSION.held_out_every, REGRESSION.block_rows
    for first, last in ranges(stop - start, 8 * block, source.grain):
        whole = source.rows(start + first, start + last)
        if keep != "all":
            held = np.arange(start + first, start + last) % every == every - 1
            whole = whole[held if keep == "held" else ~held]
        for low in range(0, len(whole), block):
            signs = whole[low : low + block].astype(np.float32)
            fields = signs @ J.T
            fields += fields32
            residuals(signs, fields, loss, curvature, scratch[0], scratch[1])
            residual += fields.sum(axis=0, dtype=np.float64)
            products += fields.T @ signs
            rows += len(signs)
    return Sums(rows, loss, curvature, residual, products)


def sum_all(source: Configurations, J: Floats, h: Floats, keep: str = "all") -> Sums:
    """Sum losses and gradients over all configurations, under Dask's current scheduler."""
    size = min(REGRESSION.task_rows, max(REGRESSION.block_rows, source.n_rows // 32))
    cuts = ranges(source.n_rows, size, source.grain)
    return compute(reduce_tasks(sum_rows, (source, J.astype(np.float32), h, keep), cuts))
