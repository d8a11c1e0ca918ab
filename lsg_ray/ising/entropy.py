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

from typing import Any, NamedTuple, Unpack

import numpy as np
import xarray
from numpy.typing import NDArray

from lsg_ray.arrays import public
from lsg_ray.ising.branch import Branch
from lsg_ray.ising.cavity import Couplings
from lsg_ray.ising.field_scans import (
    AXES,
    ScanOptions,
    check_fields,
    check_size,
    is_possible,
    refined,
    scan_dataset,
    scan_summary,
)
from lsg_ray.ising.findings import scan_findings
from lsg_ray.ising.hysteresis import VERDICT, Intervals, add_hysteresis
from lsg_ray.ising.loops import Point, both_ways
from lsg_ray.ising.lowest_state import State, bethe_entropy
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.references import References, as_references
from lsg_ray.renaming import renamed
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.results.records import joined, stacked
from lsg_ray.stage import MODEL, REFERENCES, Figure, Stage
from lsg_ray.typing import Flags, Floats, ModelLike, Natural, Positive, ReferencesLike, Signs, Steps

#: Tasks of a graph, at most: of more references, several share one.
MAX_SCAN_TASKS = 4096


@renamed(pieces="checkpoints")
@public
def entropy_scan(
    model: ModelLike,
    references: ReferencesLike,
    fields: Steps | None = None,
    *,
    beta: Positive = 1.0,
    refine: Natural = 0,
    magnetizations: bool = False,
    **run: Unpack[ScanOptions],
) -> xarray.Dataset:
    """Sweep the distance field up and down around each reference.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    references
        Configurations to start from: (R, N) ±1, a store (of which low, medium and high energy are
        taken), a result, or .npz with sigma.
    fields
        Distance fields x in nats, in any order; by default −3 to 3 in steps of 0.1.
    beta
        Inverse temperature.
    count
        Largest number of references of each group; by default 20 of a store.
    tolerance
        Largest change of a message in a sweep at convergence.
    max_sweeps
        Largest number of sweeps at each field.
    damping
        Damping of messages, from 0 up to 1; by default none, and more where they do not converge.
    refine
        Number of times that fields are added in the middle of intervals in which a distance changes
        by more than 0.05; all fields are then computed again.
    magnetizations
        Whether to return m at each field.
    checkpoints
        Folder of checkpoints: finished tasks are stored there until all are done, so that an
        interrupted scan resumes.
    progress
        Called with ``(done, total)`` tasks.

    Returns
    -------
    xarray.Dataset
        Over (reference, direction, field): distance ``d``; ``s``, ``e``, ``f`` per weight, in nats;
        ``bound``, the entropy of all configurations at d; ``converged``, ``iterations``,
        ``residual``, ``restarted``; ``stability`` (below zero, the cavity approximation fails, see
        `Branch.stability`), ``stable`` (above zero, a minimum of the free energy, and 0 ≤ s ≤
        bound); ``d_slope`` ∂d/∂x and ``s_slope`` ∂s/∂x, by linear response (NaN at saddles, and
        where couplings are very strong).  Over (reference, field) ``separation``, mean
        (m_up − m_down)²/4; and the variables of `add_hysteresis`.  Attributes: ``s0``, the entropy
        of the state with the lowest free energy at x = 0, ``s0_converged``, ``s0_stable`` (if not,
        s0 may be far off, and even negative), ``converged`` (the fraction), ``hysteresis``,
        ``verdict``.
        Values that have not converged are those of the last messages.

    Raises
    ------
    InputError
        References or fields that cannot be used, or numbers out of range.

    Notes
    -----
    About 20 sweeps a field, 1 ns for each of their N² messages on a core, and more fields where a
    step of d is not explained by its slope (`lsg_ray.ising.loops`); 16 N² bytes for a task, and
    for the model.  Each reference and direction is a task under Dask's current scheduler.

    Examples
    --------
    >>> scan = entropy_scan((np.zeros((4, 4)), np.zeros(4)), np.ones((1, 4)), [-1, 0, 1])
    >>> scan["s"].values[0, 0].round(6).tolist(), scan.attrs["verdict"]
    ([0.365334, 0.693147, 0.365334], 'smooth')
    """
    ising = as_model(model)
    chosen = as_references(references, ising, run["count"])
    xs = check_fields(fields)
    options = _Options(beta, run["tolerance"], run["max_sweeps"], run["damping"], magnetizations)
    check_size(ising, beta, xs)
    couplings = Couplings.at(ising.J, beta)
    sigma = chosen.sigma
    size = -(-len(sigma) // MAX_SCAN_TASKS)
    for round_ in range(refine + 1):
        arguments = [(sigma[a : a + size], xs, options) for a in range(0, len(sigma), size)]
        parts = run_tasks(
            _leaf, (ising, couplings), arguments, _Solved, run["checkpoints"], run["progress"]
        )
        solved = joined(parts)
        finer = refined(xs, solved.d)
        if round_ == refine or len(finer) == len(xs):
            break
        xs = finer
    scan = _dataset(ising, chosen, xs, options, solved)
    return add_hysteresis(scan, Intervals(*solved.between.swapaxes(0, 1)))


class _Options(NamedTuple):
    """Options of every task."""

    beta: float
    tolerance: float
    max_sweeps: int
    damping: float | None
    magnetizations: bool


class _Solved(NamedTuple):
    """Solutions over (reference, direction, field); m has another axis, weights, or none.

    between: `Intervals`, (reference, 4, interval).
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
    shared: tuple[IsingModel, Couplings], sigma: Signs, xs: Floats, options: _Options
) -> _Solved:
    """Go through ascending fields up and down, for each of some references."""
    solved = []
    for reference in sigma.astype(np.float64):
        around = _Around(*shared, reference, options)
        scan = both_ways(xs, around.solution, around.solve_from)
        separation = ((scan.m[0] - scan.m[1]) ** 2).mean(axis=1) / 4
        m = scan.m if options.magnetizations else scan.m[..., :0]
        solved.append(_Solved(**scan.values, separation=separation, m=m, between=scan.between))
    return stacked(solved)


class _Around:
    """Solutions around one reference."""

    def __init__(
        self, model: IsingModel, couplings: Couplings, reference: Floats, options: _Options
    ) -> None:
        self.couplings, self.reference, self.options = couplings, reference, options
        self.external = options.beta * model.h
        # One branch of each direction follows the fields, another searches between them.
        self.following, self.searching = (
            [
                Branch(options.tolerance, options.max_sweeps, options.damping, side=side)
                for side in (1, -1)
            ]
            for _ in range(2)
        )

    def solution(self, way: int, x: float) -> tuple[dict[str, Any], Point]:
        """Solve at the next field of a direction; return values of `_Solved`, and the point."""
        return self._at(self.following[way], x)

    def solve_from(self, way: int, start: Point, x: float) -> Point:
        """Solve at a field, from a point."""
        branch = self.searching[way]
        h = self.external + start.x * self.reference
        branch.restore(start.x, h, start.state, self.couplings)
        return self._at(branch, x)[1]

    def _at(self, branch: Branch, x: float) -> tuple[dict[str, Any], Point]:
        beta, n = self.options.beta, len(self.reference)
        h = self.external + x * self.reference
        status, restarted = branch.go_to(x, h, self.couplings)
        state = branch_state(branch, self.couplings, h, self.reference, x, beta)
        stability = branch.stability(self.couplings)
        stable = stability > 0 and branch.minimum and is_possible(state)
        slope, de = branch.response(self.couplings, self.reference, self.external)
        d_slope = -float(self.reference @ slope) / (2 * n)
        values = dict(zip("dsef", state, strict=True)) | status._asdict()
        del values["damping"]
        values |= {
            "restarted": restarted,
            "stability": stability,
            "stable": stable,
            "d_slope": d_slope,
            "s_slope": de / n + 2 * x * d_slope,
        }
        possible = is_possible(state, VERDICT.gap)
        ends = (status.converged, stable, possible, branch.H)
        return values, Point(x, state[0], branch.m, slope, *ends)


def branch_state(
    branch: Branch, couplings: Couplings, h: Floats, reference: Floats, x: float, beta: float
) -> tuple[float, float, float, float]:
    """Return d, s, e, f of a solution with fields h = βh₀ + xσ*."""
    log_Z, exponent = branch.averages(h, couplings)
    n = len(h)
    q = float(reference @ branch.m) / n
    energy = exponent / n + x * q
    return (1 - q) / 2, log_Z / n + energy - x * q, energy / beta, -log_Z / (n * beta)


def _dataset(
    model: IsingModel, references: References, xs: Floats, options: _Options, solved: _Solved
) -> xarray.Dataset:
    at_zero = solved.converged & (xs == 0)
    at = (values[at_zero].tolist() for values in (solved.f, solved.s, solved.stable))
    known = [State(f, s, True, stable) for f, s, stable in zip(*at, strict=True)]
    zero = bethe_entropy(
        model,
        options.beta,
        reference=references.sigma[0],
        known=known,
        tolerance=options.tolerance,
        max_sweeps=options.max_sweeps,
    )
    attributes = {
        "statistic": "entropy scan",
        "method": "bp",
        "beta": options.beta,
        "tolerance": options.tolerance,
        "max_sweeps": options.max_sweeps,
        "s0": zero.s,
        "s0_converged": int(zero.converged),
        "s0_stable": int(zero.stable),
    }
    values = solved._asdict()
    del values["between"], values["m"]
    separation = ("reference", "field"), values.pop("separation"), {"units": "1"}
    scan = scan_dataset(values, references, model, xs, attributes).assign(separation=separation)
    if not options.magnetizations:
        return scan
    m = ((*AXES, "weight"), solved.m, {"long_name": "magnetization", "units": "1"})
    return scan.assign(m=m)


STAGE = Stage(
    "scan",
    entropy_scan,
    reads={"model": MODEL, "references": REFERENCES},
    summary=scan_summary,
    findings=scan_findings,
    figures=[
        Figure(
            "lsg_ray.report.figures.entropy_landscape:scan_figure",
            "Entropy landscape",
            "scan_caption",
            together=4,
        )
    ],
)
