"""The entropy landscape by Monte Carlo, where the cavity approximation fails.

Chains go up and down through the distance fields x, as belief propagation does in
`lsg_ray.ising.entropy`.  With Q = Σ σ*_i σ_i = Nq,

    ∂ log Z/∂x = ⟨Q⟩,        ∂⟨Q⟩/∂x = Var(Q),

so log Z along a branch is the integral of N q over x (Hermite's rule, by the variance), from its
value at the first field x₀ of the branch.  That comes from spins in the distance field alone, as
the model is switched on, λ = 0 … 1, with the distance field held, near a paramagnet all the way:

    P_λ ∝ exp(x₀Q − λE),      ∂ log Z/∂λ = −⟨E⟩,      log Z(λ = 0) = N ln 2 cosh x₀.

The chains are the same throughout, so errors are those between chains.  Then
s = log Z/N + βe − xq.  A branch that is metastable for as long as the chains run appears as
hysteresis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Unpack

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.ising.chains import Chains, Method
from lsg_ray.ising.field_scans import (
    ENTROPY_ROUNDING,
    check_fields,
    check_size,
    entropy_bound,
    refined,
    scan_dataset,
    scan_summary,
)
from lsg_ray.ising.findings import scan_findings
from lsg_ray.ising.hysteresis import add_hysteresis
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.montecarlo import MAX_RHAT, Draws, series_rhat
from lsg_ray.ising.references import as_references
from lsg_ray.ising.thermodynamics import thermodynamics
from lsg_ray.renaming import renamed
from lsg_ray.results.checkpoints import run_tasks
from lsg_ray.results.records import stacked
from lsg_ray.stage import MODEL, REFERENCES, Figure, Stage
from lsg_ray.typing import (
    Count,
    Flags,
    Floats,
    ModelLike,
    Natural,
    Positive,
    ReferencesLike,
    SeededTasks,
    Several,
    Signs,
    Steps,
)


@dataclass(frozen=True)
class AnnealingConfig:
    """How the model is switched on, and which steps can be integrated over."""

    #: Steps of λ, in which the model is switched on at the first field.
    switching_steps: int = 20
    #: Change of q in a step of x, or of e (nat) in a step of λ, beyond what their fluctuations
    #: explain, that makes the step irreversible.
    irreversible: float = 0.05
    #: Standard errors within which two states are one, and by which an entropy may lie outside of
    #: its bounds.
    max_sigmas: float = 5.0


CONFIG = AnnealingConfig()


@renamed(pieces="checkpoints")
@public
def anneal_scan(
    model: ModelLike,
    references: ReferencesLike,
    fields: Steps | None = None,
    *,
    beta: Positive = 1.0,
    count: Count | None = None,
    chains: Several = 128,
    burn_in: Natural = 30,
    draws: Draws = 40,
    thin: Count = 2,
    method: Method = "heat-bath",
    refine: Natural = 0,
    **run: Unpack[SeededTasks],
) -> xarray.Dataset:
    """Sweep the distance field up and down around each reference, by Monte Carlo.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    references
        Configurations to scan around: (R, N) ±1, a store (those of low, medium and high energy are
        chosen), a result, or .npz with sigma.
    fields
        Distance fields x in nats, in any order; by default −3 to 3 in steps of 0.1.
    beta
        Inverse temperature.
    count
        Number of references of each group, at most; by default 20 of a store, else all.
    chains
        Number of chains of each reference and direction.
    burn_in
        Number of sweeps at each field before the first draw.
    draws
        Number of draws at each field.
    thin
        Number of sweeps between draws.
    method
        Update of a spin: heat bath, or Metropolis.
    refine
        Number of times that fields are added in the middle of intervals in which a distance changes
        by more than 0.05; all fields are then computed again.
    seed
        Seed of all random numbers.
    checkpoints, progress
        As in `lsg_ray.entropy_scan`.

    Returns
    -------
    xarray.Dataset
        As of `lsg_ray.entropy_scan`, with ``d_stderr``, ``e_stderr``, ``s_stderr`` (between chains;
        those of the integrals included) and ``rhat``;
        ``d_slope``, ∂d/∂x by the fluctuations of the overlap; ``known``, whether s could be
        integrated, else it is NaN: beyond an irreversible jump only where both directions have come
        to one state; ``converged`` where also R̂ of energy and overlap is below 1.05, and the
        entropy is possible. Attributes ``s0`` and ``s0_stderr``: at x = 0, by the heat capacity.

    Raises
    ------
    InputError
        As `lsg_ray.entropy_scan`, or numbers that are too small.

    Notes
    -----
    2 N² flop a sweep and chain.  Each reference and direction is a task.
    """
    ising = as_model(model)
    chosen = as_references(references, ising, count)
    xs = check_fields(fields)
    check_size(ising, beta, xs)
    scaled = IsingModel(beta * ising.J, beta * ising.h)
    options = _Options(chains, burn_in, draws, thin, method, run["seed"])
    for round_ in range(refine + 1):
        both = _both_ways(scaled, chosen.sigma, xs, options, run)
        finer = refined(xs, both.d)
        if round_ == refine or len(finer) == len(xs):
            break
        xs = finer
    at_zero = thermodynamics(scaled, seed=run["seed"], method=method, cavity=False)
    values = both._asdict() | {"e": both.e / beta, "e_stderr": both.e_stderr / beta}
    values["f"] = -values.pop("log_Z") / beta
    margin = CONFIG.max_sigmas * both.s_stderr + ENTROPY_ROUNDING
    possible = (both.s > -margin) & (both.s < entropy_bound(both.d) + margin)
    values["converged"] = possible & (both.rhat < MAX_RHAT) & both.known
    attributes = {
        "statistic": "entropy scan",
        "method": "monte carlo",
        "beta": beta,
        "seed": run["seed"],
        "chains": chains,
        "draws": draws,
        "thin": thin,
        "s0": at_zero.attrs["s"],
        "s0_stderr": at_zero.attrs["s_stderr"],
        "s0_converged": at_zero.attrs["converged"],
    }
    return add_hysteresis(scan_dataset(values, chosen, ising, xs, attributes))


def _both_ways(
    model: IsingModel, sigma: Signs, xs: Floats, options: _Options, run: SeededTasks
) -> _Annealed:
    """Go through ascending fields up and down, around each reference: (reference, direction, F)."""
    arguments = [
        (one, xs if up else xs[::-1], options, 2 * r + up)
        for r, one in enumerate(sigma)
        for up in (True, False)
    ]
    branches = run_tasks(_leaf, model, arguments, _Annealed, run["checkpoints"], run["progress"])
    up, down = stacked(branches[::2]), stacked(branches[1::2])
    reversed_ = _Annealed(*(values[:, ::-1] for values in down))  # type: ignore[arg-type]
    return _completed(stacked([up, reversed_], axis=1))


class _Options(NamedTuple):
    chains: int
    burn_in: int
    draws: int
    thin: int
    method: Method
    seed: int


class _Annealed(NamedTuple):
    """One direction around one reference, over fields, all per weight."""

    d: Floats
    s: Floats
    e: Floats
    log_Z: Floats  # noqa: N815
    d_stderr: Floats
    s_stderr: Floats
    e_stderr: Floats
    rhat: Floats
    d_slope: Floats
    known: Flags


def _completed(both: _Annealed) -> _Annealed:
    """Take s and log Z beyond a jump from the other direction, where that is in the same state.

    Integrals are good from the first field of a direction to its first irreversible step: beyond
    it, a direction that has come to the state of the other takes its log Z; else s is unknown.
    """
    s, log_Z, s_error = (values.copy() for values in (both.s, both.log_Z, both.s_stderr))
    known = both.known.copy()
    sigmas = CONFIG.max_sigmas
    d_margin = sigmas * np.hypot(both.d_stderr[:, 0], both.d_stderr[:, 1]) + ENTROPY_ROUNDING
    e_margin = sigmas * np.hypot(both.e_stderr[:, 0], both.e_stderr[:, 1]) + ENTROPY_ROUNDING
    same = (np.abs(both.d[:, 0] - both.d[:, 1]) < d_margin) & (
        np.abs(both.e[:, 0] - both.e[:, 1]) < e_margin
    )
    for direction in (0, 1):
        other = 1 - direction
        taken = ~both.known[:, direction] & both.known[:, other] & same
        shift = both.log_Z[:, other] - both.log_Z[:, direction]
        s[:, direction] = np.where(taken, both.s[:, direction] + shift, s[:, direction])
        log_Z[:, direction] = np.where(taken, both.log_Z[:, other], log_Z[:, direction])
        s_error[:, direction] = np.where(taken, both.s_stderr[:, other], s_error[:, direction])
        known[:, direction] |= taken
    for values in (s, log_Z, s_error):
        values[~known] = np.nan
    return both._replace(s=s, log_Z=log_Z, s_stderr=s_error, known=known)


def _leaf(model: IsingModel, sigma: Signs, xs: Floats, options: _Options, number: int) -> _Annealed:
    n, reference = model.n_spins, sigma.astype(np.float64)
    chains = Chains(
        IsingModel(np.zeros((n, n)), xs[0] * reference),
        options.chains,
        seed=options.seed,
        method=options.method,
        threads=1,
        batch=1000 + number,
    )
    switched = _switch_on(chains, model, reference, float(xs[0]), options)
    shape = (len(xs), options.chains)
    q, e, variance, rhat = np.empty(shape), np.empty(shape), np.empty(len(xs)), np.empty(len(xs))
    J = np.ascontiguousarray(model.J, np.float32)
    for k, x in enumerate(xs.tolist()):
        chains.use_arrays(J, (model.h + x * reference).astype(np.float32))
        chains.sweep(options.burn_in)
        overlaps, energies = _measure(chains, reference, x, options)
        q[k], e[k] = overlaps.mean(axis=1) / n, energies.mean(axis=1) / n
        variance[k] = overlaps.var() / n
        rhat[k] = max(series_rhat(overlaps), series_rhat(energies))
    along = _integrated(xs, q, variance)
    known = np.cumprod(np.r_[switched.reversible, along.change < CONFIG.irreversible]).astype(bool)
    log_Z = switched.log_Z + np.concatenate(
        [np.zeros((1, options.chains)), np.cumsum(along.steps, axis=0)]
    )
    s = log_Z + e - xs[:, None] * q
    root = np.sqrt(options.chains)
    error = np.sqrt(switched.quadrature**2 + np.r_[0.0, np.cumsum(along.quadrature**2)])
    return _Annealed(
        (1 - q.mean(axis=1)) / 2,
        s.mean(axis=1),
        e.mean(axis=1),
        log_Z.mean(axis=1),
        q.std(axis=1, ddof=1) / 2 / root,
        np.hypot(s.std(axis=1, ddof=1) / root, error),
        e.std(axis=1, ddof=1) / root,
        rhat,
        -variance / 2,
        known,
    )


class _Integrated(NamedTuple):
    """Integrals over the steps of a path, all per weight."""

    steps: Floats  # (steps, chains)
    change: Floats  # beyond what fluctuations explain: a jump, or a step too wide to integrate
    quadrature: Floats  # standard error of each step


def _integrated(path: Floats, values: Floats, variance: Floats) -> _Integrated:
    """Integrate values (P, chains), whose derivative is the variance (P,), over a path (P,)."""
    h = np.diff(path)
    steps = h[:, None] / 2 * (values[1:] + values[:-1]) - (h**2 / 12 * np.diff(variance))[:, None]
    mean = values.mean(axis=1)
    change = np.abs(np.diff(mean) - h / 2 * (variance[1:] + variance[:-1]))
    return _Integrated(steps, change, np.abs(h) * change / 6)


class _SwitchedOn(NamedTuple):
    """The model at the first field, per weight: log Z of each chain, and its quadrature's error."""

    log_Z: Floats  # noqa: N815
    quadrature: float
    reversible: bool


