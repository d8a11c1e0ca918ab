"""Errors of moments where some configurations are copies of others.

Products of the contributions of two copies to a moment are added; see `lsg_ray.statistics.copies`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray

from lsg_ray.errors import InputError
from lsg_ray.results.graph import compute
from lsg_ray.results.records import added, reduce_tasks
from lsg_ray.statistics.configurations import Configurations, ranges
from lsg_ray.statistics.copies import Pairs, effective_groups
from lsg_ray.statistics.reals import REALS, RowWeights, real_rows
from lsg_ray.statistics.views import take_any
from lsg_ray.typing import Floats, Ints

#: Number of triples of pairs of copies that are multiplied at a time.
TRIPLE_PRODUCTS_AT_ONCE = 2**20


class PairSums(NamedTuple):
    """Sums over pairs of copies a, b, with weights ω = w_a w_b, of δ = x − m and u = δ_a ∘ δ_b.

    w: Σ ω; u, both: of u and δ_a + δ_b; uu: u uᵀ; ab: δ_a δ_bᵀ; ud: u (δ_a + δ_b)ᵀ; dd:
    δ_a δ_aᵀ + δ_b δ_bᵀ; third, third_connected: of products of the contributions of both.
    """

    w: float
    u: Floats
    both: Floats
    uu: Floats
    ab: Floats
    ud: Floats
    dd: Floats
    third: Floats
    third_connected: Floats


def sum_copies(
    source: Configurations,
    weights: RowWeights,
    moments: xarray.Dataset,
    triples: Ints,
    first: Ints,
    second: Ints,
) -> PairSums:
    """Sum over pairs of rows; a block function."""
    n, m = source.n_weights, moments["m"].values
    pairs = "C" in moments
    parts = []
    for start in range(0, len(first), real_rows(n)):
        some = slice(start, start + real_rows(n))
        a, b = (take_any(source, rows[some]) - m for rows in (first, second))
        w = weights.at(first[some]) * weights.at(second[some])
        u, both = a * b, a + b
        wu = w[:, None] * u
        matrices = [np.zeros((0, 0))] * 4
        if pairs:
            wa, wb = w[:, None] * a, w[:, None] * b
            matrices = [wu.T @ u, wa.T @ b, wu.T @ both, wa.T @ a + wb.T @ b]
        of_triples = _products_of_triples(moments, triples, a, b, w)
        parts.append(PairSums(w.sum(), wu.sum(axis=0), w @ both, *matrices, *of_triples))
    return added(parts)


def _products_of_triples(
    moments: xarray.Dataset, triples: Ints, a: Floats, b: Floats, w: Floats
) -> list[Floats]:
    """Return Σ ω f_a f_b of the raw and of the connected moments of triples."""
    if not len(triples):
        return [np.zeros(0), np.zeros(0)]
    m, C = moments["m"].values, moments["C"].values
    i, j, k = triples.T
    c = [C[p, q] - m[p] * m[q] for p, q in ((j, k), (i, k), (i, j))]
    raw, connected = moments["third"].values, moments["third_connected"].values
    sums = [np.zeros(len(triples)), np.zeros(len(triples))]
    at_once = max(1, TRIPLE_PRODUCTS_AT_ONCE // len(triples))
    for start in range(0, len(w), at_once):
        some = slice(start, start + at_once)
        of_raw, of_connected = 1.0, 1.0
        for d in (a[some], b[some]):
            x, y, z = d[:, i], d[:, j], d[:, k]
            of_raw = of_raw * ((x + m[i]) * (y + m[j]) * (z + m[k]) - raw)
            of_connected = of_connected * (x * y * z - connected - c[0] * x - c[1] * y - c[2] * z)
        sums[0] += w[some] @ of_raw
        sums[1] += w[some] @ of_connected
    return sums


def with_copies(
    moments: xarray.Dataset,
    source: Configurations,
    weights: RowWeights,
    copies: Pairs,
    triples: Ints,
) -> xarray.Dataset:
    """Return moments with the errors of groups of copies."""
    cuts = ranges(len(copies.first), max(REALS.rows, len(copies.first) // 32))
    rows = [(copies.first[a:b], copies.second[a:b]) for a, b in cuts]
    sums = compute(reduce_tasks(sum_copies, (source, weights, moments, triples), rows))
    of_rows = weights.at(np.arange(source.n_rows))
    number = effective_groups(copies.group, of_rows)
    if number <= 1 + 1e-9:
        raise InputError(f"{source.name}: all configurations are copies of one; there is no spread")
    size = independent_rows(moments)
    products = {"m": sums.u, "third": sums.third, "third_connected": sums.third_connected}
    if "C" in moments:
        m = moments["m"].values
        x, y = m[:, None], m[None, :]
        c = moments["connected"].values
        connected = sums.uu - c * sums.dd + c**2 * sums.w
        # x_i x_j − C = (δ_iδ_j − c) + m_j δ_i + m_i δ_j, of both.
        half = y * (sums.ud - c * sums.both[:, None]) + y**2 * sums.u[:, None]
        raw = connected + half + half.T + x * y * (sums.ab + sums.ab.T)
        products |= {"connected": connected, "C": raw}
    alone, errors = [], []
    for name, product in products.items():
        if name not in moments:
            continue
        error = moments[f"{name}_stderr"]
        # Of one row, and of the average over groups.
        variance = error.values**2 * (size - 1)
        square = (variance / size + 2 * product / of_rows.sum() ** 2) * number / (number - 1)
        square = np.where(variance > 0, np.maximum(square, 0.0), 0.0)
        moments[f"{name}_stderr"] = (error.dims, np.sqrt(square), error.attrs)
        if name == "m" or (name == "C" and source.signs):
            pairs = slice(None) if name == "m" else ~np.eye(source.n_weights, dtype=bool)
            alone.append(variance[pairs].mean() if variance[pairs].size else 0.0)
            errors.append(square[pairs].mean() if variance[pairs].size else 0.0)
    effective = 1 + sum(alone) / sum(errors) if sum(errors) > 0 else number
    return moments.assign_attrs(
        groups=copies.groups, effective_groups=number, effective_count=float(effective)
    )


def independent_rows(moments: xarray.Dataset) -> float:
    """Return the number of independent configurations behind moments; NaN if unknown.

    ``effective_count`` where there is one: their number, ``count``, else.

    >>> independent_rows(xarray.Dataset(attrs={"count": 9, "effective_count": 4.5}))
    4.5
    """
    number = moments.attrs.get("effective_count", moments.attrs.get("count"))
    return float("nan") if number is None else float(number)
