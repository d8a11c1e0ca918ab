"""Survival analysis of random walks: how far a walk gets before it leaves the flat region.

A walk that is still in the flat region at its end is *right-censored*: its width is larger than the
distance that it was followed to.  Leaving such walks out makes a mean too small, and so does
counting them as they are.  Without assumptions about what was not observed, one can estimate

- the survival function S(t), the probability of a width beyond t, by E. L. Kaplan and P. Meier,
  J. Am. Stat. Assoc. 53, 457 (1958), and its median, where S falls below 1/2;
- the *restricted mean* ∫₀^τ S(t) dt = E[min(width, τ)] up to a horizon τ to which all walks were
  followed: no walk is censored before, so it is a plain mean, with a plain standard error.  It is a
  lower bound of the mean;
- the mean itself, if every walk has left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.typing import Flags, Floats

#: Confidence of each bound of a median.
MEDIAN_CONFIDENCE = 0.95


class Survival(NamedTuple):
    """Estimates of a distribution from censored samples.

    left: share of samples that are not censored; mean with its standard error, NaN unless all
    have left; restricted_mean with its standard error, E[min(·, horizon)], a lower bound of the
    mean; median, NaN where it is not reached; median_low and median_high, each beyond the true
    median with probability 0.05 at most (0 and infinity where nothing can be said).
    """

    left: float
    mean: float
    mean_stderr: float
    restricted_mean: float
    restricted_mean_stderr: float
    horizon: float
    median: float
    median_low: float
    median_high: float


@public
def survival(times: ArrayLike, followed: ArrayLike) -> Survival:
    """Estimate a distribution from samples some of which are right-censored.

    Parameters
    ----------
    times
        (groups, samples), time or distance at which each sample left; NaN if it never did.
        Samples of a group (walks from one solution) may be dependent, groups are independent;
        samples of a single group are taken as independent.
    followed
        (groups, samples), time or distance up to which each sample was, or would have been,
        followed.

    Raises
    ------
    InputError
        Shapes differ, there are no samples, or a sample left after it was followed.

    Notes
    -----
    The horizon is the smallest of ``followed``, which does not depend on ``times`` where samples
    are followed regardless of them (free walks).  Standard errors are those of means of groups.
    Bounds of the median are order statistics, by the sign test over groups: the lower with censored
    samples where they were censored, the upper with them at infinity; they hold for any
    distribution, and whatever censoring depends on.

    Examples
    --------
    >>> estimate = survival([[1.0], [2.0], [np.nan], [np.nan]], np.full((4, 1), 3.0))
    >>> estimate.left, estimate.restricted_mean, estimate.mean, estimate.median
    (0.5, 2.25, nan, nan)
    """
    from scipy import stats

    t, limit = as_numbers(times, "times"), as_numbers(followed, "followed")
    if t.ndim != 2 or t.shape != limit.shape or not t.size:
        raise InputError(
            f"times of shape {t.shape} and followed of shape {limit.shape} given; both (groups, "
            "samples), at least one"
        )
    if not np.isfinite(limit).all() or (t > limit).any():
        raise InputError("followed must be finite, and not end before a sample has left")
    gone = ~np.isnan(t)
    seen = np.where(gone, t, limit)
    horizon = float(limit.min())
    restricted, error = _mean(np.minimum(seen, horizon))
    whole = _mean(t) if gone.all() else (np.nan, np.nan)
    groups, samples = t.shape
    independent, each = (groups, samples) if groups > 1 else (samples, 1)
    # A group counts once, since its samples may all be the same.
    rank = int(stats.binom.ppf(1 - MEDIAN_CONFIDENCE, independent, 0.5)) * each
    latest = np.where(gone, t, np.inf)
    low = float(np.sort(seen, axis=None)[rank - 1]) if rank else 0.0
    high = float(np.sort(latest, axis=None)[-rank]) if rank else np.inf
    median = _median(seen, gone)
    return Survival(float(gone.mean()), *whole, restricted, error, horizon, median, low, high)


def _mean(values: Floats) -> tuple[float, float]:
    """Return the mean (groups, samples) and its standard error; NaN where there is only one."""
    independent = values.mean(axis=1) if len(values) > 1 else values[0]
    n = len(independent)
    error = float(independent.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return float(independent.mean()), error


def _median(seen: Floats, gone: Flags) -> float:
    """Return where Kaplan and Meier's estimate passes 1/2; NaN if it does not.

    If it is 1/2 between two samples, the median is halfway, as it is without censoring.
    """
    from scipy import stats

    if not gone.any():
        return float("nan")
    data = stats.CensoredData.right_censored(seen.ravel(), ~gone.ravel())
    curve = stats.ecdf(data).sf
    # Products of fractions: 1/2 holds up to rounding.
    below = curve.quantiles[curve.probabilities < 0.5 - 1e-9]
    at = curve.quantiles[np.abs(curve.probabilities - 0.5) <= 1e-9]
    if not len(below):
        return float("nan")
    return float((at[0] + below[0]) / 2 if len(at) else below[0])


def survival_variables(
    name: str, times: Floats, followed: Floats, quantity: str
) -> dict[str, tuple[str, Floats, dict[str, str]]]:
    """Return `survival` of (sigma, solution, walker) as variables over sigma, `NAME_FIELD`."""
    estimates = [survival(*samples) for samples in zip(times, followed, strict=True)]
    about = {
        "left": "share of walks that have left",
        "mean": f"mean {quantity}, if all walks have left",
        "mean_stderr": "standard error",
        "restricted_mean": f"mean of the {quantity} up to the horizon, at least",
        "restricted_mean_stderr": "standard error",
        "horizon": "all walks were followed so far",
        "median": f"median {quantity}",
        "median_low": "lower bound of the median, 95 %",
        "median_high": "upper bound of the median, 95 %",
    }
    return {
        f"{name}_{field}": ("sigma", np.array(values), {"long_name": about[field]})
        for field, values in zip(Survival._fields, zip(*estimates, strict=True), strict=True)
    }


def survival_of(walks: xarray.Dataset, name: str) -> dict[str, Survival]:
    """Return the estimates that `survival_variables` has stored in a Dataset, by σ.

    Parameters
    ----------
    walks
        Result of `lsg_ray.random_walk`.
    name
        Name of the quantity, ``flat_width`` or ``flat_steps``.
    """
    columns = [walks[f"{name}_{field}"].values.tolist() for field in Survival._fields]
    return {
        f"{sigma:g}": Survival(*row)
        for sigma, row in zip(walks["sigma"].values, zip(*columns, strict=True), strict=True)
    }


def describe(estimate: Survival) -> str:
    """Describe an estimate, with 'at least' where it is a lower bound.

    >>> describe(survival([[1.0], [2.0], [np.nan], [np.nan]], np.full((4, 1), 3.0)))
    'at least 2.25 ± 0.48 (50 % left)'
    """
    value, error = estimate.mean, estimate.mean_stderr
    bound = ""
    if np.isnan(value):
        value, error, bound = estimate.restricted_mean, estimate.restricted_mean_stderr, "at least "
    spread = "" if np.isnan(error) else f" ± {error:.2g}"
    median = "" if np.isnan(estimate.median) else f", median {estimate.median:.3g}"
    return f"{bound}{value:.3g}{spread} ({100 * estimate.left:.0f} % left{median})"
