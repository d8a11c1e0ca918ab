"""Equilibrium averages of an Ising model by Monte Carlo, with errors and convergence flags.

Many independent chains from random starts: averages over chains have errors that need no model of
the autocorrelation.  Whether the chains have forgotten their starts is told by split-R̂ (Gelman et
al., Bayesian Data Analysis, 3rd ed., eq. 11.4): each chain is halved, and the spread between halves
of different chains is compared with that within; by the integrated autocorrelation time τ of the
energy (Sokal's window, c = 5), and the effective sample size, draws over 1 + 2 Σ ρ.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import dask
import numpy as np
import xarray
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.ising.chains import Chains, Layout, Method, Order, start_of_chains
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.ising.references import as_references
from lsg_ray.results.graph import compute, share
from lsg_ray.statistics.triples import choose_triples
from lsg_ray.typing import Floats, Ints, ModelLike, Progress, Signs, Singles, Variables

#: Chains have converged when no R̂ is above this.
RHAT = 1.05
#: Draws of a chain, at least: its halves are compared.
FEWEST_DRAWS = 4


@public
def sample_model(
    model: ModelLike,
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
    references: ArrayLike | None = None,
    keep: int = 0,
    batches: int = 1,
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
    references
        (R, N) configurations whose mean overlap with the model's is wanted.
    keep
        How many configurations to return, from the last draws.
    batches
        Cut the chains into so many tasks, under Dask's current scheduler: on a cluster.  Each has
        random numbers of its own, so a result depends on this number, not on where it runs.
    progress
        Told ``(sweeps done, sweeps in all)``.

    Returns
    -------
    xarray.Dataset
        ``m`` (weight), ``C`` (weight, weight_), ``energy_mean`` with ``_stderr`` each; ``energy``
        (chain, draw); ``rhat`` (weight); with triples ``third`` and ``third_connected`` (triple)
        and their errors; with references ``overlap`` (reference), Σ σ*_i m_i/N, with its error, for
        which the m_i are not independent; with `keep`, ``configurations`` (configuration, weight).
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
    return sample_in_groups(
        model, chains=chains, burn_in=burn_in, draws=draws, thin=thin, beta=beta, method=method,
        order=order, layout=layout, start=start, seed=seed, threads=threads, triples=triples,
        references=references, keep=keep, batches=batches, progress=progress,
    )[0]  # fmt: skip


class GroupMeans(NamedTuple):
    """m (groups, N) and C (groups, N, N) of groups of chains, which are independent."""

    m: Floats
    C: Floats


def sample_in_groups(
    model: ModelLike,
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
    references: ArrayLike | None = None,
    keep: int = 0,
    batches: int = 1,
    progress: Progress | None = None,
) -> tuple[xarray.Dataset, GroupMeans]:
    """Return what `sample_model` does, and the averages of its groups of chains."""
    ising = as_model(model)
    if chains < 2 or draws < FEWEST_DRAWS or thin < 1 or burn_in < 0:
        raise InputError(
            f"chains {chains}, draws {draws}, thin {thin}, burn_in {burn_in} given; at least 2, "
            f"{FEWEST_DRAWS}, 1 and 0"
        )
    if not 0 <= keep <= chains:
        raise InputError(f"keep {keep} given; from 0 to the number of chains, {chains}")
    if not 1 <= batches <= chains // 2:
        raise InputError(f"batches {batches} given; from 1 to half of the {chains} chains")
    chosen = choose_triples([] if triples is None else triples, ising.n_spins, 0)
    sigma = None if references is None else as_references(references, ising).sigma
    run = _Run(
        ising, burn_in, draws, thin, chosen, seed,
        {"beta": beta, "method": method, "order": order, "layout": layout},
    )  # fmt: skip
    edges = np.linspace(0, chains, batches + 1).astype(int).tolist()
    first = None if start is None else start_of_chains(start, chains, ising.n_spins)
    starts = [None if first is None else first[a:b] for a, b in itertools.pairwise(edges)]
    sizes = np.diff(edges).tolist()
    if batches == 1:
        parts = [run.batch(0, chains, first, threads, progress)]
    else:
        leaf, given = dask.delayed(_batch, pure=False), share(run)
        leaves = [leaf(given, b, sizes[b], starts[b]) for b in range(batches)]
        parts = compute(leaves, progress)
    sums = _joined(parts)
    by_group = GroupMeans(
        _group_means((sums.first + sums.last) / draws, sums.sizes),
        sums.second / (sums.sizes * draws)[:, None, None],
    )
    found = _dataset(run, sums, keep)
    if sigma is not None:
        found = found.assign(overlap_averages(sigma, (sums.first + sums.last).T / draws))
    return found, by_group


class _Sums(NamedTuple):
    """What a batch of chains has measured.

    first, last: (N, chains), means of the halves of the draws times their number; second: (groups,
    N, N) sums of σσᵀ; sizes: (groups,) chains; energy: (chains, draws); third: (groups, T); spins:
    (chains, N), last ones; moved: spins changed, over all tried.
    """

    first: Floats
    last: Floats
    second: Floats
    sizes: Ints
    energy: Floats
    third: Floats
    spins: Signs
    moved: float


class _Run(NamedTuple):
    """What every batch does."""

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
            self.model, chains, seed=self.seed, start=start, threads=threads, batch=number,
            **self.options,
        )  # fmt: skip
        for done in range(0, self.burn_in, 10):
            state.sweep(min(10, self.burn_in - done))
            _tell(progress, state.sweeps, self.sweeps)
        groups, n = len(state.groups), self.model.n_spins
        second, third = np.zeros((groups, n, n)), np.zeros((groups, len(self.triples)))
        halves = [[np.zeros((n, g.stop - g.start)) for g in state.groups] for _ in range(2)]
        energy = np.empty((chains, self.draws))
        for draw in range(self.draws):
            state.sweep(self.thin)
            late = 2 * draw >= self.draws + self.draws % 2  # an odd draw more is of the first half
            for g, spins in enumerate(state.by_spin()):
                halves[late][g] += spins
                third[g] += _third(spins, self.triples)
            state.add_products(second)
            energy[:, draw] = state.energies()
            _tell(progress, state.sweeps, self.sweeps)
        sizes = np.array([g.stop - g.start for g in state.groups])
        first, last = (np.concatenate(half, axis=1) for half in halves)
        return _Sums(first, last, second, sizes, energy, third, state.spins, state.acceptance)


def _batch(run: _Run, number: int, chains: int, start: Singles | None) -> _Sums:
    return run.batch(number, chains, start, 1, None)


def _joined(parts: list[_Sums]) -> _Sums:
    first, last, second, sizes, energy, third, spins, moved = zip(*parts, strict=True)
    return _Sums(
        np.concatenate(first, axis=1),
        np.concatenate(last, axis=1),
        np.concatenate(second),
        np.concatenate(sizes),
        np.concatenate(energy),
        np.concatenate(third),
        np.concatenate(spins),
        float(np.average(moved, weights=[len(some) for some in spins])),
    )


def _dataset(run: _Run, sums: _Sums, keep: int) -> xarray.Dataset:
    draws, energy = run.draws, sums.energy
    chains = len(energy)
    C = sums.second.sum(axis=0) / (chains * draws)
    by_group = sums.second / (sums.sizes * draws)[:, None, None]
    found = _averages((sums.first + sums.last) / draws, C, by_group, sums.sizes)
    rhat = split_rhat(sums.first / (draws // 2 + draws % 2), sums.last / (draws // 2), draws)
    tau = autocorrelation_time(energy)
    energy_rhat = series_rhat(energy)
    worst = float(max(rhat.max(), energy_rhat))
    about = {"units": "nat"}
    found |= {
        "energy": (("chain", "draw"), energy, about),
        "energy_mean": ((), float(energy.mean()), about),
        "energy_mean_stderr": ((), float(energy.mean(axis=1).std(ddof=1) / np.sqrt(chains)), about),
        "rhat": ("weight", rhat, {"long_name": "split R̂"}),
        **_third_moments(
            run.triples,
            sums.third,
            sums.sizes * draws,
            found["m"][1],
            C,
            _group_means((sums.first + sums.last) / draws, sums.sizes),
            by_group,
        ),
    }
    if keep:
        found["configurations"] = (("configuration", "weight"), sums.spins[:keep])
    return xarray.Dataset(
        found,
        attrs={
            "statistic": "monte carlo",
            **{name: run.options[name] for name in ("beta", "method", "order")},
            "seed": run.seed, "chains": chains, "draws": draws, "thin": run.thin,
            "sweeps": run.sweeps, "acceptance": sums.moved,
            "rhat_max": float(rhat.max()), "energy_rhat": energy_rhat,
            "autocorrelation": tau * run.thin,
            "effective_samples": chains * draws / max(2 * tau, 1.0),
            "converged": int(worst < RHAT),
        },
    )  # fmt: skip


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _averages(by_chain: Floats, C: Floats, by_group: Floats, sizes: Ints) -> dict[str, Any]:
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


def overlap_averages(references: ArrayLike, means: Floats) -> Variables:
    """Return the mean overlap with each of some configurations (R, N), and its error.

    Parameters
    ----------
    means
        (chains, N) magnetizations of independent chains: overlaps scatter between them, whatever
        the correlations between weights.
    """
    sigma = as_numbers(references, "references")
    overlap = means @ sigma.T / sigma.shape[1]
    error = overlap.std(axis=0, ddof=1) / np.sqrt(len(means))
    one = {"units": "1"}
    return {
        "overlap": ("reference", overlap.mean(axis=0), one),
        "overlap_stderr": ("reference", error, one),
    }


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
    pieces = np.concatenate([energy[:, :half], energy[:, -half:]])
    within = pieces.var(axis=1, ddof=1).mean() if half > 1 else 0.0
    between = half * pieces.mean(axis=1).var(ddof=1)
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


def _group_means(by_chain: Floats, sizes: Ints) -> Floats:
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
    triples: Ints,
    sums: Floats,
    counts: Ints,
    m: Floats,
    C: Floats,
    m_by_group: Floats,
    C_by_group: Floats,
) -> dict[str, Any]:
    if not len(triples):
        return {}
    i, j, k = triples.T
    raw = sums.sum(axis=0) / counts.sum()
    connected = raw - m[i] * C[j, k] - m[j] * C[i, k] - m[k] * C[i, j] + 2 * m[i] * m[j] * m[k]
    by_group = sums / counts[:, None]
    root = np.sqrt(max(len(counts) - 1, 1))
    error = (by_group - raw).std(axis=0) / root
    # Of each group with its own m and C, less a bias that all groups share.
    a, b, c = m_by_group[:, i], m_by_group[:, j], m_by_group[:, k]
    ab, ac, bc = C_by_group[:, i, j], C_by_group[:, i, k], C_by_group[:, j, k]
    own = by_group - a * bc - b * ac - c * ab + 2 * a * b * c
    one = {"units": "1"}
    found = {
        "third": raw, "third_stderr": error,
        "third_connected": connected, "third_connected_stderr": own.std(axis=0) / root,
    }  # fmt: skip
    places = {name: triples[:, n] for n, name in enumerate("ijk")}
    return {name: ("triple", values, one) for name, values in {**found, **places}.items()}
