"""Parallel tempering: replicas at several temperatures that exchange them.

For models whose chains are trapped at β = 1, such as those of shallow networks.  Each of many
independent ladders holds one replica per inverse temperature; two neighbours of a ladder exchange
theirs with probability min(1, exp((β − β')(E − E'))) (K. Hukushima, K. Nemoto, J. Phys. Soc. Jpn.
65, 1604 (1996)).  Temperatures move, spins stay.  Ladders are independent, so the spread between
them gives errors, and R̂ compares the halves of ladders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Unpack

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.chains import ChainOptions, Chains
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.montecarlo import (
    MAX_RHAT,
    Draws,
    autocorrelation_time,
    averages,
    group_means,
    series_rhat,
    split_rhat,
)
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.statistics.estimates import stderr
from lsg_ray.typing import Count, Default, Floats, ModelLike, Natural, Positive, Several, Singles


@dataclass(frozen=True)
class LadderConfig:
    """How the temperatures of a ladder are chosen, by the widths of the energy in a short trial."""

    #: First inverse temperature, as a share of the last.
    hottest: float = 0.1

    #: Distance of neighbours, in standard deviations of the energy: an exchange is accepted in
    #: about half of the trials.
    spacing: float = 1.0
    #: Fewest temperatures; and most, since replicas do not get through longer ladders.
    min_rungs: int = 2
    max_rungs: int = 5_000
    #: Temperatures of the trial, chains at each, and sweeps; and the index of its set of chains
    #: among others of the same seed.
    grid: int = 16
    chains: int = 32
    sweeps: int = 100
    batch: int = 1


class LadderOptions(ChainOptions, total=False):
    """Options of ladders: those of chains, draws, and sweeps between them."""

    thin: Annotated[Count, Default(5)]
    draws: Annotated[Draws, Default(200)]


@public
def temper_model(
    model: ModelLike,
    *,
    betas: ArrayLike | None = None,
    beta: float = 1.0,
    ladders: Several = 32,
    burn_in: Natural = 500,
    groups: bool = False,
    **run: Unpack[LadderOptions],
) -> xarray.Dataset:
    """Estimate averages of a rugged model at several temperatures at once.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    betas
        Inverse temperatures of a ladder, ascending; by default from β/10 to β, so that neighbours
        exchange in about half of the trials.
    beta
        Last inverse temperature of an automatic ladder.
    ladders
        Number of independent ladders.
    burn_in, draws, thin
        Number of sweeps before the first draw, of draws, and of sweeps between draws; an exchange
        is tried after each sweep.
    groups
        Whether to return also the averages of each group of ladders.
    method, seed, threads
        As in `lsg_ray.ising.chains.Chains`.
    progress
        Called with ``(sweeps done, sweeps in all)``.

    Returns
    -------
    xarray.Dataset
        At the last temperature ``m``, ``C`` with ``_stderr``, ``m_ladder`` (ladder, weight),
        ``rhat``; over ``beta``
        ``energy_mean`` with ``_stderr``, ``energy_variance``, ``energy_rhat``, and ``exchanged``,
        the share of exchanges with the next temperature that were accepted; ``energy`` (beta,
        ladder, draw); with groups ``m_group`` and ``C_group`` (group, ...).
        Attributes: ``converged`` (R̂ of all spins at the last temperature, and of the energy at
        each, below 1.05, and a round trip for each ladder), ``rhat_max``, ``energy_rhat``,
        ``round_trips`` (in all ladders, from the coldest to the hottest and back),
        ``autocorrelation`` (of the energy at the last temperature, in sweeps), ``sweeps``.

    Raises
    ------
    InputError
        Temperatures that do not ascend, or numbers that are too small.

    Notes
    -----
    2 N² flop for each sweep of each replica; memory 4 N² bytes and 8 N a replica.
    """
    ising = as_model(model)
    if betas is None:
        steps = choose_betas(ising, beta, **chain_options(run))
    else:
        steps = ascending(betas, "betas")
    replicas = Replicas(ising, steps, ladders, run)
    n, cold, draws, thin = ising.n_spins, len(steps) - 1, run["draws"], run["thin"]
    halves = np.zeros((2, ladders, n))
    members = np.array_split(np.arange(ladders), min(8, ladders))
    by_group = np.zeros((len(members), n, n))
    energy = np.empty((len(steps), ladders, draws))
    for draw in replicas.draws(burn_in, run):
        energy[:, :, draw] = replicas.energies()
        spins = replicas.at(cold)
        halves[int(2 * draw >= draws + draws % 2)] += spins
        for g, group in enumerate(members):
            by_group[g] += spins[group].T @ spins[group]
    C = by_group.sum(axis=0) / (ladders * draws)
    sizes = np.array([len(group) for group in members])
    by_group /= (sizes * draws)[:, None, None]
    means = halves.sum(axis=0) / draws
    early = halves[0] / (draws // 2 + draws % 2)
    rhat = split_rhat(early.T, (halves[1] / (draws // 2)).T, draws)
    energy_rhat = np.array([series_rhat(series) for series in energy])
    mean = energy.mean(axis=2)
    nat = {"units": "nat"}
    worst_rhat, trips = max(rhat.max(), energy_rhat.max()), replicas.round_trips
    variables = averages(means.T, C, by_group, sizes)
    if groups:
        variables["m_group"] = (("group", "weight"), group_means(means.T, sizes))
        variables["C_group"] = (("group", "weight", "weight_"), by_group)
    return xarray.Dataset(
        {
            **variables,
            "m_ladder": (("ladder", "weight"), means, {"long_name": "m of each ladder"}),
            "rhat": ("weight", rhat, {"long_name": "split R̂"}),
            "energy": (("beta", "ladder", "draw"), energy, nat),
            "energy_mean": ("beta", mean.mean(axis=1), nat),
            "energy_mean_stderr": ("beta", stderr(mean, 1), nat),
            "energy_variance": ("beta", energy.var(axis=(1, 2)), {"units": "nat^2"}),
            "energy_rhat": ("beta", energy_rhat, {"long_name": "split R̂ of the energy"}),
            "exchanged": ("beta", replicas.exchanged()),
        },
        {"beta": ("beta", steps, {"long_name": "inverse temperature"})},
        {
            "statistic": "parallel tempering",
            "ladders": ladders,
            "draws": draws,
            "thin": thin,
            "seed": run["seed"],
            "method": run["method"],
            "sweeps": burn_in + draws * thin,
            "rhat_max": float(rhat.max()),
            "energy_rhat": float(energy_rhat.max()),
            "round_trips": trips,
            "autocorrelation": thin * autocorrelation_time(energy[-1]),
            "converged": int(worst_rhat < MAX_RHAT and (cold == 0 or trips >= ladders)),
        },
    )


def chain_options(run: ChainOptions) -> ChainOptions:
    """Return the options of chains alone, without progress, of those of ladders."""
    return {"method": run["method"], "seed": run["seed"], "threads": run["threads"]}


def ascending(values: ArrayLike, name: str) -> Floats:
    """Return inverse temperatures (B,), finite and ascending.

    Raises
    ------
    InputError
        They are not finite or do not ascend.
    """
    betas = as_numbers(values, name)
    if betas.ndim != 1 or not len(betas) or not np.isfinite(betas).all():
        raise InputError(f"{name} {brief(values)} given; finite numbers are needed")
    if (np.diff(betas) <= 0).any():
        raise InputError(f"{name} {brief(values)} given; they must ascend")
    return betas


@public
def choose_betas(
    model: IsingModel,
    beta: Positive = 1.0,
    *,
    hottest: float | None = None,
    **run: Unpack[ChainOptions],
) -> Floats:
    """Return inverse temperatures up to β, `LadderConfig.spacing` widths of the energy apart.

    The first is ``hottest``, by default `LadderConfig.hottest` β.
    """
    config = LadderConfig()
    first = config.hottest * beta if hottest is None else hottest
    if not 0 <= first < beta:
        raise InputError(f"hottest {hottest} given; it must be from 0 to below {beta:g}")
    grid = np.linspace(first, beta, config.grid)
    return spaced_betas(model, grid, config, run)


def spaced_betas(
    model: IsingModel,
    grid: Floats,
    config: LadderConfig,
    run: ChainOptions,
    first_width: float | None = None,
) -> Floats:
    """Return inverse temperatures from the first to the last of a grid, by its trial.

    ``first_width`` is that of the energy at the first one, where it is known.

    Raises
    ------
    InputError
        They are more than `LadderConfig.max_rungs`; the message names β.
    """
    chains = Chains(
        model,
        config.chains * len(grid),
        seed=run["seed"],
        beta=np.repeat(grid, config.chains),
        method=run["method"],
        threads=run["threads"],
        batch=config.batch,
    )
    chains.sweep(config.sweeps)
    widths = chains.energies().reshape(len(grid), -1).std(axis=1)
    widths[0] = widths[0] if first_width is None else first_width
    lengths = np.r_[0, np.cumsum((widths[1:] + widths[:-1]) / 2 * np.diff(grid))]
    rungs = lengths[-1] / config.spacing
    if not rungs <= config.max_rungs:
        raise InputError(
            f"beta {grid[-1]:g} given; a ladder of temperatures to it has {rungs:.2g} rungs, "
            f"at most {config.max_rungs:,} are possible; choose a smaller beta, or pass betas"
        )
    if lengths[-1] <= 0:
        return np.linspace(grid[0], grid[-1], config.min_rungs)
    count = max(config.min_rungs, int(np.ceil(rungs)) + 1)
    return np.interp(np.linspace(0, lengths[-1], count), lengths, grid)


class Replicas:
    """Ladders of replicas: temperature t of a ladder starts in chain ladder · temperatures + t."""

    def __init__(self, model: IsingModel, betas: Floats, ladders: int, run: ChainOptions) -> None:
        self.betas, self.ladders = betas, ladders
        self.rng = np.random.default_rng(seed_sequence(run["seed"], Stream.MONTE_CARLO, 3))
        count = len(betas)
        #: The chain that holds temperature t of a ladder, (ladder, t).
        self.chain = np.arange(ladders * count).reshape(ladders, count)
        self.state = Chains(
            model,
            ladders * count,
            seed=run["seed"],
            beta=np.tile(betas, ladders),
            method=run["method"],
            threads=run["threads"],
            batch=2,
        )
        self.steps, self.round_trips = 0, 0
        self.heading = np.zeros(ladders * count, np.int8)
        self.reset_counts()

    def reset_counts(self) -> None:
        """Set the counts of exchanges and round trips to zero."""
        self.tried, self.accepted = np.zeros(len(self.betas)), np.zeros(len(self.betas))
        self.round_trips = 0

    def draws(self, burn_in: int, run: LadderOptions) -> Iterator[int]:
        """Sweep, and yield the index of each draw when it is due."""
        thin, progress = run["thin"], run["progress"]
        total = burn_in + run["draws"] * thin
        for sweep in range(1, total + 1):
            self.step()
            if sweep == burn_in:
                self.reset_counts()
            if progress is not None and sweep % 10 == 0:
                progress(sweep, total)
            if sweep > burn_in and (sweep - burn_in) % thin == 0:
                yield (sweep - burn_in) // thin - 1

    def step(self) -> None:
        """Sweep once, then try to exchange every second pair of neighbours."""
        self.state.sweep(1)
        first = self.steps % 2
        self.steps += 1
        low = np.arange(first, len(self.betas) - 1, 2)
        if not len(low):
            return
        energy = self.state.energies()[self.chain]
        gain = (self.betas[low + 1] - self.betas[low]) * (energy[:, low + 1] - energy[:, low])
        swap = self.rng.random(gain.shape) < np.exp(np.minimum(gain, 0.0))
        self.tried[low] += self.ladders
        self.accepted[low] += swap.sum(axis=0)
        ladder, index = np.nonzero(swap)
        pair = np.stack([low[index], low[index] + 1])
        self.chain[ladder, pair] = self.chain[ladder, pair[::-1]]
        beta = np.empty(self.chain.size)
        beta[self.chain] = self.betas
        self.state.set_beta(beta)
        self._count_trips()

    def _count_trips(self) -> None:
        hot, cold = self.chain[:, 0], self.chain[:, -1]
        self.round_trips += int((self.heading[cold] == -1).sum())
        # 1: was at the coldest, on its way to the hottest; −1: on its way back.
        returning = hot[self.heading[hot] == 1]
        self.heading[returning] = -1
        self.heading[cold] = 1

    def energies(self) -> Floats:
        """Return energies (beta, ladder)."""
        return self.state.energies()[self.chain].T

    def at(self, temperature: int) -> Singles:
        """Return configurations (ladder, N) at a temperature."""
        spins = np.concatenate(self.state.by_spin(), axis=1)
        return np.ascontiguousarray(spins[:, self.chain[:, temperature]].T)

    def exchanged(self) -> Floats:
        """Return shares of accepted exchanges with the next temperature; NaN for the last."""
        return np.divide(
            self.accepted, self.tried, out=np.full(len(self.tried), np.nan), where=self.tried > 0
        )
