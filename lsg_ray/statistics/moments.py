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

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import xarray
from annotated_types import Ge, Le
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.networks.layout import read_only
from lsg_ray.results.graph import compute, share, tree_reduce
from lsg_ray.results.saving import MOMENTS
from lsg_ray.stage import ENSEMBLE, Stage
from lsg_ray.statistics.configurations import Configurations, as_configurations, ranges, take_any
from lsg_ray.statistics.copies import Pairs, effective_groups, pairs_of_copies
from lsg_ray.statistics.triples import choose_triples, triple_moments
from lsg_ray.typing import As, ConfigurationsLike, Floats, Ints, Progress, Seed

#: Rows whose bits are transposed at a time: 512 words a plane, six of which fit the first cache.
ROWS = 2**15
#: Signs that are transposed at a time, at most.
MAX_PIECE = 2**28
#: Rows of a task, at most; each task returns sums of its own.
TASK_ROWS = 2**18
#: Rows of real or weighted configurations that are multiplied at a time, and the bytes of these.
REAL_ROWS, REAL_BYTES = 2**12, 2**28
#: Triples of pairs of copies that are multiplied at a time.
TRIPLE_PRODUCTS = 2**20
#: Refuse an estimate that needs more memory than this.
MAX_BYTES = 8 * 2**30
#: Largest N for which C of real-valued weights is estimated without being asked for.
MAX_REAL_WEIGHTS = 4096

#: Most triples whose third moments are asked for by number.
MOST_TRIPLES = 10_000_000


