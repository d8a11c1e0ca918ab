"""Shapes that directions are searched for: constraints on the loss at a few points.

At points λ_k the log-loss h_k = ln(L(w + λ_k ε) + f) is at most (lo) or at least (hi) h_0 + o_k
(arXiv:2405.12493 for the types; offsets are of this package, in multiples of ln 2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsg_ray.typing import Floats

#: Numbers of a constraint: points λ, ``lo`` or ``hi``, offset in units of ln 2.
_Rule = tuple[tuple[float, ...], str, float]


class Target(NamedTuple):
    """Shape of the loss on a line (D = 1) or a plane (D = 2) through the solution.

    length: ‖ε‖ / ‖w‖.  points (K, D): λ_k.  sense (K,): +1 at most, −1 at least.  offset (K,),
    in nats.
    """

    length: float
    points: Floats
    sense: Floats
    offset: Floats


def _line(length: float, *rules: _Rule) -> Target:
    rows = [
        ((at,), 1.0 if sense == "lo" else -1.0, offset * np.log(2))
        for places, sense, offset in rules
        for at in places
    ]
    points, senses, offsets = zip(*rows, strict=True)
    return Target(length, np.array(points), np.array(senses), np.array(offsets))


def _plane(*targets: tuple[Target, float]) -> Target:
    """Put the points of lines on lines at an angle in the plane."""
    points = [line.points * [[np.cos(angle), np.sin(angle)]] for line, angle in targets]
    lines = [line for line, _ in targets]
    return Target(
        1.0,
        np.concatenate(points).round(12),
        np.concatenate([line.sense for line in lines]),
        np.concatenate([line.offset for line in lines]),
    )


_PEAK = _line(1.0, ((-0.3, 0.3), "lo", -0.25), ((-0.6, 0.6), "lo", -1.0), ((-1.0, 1.0), "hi", 0.0))
_BASIN = _line(1.0, ((-0.5, 0.5), "hi", 1.0), ((-1.0, 1.0), "hi", 2.0))
_VALLEY = _line(1.0, ((-0.3, 0.3), "lo", -0.25), ((-0.6, 0.6), "lo", -1.0))

#: Types of curves that are mined, in their order.
CURVE_TARGETS = {
    "v-basin": _BASIN,
    "v-side": _line(
        1.0, ((-0.5,), "hi", 1.0), ((0.25,), "lo", -0.5), ((0.5,), "lo", -1.0), ((1.0,), "hi", 0.0)
    ),
    "w-basin": _line(1.0, ((-0.5, 0.4), "hi", 2.0), ((0.8,), "lo", 0.0), ((1.0,), "hi", 1.0)),
    "w-peak": _PEAK,
    "vvv-basin": _line(
        2.0, ((-0.4, 0.4), "hi", 2.0), ((-0.8, 0.8), "lo", 0.0), ((-1.0, 1.0), "hi", 1.0)
    ),
}
#: Shapes of surfaces: down along one axis and up along the other; down all around, then up.
SURFACE_TARGETS = {
    "saddle": _plane((_VALLEY, 0.0), (_BASIN, np.pi / 2)),
    "bottle": _plane(*((_PEAK, angle) for angle in np.pi / 4 * np.arange(4))),
}
#: Labels of the two axes of a surface that has its shape.
SURFACE_AXES = {"saddle": ("w-peak", "v-basin"), "bottle": ("w-peak", "w-peak")}
TARGETS = CURVE_TARGETS | SURFACE_TARGETS
