"""Whether an entropy landscape is smooth or broken, by the two directions of a scan.

In a mean-field theory a first-order transition shows as metastability: for a range of fields there
are two solutions, the way up follows one and the way down the other, and each jumps at the end of
its own.  The criterion is the gap between the two distances at the same field, where both have
converged to an entropy that ±1 spins can have; a steep but continuous change has none.  Two states
at the same distance, such as those of opposite magnetization around a reference that has none, show
in their magnetizations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray

from lsg_ray.typing import Flags, Floats


@dataclass(frozen=True)
class VerdictConfig:
    """What makes an entropy landscape first-order, or smooth."""

    #: Gap of distances between the directions above which a transition is of first order.
    gap: float = 0.01
    #: Change of a distance from one field to the next that calls for more fields in between.
    steep: float = 0.05
    #: Fields of both signs, at least, of a smooth one.
    min_fields: int = 3
    #: Standard errors by which a gap exceeds the noise of Monte Carlo.
    gap_sigmas: float = 5.0
    #: Share of solutions that must have converged of a smooth one.
    converged_share: float = 0.99


VERDICT = VerdictConfig()
#: Stored beside a verdict.
CRITERION = (
    f"first-order: the two directions differ by more than {VERDICT.gap:g}, in d or in mean "
    "(m − m')²/4, at a field where both have converged to possible entropies and one is stable; "
    f"smooth: nowhere over at least {VERDICT.min_fields} fields of both signs, "
    f"{VERDICT.converged_share:.0%} have converged to stable solutions, and no step of d above "
    f"{VERDICT.gap:g} is unexplained; else undetermined"
)


class Intervals(NamedTuple):
    """Results of a search between neighbouring fields, over intervals; zero where nothing is there.

    gap: between the directions, in d; separation: in mean (m − m')²/4; field: where; step: largest
    unexplained one of d (or of (m − m')²/4).
    """

    gap: Floats
    separation: Floats
    field: Floats
    step: Floats

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Intervals:
        """Return intervals without loops or steps."""
        return cls(*(np.zeros(shape) for _ in cls._fields))


def add_hysteresis(scan: xarray.Dataset, between: Intervals | None = None) -> xarray.Dataset:
    """Return a scan with hysteresis, jumps and a verdict.

    Parameters
    ----------
    scan
        ``d``, ``converged`` and ``stable`` (reference, direction, field), ``separation``
        (reference, field); directions up, down.  With ``s`` and ``bound``, impossible entropies
        count as not converged.
        With ``exists`` and ``failed``, only fields count where either holds in a direction; with
        ``d_stderr``, only gaps of more than five of them.
    between
        Results of a search between neighbouring fields of each reference (R, F − 1): without them,
        ``d_slope`` of the scan has to explain the steps, or else their neighbours.

    Returns
    -------
    xarray.Dataset
        Also ``hysteresis`` (reference), the largest gap of d between the directions among fields
        where both have converged, s is possible, and one is stable, NaN if there is none, at
        ``hysteresis_field``;
        ``gaps`` (reference), how many separate ranges of fields have one; over (reference,
        direction) ``jump``, the largest change of d between neighbouring fields at the end of such
        a range, and ``discontinuities``, their number; ``broken`` (reference, direction, interval),
        where there is a jump, a loop or an unexplained step between two fields. Attributes:
        ``hysteresis``, ``jump``, ``discontinuities`` (the largest of all references), ``converged``
        and ``stable`` (fractions), ``largest_step`` (of d from one field to the next),
        ``unexplained_step`` (the largest that is neither explained nor a loop: a finer grid may
        resolve it), ``verdict``: first-order, smooth, or undetermined where too few have converged,
        or are stable, or a step is unexplained; and ``criterion``.
    """
    d, converged = scan["d"].values, scan["converged"].values.astype(bool)
    stable = scan["stable"].values.astype(bool) if "stable" in scan else np.ones_like(converged)
    # Of two solutions at the same field, one at least must be stable, and none impossible.
    both: Flags = np.all(converged & _possible(scan), axis=1) & np.any(stable, axis=1)
    gap = np.where(both, np.abs(d[:, 0] - d[:, 1]), np.nan)
    reach = np.where(both, gap, -np.inf)
    largest = np.nanmax(reach, axis=1, initial=-np.inf)
    where = scan["field"].values[np.argmax(reach, axis=1)]
    known = np.isfinite(largest)
    noise = np.zeros(gap.shape)
    if "d_stderr" in scan:
        noise = VERDICT.gap_sigmas * np.sqrt((scan["d_stderr"].values ** 2).sum(axis=1))
    broken = np.nan_to_num(gap) > np.maximum(VERDICT.gap, noise)
    steps = np.nan_to_num(np.abs(np.diff(d, axis=2)))
    jumps = _jumps(steps, broken)
    count = (jumps > 0).sum(axis=2)
    gaps = (np.diff(broken.astype(np.int8), axis=1, prepend=0) == 1).sum(axis=1)
    if between is None:
        between = Intervals.empty((len(d), steps.shape[2]))
        between.step[:] = _unexplained(scan, steps, both, broken)
    hidden = np.maximum(between.gap, between.separation) > VERDICT.gap
    for r, k in np.argwhere(between.gap > VERDICT.gap).tolist():
        gaps[r], count[r] = gaps[r] + 1, count[r] + 1
        jumps[r, :, k] = np.maximum(jumps[r, :, k], between.gap[r, k])
        if not largest[r] > between.gap[r, k]:
            largest[r], where[r] = between.gap[r, k], between.field[r, k]
    converged_share, stable_share = _shares(scan, converged, stable)
    unexplained = float(between.step.max(initial=0.0))
    apart = np.where(both, scan["separation"].values, 0.0) if "separation" in scan else np.zeros(1)
    smooth = _is_whole(scan) and min(converged_share, stable_share) >= VERDICT.converged_share
    smooth &= unexplained <= VERDICT.gap
    first_order = broken.any() or hidden.any() or apart.max() > VERDICT.gap
    attributes: dict[str, Any] = {
        "hysteresis": float(largest.max()) if known.any() else float("nan"),
        "jump": float(jumps.max(initial=0.0)),
        "discontinuities": int(count.max(initial=0)),
        "largest_step": float(steps.max(initial=0.0)),
        "unexplained_step": unexplained,
        "converged": converged_share,
        "stable": stable_share,
        "verdict": "first-order" if first_order else "smooth" if smooth else "undetermined",
        "criterion": CRITERION,
    }
    unit, here = {"units": "1"}, (jumps > 0) | (hidden | (between.step > 0))[:, None]
    return scan.assign(
        hysteresis=("reference", np.where(known, largest, np.nan), unit),
        hysteresis_field=("reference", np.where(known, where, np.nan), {"units": "nat"}),
        gaps=("reference", gaps),
        jump=(("reference", "direction"), jumps.max(axis=2, initial=0.0), unit),
        broken=(("reference", "direction", "interval"), here),
        discontinuities=(("reference", "direction"), count),
    ).assign_attrs(attributes)


def _possible(scan: xarray.Dataset) -> Flags:
    """Return where the entropy is one of ±1 spins, 0 ≤ s ≤ bound, but for the gap of a verdict.

    Where it is far from that, the approximation has failed, and the solution is none.  Monte Carlo
    says by itself what is known of an entropy.
    """
    if not {"s", "bound"} <= set(scan) or "s_stderr" in scan:
        return np.ones(scan["d"].shape, bool)
    s, bound = scan["s"].values, scan["bound"].values
    possible: Flags = (s >= -VERDICT.gap) & (s <= bound + VERDICT.gap)
    return possible


def _shares(scan: xarray.Dataset, converged: Flags, stable: Flags) -> tuple[float, float]:
    """Return the shares of the solutions that may exist which have converged, and are stable."""
    real = np.ones_like(converged)
    if "exists" in scan:
        tried = (scan["exists"].values | scan["failed"].values).any(axis=1)
        real = np.broadcast_to(tried[:, None], converged.shape)
    if not real.any():
        return 0.0, 0.0
    return float(converged[real].mean()), float(stable[real].mean())


def _is_whole(scan: xarray.Dataset) -> bool:
    """Return whether each reference has solutions at enough fields of both signs."""
    x = scan["field"].values
    there = scan["exists"] if "exists" in scan else xarray.ones_like(scan["d"], bool)
    known = [x[row] for row in np.any(there.values, axis=1)]
    return all(len(xs) >= VERDICT.min_fields and xs[0] < 0 < xs[-1] for xs in known)


def _jumps(steps: Floats, broken: Flags) -> Floats:
    """Return sizes of discontinuities, (reference, direction, intervals), 0 where there is none.

    One of two solutions jumps where their gap opens or closes; the one that changes more.
    """
    ends = np.diff(broken.astype(np.int8), axis=1) != 0
    more = steps > steps[:, ::-1]
    return np.where(ends[:, None] & more, steps, 0.0)


def _unexplained(scan: xarray.Dataset, steps: Floats, both: Flags, broken: Flags) -> Floats:
    """Return steps of d (R, F − 1) that are larger than the gap and are not explained.

    The mean slope of d at both ends, ``d_slope``, explains a step, or else the mean step, in the
    same direction, of the two intervals beside.  Steps at fields with a gap do not count.
    """
    x, d = scan["field"].values, scan["d"].values
    width = np.diff(x)
    if "d_slope" in scan:
        slope = scan["d_slope"].values
        expected = width * (slope[..., 1:] + slope[..., :-1]) / 2
    else:
        rates = np.diff(d, axis=2) / width
        beside = np.stack([np.roll(rates, 1, axis=2), np.roll(rates, -1, axis=2)])
        if rates.shape[2]:
            beside[0, ..., 0], beside[1, ..., -1] = np.nan, np.nan
        with np.errstate(invalid="ignore"):
            expected = width * np.where(
                np.isnan(beside).any(axis=0), np.nansum(beside, axis=0), beside.mean(axis=0)
            )
    tolerance = np.full(expected.shape, VERDICT.gap)
    if "d_stderr" in scan:
        error = scan["d_stderr"].values
        tolerance = tolerance + VERDICT.gap_sigmas * np.hypot(error[..., 1:], error[..., :-1])
    residual = np.abs(np.diff(d, axis=2) - expected)
    largest = np.where((steps > tolerance) & ~(residual <= tolerance), steps, 0.0).max(axis=1)
    shows = broken[:, 1:] | broken[:, :-1]
    known = both[:, 1:] & both[:, :-1]
    return np.where(shows | ~known, 0.0, largest)
