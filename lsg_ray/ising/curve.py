"""The curve s(d) between the fields of a scan.

Slopes are known at every field, so that coarse fields make no corners: between two of them the
curve is a cubic Hermite polynomial, whose error falls as the fourth power of their distance.  With
ds = β de + 2x dd, and x the distance field,

    at one temperature    d'(x) by linear response, s'(x) = β e'(x) + 2x d'(x),
    at one energy         ds/dd = 2x.

Across a jump there is no curve; where a slope is unknown, or does not account for the step to the
next field, the line is straight.
"""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.typing import Count, Flags, Floats

#: Largest share of a step of d that the mean slope at its ends may miss, to be interpolated by.
TRUSTED_SLOPE_ERROR = 0.2
#: Rounding error of a slope ds/dd, of distances that hardly differ.
_SLOPE_ROUNDING = 1e-6


@public
def entropy_curve(scan: xarray.Dataset, points: Count = 8) -> xarray.Dataset:
    """Return d and s of a scan at more fields.

    Parameters
    ----------
    scan
        Result of `lsg_ray.entropy_scan`, or another with ``d``, ``s`` (reference, direction,
        field).
    points
        Number of points of each interval between two fields, its first field included.

    Returns
    -------
    xarray.Dataset
        ``d``, ``s`` (reference, direction, field): by ``d_slope`` and ``s_slope``, where the scan
        has both, they account for most of the step of d, which falls, and both ends have converged
        to stable solutions; else straight lines.  Without ``s_slope``, as of Monte Carlo, it
        follows from ``d_slope`` and differences of ``e``.  NaN inside intervals that are
        ``broken``: by a jump, a loop, or a step that nothing explains.

    Raises
    ------
    InputError
        ``points`` is below 1.

    Examples
    --------
    >>> from lsg_ray.ising.entropy import entropy_scan
    >>> from lsg_ray.ising.field_scans import entropy_bound
    >>> scan = entropy_scan((np.zeros((4, 4)), np.zeros(4)), np.ones((1, 4)), np.arange(-6, 7) / 2)
    >>> curve = entropy_curve(scan)
    >>> bool(np.abs(curve["s"] - entropy_bound(curve["d"])).max() < 0.005)
    True
    """
    x = scan["field"].values
    width = np.diff(x)[:, None]
    t = np.arange(points) / points
    fields = np.r_[(x[:-1, None] + width * t).ravel(), x[-1:]]
    broken = _broken(scan)
    slopes = _slopes(scan, broken)
    rises = {name: np.diff(scan[name].values, axis=2)[..., None] / width for name in "ds"}
    ends = {name: (v[..., :-1, None], v[..., 1:, None]) for name, v in slopes.items()}
    known = np.isfinite(ends["d"][0] + ends["d"][1] + ends["s"][0] + ends["s"][1])
    # Within the error, neither slope is above 2.4 times the mean one: d falls all the way.
    known &= (ends["d"][0] <= 0) & (ends["d"][1] <= 0) & _sound(scan)[..., None]
    missed = np.abs(rises["d"] - (ends["d"][0] + ends["d"][1]) / 2)
    known &= missed <= TRUSTED_SLOPE_ERROR * np.abs(rises["d"])
    curve = {}
    for name, rise in rises.items():
        first, last = (np.where(known, end, rise) for end in ends[name])
        line = _hermite(scan[name].values, width, (first, rise, last), t, broken)
        curve[name] = (("reference", "direction", "field"), line, scan[name].attrs)
    return xarray.Dataset(curve, {"field": ("field", fields, scan["field"].attrs)})


def constant_energy_curve(curve: xarray.Dataset, points: Count = 8) -> tuple[Floats, Floats]:
    """Return d and s of a result of `lsg_ray.iso_energy` at more points.

    Returns
    -------
    d, s (reference, direction, point) by ds/dd = 2x, NaN where the curve does not exist, or inside
    intervals that are ``broken``.
    """
    slope = np.broadcast_to(2 * curve["field"].values, curve["d"].shape)
    return through_slopes(
        curve["d"].values, curve["s"].values, slope, points, _sound(curve), _broken(curve)
    )


