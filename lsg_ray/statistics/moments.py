"""First and second moments of the weights.

    m_i = ⟨σ_i⟩,    C_ij = ⟨σ_i σ_j⟩

with standard errors over M independent configurations, sqrt((1 − m²)/(M − 1)) and
sqrt((1 − C²)/(M − 1)): σ and σσ' are ±1, so their variance follows from their mean.

Sums of ±1 are integers, so the result does not depend on chunking, order or scheduler, to the last
bit: a task streams over its blocks, summing σσᵀ in float32 (exact below 2²⁴ configurations) and
then in 64-bit integers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.ensemble.lazy import weight_coordinates
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.statistics.results import provenance

#: Configurations that are multiplied at a time; below 2²⁴, so that float32 counts them exactly.
ROWS = 4096
#: Tasks of one estimate; None for one per CPU.  Each holds its own sums.
TASKS: int | None = None
#: Refuse an estimate that needs more memory than this.
MAX_BYTES = 8 * 2**30


Loader = Callable[[int, int], NDArray[np.int8]]


class Sums(NamedTuple):
    """Σ 1, Σ σ_i (N,) int64 and Σ σ_i σ_j (N, N) int64 over some configurations."""

    rows: int
    first: NDArray[np.int64]
    second: NDArray[np.int64]


def sum_blocks(batches: Iterable[NDArray[np.int8]], n_weights: int) -> Sums:
    """Sum batches of configurations (rows, N) of ±1, one after another."""
    rows, first = 0, np.zeros(n_weights, np.int64)
    second = np.zeros((n_weights, n_weights), np.int64)
    for weights in batches:
        for start in range(0, len(weights), ROWS):
            signs = weights[start : start + ROWS].astype(np.float32)
            np.add(second, signs.T @ signs, out=second, casting="unsafe")
        rows += len(weights)
        first += weights.sum(axis=0, dtype=np.int64)
    return Sums(rows, first, second)


def add_sums(parts: list[Sums]) -> Sums:
    """Add sums over disjoint sets of configurations; the parts stay as they are."""
    first, second = parts[0].first.copy(), parts[0].second.copy()
    for part in parts[1:]:
        first += part.first
        second += part.second
    return Sums(sum(part.rows for part in parts), first, second)


def _batches(load: Loader, blocks: list[tuple[int, int]]) -> Iterator[NDArray[np.int8]]:
    """Read ``(block, rows)`` one after another; small blocks are put together up to `ROWS`."""
    waiting: list[NDArray[np.int8]] = []
    for block, rows in blocks:
        waiting.append(load(block, rows))
        if sum(map(len, waiting)) >= ROWS:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _sum_range(load: Loader, blocks: list[tuple[int, int]], n_weights: int) -> Sums:
    return sum_blocks(_batches(load, blocks), n_weights)


def moments(ensemble: Ensemble) -> xarray.Dataset:
    """Estimate m and C of an ensemble, of a part of it, or of a selection.

    Parameters
    ----------
    ensemble
        From `lsg_ray.open_ensemble`, possibly after ``.part(...)`` or ``.where(...)``.  Of a store
        that is still being sampled, the complete blocks are used.

    Returns
    -------
    xarray.Dataset
        ``m`` (weight), ``C`` (weight, weight_), ``m_stderr``, ``C_stderr``; coordinates ``layer``,
        ``part``, ``unit``, ``unit_in`` of the weights; attributes with provenance and ``count``.

    Raises
    ------
    InputError
        Fewer than two configurations, or an N × N matrix beyond `MAX_BYTES`.

    Notes
    -----
    2 M N² flop; memory: 12 N² bytes per task, 32 N² for the result, and `ROWS` configurations per
    task.  The scheduler is Dask's current one (threads, unless configured otherwise).
    """
    import dask

    if ensemble.n_rows < 2:
        raise InputError(
            f"{ensemble.url}: {ensemble.n_rows} configurations selected; moments need at least 2"
        )
    n_weights = ensemble.weight_slice.stop - ensemble.weight_slice.start
    kept = [(block, ensemble.header.rows(block)) for block in ensemble.blocks.tolist()]
    tasks = min(len(kept), TASKS or dask.system.CPU_COUNT)
    need = (12 * tasks + 32) * n_weights**2
    if need > MAX_BYTES:
        raise InputError(
            f"C of {n_weights} weights takes {need / 2**30:.0f} GiB of memory, "
            f"more than {MAX_BYTES / 2**30:.0f}; choose a part (--part)"
        )
    load = ensemble.loader("weights")
    cuts = np.linspace(0, len(kept), tasks + 1).astype(int).tolist()
    ranges = [kept[a:b] for a, b in itertools.pairwise(cuts)]
    parts = [dask.delayed(_sum_range)(load, blocks, n_weights) for blocks in ranges]
    (total,) = dask.compute(dask.delayed(add_sums)(parts))
    return _dataset(total, ensemble)


def _dataset(total: Sums, ensemble: Ensemble) -> xarray.Dataset:
    m = total.first / total.rows
    C = total.second / total.rows
    coordinates = {
        name: ("weight", values[ensemble.weight_slice])
        for name, values in weight_coordinates(ensemble.spec).items()
    }
    result = xarray.Dataset(
        {
            "m": ("weight", m, {"long_name": "magnetization", "units": "1"}),
            "C": (("weight", "weight_"), C, {"long_name": "correlation", "units": "1"}),
            "m_stderr": ("weight", _standard_error(m, total.rows), {"units": "1"}),
            "C_stderr": (("weight", "weight_"), _standard_error(C, total.rows), {"units": "1"}),
        },
        coordinates,
        {**provenance(ensemble), "count": total.rows},
    )
    return result.assign_coords(weight_=("weight_", coordinates["weight"][1]))


def _standard_error(mean: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return np.sqrt(np.maximum(1.0 - mean**2, 0.0) / (count - 1))
