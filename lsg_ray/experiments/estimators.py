"""Numbers of claims with their errors, from results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray

from lsg_ray.experiments.claim import Measured, Results, Verdict, Within
from lsg_ray.rng import Stream, generator
from lsg_ray.typing import Array, Flags, Floats

#: Bootstrap samples of an error.
_SAMPLES = 400


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
    """Return a number whose error is unknown unless the flags of all results are set."""
    if all(bool(np.all(result.attrs.get(flag, False))) for result in results):
        return measured
    return Measured(measured.value, np.nan, f"{measured.note}; not converged".strip("; "))


def of_fitted(measured: Measured, *models: xarray.Dataset) -> Measured:
    """Return a number of fitted models, whose error is unknown unless all have converged.

    The rule for all claims on models: see `lsg_ray.experiments.claim`.  The note has the largest
    root mean square deviation of their correlations from the ensemble's, by the chains of the
    check, or else by the method itself, and why a model has not converged.

    >>> model = xarray.Dataset(attrs={"converged": 0, "reason": "too few steps", "rms_C": 0.02})
    >>> of_fitted(Measured(1.0, 0.1), model)
    Measured(value=1.0, error=nan, note='rms C of the model 0.02; not converged: too few steps')
    """
    about = [model.attrs for model in models]
    deviations = [one.get("rms_C", one.get("rms_C_method", np.nan)) for one in about]
    failed = [one.get("reason", "") for one in about if not one.get("converged", False)]
    notes = [measured.note]
    if not np.isnan(deviations).all():
        which = "the model" if len(models) == 1 else "models up to"
        notes.append(f"rms C of {which} {np.nanmax(deviations):.2g}")
    if failed:
        reasons = ", ".join(dict.fromkeys(filter(None, failed)))
        notes.append(f"not converged: {reasons}" if reasons else "not converged")
    error = np.nan if failed else measured.error
    return Measured(measured.value, error, "; ".join(filter(None, notes)))


def of_steps(measure: Callable[[Results], Measured], *names: str) -> Callable[[Results], Measured]:
    """Return a measure whose error is unknown unless the models of some steps have converged."""
    return lambda results: of_fitted(measure(results), *(results.steps[name] for name in names))
