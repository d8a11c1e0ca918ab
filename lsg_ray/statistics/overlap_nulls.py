"""Products of configurations, Σ_i w^a_i w^b_i, of a set and of nulls made from it.

Nulls preserve the distribution of single weights and destroy their correlations:

- *independent*: each weight of each configuration is drawn anew, ±1 with the magnetization m_i of
  the set, or from a normal distribution with its mean and variance.  The means are shrunk by one
  factor λ, λ² = Σ(m_i² − s_i²/M)/Σm_i² (s_i² the variance of weight i), since Σm_i² of M
  configurations is too large by Σs_i²/M: so the mean overlap is that of the set.
- *shuffled*: each weight's values are permuted among the configurations.

Weights are taken a range of columns at a time, for all configurations: real ones may have millions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from lsg_ray.results.graph import compute
from lsg_ray.results.records import reduce_tasks
from lsg_ray.rng import Stream
from lsg_ray.statistics.configurations import Configurations, ranges, stream
from lsg_ray.typing import Floats, Ints, Progress, Singles

Null = Literal["independent", "shuffled"]
NULLS: tuple[Null, ...] = get_args(Null)


@dataclass(frozen=True)
class ProductsConfig:
    """Sizes of the work on products.  Draws of nulls depend on ``range_numbers``."""

    #: Numbers (float32) of a range of columns of all configurations.
    range_numbers: int = 2**25
    #: Bytes of the rows that are read at a time.
    read_bytes: int = 2**26
    #: Numbers that are multiplied in float64 at a time.
    product_numbers: int = 2**22


PRODUCTS = ProductsConfig()


class Draw(NamedTuple):
    """A null and the number of its draw."""

    null: Null
    number: int


def products(
    source: Configurations,
    rows: Ints,
    draws: Sequence[Draw] = (),
    *,
    data: bool = True,
    centered: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Floats:
    """Return the products of all pairs of configurations, and of each draw of a null.

    Parameters
    ----------
    source, rows
        Configurations, and M rows of them, ascending.
    draws
        Draws of nulls.
    data
        Whether to return the products of the configurations themselves, first.
    centered
        Whether to subtract the mean configuration, from nulls their own.
    seed
        Seed of the nulls; the draw of a null depends on it, on its number, and on M and N.
    progress
        Called with ``(tasks done, tasks in total)``.

    Returns
    -------
    (matrices, M, M): the first, if ``data``, then one for each draw.  Exact for ±1 weights that are
    not centered; else of float64 products for the data and of float32 ones for nulls.

    Notes
    -----
    Each range of columns reads all rows once: ceil(M N / 2²⁵) passes.  2 M² N flop for a matrix,
    and 30 ns for a permuted number.
    """
    job = _Job(tuple(draws), data, centered, seed)
    cuts = enumerate(ranges(source.n_weights, max(1, PRODUCTS.range_numbers // len(rows))))
    return compute(reduce_tasks(_of_columns, (source, rows, job), cuts), progress)


class _Job(NamedTuple):
    """Arguments of `products`."""

    draws: tuple[Draw, ...]
    data: bool
    centered: bool
    seed: int


def _of_columns(
    source: Configurations, rows: Ints, job: _Job, number: int, cut: tuple[int, int]
) -> Floats:
    draws, data, centered, seed = job
    start, stop = cut
    columns = _read(source, rows, start, stop, centered)
    mean = columns.mean(axis=0, dtype=np.float64)
    matrices = np.empty((data + len(draws), len(rows), len(rows)))
    if data:
        matrices[0] = _exact_product(columns, mean if centered else None)
    for index, draw in enumerate(draws, data):
        rng = stream(seed, Stream.RSB, NULLS.index(draw.null), draw.number, number)
        if draw.null == "shuffled":
            drawn = rng.permuted(np.ascontiguousarray(columns.T), axis=1).T
        else:
            drawn = _independent(columns, mean, source.signs and not centered, rng)
        if centered:
            drawn = drawn - drawn.mean(axis=0, dtype=np.float64).astype(np.float32)
        matrices[index] = drawn @ drawn.T
    return matrices


def _read(source: Configurations, rows: Ints, start: int, stop: int, centered: bool) -> Singles:
    """Return columns of all rows (M, columns); centered ones relative to the first row.

    The difference is taken in float64: rows may be nearly equal.
    """
    columns = np.empty((len(rows), stop - start), np.float32)
    first = None
    step = max(1, PRODUCTS.read_bytes // (8 * source.n_weights))
    for a, b in ranges(len(rows), step):
        read = source.take(rows[a:b])[:, start:stop]
        if centered:
            first = read[0].astype(np.float64) if first is None else first
            read = read - first
        columns[a:b] = read
    return columns


def _exact_product(columns: Singles, mean: Floats | None) -> Floats:
    m, n = columns.shape
    total = np.zeros((m, m))
    for a, b in ranges(n, max(1, PRODUCTS.product_numbers // m)):
        block = columns[:, a:b].astype(np.float64)
        if mean is not None:
            block -= mean[a:b]
        total += block @ block.T
    return total


def _independent(columns: Singles, mean: Floats, signs: bool, rng: np.random.Generator) -> Singles:
    """Draw each weight from its marginal distribution, its mean shrunk; see the module."""
    m = len(columns)
    variance = columns.var(axis=0, dtype=np.float64) * m / (m - 1)
    free = variance > 0
    squares = float((mean[free] ** 2).sum())
    unbiased = squares - float(variance.sum()) / m
    shrink = np.sqrt(max(unbiased, 0.0) / squares) if squares > 0 else 0.0
    centre = np.where(free, shrink * mean, mean).astype(np.float32)
    if signs:
        up = rng.random(columns.shape, np.float32) < (1 + centre) / 2
        return (2 * up.astype(np.float32)) - 1
    drawn = rng.standard_normal(columns.shape, np.float32)
    drawn *= np.sqrt(variance).astype(np.float32)
    drawn += centre
    return drawn