def _switch_on(
    chains: Chains, model: IsingModel, reference: Floats, x: float, options: _Options
) -> _SwitchedOn:
    """Integrate log Z over λ from spins in the distance field x alone, and leave the chains there.

    At λ = 0 mean and variance of E are exact: with m = tanh(xσ*), v = 1 − m² and g = h + Jm,
    ⟨E⟩ = −½ m·Jm − h·m and Var(E) = Σ g²v + ½ Σ J²vv'.
    """
    n = model.n_spins
    path = np.linspace(0.0, 1.0, CONFIG.switching_steps + 1)
    means = np.tanh(x * reference)
    v, g = 1 - means**2, model.h + model.J @ means
    values, variance = np.empty((len(path), options.chains)), np.empty(len(path))
    values[0] = (0.5 * means @ model.J @ means + model.h @ means) / n
    variance[0] = ((g**2) @ v + 0.5 * v @ (model.J**2) @ v) / n
    for k, scale in enumerate(path.tolist()[1:], 1):
        fields = scale * model.h + x * reference
        chains.use_arrays((scale * model.J).astype(np.float32), fields.astype(np.float32))
        chains.sweep(options.burn_in)
        energies = _measure(chains, reference, x, options)[1] / scale
        values[k], variance[k] = -energies.mean(axis=1) / n, energies.var() / n
    along = _integrated(path, values, variance)
    # ln 2 cosh x without overflow.
    free = np.logaddexp(x, -x)
    return _SwitchedOn(
        free + along.steps.sum(axis=0),
        float(np.sqrt((along.quadrature**2).sum())),
        bool((along.change < CONFIG.irreversible).all()),
    )


def _measure(
    chains: Chains, reference: Floats, x: float, options: _Options
) -> tuple[Floats, Floats]:
    """Return overlaps Q and energies without the field term, (chains, draws)."""
    overlaps = np.empty((options.chains, options.draws))
    energies = np.empty_like(overlaps)
    reference32 = reference.astype(np.float32)
    for draw in range(options.draws):
        chains.sweep(options.thin)
        overlaps[:, draw] = np.concatenate([reference32 @ spins for spins in chains.by_spin()])
        energies[:, draw] = chains.energies() + x * overlaps[:, draw]
    return overlaps, energies


STAGE = Stage(
    "anneal",
    anneal_scan,
    reads={"model": MODEL, "references": REFERENCES},
    summary=scan_summary,
    findings=scan_findings,
    later={"refine"},
    figures=[
        Figure(
            "lsg_ray.report.figures.entropy_landscape:scan_figure",
            "Entropy landscape",
            "scan_caption",
            together=8,
        )
    ],
)
