"""Equilibrium averages of an Ising model by Monte Carlo, with errors and convergence flags.

Many independent chains from random starts: averages over chains have errors that need no model of
the autocorrelation.  Whether the chains have forgotten their starts is measured by split-R̂ (Gelman
et al., Bayesian Data Analysis, 3rd ed., eq. 11.4): each chain is halved, and the spread between
halves of different chains is compared with that within; by the integrated autocorrelation time τ of
the energy (Sokal's window, c = 5); and by the effective sample size, draws over 1 + 2 Σ ρ.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any, NamedTuple, Unpack

import numpy as np
import xarray
from annotated_types import Ge, Le
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.ising.chains import Chains, Layout, Method, Order, start_of_chains
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.references import as_references
from lsg_ray.results.graph import compute, share
from lsg_ray.statistics.estimates import estimate, stderr
from lsg_ray.statistics.triples import choose_triples, connected_third
from lsg_ray.typing import (
    MAX_DRAWS,
    Count,
    Floats,
    Ints,
    ModelLike,
    Natural,
    Progress,
    Several,
    Signs,
    Singles,
    Threads,
    Variables,
)

#: Chains have converged when no R̂ is above this.
MAX_RHAT = 1.05
#: Fewest draws of a chain: its halves are compared.
MIN_DRAWS = 4
Draws = Annotated[int, Ge(MIN_DRAWS), Le(MAX_DRAWS)]


@public
def sample_model(
    model: ModelLike,
    *,
    chains: Several = 1024,
    burn_in: Natural = 200,
    draws: Draws = 100,
    thin: Count = 5,
    beta: float = 1.0,
    method: Method = "heat-bath",
    order: Order = "sequential",
    layout: Layout = "auto",
    start: ArrayLike | None = None,
    triples: ArrayLike | None = None,
    references: ArrayLike | None = None,
    keep: Natural = 0,
    batches: Count = 1,
    groups: bool = False,
    **run: Unpack[Threads],
) -> xarray.Dataset:
    """Estimate m, C, the energy and triple moments of a model.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    chains, burn_in, draws, thin
        Number of independent chains, of sweeps before the first draw, of draws of each chain, and
        of sweeps between draws.
    beta, method, order, layout, start, seed, threads
        As in `Chains`.
    triples
        (T, 3) indices of the spins of third moments to estimate.
    references
        (R, N) configurations, to estimate their mean overlap with those of the model.
    keep
        Number of configurations to return, from the last draws.
    batches
        Number of tasks that the chains are cut into, under Dask's current scheduler: on a cluster.
        Each has random numbers of its own, so a result depends on this number, not on where it
        runs.
    groups
        Whether to return also the averages of the groups of chains, which are independent.
    progress
        Called with ``(sweeps done, sweeps in all)``.

    Returns
    -------
    xarray.Dataset
        ``m`` (weight), ``C`` (weight, weight_), ``energy_mean`` with ``_stderr`` each; ``energy``
        (chain, draw); ``rhat`` (weight); with triples ``third`` and ``third_connected`` (triple)
        and their errors; with references ``overlap`` (reference), Σ σ*_i m_i/N, with its error, for
        which the m_i are not independent; with `keep`, ``configurations`` (configuration, weight);
        with `groups`, ``m_group`` and ``C_group`` (group, …).
        Attributes: ``converged``, ``rhat_max``, ``energy_rhat``, ``autocorrelation`` (τ in sweeps),
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
    if keep > chains:
        raise InputError(f"keep {keep} given; from 0 to the number of chains, {chains}")
    if batches > chains // 2:
        raise InputError(f"batches {batches} given; from 1 to half of the {chains} chains")
    chosen = choose_triples([] if triples is None else triples, ising.n_spins, 0)
    sigma = None if references is None else as_references(references, ising).sigma
    job = _Run(
        ising,
        burn_in,
        draws,
        thin,
        chosen,
        run["seed"],
        {"beta": beta, "method": method, "order": order, "layout": layout},
    )
    edges = np.linspace(0, chains, batches + 1).astype(int).tolist()
    first = None if start is None else start_of_chains(start, chains, ising.n_spins)
    starts = [None if first is None else first[a:b] for a, b in itertools.pairwise(edges)]
    sizes = np.diff(edges).tolist()
    if batches == 1:
        parts = [job.batch(0, chains, first, run["threads"], run["progress"])]
    else:
        import dask

        task, shared = dask.delayed(_Run.batch, pure=False), share(job)
        tasks = [task(shared, b, sizes[b], starts[b], 1, None) for b in range(batches)]
        parts = compute(tasks, run["progress"])
    sums = _combined(parts)
    result = _dataset(job, sums, keep, groups)
    if sigma is not None:
        result = result.assign(overlap_averages(sigma, (sums.first + sums.last).T / draws))
    return result


