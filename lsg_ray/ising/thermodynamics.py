"""Entropy and heat capacity of a model by Monte Carlo, from infinite temperature downwards.

From β = 0, where S = N ln 2, with replicas at a ladder of temperatures (`lsg_ray.ising.tempering`),

    S(β) = N ln 2 − ∫₀^β Var(E) β' dβ' = log Z + β⟨E⟩,     log Z(β) = N ln 2 − ∫₀^β ⟨E⟩ dβ',

with C_v = β² Var(E) the heat capacity.  The second form is the first integrated by parts; means
have less noise than variances, and variances, −d⟨E⟩/dβ, give the integral its correction of fourth
order (Hermite's rule).  Under a distance field x the field term belongs to E,
E_x = E − x Σ σ*_i σ_i at β = 1, and S is the entropy s(d) at distance d of the reference; nothing
in it is a cavity approximation.  Errors come from the spread of independent ladders (jackknife), so
they include autocorrelation, and from the change of the integral over every second temperature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.chains import ChainOptions
from lsg_ray.ising.field_scans import check_size
from lsg_ray.ising.findings import thermo_findings
from lsg_ray.ising.lowest_state import bethe_entropy
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.references import as_references
from lsg_ray.ising.tempering import LadderConfig, LadderOptions, spaced_betas, temper_model
from lsg_ray.stage import MODEL, REFERENCES, Figure, Stage
from lsg_ray.statistics.estimates import estimate, stderr
from lsg_ray.typing import Floats, ModelLike, Natural, Numbers, Positive, ReferencesLike, Several


@dataclass(frozen=True)
class ThermodynamicsConfig:
    """How the heat capacity is integrated."""

    #: The ladder; its energies are integrated, so it is finer than exchanges need.
    ladder: LadderConfig = field(
        default_factory=lambda: LadderConfig(spacing=0.7, min_rungs=12, grid=24, sweeps=60, batch=3)
    )
    #: First step of the trial, in standard deviations of the energy at β = 0.
    first_step: float = 0.2
    #: Largest ratio of neighbouring β, where the energy is nearly frozen and its width says little.
    max_ratio: float = 1.25
    #: Ratio of the errors of the coarse and the fine quadrature: 2⁴ for smooth curves; less is
    #: safer.
    coarse_ratio: float = 4.0
    #: Standard errors by which an entropy may lie outside [0, ln 2].
    max_sigmas: float = 5.0


CONFIG = ThermodynamicsConfig()


@public
def thermodynamics(
    model: ModelLike,
    *,
    beta: Positive = 1.0,
    betas: Numbers | None = None,
    reference: ReferencesLike | None = None,
    x: float = 0.0,
    ladders: Several = 32,
    burn_in: Natural = 500,
    cavity: bool = True,
    **run: Unpack[LadderOptions],
) -> xarray.Dataset:
    """Integrate the heat capacity from infinite temperature.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    beta
        Inverse temperature at the end of the ladder.
    betas
        Inverse temperatures of the ladder, ascending from 0; by default so that neighbours exchange
        in about half of the trials.
    reference
        Configuration σ* that the distance field points to, (N,) ±1, or .npz with one sigma:
        P ∝ exp(−β(E − x Σ σ*σ)).
    x
        Distance field, in nats.
    ladders
        Number of independent ladders of replicas.
    burn_in
        Number of sweeps before the first draw.
    draws
        Number of draws of each ladder.
    thin
        Number of sweeps between draws; an exchange is tried after each sweep.
    method
        Update of a spin: heat bath, or Metropolis.
    seed
        Seed of all random numbers.
    cavity
        Whether to compute also the entropy by the cavity method.
    threads, progress
        As in `lsg_ray.ising.tempering.temper_model`.

    Returns
    -------
    xarray.Dataset
        Over ``beta``: ``s``, ``e``, ``f`` per weight, in nats (``e`` with the field term, ``f``
        −log Z/(βN), NaN at 0); ``heat_capacity`` per weight; ``log_Z`` per weight; each but f with
        ``_stderr``; ``exchanged``.  With a reference also ``d`` and ``d_stderr``, and
        ``energy``, without the field term, at the last temperature.  Attributes: ``s``,
        ``s_stderr`` (at the last), ``converged``
        (R̂, round trips, and possible entropies), ``rhat_max``, ``energy_rhat``, ``round_trips``,
        ``autocorrelation`` (of the energy at the last temperature, in sweeps); by the cavity method
        ``s_bethe``, with ``s_bethe_converged`` and ``s_bethe_stable``.

    Raises
    ------
    InputError
        A ladder that does not ascend from 0, or a field without a reference.

    Notes
    -----
    2 N² flop for each sweep of each replica.

    Examples
    --------
    >>> result = thermodynamics((np.zeros((4, 4)), np.full(4, 0.5)), ladders=8, draws=50)
    >>> exact = np.log(2 * np.cosh(0.5)) - 0.5 * np.tanh(0.5)
    >>> bool(abs(result.attrs["s"] - exact) < 5 * result.attrs["s_stderr"])
    True
    """
    ising = as_model(model)
    sigma = None
    if reference is not None:
        sigma = as_references(reference, ising).sigma
        if len(sigma) != 1:
            raise InputError(f"{len(sigma)} references given; one is needed")
    elif x:
        raise InputError(f"x = {x} given without a reference")
    if not np.isfinite(x):
        raise InputError(f"x = {x} given; it must be finite")
    target = ising if sigma is None else IsingModel(ising.J, ising.h + x * sigma[0])
    check_size(ising, beta, np.array([x]))
    steps = _ladder(target, beta, betas, run)
    tempered = temper_model(target, betas=steps, ladders=ladders, burn_in=burn_in, **run)
    energy = tempered["energy"].values  # (beta, ladder, draw)
    means, errors = _with_errors(steps, energy, ising.n_spins)
    variables: dict[str, Any] = {}
    for name, (long_name, units) in _VARIABLES.items():
        variables[name] = ("beta", means[name], {"long_name": long_name, "units": units})
        variables[f"{name}_stderr"] = ("beta", errors[name], {"units": units})
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(steps > 0, -means["log_Z"] / steps, np.nan)
    variables["f"] = ("beta", free, {"long_name": "free energy per weight", "units": "nat"})
    variables["exchanged"] = ("beta", tempered["exchanged"].values)
    margin = CONFIG.max_sigmas * errors["s"] + 1e-9
    possible = np.all((means["s"] > -margin) & (means["s"] < np.log(2) + margin))
    attributes = {
        "statistic": "thermodynamics", "n_weights": ising.n_spins, "x": x, "seed": run["seed"],
        "s": float(means["s"][-1]), "s_stderr": float(errors["s"][-1]),
        "converged": int(tempered.attrs["converged"] and possible),
        **{name: tempered.attrs[name] for name in (
            "rhat_max", "energy_rhat", "round_trips", "ladders", "draws", "thin", "autocorrelation",
        )},
    }  # fmt: skip
    if cavity:
        extra = 0.0 if sigma is None else x * sigma[0]
        state = bethe_entropy(ising, float(steps[-1]), steps[-1] * extra)
        attributes |= {
            "s_bethe": state.s,
            "s_bethe_converged": int(state.converged),
            "s_bethe_stable": int(state.stable),
        }
    if sigma is not None:
        q = tempered["m_ladder"].values @ sigma[0] / ising.n_spins
        d, error = (1 - float(q.mean())) / 2, float(stderr(q, 0)) / 2
        variables |= estimate("d", d, error, "distance to the reference")
        variables["energy"] = ((), float(means["e"][-1]) + x * float(q.mean()), {"units": "nat"})
    coordinate = ("beta", steps, {"long_name": "inverse temperature", "units": "1"})
    return xarray.Dataset(variables, {"beta": coordinate}, attributes)


_VARIABLES = {
    "s": ("entropy per weight", "nat"),
    "e": ("energy per weight", "nat"),
    "log_Z": ("log Z per weight", "nat"),
    "heat_capacity": ("heat capacity per weight", "1"),
}


def _with_errors(
    steps: Floats, energy: Floats, n: int
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return the integrals, and their errors: between ladders (jackknife), and of quadrature."""
    ladders = energy.shape[1]
    means = _integrated(steps, energy, n)
    folds = [_integrated(steps, np.delete(energy, r, axis=1), n) for r in range(ladders)]
    errors = {
        name: np.sqrt((ladders - 1) * np.var([fold[name] for fold in folds], axis=0))
        for name in means
    }
    # The integral over every second temperature bounds the error of the quadrature.
    coarse = _integrated(steps, energy, n, coarse=True)
    quadrature = np.abs(coarse["log_Z"] - means["log_Z"]) / CONFIG.coarse_ratio
    for name in ("s", "log_Z"):
        errors[name] = np.hypot(errors[name], quadrature)
    return means, errors


