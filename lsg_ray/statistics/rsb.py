"""Replica-symmetry breaking: the distribution P(q) of overlaps of replicas, and ultrametricity.

Replicas are configurations of one system: networks, spins of the SK model or of an effective Ising
model.  Their overlap is q_ab = Σ_i w^a_i w^b_i / (|w^a||w^b|): of ±1 weights Σ_i σ^a_i σ^b_i / N.
Where replica symmetry holds, q is the same for all pairs, but for 1/√N; where it is broken, P(q) is
broad, and the space of replicas is ultrametric: in each triple the two smallest overlaps are equal
(R. Rammal, G. Toulouse, M. A. Virasoro, Rev. Mod. Phys. 58, 765 (1986)).  Measured by

- K = (q_mid − q_min)/σ(q) of triples, with σ(q) the standard deviation over pairs: 0 if ultrametric
  (H. G. Katzgraber, A. K. Hartmann, Phys. Rev. Lett. 102, 037207 (2009); with another normalisation
  G. Hed, A. P. Young, E. Domany, Phys. Rev. Lett. 92, 157201 (2004)), and 0.846 on average for
  independent normal overlaps;
- the degree of non-ultrametricity Σ(d − d̂)/Σd over pairs, d = (1 − q)/2, with d̂ the subdominant
  ultrametric, which single linkage finds (Rammal et al., sec. IV).  It is small too where all d are
  nearly equal; the excess, the mean of d − d̂ over σ(d), is not.

The null hypotheses are those of `lsg_ray.statistics.overlap_nulls`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.results.saving import names_of
from lsg_ray.rng import Stream
from lsg_ray.stage import Figure
from lsg_ray.statistics.configurations import Configurations, as_configurations, stream
from lsg_ray.statistics.copies import draw_independent
from lsg_ray.statistics.modes import MODE_TEST, MODES, count_modes
from lsg_ray.statistics.overlap_nulls import NULLS, Draw, Null, products
from lsg_ray.statistics.triples import choose_triples
from lsg_ray.statistics.ultrametric import (
    K_EDGES,
    QUANTITIES,
    Flip,
    Measured,
    leaf_order,
    measured,
    pairs_of,
)
from lsg_ray.typing import ConfigurationsLike, Count, Floats, Ints, JsonObject, Repeats, Seeded

#: How the overlaps of several systems are drawn side by side.
FIGURE = Figure(
    "lsg_ray.report.figures.rsb:replicas_figure",
    "Overlaps and ultrametricity",
    "replicas_caption",
    together=6,
)
#: Attributes of the replicas of a system that are printed, beside averages.
SUMMARY = (
    "replicas", "n_weights", "n_pairs", "n_triples", "modes", "modes_p_value", "centered",
    "realisations", "temperature", "converged", "rhat", "energy_per_spin",
)  # fmt: skip


@dataclass(frozen=True)
class ReplicaConfig:
    """Limits of the measurement of overlaps."""

    #: Fewest replicas: three are left where the jackknife omits one.
    min_replicas: int = 4
    #: Most replicas: the matrix of their overlaps is in memory.
    max_replicas: int = 4000
    #: Bytes of the matrices of nulls that are drawn at a time.
    null_bytes: int = 2**28


REPLICAS = ReplicaConfig()


@public
def replica_overlaps(
    ensemble: ConfigurationsLike,
    *,
    configurations: int | None = None,
    centered: bool = False,
    flip: Flip = "keep",
    nulls: Sequence[Null] = NULLS,
    draws: Repeats = 20,
    triples: Count = 100_000,
    bins: int | ArrayLike | None = None,
    **run: Unpack[Seeded],
) -> xarray.Dataset:
    """Measure overlaps of replicas and how ultrametric they are, beside nulls.

    Parameters
    ----------
    ensemble
        Ensemble, view, or array (M, N) of ±1 or real weights.
    configurations
        Number of configurations, drawn without replacement; by default all, at most 4,000.  Of rows
        that are copies of one configuration, one is drawn.
    centered
        Whether to subtract the mean configuration first.
    flip
        For systems whose states come in pairs ±σ: ``symmetric`` counts q and −q of each pair in
        P(q); ``modulo`` takes |q| throughout.  In both, distances and triples are of |q|.
    nulls, draws
        Names of nulls, ``independent`` and ``shuffled``, and number of draws of each.
    triples
        Number of random triples of distinct replicas; all, if there are no more.
    bins
        Number of bins of P(q) over all overlaps of the data and of a draw of each null, by default
        2 n^(1/3) for n pairs (of ±1 weights, no more than that); or their edges.
    seed
        Seed of draws, triples, and the test for modes.
    progress
        Called with ``(tasks done, tasks in total)`` in each pass over the weights.

    Returns
    -------
    xarray.Dataset
        ``q`` (replica, replica_), ``leaf_order`` (replica), by average linkage of d, ``row``
        (replica); ``density`` P(q) over ``bin``, with edges ``left`` and ``right``; ``K_density``
        over ``K``; scalars ``mean``, ``std``, ``mean_abs``, ``second_moment``, ``binder``,
        ``ultrametricity`` (mean K), ``rammal``, ``excess``.  Each but the last two has ``_stderr``,
        by the jackknife over replicas; and, over ``null``, ``_null`` (mean over draws) and
        ``_null_std`` (between draws), and scalars ``_z`` = (data − null)/std.  Attributes:
        ``modes`` and ``modes_p_value`` by the test of `lsg_ray.statistics.modes`, which takes
        pairs as independent, ``n_pairs``, ``n_triples``.

    Raises
    ------
    InputError
        Fewer than 4 or more than 4,000 replicas, a replica of length zero, numbers out of range.

    Notes
    -----
    2 M² N flop for each matrix of overlaps; see `products`.  M² numbers for data, M² and sums for
    each draw of a null.

    Examples
    --------
    >>> states = np.random.default_rng(0).choice([-1, 1], (30, 200))
    >>> result = replica_overlaps(states, draws=10)
    >>> round(float(result["ultrametricity"]), 1), result.attrs["modes"]
    (0.8, 1)
    """
    source = as_configurations(ensemble)
    _check(nulls, bins)
    rows = _rows(source, configurations, run["seed"])
    chosen = choose_triples(min(triples, _triples_of(len(rows))), len(rows), run["seed"])
    firsts = [Draw(null, 0) for null in nulls]
    matrices = _overlaps(
        products(source, rows, firsts, centered=centered, **run), source, rows, centered
    )
    lattice = source.n_weights if source.signs and not centered else 0
    edges = as_numbers(_bins(len(rows)) if bins is None else bins, "bins")
    if edges.ndim == 0:
        edges = _edges(matrices, int(edges), flip, lattice)
    measure = partial(measured, triples=chosen, edges=edges, flip=flip, lattice=lattice)
    data = measure(matrices[0], errors=True)
    by_null: dict[Null, list[Measured]] = {null: [] for null in nulls}
    for draw, q in zip(firsts, matrices[1:], strict=True):
        by_null[draw.null].append(measure(q))
    q = matrices[0]
    del matrices
    for batch in _batches([Draw(null, n) for n in range(1, draws) for null in nulls], len(rows)):
        drawn = products(source, rows, batch, data=False, centered=centered, **run)
        for draw, matrix in zip(batch, _overlaps(drawn, source, rows, centered), strict=True):
            by_null[draw.null].append(measure(matrix))
    result = _dataset(q, rows, edges, data, by_null, flip)
    pairs = pairs_of(q, flip)
    if len(pairs) > MODES.max_values:
        pairs = stream(run["seed"], Stream.RSB, 1 << 21).choice(
            pairs, MODES.max_values, replace=False
        )
    # Overlaps of ±1 weights are multiples of 2/N apart.
    modes = count_modes(
        np.r_[pairs, -pairs] if flip == "symmetric" else pairs,
        seed=run["seed"],
        resolution=2 / lattice if lattice else 0.0,
    )
    return result.assign_attrs(
        {
            "statistic": "replica overlaps",
            **source.provenance(),
            "n_weights": source.n_weights,
            "replicas": len(rows),
            "n_pairs": len(rows) * (len(rows) - 1) // 2,
            "n_triples": len(chosen),
            "modes": modes.modes,
            "modes_p_value": modes.p_value,
            "mode_test": MODE_TEST,
            "centered": int(centered),
            "flip": flip,
            "draws": draws,
            "seed": run["seed"],
        }
    )


def _check(nulls: Sequence[str], bins: Any) -> None:
    unknown = set(nulls) - set(NULLS)
    if unknown or len(set(nulls)) < len(nulls):
        raise InputError(f"nulls {tuple(nulls)} given; choose among {', '.join(NULLS)}, each once")
    edges = as_numbers(1 if bins is None else bins, "bins")
    ascend = edges.ndim == 1 and len(edges) > 1 and bool((np.diff(edges) > 0).all())
    if not np.isfinite(edges).all() or not (edges >= 1 if edges.ndim == 0 else ascend):
        raise InputError(f"bins {brief(bins)} given; a number from 1, or edges that ascend")


def _rows(source: Configurations, count: int | None, seed: int) -> Ints:
    source.require(REPLICAS.min_replicas, "overlaps of replicas")
    rows = draw_independent(source, count, stream(seed, Stream.RSB, 1 << 22))
    least, most = REPLICAS.min_replicas, REPLICAS.max_replicas
    if not least <= len(rows) <= most:
        raise InputError(
            f"{source.name}: {len(rows):,} replicas; from {least} to {most:,} are compared: pass "
            f"configurations={min(most, len(rows)):,} to draw that many at random"
        )
    return rows


def _bins(m: int) -> int:
    """Return Rice's number of bins of all pairs, odd, so that one is about zero."""
    return int(2 * (m * (m - 1) / 2) ** (1 / 3)) | 1


