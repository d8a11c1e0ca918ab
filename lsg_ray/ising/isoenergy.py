"""Iso-energy curves: how many configurations have the energy of a reference, at each distance.

At each distance field x the inverse temperature β is found at which the mean energy per weight is
that of the reference, e(β, x) = E(σ*)/N; then s, d and e stand on a curve of constant energy, and
ds = 2x dd along it.  Roots are bracketed in steps from the last one and found by the Illinois
method (M. Dowell, P. Jarratt, BIT 11, 168 (1971)); each solution starts from the one before, up and
down in x.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.bp import Couplings, check_iteration
from lsg_ray.ising.branch import TRUSTED, Branch
from lsg_ray.ising.entropy import (
    DIRECTIONS,
    branch_state,
    check_fields,
    check_size,
    entropy_bound,
    is_possible,
    shown,
)
from lsg_ray.ising.hysteresis import Between, add_hysteresis
from lsg_ray.ising.loops import Point, search
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.references import as_references
from lsg_ray.results.pieces import run_tasks
from lsg_ray.stage import MODEL, REFERENCES, Figure, Stage
from lsg_ray.typing import (
    Count,
    Flags,
    Floats,
    ListOf,
    ModelLike,
    Place,
    Positive,
    Progress,
    ReferencesLike,
    Several,
    Signs,
    Steps,
)

#: The paper's fields, −3 to 3 in steps of 0.05, and the authors' range of β.
FIELDS = tuple(np.round(np.arange(-60, 61) * 0.05, 10).tolist())
BETAS = (0.1, 5.0)
#: First step of ln β away from where the last roots lead, at most and at least, how it grows until
#: the root is bracketed, and shrinks where no solution converges.
FIRST_STEP, LEAST_STEP, GROWTH, SHRINK = 0.02, 1e-4, 2.0, 8.0
#: Accuracy of ln β; of the energy per weight, where the search may end, and where it has found it.
ACCURACY, EXACT, SAME = 1e-10, 1e-12, 1e-7
#: Steps of the search, at most; and of the secant method near the root.
STEPS, SECANTS = 60, 8
#: Largest step of ln β that is left to it.
REACH = 0.1
#: Slopes in ln β are differences over no less and no more than this.
CLOSEST, CLOSE = 1e-6, 1e-3
#: Below this 1 − m², a spin's total field follows the field alone.
SATURATED = 1e-10


@public
def iso_energy(
    model: ModelLike,
    references: ReferencesLike,
    fields: Steps | None = None,
    *,
    betas: Annotated[tuple[float, float], ListOf(float)] = BETAS,
    count: Count | None = None,
    tolerance: Positive = 1e-9,
    max_sweeps: Several = 5000,
    damping: float | None = None,
    pieces: Place | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Find s(d), β(d) and e(d) at the energy of each reference.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    references
        Configurations to start from: (R, N) ±1, a store (low, medium and high energy are taken), a
        result, or .npz with sigma.
    fields
        Distance fields x in nats; by default −3 to 3 in steps of 0.05.
    betas
        Range of inverse temperatures in which that of the energy is looked for.
    count
        References of each group, at most; of a store by default 20.
    tolerance
        On the largest change of a message in a sweep.
    max_sweeps
        Sweeps at each field and temperature, at most.
    damping
        Of messages; by default none, and more where they do not come to rest.
    pieces, progress
        As in `lsg_ray.entropy_scan`.

    Returns
    -------
    xarray.Dataset
        Over (reference, direction, field): ``beta``, ``d``, ``s``, ``e``, ``f``, ``bound``;
        ``exists``, whether such a β was found: else all are NaN; ``failed``, where the energy jumps
        over that of the reference, or no solution converges on the way, so that it may exist;
        ``converged``, ``residual``, ``stability``, ``stable``; ``iterations`` (solutions tried).
        Coordinate ``energy`` (reference), that of the reference.  Attributes as of
        `lsg_ray.ising.hysteresis.add_hysteresis`, and ``exists``, ``failed`` (fractions).

    Raises
    ------
    InputError
        As `lsg_ray.entropy_scan`, or a range of β that is none.

    Notes
    -----
    Some four solutions a field.

    Examples
    --------
    >>> curve = iso_energy((np.zeros((4, 4)), np.full(4, 0.5)), [[1, 1, 1, -1]], [0.0])
    >>> curve["beta"].values[0, :, 0].round(4).tolist()  # tanh(β/2) = ½
    [1.0986, 1.0986]
    """
    ising = as_model(model)
    chosen = as_references(references, ising, count)
    xs = check_fields(FIELDS if fields is None else fields)
    try:
        low, high = (float(b) for b in betas)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not 0 < low < high < np.inf:
        raise InputError(f"betas {betas} given; two positive numbers, ascending")
    check_size(ising, high, xs)
    options = _Options((low, high), tolerance, max_sweeps, damping)
    check_iteration(options.tolerance, options.max_sweeps, options.damping)
    sigma = chosen.sigma
    energy = ising.energy(sigma) / ising.n_spins
    arguments = [(sigma[r], float(energy[r]), xs, options) for r in range(len(sigma))]
    found = run_tasks(_leaf, ising, arguments, _Curve, pieces, progress)
    curve = _Curve(*(np.stack(values) for values in zip(*found, strict=True)))
    between = Between(curve.gap, curve.apart, curve.gap_field, curve.step)
    axes, nat = ("reference", "direction", "field"), {"units": "nat"}
    units = {"beta": "1", "d": "1", "exists": "1", "converged": "1", "iterations": "1",
             "residual": "1", "stability": "1", "stable": "1", "failed": "1"}  # fmt: skip
    variables: dict[str, Any] = {
        name: (axes, values, {"units": units.get(name, "nat")})
        for name, values in curve._asdict().items()
        if values.shape[1:] == (2, len(xs))
    }
    variables["bound"] = (axes, entropy_bound(curve.d), nat)
    coordinates: dict[str, Any] = {
        "reference": np.arange(len(sigma)),
        "direction": list(DIRECTIONS),
        "field": ("field", xs, {"long_name": "distance field x", **nat}),
        "energy": ("reference", energy, nat),
    }
    if chosen.group is not None:
        coordinates["group"] = ("reference", chosen.group)
    return add_hysteresis(
        xarray.Dataset(
            variables,
            coordinates,
            {
                "statistic": "iso-energy", "method": "bp", "betas": [low, high],
                "n_weights": ising.n_spins, "references": chosen.source, "tolerance": tolerance,
                "exists": float(curve.exists.mean()), "failed": float(curve.failed.mean()),
            },
        ),
        between,
    )  # fmt: skip


