"""Iso-energy curves: how many configurations have the energy of a reference, at each distance.

At each distance field x the inverse temperature β is found at which the mean energy per weight is
that of the reference, e(β, x) = E(σ*)/N; then s, d and e stand on a curve of constant energy, and
ds = 2x dd along it.  Roots are bracketed in steps from the last one and found by the Illinois
method (M. Dowell, P. Jarratt, BIT 11, 168 (1971)); each solution starts from the one before, up and
down in x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike, NDArray

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.bp import Couplings, check_iteration
from lsg_ray.ising.branch import Branch
from lsg_ray.ising.entropy import (
    DIRECTIONS,
    branch_state,
    check_fields,
    check_size,
    entropy_bound,
    is_possible,
)
from lsg_ray.ising.hysteresis import Between, add_hysteresis
from lsg_ray.ising.loops import Point, search
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.references import as_references
from lsg_ray.statistics.graph import share
from lsg_ray.statistics.pieces import compute_pieces

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

#: The paper's fields, −3 to 3 in steps of 0.05, and the authors' range of β.
FIELDS = tuple(np.round(np.arange(-60, 61) * 0.05, 10).tolist())
BETAS = (0.1, 5.0)
#: First step of ln β away from where the last roots lead, at most and at least, how it grows until
#: the root is bracketed, and shrinks where no solution converges.
FIRST_STEP, LEAST_STEP, GROWTH, SHRINK = 0.02, 1e-4, 2.0, 8.0
#: Accuracy of ln β; of the energy per weight, where the search may end, and where it has found it.
ACCURACY, EXACT, SAME = 1e-10, 1e-12, 1e-7
#: Steps of the search, at most.
STEPS = 60


@public
def iso_energy(
    model: Any,
    references: Any,
    fields: ArrayLike | None = None,
    *,
    betas: tuple[float, float] = BETAS,
    count: int | None = None,
    tolerance: float = 1e-9,
    max_sweeps: int = 5000,
    damping: float | None = None,
    pieces: Any = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Find s(d), β(d) and e(d) at the energy of each reference.

    Parameters
    ----------
    model, references, count, tolerance, max_sweeps, damping, pieces, progress
        As in `lsg_ray.entropy_scan`.
    fields
        (F,) distance fields; by default −3 to 3 in steps of 0.05.
    betas
        Range of inverse temperatures in which a root is looked for.

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
    About eight solutions a field.

    Examples
    --------
    >>> curve = iso_energy((np.zeros((4, 4)), np.full(4, 0.5)), [[1, 1, 1, -1]], [0.0])
    >>> curve["beta"].values[0, :, 0].round(4).tolist()  # tanh(β/2) = ½
    [1.0986, 1.0986]
    """
    import dask

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
    leaf, given = dask.delayed(_leaf, pure=False), share(ising)
    leaves = [leaf(given, sigma[r], float(energy[r]), xs, options) for r in range(len(sigma))]
    fingerprint = (ising.J, ising.h, sigma, xs, repr(options))
    found = compute_pieces(leaves, _Curve, pieces, fingerprint, progress)
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
    exists: NDArray[np.bool_]
    converged: NDArray[np.bool_]
    iterations: NDArray[np.int32]
    residual: Floats
    stability: Floats
    stable: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    gap: Floats
    apart: Floats
    gap_field: Floats
    step: Floats


def _leaf(
    model: IsingModel, sigma: NDArray[np.int8], energy: float, xs: Floats, options: _Options
) -> _Curve:
    shape = (2, len(xs))
    numbers: dict[str, Any] = {name: np.full(shape, np.nan) for name in _Curve._fields}
    numbers |= {
        name: np.zeros(shape, np.bool_) for name in ("exists", "converged", "stable", "failed")
    }
    numbers["iterations"] = np.zeros(shape, np.int32)
    reference = sigma.astype(np.float64)
    points: list[list[Point]] = []
    for way in (0, 1):
        walk = _Walk(model, reference, energy, options, way)
        line: list[Point] = []
        for x in xs[:: 1 - 2 * way].tolist():
            told, point = walk.solution(x)
            line.append(point)
            for name, value in told.items():
                numbers[name][way, len(line) - 1 if way == 0 else -len(line)] = value
        points.append(line[:: 1 - 2 * way])

    def go_on(way: int, start: Point, x: float) -> Point:
        walk = _Walk(model, reference, energy, options, way)
        walk.stand_at(start)
        return walk.solution(x)[1]

    between = search(points[0], points[1], go_on)
    numbers |= dict(zip(("gap", "apart", "gap_field", "step"), between, strict=True))
    return _Curve(**numbers)


class _Walk:
    """Solutions at changing β and x around one reference."""

    def __init__(
        self, model: IsingModel, reference: Floats, energy: float, options: _Options, way: int
    ) -> None:
        self.model, self.reference, self.energy, self.options = model, reference, energy, options
        self.side = 1 - 2 * way
        self.branch = self.fresh()
        self.roots: list[float] = []
        self.solved, self.failed = 0, False

    def fresh(self) -> Branch:
        """Return a branch that knows no solution yet."""
        options = self.options
        return Branch(
            options.tolerance, options.max_sweeps, options.damping, self.side, restart=False
        )

    def stand_at(self, start: Point) -> None:
        """Go on from a solution that was found before."""
        H, root = start.state
        self._back_to(root, H, start.x)
        self.roots = [root]

    def solution(self, x: float) -> tuple[dict[str, Any], Point]:
        """Return what `_Curve` holds of a field, and the point; of none, that it does not exist."""
        root = self.root(x)
        told: dict[str, Any] = {
            "iterations": self.solved, "exists": root is not None, "failed": self.failed,
        }  # fmt: skip
        nothing = np.full(len(self.reference), np.nan)
        if root is None:
            return told, Point(x, np.nan, nothing, nothing, False, False, None)
        self.roots.append(root)
        self.excess(root, x)
        stability = self.branch.stability(self.couplings)
        stable = stability > 0 and self.branch.minimum and is_possible(self.state)
        told |= dict(zip("dsef", self.state, strict=True))
        told |= {
            "beta": np.exp(root), "converged": self.rest.converged, "residual": self.rest.residual,
            "stability": stability, "stable": stable,
        }  # fmt: skip
        state = (self.branch.H, root)
        d, m = self.state[0], self.branch.m
        return told, Point(x, d, m, nothing, self.rest.converged, stable, state)

    def excess(self, log_beta: float, x: float) -> float:
        """Return e(β, x) less the energy of the reference."""
        beta = float(np.exp(log_beta))
        h = beta * self.model.h + x * self.reference
        self.couplings = Couplings.at(self.model.J, beta)
        self.rest, _ = self.branch.go_to(None, h, self.couplings)
        self.state = branch_state(self.branch, self.couplings, h, self.reference, x, beta)
        self.solved += 1
        return self.state[2] - self.energy

    def root(self, x: float) -> float | None:
        """Return ln β with the energy of the reference, near where past roots lead, or None.

        Where no solution converges there, it is looked for from the highest temperature down.
        """
        self.solved = 0
        past = self.roots
        last = past[-1] if past else 0.0
        change = past[-1] - past[-2] if len(past) > 1 else 0.0
        low, high = (float(np.log(b)) for b in self.options.betas)
        size = min(max(abs(change) / 4, LEAST_STEP), FIRST_STEP) if change else FIRST_STEP
        found = self._from(min(max(last + change, low), high), size, x)
        if self.failed:
            self.branch = self.fresh()
            found = self._from(low, FIRST_STEP, x)
        return found

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
        self.branch.stand_at(x, h, H, Couplings.at(self.model.J, beta))

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