@public
def moments(
    ensemble: ConfigurationsLike,
    *,
    weights: Annotated[str | ArrayLike | None, As(str | None)] = None,
    triples: Annotated[int | ArrayLike, As(Annotated[int, Ge(0), Le(MOST_TRIPLES)])] = 0,
    correlations: bool | None = None,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Estimate the moments of an ensemble, of a part of it, or of a selection.

    Parameters
    ----------
    ensemble
        From `lsg_ray.open_ensemble`, possibly after ``.part(...)`` or ``.where(...)``, or an array
        (M, N).  Of a store that is still being sampled, the complete blocks are used.
    weights
        What configurations weigh, (M,), none negative: an array or the name of a column.
    triples
        Third moments of how many triples i < j < k, drawn at random, or (T, 3) indices.  ±1
        weights only.
    correlations
        Whether to estimate C; by default yes, but not for over `MAX_REAL_WEIGHTS` real weights.
    seed
        Of the triples.
    progress
        Told ``(tasks done, tasks in all)``.

    Returns
    -------
    xarray.Dataset
        ``m`` (weight), ``C`` and ``connected`` (weight, weight_), and with triples ``third`` and
        ``third_connected`` (triple) at weights ``i``, ``j``, ``k``; beside each X its ``X_stderr``;
        for real weights ``variance`` (weight).  Coordinates ``layer``, ``part``, ``unit``,
        ``unit_in`` of the weights; attributes with provenance and ``count``; with weights
        ``effective_count`` n_eff.  Where there are copies, ``groups``, how many configurations are
        independent, ``effective_groups``, K of `lsg_ray.statistics.copies`, and as
        ``effective_count`` how many would have the same errors of m (and C, of ±1 weights), on
        average.

    Raises
    ------
    InputError
        Fewer than two configurations, weights or triples that do not fit, or an N × N matrix
        beyond `MAX_BYTES`.
    StoreError
        A block is damaged; names it.

    Notes
    -----
    Time for ±1: M N² / 2 bit operations, 512 at a time: 0.5 s on one core for 10⁶ × 675.  Memory:
    8 N² bytes a task, 48 N² for the result, and `ROWS` configurations as bits a task.  Copies: 8 N²
    flop each, and 80 N² bytes a task.
    """
    source = as_configurations(ensemble)
    source.require(2, "moments")
    exact = source.binary and weights is None
    chosen = choose_triples(triples, source.n_weights, seed)
    if len(chosen) and not exact:
        raise InputError("triples asked for; they need ±1 weights that all count the same")
    if len(chosen) and correlations is False:
        raise InputError("triples asked for without correlations, which they need")
    pairs = source.binary or source.n_weights <= MAX_REAL_WEIGHTS
    pairs = pairs if correlations is None else correlations
    cuts = ranges(source.n_rows, _task_rows(source), source.grain)
    _check_memory(source.n_weights, len(cuts), pairs, exact)
    if exact:
        result = _dataset_of_signs(_sum_signs(source, cuts, pairs, chosen, progress), chosen)
        of_rows = _Weights(source, None)
    else:
        of_rows = _Weights.of(weights, source)
        sums = _sum_real(source, cuts, pairs, of_rows, progress)
        result = _dataset_of_reals(sums, source.binary, weights is not None, source.name)
    copies = pairs_of_copies(source)
    if copies is not None:
        result = _with_copies(result, source, of_rows, copies, chosen)
    return _finished(result, source)


def _task_rows(source: Configurations) -> int:
    """Rows a task: enough tasks for many cores, few enough that sums are rarely added."""
    rows = min(TASK_ROWS, max(REAL_ROWS, source.n_rows // 32))
    return rows if source.binary else max(1, min(rows, REAL_BYTES // (8 * source.n_weights)))


def _real_rows(n: int) -> int:
    """Rows of N real numbers that are worked on at a time."""
    return max(1, min(REAL_ROWS, REAL_BYTES // (8 * n)))


def _check_memory(n: int, tasks: int, pairs: bool, exact: bool) -> None:
    from dask.system import CPU_COUNT

    per_task = (8 if exact else 24 * 5) if pairs else 0
    need = (per_task * min(tasks, CPU_COUNT) + 48 * pairs) * n**2
    if need > MAX_BYTES:
        raise InputError(
            f"C of {n} weights takes {need / 2**30:.0f} GiB of memory, more than "
            f"{MAX_BYTES / 2**30:.0f}; choose a part (--part), or pass correlations=False"
        )


# Binary weights, every configuration counting the same: integers.


class SignSums(NamedTuple):
    """Rows, rows with σ_i = +1, rows with σ_i ≠ σ_j (j > i), and rows with σ_iσ_jσ_k = +1."""

    rows: int
    ones: Ints
    differ: Ints
    odd: Ints


def count_signs(
    source: Configurations, triples: Ints, pairs: bool, start: int, stop: int
) -> SignSums:
    """Count over rows start:stop; a block function."""
    from lsg_ray.kernels import bits

    n = source.n_weights
    ones, odd = np.zeros(n, np.int64), np.zeros(len(triples), np.int64)
    differ = np.zeros((n, n) if pairs else (0, 0), np.int64)
    rows, at_once = 0, _rows_at_once(n)
    for first, last in ranges(stop - start, at_once, source.grain):
        packed = read_only(source.packed(start + first, start + last), np.uint8)
        for low in range(0, len(packed), at_once):
            piece = packed[low : low + at_once]
            planes = np.empty((n, -(-len(piece) // 64)), np.uint64)
            bits.bit_planes(piece, planes)
            bits.add_ones(planes, ones)
            bits.add_odd(planes, read_only(triples, np.int64), odd)
            if pairs:
                bits.add_disagreements(planes, differ)
        rows += len(packed)
    return SignSums(rows, ones, differ, odd)


def _rows_at_once(n: int) -> int:
    """Rows whose planes are made at a time: fewer, whole words, for very wide configurations."""
    return max(64, min(ROWS, MAX_PIECE // max(n, 1) // 64 * 64))


def add_sign_sums(parts: list[SignSums]) -> SignSums:
    """Add counts over disjoint rows; the parts stay as they are."""
    rows, *arrays = parts[0]
    total = [array.copy() for array in arrays]
    for part in parts[1:]:
        rows += part.rows
        for array, more in zip(total, part[1:], strict=True):
            array += more
    return SignSums(rows, *total)


def _sum_signs(
    source: Configurations,
    cuts: Sequence[tuple[int, int]],
    pairs: bool,
    triples: Ints,
    progress: Progress | None,
) -> SignSums:
    import dask

    leaf, given = dask.delayed(count_signs, pure=False), share(source)
    leaves = [leaf(given, triples, pairs, *cut) for cut in cuts]
    return compute(tree_reduce(leaves, add_sign_sums), progress)


def _dataset_of_signs(sums: SignSums, triples: Ints) -> xarray.Dataset:
    count = sums.rows
    m = (2 * sums.ones - count) / count
    found = _vector("m", "magnetization", m, _error(1 - m**2, count))
    if sums.differ.size or not m.size:
        upper = np.triu(sums.differ, 1)
        C = (count - 2 * (upper + upper.T)) / count
        c, spread = _connected(m, C)
        found |= _matrix("C", "correlation", C, _error(1 - C**2, count))
        found |= _matrix("connected", "connected correlation", c, _error(spread, count))
    if len(triples):
        found |= triple_moments(triples, (2 * sums.odd - count) / count, m, C, count)
    coordinates = {name: ("triple", triples[:, n]) for n, name in enumerate("ijk")}
    return xarray.Dataset(found, coordinates if len(triples) else None, {"count": count})


def _connected(m: Floats, C: Floats) -> tuple[Floats, Floats]:
    """Return c and ⟨f²⟩ = ⟨δσ_i²δσ_j²⟩ − c², where δσ² = 1 + m² − 2mσ."""
    c = C - np.outer(m, m)
    a, b = (1 + m**2)[:, None], (1 + m**2)[None, :]
    x, y = m[:, None], m[None, :]
    return c, a * b - 2 * x**2 * b - 2 * y**2 * a + 4 * x * y * C - c**2


# Real-valued or weighted: float64, relative to a shift.


class RealSums(NamedTuple):
    """Sums of y = x − shift with w (wy = Σ w y, wyy = Σ w y yᵀ, …) and with v = w²."""

    shift: Floats
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


class _Weights(NamedTuple):
    """Weights of configurations, by rows."""

    source: Configurations
    given: str | Floats | None

    @classmethod
    def of(cls, given: str | ArrayLike | None, source: Configurations) -> _Weights:
        if given is None or isinstance(given, str):
            if given is not None and given not in source.columns:
                there = ", ".join(source.columns) or "none"
                raise InputError(f"weights {given!r} given; columns of {source.name} are {there}")
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
            distinct, place = np.unique(rows, return_inverse=True)
            values = self.source.values(self.given, distinct).astype(np.float64)
            return values[place]
        return self.given[rows]

    def rows(self, start: int, stop: int) -> Floats:
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
    source: Configurations, weights: _Weights, shift: Floats, pairs: bool, start: int, stop: int
) -> RealSums:
    """Sum over rows start:stop; a block function."""
    n = source.n_weights
    square = (n, n) if pairs else (0, 0)
    vectors = {name: np.zeros(n) for name in ("wy", "wy2", "vy", "vy2")}
    matrices = {name: np.zeros(square) for name in ("wyy", "vyy", "vy2y", "vy2y2")}
    w_total, v_total = 0.0, 0.0
    whole = source.rows(start, stop)
    for first, last in ranges(stop - start, _real_rows(n)):
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
                ("wyy", w[:, None] * y, y), ("vyy", vy, y), ("vy2y", vy2, y), ("vy2y2", vy2, y2),
            ):  # fmt: skip
                matrices[name] += left.T @ right
    found: dict[str, Any] = {**vectors, **matrices, "w": float(w_total), "v": float(v_total)}
    return RealSums(shift, stop - start, **found)


def add_real_sums(parts: list[RealSums]) -> RealSums:
    """Add sums over disjoint rows, all with the same shift."""
    sums = [sum(column[1:], start=column[0]) for column in list(zip(*parts, strict=True))[1:]]
    return RealSums(parts[0].shift, *sums)


def _sum_real(
    source: Configurations,
    cuts: Sequence[tuple[int, int]],
    pairs: bool,
    weights: _Weights,
    progress: Progress | None,
) -> RealSums:
    import dask

    # Sums of squares lose digits where the mean is far from zero, so it is taken off roughly.
    if source.binary:
        shift = np.zeros(source.n_weights)
    else:
        shift = source.rows(0, min(source.n_rows, 256, _real_rows(source.n_weights))).mean(axis=0)
    leaf, given = dask.delayed(sum_reals, pure=False), (share(source), share(weights))
    leaves = [leaf(*given, shift, pairs, *cut) for cut in cuts]
    return compute(tree_reduce(leaves, add_real_sums), progress)


def _dataset_of_reals(sums: RealSums, binary: bool, weighted: bool, name: str) -> xarray.Dataset:
    if not sums.w > 0:
        raise InputError(f"{name}: the weights of all configurations are zero")
    size = sums.w**2 / sums.v
    if size <= 1 + 1e-9:
        raise InputError(f"{name}: one configuration has all the weight; there is no spread")
    mean = sums.wy / sums.w
    m = mean + sums.shift
    # Averages with v = w², relative to the mean: what ⟨f²⟩ is made of.
    d1 = sums.vy / sums.v - mean
    d2 = sums.vy2 / sums.v - 2 * mean * sums.vy / sums.v + mean**2
    found = _vector("m", "magnetization" if binary else "mean", m, _error(d2, size))
    if sums.wyy.size:
        found |= _pairs_of_reals(sums, mean, d1, d2, size)
    if not binary:
        variance = np.maximum(sums.wy2 / sums.w - mean**2, 0) * size / (size - 1)
        found["variance"] = ("weight", variance, {"units": "1"})
    attributes = {"count": sums.rows} | ({"effective_count": size} if weighted else {})
    return xarray.Dataset(found, attrs=attributes)


def _pairs_of_reals(
    sums: RealSums, mean: Floats, d1: Floats, d2: Floats, size: float
) -> dict[str, Any]:
    m, x, y = mean + sums.shift, mean[:, None], mean[None, :]
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
        y2y2 - 2 * y * y2y - 2 * x * y2y.T + 4 * x * y * yy
        + y**2 * r + x**2 * s - 2 * x * y**2 * p - 2 * y * x**2 * q + x**2 * y**2
    )  # fmt: skip
    connected = d2d2 - 2 * c * dd + c**2
    # x_i x_j − C = (δ_iδ_j − c) + m_j δ_i + m_i δ_j
    a, b = m[:, None], m[None, :]
    raw = (
        connected + b**2 * d2[:, None] + a**2 * d2[None, :] + 2 * a * b * dd
        + 2 * b * (d2d - c * d1[:, None]) + 2 * a * (d2d.T - c * d1[None, :])
    )  # fmt: skip
    return _matrix("C", "correlation", C, _error(raw, size)) | _matrix(
        "connected", "connected correlation", c, _error(connected, size)
    )


# Copies: products of what two rows of a group add to a moment


class PairSums(NamedTuple):
    """Sums over pairs of copies a, b, with weights ω = w_a w_b, of δ = x − m and u = δ_a ∘ δ_b.

    w: Σ ω; u, both: of u and δ_a + δ_b; uu: u uᵀ; ab: δ_a δ_bᵀ; ud: u (δ_a + δ_b)ᵀ; dd:
    δ_a δ_aᵀ + δ_b δ_bᵀ; third, third_connected: of products of what both add to these.
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
    weights: _Weights,
    found: xarray.Dataset,
    triples: Ints,
    first: Ints,
    second: Ints,
) -> PairSums:
    """Sum over pairs of rows; a block function."""
    n, m = source.n_weights, found["m"].values
    pairs = "C" in found
    total = PairSums(
        0.0, np.zeros(n), np.zeros(n), *np.zeros((4, n, n) if pairs else (4, 0, 0)),
        *np.zeros((2, len(triples))),
    )  # fmt: skip
    for start in range(0, len(first), _real_rows(n)):
        some = slice(start, start + _real_rows(n))
        a, b = (take_any(source, rows[some]) - m for rows in (first, second))
        w = weights.at(first[some]) * weights.at(second[some])
        u, both = a * b, a + b
        wu = w[:, None] * u
        parts = [w.sum(), wu.sum(axis=0), w @ both]
        if pairs:
            wa, wb = w[:, None] * a, w[:, None] * b
            parts += [wu.T @ u, wa.T @ b, wu.T @ both, wa.T @ a + wb.T @ b]
        else:
            parts += [total.uu] * 4
        parts += _products_of_triples(found, triples, a, b, w)
        total = PairSums(*(x + y for x, y in zip(total, parts, strict=True)))
    return total


