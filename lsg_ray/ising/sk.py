"""The Sherrington–Kirkpatrick model, the reference for replica-symmetry breaking.

E = −Σ_{i<j} J_ij σ_iσ_j with J_ij ~ N(0, 1/N), without fields; T = 1/β, transition at T = 1
(D. Sherrington, S. Kirkpatrick, Phys. Rev. Lett. 35, 1792 (1975)).  What is known of it:

- averaged over J, at any N and T, e = ⟨E⟩/N = −(β/2)(1 − ⟨q²⟩), by partial integration over the
  Gaussian couplings (H. G. Katzgraber, A. P. Young, Phys. Rev. B 67, 134410 (2003), for link
  overlaps); a system that is too hot or too young breaks it, since energies fall while overlaps
  rise, so it tests equilibrium;
- above T = 1, ⟨q²⟩ = 1/(N(1 − β²)) to leading order, and e → −β/2;
- below, P(q) is broad (G. Parisi, Phys. Rev. Lett. 50, 1946 (1983)), with ⟨|q|⟩ → 1 − T, since
  ∫(1 − q(x)) dx = T; the ground state has e → −0.7632, of finite size about 0.70 N^(−2/3) higher.

Without a field σ and −σ are equally likely: both occur among replicas, and q as much as −q.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
import xarray
from annotated_types import Ge

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.model_replicas import choose_ladder, draw_replicas
from lsg_ray.ising.montecarlo import Draws
from lsg_ray.rng import Stream, generator, seed_sequence
from lsg_ray.stage import Stage
from lsg_ray.statistics.estimates import stderr
from lsg_ray.statistics.rsb import (
    FIGURE,
    lattice_edges,
    over_realisations,
    overlap_summary,
    replica_overlaps,
)
from lsg_ray.typing import Array, Count, Floats, Natural, Numbers, Positive, Progress, Seed, Several

#: Temperature that every ladder reaches, above the transition.
HOT_TEMPERATURE = 1.6
#: Realisations from which the identity is tested, and deviation, in standard errors, that passes.
TESTED_FROM, DEVIATION = 8, 4.0


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
    seed: Seed = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Draw equilibrium replicas of SK models by parallel tempering.

    Parameters
    ----------
    n
        Spins N.
    temperatures
        Which are wanted, each once.
    replicas
        Of each realisation, from independent ladders.
    realisations
        Of J.
    burn_in, draws, thin
        Sweeps before draws of energies and overlaps, their number, and sweeps between them;
        replicas are what stands there after the last.
    seed
        Of J and of all moves.  Realisation r has the couplings
        ``sk_couplings(n, realisation_seed(seed, r))``.
    threads
        By default one per CPU.
    progress
        Told ``(sweeps done, sweeps in all)``.

    Returns
    -------
    xarray.Dataset
        ``spins`` (realisation, temperature, replica, weight) int8 and their ``energy`` per spin;
        over (realisation, temperature): ``energy_mean`` (⟨E⟩/N), ``q2``, ``q_abs`` with
        ``_stderr``, ``rhat``; over ``temperature``: ``identity``, the average over J of
        e + (β/2)(1 − ⟨q²⟩), which is zero in equilibrium, and ``identity_stderr`` from the spread
        of realisations (NaN for one).  Over ``rung``: ``ladder`` of temperatures.  Attributes:
        ``converged``: R̂ and round trips of every realisation, and the identity within
        `DEVIATION` errors where there are `TESTED_FROM` realisations; ``round_trips``,
        ``rhat_max``.

    Raises
    ------
    InputError
        Numbers out of range.

    Notes
    -----
    See `lsg_ray.ising.model_replicas.draw_replicas`; all realisations share the ladder of the
    first.
    """
    wanted = as_numbers(temperatures, "temperatures")
    if wanted.ndim != 1 or not len(wanted) or not (np.isfinite(wanted) & (wanted > 0)).all():
        raise InputError(f"temperatures {brief(temperatures)} given; positive numbers are needed")
    if len(np.unique(wanted)) < len(wanted):
        raise InputError(f"temperatures {brief(temperatures)} given; each once")
    order = np.argsort(-wanted)  # inverse temperatures ascend
    betas = 1 / wanted[order]
    parts, ladder, sweeps = [], None, burn_in + draws * thin
    total = realisations * sweeps
    for r in range(realisations):
        own = realisation_seed(seed, r)
        model = IsingModel(sk_couplings(n, own), np.zeros(n))
        if ladder is None:
            ladder = _ladder(model, betas, own, threads)
        tell = None if progress is None else partial(_tell, progress, r * sweeps, total)
        part = draw_replicas(
            model, betas, replicas=replicas, ladder=ladder, burn_in=burn_in, draws=draws,
            thin=thin, seed=own, threads=threads, progress=tell,
        )  # fmt: skip
        parts.append(part.isel(beta=np.argsort(order)))
    return _dataset(parts, wanted, n, seed)


def realisation_seed(seed: int, realisation: int) -> int:
    """Return the seed of the couplings and moves of a realisation.

    >>> realisation_seed(0, 0) == realisation_seed(0, 1)
    False
    """
    return int(seed_sequence(seed, Stream.GLASS, 3, realisation).generate_state(1)[0])


