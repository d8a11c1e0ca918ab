"""Sums over real-valued or weighted configurations: float64, relative to a shift.

See `lsg_ray.statistics.moments` for what the sums are of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers
from lsg_ray.errors import InputError
from lsg_ray.results.records import reduce_tasks
from lsg_ray.statistics.configurations import Configurations, ranges
from lsg_ray.statistics.estimates import estimate
from lsg_ray.typing import Floats, Ints

if TYPE_CHECKING:
    from dask.delayed import Delayed


@dataclass(frozen=True)
class RealsConfig:
    """Most rows of real or weighted configurations that are multiplied at a time, and bytes."""

    rows: int = 2**12
    bytes: int = 2**28


REALS = RealsConfig()


def real_rows(n: int) -> int:
    """Return the number of rows of N real numbers that are multiplied at a time."""
    return max(1, min(REALS.rows, REALS.bytes // (8 * n)))


class RealSums(NamedTuple):
    """Sums of y = x − shift with w (wy = Σ w y, wyy = Σ w y yᵀ, …) and with v = w²."""

    rows: int
    w: float
    wy: Floats
    wy2: Floats
    wyy: Floats
    v: float
    vy: Floats
    vy2: Floats
    vyy: Floats
    vy2y: Floats
    vy2y2: Floats


class RowWeights(NamedTuple):
    """Weights of configurations, by rows."""

    source: Configurations
    given: str | Floats | None

    @classmethod
    def of(cls, given: str | ArrayLike | None, source: Configurations) -> RowWeights:
        """Return weights from an array or the name of a column; ones if None."""
        if given is None or isinstance(given, str):
            if given is not None and given not in source.columns:
                known = ", ".join(source.columns) or "none"
                raise InputError(f"weights {given!r} given; columns of {source.name} are {known}")
            return cls(source, given)
        values = as_numbers(given, "weights")
        if values.shape != (source.n_rows,):
            raise InputError(
                f"weights of shape {values.shape} given; {source.name} has {source.n_rows} rows"
            )
        # Only ratios count, and squares of the weights must not overflow or vanish.
        largest = values.max(initial=0.0)
        return cls(source, values / largest if 0 < largest < np.inf else values)

    def at(self, rows: Ints) -> Floats:
        """Return the weights of rows in any order."""
        if self.given is None:
            return np.ones(len(rows))
        if isinstance(self.given, str):
            distinct, indices = np.unique(rows, return_inverse=True)
            values = self.source.values(self.given, distinct).astype(np.float64)
            return values[indices]
        return self.given[rows]

    def rows(self, start: int, stop: int) -> Floats:
        """Return the weights of rows start:stop, checked."""
        values = self.at(np.arange(start, stop))
        good = (values >= 0) & (values < np.inf)
        if not good.all():
            row = int(np.argmin(good))
            raise InputError(
                f"weights hold {values[row]} at row {start + row}; they must be finite and not "
                "negative"
            )
        return values


def sum_reals(
    source: Configurations, weights: RowWeights, shift: Floats, pairs: bool, start: int, stop: int
) -> RealSums:
    """Sum over rows start:stop; a block function."""
    n = source.n_weights
    square = (n, n) if pairs else (0, 0)
    vectors = {name: np.zeros(n) for name in ("wy", "wy2", "vy", "vy2")}
    matrices = {name: np.zeros(square) for name in ("wyy", "vyy", "vy2y", "vy2y2")}
    w_total, v_total = 0.0, 0.0
    whole = source.rows(start, stop)
    for first, last in ranges(stop - start, real_rows(n)):
        y = whole[first:last].astype(np.float64) - shift
        w = weights.rows(start + first, start + last)
        v, y2 = w * w, y * y
        w_total += w.sum()
        v_total += v.sum()
        for name, left, right in (("wy", w, y), ("wy2", w, y2), ("vy", v, y), ("vy2", v, y2)):
            vectors[name] += left @ right
        if pairs:
            vy, vy2 = v[:, None] * y, v[:, None] * y2
            for name, left, right in (
                ("wyy", w[:, None] * y, y),
                ("vyy", vy, y),
                ("vy2y", vy2, y),
                ("vy2y2", vy2, y2),
            ):
                matrices[name] += left.T @ right
    sums: dict[str, Any] = {**vectors, **matrices, "w": float(w_total), "v": float(v_total)}
    return RealSums(stop - start, **sums)


def rough_mean(source: Configurations) -> Floats:
    """Return a shift (N,): sums of squares lose digits where the mean is far from zero."""
    if source.signs:
        return np.zeros(source.n_weights)
    few = min(source.n_rows, 256, real_rows(source.n_weights))
    return source.rows(0, few).mean(axis=0)


def real_sums(
    source: Configurations,
    cuts: Iterable[tuple[int, int]],
    pairs: bool,
    weights: RowWeights,
    shift: Floats,
) -> Delayed:
    """Return a graph of the sums over all rows."""
    return reduce_tasks(sum_reals, (source, weights, shift, pairs), cuts)


def standard_error(variance: Floats, count: float) -> Floats:
    """Return the error of an average from the variance of its influence function."""
    return np.sqrt(np.maximum(variance, 0.0) / (count - 1))


def dataset_of_reals(
    sums: RealSums, shift: Floats, binary: bool, weighted: bool, name: str
) -> xarray.Dataset:
    """Return moments with errors from sums of weights relative to a shift."""
    if not sums.w > 0:
        raise InputError(f"{name}: the weights of all configurations are zero")
    size = sums.w**2 / sums.v
    if size <= 1 + 1e-9:
        raise InputError(f"{name}: one configuration has all the weight; there is no spread")
    mean = sums.wy / sums.w
    m = mean + shift
    # Averages with v = w², relative to the mean: what ⟨f²⟩ is made of.
    d1 = sums.vy / sums.v - mean
    d2 = sums.vy2 / sums.v - 2 * mean * sums.vy / sums.v + mean**2
    variables = estimate("m", m, standard_error(d2, size), "magnetization" if binary else "mean")
    if sums.wyy.size:
        variables |= _pairs_of_reals(sums, shift, mean, d1, d2, size)
    if not binary:
        variance = np.maximum(sums.wy2 / sums.w - mean**2, 0) * size / (size - 1)
        variables["variance"] = ("weight", variance, {"units": "1"})
    attributes = {"count": sums.rows} | ({"effective_count": size} if weighted else {})
    return xarray.Dataset(variables, attrs=attributes)


def _pairs_of_reals(
    sums: RealSums, shift: Floats, mean: Floats, d1: Floats, d2: Floats, size: float
) -> dict[str, Any]:
    m, x, y = mean + shift, mean[:, None], mean[None, :]
    c = sums.wyy / sums.w - x * y
    C = c + np.outer(m, m)
    v = sums.v
    yy, y2y, y2y2 = sums.vyy / v, sums.vy2y / v, sums.vy2y2 / v
    y1, y2 = sums.vy / v, sums.vy2 / v
    p, q = y1[:, None], y1[None, :]
    r, s = y2[:, None], y2[None, :]
    # ⟨δ_iδ_j⟩, ⟨δ_i²δ_j⟩ and ⟨δ_i²δ_j²⟩ by expanding δ = y − mean.
    dd = yy - x * q - y * p + x * y
    d2d = y2y - 2 * x * yy + x**2 * q - y * (r - 2 * x * p + x**2)
    d2d2 = (
        y2y2
        - 2 * y * y2y
        - 2 * x * y2y.T
        + 4 * x * y * yy
        + y**2 * r
        + x**2 * s
        - 2 * x * y**2 * p
        - 2 * y * x**2 * q
        + x**2 * y**2
    )
    connected = d2d2 - 2 * c * dd + c**2
    # x_i x_j − C = (δ_iδ_j − c) + m_j δ_i + m_i δ_j
    a, b = m[:, None], m[None, :]
    raw = (
        connected
        + b**2 * d2[:, None]
        + a**2 * d2[None, :]
        + 2 * a * b * dd
        + 2 * b * (d2d - c * d1[:, None])
        + 2 * a * (d2d.T - c * d1[None, :])
    )
    return {
        **estimate("C", C, standard_error(raw, size), "correlation"),
        **estimate("connected", c, standard_error(connected, size), "connected correlation"),
    }
