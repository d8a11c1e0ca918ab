"""The inverse temperature at which the mean energy is that of a reference, followed in the field.

Roots of e(β, x) − E(σ*)/N in ln β are expected along the slope of the curve, found by the secant
method, or else bracketed in steps from the last one and found by the Illinois method (M. Dowell,
P. Jarratt, BIT 11, 168 (1971)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lsg_ray.ising.branch import Branch
from lsg_ray.ising.cavity import Couplings
from lsg_ray.ising.entropy import branch_state
from lsg_ray.ising.field_scans import is_possible
from lsg_ray.ising.hysteresis import VERDICT
from lsg_ray.ising.loops import Point
from lsg_ray.ising.model import IsingModel
from lsg_ray.typing import Floats, JsonObject


@dataclass(frozen=True)
class RootConfig:
    """How ln β of an energy is searched for."""

    #: First step from the expected root, at most and at least; its growth until the root is
    #: bracketed, and its shrinkage where no solution converges.
    first_step: float = 0.02
    least_step: float = 1e-4
    growth: float = 2.0
    shrink: float = 8.0
    #: Accuracy of ln β; error of the energy per weight at which the search ends, and below which it
    #: has found the root.
    accuracy: float = 1e-10
    exact: float = 1e-12
    same: float = 1e-7
    #: Steps of the search, at most; of the secant method near the root, and the largest of these.
    steps: int = 60
    secants: int = 8
    reach: float = 0.1
    #: Smallest and largest difference of ln β that slopes are computed from.
    closest: float = 1e-6
    close: float = 1e-3
    #: 1 − m² below which a spin's total field follows the field alone.
    saturated: float = 1e-10


CONFIG = RootConfig()


class Options(NamedTuple):
    """Options of every task: the range of β, and those of belief propagation."""

    betas: tuple[float, float]
    tolerance: float
    max_sweeps: int
    damping: float | None


#: Values that are NaN at a field without a solution.
_NUMBERS = ("beta", "d", "s", "e", "f", "residual", "stability")


class _Root(NamedTuple):
    """A point of constant energy with its slopes: all that a search continues from.

    x: field; c: ln β; H (N,) total fields; H_slope (N,) and c_slope, along the curve in x; H_by_c
    (N,) and e_by_c, in ln β at the field.  Slopes are NaN where they are unknown.
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
        self.branch = self.new_branch()
        #: Two buffers that couplings take turns in: fresh memory costs more than filling it.
        self.couplings, self.spare = (Couplings.at(model.J) for _ in range(2))
        #: The last two points of the curve, the newest first.
        self.past: list[_Root] = []
        self.solved, self.failed = 0, False
        #: ln β, excess of energy and total fields of the solutions at the present field.
        self.trials: list[tuple[float, float, Floats]] = []

    def new_branch(self) -> Branch:
        """Return a branch without a solution."""
        options = self.options
        return Branch(
            options.tolerance, options.max_sweeps, options.damping, self.side, restart=False
        )

    def restore(self, start: Point) -> None:
        """Go back to an earlier solution, to continue from it."""
        root: _Root = start.state
        self._restore(root.c, root.H, root.x)
        self.past = [root]

    def solution(self, x: float) -> tuple[JsonObject, Point]:
        """Return the values to be stored of a field, and its point."""
        self.solved, self.trials = 0, []
        root = self.root(x)
        values: JsonObject = dict.fromkeys(_NUMBERS, np.nan) | {
            "iterations": self.solved,
            "exists": root is not None,
            "failed": self.failed,
            "converged": False,
            "stable": False,
        }
        if root is None:
            unknown = np.full(len(self.reference), np.nan)
            return values, Point(x, np.nan, unknown, unknown, False, False, False, None)
        if self.trials[-1][0] != root:
            self.excess(root, x)
        state, status, m = self.state, self.status, self.branch.m
        stability = self.branch.stability(self.couplings)
        stable = stability > 0 and self.branch.minimum and is_possible(state)
        values |= dict(zip("dsef", state, strict=True))
        values |= {
            "beta": np.exp(root),
            "converged": status.converged,
            "residual": status.residual,
            "stability": stability,
            "stable": stable,
        }
        end, slope = self.tangent(x, root)
        values["iterations"] = self.solved
        self.past = [end, *self.past][:2]
        possible = is_possible(state, VERDICT.gap)
        return values, Point(x, state[0], m, slope, status.converged, stable, possible, end)

    def tangent(self, x: float, c: float) -> tuple[_Root, Floats]:
        """Return a solution with the slopes of the curve there, and ∂m/∂x along it.

        At constant energy dc/dx = −(∂e/∂x)/(∂e/∂c), and ∂m/∂x + (∂m/∂c)(dc/dx), c = ln β.
        """
        n, beta, branch = len(self.reference), float(np.exp(c)), self.branch
        H, m = branch.H, branch.m
        m_by_x, change = branch.response(self.couplings, self.reference, beta * self.model.h)
        e_by_x = change / (beta * n)
        near = [trial for trial in self.trials if CONFIG.closest < abs(trial[0] - c) < CONFIG.close]
        if not near:
            self.excess(c - CONFIG.close / 10, x)
            near = self.trials[-1:] if self.status.converged else []
            self.couplings, self.spare = self.spare, self.couplings
            branch.restore(x, beta * self.model.h + x * self.reference, H, self.couplings)
        unknown = np.full(n, np.nan)
        if not near:
            return _Root(x, c, H, unknown, np.nan, unknown, np.nan), unknown
        other_c, excess, other_H = near[-1]
        at_root = next(value for log_beta, value, _ in reversed(self.trials) if log_beta == c)
        H_by_c, m_by_c = (other_H - H) / (other_c - c), (np.tanh(other_H) - m) / (other_c - c)
        e_by_c = (excess - at_root) / (other_c - c)
        c_slope = -e_by_x / e_by_c if e_by_c < 0 else np.nan
        variance = 1 - m * m
        responsive = m_by_x / np.maximum(variance, CONFIG.saturated)
        H_by_x = np.where(variance > CONFIG.saturated, responsive, self.reference)
        root = _Root(x, c, H, H_by_x + H_by_c * c_slope, c_slope, H_by_c, e_by_c)
        return root, m_by_x + m_by_c * c_slope

    def excess(self, c: float, x: float, guess: Floats | None = None) -> float:
        """Return e(β, x) less the energy of the reference, at ln β = c."""
        beta = float(np.exp(c))
        h = beta * self.model.h + x * self.reference
        new = Couplings.at(self.model.J, beta, over=self.spare)
        self.couplings, self.spare = new, self.couplings
        self.status, _ = self.branch.go_to(None, h, self.couplings, guess)
        self.state = branch_state(self.branch, self.couplings, h, self.reference, x, beta)
        self.solved += 1
        excess = self.state[2] - self.energy
        self.trials.append((c, excess, self.branch.H))
        return excess

    def root(self, x: float) -> float | None:
        """Return ln β with the energy of the reference, searched near its extrapolation, or None.

        Where no solution converges there, it is searched from the highest temperature down.
        """
        self.failed = False
        low, high = self.ends
        last, change, guess = 0.0, 0.0, None
        if self.past:
            last = self.past[0].c
            expected, guess = self._expected(x)
            change = expected - last
            if np.isfinite(self.past[0].c_slope):
                root = self._by_slope(min(max(expected, low), high), guess, x)
                if root is not None:
                    return root
                self._restore(last, self.past[0].H, self.past[0].x)
        size = CONFIG.first_step
        if change:
            size = min(max(abs(change) / 4, CONFIG.least_step), size)
        root = self._from(min(max(last + change, low), high), size, x)
        if self.failed:
            self.branch = self.new_branch()
            root = self._from(low, CONFIG.first_step, x)
        return root

    def _expected(self, x: float) -> tuple[float, Floats]:
        """Return ln β and total fields, extrapolated along the curve where that is accurate."""
        last = self.past[0]
        H, step = last.H, x - last.x
        if np.isnan(last.c_slope):
            earlier = self.past[1:]
            change = step * (last.c - earlier[0].c) / (last.x - earlier[0].x) if earlier else 0.0
            return last.c + change, H + step * self.reference
        expected, guess = last.c + step * last.c_slope, H + step * last.H_slope
        if np.abs(np.tanh(guess) - np.tanh(H)).max() > 4 * self.branch.config.trusted:
            guess = H + step * self.reference
        elif len(self.past) > 1:
            before = self.past[1]
            back = before.x - last.x
            ratio = (step / back) ** 2
            second = ratio * (before.H - last.H - back * last.H_slope)
            if np.abs(np.tanh(guess + second) - np.tanh(guess)).max() < self.branch.config.trusted:
                guess = guess + second
                expected += ratio * (before.c - last.c - back * last.c_slope)
        return expected, guess

    def _by_slope(self, c: float, guess: Floats, x: float) -> float | None:
        """Return the root by Newton's and the secant method from nearby; None where they fail."""
        low, high = self.ends
        slope, H_by_c = self.past[0].e_by_c, self.past[0].H_by_c
        if len(self.past) > 1 and self.past[1].e_by_c < 0:
            last, before = self.past
            ratio = (x - last.x) / (last.x - before.x)
            slope *= (last.e_by_c / before.e_by_c) ** min(max(ratio, -1.0), 1.0)
        value = self.excess(c, x, guess)
        for _ in range(CONFIG.secants):
            if not self.status.converged:
                return None
            if abs(value) <= CONFIG.exact:
                return c
            step = -value / slope
            if not (abs(step) <= CONFIG.reach and low <= c + step <= high):
                return None
            previous = value
            value = self.excess(c + step, x, self.branch.H + step * H_by_c)
            if self.status.converged and abs(step) <= CONFIG.accuracy and abs(value) <= CONFIG.same:
                return c + step
            if not abs(value) < abs(previous) / 2:
                return None
            slope, c = (value - previous) / step, c + step
            if not slope < 0:
                return None
        return None

    def _from(self, a: float, size: float, x: float) -> float | None:
        """Return the root, by steps of growing size from ln β = a towards it."""
        self.failed = False
        low, high = self.ends
        at_a, H = self.excess(a, x), self.branch.H
        if not self.status.converged:
            self.failed = True
            return None
        if at_a == 0:
            return a
        # The energy falls as β grows.
        step = size if at_a > 0 else -size
        while low < a < high or (a == low and step > 0) or (a == high and step < 0):
            b = min(max(a + step, low), high)
            at_b = self.excess(b, x)
            if not self.status.converged:
                if abs(step) <= CONFIG.least_step:
                    self.failed = True
                    return None
                # Perhaps beyond the root: go back, and on in smaller steps.
                self._restore(a, H, x)
                step /= CONFIG.shrink
                continue
            if at_a * at_b <= 0:
                return self._between(x, a, at_a, b, at_b)
            a, at_a, H, step = b, at_b, self.branch.H, CONFIG.growth * step
        return None

    def _restore(self, log_beta: float, H: Floats, x: float) -> None:
        beta = float(np.exp(log_beta))
        h = beta * self.model.h + x * self.reference
        self.couplings = Couplings.at(self.model.J, beta, over=self.couplings)
        self.branch.restore(x, h, H, self.couplings)

    def _between(self, x: float, a: float, at_a: float, b: float, at_b: float) -> float | None:
        """Return the root between two values of different sign, by the Illinois method.

        Solutions depend on the path to them, so none is computed twice; if the energy jumps over
        that of the reference, there is no root.
        """
        for _ in range(CONFIG.steps):
            c = (a * at_b - b * at_a) / (at_b - at_a) if at_b != at_a else (a + b) / 2
            at_c = self.excess(c, x)
            if abs(at_c) <= CONFIG.exact or abs(b - a) <= CONFIG.accuracy:
                self.failed = abs(at_c) > CONFIG.same
                return None if self.failed else c
            if at_c * at_b < 0:
                a, at_a = b, at_b
            else:
                at_a /= 2
            b, at_b = c, at_c
        self.failed = True
        return None
