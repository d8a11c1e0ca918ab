"""First and second moments of the weights.

    m_i = ⟨σ_i⟩,    C_ij = ⟨σ_i σ_j⟩

with standard errors over M independent configurations, sqrt((1 − m²)/(M − 1)) and
sqrt((1 − C²)/(M − 1)): σ and σσ' are ±1, so their variance follows from their mean.

Sums of ±1 are integers, so the result does not depend on chunking, order or scheduler, to the last
bit: each task sums up to `ROWS` configurations by a float32 product (exact, as partial sums stay
below 2²⁴) and adds in 64-bit integers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.ensemble.lazy import weight_coordinates
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.statistics.results import provenance

#: Configurations that one task sums up.
ROWS = 4096
#: Partial sums that one task adds up.
FAN_IN = 8
#: Refuse an N × N result beyond this many bytes.
MAX_BYTES = 4 * 2**30


class Sums(NamedTuple):
    """Σ 1, Σ σ_i (N,) int64 and Σ σ_i σ_j (N, N) int64 over some configurations."""

    rows: int
    first: NDArray[np.int64]
    second: NDArray[np.int64]


def sum_block(weights: NDArray[np.int8]) -> Sums:
    """Sum configurations (rows, N) of ±1; at most 2²⁴ rows."""
    signs = weights.astype(np.float32)
    second = (signs.T @ signs).astype(np.int64)
    return Sums(len(weights), weights.sum(axis=0, dtype=np.int64), second)


def add_sums(parts: list[Sums]) -> Sums:
    """Add sums over disjoint sets of configurations."""
    first, second = parts[0].first.copy(), parts[0].second.copy()
    for part in parts[1:]:
        first += part.first
        second += part.second
    return Sums(sum(part.rows for part in parts), first, second)


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
    2 M N² flop; memory: a few N × N matrices and `ROWS` configurations per thread.  The scheduler
    is Dask's current one (threads, unless configured otherwise).
    """
    import dask

    weights = ensemble.to_dask()
    n_rows, n_weights = weights.shape
    if n_rows < 2:
        raise InputError(
            f"{ensemble.url}: {n_rows} configurations selected; moments need at least 2"
        )
    if 8 * n_weights**2 > MAX_BYTES:
        raise InputError(
            f"C of {n_weights} weights takes {8 * n_weights**2 / 2**30:.0f} GiB, "
            f"more than {MAX_BYTES / 2**30:.0f}; choose a part (--part)"
        )
    weights = weights.rechunk((ROWS, n_weights))
    level: list[Any] = [dask.delayed(sum_block)(block) for block in weights.to_delayed().ravel()]
    while len(level) > 1:
        groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
        level = [dask.delayed(add_sums)(group) for group in groups]
    (total,) = dask.compute(level[0])
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
