"""Leading eigenvectors of the correlation matrix of ±1 weights, straight from the configurations.

With x = (σ − m)/√v, v = 1 − m², the correlation matrix is R = XᵀX/M.  It is never formed: a pass
over the rows takes a block Q (N, K), orthonormal, to R Q.  What is new in R Q is the next block,
from a random start, and Ritz values and vectors of all blocks converge to the largest eigenvalues
(C. Musco, C. Musco, NIPS 28, 1396 (2015), Alg. 2); their residuals |R u − λ u| are known too.

Of M independent rows of N independent weights, eigenvalues spread over Marchenko and Pastur's
(1 ± √γ)², γ = N/M, and the largest stays below

    λ* = [(a + b)² + s (a + b) (1/a + 1/b)^⅓]/M,   a = √(M − 2), b = √N,

but for a share of cases, s being that quantile of the Tracy–Widom law (I. M. Johnstone, Ann. Stat.
29, 295 (2001)).  An eigenvalue ℓ of the population that makes one λ beyond the edge is

    ℓ = ½ [λ + 1 − γ + √((λ + 1 − γ)² − 4λ)],

and its eigenvector has with that of the data the squared overlap

    c² = (1 − γ/(ℓ − 1)²)/(1 + γ/(ℓ − 1))

(D. Paul, Stat. Sin. 17, 1617 (2007)), so that the variance of new rows along that of the data is
η = 1 + (ℓ − 1) c², the shrinkage of least squared error (D. Donoho, M. Gavish, I. Johnstone, Ann.
Stat. 46, 1742 (2018)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.results.graph import compute, part_of
from lsg_ray.results.records import reduce_tasks
from lsg_ray.rng import Stream
from lsg_ray.statistics.configurations import Configurations, ranges, stream
from lsg_ray.typing import Array, Flags, Floats, Progress, Singles


@dataclass(frozen=True)
class PrincipalConfig:
    """How eigenvectors are found, and which are significant."""

    #: Vectors beyond those that are asked for: they let the last of these converge.
    extra: int = 10
    #: Passes over the rows, at most; residual of an eigenvector beyond the edge, relative to its
    #: eigenvalue, and growth of the largest eigenvalue by a pass, at which they end.
    passes: int = 12
    tolerance: float = 0.02
    growth: float = 0.003
    #: Probability that independent weights have an eigenvalue above the threshold, and the quantile
    #: of the Tracy–Widom law of order 1 for it.
    false_alarm: float = 0.01
    quantile: float = 2.0234
    #: Bytes of rows in single precision that are multiplied at a time.
    bytes: int = 2**26
    #: Most bytes of memory of all vectors.
    max_bytes: int = 8 * 2**30


CONFIG = PrincipalConfig()


class Principal(NamedTuple):
    """Leading eigenvectors of a correlation matrix, those of larger eigenvalues first.

    values (K,); vectors (N, K), zero for weights that never change; residuals (K,) relative to the
    eigenvalue; free (N,) whether a weight changes; m (N,); passes over the rows; converged:
    whether all eigenvalues above ``threshold`` are within the tolerance; edge: (1 + √γ)².
    """

    values: Floats
    vectors: Floats
    residuals: Floats
    free: Flags
    m: Floats
    passes: int
    converged: bool
    edge: float
    threshold: float


class Spikes(NamedTuple):
    """Of eigenvalues beyond the edge: ℓ, c² and η of the module; each (K,)."""

    population: Floats
    alignment: Floats
    shrunk: Floats


def principal(
    source: Configurations, m: Floats, count: int, seed: int, progress: Progress | None = None
) -> Principal:
    """Return the leading eigenvectors of the correlation matrix.

    Parameters
    ----------
    source
        ±1 configurations.
    m
        (N,) magnetizations.
    count
        Largest number of eigenvectors.
    seed
        Seed of the start.
    progress
        Called with ``(done, total)`` tasks; the passes may end earlier.

    Raises
    ------
    InputError
        All weights are frozen, or vectors that need too much memory.

    Notes
    -----
    4 M N K flop a pass, in single precision, K = count + 10; memory: 16 N K bytes a pass, 8 N K a
    task, and some rows.
    """
    free = np.abs(m) < 1
    n = int(free.sum())
    if n < 2:
        raise InputError(f"{source.name}: all weights but {n} are frozen (|m| = 1)")
    size = min(count + CONFIG.extra, n, source.n_rows - 1)
    _check_memory(source.n_weights, size)
    scale = np.zeros(len(m))
    scale[free] = 1 / np.sqrt(1 - m[free] ** 2)
    edge, threshold = edges(n, source.n_rows)
    rng = stream(seed, Stream.WEIGHTS, 2)
    block = np.linalg.qr(rng.normal(size=(source.n_weights, size)) * free[:, None])[0]
    basis, images = np.empty((source.n_weights, 0)), np.empty((source.n_weights, 0))
    at_once = max(1, CONFIG.bytes // (4 * source.n_weights))
    cuts = ranges(source.n_rows, max(at_once, source.n_rows // 32), source.grain)
    before, converged, done = 0.0, False, 0
    for done in range(1, CONFIG.passes + 1):
        product = compute(
            reduce_tasks(apply_correlations, (source, m, scale, block), cuts),
            part_of(progress, done - 1, CONFIG.passes),
        )
        basis, images = np.hstack([basis, block]), np.hstack([images, product / source.n_rows])
        values, vectors, residuals = _ritz(basis, images, count)
        good = residuals[values > threshold] <= CONFIG.tolerance
        whole = basis.shape[1] >= n
        converged = bool(good.all() and values[0] <= (1 + CONFIG.growth) * before) or whole
        before = float(values[0])
        if converged:
            break
        block = _new_block(images[:, -size:], basis, free, min(size, n - basis.shape[1]))
    vectors *= free[:, None]  # but for rounding, they are zero there
    return Principal(values, vectors, residuals, free, m, done, converged, edge, threshold)


def _ritz(basis: Floats, images: Floats, count: int) -> tuple[Floats, Floats, Floats]:
    """Return the first Ritz values (K,), vectors (N, K) and residuals relative to the values."""
    inner = basis.T @ images
    values, rotation = np.linalg.eigh((inner + inner.T) / 2)
    values, rotation = values[: -count - 1 : -1], rotation[:, : -count - 1 : -1]
    vectors = basis @ rotation
    apart = np.linalg.norm(images @ rotation - vectors * values, axis=0)
    return values, vectors, apart / np.maximum(values, 1e-300)


def _new_block(images: Floats, basis: Floats, free: Flags, size: int) -> Floats:
    """Return what is new in images: (N, size), orthonormal, and orthogonal to the basis."""
    block = images[:, :size]
    for _ in range(2):  # what rounding leaves of the basis goes in the second
        block = block - basis @ (basis.T @ block)
        block = np.linalg.qr(block)[0] * free[:, None]
    return block


def edges(n: int, rows: int) -> tuple[float, float]:
    """Return (1 + √γ)² and λ* of n independent weights in so many rows.

    >>> edges(100, 100)
    (4.0, 4.195765...)
    """
    a, b = np.sqrt(max(rows - 2, 1)), np.sqrt(n)
    spread = CONFIG.quantile * (a + b) * (1 / a + 1 / b) ** (1 / 3)
    return float((1 + np.sqrt(n / rows)) ** 2), float(((a + b) ** 2 + spread) / rows)


def spikes(values: Floats, gamma: float) -> Spikes:
    """Return what eigenvalues (K,) of data beyond the edge say of the population.

    >>> spikes(np.array([9.0]), 0.0)
    Spikes(population=array([9.]), alignment=array([1.]), shrunk=array([9.]))
    """
    centre = values + 1 - gamma
    population = 0.5 * (centre + np.sqrt(np.maximum(centre**2 - 4 * values, 0.0)))
    excess = population - 1
    alignment = np.clip((1 - gamma / excess**2) / (1 + gamma / excess), 0.0, 1.0)
    return Spikes(population, alignment, 1 + excess * alignment)


def apply_correlations(
    source: Configurations, m: Floats, scale: Floats, basis: Floats, start: int, stop: int
) -> Floats:
    """Return Σ x (xᵀ Q) over rows start:stop, (N, K); a block function."""
    scaled: Singles = (scale[:, None] * basis).astype(np.float32)
    shift = (m * scale) @ basis
    # In single precision over some rows; sums of these in double precision.
    total, sums = np.zeros(basis.shape), np.zeros(basis.shape[1])
    at_once = max(1, CONFIG.bytes // (4 * source.n_weights))
    for first, last in ranges(stop - start, at_once, source.grain):
        rows: Array = source.rows(start + first, start + last)
        for low in range(0, len(rows), at_once):
            signs = rows[low : low + at_once].astype(np.float32)
            inner = signs @ scaled - shift.astype(np.float32)
            total += signs.T @ inner
            sums += inner.sum(axis=0, dtype=np.float64)
    return scale[:, None] * (total - np.outer(m, sums))


def _check_memory(n: int, size: int) -> None:
    from dask.system import CPU_COUNT

    need = 8 * n * size * (2 * CONFIG.passes + 4 + 2 * CPU_COUNT)
    if need > CONFIG.max_bytes:
        raise InputError(
            f"{size} vectors of {n:,} weights take {need / 2**30:.0f} GiB of memory, more than "
            f"{CONFIG.max_bytes / 2**30:.0f}; ask for fewer patterns, or choose weights (--choose)"
        )