def _products_of_triples(
    found: xarray.Dataset, triples: Ints, a: Floats, b: Floats, w: Floats
) -> list[Floats]:
    """Return Σ ω f_a f_b of the raw and of the connected moments of triples."""
    if not len(triples):
        return [np.zeros(0), np.zeros(0)]
    m, C = found["m"].values, found["C"].values
    i, j, k = triples.T
    c = [C[p, q] - m[p] * m[q] for p, q in ((j, k), (i, k), (i, j))]
    raw, connected = found["third"].values, found["third_connected"].values
    sums = [np.zeros(len(triples)), np.zeros(len(triples))]
    at_once = max(1, TRIPLE_PRODUCTS // len(triples))
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


def add_pair_sums(parts: list[PairSums]) -> PairSums:
    """Add sums over disjoint pairs."""
    return PairSums(*(sum(column[1:], start=column[0]) for column in zip(*parts, strict=True)))


def _with_copies(
    found: xarray.Dataset, source: Configurations, weights: _Weights, copies: Pairs, triples: Ints
) -> xarray.Dataset:
    """Return moments with the errors of groups of copies."""
    import dask

    leaf = dask.delayed(sum_copies, pure=False)
    given = share(source), share(weights), share(found), triples
    cuts = ranges(len(copies.first), max(REAL_ROWS, len(copies.first) // 32))
    leaves = [leaf(*given, copies.first[a:b], copies.second[a:b]) for a, b in cuts]
    sums = compute(tree_reduce(leaves, add_pair_sums), None)
    of_rows = weights.at(np.arange(source.n_rows))
    number = effective_groups(copies.group, of_rows)
    if number <= 1 + 1e-9:
        raise InputError(f"{source.name}: all configurations are copies of one; there is no spread")
    size = independent_rows(found)
    products = {"m": sums.u, "third": sums.third, "third_connected": sums.third_connected}
    if "C" in found:
        m = found["m"].values
        x, y = m[:, None], m[None, :]
        c = found["connected"].values
        connected = sums.uu - c * sums.dd + c**2 * sums.w
        # x_i x_j − C = (δ_iδ_j − c) + m_j δ_i + m_i δ_j, of both.
        one = y * (sums.ud - c * sums.both[:, None]) + y**2 * sums.u[:, None]
        raw = connected + one + one.T + x * y * (sums.ab + sums.ab.T)
        products |= {"connected": connected, "C": raw}
    alone, errors = [], []
    for name, product in products.items():
        if name not in found:
            continue
        error = found[f"{name}_stderr"]
        # Of one row, and of the average over groups.
        variance = error.values**2 * (size - 1)
        square = (variance / size + 2 * product / of_rows.sum() ** 2) * number / (number - 1)
        square = np.where(variance > 0, np.maximum(square, 0.0), 0.0)
        found[f"{name}_stderr"] = (error.dims, np.sqrt(square), error.attrs)
        if name == "m" or (name == "C" and source.binary):
            pairs = slice(None) if name == "m" else ~np.eye(source.n_weights, dtype=bool)
            alone.append(variance[pairs].mean() if variance[pairs].size else 0.0)
            errors.append(square[pairs].mean() if variance[pairs].size else 0.0)
    effective = 1 + sum(alone) / sum(errors) if sum(errors) > 0 else number
    return found.assign_attrs(
        groups=copies.groups, effective_groups=number, effective_count=float(effective)
    )


# The result


def _error(variance: Floats, count: float) -> Floats:
    return np.sqrt(np.maximum(variance, 0.0) / (count - 1))


def _vector(name: str, long_name: str, mean: Floats, error: Floats) -> dict[str, Any]:
    about = {"long_name": long_name, "units": "1"}
    return {name: ("weight", mean, about), f"{name}_stderr": ("weight", error, {"units": "1"})}


def _matrix(name: str, long_name: str, mean: Floats, error: Floats) -> dict[str, Any]:
    about = {"long_name": long_name, "units": "1"}
    return {
        name: (("weight", "weight_"), mean, about),
        f"{name}_stderr": (("weight", "weight_"), error, {"units": "1"}),
    }


def independent_rows(found: xarray.Dataset) -> float:
    """Return as how many independent configurations those behind moments count; NaN if unknown.

    ``effective_count`` where there is one: their number, ``count``, else.

    >>> independent_rows(xarray.Dataset(attrs={"count": 9, "effective_count": 4.5}))
    4.5
    """
    number = found.attrs.get("effective_count", found.attrs.get("count"))
    return float("nan") if number is None else float(number)


def _finished(result: xarray.Dataset, source: Configurations) -> xarray.Dataset:
    coordinates = source.coordinates()
    if "C" in result:
        coordinates["weight_"] = ("weight_", coordinates["weight"][1])
    attributes = {"statistic": "moments", **source.provenance(), **result.attrs}
    return result.assign_coords(coordinates).assign_attrs(attributes)


def _shown(found: xarray.Dataset) -> dict[str, Any]:
    m = found["m"].values
    return {
        "n_weights": int(m.size),
        **{k: found.attrs[k] for k in ("count", "effective_count") if k in found.attrs},
        "frozen": int((abs(m) == 1).sum()),
        "mean_abs_m": float(abs(m).mean()),
        "max_m_stderr": float(found["m_stderr"].max()),
    }


STAGE = Stage(
    "moments", moments, reads={"ensemble": ENSEMBLE}, summary=_shown, hidden={"correlations"},
    archive=MOMENTS,
)  # fmt: skip