def _ladder(model: IsingModel, beta: float, betas: ArrayLike | None, run: ChainOptions) -> Floats:
    if betas is not None:
        steps = as_numbers(betas, "betas")
        if steps.ndim != 1 or len(steps) < 2 or steps[0] != 0 or (np.diff(steps) <= 0).any():
            raise InputError(
                f"betas {brief(betas)} given; two or more are needed, ascending from 0"
            )
        return steps
    # The width of the energy is known at β = 0.
    width_at_zero = float(np.sqrt((model.J**2).sum() / 2 + (model.h**2).sum()))
    start = min(CONFIG.first_step / max(width_at_zero, 1e-300), beta / 2)
    grid = np.r_[0.0, np.geomspace(start, beta, CONFIG.ladder.grid)]
    steps = spaced_betas(model, grid, CONFIG.ladder, run, width_at_zero)
    if not width_at_zero:
        return steps
    tail = int(np.ceil(np.log(beta / steps[1]) / np.log(CONFIG.max_ratio)))
    steps = np.union1d(steps, np.geomspace(steps[1], beta, tail + 1))
    return steps[np.r_[True, np.diff(steps) > 1e-12]]


def _integrated(
    betas: Floats, energy: Floats, n: int, *, coarse: bool = False
) -> dict[str, Floats]:
    """Return s, e, log Z and C_v per weight, over temperatures; energy (beta, ladder, draw).

    Coarse: log Z from every second temperature, interpolated to the others.
    """
    mean, variance = energy.mean(axis=(1, 2)), energy.var(axis=(1, 2))
    used = np.unique(np.r_[np.arange(0, len(betas), 2 if coarse else 1), len(betas) - 1])
    h, e, v = np.diff(betas[used]), mean[used], variance[used]
    # ∫E dβ by Hermite's rule: E' = −Var(E).
    steps = h / 2 * (e[1:] + e[:-1]) + h**2 / 12 * (v[1:] - v[:-1])
    log_Z = n * np.log(2) - np.r_[0.0, np.cumsum(steps)]
    if coarse:
        # The difference to the fine one is interpolated, not log Z itself.
        fine = _integrated(betas, energy, n)["log_Z"]
        log_Z = n * fine + np.interp(betas, betas[used], log_Z - n * fine[used])
    return {
        "s": (log_Z + betas * mean) / n,
        "e": mean / n,
        "log_Z": log_Z / n,
        "heat_capacity": betas**2 * variance / n,
    }


def _summary(result: xarray.Dataset) -> dict[str, Any]:
    names = (
        "s",
        "s_stderr",
        "s_bethe",
        "s_bethe_converged",
        "s_bethe_stable",
        "converged",
        "rhat_max",
        "round_trips",
        "autocorrelation",
    )
    return {name: result.attrs[name] for name in names} | {"temperatures": result.sizes["beta"]}


STAGE = Stage(
    "thermo", thermodynamics, reads={"model": MODEL, "reference": REFERENCES}, summary=_summary,
    hidden={"cavity"}, unit="sweeps", findings=thermo_findings,
    figures=[Figure("lsg_ray.report.figures.entropy_landscape:thermo_figure",
                    "Entropy and heat capacity", "thermo_caption", together=8)],
)  # fmt: skip
