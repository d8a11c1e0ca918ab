"""Means over independent solutions, and whether they rise with a parameter."""

from __future__ import annotations

import numpy as np

from lsg_ray.statistics.estimates import stderr
from lsg_ray.typing import Floats, Ints

#: Significance of the verdict on all steps together.
SIGNIFICANCE = 0.05
CRITERION = (
    "yes: no step between ratios falls, and the whole rises; no: a step falls; by Student's t over "
    f"solutions, {SIGNIFICANCE:g} for all steps together"
)


def by_units(values: Floats, unit: Ints) -> Floats:
    """Return means over the solutions of each independent unit: (…, solutions) to (…, units).

    >>> by_units(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 4])).tolist()
    [2.0, 5.0]
    """
    each = [values[..., unit == one].mean(axis=-1) for one in np.unique(unit)]
    return np.stack(each, axis=-1)


def averaged(values: Floats) -> tuple[Floats, Floats]:
    """Return the mean over the last axis and its standard error; NaN of one value."""
    if values.shape[-1] < 2:
        return values.mean(axis=-1), np.full(values.shape[:-1], np.nan)
    return values.mean(axis=-1), stderr(values, -1)


def monotone(table: Floats) -> str:
    """Return whether values (solutions, ratios) rise with the ratio: yes, no or undetermined.

    Steps between neighbouring ratios are taken within each solution; t is their mean over its
    standard error.  With t* the one-sided quantile of Student's t at which any of the steps exceeds
    it by chance in 5 % of cases (Bonferroni): ``no`` where a step has t < −t*; ``yes`` where none
    has and the whole rise has t > t*; else ``undetermined``.

    >>> monotone(np.array([[0.0, 0.1, 0.3], [0.0, 0.2, 0.3], [0.1, 0.2, 0.4]]))
    'yes'
    """
    from scipy import stats

    n, ratios = table.shape
    if n < 3 or ratios < 2 or not np.isfinite(table).all():
        return "undetermined"
    limit = stats.t.isf(SIGNIFICANCE / (ratios - 1), n - 1)

    def deviation(difference: Floats) -> Floats:
        mean, error = averaged(difference)
        signs = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
        return np.divide(mean, error, out=signs, where=error > 0)

    if (deviation(np.diff(table, axis=1).T) < -limit).any():
        return "no"
    return "yes" if deviation(table[:, -1] - table[:, 0]) > limit else "undetermined"
