"""Belief propagation (the cavity method) on a dense Ising model.

Messages m_{i→j} are the magnetizations of i in the absence of j (M. Mézard, A. Montanari,
Information, Physics, and Computation (2009), ch. 14); with u_{j→i} = atanh(tanh J_ij m_{j→i}),

    m_{i→j} = tanh(h_i + Σ_{k≠j} u_{k→i}),           m_i = tanh(h_i + Σ_k u_{k→i}),
    C_ij = (tanh J_ij + m_{i→j}m_{j→i})/(1 + tanh J_ij m_{i→j}m_{j→i}).

Exact on trees; elsewhere the better, the weaker and the more random the couplings.  Damping mixes
each total field H_i with its last value; it changes the way to the fixed point, not the point.

Messages are swept in place, and stand in memory once.  In single precision, messages and couplings
take 8 N² bytes together (800 MB at N = 10⁴), and a message errs by some 10⁻⁷; products over the
neighbours of a spin are in double precision in either case.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, brief, public
from lsg_ray.errors import InputError
from lsg_ray.ising.cavity import Cavity, Convergence, Couplings
from lsg_ray.ising.model import RELATIVE_SINGLE, as_model, check_couplings
from lsg_ray.typing import Array, Flags, Floats, Ints, ModelLike, Positive, Progress, Several, Share

Precision = Literal["auto", "double", "single"]


@dataclass(frozen=True)
class PrecisionConfig:
    """When messages are in single precision, how exact these can be, and how many there are."""

    #: Largest N of double precision, if not asked for.
    double: int = 4096
    #: Largest change of a message at convergence, by precision, if not given; and the least of
    #: single precision, twice what rounding does to a message.
    tolerance: float = 1e-10
    single_tolerance: float = 1e-6
    least_single: float = 2e-7
    #: Most bytes of messages and of couplings.
    bytes: int = 16 * 2**30


CONFIG = PrecisionConfig()


class Beliefs(NamedTuple):
    """Result of belief propagation, for each of B problems.

    m: (B, N) magnetizations; messages: (B, N, N), [b, j, i] = m_{j→i}, in single precision where
    that was used; converged: (B,); iterations:
    (B,) sweeps; residual: (B,) largest change of a message; damping: (B,) the last one.
    """

    m: Floats
    messages: Array
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
    tolerance: Positive | None = None,
    max_sweeps: Several = 2000,
    damping: Share | None = None,
    precision: Precision = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Beliefs:
    """Iterate the messages of one or many problems that share couplings until they converge.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).  For single precision, J may be float32 and is then not
        copied.
    fields
        Fields (B, N) or (N,) in nats; by default β h.
    beta
        Inverse temperature, one number or one for each problem; multiplies J (and h, unless
        ``fields`` are given).
    start
        Messages (B, N, N) or (N, N) to start from, as in `Beliefs`; by default those of independent
        spins, tanh of the fields.
    tolerance
        Largest change of a message, and of a magnetization, in a sweep at convergence; by default
        1e-10, or 1e-6 in single precision.
    max_sweeps
        Largest number of sweeps.
    damping
        Damping of total fields, from 0 up to 1, excluded; by default 0, and more where the residual
        does not fall.
    precision
        Precision of messages and couplings: ``single`` takes half the memory; ``auto`` is double up
        to N = 4,096.
    threads
        Number of threads; by default one per CPU.  Does not change results.
    progress
        Called with ``(done, B)`` problems.

    Returns
    -------
    Beliefs
        Last messages and magnetizations, also where they have not converged.

    Raises
    ------
    InputError
        Shapes that do not fit, numbers out of range, a tolerance that single precision cannot
        reach, or messages that take more than `PrecisionConfig.bytes`.

    Notes
    -----
    One sweep is N(N−1) messages, about 1 ns each on a core.  Memory: 8 N² bytes a problem, and
    16 N² for couplings; in single precision 4 N² for each.

    Examples
    --------
    >>> beliefs = belief_propagation(([[0, 0.5], [0.5, 0]], [1.0, 0.0]))
    >>> float(beliefs.m[0, 1].round(4)), float((np.tanh(0.5) * np.tanh(1.0)).round(4))
    (0.3519, 0.3519)
    """
    from dask.system import CPU_COUNT

    single = _is_single(model, precision)
    J, h = single_model(model) if single else _double_model(model)
    betas, all_fields = _problems(h, fields, beta)
    count, n = all_fields.shape
    tolerance = _tolerance(tolerance, single)
    different = set(betas.tolist())
    _check_memory(n, count, len(different), single)
    messages = _start(start, all_fields, np.dtype(np.float32 if single else np.float64))
    couplings = {b: Couplings.single(J, b) if single else Couplings.at(J, b) for b in different}
    done = 0

    def solve(b: int) -> tuple[Floats, Convergence]:
        nonlocal done
        cavity = Cavity(couplings[float(betas[b])], messages[b])
        status = cavity.solve(all_fields[b], tolerance, max_sweeps, damping)
        done += 1
        if progress is not None:
            progress(done, count)
        return cavity.m, status

    workers = min(threads or CPU_COUNT, CPU_COUNT, count)
    if workers == 1:
        solutions = [solve(b) for b in range(count)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            solutions = list(pool.map(solve, range(count)))
    m, statuses = zip(*solutions, strict=True)
    converged, iterations, residual, last_damping = map(np.array, zip(*statuses, strict=True))
    return Beliefs(np.array(m), messages, converged, iterations, residual, last_damping)


def _is_single(model: ModelLike, precision: Precision) -> bool:
    if precision != "auto":
        return precision == "single"
    J = model[0] if isinstance(model, tuple) and len(model) == 2 else as_model(model).J
    return len(np.asarray(J)) > CONFIG.double


def _double_model(model: ModelLike) -> tuple[Floats, Floats]:
    ising = as_model(model)
    return ising.J, ising.h


def single_model(model: ModelLike) -> tuple[Array, Floats]:
    """Return J and h of a model; J as it is where that is float32, after the checks of a model.

    Raises
    ------
    InputError
        As `lsg_ray.ising.model.IsingModel`.
    """
    if not (isinstance(model, tuple) and len(model) == 2):
        return _double_model(model)
    given, fields = model
    if not (isinstance(given, np.ndarray) and given.dtype == np.float32):
        return _double_model(model)
    h = as_numbers(fields, "h").copy()
    check_couplings(given, h, RELATIVE_SINGLE)
    return given, h


def _tolerance(given: float | None, single: bool) -> float:
    if given is None:
        return CONFIG.single_tolerance if single else CONFIG.tolerance
    if single and given < CONFIG.least_single:
        raise InputError(
            f"tolerance {given:g} given; messages in single precision come to "
            f"{CONFIG.least_single:g} at best: pass precision='double'"
        )
    return given


def _check_memory(n: int, count: int, temperatures: int, single: bool) -> None:
    need = (4 * (count + temperatures) if single else 8 * (count + 2 * temperatures)) * n * n
    if need > CONFIG.bytes:
        less = "" if single else ", or precision='single'"
        raise InputError(
            f"messages and couplings of {count} problem(s) of {n:,} spins take "
            f"{need / 2**30:.0f} GiB, more than {CONFIG.bytes / 2**30:.0f}; solve fewer at once, "
            f"fit a part of the weights{less}"
        )


def _problems(h: Floats, fields: ArrayLike | None, beta: ArrayLike) -> tuple[Floats, Floats]:
    """Return β (B,) and fields (B, N)."""
    n, betas = len(h), np.atleast_1d(as_numbers(beta, "beta"))
    if betas.ndim != 1 or not np.isfinite(betas).all():
        raise InputError(f"beta {brief(beta)} given; a finite number, or one for each problem")
    if fields is None:
        return betas, betas[:, None] * h
    given = as_numbers(fields, "fields")
    rows = np.array(np.atleast_2d(given))
    if rows.ndim != 2 or rows.shape[1] != n or len(rows) == 0:
        raise InputError(f"fields of shape {given.shape} given; ({n},) or (B, {n}) is needed")
    if not np.isfinite(rows).all():
        b, i = np.argwhere(~np.isfinite(rows))[0].tolist()
        raise InputError(f"field {i} of problem {b} is {rows[b, i]}; fields must be finite")
    try:
        count = np.broadcast_shapes((len(rows),), betas.shape)
    except ValueError:
        raise InputError(f"{len(betas)} values of beta given for {len(rows)} problems") from None
    return np.broadcast_to(betas, count), np.broadcast_to(rows, (*count, n))


def _start(start: ArrayLike | None, fields: Floats, kind: np.dtype) -> Array:
    """Return messages (B, N, N) to start from, an array of their own."""
    count, n = fields.shape
    if start is None:
        return np.repeat(np.tanh(fields).astype(kind)[:, :, None], n, axis=2)
    given = as_numbers(start, "start", None)
    if given.shape not in ((n, n), (count, n, n)):
        raise InputError(
            f"start of shape {given.shape} given; ({n}, {n}) or ({count}, {n}, {n}) is needed"
        )
    if not (np.abs(given) <= 1).all():
        raise InputError("start holds messages outside [−1, 1]")
    return np.array(np.broadcast_to(given, (count, n, n)), kind)


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
    log Z_ij = log cosh J_ij + log(1 + tanh J_ij m_{i→j} m_{j→i}); the energy is the mean of the
    exponent, −Σ βJ_ij C_ij − Σ (fields)_i m_i; the entropy is log Z + energy.

    Parameters
    ----------
    model, fields, beta
        As in `belief_propagation`.
    beliefs
        Result of `belief_propagation`.
    """
    ising = as_model(model)
    betas, all_fields = _problems(ising.h, fields, beta)
    averages = []
    for b, given in enumerate(beliefs.messages):
        messages = given.astype(np.float64)
        cavity = Cavity(Couplings.at(ising.J, float(betas[b])), messages)
        cavity.update_fields(all_fields[b])
        C = np.empty_like(messages)
        log_Z, energy = cavity.averages(all_fields[b], C)
        averages.append((log_Z, energy, log_Z + energy, C))
    return Bethe(*(np.array(values) for values in zip(*averages, strict=True)))
