"""Equilibrium averages of an Ising model by Monte Carlo, with errors and convergence flags.

Many independent chains from random starts: averages over chains have errors that need no model of
the autocorrelation.  Whether the chains have forgotten their starts is told by split-R̂ (Gelman et
al., Bayesian Data Analysis, 3rd ed., eq. 11.4): each chain is halved, and the spread between halves
of different chains is compared with that within; by the integrated autocorrelation time τ of the
energy (Sokal's window, c = 5), and the effective sample size, draws over 1 + 2 Σ ρ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray
from numpy.typing import ArrayLike, NDArray

from lsg_ray.errors import InputError
from lsg_ray.ising.chains import Chains, Layout, Method, Order
from lsg_ray.ising.model import as_model

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

#: Chains have converged when no R̂ is above this.
RHAT = 1.05
#: Draws of a chain, at least: its halves are compared.
FEWEST_DRAWS = 4


def sample_model(
    model: Any,
    *,
    chains: int = 1024,
    burn_in: int = 200,
    draws: int = 100,
    thin: int = 5,
    beta: float = 1.0,
    method: Method = "heat-bath",
    order: Order = "sequential",
    layout: Layout = "auto",
    start: ArrayLike | None = None,
    seed: int = 0,
    threads: int | None = None,
    triples: ArrayLike | None = None,
    keep: int = 0,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Estimate m, C, the energy and triple moments of a model.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    chains, burn_in, draws, thin
        Independent chains; sweeps before the first draw; draws of each, ``thin`` sweeps apart.
    beta, method, order, layout, start, seed, threads
        As in `Chains`.
    triples
        (T, 3) indices of spins whose third moments are wanted.
    keep
        How many configurations to return, from the last draws.
    progress
        Told ``(sweeps done, sweeps in all)``.

    Returns
    -------
    xarray.Dataset
        ``m`` (weight), ``C`` (weight, weight_), ``energy_mean`` with ``_stderr`` each; ``energy``
        (chain, draw); ``rhat`` (weight); with triples ``third`` and ``third_connected`` (triple)
        and their errors; with `keep`, ``configurations`` (configuration, weight).  Attributes:
        ``converged``, ``rhat_max``, ``energy_rhat``, ``autocorrelation`` (τ in sweeps),
        ``effective_samples``, ``acceptance``, ``sweeps``.

    Raises
    ------
    InputError
        Numbers below one, or a start or triples that do not fit.

    Notes
    -----
    2 N² flop for each sweep of a chain, and as much for each draw: about 45 million spins a second
    on one core at N = 675.
    """
    ising = as_model(model)
    if chains < 2 or draws < FEWEST_DRAWS or thin < 1 or burn_in < 0:
        raise InputError(
            f"chains {chains}, draws {draws}, thin {thin}, burn_in {burn_in} given; at least 2, "
            f"{FEWEST_DRAWS}, 1 and 0"
        )
    if not 0 <= keep <= chains:
        raise InputError(f"keep {keep} given; from 0 to the number of chains, {chains}")
    state = Chains(
        ising, chains, seed=seed, beta=beta, method=method, order=order, layout=layout,
        start=start, threads=threads,
    )  # fmt: skip
    third = _Triples(triples, ising.n_spins, len(state.groups))
    total = burn_in + draws * thin
    for done in range(0, burn_in, 10):
        state.sweep(min(10, burn_in - done))
        _tell(progress, state.sweeps, total)
    groups = len(state.groups)
    n = ising.n_spins
    second = np.zeros((groups, n, n))
    halves = [[np.zeros((n, g.stop - g.start)) for g in state.groups] for _ in range(2)]
    energy = np.empty((chains, draws))
    for draw in range(draws):
        state.sweep(thin)
        late = 2 * draw >= draws + draws % 2  # an odd draw more belongs to the first half
        for g, spins in enumerate(state.by_spin()):
            halves[late][g] += spins
            third.add(g, spins)
        for g, product in enumerate(state.products()):
            second[g] += product
        energy[:, draw] = state.energies()
        _tell(progress, state.sweeps, total)
    first, last = (np.concatenate(half, axis=1) for half in halves)
    sizes = np.array([g.stop - g.start for g in state.groups])
    C = second.sum(axis=0) / (chains * draws)
    by_group = second / (sizes * draws)[:, None, None]
    found = _averages((first + last) / draws, C, by_group, sizes)
    rhat = _split_rhat(first / (draws // 2 + draws % 2), last / (draws // 2), draws)
    tau = autocorrelation_time(energy)
    energy_rhat = _energy_rhat(energy)
    worst = float(max(rhat.max(), energy_rhat))
    about = {"units": "nat"}
    found |= {
        "energy": (("chain", "draw"), energy, about),
        "energy_mean": ((), float(energy.mean()), about),
        "energy_mean_stderr": ((), float(energy.mean(axis=1).std(ddof=1) / np.sqrt(chains)), about),
        "rhat": ("weight", rhat, {"long_name": "split R̂"}),
        **third.variables(sizes * draws, found["m"][1], C),
    }
    if keep:
        found["configurations"] = (("configuration", "weight"), state.spins[:keep])
    return xarray.Dataset(
        found,
        attrs={
            "statistic": "monte carlo",
            "beta": beta, "method": method, "order": order, "seed": seed, "chains": chains,
            "draws": draws, "thin": thin, "sweeps": state.sweeps, "acceptance": state.acceptance,
            "rhat_max": float(rhat.max()), "energy_rhat": energy_rhat,
            "autocorrelation": tau * thin, "effective_samples": chains * draws / max(2 * tau, 1.0),
            "converged": int(worst < RHAT),
        },
    )  # fmt: skip


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _averages(
    by_chain: Floats, C: Floats, by_group: Floats, sizes: NDArray[np.int64]
) -> dict[str, Any]:
    m = by_chain.mean(axis=1)
    m_error = by_chain.std(axis=1, ddof=1) / np.sqrt(by_chain.shape[1])
    groups = len(by_group)
    share = sizes / sizes.sum()
    C_error = (
        np.sqrt(np.einsum("g,gij->ij", share, (by_group - C) ** 2) / (groups - 1))
        if groups > 1
        else np.full(C.shape, np.nan)
    )
    one = {"units": "1"}
    return {
        "m": ("weight", m, {"long_name": "magnetization", **one}),
        "m_stderr": ("weight", m_error, one),
        "C": (("weight", "weight_"), C, {"long_name": "correlation", **one}),
        "C_stderr": (("weight", "weight_"), C_error, one),
    }


def _split_rhat(first: Floats, last: Floats, draws: int) -> Floats:
    """R̂ of every spin, from the means (N, chains) of the halves of its chains: σ² = 1."""
    length = draws // 2
    means = np.concatenate([first, last], axis=1)
    within = np.mean((1 - means**2), axis=1) * length / max(length - 1, 1)
    between = length * means.var(axis=1, ddof=1)
    estimate = (length - 1) / length * within + between / length
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(within > 0, np.sqrt(estimate / within), np.where(between > 0, np.inf, 1.0))


def _energy_rhat(energy: Floats) -> float:
    half = energy.shape[1] // 2
    pieces = np.concatenate([energy[:, :half], energy[:, -half:]])
    within = pieces.var(axis=1, ddof=1).mean() if half > 1 else 0.0
    between = half * pieces.mean(axis=1).var(ddof=1)
    if within <= 0:
        return 1.0 if between <= 1e-20 else float("inf")
    return float(np.sqrt(((half - 1) / half * within + between / half) / within))


def autocorrelation_time(series: ArrayLike, window: float = 5.0) -> float:
    """Integrated autocorrelation time ½ + Σ ρ(t), in draws, of chains (chains, draws).

    ρ is averaged over the chains around their common mean; the sum stops at the first t that is
    ``window`` times the sum so far (A. Sokal, 1996 lecture notes, Sec. 3).

    Examples
    --------
    >>> autocorrelation_time(np.random.default_rng(0).normal(size=(50, 400))).__round__(1)
    0.5
    """
    x = np.asarray(series, np.float64)
    x = x - x.mean()
    n = x.shape[1]
    spectrum = np.abs(np.fft.rfft(x, 2 * n, axis=1)) ** 2
    covariance = np.fft.irfft(spectrum, axis=1)[:, :n].mean(axis=0) / (n - np.arange(n))
    if covariance[0] <= 0:
        return 0.5
    time = 0.5
    for t in range(1, n):
        time += covariance[t] / covariance[0]
        if t >= window * time:
            break
    return max(float(time), 0.5)


class _Triples:
    """Sums of σ_iσ_jσ_k by group."""

    def __init__(self, triples: ArrayLike | None, n: int, groups: int) -> None:
        from lsg_ray.statistics.triples import choose_triples

        self.indices = choose_triples([] if triples is None else triples, n, 0)
        self.sums = np.zeros((groups, len(self.indices)))

    def add(self, group: int, spins: NDArray[np.float32]) -> None:
        if len(self.indices):
            i, j, k = self.indices.T
            self.sums[group] += np.einsum("tc,tc,tc->t", spins[i], spins[j], spins[k])

    def variables(self, counts: NDArray[np.int64], m: Floats, C: Floats) -> dict[str, Any]:
        if not len(self.indices):
            return {}
        i, j, k = self.indices.T
        raw = self.sums.sum(axis=0) / counts.sum()
        connected = raw - m[i] * C[j, k] - m[j] * C[i, k] - m[k] * C[i, j] + 2 * m[i] * m[j] * m[k]
        by_group = self.sums / counts[:, None]
        error = np.sqrt(((by_group - raw) ** 2).mean(axis=0) / max(len(counts) - 1, 1))
        one = {"units": "1"}
        found = {"third": raw, "third_connected": connected, "third_stderr": error}
        places = {name: self.indices[:, n] for n, name in enumerate("ijk")}
        return {name: ("triple", values, one) for name, values in {**found, **places}.items()}
