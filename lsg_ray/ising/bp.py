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
from lsg_ray.ising.cavity import Cavity, Convergence, Couplings
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.typing import Flags, Floats, Ints, ModelLike, Positive, Progress, Several, Share


class Beliefs(NamedTuple):
    """Result of belief propagation, for each of B problems.

    m: (B, N) magnetizations; messages: (B, N, N), [b, j, i] = m_{j→i}; converged: (B,); iterations:
    (B,) sweeps; residual: (B,) largest change of a message; damping: (B,) the last one.
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
    """Iterate the messages of one or many problems that share couplings until they converge.

    Parameters
    ----------
    model
        `IsingModel`, path, or (J, h).
    fields
        Fields (B, N) or (N,) in nats; by default β h.
    beta
        Inverse temperature, one number or one for each problem; multiplies J (and h, unless
        ``fields`` are given).
    start
        Messages (B, N, N) or (N, N) to start from, as in `Beliefs`; by default those of independent
        spins, tanh of the fields.
    tolerance
        Largest change of a message, and of a magnetization, in a sweep at convergence.
    max_sweeps
        Largest number of sweeps.
    damping
        Damping of total fields, from 0 up to 1, excluded; by default 0, and more where the residual
        does not fall.
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
    betas, all_fields = _problems(ising, fields, beta)
    count, n = all_fields.shape
    messages = _start(start, all_fields, count, n)
    couplings = {b: Couplings.at(ising.J, b) for b in set(betas.tolist())}
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
    betas, all_fields = _problems(ising, fields, beta)
    averages = []
    for b, messages in enumerate(beliefs.messages):
        cavity = Cavity(Couplings.at(ising.J, float(betas[b])), messages)
        cavity.update_fields(all_fields[b])
        C = np.empty_like(messages)
        log_Z, energy = cavity.averages(all_fields[b], C)
        averages.append((log_Z, energy, log_Z + energy, C))
    return Bethe(*(np.array(values) for values in zip(*averages, strict=True)))
