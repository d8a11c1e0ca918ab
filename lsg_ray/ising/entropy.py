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

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike, NDArray

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.ising.bp import Couplings
from lsg_ray.ising.branch import Branch, State, bethe_entropy
from lsg_ray.ising.hysteresis import STEEP, Between, add_hysteresis
from lsg_ray.ising.loops import Point, both_ways
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.references import References, as_references
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.results.records import joined, stacked
from lsg_ray.stage import MODEL, REFERENCES, Figure, Stage
from lsg_ray.typing import (
    Array,
    Count,
    Flags,
    Floats,
    JsonObject,
    ModelLike,
    Natural,
    PathOrUrl,
    Positive,
    Progress,
    ReferencesLike,
    Several,
    Share,
    Signs,
    Steps,
)

#: The paper's fields, −3 to 3 in steps of 0.1.
FIELDS = tuple(np.round(np.arange(-30, 31) * 0.1, 10).tolist())
AXES, DIRECTIONS = ("reference", "direction", "field"), ("up", "down")
#: Names and units of what a scan holds; of other numbers, 1.
LABELS = {
    "d": ("distance to the reference", "1"), "s": ("entropy per weight", "nat"),
    "e": ("energy per weight", "nat"), "f": ("free energy per weight", "nat"),
    "bound": ("upper bound of s", "nat"), "d_slope": ("∂d/∂x", "1/nat"), "s_slope": ("∂s/∂x", "1"),
    "beta": ("inverse temperature", "1"),
}  # fmt: skip
#: What rounding and tolerance may do to an entropy.
ENTROPY_ROUNDING = 1e-6
#: Largest field, or coupling times β, in nats.
LARGEST_NATS = 1e4
#: Leaves of a graph, at most: more references share one.
MOST_TASKS = 4096


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
    damping: Share | None = None,
    refine: Natural = 0,
    magnetizations: bool = False,
    checkpoints: PathOrUrl | None = None,
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
    checkpoints
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
    options = _Options(beta, tolerance, max_sweeps, damping, magnetizations)
    check_size(ising, beta, xs)
    couplings = Couplings.at(ising.J, beta)
    sigma = chosen.sigma
    size = -(-len(sigma) // MOST_TASKS)
    for round_ in range(refine + 1):
        arguments = [(sigma[a : a + size], xs, options) for a in range(0, len(sigma), size)]
        parts = run_tasks(_leaf, (ising, couplings), arguments, _Solved, checkpoints, progress)
        found = joined(parts)
        added = _steep(xs, found.d)
        if round_ == refine or not len(added):
            break
        xs = np.sort(np.concatenate([xs, added]))
    scan = _dataset(ising, chosen, xs, options, found)
    return add_hysteresis(scan, Between(*found.between.swapaxes(0, 1)))


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
        Couplings or fields times β, or distance fields, above `LARGEST_NATS`.
    """
    for name, size in (
        ("couplings", beta * np.abs(model.J).max()), ("fields", beta * np.abs(model.h).max()),
        ("distance fields", np.abs(xs).max()),
    ):  # fmt: skip
        if not size <= LARGEST_NATS:
            raise InputError(f"{name} of {size:.3g} nats; at most {LARGEST_NATS:g}")


class _Options(NamedTuple):
    """What every leaf is told."""

    beta: float
    tolerance: float
    max_sweeps: int
    damping: float | None
    magnetizations: bool


class _Solved(NamedTuple):
    """Solutions over (reference, direction, field); m has another axis, weights, or none.

    between: `Between`, (reference, 4, interval).
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
    between: Floats
    m: Floats


def _leaf(
    given: tuple[IsingModel, Couplings], sigma: Signs, xs: Floats, options: _Options
) -> _Solved:
    """Go through ascending fields up and down, for each of some references."""
    solved = []
    for reference in sigma.astype(np.float64):
        around = _Around(*given, reference, options)
        found = both_ways(xs, around.solution, around.go_on)
        separation = ((found.m[0] - found.m[1]) ** 2).mean(axis=1) / 4
        m = found.m if options.magnetizations else found.m[..., :0]
        solved.append(_Solved(**found.stored, separation=separation, m=m, between=found.between))
    return stacked(solved)


class _Around:
    """Solutions around one reference."""

    def __init__(
        self, model: IsingModel, couplings: Couplings, reference: Floats, options: _Options
    ) -> None:
        self.couplings, self.reference, self.options = couplings, reference, options
        self.outside = options.beta * model.h
        # One branch of a direction follows the fields, another looks between them.
        self.following, self.looking = (
            [
                Branch(options.tolerance, options.max_sweeps, options.damping, side=side)
                for side in (1, -1)
            ]
            for _ in range(2)
        )

    def solution(self, way: int, x: float) -> tuple[dict[str, Any], Point]:
        """Solve at the next field of a direction; return what `_Solved` holds, and the point."""
        return self._at(self.following[way], x)

    def go_on(self, way: int, start: Point, x: float) -> Point:
        """Solve at a field, from a point."""
        branch = self.looking[way]
        branch.stand_at(
            start.x, self.outside + start.x * self.reference, start.state, self.couplings
        )
        return self._at(branch, x)[1]

    def _at(self, branch: Branch, x: float) -> tuple[dict[str, Any], Point]:
        beta, n = self.options.beta, len(self.reference)
        h = self.outside + x * self.reference
        rest, again = branch.go_to(x, h, self.couplings)
        state = branch_state(branch, self.couplings, h, self.reference, x, beta)
        stability = branch.stability(self.couplings)
        stable = stability > 0 and branch.minimum and is_possible(state)
        slope, de = branch.response(self.couplings, self.reference, self.outside)
        d_slope = -float(self.reference @ slope) / (2 * n)
        told = dict(zip("dsef", state, strict=True)) | {
            "converged": rest.converged, "iterations": rest.iterations, "residual": rest.residual,
            "restarted": again, "stability": stability, "stable": stable, "d_slope": d_slope,
            "s_slope": de / n + 2 * x * d_slope,
        }  # fmt: skip
        return told, Point(x, state[0], branch.m, slope, rest.converged, stable, branch.H)


def is_possible(state: tuple[float, float, float, float]) -> bool:
    """Return whether an entropy, of d, s, e, f, is one of ±1 spins: 0 ≤ s ≤ bound(d)."""
    return bool(-ENTROPY_ROUNDING <= state[1] <= float(entropy_bound(state[0])) + ENTROPY_ROUNDING)


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
    return ((xs[1:] + xs[:-1]) / 2)[steps > STEEP]


def _dataset(
    model: IsingModel, references: References, xs: Floats, options: _Options, found: _Solved
) -> xarray.Dataset:
    at_zero = found.converged & (xs == 0)
    at = (values[at_zero].tolist() for values in (found.f, found.s, found.stable))
    known = [State(f, s, True, stable) for f, s, stable in zip(*at, strict=True)]
    zero = bethe_entropy(
        model, options.beta, reference=references.sigma[0], known=known,
        tolerance=options.tolerance, max_sweeps=options.max_sweeps,
    )  # fmt: skip
    about = {
        "statistic": "entropy scan", "method": "bp", "beta": options.beta,
        "tolerance": options.tolerance, "max_sweeps": options.max_sweeps, "s0": zero.s,
        "s0_converged": int(zero.converged), "s0_stable": int(zero.stable),
    }  # fmt: skip
    values = found._asdict()
    del values["between"], values["m"]
    separation = ("reference", "field"), values.pop("separation"), {"units": "1"}
    scan = scan_dataset(values, references, model, xs, about).assign(separation=separation)
    if not options.magnetizations:
        return scan
    m = ((*AXES, "weight"), found.m, {"long_name": "magnetization", "units": "1"})
    return scan.assign(m=m)


def scan_dataset(
    values: Mapping[str, Array], references: References, model: IsingModel, xs: Floats,
    about: JsonObject
) -> xarray.Dataset:  # fmt: skip
    """Return what is known over (reference, direction, field), with ``bound``, as a Dataset."""
    variables = {}
    for name, value in {**values, "bound": entropy_bound(values["d"])}.items():
        long, units = LABELS.get(name.removesuffix("_stderr"), ("", "1"))
        label = {"long_name": long} if name in LABELS else {}
        variables[name] = (AXES, value, {**label, "units": units})
    energy = model.energy(references.sigma) / model.n_spins
    coordinates = references.coordinates() | {
        "direction": list(DIRECTIONS),
        "field": ("field", xs, {"long_name": "distance field x", "units": "nat"}),
        "energy": ("reference", energy, {"units": "nat"}),
    }
    attributes = {**about, "n_weights": model.n_spins, "references": references.source}
    return xarray.Dataset(variables, coordinates, attributes)


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
    figures=[Figure("lsg_ray.report.figures.entropy_landscape:scan_figure", "Entropy landscape",
                    "scan_caption", together=8)],
)  # fmt: skip
