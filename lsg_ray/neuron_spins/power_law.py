"""Fit of T(t) = a + c t^α, and slopes of logarithms.

For a given α the fit is linear in a and c, so only α is searched (variable projection).  How good
it is is told by networks: each is fitted alone, and errors are over them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from lsg_ray.typing import Floats

#: Exponents that are searched; at an end of the range the exponent is not determined.
EXPONENTS = (0.01, 3.0)
#: Fewest points of a fit: one more than its parameters.
MIN_POINTS = 4
_NONE = float("nan")


class PowerLaw(NamedTuple):
    """T = a + c t^α with the root mean square of what is left; NaN where there are too few points.

    determined: whether α is inside `EXPONENTS`.
    """

    a: float
    c: float
    exponent: float
    residual: float
    determined: bool


def fit_power_law(t: Floats, T: Floats) -> PowerLaw:
    """Fit a + c t^α by least squares to points with t > 0.

    Parameters
    ----------
    t, T
        (n,); NaN are left out.

    Examples
    --------
    >>> t = np.geomspace(1, 1000, 9)
    >>> fit = fit_power_law(t, 1.0 + 0.3 * t**0.25)
    >>> round(fit.exponent, 4), round(fit.a, 3), round(fit.c, 3)
    (0.25, 1.0, 0.3)
    """
    good = np.isfinite(T) & np.isfinite(t) & (t > 0)
    if good.sum() < MIN_POINTS:
        return PowerLaw(_NONE, _NONE, _NONE, _NONE, False)
    x, y = t[good], T[good]

    def solved(exponent: float) -> tuple[Floats, float]:
        table = np.stack([np.ones_like(x), (x / x.max()) ** exponent], axis=1)
        parameters = np.linalg.lstsq(table, y, rcond=None)[0]
        return parameters, float(np.mean((table @ parameters - y) ** 2))

    low, high = np.log(EXPONENTS)
    grid = np.linspace(low, high, 60)
    best = int(np.argmin([solved(np.exp(g))[1] for g in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, 59)])
    found = minimize_scalar(
        lambda g: solved(np.exp(g))[1], bounds=bounds, method="bounded", options={"xatol": 1e-7}
    )
    exponent = float(np.exp(found.x))
    (a, c), square = solved(exponent)
    determined = 0 < best < 59
    return PowerLaw(float(a), float(c / x.max() ** exponent), exponent, square**0.5, determined)


def log_slope(t: Floats, T: Floats) -> float:
    """Return the slope of ln T against ln t, of points where both are positive; NaN of too few.

    >>> round(log_slope(np.array([1.0, 10.0, 100.0]), np.array([1.0, 2.0, 4.0])), 4)
    0.301
    """
    with np.errstate(invalid="ignore"):
        good = (T > 0) & (t > 0)
    if good.sum() < 3:
        return _NONE
    return float(np.polyfit(np.log(t[good]), np.log(T[good]), 1)[0])
