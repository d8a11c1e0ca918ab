"""Many Markov chains of one Ising model, side by side.

Chains are cut into groups that run on threads and have random numbers of their own, so a result
depends on the seed and the number of chains, not on the number of threads.  Of two layouts the
faster is chosen (see `lsg_ray.kernels.spins`): *dense*, in which the fields of a block of spins of
all chains come from one matrix product, and *cached*, in which each chain stores its fields.
"""

from __future__ import annotations

import functools
import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import ThreadpoolController

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.typing import Count, Default, Floats, Ints, Seed, Signs, Singles, Threads

Method = Literal["heat-bath", "metropolis"]
Order = Literal["sequential", "random", "picks"]
Layout = Literal["auto", "dense", "cached"]


class ChainOptions(Threads, total=False):
    """Options of functions that run chains, as of `Chains`."""

    method: Annotated[Method, Default("heat-bath")]


@dataclass(frozen=True)
class ChainsConfig:
    """How chains are cut into groups and their fields computed."""

    #: Groups of chains, at most: each runs on a thread, and errors are estimated from them.
    groups: int = 8
    #: Spins whose fields are computed by one product.
    block_spins: int = 32
    #: Chains of a group from which the dense layout is faster, as measured at N = 675.
    dense_from: int = 16
    #: Products of a sweep, chains · N², from which threads are worth their start.
    threads_from: int = 20_000_000
    #: Largest coupling or field, in nats: spins and fields are float32.
    max_field: float = 1e9
    #: Sweeps after which cached fields are computed anew, against the drift of float32.
    refresh_sweeps: int = 100


CONFIG = ChainsConfig()


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return the linear-algebra libraries of this process; to look for them takes milliseconds."""
    return ThreadpoolController()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that are reused: to start them anew costs as much as a sweep."""
    return ThreadPoolExecutor(threads, thread_name_prefix="chains")


# A forked process inherits the pool, but not its threads.
os.register_at_fork(after_in_child=_pool.cache_clear)


def start_of_chains(start: ArrayLike, chains: int, n: int) -> Singles:
    """Return where chains start, (chains, N), from one configuration or from one for each."""
    spins = as_numbers(start, "start", None)
    if spins.shape not in ((n,), (chains, n)):
        raise InputError(f"start of shape {spins.shape} given; ({n},) or ({chains}, {n}) is needed")
    if not (np.abs(spins) == 1).all():
        raise InputError("start holds values other than ±1")
    return np.broadcast_to(spins, (chains, n)).astype(np.float32)


