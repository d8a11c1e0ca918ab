"""Numbers of entropy landscapes: which references show a transition, and how much of the bound."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray

from lsg_ray.experiments.claim import Measured, Results
from lsg_ray.experiments.estimators import bootstrapped, share
from lsg_ray.ising.hysteresis import VERDICT
from lsg_ray.results.saving import names_of
from lsg_ray.typing import Flags, Floats


def has_transition(scan: xarray.Dataset) -> tuple[Flags, Flags]:
    """Return of each reference whether the directions differ, and whether that is known.

    Without a gap, it is known that there is none where 99 % of the solutions have converged to
    stable ones, and no step of the distance is left unexplained.
    """
    broken = scan["gaps"].values > 0
    exists = scan["exists"].values if "exists" in scan else np.ones(scan["d"].shape, bool)
    known = np.ones_like(broken)
    for name in ("converged", "stable"):
        if name in scan:
            known &= _mean(scan[name], exists) >= VERDICT.converged_share
    known &= ~scan["broken"].values.any(axis=(1, 2))
    return broken, known | broken


def _mean(flags: xarray.DataArray, where: Flags) -> Floats:
    """Return the share of flags of each reference that are set, where solutions may exist."""
    total = np.maximum(where.sum(axis=(1, 2)), 1)
    averages: Floats = (flags.values & where).sum(axis=(1, 2)) / total
    return averages


def share_with_transition(scans: Sequence[xarray.Dataset], group: str | None = None) -> Measured:
    """Return the share of references around which the two directions differ.

    Those of which that is not known may all have a transition, or none: the error covers both.
    """
    broken, known = map(np.concatenate, zip(*map(has_transition, scans), strict=True))
    if group is not None:
        rows = np.concatenate([of_group(scan, group) for scan in scans])
        broken, known = broken[rows], known[rows]
    return share(broken, known)


def of_group(result: xarray.Dataset, group: str) -> Flags:
    """Return which references are of a group: low, medium or high energy."""
    rows: Flags = names_of(result["group"]) == group
    return rows


def saturation(scan: xarray.Dataset) -> Floats:
    """Return ∫ s dd / ∫ bound dd of each reference, over the distances that the scan reaches.

    1 where weights are free; NaN where solutions have not converged.
    """
    ratios = np.full(scan.sizes["reference"], np.nan)
    whole = scan["converged"].values[:, 0].mean(axis=-1) >= VERDICT.converged_share
    for r in np.flatnonzero(whole):
        d, s, bound = (scan[name].values[r, 0] for name in ("d", "s", "bound"))
        order = np.argsort(d)
        area = np.trapezoid(bound[order], d[order])
        ratios[r] = np.trapezoid(s[order], d[order]) / area if area > 0 else np.nan
    return ratios


def overfit(n_weights: int, count: int) -> float:
    """Return how much the entropy per weight of a model may be too low, as a share of ln 2.

    Of k parameters that maximise the likelihood of M configurations, the entropy is too low by
    k/2M nats (S. S. Wilks, Ann. Math. Stat. 9, 60 (1938)), with k = N(N + 1)/2.

    >>> round(overfit(225, 4000), 4)
    0.0204
    """
    return (n_weights + 1) / (4 * count * math.log(2))


def mean_saturation(results: Results, case: str, part: str, ensemble: str = "") -> Measured:
    """Return the mean saturation of a part, with its error by references and finite samples."""
    scan = results.steps[f"{case}-scan-{part}"]
    measured = bootstrapped(lambda x: float(x.mean()), saturation(scan))
    finite = overfit(scan.attrs["n_weights"], results.ensembles[ensemble or case].n_rows)
    return Measured(measured.value, float(np.hypot(measured.error, finite)))


def difference(a: Measured, *others: Measured, of: str = "max") -> Measured:
    """Return a minus the largest (``of="min"``: smallest) of others, which has its own error."""
    values = [other.value for other in others]
    chosen = others[int(np.argmax(values) if of == "max" else np.argmin(values))]
    error = float(np.hypot(a.error, chosen.error))
    if not np.isfinite(values).all():
        error = np.nan
    return Measured(a.value - chosen.value, error)


def entropy_at(scan: xarray.Dataset, distances: Floats) -> Floats:
    """Return s at distances, (reference, distance), between those of the way up; NaN beyond."""
    rows = []
    for d, s, converged in zip(
        scan["d"].values[:, 0], scan["s"].values[:, 0], scan["converged"].values[:, 0], strict=True
    ):
        d, s = d[converged], s[converged]
        order = np.argsort(d)
        if len(d) < 2:
            rows.append(np.full(len(distances), np.nan))
            continue
        rows.append(np.interp(distances, d[order], s[order], np.nan, np.nan))
    return np.array(rows)
