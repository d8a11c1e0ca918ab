"""Climbing the likelihood of a model, with configurations that follow it as it is learnt.

- The gradient is centred, g_J = ΔC − m Δmᵀ − Δm mᵀ, which decouples fields from couplings
  (J. Melchior, A. Fischer, L. Wiskott, JMLR 17, 99 (2016)), and divided by the diagonal of the
  Hessian, which m and C give.
- Where the deviation grows instead of falling, the parameters go back to the best ones so far and
  the rate is halved.
- The rate falls over the first half of the steps; over the second, parameters are averaged
  (B. Polyak & A. Juditsky, 1992), and so are the moments of the configurations, whose deviation
  from the data is the gradient that is left.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lsg_ray.ising.fitted import Deviation, Fitted, deviation
from lsg_ray.ising.targets import Target
from lsg_ray.typing import Floats, Progress, Signs, Singles


@dataclass(frozen=True)
class ClimbingConfig:
    """When a fit has converged, and how its steps are made."""

    #: Largest remaining gradient in units of its noise.
    noise: float = 3.0
    #: Largest gradient and noise: this share of the deviation of independent weights, or this
    #: deviation, that of a million configurations; or else the sampling error of the data.
    share: float = 0.1
    precise: float = 1e-3
    #: Deviation in units of the sampling error of the data at which a fit ends early: further steps
    #: would fit the noise, and where there are fewer configurations than weights, without end.
    negligible: float = 0.3
    #: Least variance by which a gradient is divided.
    least_variance: float = 0.1
    #: Steps between two looks at the deviation, and the growth of it that calls for going back.
    check_every: int = 10
    worse: float = 1.5
    #: Averaged steps whose mean counts as one draw: neighbours are correlated.
    batch: int = 25
    #: Steps whose averages are compared with the data during the fit.
    block: int = 50


CONFIG = ClimbingConfig()


class Schedule(NamedTuple):
    """Step sizes, which fall geometrically over the first half of a run."""

    first: float
    last: float

    def at(self, share: float) -> float:
        """Return the step size after a share of the run."""
        return self.first * (self.last / self.first) ** min(1.0, 2 * share)


Parameters = tuple[Floats, Floats]


class Sampler(Protocol):
    """Configurations that follow a model as it is learnt, as `lsg_ray.ising.chains.Chains` do."""

    n_chains: int

    @property
    def spins(self) -> Signs:
        """All that `set_spins` needs to go back."""

    def set_spins(self, spins: NDArray[np.integer]) -> None:
        """Go back to earlier configurations."""

    def use_arrays(self, J: Singles, h: Singles) -> None:
        """Go on with other couplings and fields."""

    def sweep(self, number: int) -> None:
        """Move on by some sweeps."""

    def by_spin(self) -> list[Singles]:
        """Return the configurations that count, (N, chains) in groups."""

    def product(self) -> Singles:
        """Return Σ σσᵀ over them."""


class Rates(NamedTuple):
    """Step sizes at the start and at the end; None is the default.

    stable: largest default rate times the curvature of the stiffest mode of the fields; 2 is the
    edge of stability where averages follow the model at once.
    """

    first: float | None
    last: float | None
    stable: float = 1.0


def climb(
    target: Target,
    start: Parameters,
    chains: Sampler,
    steps: int | None,
    sweeps: int,
    rates: Rates,
    l2: float,
    seconds: float | None,
    progress: Progress | None,
) -> Fitted:
    """Climb the likelihood from some couplings and fields, as `fit_pcd` does, with any sampler."""
    n = len(target.m)
    steps = steps or min(max(1200, 240_000 // n), 10_000)
    metric = _Metric(target)
    rate = rates.first or min(0.5, chains.n_chains / (15 * n), rates.stable / metric.stiffest)
    schedule = Schedule(rate, rates.last or rate / 10)
    learner = _Learner(target, metric, _State(*start).copy(), chains, l2)
    history: dict[str, list[float]] = {name: [] for name in ("step", "delta", "rate")}
    began, share, step, done = time.perf_counter(), 0.0, 0, False
    while share < 1 and not done:
        elapsed = 0.0 if seconds is None else (time.perf_counter() - began) / seconds
        share = max((step + 1) / steps, elapsed)
        delta, eta = learner.step(schedule, share, sweeps)
        if step % 10 == 0:
            for name, value in (("step", step), ("delta", delta), ("rate", eta)):
                history[name].append(value)
        step += 1
        if progress is not None:
            progress(round(1000 * min(share, 1.0)), 1000)
        done = learner.ends()
    parameters, own, noise, reason = learner.result()
    extra = {"noise_method": noise, **({"reason": reason} if reason else {})}
    return Fitted(*parameters, not reason, step, own, history, extra)


class _Learner:
    """A model during learning, its chains, and averages of the last steps."""

    def __init__(
        self, target: Target, metric: _Metric, start: _State, chains: Sampler, l2: float
    ) -> None:
        self.target, self.metric, self.l2, self.chains = target, metric, l2, chains
        n, m = len(target.m), target.m
        self.now, self.guard = start, _Safeguard(start, chains)
        self.window, self.block = _Window(n), _Window(n)
        self.best: tuple[_Residual, Parameters] | None = None
        self.averaging = False
        self.data_noise = sampling_error(target)
        alone = deviation(m, np.outer(m, m), target)[0]
        self.precise = max(self.data_noise, CONFIG.share * alone, CONFIG.precise)
        self.enough = CONFIG.negligible * self.data_noise

    def step(self, schedule: Schedule, share: float, sweeps: int) -> tuple[float, float]:
        """Move the chains, then the parameters; return the deviation and the step size."""
        self.averaging = self.averaging or share >= 0.5
        eta = self.guard.factor * schedule.at(0.5 if self.averaging else share)
        now, chains = self.now, self.chains
        chains.use_arrays(now.J.astype(np.float32), now.h.astype(np.float32))
        chains.sweep(sweeps)
        m = np.concatenate(chains.by_spin(), axis=1).mean(axis=1, dtype=np.float64)
        C = chains.product().astype(np.float64)
        C /= chains.n_chains
        self.own = deviation(m, C, self.target)
        if self.guard.accepts(now, chains, self.own[0]):
            self.block.add(now, m, C)
            if self.averaging:
                self.window.add(now, m, C)
            _step(now, m, C, self.target, eta, self.l2, self.metric)
        else:
            self.now = self.guard.restore(chains)
            self.window, self.block = _Window(len(m)), _Window(len(m))
        return self.own[0], eta

    def ends(self) -> bool:
        """Compare the averages of a whole block with the data; return whether to end the fit."""
        if self.block.count < CONFIG.block:
            return False
        residual = self.block.residual(self.target, self.l2)
        if self.best is None or residual.left < self.best[0].left:
            self.best = residual, self.block.parameters()
        self.block = _Window(len(self.target.m))
        long_enough = self.averaging and self.window.count >= 2 * CONFIG.block
        if long_enough and self.window.residual(self.target, self.l2).left <= self.enough:
            return True
        self.averaging = self.averaging or residual.left <= self.enough
        return False

    def result(self) -> tuple[Parameters, Deviation, Deviation | None, str]:
        """Return the parameters, their deviation, its noise, and why they have not converged."""
        best = self.best
        if self.window.count:
            residual = self.window.residual(self.target, self.l2)
            if best is None or residual.left <= CONFIG.worse * best[0].left:
                reason = residual.missing(self.data_noise, self.precise)
                return self.window.parameters(), residual.own, residual.noise, reason
        if best is None:  # fewer steps than a block, and the last of them went back
            return self.guard.best_state[0], self.own, None, "too few steps"
        residual, reason = best[0], "later steps diverged"
        if residual.left <= self.enough:
            reason = residual.missing(self.data_noise, self.precise)
        return best[1], residual.own, residual.noise, reason


class _State(NamedTuple):
    """Couplings and fields, changed in place."""

    J: Floats
    h: Floats

    def copy(self) -> _State:
        return _State(self.J.copy(), self.h.copy())


class _Metric:
    """Factors of the gradients, and the curvature of the stiffest mode.

    The diagonal of the Hessian follows from m and C: v_i = Var σ_i = 1 − m_i² for fields, and
    Var (σ_i − m_i)(σ_j − m_j) = v_i v_j + 4 m_i m_j c_ij − c_ij² for couplings.  The stiffest mode
    of the fields has the curvature λ, the largest eigenvalue of the correlation matrix.
    """

    def __init__(self, target: Target) -> None:
        m, v = target.m, np.maximum(1 - target.m**2, CONFIG.least_variance)
        outer, deviations = np.outer(m, m), np.sqrt(v)
        c = target.C - outer
        pairs = np.outer(v, v) + 4 * outer * c - c * c
        self.h, self.J = 1 / v, 1 / np.maximum(pairs, CONFIG.least_variance**2)
        self.stiffest = float(np.linalg.eigvalsh(c / np.outer(deviations, deviations))[-1])


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


class _Safeguard:
    """Checks the deviation every few steps; where it has grown, goes back and halves the rate.

    The chains go back with the parameters: once they are ordered, they would stay so.
    """

    def __init__(self, start: _State, chains: Sampler) -> None:
        self.factor, self.noise = 1.0, chains.n_chains**-0.5
        self.best = np.inf
        self.best_state = self.before = (start.copy(), chains.spins)
        self.recent: list[float] = []

    def accepts(self, now: _State, chains: Sampler, delta: float) -> bool:
        self.recent.append(delta)
        if len(self.recent) < CONFIG.check_every:
            return True
        mean = float(np.mean(self.recent))
        self.recent = []
        if mean <= self.best:  # it was good on average, but may have ended badly
            self.best, self.best_state = mean, self.before
        elif not mean < CONFIG.worse * max(self.best, 2 * self.noise):
            return False
        self.before = (now.copy(), chains.spins)
        return True

    def restore(self, chains: Sampler) -> _State:
        self.factor /= 2
        self.before = self.best_state
        state, spins = self.best_state
        chains.set_spins(spins)
        return state.copy()


class _Residual(NamedTuple):
    """own: deviation of averaged moments; left: of the penalised gradient; noise: of both.

    The noise is the deviation of the averages from those of infinitely many steps, with its parts
    of m and C; None if the steps were too few to estimate it.
    """

    own: Deviation
    left: float
    noise: Deviation | None

    def missing(self, data_noise: float, precise: float) -> str:
        """Return why the fit has not converged; empty if it has."""
        if self.noise is None:
            return "too few steps to estimate the noise"
        noise = self.noise[0]
        if self.left > max(CONFIG.noise * noise, data_noise):
            return f"a deviation of {self.left:.2g} is left, of which {noise:.2g} is noise"
        if noise > precise:
            return f"the noise of the chains, {noise:.2g}, is above {precise:.2g}"
        if self.left > precise:
            return f"a deviation of {self.left:.2g} is left, above {precise:.2g}"
        return ""


def sampling_error(target: Target) -> float:
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
        if self.count % CONFIG.batch == 0:
            for batch, squares in ((self.batch, self.squares), (self.batch_m, self.squares_m)):
                batch /= CONFIG.batch
                squares += batch**2
                batch[...] = 0

    def parameters(self) -> tuple[Floats, Floats]:
        return self.J / self.count, self.h / self.count

    def residual(self, target: Target, l2: float) -> _Residual:
        """Return the deviation of the averaged moments from the data, and its noise by scatter."""
        m, C = self.m / self.count, self.C / self.count
        own = deviation(m, C.copy(), target)
        left = deviation(m, C + l2 * self.J / self.count, target)[0] if l2 else own[0]
        batches, n = self.count // CONFIG.batch, len(m)
        if batches < 2:
            return _Residual(own, left, None)
        # Squared errors of the averages; the diagonal of C does not scatter.
        error_C = np.maximum(self.squares / batches - C * C, 0).sum() / (n * (n - 1))
        error_m = np.maximum(self.squares_m / batches - m * m, 0).mean()
        of_m, of_C = (float(np.sqrt(error / (batches - 1))) for error in (error_m, error_C))
        return _Residual(own, left, (float(np.hypot(of_m, of_C)), of_m, of_C))