def _triples_of(m: int) -> int:
    return m * (m - 1) * (m - 2) // 6


def _batches(draws: list[Draw], m: int) -> Iterator[list[Draw]]:
    some = max(1, REPLICAS.null_bytes // (8 * m * m))
    for start in range(0, len(draws), some):
        yield draws[start : start + some]


def _overlaps(matrices: Floats, source: Configurations, rows: Ints, centered: bool) -> Floats:
    """Turn products into overlaps, in place."""
    if source.signs and not centered:
        matrices /= source.n_weights
        return matrices
    for matrix in matrices:
        squares = np.diag(matrix).copy()
        if (squares <= 0).any():
            row = int(rows[np.argmin(squares)])
            why = "is the mean of all" if centered else "has only zeros"
            raise InputError(f"{source.name}: configuration {row} {why}; it has no overlaps")
        length = np.sqrt(squares)
        matrix /= length
        matrix /= length[:, None]
        np.clip(matrix, -1, 1, out=matrix)
        np.fill_diagonal(matrix, 1.0)
    return matrices


def _edges(matrices: Floats, bins: int, flip: Flip, n: int) -> Floats:
    """Return edges of bins over all overlaps; n > 0: between the values that ±1 weights have."""
    low, high = np.inf, -np.inf
    for q in matrices:
        pairs = pairs_of(q, flip)
        low, high = min(low, pairs.min()), max(high, pairs.max())
    if flip == "symmetric":
        low = -high
    if not n:
        margin = 1e-9 * max(abs(low), abs(high), 1e-9) if high > low else 1e-6
        return np.linspace(low - margin, high + margin, bins + 1)
    return _between_values(n, low, high, bins)


def lattice_edges(n: int, bins: int = 51) -> Floats:
    """Return edges of at most ``bins`` bins for any overlaps of n weights ±1.

    They are between the values that q can take.

    >>> lattice_edges(4, 5).round(2).tolist()
    [-1.25, -0.75, -0.25, 0.25, 0.75, 1.25]
    """
    return _between_values(n, -1.0, 1.0, bins)


def _between_values(n: int, low: float, high: float, bins: int) -> Floats:
    values = round((high - low) * n / 2) + 1
    step = -(-values // bins)
    if step > 1 and bins % 2:  # as many values in the outer bins on both sides
        step += (step * bins - values) % 2
    indices = step * np.arange(bins + 1) - (step * bins - values) // 2
    return low + (2 * np.unique(np.clip(indices, 0, values)) - 1) / n


def over_realisations(parts: Sequence[xarray.Dataset]) -> xarray.Dataset:
    """Average results of several realisations of a system, with equal numbers of replicas and bins.

    Errors are from the spread of realisations; ``_null_std`` and ``_z`` are those of the average.
    The matrix of overlaps and its order are those of the first; modes are left out.

    Raises
    ------
    InputError
        None are given, or of different bins, replicas or nulls.
    """
    if not parts:
        raise InputError("no realisations given; at least one")
    first, count = parts[0], len(parts)
    if count == 1:
        return first
    for part in parts[1:]:
        same = part.sizes == first.sizes and np.allclose(part["left"], first["left"])
        if not same:
            raise InputError("realisations of different bins, replicas or nulls given; see bins=")
    result = first.copy()

    def every(name: str) -> Floats:
        return np.stack([part[name].values for part in parts])

    for name in ("density", "K_density", *QUANTITIES):
        values = every(name)
        mean, dims = values.mean(axis=0), first[name].dims
        result[name] = (dims, mean, first[name].attrs)
        result[f"{name}_stderr"] = (dims, values.std(axis=0, ddof=1) / np.sqrt(count))
        if f"{name}_null" not in first:
            continue
        dims = first[f"{name}_null"].dims
        null = every(f"{name}_null").mean(axis=0)
        spread = np.sqrt((every(f"{name}_null_std") ** 2).sum(axis=0)) / count
        result[f"{name}_null"], result[f"{name}_null_std"] = (dims, null), (dims, spread)
        if name in QUANTITIES:
            result[f"{name}_z"] = (dims, _z(mean, null, spread), first[f"{name}_z"].attrs)
    result.attrs = {name: value for name, value in result.attrs.items() if "mode" not in name}
    return result.assign_attrs(realisations=count)


def overlap_summary(result: xarray.Dataset) -> JsonObject:
    """Return what is printed of `replica_overlaps`."""
    shown: JsonObject = {name: result.attrs[name] for name in SUMMARY if name in result.attrs}
    nulls = names_of(result["null"]).tolist()
    for name in ("mean", "std", "mean_abs", "second_moment", "ultrametricity", "excess"):
        shown |= {n: float(result[n]) for n in (name, f"{name}_stderr") if n in result}
        shown[f"{name}_z"] = dict(zip(nulls, result[f"{name}_z"].values.tolist(), strict=True))
    return shown


def _z(value: Any, null: Floats, spread: Floats) -> Floats:
    return np.divide(value - null, spread, out=np.full(len(spread), np.nan), where=spread > 1e-12)


def _dataset(
    q: Floats,
    rows: Ints,
    edges: Floats,
    data: Measured,
    by_null: dict[Null, list[Measured]],
    flip: Flip,
) -> xarray.Dataset:
    unit = {"units": "1"}
    order = leaf_order(q if flip == "keep" else np.abs(q))
    variables: dict[str, Any] = {
        "q": (("replica", "replica_"), q, {"long_name": "overlap", **unit}),
        "leaf_order": ("replica", order),
        "row": ("replica", rows),
        "left": ("bin", edges[:-1], unit),
        "right": ("bin", edges[1:], unit),
        "density": ("bin", data.density, {"long_name": "P(q)", **unit}),
        "density_stderr": ("bin", data.density_error, unit),
        "K_density": ("K", data.K_density, {"long_name": "P(K)", **unit}),
        "K_density_stderr": ("K", data.K_error, unit),
    }
    drawn = list(by_null.values())
    for name, dim in {"density": "bin", "K_density": "K"}.items() if drawn else ():
        values = np.array([[getattr(some, name) for some in null] for null in drawn])
        variables[f"{name}_null"] = (("null", dim), values.mean(axis=1), unit)
        variables[f"{name}_null_std"] = (("null", dim), values.std(axis=1, ddof=1), unit)
    for name, meaning in QUANTITIES.items():
        value = data.scalars[name]
        variables[name] = ((), value, {"long_name": meaning, **unit})
        if name in data.scalar_errors:
            variables[f"{name}_stderr"] = ((), data.scalar_errors[name], unit)
        if not drawn:
            continue
        values = np.array([[some.scalars[name] for some in null] for null in drawn])
        mean, std = values.mean(axis=1), values.std(axis=1, ddof=1)
        variables[f"{name}_null"] = ("null", mean, unit)
        variables[f"{name}_null_std"] = ("null", std, unit)
        about = {"long_name": "standard deviations from the null"}
        variables[f"{name}_z"] = ("null", _z(value, mean, std), about)
    coordinates: dict[str, Any] = {
        "K": ("K", (K_EDGES[1:] + K_EDGES[:-1]) / 2, {"long_name": "(q_mid − q_min)/σ(q)", **unit})
    }
    if drawn:
        coordinates["null"] = ("null", np.array(list(by_null), dtype=str))
    return xarray.Dataset(variables, coordinates)
