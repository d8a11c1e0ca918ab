"""Loops between the fields of a scan: is a step of the distance steep, or a jump?

Along a branch of minima the distance falls as the field grows, so where both directions agree at
two fields, a loop between them is no wider than the step of d there: steps below the gap that
counts hide nothing.  A larger step is *explained* if the slopes at its two ends account for it, for
then nothing is left for a jump:

    |Δd − Δx (d'₁ + d'₂)/2| ≤ GAP/4    and    |Δx (d'₁ − d'₂)/2| ≤ GAP/2.

Where it is not, the field in the middle is solved for on the way up and on the way down, and both
halves are looked at in the same way, until every step is explained, or the directions disagree: a
loop.  Without slopes, an interval is cut in four, and explained if neighbouring steps differ by no
more than GAP/4.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.ising.hysteresis import GAP, Between

Floats = NDArray[np.float64]

#: Share of the gap that may stay unexplained, and that slopes may vary by over a step.
LEFT, VARIES = 0.25, 0.5
#: Gap between the directions that is more than what their tolerance leaves.
FAINT = 1e-5
#: Halvings of an interval, at most, until a step is explained; and of one with a faint gap.
HALVINGS, FAINT_HALVINGS = 24, 3
#: Solutions of one search, at most.
MOST = 2000


class Point(NamedTuple):
    """A solution in one direction.

    x: field; d, slope: distance and ∂d/∂x, NaN if unknown; m: (N,); converged, stable; state: what
    a search can go on from.
    """

    x: float
    d: float
    slope: float
    m: Floats
    converged: bool
    stable: bool
    state: Any


#: Solves at a field, in a direction (0 up, 1 down), going on from a point.
Solve = Callable[[int, Point, float], Point]


def gap_of(up: Point, down: Point) -> float:
    """Return by how much two solutions at a field differ, in d or in mean (m − m')²/4."""
    return max(abs(up.d - down.d), float(np.mean((up.m - down.m) ** 2)) / 4)


def search(up: Sequence[Point], down: Sequence[Point], solve: Solve) -> Between:
    """Look between all neighbouring fields of a scan.

    Parameters
    ----------
    up, down
        Points at ascending fields, the same for both.
    solve
        How to go on from one of them.  An interval is entered from below on the way up and from
        above on the way down.
    """
    found = Between.nothing((max(len(up) - 1, 0),))
    looking = _Search(solve)
    for k in range(len(up) - 1):
        ends = (up[k], up[k + 1]), (down[k], down[k + 1])
        if any(gap_of(a, b) > GAP and _sound(a, b) for a, b in zip(*ends, strict=True)):
            continue  # it shows on the grid
        looking.gap, looking.field, looking.step = 0.0, 0.0, 0.0
        looking.between(*ends, HALVINGS)
        found.gap[k], found.field[k], found.step[k] = looking.gap, looking.field, looking.step
    return found


def _sound(up: Point, down: Point) -> bool:
    return up.converged and down.converged and (up.stable or down.stable)


def _step(a: Point, b: Point) -> float:
    return float(np.nan_to_num(abs(b.d - a.d)))


def _explained(a: Point, b: Point) -> bool:
    """Return whether slopes account for a step."""
    if _step(a, b) <= GAP:
        return True
    h = b.x - a.x
    left = abs(b.d - a.d - h * (a.slope + b.slope) / 2)
    return bool(left <= LEFT * GAP and abs(h * (a.slope - b.slope)) / 2 <= VARIES * GAP)


Ends = tuple[Point, Point]


class _Search:
    """Looks into one interval after another; gap, field, step are those of the present one."""

    def __init__(self, solve: Solve) -> None:
        self.solve, self.solved = solve, 0
        self.gap, self.field, self.step = 0.0, 0.0, 0.0

    def between(self, up: Ends, down: Ends, halvings: int) -> None:
        faint = max(gap_of(a, b) for a, b in zip(up, down, strict=True)) > FAINT
        explained = _explained(*up) and _explained(*down)
        if explained and not (faint and halvings > HALVINGS - FAINT_HALVINGS):
            return
        width = max(_step(*up), _step(*down))
        if (
            not all(_sound(a, b) for a, b in zip(up, down, strict=True))
            or halvings == 0
            or self.solved >= MOST
        ):
            if not explained:
                self.step = max(self.step, width)
            return
        if not explained and np.isnan(up[0].slope + up[1].slope + down[0].slope + down[1].slope):
            self._in_four(up, down, halvings - 2)
        else:
            middle = (up[0].x + up[1].x) / 2
            self._go_on(self._chain(up, down, [middle]), halvings - 1)

    def _in_four(self, up: Ends, down: Ends, halvings: int) -> None:
        fields = np.linspace(up[0].x, up[1].x, 5)[1:-1].tolist()
        chains = self._chain(up, down, fields)
        steps = [np.diff([point.d for point in chain]) for chain in chains]
        even = all(np.abs(np.diff(some)).max() <= LEFT * GAP for some in steps)
        if not even or self._largest(chains) > GAP:
            self._go_on(chains, max(halvings, 0))

    def _chain(
        self, up: Ends, down: Ends, fields: Sequence[float]
    ) -> tuple[list[Point], list[Point]]:
        """Return points at both ends and at fields between them, in both directions."""
        rising, falling = [up[0]], [down[1]]
        for x in fields:
            rising.append(self.solve(0, rising[-1], x))
        for x in reversed(fields):
            falling.append(self.solve(1, falling[-1], x))
        self.solved += 2 * len(fields)
        return [*rising, up[1]], [*falling, down[0]][::-1]

    def _largest(self, chains: tuple[list[Point], list[Point]]) -> float:
        """Note the largest gap of some points, and return it."""
        for a, b in zip(*chains, strict=True):
            if _sound(a, b) and (gap := gap_of(a, b)) > self.gap:
                self.gap, self.field = gap, a.x
        return self.gap

    def _go_on(self, chains: tuple[list[Point], list[Point]], halvings: int) -> None:
        if self._largest(chains) > GAP:
            return
        for up, down in zip(*(itertools.pairwise(chain) for chain in chains), strict=True):
            self.between(up, down, halvings)
            if self.gap > GAP:
                return
