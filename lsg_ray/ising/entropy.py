"""The entropy landscape around references: belief propagation under a distance field.

P(σ) ∝ exp(−βE(σ) + x Σ_i σ*_i σ_i): a field x draws configurations towards a reference σ*, or away
from it.  With q = Σ σ*_i m_i / N, d = (1 − q)/2, −Nβf = log Z, and e the energy per weight without
the term in x, the number of configurations at distance d is exp(N s(d)) with

    s = −βf + βe − xq,          ds = β de + 2x dd,          s ≤ −d ln d − (1 − d) ln(1 − d)

(H. Huang, K. Y. M. Wong, Y. Kabashima, J. Phys. A 46, 375002 (2013)).  The field is swept up and
down, each solution starting from the messages of the one before: where the two directions disagree
there are two states, and the weight space is broken (`lsg_ray.ising.hysteresis`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike, NDArray

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.ising.bp import Couplings, check_iteration
from lsg_ray.ising.branch import Branch, State, bethe_entropy
from lsg_ray.ising.hysteresis import STEP, Between, add_hysteresis
from lsg_ray.ising.loops import Point, search
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.references import References, as_references
from lsg_ray.results.pieces import run_tasks
from lsg_ray.stage import MODEL, REFERENCES, Figure, Stage
from lsg_ray.typing import (
    Count,
    Flags,
    Floats,
    JsonObject,
    ModelLike,
    Natural,
    Place,
    Positive,
    Progress,
    ReferencesLike,
    Several,
    Signs,
    Steps,
)

#: The paper's fields, −3 to 3 in steps of 0.1.
FIELDS = tuple(np.round(np.arange(-30, 31) * 0.1, 10).tolist())
DIRECTIONS = ("up", "down")
#: What rounding and tolerance may do to an entropy.
ROOM = 1e-6
#: Largest field, or coupling times β, in nats.
LARGEST = 1e4
#: Leaves of a graph, at most: more references share one.
LEAVES = 4096


@public
def entropy_scan(
    model: ModelLike,
    references: ReferencesLike,
    fields: Steps | None = None,
    *,
    beta: Positive = 1.0,
    count: Count | None = None,
    tolerance: Positive = 1e-9,
    max_sweeps: Several = 5000,
    damping: float | None = None,
    refine: Natural = 0,
    magnetizations: bool = False,
    pieces: Place | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Sweep the distance field up and down around each reference.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    references
        Configurations to start from: (R, N) ±1, a store (low, medium and high energy are taken), a
        result, or .npz with sigma.
    fields
        Distance fields x in nats, in any order; by default −3 to 3 in steps of 0.1.
    beta
        Inverse temperature.
    count
        References of each group, at most; of a store by default 20.
    tolerance
        On the largest change of a message in a sweep.
    max_sweeps
        Sweeps at each field, at most.
    damping
        Of messages; by default none, and more where they do not come to rest.
    refine
        How often fields are added in the middle of intervals in which a distance changes by more
        than 0.05, and all is computed anew.
    magnetizations
        Also return m at each field.
    pieces
        Folder in which finished parts are kept until all is done: what is interrupted resumes.
    progress
        Told ``(done, in all)``.

    Returns
    -------
    xarray.Dataset
        Over (reference, direction, field): distance ``d``; ``s``, ``e``, ``f`` per weight, in nats;
        ``bound``, the entropy of all configurations at d; ``converged``, ``iterations``,
        ``residual``, ``restarted``; ``stability`` (below zero, the cavity approximation fails, see
        `Branch.stability`), ``stable`` (above zero, a minimum of the free energy, and 0 ≤ s ≤
        bound); ``d_slope`` ∂d/∂x and ``s_slope`` ∂s/∂x, by linear response (NaN at saddles, and
        where couplings are very strong).  Over (reference, field) ``separation``, mean
        (m_up − m_down)²/4; and what `add_hysteresis` tells. Attributes: ``s0``, the entropy of the
        state with the lowest free energy at x = 0, ``s0_converged``, ``s0_stable`` (if not, s0 may
        be far off, and even negative), ``converged`` (the fraction), ``hysteresis``, ``verdict``.
        Values that have not converged are those of the last messages.

    Raises
    ------
    InputError
        References or fields that cannot be used, or numbers out of range.

    Notes
    -----
    About 20 sweeps a field, 1 ns for each of their N² messages on a core, and more fields where a
    step of d is not explained by its slope (`lsg_ray.ising.loops`); 16 N² bytes a task and as much
    for the model.  Each reference and direction is a task under Dask's current scheduler.

    Examples
    --------
    >>> scan = entropy_scan((np.zeros((4, 4)), np.zeros(4)), np.ones((1, 4)), [-1, 0, 1])
    >>> scan["s"].values[0, 0].round(6).tolist(), scan.attrs["verdict"]
    ([0.365334, 0.693147, 0.365334], 'smooth')
    """
    ising = as_model(model)
    chosen = as_references(references, ising, count)
    xs = check_fields(fields)
    if not (np.isfinite(beta) and beta > 0):
        raise InputError(f"beta {beta} given; it must be positive")
    if refine < 0:
        raise InputError(f"refine {refine} given; 0 or more")
    options = _Options(beta, tolerance, max_sweeps, damping, magnetizations)
    check_iteration(options.tolerance, options.max_sweeps, options.damping)
    check_size(ising, beta, xs)
    couplings = Couplings.at(ising.J, beta)
    for round_ in range(refine + 1):
        found = _scan(ising, couplings, chosen, xs, options, pieces, progress)
        added = _steep(xs, found.d)
        if round_ == refine or not len(added):
            break
        xs = np.sort(np.concatenate([xs, added]))
    scan = _dataset(ising, chosen, xs, options, found)
    return add_hysteresis(scan, Between(found.gap, found.apart, found.gap_field, found.step))


