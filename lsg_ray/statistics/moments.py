"""First, second and third moments of the weights, with standard errors.

    m_i = ⟨σ_i⟩,   C_ij = ⟨σ_i σ_j⟩,   c_ij = C_ij − m_i m_j,   T_ijk = ⟨δσ_i δσ_j δσ_k⟩,

with δσ = σ − m.  M configurations are taken as independent.  The standard error of an average is
that of its influence function f: sqrt(⟨f²⟩/(M − 1)), where

    m: f = δσ_i      C: f = σ_iσ_j − C_ij      c: f = δσ_i δσ_j − c_ij
    T: f = δσ_i δσ_j δσ_k − T_ijk − c_jk δσ_i − c_ik δσ_j − c_ij δσ_k.

For ±1 weights σ² = 1, so ⟨f²⟩ follows from m, C and T themselves.  Where some configurations are
copies of others, the products of their f are added (`lsg_ray.statistics.copies`).

Sums over ±1 weights are counted in integers by bits (`lsg_ray.kernels.bits`): the result is the
same to the last bit whatever the chunking, order and scheduler.  With weights of configurations w,
⟨·⟩ is Σ w · / Σ w, and standard errors are sqrt(Σ w² f²)/Σ w with n_eff = (Σ w)²/Σ w² for M; those
sums, and those over real-valued weights, are float64, relative to the first rows' mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import xarray
from annotated_types import Ge, Le
from numpy.typing import ArrayLike

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.results.graph import compute
from lsg_ray.results.saving import MOMENTS_ARRAYS
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.statistics.chosen_weights import choose_weights
from lsg_ray.statistics.configurations import Configurations, as_configurations, ranges
from lsg_ray.statistics.copied_moments import independent_rows, with_copies
from lsg_ray.statistics.copies import pairs_of_copies
from lsg_ray.statistics.estimates import estimate
from lsg_ray.statistics.findings import moments_findings
from lsg_ray.statistics.reals import (
    REALS,
    RowWeights,
    dataset_of_reals,
    real_sums,
    rough_mean,
    standard_error,
)
from lsg_ray.statistics.signs import SignSums, sign_sums
from lsg_ray.statistics.triples import MAX_TRIPLES, choose_triples, triple_moments
from lsg_ray.statistics.views import Columns
from lsg_ray.typing import As, ConfigurationsLike, Floats, Ints, Progress, Seed


@dataclass(frozen=True)
class MomentsLimits:
    """Limits of an estimate."""

    #: Most rows of a task; each task returns sums of its own.
    task_rows: int = 2**18
    #: Most bytes of memory of an estimate.
    max_bytes: int = 8 * 2**30
    #: Largest N for which C of real-valued weights is estimated by default.
    max_real_weights: int = 4096


LIMITS = MomentsLimits()
#: What to do where C does not fit.
REMEDY = "choose fewer weights (--choose, --part), or leave C out (--no-correlations)"


@public
def moments(
    ensemble: ConfigurationsLike,
    *,
    weights: Annotated[str | ArrayLike | None, As(str | None)] = None,
    choose: Annotated[str | ArrayLike | None, As(str | None)] = None,
    triples: Annotated[int | ArrayLike, As(Annotated[int, Ge(0), Le(MAX_TRIPLES)])] = 0,
    correlations: bool | None = None,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Estimate the moments of an ensemble, of a part of it, or of a selection.

    Parameters
    ----------
    ensemble
        Result of `lsg_ray.open_ensemble`, possibly after ``.part(...)`` or ``.where(...)``, or an
        array (M, N).  Of a store that is still being sampled, the complete blocks are used.
    weights
        Weights of the configurations, (M,), none negative: an array or the name of a column.
    choose
        Weights of the network that moments are of: a part (LB), layer:1, unit:1:7 (into unit 7 of
        layer 1), START:STOP, random:500, or several of these with commas; in Python also their
        numbers (K,).  All matrices are K × K, and only these bits of a row are taken.
    triples
        Number of random triples i < j < k whose third moments are estimated, or (T, 3) indices,
        among those chosen.  For ±1 weights only.
    correlations
        Whether to estimate C; by default yes, but not for more than 4,096 real weights.
    seed
        Seed of the random triples, and of weights that are chosen at random.
    progress
        Called with ``(tasks done, tasks in total)``.

    Returns
    -------
    xarray.Dataset
        ``m`` (weight), ``C`` and ``connected`` (weight, weight_), and with triples ``third`` and
        ``third_connected`` (triple) at weights ``i``, ``j``, ``k``; beside each X its ``X_stderr``;
        for real weights ``variance`` (weight).  Coordinates ``layer``, ``part``, ``unit``,
        ``unit_in`` of the weights; attributes with provenance and ``count``; with weights
        ``effective_count`` n_eff.  Where there are copies, ``groups``, the number of independent
        configurations, ``effective_groups``, K of `lsg_ray.statistics.copies`, and as
        ``effective_count`` how many would have the same errors of m (and C, of ±1 weights), on
        average.

    Raises
    ------
    InputError
        Fewer than two configurations, weights or triples that do not fit, or an N × N matrix
        that needs too much memory (`MomentsLimits.max_bytes`).
    StoreError
        A block is damaged; the message names it.

    Notes
    -----
    Time for ±1: M N² / 2 bit operations, 512 at a time: 0.5 s on one core for 10⁶ × 675.  Memory:
    8 N² bytes a task, 48 N² for the result, and 2¹⁵ configurations as bits a task.  Copies: 8 N²
    flop each, and 80 N² bytes a task.
    """
    source = as_configurations(ensemble)
    source.require(2, "moments")
    if choose is not None:
        source = Columns(source, choose_weights(source, choose, seed))
    exact = source.signs and weights is None
    chosen = choose_triples(triples, source.n_weights, seed)
    if len(chosen) and not exact:
        raise InputError("triples asked for; they need ±1 weights that all count the same")
    if len(chosen) and correlations is False:
        raise InputError("triples asked for without correlations, which they need")
    pairs = source.signs or source.n_weights <= LIMITS.max_real_weights
    pairs = pairs if correlations is None else correlations
    cuts = tasks_of(source, (source.n_weights,) * 2 if pairs else (0, 0), exact)
    if exact:
        sums = compute(sign_sums(source, cuts, pairs, chosen), progress)
        result, of_rows = _dataset_of_signs(sums, chosen), RowWeights(source, None)
    else:
        of_rows, shift = RowWeights.of(weights, source), rough_mean(source)
        sums = compute(real_sums(source, cuts, pairs, of_rows, shift), progress)
        result = dataset_of_reals(sums, shift, source.signs, weights is not None, source.name)
    copies = pairs_of_copies(source)
    if copies is not None:
        result = with_copies(result, source, of_rows, copies, chosen)
    return _finished(result, source)


