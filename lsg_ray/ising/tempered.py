"""Boltzmann learning by replicas at several temperatures, for models that trap their chains.

Chains of the model of shallow networks stay where they started: pairs of strongly coupled weights
turn over together, and hardly ever.  Their averages, with which `lsg_ray.ising.pcd` climbs, are not
those of the model.  Here the likelihood is climbed on from the result of `pcd` with the coldest
replicas of ladders (`lsg_ray.ising.tempering`), whose temperatures fit that model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import public
from lsg_ray.ising.chains import ChainOptions
from lsg_ray.ising.climbing import Rates, climb
from lsg_ray.ising.fitted import FitMethod, FitOptions, Fitted
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.pcd import fit_pcd
from lsg_ray.ising.targets import Target
from lsg_ray.ising.tempering import Replicas, choose_betas
from lsg_ray.kernels.bethe import neighbour_fields
from lsg_ray.kernels.cavity import PRODUCT_LANES
from lsg_ray.results.graph import stretch
from lsg_ray.typing import Count, Floats, Natural, NonNegative, Positive, Several, Signs, Singles


@dataclass(frozen=True)
class TemperedConfig:
    """How the climb with ladders starts, and how large its steps are."""

    #: Largest difference of a field from that of the Bethe approximation.
    field_range: float = 0.5
    #: As in `lsg_ray.ising.climbing.Rates`: averages of weights that only replicas from higher
    #: temperatures turn over lag behind, and with larger steps swing ever wider.
    stable: float = 0.2
    #: Share of the time of the fit that its first climb takes, about, for progress.
    first_share: float = 0.25


CONFIG = TemperedConfig()


@public
def fit_tempered(
    target: Target,
    *,
    ladders: Several = 256,
    burn_in: Natural = 500,
    chains: Several = 1024,
    steps: Count | None = None,
    sweeps: Count = 4,
    rate: Positive | None = None,
    final_rate: Positive | None = None,
    l2: NonNegative = 0.0,
    **run: Unpack[FitOptions],
) -> Fitted:
    """Climb the likelihood with persistent chains, then with the coldest replicas of ladders.

    Parameters
    ----------
    target
        Moments, no weight of which is frozen.
    ladders
        Number of ladders of replicas; the noise of a gradient is their number to the power −1/2.
    burn_in
        Number of sweeps of the ladders before the first step; an exchange is tried after each.
    chains
        Number of chains of the first fit, by `lsg_ray.ising.pcd.fit_pcd`.
    sweeps
        Number of sweeps in a step of the ladders.
    rate, final_rate
        Step size of the ladders at the start, by default the least of ½, of ladders/(15 N), and of
        1/(5 λ), λ the largest eigenvalue of the correlation matrix; and at the end.
    steps, l2, seconds
        As of `lsg_ray.ising.pcd.fit_pcd`, of each of the two climbs; seconds of both together.

    Returns
    -------
    Fitted
        As of `lsg_ray.ising.pcd.fit_pcd`, by the ladders; converged only if their replicas have
        made a round trip for each ladder, too.  In its `extra` also ``temperatures``, their number,
        and ``round_trips``.

    Raises
    ------
    InputError
        The ladder of the first model has too many temperatures.

    Notes
    -----
    As many times the cost of a step of `pcd` as there are temperatures, about 17 for shallow
    networks of 200 weights, times 4 ladders/chains.
    """
    seconds = None if run["seconds"] is None else run["seconds"] / 2
    first = fit_pcd(
        target, chains=chains, steps=steps, l2=l2, seed=run["seed"], threads=run["threads"],
        seconds=seconds, progress=stretch(run["progress"], 0.0, CONFIG.first_share),
    )  # fmt: skip
    options: ChainOptions = {"seed": run["seed"], "method": "heat-bath", "threads": run["threads"]}
    # Trapped chains keep the m of their starts, against which fields grow without end.
    fields = bethe_fields(first.J, target.m)
    h = np.clip(first.h, fields - CONFIG.field_range, fields + CONFIG.field_range)
    model = IsingModel(first.J, h)
    coldest = Coldest(Replicas(model, choose_betas(model, **options), ladders, options))
    coldest.sweep(burn_in)
    coldest.replicas.reset_counts()
    rates = Rates(rate, final_rate, CONFIG.stable)
    fitted = climb(
        target, (model.J, model.h), coldest, steps, sweeps, rates, l2, seconds,
        stretch(run["progress"], CONFIG.first_share, 1.0),
    )  # fmt: skip
    trips = coldest.replicas.round_trips
    extra = {**fitted.extra, "temperatures": len(coldest.replicas.betas), "round_trips": trips}
    moved = trips >= ladders
    if not moved and fitted.converged:
        extra["reason"] = f"replicas made {trips} round trips in {ladders} ladders"
    iterations = first.iterations + fitted.iterations
    return fitted._replace(converged=fitted.converged and moved, iterations=iterations, extra=extra)


def bethe_fields(J: Floats, m: Floats) -> Floats:
    """Return the fields (N,) with which the Bethe approximation has these magnetizations (N,).

    h_i = atanh m_i − Σ_j atanh(t_ij m_{j→i}), see `lsg_ray.kernels.bethe`; exact on trees.
    """
    n = len(m)
    fields = np.empty(n)
    scratch = np.empty((5, -(-n // PRODUCT_LANES) * PRODUCT_LANES))
    # Equal weights with a coupling whose tanh rounds to 1 would give 0/0.
    t = np.clip(np.tanh(J), -1 + 1e-12, 1 - 1e-12)
    neighbour_fields(m, np.ascontiguousarray(t), fields, scratch)
    own: Floats = np.arctanh(m)
    return own - fields


class Coldest:
    """Replicas of ladders of which the coldest count, as a `lsg_ray.ising.climbing.Sampler`."""

    def __init__(self, replicas: Replicas) -> None:
        self.replicas, self.n_chains = replicas, replicas.ladders

    @property
    def spins(self) -> Signs:
        """Configurations of all replicas, ladder by ladder, each from hot to cold."""
        return self.replicas.state.spins[self.replicas.chain.ravel()]

    def set_spins(self, spins: NDArray[np.integer]) -> None:
        """Put configurations back at their temperatures, which other chains may have now."""
        by_chain = np.empty_like(spins)
        by_chain[self.replicas.chain.ravel()] = spins
        self.replicas.state.set_spins(by_chain)

    def use_arrays(self, J: Singles, h: Singles) -> None:
        """Go on with other couplings and fields."""
        self.replicas.state.use_arrays(J, h)

    def sweep(self, number: int) -> None:
        """Sweep, and try to exchange after each sweep."""
        for _ in range(number):
            self.replicas.step()

    def by_spin(self) -> list[Singles]:
        """Return the coldest configurations, (N, ladders)."""
        return [self.replicas.at(-1).T]

    def product(self) -> Singles:
        """Return Σ σσᵀ over the coldest."""
        spins = self.replicas.at(-1)
        return spins.T @ spins


METHOD = FitMethod("tempered", fit_tempered, check=0.1)
