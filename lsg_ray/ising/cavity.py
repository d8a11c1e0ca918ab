"""Messages of one problem, swept until they converge; see `lsg_ray.ising.bp`.

`Cavity` holds messages as magnetizations; `TightCavity` as fields, for strong couplings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lsg_ray.ising.damping import AdaptiveDamping, DampingConfig
from lsg_ray.typing import Array, Floats


@dataclass(frozen=True)
class SweepConfig:
    """How messages are swept."""

    #: When damping grows.
    damping: DampingConfig = field(default_factory=DampingConfig)
    #: Length of two sweeps in units of one above which messages drift and do not oscillate.
    drift: float = 1.8
    #: Largest |tanh J|: the second largest number below 1 in float64.
    max_tanh: float = 1 - 2.0**-52
    #: That in float32.
    max_single_tanh: float = 1 - 2.0**-23
    #: Largest product of responses of a pair: what is beyond is rounding.
    max_response: float = 1 - 1e-9


CONFIG = SweepConfig()


class Couplings(NamedTuple):
    """Couplings at one temperature, shared by problems: βJ, its tanh, and the largest |tanh|."""

    J: Array
    t: Array
    tightest: float

    @classmethod
    def at(cls, J: Floats, beta: float = 1.0, over: Couplings | None = None) -> Couplings:
        """Return those of βJ; J (N, N).  They are written over those of ``over``, if given."""
        from lsg_ray.kernels import cavity

        scaled, t = (np.empty(J.shape), np.empty(J.shape)) if over is None else over[:2]
        tightest = cavity.couplings(np.ascontiguousarray(J), beta, CONFIG.max_tanh, scaled, t)
        return cls(scaled, t, float(tightest))

    @classmethod
    def single(cls, J: Array, beta: float = 1.0) -> Couplings:
        """Return those of βJ in single precision, and its tanh alone: J is given as that too."""
        from lsg_ray.kernels import cavity

        t = np.empty(J.shape, np.float32)
        tightest = cavity.couplings(np.ascontiguousarray(J), beta, CONFIG.max_single_tanh, t, t)
        return cls(t, t, float(tightest))


class Convergence(NamedTuple):
    """How an iteration ended; see `lsg_ray.ising.bp.Beliefs`."""

    converged: bool
    iterations: int
    residual: float
    damping: float


class Cavity:
    """Messages of one problem; each solution starts from the last messages.

    Parameters
    ----------
    couplings
        Result of `Couplings.at`.
    messages
        (N, N) as in `lsg_ray.ising.bp.Beliefs`; changed in place.  In single precision, as the
        couplings, they take half the memory.
    """

    def __init__(self, couplings: Couplings, messages: Array) -> None:
        from lsg_ray.kernels import cavity

        n = len(messages)
        self.kernels, self.couplings, self.messages = cavity, couplings, messages
        self.fields = np.empty(n)
        self._plus, self._minus = np.empty(n), np.empty(n)
        lanes = -(-n // cavity.PRODUCT_LANES) * cavity.PRODUCT_LANES
        self._scratch, self._lanes = np.zeros((3, lanes), messages.dtype), np.zeros((2, lanes))

    @property
    def m(self) -> Floats:
        """Magnetizations (N,)."""
        return np.tanh(self.fields)

    def start(self, h: Floats) -> None:
        """Start from independent spins."""
        self.messages[:] = np.tanh(h)[:, None]

    def solve(
        self, h: Floats, tolerance: float, max_sweeps: int, damping: float | None = None
    ) -> Convergence:
        """Sweep until messages converge.

        Parameters
        ----------
        h
            (N,) fields.
        tolerance, max_sweeps, damping
            As in `lsg_ray.ising.bp.belief_propagation`.
        """
        h = np.ascontiguousarray(h)
        self.update_fields(h)
        adaptive, sweeps, residual = AdaptiveDamping(CONFIG.damping, damping or 0.0), 0, np.inf
        gamma = float(adaptive.gamma[0])
        while sweeps + 2 <= max_sweeps:
            both, last = self._two_sweeps(h, gamma)
            moved = max(both, last)
            # With damping, a step is shorter than the remaining distance.
            residual = moved / (1 - gamma)
            sweeps += 2
            if residual <= tolerance or not np.isfinite(residual):
                break
            if damping is None and sweeps % CONFIG.damping.every == 0:
                adaptive.update(residual, both > CONFIG.drift * last)
                gamma = float(adaptive.gamma[0])
                if adaptive.hopeless[0]:
                    break
        return Convergence(bool(residual <= tolerance), sweeps, float(residual), gamma)

    def _two_sweeps(self, h: Floats, damping: float) -> tuple[float, float]:
        """Return the largest change of a message over both, of a magnetization in the last."""
        return self.kernels.double_sweep(
            self.messages,
            self.couplings.t,
            h,
            self.fields,
            self._plus,
            self._minus,
            damping,
            self._scratch,
            self._lanes,
        )

    def update_fields(self, h: Floats) -> None:
        """Compute the total fields of the messages; h (N,)."""
        plus, minus = self._plus, self._minus
        self.kernels.column_products(self.messages, self.couplings.t, plus, minus)
        with np.errstate(divide="ignore"):
            self.fields[:] = h + 0.5 * np.clip(np.log(plus) - np.log(minus), -700, 700)

    def averages(self, h: Floats, C: Floats | None = None) -> tuple[float, float]:
        """Return log Z and the mean of the exponent, −Σ J_ij C_ij − Σ h_i m_i.

        Parameters
        ----------
        h
            (N,) fields of the solution.
        C
            (N, N), filled with correlations if given.
        """
        J, t, _ = self.couplings
        total, n = self.m, len(h)
        log_cosh = float((np.logaddexp(J, -J) - np.log(2)).sum())
        nodes, pairs, bonds = self.kernels.pair_sums(
            self.messages, t, J, total, np.empty((0, 0)) if C is None else C, np.empty((2, n))
        )
        sites = float(np.logaddexp(self.fields, -self.fields).sum())
        log_Z = sites + 0.5 * (log_cosh + nodes - pairs)
        return log_Z, -0.5 * bonds - float(h @ total)


class TightCavity(Cavity):
    """A `Cavity` for strong couplings: cavity fields h_{j→i} in place of messages tanh h_{j→i}.

    Where |tanh| is 1 to the last digits, differences of messages are lost; those of fields are not.
    `messages` holds fields here, [j, i] = h_{j→i}.  About 40 ns a message: for few spins.
    """

    def __init__(self, couplings: Couplings, messages: Floats) -> None:
        super().__init__(couplings, messages)
        self._two_cosh = _log_2_cosh(couplings.J)

    def start(self, h: Floats) -> None:
        """Start from independent spins."""
        self.messages[:] = h[:, None]
        np.fill_diagonal(self.messages, 0.0)

    def update_fields(self, h: Floats) -> None:
        """Compute the total fields of the cavity fields; h (N,)."""
        self.fields[:] = h + self._u().sum(axis=0)

    def _u(self) -> Floats:
        """Return u_{j→i} = ½ ln cosh(J + h_{j→i})/cosh(J − h_{j→i}), [j, i]."""
        J, h = self.couplings.J, self.messages
        return 0.5 * (_log_2_cosh(J + h) - _log_2_cosh(J - h))

    def _two_sweeps(self, h: Floats, damping: float) -> tuple[float, float]:
        start, moved = np.tanh(self.messages), 0.0
        for _ in range(2):
            u, before = self._u(), np.tanh(self.messages)
            self.fields[:] = (1 - damping) * (h + u.sum(axis=0)) + damping * self.fields
            self.messages[:] = self.fields[:, None] - u.T
            np.fill_diagonal(self.messages, 0.0)
            moved = float(np.abs(np.tanh(self.messages) - before).max())
        return float(np.abs(np.tanh(self.messages) - start).max()), moved

    def averages(self, h: Floats, C: Floats | None = None) -> tuple[float, float]:
        """Return log Z and the mean of the exponent, as `Cavity.averages`."""
        J, cavity = self.couplings.J, self.messages
        alone = _log_2_cosh(cavity)
        np.fill_diagonal(alone, np.log(2))
        plus, minus = (_log_2_cosh(sign * J + cavity) - alone for sign in (1, -1))
        for values in (plus, minus):
            np.fill_diagonal(values, 0.0)
        sites = np.logaddexp(h + plus.sum(axis=0), -h + minus.sum(axis=0))
        # Four states of a pair: equal spins by e^J cosh of the sum, unequal by e^−J cosh of the
        # difference.
        equal = J + _log_2_cosh(cavity + cavity.T)
        unequal = -J + _log_2_cosh(cavity - cavity.T)
        pairs = np.logaddexp(equal, unequal)
        correlations = np.tanh((equal - unequal) / 2)
        energy = -0.5 * float((J * correlations).sum()) - float(h @ np.tanh(self.fields))
        both = pairs - alone - alone.T
        np.fill_diagonal(both, 0.0)
        if C is not None:
            C[:] = correlations
            np.fill_diagonal(C, 1.0)
        return float(sites.sum() - both.sum() / 2), energy

    def hessian(self) -> Floats:
        """Return the Hessian of the Bethe free energy; see `lsg_ray.kernels.bethe`."""
        p = self._responses()
        hessian = -np.sqrt(p) * np.sign(self.couplings.J) / (1 - p)
        np.fill_diagonal(hessian, 1 + (p / (1 - p)).sum(axis=1))
        return hessian

    def variance_matrix(self) -> Floats:
        """Return the matrix of the growth of random changes; see `lsg_ray.kernels.bethe`."""
        p = self._responses()
        matrix = -p / (1 - p * p)
        np.fill_diagonal(matrix, 1 + (p * p / (1 - p * p)).sum(axis=1))
        return matrix

    def _responses(self) -> Floats:
        """Return products of the two responses ∂u_{j→i}/∂h_{j→i} of each pair."""
        J, h = self.couplings.J, self.messages
        alpha = 0.5 * (np.tanh(J + h) + np.tanh(J - h))
        products: Floats = np.minimum(np.abs(alpha * alpha.T), CONFIG.max_response)
        np.fill_diagonal(products, 0.0)
        return products


def _log_2_cosh(x: Floats) -> Floats:
    return np.logaddexp(x, -x)