def through_slopes(
    d: Floats,
    s: Floats,
    slope: Floats,
    points: int = 8,
    sound: Flags | None = None,
    broken: Flags | None = None,
) -> tuple[Floats, Floats]:
    """Return more points of a curve s(d) whose slopes are known.

    Parameters
    ----------
    d, s, slope
        (..., F) points, monotonic in d along the last axis, and ds/dd there.
    points
        Number of points of each interval, its first end included.
    sound
        (..., F − 1) intervals whose ends can be trusted; by default all.
    broken
        (..., F − 1) intervals inside which there is no curve; by default none.

    Returns
    -------
    d, s (..., points (F − 1) + 1): cubic where the mean slope of an interval lies between those at
    its ends, as of every concave curve; else straight.
    """
    t = np.arange(points) / points
    width = np.diff(d)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.diff(s)[..., None] / width
    ends = slope[..., :-1, None], slope[..., 1:, None]
    between = (rise >= np.minimum(*ends) - _SLOPE_ROUNDING) & (
        rise <= np.maximum(*ends) + _SLOPE_ROUNDING
    )
    if sound is not None:
        between &= sound[..., None]
    first, last = (np.where(between, end, rise) for end in ends)
    absent = np.zeros(width.shape[:-1], np.bool_) if broken is None else broken
    return (
        _hermite(d, width, (np.ones_like(rise),) * 3, t, absent),
        _hermite(s, width, (first, np.where(width == 0, 0.0, rise), last), t, absent),
    )


def _hermite(
    values: Floats, width: Floats, slopes: tuple[Floats, Floats, Floats], t: Floats, broken: Flags
) -> Floats:
    """Return cubic polynomials through values (..., F): at shares t of every interval, and the end.

    width: (..., F − 1, 1) of intervals; slopes: at their first end, mean, and at their last end.
    """
    first, rise, last = slopes
    bend = (1 - t) * (first - rise) - t * (last - rise)
    inside = values[..., :-1, None] + width * (t * rise + t * (1 - t) * bend)
    inside[np.broadcast_to(broken[..., None], inside.shape)] = np.nan
    inside[..., 0] = values[..., :-1]  # also where the next value is NaN
    line = inside.reshape(*values.shape[:-1], inside.shape[-2] * inside.shape[-1])
    return np.concatenate([line, values[..., -1:]], axis=-1)


def _broken(scan: xarray.Dataset) -> Flags:
    """Return in which intervals (reference, direction, F − 1) there is a jump, or may be one."""
    if "broken" in scan:
        return scan["broken"].values.astype(np.bool_)
    return np.zeros_like(scan["d"].values[..., 1:], np.bool_)


def _sound(scan: xarray.Dataset) -> Flags:
    """Return which intervals have converged, stable solutions at both ends."""
    sound = np.ones(scan["d"].shape, np.bool_)
    for name in ("converged", "stable"):
        if name in scan:
            sound &= scan[name].values.astype(np.bool_)
    return sound[..., :-1] & sound[..., 1:]


def _slopes(scan: xarray.Dataset, broken: Flags) -> dict[str, Floats]:
    """Return ∂d/∂x and ∂s/∂x (reference, direction, field), NaN where they are unknown."""
    unknown = np.full(scan["d"].shape, np.nan)
    if "d_slope" not in scan:
        return {"d": unknown, "s": unknown}
    d_slope = scan["d_slope"].values
    if "s_slope" in scan:
        return {"d": d_slope, "s": scan["s_slope"].values}
    if "e" not in scan or "beta" not in scan.attrs:
        return {"d": unknown, "s": unknown}
    x = scan["field"].values
    e_slope = _differences(x, scan["e"].values, broken)
    return {"d": d_slope, "s": scan.attrs["beta"] * e_slope + 2 * x * d_slope}


def _differences(x: Floats, values: Floats, broken: Flags) -> Floats:
    """Return slopes (..., F) by parabolas through neighbours, or one of them where others break."""
    width = np.diff(x)
    rates = np.where(broken, np.nan, np.diff(values, axis=-1) / width)
    outside = np.full((*values.shape[:-1], 1), np.nan)
    left, right = (np.concatenate(pair, axis=-1) for pair in ((outside, rates), (rates, outside)))
    before, after = np.r_[0.0, width], np.r_[width, 0.0]
    both = (after * left + before * right) / np.maximum(before + after, np.finfo(float).tiny)
    one = np.where(np.isnan(left), right, left)
    return np.where(np.isnan(both), one, both)
