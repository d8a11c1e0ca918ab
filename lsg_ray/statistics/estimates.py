"""Averages with their standard errors, as variables of a Dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from lsg_ray.typing import Floats


def stderr(values: Floats, axis: int) -> Floats:
    """Return the standard error of a mean along an axis of independent values."""
    return values.std(axis=axis, ddof=1) / np.sqrt(values.shape[axis])


def estimate(
    name: str, mean: Any, error: Any, long_name: str, dims: tuple[str, ...] = ("weight", "weight_")
) -> dict[str, Any]:
    """Return an average without a unit over as many of the dimensions as it has, and its error."""
    dims = dims[: np.ndim(mean)]
    return {
        name: (dims, mean, {"long_name": long_name, "units": "1"}),
        f"{name}_stderr": (dims, error, {"units": "1"}),
    }
