"""The curve s(d) of a scan, between its fields.

Linear response gives d'(x) and s'(x) at every field, so both are known to third order in between
(cubic Hermite polynomials), and s as a function of d with them.  Across a jump there is no curve.
"""

from __future__ import annotations

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.typing import Count

#: Largest share of a step of d that the mean slope at its ends may miss, to be interpolated by.
TRUSTED_SLOPE_ERROR = 0.2


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
        has both and they account for most of the step of d; else straight lines.  NaN inside
        intervals that are ``broken``: by a jump, a loop, or a step that nothing explains.

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
    rises = {name: np.diff(scan[name].values, axis=2)[..., None] / width for name in "ds"}
    known = {name: scan[f"{name}_slope"].values for name in "ds" if f"{name}_slope" in scan}
    unknown = np.full(scan["d"].shape, np.nan)
    slopes = known if len(known) == 2 else dict.fromkeys("ds", unknown)
    ends = {name: (v[..., :-1, None], v[..., 1:, None]) for name, v in slopes.items()}
    both = np.isfinite(ends["d"][0] + ends["d"][1] + ends["s"][0] + ends["s"][1])
    missed = np.abs(rises["d"] - (ends["d"][0] + ends["d"][1]) / 2)
    both &= missed <= TRUSTED_SLOPE_ERROR * np.abs(rises["d"])
    broken = scan["broken"].values[..., None] if "broken" in scan else np.zeros_like(both)
    curve = {}
    for name, rise in rises.items():
        values = scan[name].values
        first, last = (np.where(both, end, rise) for end in ends[name])
        inside = values[..., :-1, None] + width * (
            t * rise + t * (1 - t) * ((1 - t) * (first - rise) - t * (last - rise))
        )
        inside[np.broadcast_to(broken, inside.shape) & (t > 0)] = np.nan
        line = inside.reshape(*values.shape[:2], -1)
        curve[name] = (
            ("reference", "direction", "field"),
            np.concatenate([line, values[..., -1:]], axis=2),
            scan[name].attrs,
        )
    return xarray.Dataset(curve, {"field": ("field", fields, scan["field"].attrs)})
