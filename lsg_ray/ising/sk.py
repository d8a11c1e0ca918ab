"""The Sherrington–Kirkpatrick model, the reference for replica-symmetry breaking.

E = −Σ_{i<j} J_ij σ_iσ_j with J_ij ~ N(0, 1/N), without fields; T = 1/β, transition at T = 1
(D. Sherrington, S. Kirkpatrick, Phys. Rev. Lett. 35, 1792 (1975)).  Known results:

- averaged over J, at any N and T, e = ⟨E⟩/N = −(β/2)(1 − ⟨q²⟩), by partial integration over the
  Gaussian couplings (H. G. Katzgraber, A. P. Young, Phys. Rev. B 67, 134410 (2003), for link
  overlaps); it fails before equilibrium, since energies fall while overlaps rise, so it tests
  equilibrium;
- above T = 1, ⟨q²⟩ = 1/(N(1 − β²)) to leading order, and e → −β/2;
- below, P(q) is broad (G. Parisi, Phys. Rev. Lett. 50, 1946 (1983)), with ⟨|q|⟩ → 1 − T, since
  ∫(1 − q(x)) dx = T; the ground state has e → −0.7632, of finite size about 0.70 N^(−2/3) higher.

Without a field σ and −σ are equally likely: both occur among replicas, and q as much as −q.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Unpack

import numpy as np
import xarray
from annotated_types import Ge

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.model_replicas import choose_ladder, draw_replicas
from lsg_ray.ising.montecarlo import Draws
from lsg_ray.results.graph import part_of
from lsg_ray.rng import Stream, generator, seed_sequence
from lsg_ray.stage import Stage
from lsg_ray.statistics.estimates import stderr
from lsg_ray.statistics.findings import replicas_findings
from lsg_ray.statistics.rsb import (
    FIGURE,
    lattice_edges,
    over_realisations,
    overlap_summary,
    replica_overlaps,
)
from lsg_ray.typing import (
    Array,
    Count,
    Floats,
    Natural,
    Numbers,
    Positive,
    Repeats,
    Seed,
    Several,
    Threads,
)


@dataclass(frozen=True)
class SKConfig:
    """How replicas of the SK model are drawn, and their equilibrium tested."""

    #: Temperature that every ladder reaches, above the transition.
    hot_temperature: float = 1.6
    #: Fewest realisations that the identity is tested with, and the deviation that passes, in
    #: standard errors.
    tested_from: int = 8
    max_deviation: float = 4.0


CONFIG = SKConfig()


@public
def sk_couplings(n: Several, seed: Seed = 0) -> Floats:
    """Return J (N, N), symmetric, J_ij ~ N(0, 1/N), zero diagonal.

    Examples
    --------
    >>> J = sk_couplings(400)
    >>> bool((J == J.T).all()), round(400 * float(J.var()), 2)
    (True, 1.0)
    """
    upper = np.triu(generator(seed, Stream.GLASS, 0).standard_normal((n, n)), 1) / np.sqrt(n)
    return upper + upper.T


@public
def sk_model(n: int, temperature: Positive = 1.0, seed: Seed = 0) -> IsingModel:
    """Return the SK model at a temperature: couplings βJ, no fields.

    `IsingModel` has β = 1, so the temperature is in the couplings.
    """
    attributes = {"system": "SK", "temperature": temperature, "seed": seed}
    return IsingModel(sk_couplings(n, seed) / temperature, np.zeros(n), attributes=attributes)


@public
def sk_replicas(
    n: int,
    temperatures: Sequence[float] = (0.3, 1.5),
    *,
    replicas: Several = 64,
    realisations: Count = 1,
    burn_in: Natural = 2000,
    draws: Draws = 200,
    thin: Count = 5,
    **run: Unpack[Threads],
) -> xarray.Dataset:
    """Draw equilibrium replicas of SK models by parallel tempering.

    Parameters
    ----------
    n
        Number of spins N.
    temperatures
        Temperatures T to draw at, all different.
    replicas
        Number of replicas of each realisation, each from an independent ladder.
    realisations
        Number of realisations of J.
    burn_in, draws, thin
        Number of sweeps before the first draw of energies and overlaps, of draws, and of sweeps
        between draws; the replicas are the configurations after the last sweep.
    seed
        Seed of J and of all moves.  Realisation r has the couplings
        ``sk_couplings(n, realisation_seed(seed, r))``.
    threads
        Number of threads, by default one per CPU.
    progress
        Called with ``(sweeps done, sweeps in all)``.

    Returns
    -------
    xarray.Dataset
        ``spins`` (realisation, temperature, replica, weight) int8 and their ``energy`` per spin;
        over (realisation, temperature): ``energy_mean`` (⟨E⟩/N), ``q2``, ``q_abs`` with
        ``_stderr``, ``rhat``; over ``temperature``: ``identity``, the average over J of
        e + (β/2)(1 − ⟨q²⟩), which is zero in equilibrium, and ``identity_stderr`` from the spread
        of realisations (NaN for one).  Over ``rung``: ``ladder`` of temperatures.  Attributes:
        ``converged``: R̂ and round trips of every realisation, and the identity within
        four standard errors where there are eight realisations or more (`SKConfig`);
        ``round_trips``, ``rhat_max``.

    Raises
    ------
    InputError
        Temperatures that are not positive or not different, or other numbers out of range.

    Notes
    -----
    See `lsg_ray.ising.model_replicas.draw_replicas`; all realisations share the ladder of the
    first.
    """
    targets = as_numbers(temperatures, "temperatures")
    if targets.ndim != 1 or not len(targets) or not (np.isfinite(targets) & (targets > 0)).all():
        raise InputError(f"temperatures {brief(temperatures)} given; positive numbers are needed")
    if len(np.unique(targets)) < len(targets):
        raise InputError(f"temperatures {brief(temperatures)} given; give each once")
    order = np.argsort(-targets)  # inverse temperatures ascend
    betas = 1 / targets[order]
    parts, ladder = [], None
    for r in range(realisations):
        own_seed = realisation_seed(run["seed"], r)
        model = IsingModel(sk_couplings(n, own_seed), np.zeros(n))
        if ladder is None:
            ladder = _ladder(model, betas, own_seed, run["threads"])
        part = draw_replicas(
            model,
            betas,
            replicas=replicas,
            ladder=ladder,
            burn_in=burn_in,
            draws=draws,
            thin=thin,
            seed=own_seed,
            threads=run["threads"],
            progress=part_of(run["progress"], r, realisations),
        )
        parts.append(part.isel(beta=np.argsort(order)))
    return _dataset(parts, targets, n, run["seed"])


def realisation_seed(seed: int, realisation: int) -> int:
    """Return the seed of the couplings and moves of a realisation.

    >>> realisation_seed(0, 0) == realisation_seed(0, 1)
    False
    """
    return int(seed_sequence(seed, Stream.GLASS, 3, realisation).generate_state(1)[0])


def _ladder(model: IsingModel, betas: Floats, seed: int, threads: int | None) -> Floats:
    hottest = 1 / CONFIG.hot_temperature
    targets = np.r_[hottest, betas] if betas[0] > hottest else betas
    if len(targets) == 1:
        return betas
    ladder = choose_ladder(model, targets, seed=seed, threads=threads)
    return ladder[ladder >= min(betas[0], hottest)]


def _dataset(
    parts: list[xarray.Dataset], temperatures: Floats, n: int, seed: int
) -> xarray.Dataset:
    count = len(parts)

    def stack(name: str) -> Array:
        return np.stack([part[name].values for part in parts])

    unitless = {"units": "1"}
    e, q2 = stack("energy_mean") / n, stack("q2")
    residual = e + (1 - q2) / (2 * temperatures)
    error = stderr(residual, 0) if count > 1 else np.full(len(e[0]), np.nan)
    identity = residual.mean(axis=0)
    dims = ("realisation", "temperature")
    unchanged = ("q2", "q2_stderr", "q_abs", "q_abs_stderr", "rhat")
    variables: dict[str, Any] = {
        "spins": ((*dims, "replica", "weight"), stack("spins")),
        "energy": ((*dims, "replica"), stack("energy") / n, {"long_name": "E/N", **unitless}),
        "energy_mean": (dims, e, {"long_name": "⟨E⟩/N", **unitless}),
        "energy_mean_stderr": (dims, stack("energy_mean_stderr") / n, unitless),
        **{name: (dims, stack(name), unitless) for name in unchanged},
        "identity": ("temperature", identity, {"long_name": "e + (β/2)(1 − ⟨q²⟩)", **unitless}),
        "identity_stderr": ("temperature", error, unitless),
        "ladder": ("rung", 1 / parts[0]["ladder"].values, {"long_name": "temperature"}),
        "exchanged": (("realisation", "rung"), stack("exchanged")),
    }
    tested = count >= CONFIG.tested_from
    holds = not tested or bool((np.abs(identity) < CONFIG.max_deviation * error).all())
    attributes = {
        "statistic": "SK replicas",
        "n_spins": n,
        "seed": seed,
        "sweeps": parts[0].attrs["sweeps"],
        "replicas": parts[0].attrs["replicas"],
        "realisations": count,
        "round_trips": [int(part.attrs["round_trips"]) for part in parts],
        "rhat_max": max(part.attrs["rhat_max"] for part in parts),
        "identity_tested": int(tested),
        "converged": int(all(part.attrs["converged"] for part in parts) and holds),
    }
    coordinate = ("temperature", temperatures, {"long_name": "temperature T"})
    return xarray.Dataset(variables, {"temperature": coordinate}, attributes)


@public
def sk_overlaps(
    *,
    n: Annotated[int, Ge(4)] = 128,
    temperature: Positive = 0.3,
    temperatures: Numbers = (0.3, 1.5),
    replicas: Annotated[int, Ge(4)] = 32,
    realisations: Count = 1,
    burn_in: Natural = 2000,
    draws: Repeats = 20,
    **run: Unpack[Threads],
) -> xarray.Dataset:
    """Measure overlaps of replicas of the SK model at a temperature, and how ultrametric they are.

    Parameters
    ----------
    n
        Number of spins N.
    temperature
        Temperature T to measure at, one of those drawn.
    temperatures
        Temperatures T that are drawn together, by parallel tempering.
    replicas
        Number of replicas of each realisation, each from an independent ladder.
    realisations
        Number of realisations of the couplings, averaged over.
    burn_in
        Number of sweeps before replicas are drawn.
    draws
        Number of draws of each null model.

    Returns
    -------
    xarray.Dataset
        As `lsg_ray.replica_overlaps`.

    Raises
    ------
    InputError
        The temperature is not drawn; or as `sk_replicas`.

    Examples
    --------
    >>> overlaps = sk_overlaps(
    ...     n=16, temperature=2, temperatures=(2,), replicas=8, burn_in=20, draws=2
    ... )
    >>> overlaps.attrs["system"], overlaps.attrs["n_pairs"]
    ('SK 16, T = 2', 28)
    """
    drawn_at = as_numbers(temperatures, "temperatures").tolist()
    if temperature not in drawn_at:
        raise InputError(f"temperature {temperature:g} given; {brief(drawn_at)} are drawn")
    key = (n, tuple(drawn_at), replicas, realisations, burn_in, run["seed"])
    if key not in _LAST_DRAW:  # one draw serves all temperatures
        _LAST_DRAW.clear()
        _LAST_DRAW[key] = sk_replicas(
            n, drawn_at, replicas=replicas, realisations=realisations, burn_in=burn_in, **run
        )
    drawn = _LAST_DRAW[key].isel(temperature=drawn_at.index(temperature))
    measure = partial(
        replica_overlaps, flip="symmetric", bins=lattice_edges(n), draws=draws, seed=run["seed"]
    )
    overlaps = over_realisations(list(map(measure, drawn["spins"].values)))
    return overlaps.assign_attrs(
        system=f"SK {n}, T = {temperature:g}",
        converged=drawn.attrs["converged"],
        temperature=temperature,
        energy_per_spin=float(drawn["energy_mean"].mean()),
        rhat=float(drawn["rhat"].max()),
    )


#: The last draw by its options, cached for the other temperatures.
_LAST_DRAW: dict[tuple[Any, ...], xarray.Dataset] = {}

STAGE = Stage(
    "sk",
    sk_overlaps,
    reads={},
    summary=overlap_summary,
    findings=replicas_findings,
    figures=[FIGURE],
    unit="sweeps",
)
