"""Belief propagation (the cavity method) on a dense Ising model.

Messages m_{i→j} are the magnetizations of i in the absence of j (M. Mézard, A. Montanari,
Information, Physics, and Computation (2009), ch. 14); with u_{j→i} = atanh(tanh J_ij m_{j→i}),

    m_{i→j} = tanh(h_i + Σ_{k≠j} u_{k→i}),           m_i = tanh(h_i + Σ_k u_{k→i}),
    C_ij = (tanh J_ij + m_{i→j}m_{j→i})/(1 + tanh J_ij m_{i→j}m_{j→i}).

Exact on trees; elsewhere the better, the weaker and the more random the couplings.  Damping mixes
each total field H_i with its last value; it changes the way to the fixed point, not the point.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.damping import AdaptiveDamping, DampingConfig
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.typing import Flags, Floats, Ints, ModelLike, Positive, Progress, Several, Share

#: How far two sweeps go, in steps of one, where nothing oscillates.
DRIFT = 1.8
#: |tanh J| at most: what float64 can tell from 1.
LARGEST_TANH = 1 - 2.0**-52
#: Of sweeps of messages.
DAMPING = DampingConfig()


class Beliefs(NamedTuple):
    """Where belief propagation has come to, for each of B problems.

    m: (B, N) magnetizations; messages: (B, N, N), [b, j, i] = m_{j→i}; converged: (B,); iterations:
    (B,) sweeps; residual: (B,) largest change of a message; damping: (B,) what it ended with.
    """

    m: Floats
    messages: Floats
    converged: Flags
    iterations: Ints
    residual: Floats
    damping: Floats


@public
def belief_propagation(
    model: ModelLike,
    *,
    fields: ArrayLike | None = None,
    beta: ArrayLike = 1.0,
    start: ArrayLike | None = None,
    tolerance: Positive = 1e-10,
    max_sweeps: Several = 2000,
    damping: Share | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Beliefs:
    """Iterate the messages of one or many problems that share couplings until they rest.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    fields
        (B, N) or (N,): in place of βh, in nats; by default β h.
    beta
        Inverse temperature, one number or one for each problem; multiplies J (and h, unless
        ``fields`` are given).
    start
        Messages (B, N, N) or (N, N) to start from, as in `Beliefs`; by default those of independent
        spins, tanh of the fields.
    tolerance
        On the largest change of a message, and of a magnetization, in a sweep.
    max_sweeps
        Sweeps, at most.
    damping
        From 0 up to 1, excluded; by default 0, and more where the residual does not fall.
    threads
        By default one per CPU; changes no result.
    progress
        Told ``(problems done, B)``.

    Returns
    -------
    Beliefs
        Also where it has not converged, with the flag.

    Raises
    ------
    InputError
        Shapes that do not fit, or numbers out of range.

    Notes
    -----
    One sweep is N(N−1) messages, about 1 ns each on a core; memory 8 N² bytes a problem.

    Examples
    --------
    >>> beliefs = belief_propagation(([[0, 0.5], [0.5, 0]], [1.0, 0.0]))
    >>> float(beliefs.m[0, 1].round(4)), float((np.tanh(0.5) * np.tanh(1.0)).round(4))
    (0.3519, 0.3519)
    """
    from dask.system import CPU_COUNT

    ising = as_model(model)
    betas, wanted = _problems(ising, fields, beta)
    count, n = wanted.shape
    messages = _start(start, wanted, count, n)
    couplings = {b: Couplings.at(ising.J, b) for b in set(betas.tolist())}
    done = 0

    def solve(b: int) -> tuple[Floats, Rest]:
        nonlocal done
        cavity = Cavity(couplings[float(betas[b])], messages[b])
        found = cavity.solve(wanted[b], tolerance, max_sweeps, damping)
        done += 1
        if progress is not None:
            progress(done, count)
        return cavity.m, found

    workers = min(threads or CPU_COUNT, CPU_COUNT, count)
    if workers == 1:
        found = [solve(b) for b in range(count)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(solve, range(count)))
    m, rests = zip(*found, strict=True)
    converged, iterations, residual, used = (np.array(some) for some in zip(*rests, strict=True))
    return Beliefs(np.array(m), messages, converged, iterations, residual, used)


def _problems(
    model: IsingModel, fields: ArrayLike | None, beta: ArrayLike
) -> tuple[Floats, Floats]:
    """Return β (B,) and fields (B, N)."""
    n, betas = model.n_spins, np.atleast_1d(as_numbers(beta, "beta"))
    if betas.ndim != 1 or not np.isfinite(betas).all():
        raise InputError(f"beta {brief(beta)} given; a finite number, or one for each problem")
    if fields is None:
        return betas, betas[:, None] * model.h
    given = as_numbers(fields, "fields")
    wanted = np.array(np.atleast_2d(given))
    if wanted.ndim != 2 or wanted.shape[1] != n or len(wanted) == 0:
        raise InputError(f"fields of shape {given.shape} given; ({n},) or (B, {n}) is needed")
    if not np.isfinite(wanted).all():
        b, i = np.argwhere(~np.isfinite(wanted))[0].tolist()
        raise InputError(f"field {i} of problem {b} is {wanted[b, i]}; fields must be finite")
    try:
        count = np.broadcast_shapes((len(wanted),), betas.shape)
    except ValueError:
        raise InputError(f"{len(betas)} values of beta given for {len(wanted)} problems") from None
    return np.broadcast_to(betas, count), np.broadcast_to(wanted, (*count, n))


def _start(start: ArrayLike | None, fields: Floats, count: int, n: int) -> Floats:
    if start is None:
        return np.repeat(np.tanh(fields)[:, :, None], n, axis=2)
    given = as_numbers(start, "start")
    if given.shape not in ((n, n), (count, n, n)):
        raise InputError(
            f"start of shape {given.shape} given; ({n}, {n}) or ({count}, {n}, {n}) is needed"
        )
    if not (np.abs(given) <= 1).all():
        raise InputError("start holds messages outside [−1, 1]")
    return np.array(np.broadcast_to(given, (count, n, n)))


class Couplings(NamedTuple):
    """Couplings of one temperature, shared by many problems: βJ and its tanh, with the largest."""

    J: Floats
    t: Floats
    tightest: float

    @classmethod
    def at(cls, J: Floats, beta: float = 1.0, over: Couplings | None = None) -> Couplings:
        """Return those of βJ; J (N, N).  They may be written over others that are not needed."""
        from lsg_ray.kernels import cavity

        scaled, t = (np.empty(J.shape), np.empty(J.shape)) if over is None else over[:2]
        tightest = cavity.couplings(np.ascontiguousarray(J), beta, LARGEST_TANH, scaled, t)
        return cls(scaled, t, float(tightest))


class Rest(NamedTuple):
    """How an iteration ended; see `Beliefs`."""

    converged: bool
    iterations: int
    residual: float
    damping: float


class Cavity:
    """Messages of one problem, which go on from where they are.

    Parameters
    ----------
    couplings
        From `Couplings.at`.
    messages
        (N, N) as in `Beliefs`; changed in place.
    """

    def __init__(self, couplings: Couplings, messages: Floats) -> None:
        from lsg_ray.kernels import cavity

        n = len(messages)
        self.kernels, self.couplings, self.messages = cavity, couplings, messages
        self.fields = np.empty(n)
        self._plus, self._minus = np.empty(n), np.empty(n)
        self._scratch = np.zeros((5, -(-n // cavity.PRODUCT_LANES) * cavity.PRODUCT_LANES))

    @property
    def m(self) -> Floats:
        """Magnetizations (N,)."""
        return np.tanh(self.fields)

    def start(self, h: Floats) -> None:
        """Start from independent spins."""
        self.messages[:] = np.tanh(h)[:, None]

    def solve(
        self, h: Floats, tolerance: float, max_sweeps: int, damping: float | None = None
    ) -> Rest:
        """Sweep until nothing moves.

        Parameters
        ----------
        h
            (N,) fields.
        tolerance, max_sweeps, damping
            As in `belief_propagation`.
        """
        h = np.ascontiguousarray(h)
        self.settle(h)
        adaptive, sweeps, residual = AdaptiveDamping(DAMPING, damping or 0.0), 0, np.inf
        gamma = float(adaptive.gamma[0])
        while sweeps + 2 <= max_sweeps:
            both, last = self._two_sweeps(h, gamma)
            moved = max(both, last)
            # With damping, a step is shorter than the way that is left.
            residual = moved / (1 - gamma)
            sweeps += 2
            if residual <= tolerance or not np.isfinite(residual):
                break
            if damping is None and sweeps % DAMPING.every == 0:
                # Where two sweeps go as far as two steps, it drifts, as on the way out of a saddle,
                # and does not oscillate.
                adaptive.update(residual, both > DRIFT * last)
                gamma = float(adaptive.gamma[0])
                if adaptive.hopeless[0]:
                    break
        return Rest(bool(residual <= tolerance), sweeps, float(residual), gamma)

    def _two_sweeps(self, h: Floats, damping: float) -> tuple[float, float]:
        """Return the largest change of a message over both, of a magnetization in the last."""
        return self.kernels.double_sweep(
            self.messages, self.couplings.t, h, self.fields, self._plus, self._minus, damping,
            self._scratch,
        )  # fmt: skip

    def settle(self, h: Floats) -> None:
        """Set total fields to those that the messages give; h (N,)."""
        plus, minus = self._plus, self._minus
        self.kernels.column_products(self.messages, self.couplings.t, plus, minus)
        with np.errstate(divide="ignore"):
            self.fields[:] = h + 0.5 * np.clip(np.log(plus) - np.log(minus), -700, 700)

    def averages(self, h: Floats, C: Floats | None = None) -> tuple[float, float]:
        """Return log Z and the mean of what stands in the exponent, −Σ J_ij C_ij − Σ h_i m_i.

        Parameters
        ----------
        h
            (N,) fields that were solved for.
        C
            (N, N) to be filled with correlations.
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
    """The same for strong couplings, by cavity fields h_{j→i} in place of messages tanh h_{j→i}.

    Where |tanh| is 1 to the last digits, differences of messages are lost; those of fields are not.
    `messages` holds fields here, [j, i] = h_{j→i}.  Some 40 ns a message: for few spins.
    """

    def __init__(self, couplings: Couplings, messages: Floats) -> None:
        super().__init__(couplings, messages)
        self._two_cosh = _log_2_cosh(couplings.J)

    def start(self, h: Floats) -> None:
        """Start from independent spins."""
        self.messages[:] = h[:, None]
        np.fill_diagonal(self.messages, 0.0)

    def settle(self, h: Floats) -> None:
        """Set total fields to those that the cavity fields give; h (N,)."""
        self.fields[:] = h + self._u().sum(axis=0)

    def _u(self) -> Floats:
        """u_{j→i} = ½ ln cosh(J + h_{j→i})/cosh(J − h_{j→i}), [j, i]."""
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
        """Return log Z and the mean of what stands in the exponent, as `Cavity.averages`."""
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
        found = np.tanh((equal - unequal) / 2)
        energy = -0.5 * float((J * found).sum()) - float(h @ np.tanh(self.fields))
        both = pairs - alone - alone.T
        np.fill_diagonal(both, 0.0)
        if C is not None:
            C[:] = found
            np.fill_diagonal(C, 1.0)
        return float(sites.sum() - both.sum() / 2), energy

    def hessian(self) -> Floats:
        """Return the Hessian of the Bethe free energy; see `lsg_ray.kernels.bethe`."""
        p = self._squares()
        found = -np.sqrt(p) * np.sign(self.couplings.J) / (1 - p)
        np.fill_diagonal(found, 1 + (p / (1 - p)).sum(axis=1))
        return found

    def variance_matrix(self) -> Floats:
        """Return what decides on the growth of random changes; see `lsg_ray.kernels.bethe`."""
        p = self._squares()
        found = -p / (1 - p * p)
        np.fill_diagonal(found, 1 + (p * p / (1 - p * p)).sum(axis=1))
        return found

    def _squares(self) -> Floats:
        """Products of the two responses ∂u_{j→i}/∂h_{j→i} of each pair."""
        J, h = self.couplings.J, self.messages
        alpha = 0.5 * (np.tanh(J + h) + np.tanh(J - h))
        found: Floats = np.minimum(np.abs(alpha * alpha.T), 1 - 1e-9)  # beyond, all is rounding
        np.fill_diagonal(found, 0.0)
        return found