def check_fields(fields: ArrayLike | None) -> Floats:
    """Return fields (F,), ascending.

    Raises
    ------
    InputError
        None, not finite, or twice the same.
    """
    given = as_numbers(FIELDS if fields is None else fields, "fields")
    if given.ndim != 1 or not given.size:
        raise InputError(f"fields of shape {given.shape} given; at least one number is needed")
    xs = np.sort(given)
    if not np.isfinite(xs).all():
        raise InputError(f"fields hold {xs[~np.isfinite(xs)][0]}; they must be finite")
    if (twice := xs[1:][np.diff(xs) == 0]).size:
        raise InputError(f"field {twice[0]:g} given twice")
    return xs


def check_size(model: IsingModel, beta: float, xs: Floats) -> None:
    """Refuse numbers whose entropy would be lost in rounding.

    Raises
    ------
    InputError
        Couplings or fields times β, or distance fields, above `LARGEST`.
    """
    for name, size in (
        ("couplings", beta * np.abs(model.J).max()), ("fields", beta * np.abs(model.h).max()),
        ("distance fields", np.abs(xs).max()),
    ):  # fmt: skip
        if not size <= LARGEST:
            raise InputError(f"{name} of {size:.3g} nats; at most {LARGEST:g}")


class _Options(NamedTuple):
    """What every leaf is told."""

    beta: float
    tolerance: float
    max_sweeps: int
    damping: float | None
    magnetizations: bool


class _Solved(NamedTuple):
    """Solutions over (reference, direction, field); m has another axis, weights, or none.

    ``gap``, ``apart``, ``gap_field``, ``step`` (reference, interval): see
    `lsg_ray.ising.hysteresis.Between`.
    """

    d: Floats
    s: Floats
    e: Floats
    f: Floats
    converged: Flags
    iterations: NDArray[np.int32]
    residual: Floats
    restarted: Flags
    stability: Floats
    stable: Flags
    d_slope: Floats
    s_slope: Floats
    separation: Floats
    gap: Floats
    apart: Floats
    gap_field: Floats
    step: Floats
    m: Floats


#: Those of `_Solved` that belong to `Between`, in its order; and that `_Around.solution` tells.
_BETWEEN = ("gap", "apart", "gap_field", "step")
_TOLD = (
    "d", "s", "e", "f", "converged", "iterations", "residual", "restarted", "stability", "stable",
    "d_slope", "s_slope",
)  # fmt: skip


