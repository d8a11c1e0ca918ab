"""Averages with their standard errors, as variables of a Dataset."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.typing import Floats, Variables


def stderr(values: Floats, axis: int) -> Floats:
    """Return the standard error of a mean along an axis of independent values."""
    return values.std(axis=axis, ddof=1) / np.sqrt(values.shape[axis])


def averaged(table: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard error over rows, without those that are NaN; NaN of too few."""
    good = np.isfinite(table)
    count = good.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(good, table, 0).sum(axis=0) / count
        square = np.where(good, (table - mean) ** 2, 0).sum(axis=0)
        return mean, np.sqrt(square / (count - 1) / count)


def estimate(
    name: str,
    mean: ArrayLike,
    error: ArrayLike,
    long_name: str,
    dims: tuple[str, ...] = ("weight", "weight_"),
) -> Variables:
    """Return an average without a unit over as many of the dimensions as it has, and its error."""
    dims = dims[: np.ndim(mean)]
    return {
        name: (dims, mean, {"long_name": long_name, "units": "1"}),
        f"{name}_stderr": (dims, error, {"units": "1"}),
    }
