"""The robust ensemble: coupled replicas of a machine of ±1 weights, and Monte Carlo on them.

    β E = β Σ_a L_NE(W^a) − Σ_i ln 2cosh(γ Σ_a W_i^a),

that of y replicas around a centre of ±1 weights that is traced out; y = 1 is plain Monte Carlo on
the number of errors.  Fields of all units are stored, so that a flip costs O(P).

Source: C. Baldassi et al., PNAS 113, E7655 (2016), arXiv:1605.06444; sampler with a reduced
rejection rate: C. Baldassi, J. Stat. Mech. (2017) 033301, arXiv:1608.05899.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.networks.families.committee import Patterns
from lsg_ray.typing import Array, Floats

#: Inputs that are converted at a time.
_NUMBERS_AT_A_TIME = 2**24

Sampler = Literal["metropolis", "reduced-rejection"]


class SweepInfo(NamedTuple):
    """Flips that were tried, and of these accepted."""

    moves: int
    accepted: int


def log_cosh(k: Floats, coupling: float) -> Floats:
    """Return ln 2cosh(γ k), without overflow."""
    scaled = np.abs(coupling * k)
    value: Floats = scaled + np.log1p(np.exp(-2 * scaled))
    return value


class RobustEnsemble:
    """Replicas of ±1 weights, with fields and errors up to date after each flip.

    Parameters
    ----------
    patterns
        Inputs ±1 and labels.
    weights
        Initial weights of the replicas (y, K, n), ±1; n odd, and K too for a majority.
    product
        Whether the output is the product of the units (parity machine), not their majority.

    Raises
    ------
    InputError
        Inputs or weights are not ±1, or sums could tie: of an even number of inputs, or, for a
        majority, of units.

    Notes
    -----
    Memory: P (y (4 K + 4) + N) bytes; shared inputs take n in place of N.  N up to 2²⁴.
    """

    def __init__(self, patterns: Patterns, weights: Array, *, product: bool = False) -> None:
        self.patterns, self.product = patterns, product
        y, units, n = self.shape = np.shape(weights)
        if not np.all(np.abs(patterns.x) == 1) or not np.all(np.abs(weights) == 1):
            raise InputError("inputs or weights are not ±1; the robust ensemble is of signs")
        if n % 2 == 0 or (units % 2 == 0 and not product):
            raise InputError(f"{units} units of {n} inputs given; odd numbers have no ties")
        self.w = np.ascontiguousarray(weights, np.int8).reshape(y, units * n).copy()
        columns = patterns.x.reshape(patterns.n_patterns, -1)
        self.x = np.empty(columns.T.shape, np.int8)
        for part in self._parts():  # labels are absorbed
            self.x[:, part] = (columns[part] * patterns.s[part, None]).T
        self._members: tuple[Array, Array, Array] | None = None
        self.recompute()

    def _parts(self) -> Iterator[slice]:
        """Yield parts of the patterns of bounded size."""
        size = max(1, _NUMBERS_AT_A_TIME // len(self.x))
        for start in range(0, self.patterns.n_patterns, size):
            yield slice(start, start + size)

    def recompute(self) -> None:
        """Compute fields, votes, errors and sums of weights anew."""
        y, units, n = self.shape
        h = np.empty((y, units, self.x.shape[1]), np.int32)
        w = self.w.reshape(self.shape).astype(np.float32)  # sums of ±1 are exact
        for part in self._parts():
            x = self.x[:, part].astype(np.float32)
            for unit in range(units):
                own = x[unit * n : (unit + 1) * n] if len(x) == units * n else x
                h[:, unit, part] = w[:, unit] @ own
        tau = np.where(h > 0, np.int32(1), np.int32(-1))
        votes = tau.prod(axis=1) if self.product else tau.sum(axis=1)
        if self.product and units % 2 == 0:
            votes *= self.patterns.s  # absorbed in an even number of factors, labels cancel
        self.h, self.votes = h, np.ascontiguousarray(votes, np.int32)
        self.errors = (self.votes < 0).sum(axis=1).astype(np.int64)
        self.mu = self.w.sum(axis=0, dtype=np.int32)
        self._members = None

    @property
    def weights(self) -> Array:
        """Weights of the replicas, (y, K, n)."""
        return self.w.reshape(self.shape)

    @property
    def centre(self) -> Array:
        """Majority of the replicas, (1, K, n)."""
        return np.where(self.mu >= 0, 1, -1).astype(np.int8).reshape(1, *self.shape[1:])

    def energy(self, beta: float, coupling: float) -> float:
        """Return β E."""
        return float(beta * self.errors.sum() - log_cosh(self.mu, coupling).sum())

    def sweep(
        self,
        rng: np.random.Generator,
        beta: float,
        coupling: float = 0.0,
        *,
        sampler: Sampler = "metropolis",
        moves: int | None = None,
        stop: bool = False,
    ) -> SweepInfo:
        """Try as many flips as there are weights in all replicas, or ``moves``.

        Parameters
        ----------
        rng
            Where random numbers come from.
        beta, coupling
            Inverse temperature β of the errors, and coupling γ of replicas and centre.
        sampler
            Metropolis, or with a reduced rejection rate of the coupling.
        moves
            How many flips are tried; null for y N.
        stop
            End as soon as a replica has no error.

        Notes
        -----
        O(P) a flip that is tried, and as much for one accepted.
        """
        from lsg_ray.kernels import robust_ensemble as kernels

        y = len(self.w)
        moves = self.w.size if moves is None else moves
        f = log_cosh(np.arange(y + 1.0), coupling)
        state = (self.w, self.h, self.votes, self.mu, self.errors, self.x, f, float(beta))
        if sampler == "metropolis":
            draws = rng.random((moves, 2))
            self._members = None
            return SweepInfo(*kernels.metropolis(*state, draws, self.product, stop))
        draws = rng.random((moves, 3))
        if self._members is None:
            members = np.zeros((y + 1, self.w.size), np.int32)
            positions, counts = np.zeros(self.w.size, np.int32), np.zeros(y + 1, np.int64)
            kernels.classify(self.w, self.mu, members, positions, counts)
            self._members = members, positions, counts
        tried = kernels.reduced_rejection(*state, draws, self.product, stop, *self._members)
        return SweepInfo(*tried)
