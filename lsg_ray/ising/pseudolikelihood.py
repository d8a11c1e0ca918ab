"""Pseudolikelihood: every weight regressed on all others, with an L1 or L2 penalty.

For each i, minimise over h_i and the row J_i (J. Besag, 1975; P. Ravikumar, M. Wainwright,
J. Lafferty, Ann. Stat. 38, 1287 (2010)), M configurations s,

    (1/M) Σ_s log(1 + exp(−2σ_i^s (h_i + Σ_j J_ij σ_j^s))) + λ Σ_j |J_ij| + ½ λ₂ Σ_j J_ij²,

fields unpenalised; then J ← (J + Jᵀ)/2.  All rows share the design, so losses and gradients of all
are two matrix products over the configurations, in blocks, out of core.  Second derivatives are
averages of (1 − tanh² f) σ_jσ_k ≤ C_jk: the raw moments are one majorising Gram matrix for all
rows.  It is scaled, for each row, by the mean of 1 − tanh² f, and then by the curvature along the
last step, relative to the Gram's; the quadratic model with the penalty is minimised by coordinate
descent; a row whose objective has grown goes back, and its scale grows, at most to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.errors import InputError
from lsg_ray.ising.fitted import Fitted
from lsg_ray.ising.targets import Target
from lsg_ray.statistics.configurations import Configurations, ranges
from lsg_ray.statistics.graph import compute, share, tree_reduce
from lsg_ray.statistics.pairs import choose_rows

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

#: Rows that are multiplied at a time, and rows of a task, at most.
ROWS, TASK_ROWS = 2048, 2**16
#: One configuration in so many is held out, where a penalty is chosen.
HELD_OUT = 10
#: Coordinate descent: sweeps of a row, and the accuracy of a model's minimum relative to that of
#: the whole.
SWEEPS, INNER = 200, 0.05
#: Share of the couplings that are left that a step of decimation removes; steps that it goes on for
#: after its criterion has begun to fall.
REMOVED, FALLING = 0.05, 5
#: An automatic path of penalties: from where all couplings vanish to this share of it.
PATH_LENGTH, PATH_END = 13, 1e-3


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


def fit_plm(
    target: Target,
    *,
    source: Configurations,
    seconds: float | None = None,  # noqa: ARG001
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    l1: float | Sequence[float] | Literal["auto"] = 0.01,
    l2: float = 0.0,
    count: int | None = None,
    tolerance: float = 5e-5,
    max_passes: int = 200,
    decimate: Literal["coupling", "free-energy"] | None = None,
) -> Fitted:
    """Fit couplings by penalised pseudolikelihood.

    Parameters
    ----------
    target
        Moments of the configurations, no weight of which is frozen.
    source
        The configurations, of the same weights.
    seed
        Of the subsample.
    l1
        λ; 0.01 is the paper's.  Several, or ``auto`` (13, from max |c_ij| down to its thousandth):
        fitted one after another from the largest, each from the last; the one with the best
        pseudolikelihood of every tenth configuration, which is held out, is then fitted to all.
    l2
        λ₂.
    count
        How many configurations to draw; by default all.
    tolerance
        On the violation of the conditions of the minimum (KKT).  Products are in float32, which
        ends at about 5·10⁻⁶.
    max_passes
        Over the configurations, for each λ.
    decimate
        Remove couplings, a twentieth at a time, those with the smallest |J_ij| (``coupling``) or
        change of the free energy |log(cosh J_ij − C_ij sinh J_ij)| (``free-energy``), fit the
        others again, and keep the model with the largest tilted pseudolikelihood (A. Decelle,
        F. Ricci-Tersenghi, Phys. Rev. Lett. 112, 070603 (2014)).  Use it with l1 = 0.

    Returns
    -------
    Fitted
        With ``kkt``, ``l1``, ``sparsity`` (of the symmetrised J), ``asymmetry`` (rms of J − Jᵀ) and
        ``held_out`` among its `extra`.

    Notes
    -----
    A pass costs 4 M N² flop; about a dozen passes reach 10⁻⁴.
    """
    if decimate not in (None, "coupling", "free-energy"):
        raise InputError(f"decimate {decimate!r} given; coupling or free-energy")
    if count is not None:
        source = choose_rows(source, count, seed)
    source.require(2, "pseudolikelihoods")
    history: dict[str, list[float]] = {"step": [], "kkt": [], "objective": [], "l1": []}
    extra: dict[str, Any] = {"configurations": source.n_rows}
    options: dict[str, Any] = {
        "l2": l2,
        "tolerance": tolerance,
        "max_passes": max_passes,
        "threads": threads,
    }
    path = _path(l1, target)
    chosen = path[0]
    start: Rows | None = None
    if len(path) > 1:
        chosen, start, extra["held_out"] = _choose(source, target, path, history, options, progress)
    rows = fit_rows(source, target, l1=chosen, start=start, progress=progress, **options)
    _note(history, rows, chosen)
    if decimate is not None:
        rows, extra["decimated"] = _decimate(
            source, target, rows, decimate, chosen, history, options, progress
        )
    J = (rows.J + rows.J.T) / 2
    upper = J[np.triu_indices(len(J), 1)]
    extra |= {
        "kkt": rows.kkt,
        "l1": chosen,
        "l2": l2,
        "sparsity": float(np.mean(upper == 0)),
        "asymmetry": float(np.sqrt(np.mean((rows.J - rows.J.T) ** 2))),
        "pseudolikelihood": -float(rows.loss.sum()),
    }
    return Fitted(J, rows.h, rows.converged, len(history["step"]), None, history, extra)


def _path(l1: Any, target: Target) -> list[float]:
    largest = np.abs(target.C - np.outer(target.m, target.m) - np.diag(1 - target.m**2)).max()
    if isinstance(l1, str):
        if l1 != "auto":
            raise InputError(f"l1 {l1!r} given; a number, several, or 'auto'")
        return (
            np.geomspace(largest, PATH_END * largest, PATH_LENGTH).tolist()
            if largest > 0
            else [0.0]
        )
    path = np.atleast_1d(np.asarray(l1, np.float64))
    if path.ndim != 1 or not len(path) or not (np.isfinite(path) & (path >= 0)).all():
        raise InputError(f"l1 {l1!r} given; penalties are finite and not negative")
    return sorted(path.tolist(), reverse=True)


def _note(history: dict[str, list[float]], rows: Rows, l1: float) -> None:
    for kkt, objective in zip(rows.history["kkt"], rows.history["objective"], strict=True):
        for name, value in (
            ("step", len(history["step"])), ("kkt", kkt), ("objective", objective), ("l1", l1),
        ):  # fmt: skip
            history[name].append(float(value))


def fit_rows(
    source: Configurations,
    target: Target,
    *,
    l1: float = 0.01,
    l2: float = 0.0,
    start: Rows | None = None,
    allowed: NDArray[np.bool_] | None = None,
    held_out: bool = False,
    tolerance: float = 5e-5,
    max_passes: int = 200,
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
    if not (l1 >= 0 and l2 >= 0 and np.isfinite(l1 + l2)):
        raise InputError(f"l1 {l1}, l2 {l2} given; penalties are finite and not negative")
    if max_passes < 1 or not tolerance > 0:
        raise InputError(
            f"max_passes {max_passes}, tolerance {tolerance} given; 1 at least, and > 0"
        )
    may = ~np.eye(n, dtype=bool) if allowed is None else allowed & ~np.eye(n, dtype=bool)
    if start is None:
        J, h = np.zeros((n, n)), np.arctanh(m)
    else:
        J, h = np.where(may, start.J, 0.0), start.h.copy()
    keep = "others" if held_out else "all"
    history: dict[str, list[float]] = {"kkt": [], "objective": []}
    last: tuple[Floats, ...] | None = None
    scale = np.ones(n)
    kkt, passes, loss, objective = np.inf, 0, np.zeros(n), np.zeros(n)
    for passes in range(1, max_passes + 1):
        sums = _sum(source, J, h, keep)
        loss = sums.loss / sums.rows
        objective = loss + l1 * np.abs(J).sum(axis=1) + 0.5 * l2 * (J * J).sum(axis=1)
        gradient, slope = -sums.products / sums.rows, -sums.residual / sums.rows
        curvature = np.clip(sums.curvature / sums.rows, 1e-3, 1.0)
        if last is None:
            scale = curvature
        else:
            # Rows that have grown go back, and take shorter steps from there; with 1 none grows.
            worse = objective > last[2] + 1e-6 * np.abs(last[2])
            seen = _seen_curvature(J - last[0], h - last[1], gradient - last[3], slope - last[4],
                                   target)  # fmt: skip
            scale = np.where(worse, np.minimum(1.5 * np.maximum(scale, seen), 1.0), seen)
            for now, before in zip((J, h, objective, gradient, slope, loss), last, strict=True):
                now[worse] = before[worse]
        kkt = _violation(J, gradient, slope, l1, l2, may)
        history["kkt"].append(kkt)
        history["objective"].append(float(objective.sum()))
        if progress is not None:
            progress(passes, 0)
        if kkt <= tolerance or passes == max_passes:
            break
        last = tuple(v.copy() for v in (J, h, objective, gradient, slope, loss))
        _descend(J, h, gradient, slope, scale, target, l1, l2, may, INNER * kkt, threads)
    converged = bool(kkt <= tolerance)
    return Rows(J, h, objective, loss, kkt, converged, passes, history)


def _seen_curvature(s: Floats, b: Floats, y: Floats, z: Floats, target: Target) -> Floats:
    """Return the curvature along steps s, b of rows and fields, relative to that of the Gram.

    y, z: changes of the gradient (J. Barzilai, J. M. Borwein, 1988, in the metric of the Gram).
    """
    gram = ((s @ target.C) * s).sum(axis=1) + b * b + 2 * b * (s @ target.m)
    seen = (s * y).sum(axis=1) + b * z
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gram > 1e-14, np.clip(seen / gram, 1e-3, 1.0), 1.0)


def _violation(
    J: Floats, gradient: Floats, slope: Floats, l1: float, l2: float, may: NDArray[np.bool_]
) -> float:
    """Return how far the conditions of the minimum are from being met, largest entry."""
    smooth = gradient + l2 * J
    wrong = np.where(J != 0, np.abs(smooth + l1 * np.sign(J)), np.maximum(np.abs(smooth) - l1, 0))
    return float(max(wrong[may].max(initial=0.0), np.abs(slope).max()))


def _descend(
    J: Floats,
    h: Floats,
    gradient: Floats,
    slope: Floats,
    scale: Floats,
    target: Target,
    l1: float,
    l2: float,
    may: NDArray[np.bool_],
    tolerance: float,
    threads: int | None,
) -> None:
    """Move every row to the minimum of its quadratic model, in place."""
    from dask.system import CPU_COUNT

    from lsg_ray.kernels.logistic import descend_row

    C, m = np.array(target.C), np.array(target.m)

    def some(rows: range) -> None:
        active = np.empty(len(h), np.bool_)
        for i in rows:
            np.not_equal(J[i], 0, out=active)
            h[i] = descend_row(
                J[i], h[i], gradient[i].copy(), slope[i], C, m, scale[i], l1, l2, may[i],
                tolerance, SWEEPS, active,
            )  # fmt: skip

    with ThreadPoolExecutor(min(threads or CPU_COUNT, CPU_COUNT)) as pool:
        list(pool.map(some, [range(a, min(a + 32, len(h))) for a in range(0, len(h), 32)]))


# Sums over configurations


def sum_rows(
    source: Configurations, J: NDArray[np.float32], h: Floats, keep: str, start: int, stop: int
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
    for first, last in ranges(stop - start, 8 * ROWS, source.grain):
        whole = source.rows(start + first, start + last)
        if keep != "all":
            held = np.arange(start + first, start + last) % HELD_OUT == HELD_OUT - 1
            whole = whole[held if keep == "held" else ~held]
        for low in range(0, len(whole), ROWS):
            signs = whole[low : low + ROWS].astype(np.float32)
            fields = signs @ J.T
            fields += fields32
            residuals(signs, fields, loss, curvature, scratch[0], scratch[1])
            residual += fields.sum(axis=0, dtype=np.float64)
            products += fields.T @ signs
            rows += len(signs)
    return Sums(rows, loss, curvature, residual, products)


def add_sums(parts: list[Sums]) -> Sums:
    """Add sums over disjoint rows."""
    return Sums(*(sum(column[1:], start=column[0]) for column in zip(*parts, strict=True)))


def _sum(source: Configurations, J: Floats, h: Floats, keep: str = "all") -> Sums:
    import dask

    size = min(TASK_ROWS, max(ROWS, source.n_rows // 32))
    leaf, given = dask.delayed(sum_rows, pure=False), (share(source), share(J.astype(np.float32)))
    cuts = ranges(source.n_rows, size, source.grain)
    found: Sums = compute(tree_reduce([leaf(*given, h, keep, *cut) for cut in cuts], add_sums))
    return found


# Choice of the penalty, and of which couplings to keep


def _choose(
    source: Configurations,
    target: Target,
    path: list[float],
    history: dict[str, list[float]],
    options: dict[str, Any],
    progress: Progress | None,
) -> tuple[float, Rows, dict[str, list[float]]]:
    """Return the λ with the best held-out pseudolikelihood, its rows, and the curve."""
    source.require(2 * HELD_OUT, "held-out pseudolikelihoods")
    found: list[tuple[float, float, Rows]] = []
    rows: Rows | None = None
    for value in path:
        rows = fit_rows(
            source, target, l1=value, start=rows, held_out=True, progress=progress, **options
        )
        _note(history, rows, value)
        sums = _sum(source, rows.J, rows.h, "held")
        found.append((float(sums.loss.sum() / sums.rows), value, rows))
    _, chosen, best = min(found, key=lambda entry: entry[0])
    curve = {
        "l1": [value for _, value, _ in found],
        "pseudolikelihood": [-loss for loss, _, _ in found],
        "sparsity": [_sparsity(rows.J) for _, _, rows in found],
    }
    return chosen, best, curve


def _sparsity(J: Floats) -> float:
    n = len(J)
    both = (J + J.T)[np.triu_indices(n, 1)]
    return float(np.mean(both == 0))


def _decimate(
    source: Configurations,
    target: Target,
    rows: Rows,
    by: str,
    l1: float,
    history: dict[str, list[float]],
    options: dict[str, Any],
    progress: Progress | None,
) -> tuple[Rows, dict[str, list[float]]]:
    """Remove couplings until none is left; return the rows with the best tilted likelihood."""
    n = len(rows.h)
    upper = np.triu_indices(n, 1)
    allowed = (rows.J != 0) | (rows.J.T != 0)
    empty = -_independent_loss(target)
    full = -float(rows.loss.sum())
    total = allowed[upper].sum()
    best, fallen, curve = (0.0, rows), 0, {"couplings": [float(total)], "tilted": [0.0]}
    while (left := int(allowed[upper].sum())) > 0:
        J = (rows.J + rows.J.T)[upper] / 2
        if by == "coupling":
            worth = np.abs(J)
        else:
            worth = np.abs(np.log(np.cosh(J) - target.C[upper] * np.sinh(J)))
        worth[~allowed[upper]] = np.inf
        gone = np.argsort(worth)[: max(1, int(REMOVED * left))]
        allowed[upper[0][gone], upper[1][gone]] = False
        allowed[upper[1][gone], upper[0][gone]] = False
        rows = fit_rows(
            source, target, l1=l1, start=rows, allowed=allowed, progress=progress, **options
        )
        _note(history, rows, l1)
        share_left = allowed[upper].sum() / total
        tilted = float(-rows.loss.sum() - share_left * full - (1 - share_left) * empty)
        curve["couplings"].append(float(allowed[upper].sum()))
        curve["tilted"].append(tilted)
        if tilted > best[0]:
            best, fallen = (tilted, rows), 0
        elif (fallen := fallen + 1) == FALLING:  # the curve has one hump
            break
    return best[1], curve


def _independent_loss(target: Target) -> float:
    """Return the entropy of independent weights: their loss, summed."""
    p = np.clip((1 + target.m) / 2, 1e-300, 1)
    q = np.clip((1 - target.m) / 2, 1e-300, 1)
    return float(-(p * np.log(p) + q * np.log(q)).sum())
