"""Monte Carlo check of a fitted model: how far its moments are from those that it was fitted to.

New chains measure Δ and the root mean square errors of m and C.  Where they stay near their starts,
replicas at several temperatures do (`lsg_ray.ising.tempering`).  Their own noise is stated beside,
and what is left without it, from E[rms²] = true² + noise².
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.ising.fitted import deviation
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.montecarlo import sample_model
from lsg_ray.ising.targets import Target
from lsg_ray.ising.tempering import temper_model
from lsg_ray.results.graph import stretch
from lsg_ray.typing import Floats, Ints, Progress


@dataclass(frozen=True)
class VerificationConfig:
    """How long the chains of a check are, and how its errors are propagated."""

    #: Draws for each configuration behind the moments, so that the noise of the check is far below
    #: that of the data; and draws at least and at most.
    draws_per_configuration: int = 50
    min_draws: int = 50_000
    max_draws: int = 500_000
    #: Draws of a chain at least; sweeps before the first, and between two draws.
    min_draws_per_chain: int = 8
    burn_in: int = 200
    thin: int = 2
    #: Groups of chains, at least, whose scatter gives the errors of mean squares.
    min_groups: int = 4
    #: Mean squares that are at least twice as many errors from zero have linear error propagation;
    #: up to this many, the excess is as many errors from zero as its square.
    near_zero_errors: float = 3.0
    #: Ladders of replicas, where chains have not converged; draws of all of them at most, and
    #: sweeps between two draws, of which the last are tried where the first are too few.
    ladders: int = 128
    ladder_draws: int = 100_000
    ladder_thins: tuple[int, ...] = (2, 8)
    #: Sweeps before the first draw, as a multiple of those between draws.
    ladder_burn_in: int = 250
    #: Share of the progress that the chains have; the rest is of replicas, or skipped.
    chains_share: float = 0.7


CONFIG = VerificationConfig()


@public
def verify_model(
    model: IsingModel,
    target: Target,
    *,
    chains: int = 1024,
    samples: int | None = None,
    seed: int = 1,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Measure a model by new chains and compare with the moments it was fitted to.

    Parameters
    ----------
    model
        Model of all weights of the moments.
    target
        Moments that the model was fitted to.
    chains
        Number of independent Markov chains, each started at random.
    samples
        Number of draws of all chains together; by default 50 for each configuration behind the
        moments, from 50,000 to 500,000.
    seed
        Seed of the chains.
    threads
        Number of threads; by default one per CPU.
    progress
        Called with ``(done, total)``, in thousandths of the time, about.

    Returns
    -------
    xarray.Dataset
        As `sample_model`, or as `temper_model` where chains have not converged and replicas have
        (attribute ``checked_by``: chains, tempering); ``m_data``, ``C_data``; ``repeats`` (weight),
        which weight each repeats (itself if none).  Attributes of weights that repeat no other:
        ``delta``, ``rms_m``, ``rms_C`` as measured, with the Monte Carlo noise; ``noise_delta``,
        ``noise_m``, ``noise_C``, its root mean square; ``excess_delta``, ``excess_m``,
        ``excess_C``, what is left without it, √max(rms² − noise², 0), with ``_stderr``; and
        ``mc_converged``.

    Notes
    -----
    rms² − noise² has no bias.  Its error s is from its scatter between groups of chains: it is the
    average over pairs of groups of the products of their deviations.  That of the excess is
    s/(2 excess) where its square is far above s, and s/excess where it is not, so that it is
    as many errors from zero as its square is; √s at most.
    """
    if samples is None:
        samples = CONFIG.max_draws
        if target.count is not None:
            draws = CONFIG.draws_per_configuration * target.count
            samples = int(np.clip(draws, CONFIG.min_draws, CONFIG.max_draws))
    check = sample_model(
        model,
        chains=chains,
        burn_in=CONFIG.burn_in,
        thin=CONFIG.thin,
        seed=seed,
        threads=threads,
        draws=max(CONFIG.min_draws_per_chain, samples // chains),
        groups=True,
        progress=stretch(progress, 0.0, CONFIG.chains_share),
    )
    checked_by = "chains"
    if not check.attrs["converged"]:
        rest = stretch(progress, CONFIG.chains_share, 1.0)
        tempered = _tempered(model, samples, seed, threads, rest)
        if tempered.attrs["converged"]:
            check, checked_by = tempered, "tempering"
    if progress is not None:
        progress(1000, 1000)
    unique = np.setdiff1d(np.arange(len(target.m)), target.duplicates)
    pairs = np.ix_(unique, unique)
    inner = target.restrict(unique)
    rms = deviation(check["m"].values[unique], check["C"].values[pairs], inner)
    off = ~np.eye(len(unique), dtype=bool)
    noise_m = float(np.sqrt(np.mean(check["m_stderr"].values[unique] ** 2)))
    noise_C = float(np.sqrt(np.mean(check["C_stderr"].values[pairs][off] ** 2)))
    noises = (float(np.hypot(noise_m, noise_C)), noise_m, noise_C)
    errors = _errors_of_squares(check["m_group"].values, check["C_group"].values, unique, inner)
    attributes: dict[str, float] = {}
    for name, value, noise, error in zip(("delta", "m", "C"), rms, noises, errors, strict=True):
        excess = _excess(value**2 - noise**2, error)
        attributes |= {
            "delta" if name == "delta" else f"rms_{name}": value,
            f"noise_{name}": noise,
            f"excess_{name}": excess[0],
            f"excess_{name}_stderr": excess[1],
        }
    check = check.assign(
        m_data=("weight", target.m),
        C_data=(("weight", "weight_"), target.C),
        repeats=("weight", target.repeats),
    ).drop_vars(["energy", "m_group", "C_group"])
    return check.assign_attrs(
        **attributes, mc_converged=check.attrs["converged"], checked_by=checked_by
    )


def _tempered(
    model: IsingModel, samples: int, seed: int, threads: int | None, progress: Progress | None
) -> xarray.Dataset:
    """Measure a model by replicas, with fewer draws than of chains: each costs many times more."""
    draws = min(samples, CONFIG.ladder_draws) // CONFIG.ladders
    for number, thin in enumerate(CONFIG.ladder_thins):
        begin, end = (k / len(CONFIG.ladder_thins) for k in (number, number + 1))
        tempered = temper_model(
            model,
            ladders=CONFIG.ladders,
            burn_in=CONFIG.ladder_burn_in * thin,
            draws=max(CONFIG.min_draws_per_chain, draws),
            thin=thin,
            seed=seed,
            threads=threads,
            groups=True,
            progress=stretch(progress, begin, end),
        )
        if tempered.attrs["converged"]:
            break
    return tempered


def _errors_of_squares(
    m: Floats, C: Floats, unique: Ints, target: Target
) -> tuple[float, float, float]:
    """Return the standard errors of Δ² and of the mean squares for m and C without noise, by group.

    With P_gh the average of products of the deviations of two groups, each mean square is that of
    P_gh over g ≠ h, and P_gh = μ + a_g + a_h + e_gh: its variance is 4σ_a²/G + 2σ_e²/(G(G − 1)).
    """
    n, groups = len(unique), len(m)
    if groups < CONFIG.min_groups:
        return np.nan, np.nan, np.nan
    dm = m[:, unique] - target.m
    dC = (C[:, unique][:, :, unique] - target.C).reshape(groups, -1)
    of_m, of_C = dm @ dm.T / n, dC @ dC.T / (n * (n - 1))
    off = 1 - np.eye(groups)

    def error(products: Floats) -> float:
        products = products * off
        mean = products.sum() / (groups * (groups - 1))
        own = (products.sum(axis=1) / (groups - 1) - mean) * (groups - 1) / (groups - 2)
        residual = (products - mean - own[:, None] - own) * off
        pair = (residual**2).sum() / (groups * (groups - 3))  # each pair is there twice
        single = (own**2).sum() / (groups - 1) - pair / (groups - 2)
        return float(np.sqrt(4 * max(single, 0.0) / groups + 2 * pair / (groups * (groups - 1))))

    return error(of_m + of_C), error(of_m), error(of_C)


def _excess(square: float, error: float) -> tuple[float, float]:
    """Return the root of a mean square without noise, and its standard error."""
    excess = float(np.sqrt(max(square, 0.0)))
    if not error > 0 or square <= error:
        return excess, float(np.sqrt(error))
    far = float(np.clip(square / error / CONFIG.near_zero_errors - 1, 0, 1))
    return excess, error / (excess * (1 + far))
