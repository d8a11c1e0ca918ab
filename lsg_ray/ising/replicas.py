"""Independent replicas of an Ising model at several temperatures, by parallel tempering.

Each replica comes from a ladder of its own (`lsg_ray.ising.tempering`), so replicas share nothing
but the model, however slowly a ladder forgets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.chains import Method
from lsg_ray.ising.model import as_model
from lsg_ray.ising.montecarlo import FEWEST_DRAWS, RHAT, series_rhat
from lsg_ray.ising.tempering import Replicas, choose_betas
from lsg_ray.typing import Floats, ModelLike, Progress, Signs, Singles

#: A ladder goes up to this part of the first inverse temperature that is asked for.
HOTTER = 0.5
#: Two inverse temperatures of a ladder are one if they differ by less than this part.
SAME = 1e-9


@public
def draw_replicas(
    model: ModelLike,
    betas: ArrayLike = (1.0,),
    *,
    replicas: int = 64,
    ladder: ArrayLike | None = None,
    burn_in: int = 1000,
    draws: int = 200,
    thin: int = 5,
    method: Method = "heat-bath",
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Draw replicas from P(σ) ∝ exp(−βE) at each inverse temperature.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    betas
        Inverse temperatures that are wanted, ascending.
    replicas
        Independent ladders, each of which gives one replica at each temperature.
    ladder
        Inverse temperatures of a ladder; see `choose_ladder`, the default.
    burn_in, draws, thin
        Sweeps before the first draw of energies and overlaps; how many, ``thin`` sweeps apart.
        Replicas are what stands there after the last.
    method, seed, threads
        As in `lsg_ray.ising.chains.Chains`.
    progress
        Told ``(sweeps done, sweeps in all)``.

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
    wanted = _ascending(betas, "betas")
    if replicas < 2 or draws < FEWEST_DRAWS or thin < 1 or burn_in < 0:
        raise InputError(
            f"replicas {replicas}, draws {draws}, thin {thin}, burn_in {burn_in} given; at least "
            f"2, {FEWEST_DRAWS}, 1 and 0"
        )
    steps = (
        choose_ladder(ising, wanted, method=method, seed=seed, threads=threads)
        if ladder is None
        else _ascending(ladder, "ladder")
    )
    places = _places(steps, wanted)
    state = Replicas(ising, steps, replicas, method, seed, threads)
    total = burn_in + draws * thin
    energy = np.empty((len(wanted), replicas, draws))
    by_row = np.zeros((2, len(wanted), replicas))
    for sweep in range(1, total + 1):
        state.step()
        if sweep == burn_in:
            state.forget()
        if sweep > burn_in and (sweep - burn_in) % thin == 0:
            draw = (sweep - burn_in) // thin - 1
            energy[:, :, draw] = state.energies()[places]
            for t, place in enumerate(places):
                by_row[:, t] += _overlap_sums(state.at(place)) / draws
        if progress is not None and sweep % 10 == 0:
            progress(sweep, total)
    spins = np.stack([state.at(place) for place in places]).astype(np.int8)
    measured = _Measured(spins, energy, by_row)
    return _dataset(measured, wanted, steps, state, total, seed)


@public
def choose_ladder(
    model: ModelLike,
    betas: ArrayLike,
    *,
    method: Method = "heat-bath",
    seed: int = 0,
    threads: int | None = None,
) -> Floats:
    """Return inverse temperatures for exchanges, with those of ``betas`` among them.

    From the smaller of β_first · `HOTTER` and β_last/10, `SPACING` widths of the energy apart;
    each wanted one replaces its neighbour.
    """
    wanted = _ascending(betas, "betas")
    if wanted[0] <= 0:
        raise InputError(f"beta {wanted[0]:g} given; a ladder has positive ones")
    hottest = min(HOTTER * wanted[0], 0.1 * wanted[-1])
    found = choose_betas(
        as_model(model), wanted[-1], hottest=hottest, method=method, seed=seed, threads=threads
    )
    near = np.abs(found[:, None] - wanted).argmin(axis=0)
    # The hottest stays: it is there to forget.
    kept = np.delete(found, near[near > 0])
    return np.unique(np.r_[kept, wanted])


def _ascending(given: ArrayLike, name: str) -> Floats:
    found = as_numbers(given, name)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise InputError(f"{name} {brief(given)} given; finite numbers are needed")
    if (np.diff(found) <= 0).any():
        raise InputError(f"{name} must ascend")
    return found


def _places(ladder: Floats, wanted: Floats) -> list[int]:
    near = np.abs(ladder[:, None] - wanted).argmin(axis=0)
    missing = wanted[np.abs(ladder[near] - wanted) > SAME * np.abs(wanted)]
    if len(missing):
        raise InputError(f"beta {missing[0]:g} is not in the ladder; add it")
    return near.tolist()


def _overlap_sums(spins: Singles) -> Floats:
    """Return the means of q² and of |q| of each replica with the others: (2, replicas)."""
    m, n = spins.shape
    q = (spins @ spins.T).astype(np.float64) / n
    np.fill_diagonal(q, 0.0)
    return np.stack([(q**2).sum(axis=1), np.abs(q).sum(axis=1)]) / (m - 1)


class _Measured(NamedTuple):
    """Last spins; energies (beta, replica, draw); means of q² and |q| (2, beta, replica)."""

    spins: Signs
    energy: Floats
    overlaps: Floats


def _dataset(
    measured: _Measured, wanted: Floats, ladder: Floats, state: Replicas, sweeps: int, seed: int
) -> xarray.Dataset:
    nat, one = {"units": "nat"}, {"units": "1"}
    energy, replicas = measured.energy, measured.energy.shape[1]
    rhat = np.array([series_rhat(some) for some in energy])
    by_replica = energy.mean(axis=2)
    found: dict[str, Any] = {
        "spins": (("beta", "replica", "weight"), measured.spins),
        "energy": (("beta", "replica"), energy[:, :, -1], nat),
        "energy_mean": ("beta", by_replica.mean(axis=1), nat),
        "energy_mean_stderr": ("beta", by_replica.std(axis=1, ddof=1) / np.sqrt(replicas), nat),
        "rhat": ("beta", rhat, {"long_name": "split R̂ of the energy"}),
        "ladder": ("rung", ladder, {"long_name": "inverse temperature"}),
        "exchanged": ("rung", state.exchanged()),
    }
    for name, rows in zip(("q2", "q_abs"), measured.overlaps, strict=True):
        # A mean over pairs: without a replica, it changes by twice what its own mean differs by.
        mean = rows.mean(axis=1)
        spread = 2 * rows.std(axis=1, ddof=1) * (replicas - 1) / max(replicas - 2, 1)
        found[name] = ("beta", mean, one)
        found[f"{name}_stderr"] = ("beta", spread / np.sqrt(replicas), one)
    trips = state.round_trips
    mixed = len(ladder) == 1 or trips >= replicas
    attributes = {
        "statistic": "replicas", "replicas": replicas, "seed": seed, "sweeps": sweeps,
        "round_trips": trips, "rhat_max": float(rhat.max()),
        "converged": int(rhat.max() < RHAT and mixed),
    }  # fmt: skip
    about = {"long_name": "inverse temperature"}
    return xarray.Dataset(found, {"beta": ("beta", wanted, about)}, attributes)
