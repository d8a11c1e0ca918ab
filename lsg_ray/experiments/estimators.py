"""Numbers of claims with their errors, from results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray

from lsg_ray.experiments.claim import Measured, Verdict, Within
from lsg_ray.rng import Stream, generator
from lsg_ray.typing import Array, Flags, Floats

#: Bootstrap samples of an error.
_SAMPLES = 400
#: Largest deviation of correlations of a model from those of the ensemble, by Monte Carlo: that of
#: the fits of W. Zou and H. Huang.
FITTED = 0.034


def bootstrapped(estimate: Callable[..., float], *samples: Array, note: str = "") -> Measured:
    """Return an estimate from independent samples, with its error by bootstrap over each.

    ``estimate(*samples)`` takes rows; with too few rows, below 4, the error is unknown.
    """
    value = float(estimate(*samples))
    if min(map(len, samples)) < 4:
        return Measured(value, np.nan, note)
    rng = generator(0, Stream.LANDSCAPE, 0)
    drawn = [
        estimate(*(rows[rng.integers(0, len(rows), len(rows))] for rows in samples))
        for _ in range(_SAMPLES)
    ]
    return Measured(value, float(np.std(drawn, ddof=1)), note)


def share(holds: Flags, known: Flags | None = None, note: str = "") -> Measured:
    """Return the share of independent cases in which something holds, with its error.

    The error is binomial, and at least one case: of none among n, nothing below 1/n is known.
    Cases of which it is not known count as not, and their share is an error of its own.

    >>> share(np.array([True, True, False, False]))
    Measured(value=0.5, error=0.25, note='')
    """
    count = len(holds)
    if not count:
        return Measured(np.nan, np.nan, note or "no cases")
    unknown = 0.0 if known is None else float(np.mean(~known))
    value = float(np.mean(holds))
    error = float(np.sqrt(max(value * (1 - value), 1 / count) / count))
    if unknown:
        note = f"{note} {unknown:.0%} of them not known".strip()
    return Measured(value, float(np.hypot(error, unknown)), note)


def worst(holds: Within, measured: Sequence[Measured]) -> Measured:
    """Return that of several numbers on which a claim about all of them rests.

    If one is outside of the interval, it; else one that is undetermined; else the nearest to a
    border, in standard errors.

    >>> worst(Within(low=0.0), [Measured(3.0, 0.1), Measured(0.1, 0.1), Measured(-1.0, 0.1)])
    Measured(value=-1.0, error=0.1, note='')
    """
    verdicts: tuple[Verdict, ...] = ("not reproduced", "undetermined", "reproduced")

    def rank(one: Measured) -> tuple[int, float]:
        gap = min(one.value - holds.low, holds.high - one.value) / max(one.error, 1e-300)
        return verdicts.index(holds.verdict(one)), gap if np.isfinite(gap) else -np.inf

    return min(measured, key=rank)


def couplings(model: xarray.Dataset) -> Floats:
    """Return the couplings J_ij, i < j, of an effective model."""
    j = model["J"].values
    upper: Floats = j[np.triu_indices(len(j), 1)]
    return upper


def converged(measured: Measured, *results: xarray.Dataset, flag: str = "converged") -> Measured:
    """Return a number whose error is unknown where a result has not converged."""
    if all(bool(np.all(result.attrs.get(flag, True))) for result in results):
        return measured
    return Measured(measured.value, np.nan, f"{measured.note} not converged".strip())


def of_fitted(measured: Measured, model: xarray.Dataset) -> Measured:
    """Return a number whose error is unknown where the model has not the ensemble's moments."""
    deviation = float(model.attrs.get("rms_C", np.nan))
    note = f"{measured.note}; rms C of the model {deviation:.2g}".strip("; ")
    return Measured(measured.value, measured.error if deviation <= FITTED else np.nan, note)
