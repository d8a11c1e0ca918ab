"""Rank correlations between measures of the same configurations, with errors.

Spearman's ρ, of ranks with ties at their mean, and Kendall's τ_b.  Errors are bootstrapped:
configurations are drawn with replacement within each ensemble, so that each algorithm keeps its
share, and so are the patterns of a test set that all configurations have in common: it could favour
one algorithm by chance, which no number of configurations would show.  A correlation within
`DEVIATION` errors of zero, or of fewer than eight configurations, is undetermined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.stats import rankdata

from lsg_ray.statistics.estimates import averaged
from lsg_ray.typing import Flags, Floats, Ints

#: Least |ρ|/error, and least number of rows, at which a correlation is significant.  Ranks of few
#: algorithms are coarse: of tables of 2 to 6 algorithms on random labels, at most 6 % have test
#: errors that correlate beyond 3.5 errors with something that differs between algorithms (200
#: tables of each kind; beyond 2 errors 20 %).
DEVIATION, FEWEST = 3.5, 8


def spearman_matrix(values: Floats) -> Floats:
    """Return Spearman's ρ of the columns of values (rows, Q), without rows that lack a value.

    >>> spearman_matrix(np.array([[1.0, 1.0], [2.0, 8.0], [3.0, 27.0]]))[0].round(9).tolist()
    [1.0, 1.0]
    """
    return _pairwise(values, lambda columns: rankdata(columns, axis=0) - (len(columns) + 1) / 2)


def kendall_matrix(values: Floats) -> Floats:
    """Return Kendall's τ_b of the columns of values (rows, Q), likewise."""

    def signs(columns: Floats) -> Floats:
        order = np.sign(columns[:, None] - columns[None])
        return order.reshape(-1, columns.shape[1])

    return _pairwise(values, signs)


def _pairwise(values: Floats, scores: Callable[[Floats], Floats]) -> Floats:
    """Return the cosines between the scores of columns; NaN of those without variation."""
    good = np.isfinite(values)
    if good.all():
        return _cosines(scores(values))
    width = values.shape[1]
    cosines = np.full((width, width), np.nan)
    for one in range(width):
        for other in range(one, width):
            rows = good[:, one] & good[:, other]
            if rows.sum() > 1:
                pair = _cosines(scores(values[rows][:, [one, other]]))
                cosines[one, other] = cosines[other, one] = pair[0, 1]
    return cosines


def _cosines(scores: Floats) -> Floats:
    gram = scores.T @ scores
    norm = np.sqrt(np.diag(gram))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.outer(norm, norm) > 0, gram / np.outer(norm, norm), np.nan)


def with_errors(
    values: Floats,
    owner: Ints,
    samples: int,
    rng: np.random.Generator,
    wrong: Mapping[int, Flags] | None = None,
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Return Spearman's and Kendall's matrices, each with its errors.

    Parameters
    ----------
    values
        Measures (rows, Q).
    owner
        Ensemble of each row.
    samples
        Number of bootstrap samples.
    rng
        What draws them.
    wrong
        By column that is a share of wrong patterns, which are wrong (rows, T): they are drawn too.

    Notes
    -----
    Errors are standard deviations over bootstrap samples of rows, drawn within each ensemble, and
    of patterns.  rows × T flop a sample beside the matrices.
    """
    groups = [np.flatnonzero(owner == one) for one in np.unique(owner)]
    drawn: list[list[Floats]] = [[], []]
    for _ in range(samples):
        rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
        sample = values[rows]
        for column, patterns in (wrong or {}).items():
            count = patterns.shape[1]
            shares = rng.multinomial(count, np.full(count, 1 / count)) / count
            sample[:, column] = (patterns @ shares)[rows]
        for matrices, matrix in zip(drawn, (spearman_matrix, kendall_matrix), strict=True):
            matrices.append(matrix(sample))
    results = []
    for matrices, matrix in zip(drawn, (spearman_matrix, kendall_matrix), strict=True):
        all_ = np.stack(matrices)
        _, error = averaged(all_.reshape(samples, -1))
        count = np.isfinite(all_).sum(axis=0)
        results.append((matrix(values), error.reshape(count.shape) * np.sqrt(count)))
    return results[0], results[1]


def is_determined(value: float, error: float, rows: int) -> bool:
    """Return whether a rank correlation over that many rows differs from zero."""
    return rows >= FEWEST and abs(value) > DEVIATION * error


def correlation_words(value: float, error: float, rows: int) -> str:
    """Return a correlation with its error, and whether it is undetermined.

    >>> correlation_words(0.3, 0.2, 20), correlation_words(-0.9, 0.05, 20)
    ('0.300 ± 0.2, undetermined', '-0.900 ± 0.05')
    """
    if not (np.isfinite(value) and np.isfinite(error)):
        return "none: no variation"
    mark = "" if is_determined(value, error, rows) else ", undetermined"
    return f"{value:.3f} ± {error:.2g}{mark}"
