"""Numbers of claims of solutions and their pairs, with errors over solutions.

Distances of all pairs share solutions, so that pairs are no independent samples.  The error of a
statistic of a matrix of distances is its standard deviation over random halves of the solutions
(the delete-half jackknife: J. Shao, C. F. J. Wu, Ann. Stat. 17, 1176 (1989)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray

from lsg_ray.experiments.claim import Measured
from lsg_ray.experiments.peaks import HALVES
from lsg_ray.rng import Stream, generator
from lsg_ray.statistics.gaussian import upper
from lsg_ray.statistics.hierarchy import correlation
from lsg_ray.typing import Array, Floats

#: Samples of a null hypothesis.
_NULLS = 10
#: Fewest solutions whose halves are compared.
_FEWEST = 8


def by_solution(result: xarray.Dataset, name: str) -> Floats:
    """Return a variable, solutions first, averaged over walks or repeats of each."""
    variable = result[name]
    again = [d for d in ("walker", "repeat") if d in variable.dims]
    values: Floats = variable.mean(again).transpose("solution", ...).values
    return values


def slope(x: Sequence[float] | Array, y: Sequence[float] | Array) -> float:
    """Return the slope of the least-squares line.

    >>> slope([1, 2, 3], [2, 4, 6])
    2.0
    """
    a = np.asarray(x, np.float64) - np.mean(x)
    return float(a @ np.asarray(y, np.float64) / (a @ a))


def halved(statistic: Callable[..., float], *distances: Floats, note: str = "") -> Measured:
    """Return a statistic of matrices of distances, with its error over halves of the solutions.

    Parameters
    ----------
    statistic
        Function of the matrices.
    distances
        (…, M, M) each, of ensembles that are independent of each other; matrices of the same
        solutions are stacked in one array.
    note
        What a reader should know.

    Returns
    -------
    Measured
        The statistic of all solutions; its error is unknown for fewer than 8.
    """
    value = float(statistic(*distances))
    if min(d.shape[-1] for d in distances) < _FEWEST:
        return Measured(value, np.nan, note)
    rng = generator(0, Stream.LANDSCAPE, 1)
    drawn = [statistic(*(half_of_pairs(d, rng) for d in distances)) for _ in range(HALVES)]
    return Measured(value, float(np.std(drawn, ddof=1)), note)


def half_of_pairs(distance: Floats, rng: np.random.Generator) -> Floats:
    """Return the distances (…, M/2, M/2) within a random half of the solutions."""
    count = distance.shape[-1]
    rows = rng.choice(count, count // 2, replace=False)
    half: Floats = distance[..., rows[:, None], rows]
    return half


def tree_correlation(distance: Floats) -> float:
    """Return the correlation of distances (M, M) with those in their average-linkage tree."""
    from fastcluster import linkage
    from scipy.cluster.hierarchy import cophenet
    from scipy.spatial.distance import squareform

    return correlation(distance, squareform(cophenet(linkage(upper(distance), "average"))))


def single_effects(distance: Floats) -> Floats:
    """Return the least-squares fit μ + a_i + a_j to distances of pairs: μ/2 + a_i, (M,)."""
    count = len(distance)
    sums = distance.sum(axis=1) - np.diag(distance)
    mean = sums.sum() / (count * (count - 1))
    effects: Floats = mean / 2 + (sums - (count - 1) * mean) / (count - 2)
    return effects


def hierarchy(distance: Floats, *, samples: int = _NULLS, seed: int = 0) -> float:
    """Return how much better a tree describes distances than it would without any clusters.

    Without clusters d_ij = μ + a_i + a_j + e_ij: solutions may be near or far from all others (such
    as those that were trained for longer), but no two are near for a reason of their own.  The null
    has the fitted μ and a_i, and the residuals e_ij permuted among the pairs.  The number is the
    cophenetic correlation of the distances, less its mean over samples of the null: 0 without
    clusters, and 1 at most.  Points that spread in few directions have some too: what is near zero
    is no hierarchy, what is not may be less than one.

    Source: Griffing's model of pairs, as in `lsg_ray.statistics.gaussian`.  Cost: M² log M for each
    sample.
    """
    singles = single_effects(distance)
    fit = singles + singles[:, None]
    rng = generator(seed, Stream.LANDSCAPE, 2)
    i, j = np.triu_indices(len(distance), 1)
    residual, null = upper(distance - fit), []
    for _ in range(samples):
        drawn = fit.copy()
        drawn[i, j] = drawn[j, i] = np.maximum(fit[i, j] + rng.permutation(residual), 0)
        null.append(tree_correlation(drawn))
    return tree_correlation(distance) - float(np.mean(null))


def accepted_gaussian(results: Sequence[xarray.Dataset]) -> Measured:
    """Return the smallest p-value of a Gaussian over some clusterings, times their number.

    The error is that of a share of the samples of the null, which the p-value is.
    """
    p_values = np.array([float(one.attrs["gaussian_p_value"]) for one in results])
    samples = 1 / float(results[0].attrs["min_p_value"])
    p = float(p_values.min())
    error = len(p_values) * np.sqrt(max(p * (1 - p), 1 / samples) / samples)
    largest = max(float(one.attrs["gaussian_kolmogorov"]) for one in results)
    note = f"largest difference of the distributions {largest:.3f}"
    return Measured(min(1.0, len(p_values) * p), float(error), note)
