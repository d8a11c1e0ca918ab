"""Loops between the fields of a scan: is a step steep, or a jump?

The step from one field to the next is *explained* if the slopes ∂m/∂x at its two ends account for
it,

    ¼ ⟨(Δm − Δx (m'₁ + m'₂)/2)²⟩ ≤ (gap/2)²    and    ¼ ⟨(Δx (m'₁ − m'₂)/2)²⟩ ≤ (gap/2)²,

means over weights.  By the Cauchy–Schwarz inequality the rest of d is then below gap/2.  Errors of
two weights do not cancel, and a slope that grows towards a jump is not accepted.
Where it is not, the field in the middle is solved for on the way up and on the way down, and both
halves are searched in the same way, until every step is explained, or the directions disagree: a
loop. Without slopes, small steps need no explanation, since the distance can only fall as the field
grows; and other intervals are cut in four, and explained if neighbouring steps differ by as little.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lsg_ray.ising.hysteresis import VERDICT, Intervals
from lsg_ray.typing import Array, Floats


@dataclass(frozen=True)
class LoopConfig:
    """When a step between two fields is searched, and how far."""

    #: Mean square change of magnetizations, over 4, that may stay unexplained; and that needs no
    #: explanation where slopes are not known.
    unexplained: float = (VERDICT.gap / 2) ** 2
    small: float = VERDICT.gap / 4
    #: Gap between the directions above what their tolerance leaves.
    faint: float = 1e-5
    #: Halvings of an interval, at most, until a step is explained; and of one with a faint gap.
    halvings: int = 24
    faint_halvings: int = 3
    #: Where an interval is cut: the next of these where a solution has not converged.
    cuts: tuple[float, ...] = (0.5, 0.4, 0.62)
    #: Solutions of one search, at most.
    solutions: int = 2000


CONFIG = LoopConfig()


class Point(NamedTuple):
    """A solution in one direction.

    x: field; d: distance, NaN if there is no solution; m (N,) and its slope ∂m/∂x, NaN if unknown;
    converged, stable; possible: whether ±1 spins have such an entropy;
    state: what a search continues from, None if there is no solution.
    """

    x: float
    d: float
    m: Floats
    slope: Floats
    converged: bool
    stable: bool
    possible: bool
    state: Any


#: Solves at a field, in a direction (0 up, 1 down), from a point.
Solve = Callable[[int, Point, float], Point]
#: Solves at the next field of a direction; returns the values to be stored, and the point.
Next = Callable[[int, float], tuple[dict[str, Any], Point]]


class Around(NamedTuple):
    """A scan around one reference.

    values: (direction, field) by name; m: (direction, field, N); between: `Intervals`, (4,
    interval).
    """

    values: dict[str, Array]
    m: Floats
    between: Floats


def both_ways(fields: Floats, solution: Next, solve: Solve) -> Around:
    """Go through ascending fields up and down, then search between them.

    Parameters
    ----------
    fields
        (F,) ascending.
    solution
        Called field after field on the way up (0), then on the way down (1).
    solve
        As of `search`.
    """
    both, points = [], []
    for way, step in ((0, 1), (1, -1)):
        rows, line = zip(*(solution(way, x) for x in fields[::step].tolist()), strict=True)
        both.append(rows[::step])
        points.append(line[::step])
    values = {name: np.array([[row[name] for row in rows] for rows in both]) for name in both[0][0]}
    values["iterations"] = values["iterations"].astype(np.int32)
    m = np.array([[point.m for point in line] for line in points])
    return Around(values, m, np.stack(search(points[0], points[1], solve)))


def search(up: Sequence[Point], down: Sequence[Point], solve: Solve) -> Intervals:
    """Search between all neighbouring fields of a scan.

    Parameters
    ----------
    up, down
        Points at ascending fields, the same for both.
    solve
        Solves at a field, from one of them.  An interval is entered from below on the way up and
        from above on the way down.
    """
    intervals = Intervals.empty((max(len(up) - 1, 0),))
    searching = _Search(solve)
    for k in range(len(up) - 1):
        ends = (up[k], up[k + 1]), (down[k], down[k + 1])
        searching.widest = _Loop()
        if not any(_differ(a, b) for a, b in zip(*ends, strict=True)):  # else the grid shows it
            searching.between(*ends, CONFIG.halvings)
        for values, value in zip(intervals, searching.widest, strict=True):
            values[k] = value
    return intervals


def _sound(up: Point, down: Point) -> bool:
    solved = up.converged and down.converged and up.possible and down.possible
    return solved and (up.stable or down.stable)


def _apart(a: Point, b: Point) -> float:
    return float(np.mean((a.m - b.m) ** 2)) / 4


def _differ(up: Point, down: Point) -> bool:
    """Return whether two solutions at a field are two, by the criterion of the verdict."""
    return _sound(up, down) and (max(abs(up.d - down.d), _apart(up, down)) > VERDICT.gap)


def _step(a: Point, b: Point) -> float:
    """Return the step of d between two fields, or that of (m − m')²/4 where it is larger."""
    return float(np.nan_to_num(max(abs(b.d - a.d), _apart(a, b))))


def _explained(a: Point, b: Point) -> bool:
    """Return whether slopes account for a step, or it is small."""
    first, last = (b.x - a.x) / 2 * a.slope, (b.x - a.x) / 2 * b.slope
    residual, change = b.m - a.m - first - last, last - first
    if np.isnan(residual).any():
        return not _step(a, b) > VERDICT.gap and not _apart(a, b) > CONFIG.small
    return bool(max(np.mean(residual**2), np.mean(change**2)) / 4 <= CONFIG.unexplained)


class _Loop(NamedTuple):
    """Widest loop and largest unexplained step of one interval, as in `Intervals`."""

    gap: float = 0.0
    separation: float = 0.0
    field: float = 0.0
    step: float = 0.0


Ends = tuple[Point, Point]
Chains = tuple[list[Point], list[Point]]


class _Search:
    """Searches one interval after another; widest is of the present one."""

    def __init__(self, solve: Solve) -> None:
        self.solve, self.solved, self.widest = solve, 0, _Loop()

    @property
    def is_loop(self) -> bool:
        return max(self.widest.gap, self.widest.separation) > VERDICT.gap

    def between(self, up: Ends, down: Ends, halvings: int) -> None:
        explained = _explained(*up) and _explained(*down)
        gap = max(max(abs(a.d - b.d), _apart(a, b)) for a, b in zip(up, down, strict=True))
        fresh = CONFIG.halvings - halvings < CONFIG.faint_halvings
        if explained and not (gap > CONFIG.faint and fresh):
            return
        sound = all(_sound(a, b) for a, b in zip(up, down, strict=True))
        if not sound or halvings <= 0 or self.solved >= CONFIG.solutions:
            if not explained:
                step = max(_step(*up), _step(*down), self.widest.step)
                self.widest = self.widest._replace(step=step)
            return
        if not explained and _unknown(up, down):
            chains = self._chains(up, down, (0.25, 0.5, 0.75))
            self._record(chains)
            if self.is_loop or (_even(chains[0]) and _even(chains[1])):
                return
            self._halve(chains, halvings - 2)
            return
        for cut in CONFIG.cuts:
            chains = self._chains(up, down, (cut,))
            if _sound(chains[0][1], chains[1][1]):
                break
        self._halve(chains, halvings - 1)

    def _chains(self, up: Ends, down: Ends, cuts: Sequence[float]) -> Chains:
        """Return points at both ends and between them, in both directions."""
        fields = [up[0].x + cut * (up[1].x - up[0].x) for cut in cuts]
        rising, falling = [up[0]], [down[1]]
        for x in fields:
            rising.append(self.solve(0, _last_sound(rising), x))
        for x in reversed(fields):
            falling.append(self.solve(1, _last_sound(falling), x))
        self.solved += 2 * len(fields)
        return [*rising, up[1]], [*falling, down[0]][::-1]

    def _record(self, chains: Chains) -> None:
        """Store the widest loop that points show."""
        for a, b in zip(*chains, strict=True):
            if _sound(a, b):
                gap, separation = abs(a.d - b.d), _apart(a, b)
                if max(gap, separation) > max(self.widest.gap, self.widest.separation):
                    self.widest = _Loop(gap, separation, a.x, self.widest.step)

    def _halve(self, chains: Chains, halvings: int) -> None:
        self._record(chains)
        if self.is_loop:
            return
        for up, down in zip(*(itertools.pairwise(chain) for chain in chains), strict=True):
            self.between(up, down, halvings)
            if self.is_loop:
                return


def _last_sound(points: Sequence[Point]) -> Point:
    """Return the last point that has converged; the first, an end of the interval, has."""
    return next(point for point in reversed(points) if point.converged and point.state is not None)


def _unknown(up: Ends, down: Ends) -> bool:
    return any(np.isnan(point.slope).any() for point in (*up, *down))


def _even(chain: Sequence[Point]) -> bool:
    """Return whether neighbouring steps of points at even distances are alike."""
    steps = np.diff([point.m for point in chain], axis=0)
    return bool((np.diff(steps, axis=0) ** 2).mean(axis=1).max() / 4 <= CONFIG.unexplained)