def _log_2_cosh(x: Floats) -> Floats:
    return np.logaddexp(x, -x)


class Bethe(NamedTuple):
    """Bethe averages, each (B,): log_Z and entropy in nats, mean energy of βE; C: (B, N, N)."""

    log_Z: Floats  # noqa: N815
    energy: Floats
    entropy: Floats
    C: Floats


def bethe_averages(
    model: ModelLike, beliefs: Beliefs, *, fields: ArrayLike | None = None, beta: ArrayLike = 1.0
) -> Bethe:
    """Return correlations, free energy, energy and entropy of the beliefs.

    log Z = Σ_i log Z_i − Σ_{i<j} log Z_ij with
    log Z_i = log 2 cosh H_i + Σ_k [log cosh J_ik + ½ log(1 − x_ki²)] and
    log Z_ij = log cosh J_ij + log(1 + tanh J_ij m_{i→j} m_{j→i}); the energy is that of all that
    stands in the exponent, −Σ βJ_ij C_ij − Σ (fields)_i m_i; the entropy is log Z + energy.

    Parameters
    ----------
    model, fields, beta
        As given to `belief_propagation`.
    beliefs
        From there.
    """
    ising = as_model(model)
    betas, wanted = _problems(ising, fields, beta)
    found = []
    for b, messages in enumerate(beliefs.messages):
        cavity = Cavity(Couplings.at(ising.J, float(betas[b])), messages)
        cavity.settle(wanted[b])
        C = np.empty_like(messages)
        log_Z, energy = cavity.averages(wanted[b], C)
        found.append((log_Z, energy, log_Z + energy, C))
    return Bethe(*(np.array(values) for values in zip(*found, strict=True)))