def tasks_of(
    source: Configurations, shape: tuple[int, int], exact: bool, remedy: str = REMEDY
) -> list[tuple[int, int]]:
    """Return the rows of each task: many tasks for many cores, unless their sums do not fit.

    Parameters
    ----------
    source
        Configurations.
    shape
        Shape of a matrix of correlations, zeros without.
    exact
        Whether ±1 weights are counted, in one matrix of integers a task.
    remedy
        What to do where that is too much.

    Raises
    ------
    InputError
        The result and the sums of one task need more than `MomentsLimits.max_bytes`.
    """
    from dask.system import CPU_COUNT

    entries = shape[0] * shape[1]
    per_task, result = (8 if exact else 24 * 5) * entries, 48 * entries
    need = per_task + result
    if need > LIMITS.max_bytes:
        raise InputError(
            f"C of {shape[0]:,} × {shape[1]:,} weights takes {need / 2**30:.0f} GiB of memory, "
            f"more than {LIMITS.max_bytes / 2**30:.0f}; {remedy}"
        )
    rows = _task_rows(source)
    if entries and min(-(-source.n_rows // rows), CPU_COUNT) * per_task > LIMITS.max_bytes - result:
        # Sums wait to be added: one more than there are tasks that run.
        tasks = max(1, int((LIMITS.max_bytes - result) // per_task) - 1)
        rows = -(-source.n_rows // tasks // source.grain) * source.grain
    return ranges(source.n_rows, rows, source.grain)


def _task_rows(source: Configurations) -> int:
    """Return the rows of a task: enough tasks for many cores, but few sums to add."""
    rows = min(LIMITS.task_rows, max(REALS.rows, source.n_rows // 32))
    return rows if source.signs else max(1, min(rows, REALS.bytes // (8 * source.n_weights)))


def _dataset_of_signs(sums: SignSums, triples: Ints) -> xarray.Dataset:
    count = sums.rows
    m = sums.m
    variables = estimate("m", m, standard_error(1 - m**2, count), "magnetization")
    if sums.differ.size or not m.size:
        upper = np.triu(sums.differ, 1)
        C = (count - 2 * (upper + upper.T)) / count
        c, spread = connected(m, m, C)
        variables |= estimate("C", C, standard_error(1 - C**2, count), "correlation")
        error = standard_error(spread, count)
        variables |= estimate("connected", c, error, "connected correlation")
    if len(triples):
        variables |= triple_moments(triples, (2 * sums.odd - count) / count, m, C, count)
    coordinates = {name: ("triple", triples[:, n]) for n, name in enumerate("ijk")}
    return xarray.Dataset(variables, coordinates if len(triples) else None, {"count": count})


def connected(m: Floats, other: Floats, C: Floats) -> tuple[Floats, Floats]:
    """Return c and ⟨f²⟩ = ⟨δσ_i²δσ_j²⟩ − c², where δσ² = 1 + m² − 2mσ.

    Parameters
    ----------
    m, other
        Magnetizations (K,) and (L,) of ±1 weights.
    C
        Correlations (K, L) between them.
    """
    c = C - np.outer(m, other)
    a, b = (1 + m**2)[:, None], (1 + other**2)[None, :]
    x, y = m[:, None], other[None, :]
    return c, a * b - 2 * x**2 * b - 2 * y**2 * a + 4 * x * y * C - c**2


def _finished(result: xarray.Dataset, source: Configurations) -> xarray.Dataset:
    coordinates = source.coordinates()
    if "C" in result:
        coordinates["weight_"] = ("weight_", coordinates["weight"][1])
    attributes = {"statistic": "moments", **source.provenance(), **result.attrs}
    return result.assign_coords(coordinates).assign_attrs(attributes)


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    m = result["m"].values
    return {
        "n_weights": int(m.size),
        **{k: result.attrs[k] for k in ("count", "effective_count") if k in result.attrs},
        "frozen": int((abs(m) == 1).sum()),
        "mean_abs_m": float(abs(m).mean()),
        "max_m_stderr": float(result["m_stderr"].max()),
    }


__all__ = ["independent_rows", "moments"]

STAGE = Stage(
    "moments", moments, reads={"ensemble": ENSEMBLE}, summary=_shown,
    findings=moments_findings,
    archive=MOMENTS_ARRAYS,
    figures=[
        Figure("lsg_ray.report.figures.magnetization:magnetization_figure", "Magnetization",
               "magnetization_caption"),
        Figure("lsg_ray.report.figures.correlations:correlations_figure", "Connected correlations",
               "correlations_caption"),
    ],
)  # fmt: skip