class _Sums(NamedTuple):
    """Measurements of a batch of chains.

    first, last: (N, chains), means of the halves of the draws times their number; second: (groups,
    N, N) sums of σσᵀ; sizes: (groups,) chains; energy: (chains, draws); third: (groups, T); spins:
    (chains, N), the last ones; acceptance: spins changed, over all tried.
    """

    first: Floats
    last: Floats
    second: Floats
    sizes: Ints
    energy: Floats
    third: Floats
    spins: Signs
    acceptance: float


class _Run(NamedTuple):
    """Options that all batches share."""

    model: IsingModel
    burn_in: int
    draws: int
    thin: int
    triples: Ints
    seed: int
    options: dict[str, Any]

    @property
    def sweeps(self) -> int:
        return self.burn_in + self.draws * self.thin

    def batch(
        self,
        number: int,
        chains: int,
        start: Singles | None,
        threads: int | None,
        progress: Progress | None,
    ) -> _Sums:
        state = Chains(
            self.model,
            chains,
            seed=self.seed,
            start=start,
            threads=threads,
            batch=number,
            **self.options,
        )
        for done in range(0, self.burn_in, 10):
            state.sweep(min(10, self.burn_in - done))
            _report(progress, state.sweeps, self.sweeps)
        groups, n = len(state.groups), self.model.n_spins
        second, third = np.zeros((groups, n, n)), np.zeros((groups, len(self.triples)))
        halves = [[np.zeros((n, g.stop - g.start)) for g in state.groups] for _ in range(2)]
        energy = np.empty((chains, self.draws))
        for draw in range(self.draws):
            state.sweep(self.thin)
            # The middle one of an odd number of draws belongs to the first half.
            late = 2 * draw >= self.draws + self.draws % 2
            for g, spins in enumerate(state.by_spin()):
                halves[late][g] += spins
                third[g] += _third(spins, self.triples)
            state.add_products(second)
            energy[:, draw] = state.energies()
            _report(progress, state.sweeps, self.sweeps)
        sizes = np.array([g.stop - g.start for g in state.groups])
        first, last = (np.concatenate(half, axis=1) for half in halves)
        return _Sums(first, last, second, sizes, energy, third, state.spins, state.acceptance)


def _combined(parts: list[_Sums]) -> _Sums:
    """Return the measurements of all batches as those of one."""
    sizes = [len(part.spins) for part in parts]
    acceptance = float(np.average([part.acceptance for part in parts], weights=sizes))
    axes = [1, 1, *[0] * 5]  # of means of halves, chains are the second axis
    fields = list(zip(*parts, strict=True))[:-1]
    arrays: list[Any] = [np.concatenate(*pair) for pair in zip(fields, axes, strict=True)]
    return _Sums._make([*arrays, acceptance])