class _Options(NamedTuple):
    betas: tuple[float, float]
    tolerance: float
    max_sweeps: int
    damping: float | None


class _Curve(NamedTuple):
    """Around one reference, over (direction, field); of intervals the last four: `Between`."""

    beta: Floats
    d: Floats
    s: Floats
    e: Floats
    f: Floats
    exists: Flags
    converged: Flags
    iterations: NDArray[np.int32]
    residual: Floats
    stability: Floats
    stable: Flags
    failed: Flags
    gap: Floats
    apart: Floats
    gap_field: Floats
    step: Floats


def _leaf(model: IsingModel, sigma: Signs, energy: float, xs: Floats, options: _Options) -> _Curve:
    shape = (2, len(xs))
    numbers: dict[str, Any] = {name: np.full(shape, np.nan) for name in _Curve._fields}
    numbers |= {
        name: np.zeros(shape, np.bool_) for name in ("exists", "converged", "stable", "failed")
    }
    numbers["iterations"] = np.zeros(shape, np.int32)
    reference = sigma.astype(np.float64)
    points: list[list[Point]] = []
    walks = [_Walk(model, reference, energy, options, way) for way in (0, 1)]
    for way, walk in enumerate(walks):
        line: list[Point] = []
        for x in xs[:: 1 - 2 * way].tolist():
            told, point = walk.solution(x)
            line.append(point)
            for name, value in told.items():
                numbers[name][way, len(line) - 1 if way == 0 else -len(line)] = value
        points.append(line[:: 1 - 2 * way])

    def go_on(way: int, start: Point, x: float) -> Point:
        walks[way].stand_at(start)
        return walks[way].solution(x)[1]

    between = search(points[0], points[1], go_on)
    numbers |= dict(zip(("gap", "apart", "gap_field", "step"), between, strict=True))
    return _Curve(**numbers)


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


