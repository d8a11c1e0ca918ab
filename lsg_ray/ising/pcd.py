"""Boltzmann learning by persistent Monte Carlo chains.

The log-likelihood has the gradient C_data − C_model in J and m_data − m_model in h.  Chains that
are never restarted follow the model as it is learnt (T. Tieleman, ICML 2008) and give its averages.

- The gradient is centred, g_J = ΔC − m Δmᵀ − Δm mᵀ, which decouples fields from couplings
  (J. Melchior, A. Fischer, L. Wiskott, JMLR 17, 99 (2016)), and divided by the diagonal of the
  Hessian, which m and C give.
- Where the deviation grows instead of falling, the parameters go back to the best ones so far and
  the rate is halved.
- The rate falls over the first half of the steps; over the second, parameters are averaged
  (B. Polyak & A. Juditsky, 1992), and so are the moments of the chains, whose deviation from the
  data is the gradient that is left.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.ising.chains import Chains
from lsg_ray.ising.fitted import Fitted, check_penalty, deviation
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.targets import Target
from lsg_ray.typing import Floats, Progress

#: How much larger than its noise the gradient that is left may be.
NOISE = 3.0
#: How large both may be: this share of the deviation of independent weights, or this deviation,
#: that of a million configurations; or else as large as the sampling error of the data.
SHARE, PRECISE = 0.1, 1e-3
#: A fit ends early when its deviation is this share of the sampling error of the data: what follows
#: would fit the noise, and where there are fewer configurations than weights, without end.
NEGLIGIBLE = 0.3
#: Least variance that a gradient is divided by.
LEAST_VARIANCE = 0.1
#: Rate times the curvature of the stiffest mode of the fields; 2 would be the edge of stability.
STABLE = 1.0
#: Steps after which the deviation is looked at: it has grown by the factor `WORSE`, or it has not.
PATIENCE, WORSE = 10, 1.5
#: Averaged steps whose mean is taken as one draw: neighbours are correlated.
BATCH = 25
#: Steps whose averages are compared with the data, on the way.
BLOCK = 50


class Schedule(NamedTuple):
    """Step sizes: the first, the last, and how much of a run has passed."""

    first: float
    last: float

    def at(self, share: float) -> float:
        """Return the step size when so much of the run has passed."""
        return self.first * (self.last / self.first) ** min(1.0, 2 * share)


def fit_pcd(
    target: Target,
    *,
    seconds: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    chains: int = 1024,
    steps: int | None = None,
    sweeps: int = 2,
    rate: float | None = None,
    final_rate: float | None = None,
    l2: float = 0.0,
) -> Fitted:
    """Climb the likelihood with persistent chains, then average the iterates.

    Parameters
    ----------
    target
        Moments, no weight of which is frozen.
    seconds
        Time; by default that of ``steps``.
    chains
        Persistent chains; the noise of a gradient is their number to the power −1/2.
    steps
        Steps, fewer if ``seconds`` run out; by default 1,200, and more below 200 weights.
    sweeps
        Sweeps of the chains a step.
    rate, final_rate
        Step size at the start: by default the least of ½, of chains/(15 N), which keeps the field
        that the noise of J exerts on a weight below about 0.2, and of `STABLE`/λ, λ the largest
        eigenvalue of the correlation matrix.  It falls geometrically to the last, a tenth of it,
        over the first half of the steps.
    l2
        Penalty ½ l2 Σ_{i<j} J_ij².

    Returns
    -------
    Fitted
        Converged if the deviation that is left is at most `NOISE` times its noise, which the
        scatter of the steps tells, or below the sampling error of the data; and if it and its noise
        are below this error, `SHARE` of the deviation of independent weights, or `PRECISE`.  The
        noise, as a deviation, is ``noise_method`` among its `extra`, None of too few steps, and
        ``reason`` says what is missing.

    Notes
    -----
    Two sweeps and two products of a step cost 8 N² flop a chain: 55 ms for 1,024 chains at N = 675
    on two cores.
    """
    check_penalty(l2)
    n = len(target.m)
    if steps is None:
        steps = min(max(1200, 240_000 // n), 10_000)
    if chains < 2 or steps < 1 or sweeps < 1:
        raise InputError(f"chains {chains}, steps {steps}, sweeps {sweeps} given; 2, 1, 1 at least")
    for name, value in (("seconds", seconds), ("rate", rate), ("final_rate", final_rate)):
        if value is not None and not 0 < value < np.inf:
            raise InputError(f"{name} {value} given; it must be positive")
    metric = _Metric(target)
    if rate is None:
        rate = min(0.5, chains / (15 * n), metric.rate)
    schedule = Schedule(rate, rate / 10 if final_rate is None else final_rate)
    m_data = target.m
    now = _State(np.zeros((n, n)), np.arctanh(m_data))
    state = Chains(IsingModel(now.J, now.h), chains, seed=seed, threads=threads)
    state.sweep(5)
    guard, window, block = _Guard(now, state), _Window(n), _Window(n)
    best: tuple[_Residual, tuple[Floats, Floats]] | None = None
    averaging = False
    data_noise = _sampling_error(target)
    alone = deviation(m_data, np.outer(m_data, m_data), target)[0]
    precise = max(data_noise, SHARE * alone, PRECISE)
    enough = NEGLIGIBLE * data_noise
    history: dict[str, list[float]] = {name: [] for name in ("step", "delta", "rate")}
    began, share, step = time.perf_counter(), 0.0, 0
    while share < 1:
        elapsed = 0.0 if seconds is None else (time.perf_counter() - began) / seconds
        share = max((step + 1) / steps, elapsed)
        averaging = averaging or share >= 0.5
        eta = guard.factor * schedule.at(0.5 if averaging else share)
        state.use_arrays(now.J.astype(np.float32), now.h.astype(np.float32))
        state.sweep(sweeps)
        m = np.concatenate(state.by_spin(), axis=1).mean(axis=1, dtype=np.float64)
        C = state.product().astype(np.float64)
        C /= chains
        delta = deviation(m, C, target)[0]
        if guard.is_well(now, state, delta):
            block.add(now, m, C)
            if averaging:
                window.add(now, m, C)
            _step(now, m, C, target, eta, l2, metric)
        else:
            now, window, block = guard.back(state), _Window(n), _Window(n)
        if step % 10 == 0:
            for name, value in (("step", step), ("delta", delta), ("rate", eta)):
                history[name].append(value)
        step += 1
        if progress is not None:
            progress(round(1000 * min(share, 1.0)), 1000)
        if block.count == BLOCK:
            found = block.residual(target, l2)
            if best is None or found.left < best[0].left:
                best = found, block.parameters()
            block = _Window(n)
            long_enough = averaging and window.count >= 2 * BLOCK
            if long_enough and window.residual(target, l2).left <= enough:
                break
            averaging = averaging or found.left <= enough
    if window.count:
        found = window.residual(target, l2)
        if best is None or found.left <= WORSE * best[0].left:
            reason = found.missing(data_noise, precise)
            return _fitted(window.parameters(), found.own, found.noise, reason, step, history)
    if best is None:  # fewer steps than a block, and the last of them went back
        own = deviation(m, C, target)
        return _fitted(guard.kept[0], own, None, "too few steps", step, history)
    found = best[0]
    reason = found.missing(data_noise, precise) if found.left <= enough else "later steps diverged"
    return _fitted(best[1], found.own, found.noise, reason, step, history)


def _fitted(
    parameters: tuple[Floats, Floats],
    own: tuple[float, float, float],
    noise: tuple[float, float, float] | None,
    reason: str,
    step: int,
    history: dict[str, list[float]],
) -> Fitted:
    extra = {"noise_method": noise, **({"reason": reason} if reason else {})}
    return Fitted(*parameters, not reason, step, own, history, extra)


class _State(NamedTuple):
    """Couplings and fields, changed in place."""

    J: Floats
    h: Floats

    def copy(self) -> _State:
        return _State(self.J.copy(), self.h.copy())


class _Metric:
    """What gradients are multiplied by, and the largest rate.

    The diagonal of the Hessian follows from m and C: v_i = Var σ_i = 1 − m_i² for fields, and
    Var (σ_i − m_i)(σ_j − m_j) = v_i v_j + 4 m_i m_j c_ij − c_ij² for couplings.  The stiffest mode
    of the fields has the curvature λ, the largest eigenvalue of the correlation matrix.
    """

    def __init__(self, target: Target) -> None:
        m, v = target.m, np.maximum(1 - target.m**2, LEAST_VARIANCE)
        outer, deviations = np.outer(m, m), np.sqrt(v)
        c = target.C - outer
        pairs = np.outer(v, v) + 4 * outer * c - c * c
        self.h, self.J = 1 / v, 1 / np.maximum(pairs, LEAST_VARIANCE**2)
        self.rate = STABLE / float(np.linalg.eigvalsh(c / np.outer(deviations, deviations))[-1])


def _step(
    now: _State, m: Floats, C: Floats, target: Target, eta: float, l2: float, metric: _Metric
) -> None:
    dm, g = target.m - m, target.C - C
    centre = (target.m + m) / 2
    cross = np.outer(centre, dm)
    g -= cross
    g -= cross.T
    if l2:
        g -= l2 * now.J
    g *= metric.J
    np.fill_diagonal(g, 0.0)
    g *= eta
    now.J[...] += g
    now.h[...] += eta * metric.h * dm - g @ centre


class _Guard:
    """Looks at the deviation every `PATIENCE` steps; after a bad turn, leads back and slows down.

    The chains go back with the parameters: once they are ordered, they would stay so.
    """

    def __init__(self, start: _State, chains: Chains) -> None:
        self.factor, self.noise = 1.0, chains.n_chains**-0.5
        self.best = np.inf
        self.kept = self.before = (start.copy(), chains.spins)
        self.recent: list[float] = []

    def is_well(self, now: _State, chains: Chains, delta: float) -> bool:
        self.recent.append(delta)
        if len(self.recent) < PATIENCE:
            return True
        mean = float(np.mean(self.recent))
        self.recent = []
        if mean <= self.best:  # it was good on average, but may have ended badly
            self.best, self.kept = mean, self.before
        elif not mean < WORSE * max(self.best, 2 * self.noise):
            return False
        self.before = (now.copy(), chains.spins)
        return True

    def back(self, chains: Chains) -> _State:
        self.factor /= 2
        self.before = self.kept
        state, spins = self.kept
        chains.place(spins)
        return state.copy()


class _Residual(NamedTuple):
    """own: deviation of averaged moments; left: of the penalised gradient; noise: of both.

    The noise is a deviation too, with its parts of m and C, of averages from what they would be of
    infinitely many steps; None if they were too few to tell.
    """

    own: tuple[float, float, float]
    left: float
    noise: tuple[float, float, float] | None

    def missing(self, data_noise: float, precise: float) -> str:
        """Return why this is no end; empty if it is one."""
        if self.noise is None:
            return "too few steps to tell the noise"
        noise = self.noise[0]
        if self.left > max(NOISE * noise, data_noise):
            return f"a deviation of {self.left:.2g} is left, of which {noise:.2g} is noise"
        if noise > precise:
            return f"the noise of the chains, {noise:.2g}, is above {precise:.2g}"
        if self.left > precise:
            return f"a deviation of {self.left:.2g} is left, above {precise:.2g}"
        return ""


def _sampling_error(target: Target) -> float:
    """Return the deviation that M configurations of the model itself would have; 0 if unknown."""
    if target.count is None:
        return 0.0
    n = len(target.m)
    pairs = (1 - target.C**2).sum() / (n * (n - 1))
    return float(np.sqrt((np.mean(1 - target.m**2) + pairs) / target.count))


class _Window:
    """Averages over the last steps: of the parameters, and of the moments of their chains."""

    def __init__(self, n: int) -> None:
        self.count = 0
        self.J, self.C, self.batch, self.squares = (np.zeros((n, n)) for _ in range(4))
        self.h, self.m, self.batch_m, self.squares_m = (np.zeros(n) for _ in range(4))

    def add(self, now: _State, m: Floats, C: Floats) -> None:
        self.count += 1
        self.J += now.J
        self.h += now.h
        self.m += m
        self.C += C
        self.batch += C
        self.batch_m += m
        if self.count % BATCH == 0:
            for batch, squares in ((self.batch, self.squares), (self.batch_m, self.squares_m)):
                batch /= BATCH
                squares += batch**2
                batch[...] = 0

    def parameters(self) -> tuple[Floats, Floats]:
        return self.J / self.count, self.h / self.count

    def residual(self, target: Target, l2: float) -> _Residual:
        """Return how far the averaged moments are from the data, and what scatter makes of it."""
        m, C = self.m / self.count, self.C / self.count
        own = deviation(m, C.copy(), target)
        left = deviation(m, C + l2 * self.J / self.count, target)[0] if l2 else own[0]
        batches, n = self.count // BATCH, len(m)
        if batches < 2:
            return _Residual(own, left, None)
        # Squared errors of the averages; the diagonal of C does not scatter.
        error_C = np.maximum(self.squares / batches - C * C, 0).sum() / (n * (n - 1))
        error_m = np.maximum(self.squares_m / batches - m * m, 0).mean()
        of_m, of_C = (float(np.sqrt(error / (batches - 1))) for error in (error_m, error_C))
        return _Residual(own, left, (float(np.hypot(of_m, of_C)), of_m, of_C))
