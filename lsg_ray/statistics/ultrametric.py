"""Overlaps of replicas in numbers: averages, histograms, ultrametricity, and their errors.

Of a matrix q (M, M) of overlaps; `lsg_ray.statistics.rsb` says what is measured, and why.
Errors are by the jackknife: estimates without each replica in turn.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from lsg_ray.typing import Array, Floats, Ints

Flip = Literal["keep", "symmetric", "modulo"]

#: Edges of the histogram of K.
K_EDGES = np.linspace(0.0, 5.0, 51)
#: Scalars, and what they are; the last two have no errors.
QUANTITIES = {
    "mean": "mean overlap",
    "std": "standard deviation of the overlap",
    "mean_abs": "mean of |q|",
    "second_moment": "mean of q²",
    "binder": "(3 − ⟨q⁴⟩/⟨q²⟩²)/2",
    "ultrametricity": "mean of K",
    "rammal": "Σ(d − d̂)/Σd",
    "excess": "mean of d − d̂ over σ(d)",
}


def pairs_of(q: Floats, flip: Flip) -> Floats:
    """Return the overlaps of different replicas; moduli unless ``flip`` is ``keep``."""
    pairs: Floats = q[np.triu_indices(len(q), 1)]
    return pairs if flip == "keep" else np.abs(pairs)


class Measured(NamedTuple):
    """Scalars and densities of a matrix of overlaps, and their errors (None if not asked for)."""

    scalars: dict[str, float]
    density: Floats
    K_density: Floats
    scalar_errors: dict[str, float]
    density_error: Floats | None
    K_error: Floats | None


def measured(
    q: Floats, triples: Ints, edges: Floats, flip: Flip, *, lattice: int = 0, errors: bool = False
) -> Measured:
    """Measure a matrix of overlaps (M, M).

    Parameters
    ----------
    q, flip
        Overlaps (M, M); which of q, −q and |q| count, as in `lsg_ray.statistics.rsb`.
    triples
        Triples (T, 3) of replicas.
    edges
        Edges of the bins of P(q).
    lattice
        N where overlaps are −1, −1 + 2/N, …, 1, else 0: K then has few values too, and each is
        spread evenly over the interval between it and the next ones.
    errors
        Whether to estimate errors: a histogram for each replica.
    """
    distance = q if flip == "keep" else np.abs(q)
    value = distance if flip == "modulo" else q
    moments, gaps = _moments(value, flip), _gaps(distance, triples)
    spread = _spread(distance)
    averages = _scalars(moments.all, gaps.mean(), spread.all)
    scalars = {name: float(x) for name, x in averages.items()}
    excess, d = _excess(distance)
    scalars["rammal"] = excess / d if d > 0 else 0.0
    scalars["excess"] = 2 * excess / float(spread.all) if spread.all > 0 else 0.0
    cells = _cells(gaps, float(spread.all), lattice)
    K_density = _share(np.bincount(cells.which, minlength=cells.number), cells) / np.diff(K_EDGES)
    pairs = len(q) * (len(q) - 1) / 2 * (2 if flip == "symmetric" else 1)
    if not errors:
        counts = _counts_of_pairs(value, edges, flip)
        return Measured(scalars, counts / (pairs * np.diff(edges)), K_density, {}, None, None)
    by_row = _counts(value, edges, flip)
    counts = by_row.sum(axis=0) / 2
    fewer = pairs * (1 - 2 / len(q))  # pairs without a replica
    without, K_without = _without(gaps, cells, triples, len(q))
    jack = _scalars(moments.without, without, spread.without)
    return Measured(
        scalars,
        counts / (pairs * np.diff(edges)),
        K_density,
        {name: float(_jackknife(x)) for name, x in jack.items()},
        _jackknife((counts - by_row) / (fewer * np.diff(edges))),
        _jackknife(K_without / np.diff(K_EDGES)),
    )


class _Cells(NamedTuple):
    """Cells of K that triples are counted in, and which cell each is in."""

    edges: Floats
    which: Ints

    @property
    def number(self) -> int:
        return len(self.edges) - 1


def _cells(gaps: Floats, spread: float, lattice: int) -> _Cells:
    if not spread > 0:
        return _Cells(K_EDGES, np.zeros(len(gaps), np.int64))
    if not lattice:
        edges = np.append(K_EDGES, np.inf)
        return _Cells(edges, np.digitize(gaps / spread, K_EDGES) - 1)
    which = np.rint(gaps * lattice / 2).astype(np.int64)
    # The first cell is half as wide: K is not negative.
    half = np.arange(which.max() + 2) - 0.5
    return _Cells(np.maximum(half, 0) * 2 / (lattice * spread), which)


def _share(counts: Array, cells: _Cells) -> Floats:
    """Return the shares of counts (…, cells) between `K_EDGES`: (…, bins)."""
    total = counts.sum(axis=-1, keepdims=True)
    below = np.concatenate([np.zeros_like(total), np.cumsum(counts, axis=-1)], axis=-1)
    if np.isinf(cells.edges[-1]):
        return np.diff(below / total, axis=-1)[..., :-1]
    at = np.clip(np.searchsorted(cells.edges, K_EDGES, "right") - 1, 0, cells.number - 1)
    width = np.diff(cells.edges)[at]
    inside = np.clip((K_EDGES - cells.edges[at]) / width, 0, 1)
    reached = below[..., at] + inside * (below[..., at + 1] - below[..., at])
    return np.diff(reached / total, axis=-1)


class _Means(NamedTuple):
    """Averages over all pairs, and over those without each replica."""

    all: Any
    without: Any


def _means(q: Floats, functions: list[Any]) -> _Means:
    """Average functions of the overlap over pairs: (functions,), (functions, M)."""
    m = len(q)
    rows = np.array([f(q).sum(axis=1) - f(np.diag(q)) for f in functions])
    total = rows.sum(axis=1) / 2
    without = (total[:, None] - rows) / ((m - 1) * (m - 2) / 2)
    return _Means(total / (m * (m - 1) / 2), without)


def _moments(q: Floats, flip: Flip) -> _Means:
    def odd(x: Floats) -> Floats:
        return np.zeros_like(x) if flip == "symmetric" else x

    return _means(q, [odd, np.abs, np.square, lambda x: np.square(np.square(x))])


def _spread(q: Floats) -> _Means:
    shift = q[0, 1]
    means = _means(q, [lambda x: x - shift, lambda x: np.square(x - shift)])
    return _Means(*(np.sqrt(np.maximum(x[1] - x[0] ** 2, 0)) for x in means))


def _scalars(moments: Any, gap: Any, spread: Any) -> dict[str, Any]:
    mean, modulus, second, fourth = moments
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "mean": mean,
            "std": np.sqrt(np.maximum(second - mean**2, 0)),
            "mean_abs": modulus,
            "second_moment": second,
            "binder": (3 - fourth / second**2) / 2,
            "ultrametricity": np.divide(gap, spread),
        }


def _gaps(q: Floats, triples: Ints) -> Floats:
    """Return q_mid − q_min of triples."""
    a, b, c = triples.T
    three = np.sort(np.stack([q[a, b], q[a, c], q[b, c]]), axis=0)
    return three[1] - three[0]


def _without(gaps: Floats, cells: _Cells, triples: Ints, m: int) -> tuple[Floats, Floats]:
    """Return mean gaps (M,) and shares of bins of K (M, bins) of triples without each replica."""
    of, gap_of = np.zeros(m), np.zeros(m)
    by_cell = np.zeros(m * cells.number)
    for column in triples.T:
        of += np.bincount(column, minlength=m)
        gap_of += np.bincount(column, gaps, m)
        by_cell += np.bincount(column * cells.number + cells.which, minlength=m * cells.number)
    total = np.bincount(cells.which, minlength=cells.number)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (gaps.sum() - gap_of) / (len(gaps) - of)
        return mean, _share(total - by_cell.reshape(m, cells.number), cells)


def _jackknife(without: Floats) -> Any:
    """Return the standard error from estimates without each replica, along the first axis."""
    m = len(without)
    return np.sqrt((m - 1) / m * ((without - without.mean(axis=0)) ** 2).sum(axis=0))


def _excess(q: Floats) -> tuple[float, float]:
    """Return the means over pairs of d − d̂ and of d = (1 − q)/2."""
    from fastcluster import linkage
    from scipy.cluster.hierarchy import cophenet

    d = (1 - q[np.triu_indices(len(q), 1)]) / 2
    mean = float(d.mean())
    return mean - float(cophenet(linkage(d, "single")).mean()), mean


def _counts(q: Floats, edges: Floats, flip: Flip) -> Floats:
    """Return histograms (M, bins) of the overlaps of each replica with the others."""
    m = len(q)
    histograms = np.empty((m, len(edges) - 1))
    for row in range(m):
        others = np.delete(q[row], row)
        values = np.r_[others, -others] if flip == "symmetric" else others
        histograms[row] = np.histogram(values, edges)[0]
    return histograms


def _counts_of_pairs(q: Floats, edges: Floats, flip: Flip) -> Ints:
    pairs = q[np.triu_indices(len(q), 1)]
    return np.histogram(np.r_[pairs, -pairs] if flip == "symmetric" else pairs, edges)[0]


def leaf_order(q: Floats) -> Ints:
    """Return replicas (M,) in the order of the leaves of average linkage of d = (1 − q)/2."""
    from fastcluster import linkage
    from scipy.cluster.hierarchy import leaves_list

    d = (1 - q[np.triu_indices(len(q), 1)]) / 2
    return leaves_list(linkage(d, "average")).astype(np.int64)