class _Walk:
    """Solutions at changing β and x around one reference."""

    def __init__(
        self, model: IsingModel, reference: Floats, energy: float, options: _Options, way: int
    ) -> None:
        self.model, self.reference, self.energy, self.options = model, reference, energy, options
        self.side = 1 - 2 * way
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

    def solution(self, x: float) -> tuple[dict[str, Any], Point]:
        """Return what `_Curve` holds of a field, and the point; of none, that it does not exist."""
        self.solved, self.tried = 0, []
        root = self.root(x)
        told: dict[str, Any] = {
            "iterations": self.solved, "exists": root is not None, "failed": self.failed,
        }  # fmt: skip
        nothing = np.full(len(self.reference), np.nan)
        if root is None:
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
        near = [one for one in self.tried if CLOSEST < abs(one[0] - c) < CLOSE]
        if not near:
            self.excess(c - CLOSE / 10, x)
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
        low, high = (float(np.log(b)) for b in self.options.betas)
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
        size = min(max(abs(change) / 4, LEAST_STEP), FIRST_STEP) if change else FIRST_STEP
        found = self._from(min(max(last + change, low), high), size, x)
        if self.failed:
            self.branch = self.fresh()
            found = self._from(low, FIRST_STEP, x)
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
        if np.abs(np.tanh(guess) - np.tanh(H)).max() > 4 * TRUSTED:
            guess = H + step * self.reference
        elif len(self.past) > 1:
            before = self.past[1]
            back = before.x - one.x
            ratio = (step / back) ** 2
            bent = ratio * (before.H - one.H - back * one.H_slope)
            if np.abs(np.tanh(guess + bent) - np.tanh(guess)).max() < TRUSTED:
                guess = guess + bent
                expected += ratio * (before.c - one.c - back * one.c_slope)
        return expected, guess

    def _by_slope(self, c: float, guess: Floats, x: float) -> float | None:
        """Return the root by Newton's and the secant method from near it; None where they fail."""
        low, high = (float(np.log(b)) for b in self.options.betas)
        slope, H_by_c = self.past[0].e_by_c, self.past[0].H_by_c
        if len(self.past) > 1 and self.past[1].e_by_c < 0:
            one, other = self.past
            ratio = (x - one.x) / (one.x - other.x)
            slope *= (one.e_by_c / other.e_by_c) ** min(max(ratio, -1.0), 1.0)
        value = self.excess(c, x, guess)
        for _ in range(SECANTS):
            if not self.rest.converged:
                return None
            if abs(value) <= EXACT:
                return c
            step = -value / slope
            if not (abs(step) <= REACH and low <= c + step <= high):
                return None
            before = value
            value = self.excess(c + step, x, self.branch.H + step * H_by_c)
            if self.rest.converged and abs(step) <= ACCURACY and abs(value) <= SAME:
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
        low, high = (float(np.log(b)) for b in self.options.betas)
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
                if abs(step) <= LEAST_STEP:
                    self.failed = True
                    return None
                # Perhaps beyond the root: back, and on in smaller steps.
                self._back_to(a, H, x)
                step /= SHRINK
                continue
            if at_a * at_b <= 0:
                return self._between(x, a, at_a, b, at_b)
            a, at_a, H, step = b, at_b, self.branch.H, GROWTH * step
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
        for _ in range(STEPS):
            c = (a * at_b - b * at_a) / (at_b - at_a) if at_b != at_a else (a + b) / 2
            at_c = self.excess(c, x)
            if abs(at_c) <= EXACT or abs(b - a) <= ACCURACY:
                self.failed = abs(at_c) > SAME
                return None if self.failed else c
            if at_c * at_b < 0:
                a, at_a = b, at_b
            else:
                at_a /= 2
            b, at_b = c, at_c
        self.failed = True
        return None


STAGE = Stage(
    "iso-energy", iso_energy, reads={"model": MODEL, "references": REFERENCES}, summary=shown,
    figures=[Figure("lsg_ray.report.figures.landscape:iso_figure", "Constant energy")],
)  # fmt: skip