def _dataset(run: _Run, sums: _Sums, keep: int, groups: bool) -> xarray.Dataset:
    draws, energy = run.draws, sums.energy
    chains = len(energy)
    C = sums.second.sum(axis=0) / (chains * draws)
    C_group = sums.second / (sums.sizes * draws)[:, None, None]
    by_chain = (sums.first + sums.last) / draws
    m_group = group_means(by_chain, sums.sizes)
    variables = averages(by_chain, C, C_group, sums.sizes)
    rhat = split_rhat(sums.first / (draws // 2 + draws % 2), sums.last / (draws // 2), draws)
    tau = autocorrelation_time(energy)
    energy_rhat = series_rhat(energy)
    nat = {"units": "nat"}
    variables |= {
        "energy": (("chain", "draw"), energy, nat),
        "energy_mean": ((), float(energy.mean()), nat),
        "energy_mean_stderr": ((), float(stderr(energy.mean(axis=1), 0)), nat),
        "rhat": ("weight", rhat, {"long_name": "split R̂"}),
        **_third_moments(run.triples, sums, draws, variables["m"][1], C, m_group, C_group),
    }
    if groups:
        variables["m_group"] = (("group", "weight"), m_group)
        variables["C_group"] = (("group", "weight", "weight_"), C_group)
    if keep:
        variables["configurations"] = (("configuration", "weight"), sums.spins[:keep])
    return xarray.Dataset(
        variables,
        attrs={
            "statistic": "monte carlo",
            **{name: run.options[name] for name in ("beta", "method", "order")},
            "seed": run.seed,
            "chains": chains,
            "draws": draws,
            "thin": run.thin,
            "sweeps": run.sweeps,
            "acceptance": sums.acceptance,
            "rhat_max": float(rhat.max()),
            "energy_rhat": energy_rhat,
            "autocorrelation": tau * run.thin,
            "effective_samples": chains * draws / max(2 * tau, 1.0),
            "converged": int(max(rhat.max(), energy_rhat) < MAX_RHAT),
        },
    )


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def averages(by_chain: Floats, C: Floats, by_group: Floats, sizes: Ints) -> Variables:
    """Return m and C with errors: of means (N, chains), and of C (groups, N, N) by group."""
    groups, share = len(by_group), sizes / sizes.sum()
    C_error = np.full(C.shape, np.nan)
    if groups > 1:
        C_error = np.sqrt(np.einsum("g,gij->ij", share, (by_group - C) ** 2) / (groups - 1))
    return {
        **estimate("m", by_chain.mean(axis=1), stderr(by_chain, 1), "magnetization"),
        **estimate("C", C, C_error, "correlation"),
    }


def overlap_averages(references: ArrayLike, means: Floats) -> Variables:
    """Return the mean overlap with each reference, and its error.

    Parameters
    ----------
    references
        (R, N) configurations, ±1.
    means
        (chains, N) magnetizations of independent chains: the scatter of overlaps between chains
        includes the correlations between weights.
    """
    sigma = as_numbers(references, "references")
    overlap = means @ sigma.T / sigma.shape[1]
    mean, error = overlap.mean(axis=0), stderr(overlap, 0)
    return estimate("overlap", mean, error, "overlap", ("reference",))


def split_rhat(first: Floats, last: Floats, draws: int) -> Floats:
    """R̂ of every spin, from the means (N, chains) of the halves of its chains: σ² = 1."""
    length = draws // 2
    means = np.concatenate([first, last], axis=1)
    within = np.mean((1 - means**2), axis=1) * length / max(length - 1, 1)
    between = length * means.var(axis=1, ddof=1)
    estimate = (length - 1) / length * within + between / length
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(within > 0, np.sqrt(estimate / within), np.where(between > 0, np.inf, 1.0))


def series_rhat(energy: Floats) -> float:
    """Return split R̂ of a quantity measured along chains, (chains, draws)."""
    half = energy.shape[1] // 2
    halves = np.concatenate([energy[:, :half], energy[:, -half:]])
    within = halves.var(axis=1, ddof=1).mean() if half > 1 else 0.0
    between = half * halves.mean(axis=1).var(ddof=1)
    if within <= (1e-6 * np.abs(energy).max()) ** 2:  # nothing but the rounding of float32
        return 1.0 if between <= half * (1e-5 * np.abs(energy).max()) ** 2 else float("inf")
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
    x = as_numbers(series, "series")
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


def group_means(by_chain: Floats, sizes: Ints) -> Floats:
    """Return m of each group of chains, (groups, N)."""
    starts = np.r_[0, np.cumsum(sizes)[:-1]]
    return np.add.reduceat(by_chain, starts, axis=1).T / sizes[:, None]


def _third(spins: Singles, triples: Ints) -> Floats:
    """Return Σ σ_iσ_jσ_k over chains; spins (N, chains)."""
    if not len(triples):
        return np.zeros(0)
    i, j, k = triples.T
    return np.einsum("tc,tc,tc->t", spins[i], spins[j], spins[k])


def _third_moments(
    triples: Ints, sums: _Sums, draws: int, m: Floats, C: Floats, m_group: Floats, C_group: Floats
) -> dict[str, Any]:
    if not len(triples):
        return {}
    counts = sums.sizes * draws
    raw = sums.third.sum(axis=0) / counts.sum()
    by_group = sums.third / counts[:, None]
    root = np.sqrt(max(len(counts) - 1, 1))
    connected = connected_third(triples, raw, m, C)
    # Each group with its own m and C, less a bias that all groups share.
    group_connected = connected_third(triples, by_group, m_group, C_group)
    name, dims = "third_connected", ("triple",)
    return {
        **estimate("third", raw, (by_group - raw).std(axis=0) / root, "third moment", dims),
        **estimate(
            name, connected, group_connected.std(axis=0) / root, "connected third moment", dims
        ),
        **{axis: ("triple", triples[:, n], {"units": "1"}) for n, axis in enumerate("ijk")},
    }
