"""The inverse temperature at which the mean energy is that of a reference, followed in the field.

Roots of e(β, x) − E(σ*)/N in ln β are expected along the slope of the curve, found by the secant
method, or else bracketed in steps from the last one and found by the Illinois method (M. Dowell,
P. Jarratt, BIT 11, 168 (1971)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lsg_ray.ising.bp import Couplings
from lsg_ray.ising.branch import Branch
from lsg_ray.ising.entropy import branch_state, is_possible
from lsg_ray.ising.loops import Point
from lsg_ray.ising.model import IsingModel
from lsg_ray.typing import Floats, JsonObject

#: Below this 1 − m², a spin's total field follows the field alone.
SATURATED = 1e-10


@dataclass(frozen=True)
class RootConfig:
    """How ln β of an energy is searched for."""

    #: First step away from where the last roots lead, at most and at least; how it grows until the
    #: root is bracketed, and shrinks where no solution converges.
    first_step: float = 0.02
    least_step: float = 1e-4
    growth: float = 2.0
    shrink: float = 8.0
    #: Accuracy of ln β; of the energy per weight, where the search may end, and where it has found
    #: it.
    accuracy: float = 1e-10
    exact: float = 1e-12
    same: float = 1e-7
    #: Steps of the search, at most; of the secant method near the root, and the largest of these.
    steps: int = 60
    secants: int = 8
    reach: float = 0.1
    #: Slopes in ln β are differences over no less and no more than this.
    closest: float = 1e-6
    close: float = 1e-3


ROOT = RootConfig()


class Options(NamedTuple):
    """What every task is told: the range of β, and the options of belief propagation."""

    betas: tuple[float, float]
    tolerance: float
    max_sweeps: int
    damping: float | None


#: What is not known of a field without a solution.
_NUMBERS = ("beta", "d", "s", "e", "f", "residual", "stability")


class _Root(NamedTuple):
    """A point of constant energy, and how it goes on: all that a search needs.

    x: field; c: ln β; H (N,) total fields; H_slope (N,) and c_slope, along the curve in x; H_by_c
    (N,) and e_by_c, in ln β at the field.  Slopes are NaN where they are not known.
    """

    x: float
    c: float
    H: Floats
    H_slope: Floats
    c_slope: float
    H_by_c: Floats
    e_by_c: float


class EnergyWalk:
    """Solutions at changing β and x around one reference."""

    def __init__(
        self, model: IsingModel, reference: Floats, energy: float, options: Options, way: int
    ) -> None:
        self.model, self.reference, self.energy, self.options = model, reference, energy, options
        self.side = 1 - 2 * way
        self.ends = tuple(float(np.log(b)) for b in options.betas)
        self.branch = self.fresh()
        #: New pages of memory cost more than what is written on them: couplings take turns.
        self.couplings, self.spare = (Couplings.at(model.J) for _ in range(2))
        #: The last two points of the curve, the newest first.
        self.past: list[_Root] = []
        self.solved, self.failed = 0, False
        #: Of the places tried at a field: ln β, excess of energy, total fields.
        self.tried: list[tuple[float, float, Floats]] = []

    def fresh(self) -> Branch:
        """Return a branch that knows no solution yet."""
        options = self.options
        return Branch(
            options.tolerance, options.max_sweeps, options.damping, self.side, restart=False
        )

    def stand_at(self, start: Point) -> None:
        """Go on from a solution that was found before."""
        root: _Root = start.state
        self._back_to(root.c, root.H, root.x)
        self.past = [root]

    def solution(self, x: float) -> tuple[JsonObject, Point]:
        """Return what is stored of a field, and the point; of none, that it does not exist."""
        self.solved, self.tried = 0, []
        root = self.root(x)
        told: JsonObject = dict.fromkeys(_NUMBERS, np.nan) | {
            "iterations": self.solved, "exists": root is not None, "failed": self.failed,
            "converged": False, "stable": False,
        }  # fmt: skip
        if root is None:
            nothing = np.full(len(self.reference), np.nan)
            return told, Point(x, np.nan, nothing, nothing, False, False, None)
        if self.tried[-1][0] != root:
            self.excess(root, x)
        state, rest, m = self.state, self.rest, self.branch.m
        stability = self.branch.stability(self.couplings)
        stable = stability > 0 and self.branch.minimum and is_possible(state)
        told |= dict(zip("dsef", state, strict=True))
        told |= {
            "beta": np.exp(root), "converged": rest.converged, "residual": rest.residual,
            "stability": stability, "stable": stable,
        }  # fmt: skip
        found, slope = self.tangent(x, root)
        told["iterations"] = self.solved
        self.past = [found, *self.past][:2]
        return told, Point(x, state[0], m, slope, rest.converged, stable, found)

    def tangent(self, x: float, c: float) -> tuple[_Root, Floats]:
        """Return a solution with the slopes of the curve there, and ∂m/∂x along it.

        At constant energy dc/dx = −(∂e/∂x)/(∂e/∂c), and ∂m/∂x + (∂m/∂c)(dc/dx), c = ln β.
        """
        n, beta, branch = len(self.reference), float(np.exp(c)), self.branch
        H, m = branch.H, branch.m
        m_by_x, change = branch.response(self.couplings, self.reference, beta * self.model.h)
        e_by_x = change / (beta * n)
        near = [one for one in self.tried if ROOT.closest < abs(one[0] - c) < ROOT.close]
        if not near:
            self.excess(c - ROOT.close / 10, x)
            near = self.tried[-1:] if self.rest.converged else []
            self.couplings, self.spare = self.spare, self.couplings
            branch.stand_at(x, beta * self.model.h + x * self.reference, H, self.couplings)
        unknown = np.full(n, np.nan)
        if not near:
            return _Root(x, c, H, unknown, np.nan, unknown, np.nan), unknown
        there, excess, H_there = near[-1]
        at_root = next(value for place, value, _ in reversed(self.tried) if place == c)
        H_by_c, m_by_c = (H_there - H) / (there - c), (np.tanh(H_there) - m) / (there - c)
        e_by_c = (excess - at_root) / (there - c)
        c_slope = -e_by_x / e_by_c if e_by_c < 0 else np.nan
        variance = 1 - m * m
        H_by_x = np.where(variance > SATURATED, m_by_x / np.maximum(variance, SATURATED),
                          self.reference)  # fmt: skip
        found = _Root(x, c, H, H_by_x + H_by_c * c_slope, c_slope, H_by_c, e_by_c)
        return found, m_by_x + m_by_c * c_slope

    def excess(self, c: float, x: float, guess: Floats | None = None) -> float:
        """Return e(β, x) less the energy of the reference, at ln β = c."""
        beta = float(np.exp(c))
        h = beta * self.model.h + x * self.reference
        new = Couplings.at(self.model.J, beta, over=self.spare)
        self.couplings, self.spare = new, self.couplings
        self.rest, _ = self.branch.go_to(None, h, self.couplings, guess)
        self.state = branch_state(self.branch, self.couplings, h, self.reference, x, beta)
        self.solved += 1
        found = self.state[2] - self.energy
        self.tried.append((c, found, self.branch.H))
        return found

    def root(self, x: float) -> float | None:
        """Return ln β with the energy of the reference, near where past roots lead, or None.

        Where no solution converges there, it is looked for from the highest temperature down.
        """
        self.failed = False
        low, high = self.ends
        last, change, guess = 0.0, 0.0, None
        if self.past:
            last = self.past[0].c
            expected, guess = self._expected(x)
            change = expected - last
            if np.isfinite(self.past[0].c_slope):
                found = self._by_slope(min(max(expected, low), high), guess, x)
                if found is not None:
                    return found
                self._back_to(last, self.past[0].H, self.past[0].x)
        size = ROOT.first_step
        if change:
            size = min(max(abs(change) / 4, ROOT.least_step), size)
        found = self._from(min(max(last + change, low), high), size, x)
        if self.failed:
            self.branch = self.fresh()
            found = self._from(low, ROOT.first_step, x)
        return found

    def _expected(self, x: float) -> tuple[float, Floats]:
        """Return ln β and total fields by extrapolation along the curve, as far as is trusted."""
        one = self.past[0]
        H, step = one.H, x - one.x
        if np.isnan(one.c_slope):
            earlier = self.past[1:]
            change = step * (one.c - earlier[0].c) / (one.x - earlier[0].x) if earlier else 0.0
            return one.c + change, H + step * self.reference
        expected, guess = one.c + step * one.c_slope, H + step * one.H_slope
        if np.abs(np.tanh(guess) - np.tanh(H)).max() > 4 * self.branch.config.trusted:
            guess = H + step * self.reference
        elif len(self.past) > 1:
            before = self.past[1]
            back = before.x - one.x
            ratio = (step / back) ** 2
            bent = ratio * (before.H - one.H - back * one.H_slope)
            if np.abs(np.tanh(guess + bent) - np.tanh(guess)).max() < self.branch.config.trusted:
                guess = guess + bent
                expected += ratio * (before.c - one.c - back * one.c_slope)
        return expected, guess

    def _by_slope(self, c: float, guess: Floats, x: float) -> float | None:
        """Return the root by Newton's and the secant method from near it; None where they fail."""
        low, high = self.ends
        slope, H_by_c = self.past[0].e_by_c, self.past[0].H_by_c
        if len(self.past) > 1 and self.past[1].e_by_c < 0:
            one, other = self.past
            ratio = (x - one.x) / (one.x - other.x)
            slope *= (one.e_by_c / other.e_by_c) ** min(max(ratio, -1.0), 1.0)
        value = self.excess(c, x, guess)
        for _ in range(ROOT.secants):
            if not self.rest.converged:
                return None
            if abs(value) <= ROOT.exact:
                return c
            step = -value / slope
            if not (abs(step) <= ROOT.reach and low <= c + step <= high):
                return None
            before = value
            value = self.excess(c + step, x, self.branch.H + step * H_by_c)
            if self.rest.converged and abs(step) <= ROOT.accuracy and abs(value) <= ROOT.same:
                return c + step
            if not abs(value) < abs(before) / 2:
                return None
            slope, c = (value - before) / step, c + step
            if not slope < 0:
                return None
        return None

    def _from(self, a: float, size: float, x: float) -> float | None:
        """Return the root, by steps of growing size from ln β = a towards it."""
        self.failed = False
        low, high = self.ends
        at_a, H = self.excess(a, x), self.branch.H
        if not self.rest.converged:
            self.failed = True
            return None
        if at_a == 0:
            return a
        # The energy falls as β grows.
        step = size if at_a > 0 else -size
        while low < a < high or (a == low and step > 0) or (a == high and step < 0):
            b = min(max(a + step, low), high)
            at_b = self.excess(b, x)
            if not self.rest.converged:
                if abs(step) <= ROOT.least_step:
                    self.failed = True
                    return None
                # Perhaps beyond the root: back, and on in smaller steps.
                self._back_to(a, H, x)
                step /= ROOT.shrink
                continue
            if at_a * at_b <= 0:
                return self._between(x, a, at_a, b, at_b)
            a, at_a, H, step = b, at_b, self.branch.H, ROOT.growth * step
        return None

    def _back_to(self, log_beta: float, H: Floats, x: float) -> None:
        beta = float(np.exp(log_beta))
        h = beta * self.model.h + x * self.reference
        self.couplings = Couplings.at(self.model.J, beta, over=self.couplings)
        self.branch.stand_at(x, h, H, self.couplings)

    def _between(self, x: float, a: float, at_a: float, b: float, at_b: float) -> float | None:
        """Return the root between two places of different sign, by the Illinois method.

        The energy depends on the way, so what was found at a place is kept and not asked again; if
        it jumps over that of the reference, there is no root.
        """
        for _ in range(ROOT.steps):
            c = (a * at_b - b * at_a) / (at_b - at_a) if at_b != at_a else (a + b) / 2
            at_c = self.excess(c, x)
            if abs(at_c) <= ROOT.exact or abs(b - a) <= ROOT.accuracy:
                self.failed = abs(at_c) > ROOT.same
                return None if self.failed else c
            if at_c * at_b < 0:
                a, at_a = b, at_b
            else:
                at_a /= 2
            b, at_b = c, at_c
        self.failed = True
        return None