class Chains:
    """State of many chains; `sweep` moves them on.

    Parameters
    ----------
    model
        Model to sample; `use` exchanges it for another of the same size.
    chains
        Number of chains.
    seed
        Seed of the starts and of the moves.
    beta
        Inverse temperature, one number or one for each chain.
    method
        Update of a spin, ``heat-bath`` or ``metropolis``.  Metropolis flips every spin
        whose field vanishes: where β is small, sweeps turn the whole configuration over and hardly
        mix; heat bath has no such case.
    order
        Order of the spins in a sweep: ``sequential``; ``random``, a new permutation each sweep; or
        ``picks``, N spins at random, some twice and some not at all, as for dynamics.  Chains of a
        group share it.
    layout
        Layout of the spins in memory: ``dense``, ``cached``, or ``auto``, the faster of the two.
    start
        First configurations, (chains, N) ±1, or (N,) for all; by default independent fair spins.
    threads
        Number of threads, by default one per CPU; it changes no result.
    batch
        Index of this set of chains among others with the same seed.

    Raises
    ------
    InputError
        A start of another shape or with values other than ±1; inverse temperatures that are not
        finite; couplings or fields beyond `ChainsConfig.max_field`; the dense layout with picks.
    """

    @public
    def __init__(
        self,
        model: IsingModel,
        chains: Count,
        *,
        seed: Seed = 0,
        beta: ArrayLike = 1.0,
        method: Method = "heat-bath",
        order: Order = "sequential",
        layout: Layout = "auto",
        start: ArrayLike | None = None,
        threads: int | None = None,
        batch: int = 0,
    ) -> None:
        from dask.system import CPU_COUNT

        betas = np.broadcast_to(as_numbers(beta, "beta", np.float32), (chains,))
        if not np.isfinite(betas).all():
            raise InputError(f"beta {brief(beta)} given; it must be finite")
        if max(np.abs(model.J).max(), np.abs(model.h).max()) > CONFIG.max_field:
            raise InputError(
                f"couplings or fields above {CONFIG.max_field:g} nats; chains are in float32"
            )
        self.n_chains, self.n_spins = chains, model.n_spins
        self.sweeps, self.changed = 0, 0
        small = chains * model.n_spins**2 < CONFIG.threads_from
        self._threads = 1 if small else min(threads or CPU_COUNT, CPU_COUNT)
        edges = np.linspace(0, chains, min(CONFIG.groups, chains) + 1).astype(int).tolist()
        self.groups = [slice(a, b) for a, b in itertools.pairwise(edges)]
        largest = max(group.stop - group.start for group in self.groups)
        if layout == "auto":
            layout = "dense" if largest >= CONFIG.dense_from and order != "picks" else "cached"
        if layout == "dense" and order == "picks":
            raise InputError("layout dense given with order picks; it needs each spin once a sweep")
        kind = _DenseGroup if layout == "dense" else _CachedGroup
        starts: list[Singles | None] = [None] * len(self.groups)
        if start is not None:
            first = start_of_chains(start, chains, self.n_spins)
            starts = [first[group] for group in self.groups]
        seeds = [seed_sequence(seed, Stream.MONTE_CARLO, batch, n) for n in range(len(self.groups))]
        self._parts: list[_Group] = [
            kind(self.n_spins, betas[group], group_seed, method, order, group_start)
            for group, group_seed, group_start in zip(self.groups, seeds, starts, strict=True)
        ]
        self.use(model)

    def set_spins(self, spins: NDArray[np.integer]) -> None:
        """Set the configurations of the chains, (chains, N) ±1, as `spins` returns them."""
        for part, group in zip(self._parts, self.groups, strict=True):
            part.set_spins(spins[group].astype(np.float32))
            part.use(part.J, part.h)

    def use(self, model: IsingModel) -> None:
        """Go on with another model of the same size."""
        self.use_arrays(*(np.ascontiguousarray(a, np.float32) for a in (model.J, model.h)))

    def use_arrays(self, J: Singles, h: Singles) -> None:
        """Go on with other couplings and fields, unchecked: for fits, which change them often."""
        self._map(lambda part: part.use(J, h))

    def sweep(self, number: int = 1) -> None:
        """Go through all spins of all chains a number of times."""
        self.changed += sum(self._map(lambda part: part.sweep(number)))
        self.sweeps += number

    @property
    def acceptance(self) -> float:
        """Spins changed per spin tried, so far."""
        tried = self.sweeps * self.n_chains * self.n_spins
        return self.changed / tried if tried else 0.0

    @property
    def spins(self) -> Signs:
        """Configurations (chains, N) int8 ±1."""
        return np.concatenate([part.by_chain() for part in self._parts]).astype(np.int8)

    def energies(self) -> Floats:
        """Energies of the chains (chains,) in nats, without β."""
        return np.concatenate(self._map(lambda part: part.energies()))

    def set_beta(self, beta: NDArray[np.floating]) -> None:
        """Set the inverse temperature of each chain (chains,), as when replicas are exchanged."""
        for part, group in zip(self._parts, self.groups, strict=True):
            part.beta = np.ascontiguousarray(beta[group], np.float32)

    def by_spin(self) -> list[Singles]:
        """Return the spins of each group, (N, chains of the group), to be read only."""
        return [part.by_spin() for part in self._parts]

    def product(self) -> Singles:
        """Return Σ σσᵀ over all chains, (N, N); exact below 2²⁴ chains."""
        # On the threads of this module: those of the library wait for each other on shared cores.
        parts = self._map(lambda part: part.product())
        total: Singles = parts[0].copy()
        for part in parts[1:]:
            total += part
        return total

    def add_products(self, sums: Floats) -> None:
        """Add Σ σσᵀ over the chains of each group to sums (groups, N, N)."""
        totals = iter(sums)
        self._map(lambda part, total: part.add_product(total), totals)

    def _map(self, work: Callable[..., Any], *more: Iterable[Any]) -> list[Any]:
        with _libraries().limit(limits=1):
            apply = map if self._threads == 1 or len(self._parts) == 1 else _pool(self._threads).map
            return list(apply(work, self._parts, *more))


