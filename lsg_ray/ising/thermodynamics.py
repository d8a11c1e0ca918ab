"""Entropy and heat capacity of a model by Monte Carlo, from infinite temperature downwards.

From β = 0, where S = N ln 2, with replicas at a ladder of temperatures (`lsg_ray.ising.tempering`),

    S(β) = N ln 2 − ∫₀^β Var(E) β' dβ' = log Z + β⟨E⟩,     log Z(β) = N ln 2 − ∫₀^β ⟨E⟩ dβ',

with C_v = β² Var(E) the heat capacity.  The second form is the first integrated by parts; means
have less noise than variances, and variances, −d⟨E⟩/dβ, give the integral its correction of fourth
order (Hermite's rule).  Under a distance field x the field term belongs to E,
E_x = E − x Σ σ*_i σ_i at β = 1, and S is the entropy s(d) of the landscape; nothing in it is a
cavity approximation.  Errors come from the spread of independent ladders (jackknife), so
autocorrelation is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray
from numpy.typing import ArrayLike, NDArray

from lsg_ray.errors import InputError
from lsg_ray.ising.chains import Method
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.references import as_references
from lsg_ray.ising.tempering import choose_betas, temper_model

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

#: Temperatures of a ladder, at least: what is drawn is a curve.
FEWEST = 12


def thermodynamics(
    model: Any,
    *,
    beta: float = 1.0,
    betas: ArrayLike | None = None,
    reference: ArrayLike | None = None,
    x: float = 0.0,
    ladders: int = 32,
    burn_in: int = 500,
    draws: int = 200,
    thin: int = 5,
    method: Method = "heat-bath",
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Integrate the heat capacity from infinite temperature.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    beta
        Where the ladder ends, positive.
    betas
        The ladder, ascending from 0; by default so that neighbours exchange in about half of the
        trials.
    reference, x
        (N,) ±1 and a distance field in nats: P ∝ exp(−β(E − x Σ σ*σ)).
    ladders, burn_in, draws, thin, method, seed, threads, progress
        As in `lsg_ray.ising.tempering.temper_model`.

    Returns
    -------
    xarray.Dataset
        Over ``beta``: ``s``, ``e``, ``f`` per weight, in nats (``e`` with the field term, ``f``
        −log Z/(βN), NaN at 0); ``heat_capacity`` per weight; ``log_Z`` per weight; each but f with
        ``_stderr``; ``exchanged``.  With a reference also ``d`` and ``d_stderr``, and
        ``energy``, without the field term, at the last temperature.  Attributes: ``s``,
        ``s_stderr`` (at the last), ``converged``, ``rhat_max``, ``round_trips``,
        ``autocorrelation`` (of the energy at the last temperature, in sweeps).

    Raises
    ------
    InputError
        A ladder that does not ascend from 0, or a field without a reference.

    Notes
    -----
    2 N² flop for each sweep of each replica.

    Examples
    --------
    >>> found = thermodynamics((np.zeros((4, 4)), np.full(4, 0.5)), ladders=8, draws=50)
    >>> exact = np.log(2 * np.cosh(0.5)) - 0.5 * np.tanh(0.5)
    >>> bool(abs(found.attrs["s"] - exact) < 5 * found.attrs["s_stderr"])
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
    steps = _ladder(target, beta, betas, method, seed, threads)
    found = temper_model(
        target, betas=steps, ladders=ladders, burn_in=burn_in, draws=draws, thin=thin,
        method=method, seed=seed, threads=threads, progress=progress,
    )  # fmt: skip
    n = ising.n_spins
    energy = found["energy"].values  # (beta, ladder, draw)
    whole = _integrated(steps, energy, n)
    folds = [_integrated(steps, np.delete(energy, r, axis=1), n) for r in range(ladders)]
    errors = {
        name: np.sqrt((ladders - 1) * np.var([fold[name] for fold in folds], axis=0))
        for name in whole
    }
    labels = {
        "s": ("entropy per weight", "nat"), "e": ("energy per weight", "nat"),
        "log_Z": ("log Z per weight", "nat"), "heat_capacity": ("heat capacity per weight", "1"),
    }  # fmt: skip
    variables: dict[str, Any] = {}
    for name, (long, units) in labels.items():
        about = {"long_name": long, "units": units}
        variables[name] = ("beta", whole[name], about)
        variables[f"{name}_stderr"] = ("beta", errors[name], {"units": units})
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(steps > 0, -whole["log_Z"] / steps, np.nan)
    variables["f"] = ("beta", free, {"long_name": "free energy per weight", "units": "nat"})
    variables["exchanged"] = ("beta", found["exchanged"].values)
    attributes = {
        "statistic": "thermodynamics", "n_weights": n, "x": x, "seed": seed,
        "s": float(whole["s"][-1]), "s_stderr": float(errors["s"][-1]),
        **{name: found.attrs[name] for name in (
            "converged", "rhat_max", "round_trips", "ladders", "draws", "thin", "autocorrelation")},
    }  # fmt: skip
    if sigma is not None:
        overlap = found["m_ladder"].values @ sigma[0] / n
        q, about = float(overlap.mean()), {"units": "1"}
        error = float(overlap.std(ddof=1)) / 2 / np.sqrt(ladders)
        variables["d"] = ((), (1 - q) / 2, {"long_name": "distance to the reference", **about})
        variables["d_stderr"] = ((), error, about)
        variables["energy"] = ((), float(whole["e"][-1]) + x * q, {"units": "nat"})
    return xarray.Dataset(
        variables,
        {"beta": ("beta", steps, {"long_name": "inverse temperature", "units": "1"})},
        attributes,
    )


def _ladder(
    model: IsingModel,
    beta: float,
    betas: ArrayLike | None,
    method: Method,
    seed: int,
    threads: int | None,
) -> Floats:
    if betas is not None:
        steps = np.asarray(betas, np.float64)
        if steps.ndim != 1 or len(steps) < 2 or steps[0] != 0 or (np.diff(steps) <= 0).any():
            raise InputError(f"betas {betas!r} given; at least two, ascending from 0")
        return steps
    # The chosen ladder starts at a tenth; what is hotter mixes in a sweep.
    chosen = choose_betas(model, beta, method=method, seed=seed, threads=threads)
    first = chosen[1] - chosen[0]
    hot = np.linspace(0, chosen[0], max(1, round(chosen[0] / first)) + 1)[:-1]
    steps = np.concatenate([hot, chosen])
    if len(steps) < FEWEST:
        steps = np.linspace(0, beta, FEWEST)
    return steps


def _integrated(betas: Floats, energy: Floats, n: int) -> dict[str, Floats]:
    """Return s, e, log Z and C_v per weight, over temperatures; energy (beta, ladder, draw)."""
    mean, variance = energy.mean(axis=(1, 2)), energy.var(axis=(1, 2))
    h = np.diff(betas)
    # ∫E dβ by Hermite's rule: E' = −Var(E).
    pieces = h / 2 * (mean[1:] + mean[:-1]) + h**2 / 12 * (variance[1:] - variance[:-1])
    log_Z = n * np.log(2) - np.r_[0.0, np.cumsum(pieces)]
    return {
        "s": (log_Z + betas * mean) / n, "e": mean / n, "log_Z": log_Z / n,
        "heat_capacity": betas**2 * variance / n,
    }  # fmt: skip