def _scan(
    model: IsingModel,
    couplings: Couplings,
    references: References,
    xs: Floats,
    options: _Options,
    pieces: Any,
    progress: Progress | None,
) -> _Solved:
    sigma = references.sigma
    size = -(-len(sigma) // LEAVES)
    arguments = [(sigma[a : a + size], xs, options) for a in range(0, len(sigma), size)]
    found = run_tasks(_leaf, (model, couplings), arguments, _Solved, pieces, progress)
    return _Solved(*(np.concatenate(values) for values in zip(*found, strict=True)))


def _leaf(
    given: tuple[IsingModel, Couplings], sigma: Signs, xs: Floats, options: _Options
) -> _Solved:
    """Go through ascending fields up and down, for each of some references."""
    model, couplings = given
    shape, n = (len(sigma), 2, len(xs)), model.n_spins
    width = n if options.magnetizations else 0
    numbers: dict[str, Any] = {name: np.empty(shape) for name in _Solved._fields}
    for name in ("converged", "restarted", "stable"):
        numbers[name] = np.empty(shape, np.bool_)
    numbers["iterations"] = np.empty(shape, np.int32)
    numbers["separation"] = np.empty((len(sigma), len(xs)))
    for name in _BETWEEN:
        numbers[name] = np.empty((len(sigma), len(xs) - 1))
    numbers["m"] = np.empty((*shape, width))
    found = _Solved(**numbers)
    for r, reference in enumerate(sigma.astype(np.float64)):
        around = _Around(model, couplings, reference, options)
        points: list[list[Point]] = []
        for way in (0, 1):
            branch, line = around.branch(way), []
            for x in xs[:: 1 - 2 * way].tolist():
                told, point = around.solution(branch, x)
                line.append(point)
                for name, value in zip(_TOLD, told, strict=True):
                    numbers[name][r, way, len(line) - 1 if way == 0 else -len(line)] = value
            points.append(line[:: 1 - 2 * way])
        m = np.array([[point.m for point in line] for line in points])
        found.separation[r] = ((m[0] - m[1]) ** 2).mean(axis=1) / 4
        between = search(points[0], points[1], around.go_on)
        for name, values in zip(_BETWEEN, between, strict=True):
            numbers[name][r] = values
        if width:
            found.m[r] = m
    return found


class _Around:
    """Solutions around one reference."""

    def __init__(
        self, model: IsingModel, couplings: Couplings, reference: Floats, options: _Options
    ) -> None:
        self.couplings, self.reference, self.options = couplings, reference, options
        self.outside = options.beta * model.h
        self.looking = [self.branch(way) for way in (0, 1)]

    def branch(self, way: int) -> Branch:
        """Return a branch for the way up (0) or down (1)."""
        options = self.options
        return Branch(options.tolerance, options.max_sweeps, options.damping, side=1 - 2 * way)

    def solution(self, branch: Branch, x: float) -> tuple[tuple[Any, ...], Point]:
        """Solve at a field; return what `_TOLD` names, and the point."""
        beta, n = self.options.beta, len(self.reference)
        h = self.outside + x * self.reference
        rest, again = branch.go_to(x, h, self.couplings)
        state = branch_state(branch, self.couplings, h, self.reference, x, beta)
        least = branch.stability(self.couplings)
        stable = least > 0 and branch.minimum and is_possible(state)
        slope, de = branch.response(self.couplings, self.reference, self.outside)
        d_slope = -float(self.reference @ slope) / (2 * n)
        told = (*state, *rest[:3], again, least, stable, d_slope, de / n + 2 * x * d_slope)
        return told, Point(x, state[0], branch.m, slope, rest.converged, stable, branch.H)

    def go_on(self, way: int, start: Point, x: float) -> Point:
        """Solve at a field, from a point."""
        branch = self.looking[way]
        branch.stand_at(
            start.x, self.outside + start.x * self.reference, start.state, self.couplings
        )
        return self.solution(branch, x)[1]


def is_possible(state: tuple[float, float, float, float]) -> bool:
    """Return whether an entropy, of d, s, e, f, is one of ±1 spins: 0 ≤ s ≤ bound(d)."""
    return bool(-ROOM <= state[1] <= float(entropy_bound(state[0])) + ROOM)


def branch_state(
    branch: Branch, couplings: Couplings, h: Floats, reference: Floats, x: float, beta: float
) -> tuple[float, float, float, float]:
    """Return d, s, e, f of a solution with fields h = βh₀ + xσ*."""
    log_Z, exponent = branch.averages(h, couplings)
    n = len(h)
    q = float(reference @ branch.m) / n
    energy = exponent / n + x * q
    return (1 - q) / 2, log_Z / n + energy - x * q, energy / beta, -log_Z / (n * beta)


def _steep(xs: Floats, d: Floats) -> Floats:
    """Return middles of intervals in which a distance changes a lot."""
    steps = np.abs(np.diff(d, axis=2)).max(axis=(0, 1))
    return ((xs[1:] + xs[:-1]) / 2)[steps > STEP]


def _dataset(
    model: IsingModel, references: References, xs: Floats, options: _Options, found: _Solved
) -> xarray.Dataset:
    axes, nat = ("reference", "direction", "field"), {"units": "nat"}
    names = {
        "d": ("distance to the reference", "1"), "s": ("entropy per weight", "nat"),
        "e": ("energy per weight", "nat"), "f": ("free energy per weight", "nat"),
    }  # fmt: skip
    variables: dict[str, Any] = {
        name: (axes, getattr(found, name), {"long_name": long, "units": units})
        for name, (long, units) in names.items()
    }
    variables["bound"] = (axes, entropy_bound(found.d), {"long_name": "upper bound of s", **nat})
    for name in ("converged", "iterations", "residual", "restarted", "stability", "stable"):
        variables[name] = (axes, getattr(found, name))
    variables["d_slope"] = (axes, found.d_slope, {"long_name": "∂d/∂x", "units": "1/nat"})
    variables["s_slope"] = (axes, found.s_slope, {"long_name": "∂s/∂x", "units": "1"})
    variables["separation"] = (("reference", "field"), found.separation, {"units": "1"})
    if options.magnetizations:
        variables["m"] = ((*axes, "weight"), found.m, {"long_name": "magnetization", "units": "1"})
    at_zero = found.converged & (xs == 0)
    known = [
        State(f, entropy, True, stable)
        for f, entropy, stable in zip(
            found.f[at_zero].tolist(), found.s[at_zero].tolist(),
            found.stable[at_zero].tolist(), strict=True,
        )
    ]  # fmt: skip
    zero = bethe_entropy(
        model, options.beta, reference=references.sigma[0], known=known,
        tolerance=options.tolerance, max_sweeps=options.max_sweeps,
    )  # fmt: skip
    coordinates: dict[str, Any] = {
        "reference": np.arange(len(references.sigma)),
        "direction": list(DIRECTIONS),
        "field": ("field", xs, {"long_name": "distance field x", **nat}),
        "energy": ("reference", model.energy(references.sigma) / model.n_spins, nat),
    }
    if references.group is not None:
        coordinates["group"] = ("reference", references.group)
    return xarray.Dataset(
        variables,
        coordinates,
        {
            "statistic": "entropy scan", "method": "bp", "beta": options.beta,
            "n_weights": model.n_spins, "references": references.source,
            "tolerance": options.tolerance, "max_sweeps": options.max_sweeps,
            "s0": zero.s, "s0_converged": int(zero.converged), "s0_stable": int(zero.stable),
        },
    )  # fmt: skip


def entropy_bound(d: ArrayLike) -> Floats:
    """Return −d ln d − (1 − d) ln(1 − d), the entropy per weight of all configurations at d.

    Examples
    --------
    >>> entropy_bound([0, 0.5]).round(4).tolist()
    [0.0, 0.6931]
    """
    from scipy.special import entr

    p = np.clip(as_numbers(d, "d"), 0, 1)
    return entr(p) + entr(1 - p)


def shown(found: xarray.Dataset) -> JsonObject:
    """Return what a person is shown of a scan."""
    names = (
        "verdict", "hysteresis", "discontinuities", "jump", "s0", "s0_stderr", "s0_stable",
        "converged", "stable", "exists", "largest_step", "unexplained_step",
    )  # fmt: skip
    about = found.attrs
    return {
        **{name: about[name] for name in names if name in about},
        "references": found.sizes["reference"], "fields": found.sizes["field"],
        "n_weights": about["n_weights"], "method": about["method"],
    }  # fmt: skip


STAGE = Stage(
    "scan", entropy_scan, reads={"model": MODEL, "references": REFERENCES}, summary=shown,
    figures=[
        Figure("lsg_ray.report.figures.landscape:scan_figure", "Entropy landscape", together=True)
    ],
)  # fmt: skip