class _Group(ABC):
    """Chains that share random numbers; spins are (N, chains) or (chains, N)."""

    J: Singles
    h: Singles

    def __init__(
        self,
        n: int,
        beta: Singles,
        seed: np.random.SeedSequence,
        method: Method,
        order: Order,
        start: Singles | None,
    ) -> None:
        from lsg_ray.kernels import spins
        from lsg_ray.kernels.elementary import STATE_SHAPE

        self.kernels = spins
        self.n, self.chains = n, len(beta)
        self.beta = np.ascontiguousarray(beta)
        starts, orders, moves = seed.spawn(3)
        self.rng = np.random.default_rng(orders)
        words = moves.generate_state(int(np.prod(STATE_SHAPE)), np.uint32)
        self.state = words.reshape(STATE_SHAPE)
        self.method = spins.HEAT_BATH if method == "heat-bath" else spins.METROPOLIS
        self.order = order
        self._product: Singles | None = None
        if start is None:
            fair = np.random.default_rng(starts).integers(0, 2, (self.chains, n), np.int8)
            start = (2 * fair - 1).astype(np.float32)
        self.set_spins(start)

    @abstractmethod
    def set_spins(self, spins: Singles) -> None:
        """Set the configurations, (chains, N)."""

    def use(self, J: Singles, h: Singles) -> None:
        self.J, self.h = J, h

    def _bits(self, size: int) -> NDArray[np.uint32]:
        """Return scratch for at least that many random numbers."""
        streams = self.kernels.RANDOM_STREAMS
        return np.empty((-(-size // streams), streams), np.uint32)

    @abstractmethod
    def sweep(self, number: int) -> int:
        """Go through all spins a number of times; return the number of spins changed."""

    @abstractmethod
    def by_spin(self) -> Singles:
        """Return the spins (N, chains)."""

    def by_chain(self) -> Singles:
        return self.by_spin().T

    def energies(self) -> Floats:
        spins = self.by_spin()
        fields = self.J @ spins
        both = np.einsum("nc,nc->c", spins, fields, dtype=np.float64)
        return -0.5 * both - self.h.astype(np.float64) @ spins

    def product(self) -> Singles:
        spins = self.by_spin()
        if self._product is None:  # cached: new pages of memory cost more than the product
            self._product = np.empty((self.n, self.n), np.float32)
        return np.matmul(spins, spins.T, out=self._product)

    def add_product(self, total: Floats) -> None:
        total += self.product()


class _DenseGroup(_Group):
    def set_spins(self, spins: Singles) -> None:
        # As `lsg_ray.kernels.products` needs them: chains in multiples of 16, spins of 4.
        self.padded = np.zeros((self.n, -(-self.chains // 16) * 16), np.float32)
        self.padded[:, : self.chains] = spins.T
        self.spins = self.padded[:, : self.chains]
        self.fields = np.empty((CONFIG.block_spins, self.padded.shape[1]), np.float32)
        self.bits = self._bits(self.kernels.TILE_CHAINS)

    def use(self, J: Singles, h: Singles) -> None:
        super().use(J, h)
        size = CONFIG.block_spins
        starts = range(0, self.n, size)
        self.rows = np.zeros((-(-self.n // 4) * 4, self.n), np.float32)
        self.rows[: self.n] = J
        self.within = [np.ascontiguousarray(J[a : a + size, a : a + size]) for a in starts]

    def sweep(self, number: int) -> int:
        changed, size = 0, CONFIG.block_spins
        for _ in range(number):
            order = self.rng.permutation(self.n) if self.order == "random" else None
            for block, a in enumerate(range(0, self.n, size)):
                b = min(a + size, self.n)
                end = a - (a - b) // 4 * 4
                if order is None:
                    rows, spins, h = self.rows[a:end], self.spins[a:b], self.h[a:b]
                    within = self.within[block]
                else:
                    sites = order[a:b]
                    rows = np.zeros((end - a, self.n), np.float32)
                    rows[: b - a] = self.J[sites]
                    spins, h = self.spins[sites], self.h[sites]
                    within = np.ascontiguousarray(rows[: b - a, sites])
                changed += self.kernels.update_block(
                    rows, self.padded, h, spins, within, self.beta, self.fields, self.state,
                    self.bits, self.method,
                )  # fmt: skip
                if order is not None:
                    self.spins[sites] = spins
        return changed

    def by_spin(self) -> Singles:
        return self.spins


class _CachedGroup(_Group):
    def set_spins(self, spins: Singles) -> None:
        self.spins = np.ascontiguousarray(spins)
        self.bits = self._bits(self.n)
        self.age = 0

    def use(self, J: Singles, h: Singles) -> None:
        super().use(J, h)
        self.fields = self.spins @ J + h

    def sweep(self, number: int) -> int:
        changed = 0
        for _ in range(number):
            if self.age % CONFIG.refresh_sweeps == 0:
                self.fields = self.spins @ self.J + self.h
            order = self._sites()
            changed += self.kernels.sweep_cached(
                self.spins,
                self.fields,
                self.J,
                self.beta,
                order,
                self.state,
                self.bits,
                self.method,
            )
            self.age += 1
        return changed

    def _sites(self) -> Ints:
        if self.order == "sequential":
            return np.arange(self.n)
        if self.order == "random":
            return self.rng.permutation(self.n)
        return self.rng.integers(0, self.n, self.n)

    def by_spin(self) -> Singles:
        return self.spins.T
