"""Independent replicas of an Ising model at several temperatures, by parallel tempering.

Each replica comes from a ladder of its own (`lsg_ray.ising.tempering`), so replicas share nothing
but the model, however slowly a ladder mixes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Unpack

import numpy as np
import xarray
from annotated_types import Ge
from numpy.typing import ArrayLike

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.ising.chains import ChainOptions
from lsg_ray.ising.model import as_model
from lsg_ray.ising.montecarlo import MAX_RHAT, series_rhat
from lsg_ray.ising.tempering import LadderOptions, Replicas, ascending, chain_options, choose_betas
from lsg_ray.stage import MODEL, Stage
from lsg_ray.statistics.estimates import stderr
from lsg_ray.statistics.findings import replicas_findings
from lsg_ray.statistics.rsb import FIGURE, overlap_summary, replica_overlaps
from lsg_ray.statistics.ultrametric import Flip
from lsg_ray.typing import Floats, ModelLike, Natural, Repeats, Several, Singles, Threads


@dataclass(frozen=True)
class ReplicaLadderConfig:
    """Where a ladder for replicas begins, and which of its temperatures are those asked for."""

    #: Largest first inverse temperature, as a share of the first and of the last asked for.
    share_of_first: float = 0.5
    share_of_last: float = 0.1
    #: Relative difference below which two inverse temperatures are the same.
    same_beta: float = 1e-9


CONFIG = ReplicaLadderConfig()


@public
def draw_replicas(
    model: ModelLike,
    betas: ArrayLike = (1.0,),
    *,
    replicas: Several = 64,
    ladder: ArrayLike | None = None,
    burn_in: Natural = 1000,
    **run: Unpack[LadderOptions],
) -> xarray.Dataset:
    """Draw replicas from P(σ) ∝ exp(−βE) at each inverse temperature.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    betas
        Inverse temperatures to draw at, ascending.
    replicas
        Number of independent ladders, each of which gives one replica at each temperature.
    ladder
        Inverse temperatures of a ladder; by default those of `choose_ladder`.
    burn_in, draws, thin
        Number of sweeps before the first draw of energies and overlaps, of draws, and of sweeps
        between draws.  The replicas are the configurations after the last sweep.
    method, seed, threads
        As in `lsg_ray.ising.chains.Chains`.
    progress
        Called with ``(sweeps done, sweeps in all)``.

    Returns
    -------
    xarray.Dataset
        Over ``beta``: ``spins`` (beta, replica, weight) int8; their ``energy`` (beta, replica), in
        nats; averages over draws ``energy_mean``, ``q2`` (⟨q²⟩) and ``q_abs`` (⟨|q|⟩) of pairs of
        replicas, with ``_stderr``; ``rhat``, split R̂ of the energy.  Over ``rung``:
        ``ladder`` and ``exchanged``.  Attributes: ``converged`` (all R̂ < 1.05, and as many round
        trips as ladders), ``round_trips``, ``sweeps``.

    Raises
    ------
    InputError
        Numbers that are too small, temperatures that do not ascend or are not in the ladder.

    Notes
    -----
    2 N² flop a sweep of each chain, and as much for its energy; replicas × rungs chains.
    """
    ising = as_model(model)
    targets = ascending(betas, "betas")
    if ladder is None:
        steps = choose_ladder(ising, targets, **chain_options(run))
    else:
        steps = ascending(ladder, "ladder")
    rungs = _rungs(steps, targets)
    state, draws = Replicas(ising, steps, replicas, run), run["draws"]
    energy = np.empty((len(targets), replicas, draws))
    overlaps = np.zeros((2, len(targets), replicas))
    for draw in state.draws(burn_in, run):
        energy[:, :, draw] = state.energies()[rungs]
        for t, rung in enumerate(rungs):
            overlaps[:, t] += _overlap_sums(state.at(rung)) / draws
    variables = _variables(state, rungs, energy, overlaps)
    rhat, trips = variables["rhat"][1].max(), state.round_trips
    attributes = {
        "statistic": "replicas",
        "replicas": replicas,
        "seed": run["seed"],
        "sweeps": burn_in + draws * run["thin"],
        "round_trips": trips,
        "rhat_max": float(rhat),
        "converged": int(rhat < MAX_RHAT and (len(steps) == 1 or trips >= replicas)),
    }
    coordinate = ("beta", targets, {"long_name": "inverse temperature"})
    return xarray.Dataset(variables, {"beta": coordinate}, attributes)


@public
def choose_ladder(model: ModelLike, betas: ArrayLike, **run: Unpack[ChainOptions]) -> Floats:
    """Return inverse temperatures for exchanges, with those of ``betas`` among them.

    From the smaller of β_first/2 and β_last/10 (`ReplicaLadderConfig`), at distances as of
    `lsg_ray.ising.tempering.choose_betas`; each of ``betas`` replaces its neighbour.
    """
    targets = ascending(betas, "betas")
    if targets[0] <= 0:
        raise InputError(f"beta {targets[0]:g} given; a ladder has positive ones")
    hottest = min(CONFIG.share_of_first * targets[0], CONFIG.share_of_last * targets[-1])
    ladder = choose_betas(as_model(model), targets[-1], hottest=hottest, **run)
    near = np.abs(ladder[:, None] - targets).argmin(axis=0)
    # The hottest is retained: there, replicas lose their memory.
    retained = np.delete(ladder, near[near > 0])
    return np.unique(np.r_[retained, targets])


def _rungs(ladder: Floats, targets: Floats) -> list[int]:
    near = np.abs(ladder[:, None] - targets).argmin(axis=0)
    missing = targets[np.abs(ladder[near] - targets) > CONFIG.same_beta * np.abs(targets)]
    if len(missing):
        raise InputError(f"beta {missing[0]:g} is not in the ladder; add it there")
    return near.tolist()


def _overlap_sums(spins: Singles) -> Floats:
    """Return the means of q² and of |q| of each replica with the others: (2, replicas)."""
    m, n = spins.shape
    q = (spins @ spins.T).astype(np.float64) / n
    np.fill_diagonal(q, 0.0)
    return np.stack([(q**2).sum(axis=1), np.abs(q).sum(axis=1)]) / (m - 1)


def _variables(
    state: Replicas, rungs: list[int], energy: Floats, overlaps: Floats
) -> dict[str, Any]:
    """Return variables of energies (beta, replica, draw) and means of q² and |q| (2, …)."""
    nat, unitless, replicas = {"units": "nat"}, {"units": "1"}, energy.shape[1]
    by_replica = energy.mean(axis=2)
    spins = np.stack([state.at(rung) for rung in rungs]).astype(np.int8)
    rhat = np.array([series_rhat(series) for series in energy])
    variables: dict[str, Any] = {
        "spins": (("beta", "replica", "weight"), spins),
        "energy": (("beta", "replica"), energy[:, :, -1], nat),
        "energy_mean": ("beta", by_replica.mean(axis=1), nat),
        "energy_mean_stderr": ("beta", stderr(by_replica, 1), nat),
        "rhat": ("beta", rhat, {"long_name": "split R̂ of the energy"}),
        "ladder": ("rung", state.betas, {"long_name": "inverse temperature"}),
        "exchanged": ("rung", state.exchanged()),
    }
    for name, rows in zip(("q2", "q_abs"), overlaps, strict=True):
        # Jackknife: without a replica, a mean over pairs changes by twice that replica's deviation.
        spread = 2 * rows.std(axis=1, ddof=1) * (replicas - 1) / max(replicas - 2, 1)
        variables[name] = ("beta", rows.mean(axis=1), unitless)
        variables[f"{name}_stderr"] = ("beta", spread / np.sqrt(replicas), unitless)
    return variables


@public
def model_overlaps(
    model: ModelLike,
    *,
    replicas: Annotated[int, Ge(4)] = 64,
    burn_in: Natural = 2000,
    draws: Repeats = 20,
    **run: Unpack[Threads],
) -> xarray.Dataset:
    """Measure the overlaps of replicas of a model, and how ultrametric they are, beside nulls.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h): J (N, N) symmetric with zero diagonal, h (N,).
    replicas
        Number of replicas R, each from an independent ladder.
    burn_in
        Number of sweeps before replicas are drawn.
    draws
        Number of draws of each null.

    Returns
    -------
    xarray.Dataset
        As `lsg_ray.replica_overlaps`, with ``q`` (replica, replica_), (R, R); of models without
        fields, whose states come in pairs ±σ, with both signs of each overlap.  Attributes
        ``converged`` and ``rhat`` as in `draw_replicas`, ``energy_per_spin`` (nats).

    Raises
    ------
    InputError
        The model cannot be read, or fewer than 4 replicas or 2 draws are asked for.
    """
    ising = as_model(model)
    drawn = draw_replicas(ising, replicas=replicas, burn_in=burn_in, **run)
    flip: Flip = "keep" if ising.h.any() else "symmetric"
    overlaps = replica_overlaps(drawn["spins"].values[0], flip=flip, draws=draws, seed=run["seed"])
    return overlaps.assign_attrs(
        converged=drawn.attrs["converged"],
        rhat=float(drawn["rhat"].values[0]),
        energy_per_spin=float(drawn["energy_mean"].values[0]) / ising.n_spins,
    )


STAGE = Stage(
    "model-replicas",
    model_overlaps,
    reads={"model": MODEL},
    summary=overlap_summary,
    findings=replicas_findings,
    figures=[FIGURE],
    unit="sweeps",
)
