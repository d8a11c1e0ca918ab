"""Types of loss curves: how many basins a curve has, and where in them the solution is.

A curve g(λ) = L(w + λ ε) is read on a logarithmic scale, h = ln(g + f), on which the shape does
not depend on the scale of the loss.  Its minima of persistence (`persistence`) of at least τ are
*basins*; the barrier between two neighbours is the highest point between them.  The solution is at
λ = 0, which is

- a *peak* if it is between two basins, less than τ below their barrier and at least τ above both;
- else on the *floor* if it is less than τ above the minimum of its own basin;
- else on a *side*.

The names (Z. Xu, Y. Li, Z. Zhan, arXiv:2405.12493) are by basins and position: (1, floor) v-basin,
(1, side) v-side, (2, floor) w-basin, (2, peak) w-peak, (2, side) w-side, (3, floor) vvv-basin;
others are as ``4-floor``.  A curve whose range is below τ is ``flat``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.loss_landscape.curves.persistence import minima_of
from lsg_ray.typing import Floats, Ints


@dataclass(frozen=True)
class CurveConfig:
    """Scales of the classifier.

    Parameters
    ----------
    floor
        f, in nats, below which differences of the loss do not count.
    threshold
        τ, in nats of ln(g + f): least persistence of a basin.
    """

    floor: float = 1e-4
    threshold: float = float(np.log(1.25))


CURVES = CurveConfig()
#: Names by number of basins and position.
NAMES = {
    (1, "floor"): "v-basin",
    (1, "side"): "v-side",
    (2, "floor"): "w-basin",
    (2, "peak"): "w-peak",
    (2, "side"): "w-side",
    (3, "floor"): "vvv-basin",
}
#: What fractions are counted of: the names, and all others.
LABELS = (*NAMES.values(), "flat", "other")
#: Label of a curve with values that are not finite: a loss that has overflown.
UNDETERMINED = "undetermined"


class CurveType(NamedTuple):
    """Type of a curve, and what it is read from; heights are in nats of ln(g + f).

    label: its name.  position: ``floor``, ``side`` or ``peak``.  open: whether a basin's minimum is
    at an end of the curve, so that it may go on beyond.  minima (m,): points of the basins, from
    left to right; persistence (m,); barrier (m − 1,) between neighbours; contrast (m − 1,), barrier
    above the higher of the two minima.
    """

    label: str
    position: str
    open: bool
    minima: Ints
    persistence: Floats
    barrier: Floats
    contrast: Floats

    @property
    def group(self) -> str:
        """Label, or ``other``: one of `LABELS`."""
        return self.label if self.label in LABELS or self.label == UNDETERMINED else "other"


@public
def curve_type(
    loss: ArrayLike,
    center: int | None = None,
    *,
    floor: float = CURVES.floor,
    threshold: float = CURVES.threshold,
) -> CurveType:
    """Classify a loss curve.

    Parameters
    ----------
    loss
        g (points,), along increasing λ; not negative.
    center
        Number of the point λ = 0; by default the middle of an odd number of points.
    floor, threshold
        f and τ; see `CurveConfig`.

    Raises
    ------
    InputError
        An even number of points without `center`, fewer than three, or negative losses.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 41)
    >>> curve_type(x**2 + 0.01).label, curve_type(4 * (x**2 - 0.36) ** 2 + 0.01).label
    ('v-basin', 'w-peak')
    """
    g = as_numbers(loss, "loss")
    if g.ndim != 1 or len(g) < 3:
        raise InputError(f"loss of shape {g.shape} given; three points or more of one curve")
    if center is None and len(g) % 2 == 0:
        raise InputError(f"loss at {len(g)} points given; an odd number, or center, is needed")
    zero = len(g) // 2 if center is None else center
    if not 0 <= zero < len(g):
        raise InputError(f"center {zero} given; the curve has {len(g)} points, from 0")
    if (g < 0).any():
        raise InputError(f"loss {g.min():g} given; it is not negative")
    none = np.empty(0)
    if not np.isfinite(g).all():
        return CurveType(UNDETERMINED, UNDETERMINED, False, none.astype(int), none, none, none)
    h = np.log(g + floor)
    basins = minima_of(h).above(threshold)
    order = np.argsort(basins.minimum)
    minima, persistence = basins.minimum[order], basins.persistence[order]
    if np.ptp(h) < threshold or not len(minima):
        return CurveType("flat", "floor", False, none.astype(int), none, none, none)
    between = [slice(a, b + 1) for a, b in itertools.pairwise(minima)]
    barrier = np.array([h[part].max() for part in between])
    tops = np.array([part.start + h[part].argmax() for part in between], int)
    contrast = barrier - np.maximum(h[minima[:-1]], h[minima[1:]])
    position = _position(h, zero, minima, tops, threshold)
    ends = bool(minima[0] == 0 or minima[-1] == len(g) - 1)
    label = NAMES.get((len(minima), position), f"{len(minima)}-{position}")
    return CurveType(label, position, ends, minima, persistence, barrier, contrast)


def _position(h: Floats, zero: int, minima: Ints, tops: Ints, threshold: float) -> str:
    """Return where a point is, given the basins and the highest points between them."""
    right = int(np.searchsorted(minima, zero, side="left"))
    if 0 < right < len(minima) and minima[right] != zero:
        sides = h[minima[right - 1 : right + 1]]
        if h[tops[right - 1]] - h[zero] < threshold and (h[zero] - sides >= threshold).all():
            return "peak"
    own = minima[np.searchsorted(tops, zero, side="left")]
    return "floor" if h[zero] - h[own] < threshold else "side"