def _ladder(model: IsingModel, betas: Floats, seed: int, threads: int | None) -> Floats:
    if betas[0] > 1 / HOT_TEMPERATURE:
        found = choose_ladder(
            model, [1 / HOT_TEMPERATURE, *betas.tolist()], seed=seed, threads=threads
        )
        return found[found >= 1 / HOT_TEMPERATURE]
    if len(betas) == 1:
        return betas
    found = choose_ladder(model, betas, seed=seed, threads=threads)
    return found[found >= min(betas[0], 1 / HOT_TEMPERATURE)]


def _tell(progress: Progress, before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


def _dataset(
    parts: list[xarray.Dataset], temperatures: Floats, n: int, seed: int
) -> xarray.Dataset:
    count = len(parts)

    def all_of(name: str) -> Array:
        return np.stack([part[name].values for part in parts])

    one = {"units": "1"}
    e, q2 = all_of("energy_mean") / n, all_of("q2")
    residual = e + (1 - q2) / (2 * temperatures)
    error = stderr(residual, 0) if count > 1 else np.full(len(e[0]), np.nan)
    identity = residual.mean(axis=0)
    dims, directly = (
        ("realisation", "temperature"),
        ("q2", "q2_stderr", "q_abs", "q_abs_stderr", "rhat"),
    )
    found: dict[str, Any] = {
        "spins": ((*dims, "replica", "weight"), all_of("spins")),
        "energy": ((*dims, "replica"), all_of("energy") / n, {"long_name": "E/N", **one}),
        "energy_mean": (dims, e, {"long_name": "⟨E⟩/N", **one}),
        "energy_mean_stderr": (dims, all_of("energy_mean_stderr") / n, one),
        **{name: (dims, all_of(name), one) for name in directly},
        "identity": ("temperature", identity, {"long_name": "e + (β/2)(1 − ⟨q²⟩)", **one}),
        "identity_stderr": ("temperature", error, one),
        "ladder": ("rung", 1 / parts[0]["ladder"].values, {"long_name": "temperature"}),
        "exchanged": (("realisation", "rung"), all_of("exchanged")),
    }
    holds = count < TESTED_FROM or bool((np.abs(identity) < DEVIATION * error).all())
    attributes = {
        "statistic": "SK replicas", "n_spins": n, "seed": seed, "sweeps": parts[0].attrs["sweeps"],
        "replicas": parts[0].attrs["replicas"], "realisations": count,
        "round_trips": [int(part.attrs["round_trips"]) for part in parts],
        "rhat_max": max(part.attrs["rhat_max"] for part in parts),
        "identity_tested": int(count >= TESTED_FROM),
        "converged": int(all(part.attrs["converged"] for part in parts) and holds),
    }  # fmt: skip
    about = {"long_name": "temperature T"}
    return xarray.Dataset(found, {"temperature": ("temperature", temperatures, about)}, attributes)


@public
def sk_overlaps(
    *,
    n: Annotated[int, Ge(4)] = 128,
    temperature: Positive = 0.3,
    temperatures: Numbers = (0.3, 1.5),
    replicas: Annotated[int, Ge(4)] = 32,
    realisations: Count = 1,
    burn_in: Natural = 2000,
    draws: Several = 20,
    seed: Seed = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Measure overlaps of replicas of the SK model at a temperature, and how ultrametric they are.

    Parameters
    ----------
    n
        Spins N.
    temperature
        One of those drawn.
    temperatures
        Drawn together, by parallel tempering.
    replicas
        From independent ladders.
    realisations
        Of the couplings, averaged over.
    burn_in
        Sweeps before replicas are drawn.
    draws
        Of each null.

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
    >>> found = sk_overlaps(n=16, temperature=2, temperatures=(2,), replicas=8, burn_in=20, draws=2)
    >>> found.attrs["system"], found.attrs["n_pairs"]
    ('SK 16, T = 2', 28)
    """
    wanted = as_numbers(temperatures, "temperatures").tolist()
    if temperature not in wanted:
        raise InputError(f"temperature {temperature:g} given; {brief(wanted)} are drawn")
    drawing = (n, tuple(wanted), replicas, realisations, burn_in, seed)
    if drawing not in _DRAWN:  # one draw serves all temperatures
        _DRAWN.clear()
        _DRAWN[drawing] = sk_replicas(
            n, wanted, replicas=replicas, realisations=realisations, burn_in=burn_in, seed=seed,
            threads=threads, progress=progress,
        )  # fmt: skip
    drawn = _DRAWN[drawing].isel(temperature=wanted.index(temperature))
    measure = partial(
        replica_overlaps, flip="symmetric", bins=lattice_edges(n), draws=draws, seed=seed
    )
    found = over_realisations(list(map(measure, drawn["spins"].values)))
    return found.assign_attrs(
        system=f"SK {n}, T = {temperature:g}", converged=drawn.attrs["converged"],
        temperature=temperature, energy_per_spin=float(drawn["energy_mean"].mean()),
        rhat=float(drawn["rhat"].max()),
    )  # fmt: skip


#: The last draw.
_DRAWN: dict[tuple[Any, ...], xarray.Dataset] = {}

STAGE = Stage("sk", sk_overlaps, reads={}, summary=overlap_summary, figures=[FIGURE], unit="sweeps")
