"""A solution of the cavity equations that is followed as fields or couplings change.

Near a known solution, Newton's method on the N equations in magnetizations alone
(`lsg_ray.kernels.bethe`) takes two or three steps where sweeps of messages take tens to hundreds,
and does not mind if they oscillate.  Its matrix is the Hessian of the Bethe free energy, so a
branch that is followed is a local minimum of that.  Where a branch ends, or none is known, belief
propagation goes on from the last messages, and ends up where it will.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers
from lsg_ray.ising.bp import Cavity, Couplings, Rest, TightCavity
from lsg_ray.ising.eigenvalue import least_eigenvalue
from lsg_ray.ising.model import IsingModel
from lsg_ray.typing import Floats, Singles

#: |tanh J| from which pairs are too tight for messages and their closed form: fields are used.
TIGHT = 0.98
#: What rounding may do to an eigenvalue.
ROUNDING = 1e-9
#: Least 1 − m²: what float32 can work with.
LEAST_VARIANCE = 1e-24


@dataclass(frozen=True)
class BranchConfig:
    """How a solution is followed."""

    #: Damping with which what has not converged is tried again from independent spins.
    restart_damping: float = 0.5
    #: Fields are extrapolated where a higher order would change a magnetization by less.
    trusted: float = 0.05
    #: A magnetization may change by so much in Newton's method, or else it has left its branch.
    near: float = 0.1
    #: Newton's steps, at most; to how much the residual must fall in one, or else the matrix is
    #: renewed; and at least, with a new one; and to how much of the tolerance they go on.
    newton_steps: int = 24
    falls_to: float = 0.1
    slowest: float = 0.7
    margin: float = 1e-2
    #: Conjugate gradients: relative accuracy, and steps.
    relative: float = 1e-4
    gradient_steps: int = 200
    #: Smallest part of a step from one place to the next, below which a branch has come to its end.
    smallest: float = 2.0**-12
    #: Relative accuracy of conjugate gradients that look for negative curvature: along such a mode
    #: the residual never falls, so one is missed only if it has less than this of a random vector,
    #: once in 10⁴/√N.
    look: float = 1e-5
    #: Size of the kick that leaves a saddle.
    kick: float = 0.05


class Branch:
    """One solution, followed.

    Parameters
    ----------
    tolerance
        On the change of a message, or of a magnetization, in a sweep.
    max_sweeps, damping
        As in `lsg_ray.ising.bp.belief_propagation`, of each attempt.
    side
        +1 or −1: to which side spins are pushed off a saddle where a symmetry keeps them.
    restart
        Whether what has not converged is tried again from independent spins.
    config
        How solutions are followed.

    Attributes
    ----------
    H : (N,) total fields; m = tanh H.
    minimum : whether the Bethe free energy has a minimum there, and no saddle.
    """

    def __init__(
        self, tolerance: float, max_sweeps: int, damping: float | None = None, side: int = 1,
        restart: bool = True, config: BranchConfig | None = None,
    ) -> None:  # fmt: skip
        from lsg_ray.kernels import bethe

        self.kernels, self.config = bethe, config or BranchConfig()
        self.tolerance, self.max_sweeps, self.damping = tolerance, max_sweeps, damping
        self.side, self.restart, self.minimum = side, restart, True
        self.H, self._h = np.empty(0), np.empty(0)
        self._hessian, self._scratch = (np.empty((0, 0), np.float32) for _ in range(2))
        self.cavity: Cavity | None = None
        self._by_messages = True
        #: The last places with their solutions, the newest first.
        self._past: list[tuple[float, Floats]] = []

    @property
    def m(self) -> Floats:
        """Magnetizations (N,)."""
        return np.tanh(self.H)

    def go_to(
        self, place: float | None, h: Floats, couplings: Couplings, guess: Floats | None = None
    ) -> tuple[Rest, bool]:
        """Solve with fields h and couplings; return how it ended, and whether it started anew.

        Parameters
        ----------
        place
            What changes along the way, such as the distance field: solutions are extrapolated in
            it.  None where more than one thing changes.
        h
            (N,) fields.
        couplings
            From `Couplings.at`.
        guess
            (N,) total fields near the solution, to be tried first.
        """
        rest, restarted = self._reach(place, h, couplings, guess)
        self.minimum = self._is_minimum(couplings)
        if not self.minimum and rest.converged and couplings.tightest <= TIGHT:
            down = self._leave_saddle(place, h, couplings)
            rest = down._replace(iterations=rest.iterations + down.iterations)
            self.minimum = self._is_minimum(couplings)
        return rest, restarted

    def stand_at(self, place: float, h: Floats, H: Floats, couplings: Couplings) -> None:
        """Take a solution that was found before, with total fields H (N,), to go on from there."""
        cavity = self._cavity(couplings)
        self._arrived(place, h, H, Rest(True, 0, 0.0, 0.0))
        self._past, self._by_messages = self._past[:1], False
        if couplings.tightest > TIGHT:  # the closed form is only near: sweeps go on from it
            self.kernels.pair_messages(self.m, couplings.t, cavity.messages)
            edge = 1 - 2.0**-53
            cavity.messages[:] = np.arctanh(np.clip(cavity.messages, -edge, edge))

    def _reach(
        self, place: float | None, h: Floats, couplings: Couplings, guess: Floats | None
    ) -> tuple[Rest, bool]:
        if not self.H.size:
            self._cavity(couplings).start(h)
            rest, H = self._sweep(h, couplings, self.damping)
            return self._arrived(place, h, H, rest), False
        last = self.m
        steps = 0
        if couplings.tightest <= TIGHT:
            rest = self._follow(place, h, couplings, guess)
            steps = rest.iterations
            if rest.converged:
                return rest, False
            last = self.m
            if not self._by_messages:
                self.kernels.pair_messages(last, couplings.t, self._cavity(couplings).messages)
        self._by_messages = True
        rest, H = self._sweep(h, couplings, self.damping)
        restarted = self.restart and not rest.converged
        if restarted:
            self._cavity(couplings).start(h)
            steps += rest.iterations
            rest, H = self._sweep(h, couplings, max(self.config.restart_damping, rest.damping))
        if restarted or np.abs(np.tanh(H) - last).max() > self.config.near:
            self._past = []  # another branch is no base for extrapolation
        rest = rest._replace(iterations=rest.iterations + steps)
        return self._arrived(place, h, H, rest), restarted

    def _sweep(self, h: Floats, couplings: Couplings, damping: float | None) -> tuple[Rest, Floats]:
        """Sweep messages until they rest, or else try Newton's method where they have come to."""
        cavity = self._cavity(couplings)
        rest = cavity.solve(h, self.tolerance, self.max_sweeps, damping)
        if not rest.converged and couplings.tightest <= TIGHT:
            newton, H = self._newton(h, couplings, cavity.fields)
            if newton.converged:
                self._by_messages = False
                return newton._replace(iterations=newton.iterations + rest.iterations), H
        return rest, cavity.fields.copy()

    def _leave_saddle(self, place: float | None, h: Floats, couplings: Couplings) -> Rest:
        """Go down from a saddle, along what grows out of a small push."""
        push = np.random.default_rng(1).standard_normal(len(h))
        cavity = self._cavity(couplings)
        self.kernels.pair_messages(
            np.tanh(self.H + self.side * self.config.kick * push), couplings.t, cavity.messages
        )
        self._by_messages, self._past = True, []
        rest, H = self._sweep(h, couplings, self.damping)
        return self._arrived(place, h, H, rest)

    def averages(self, h: Floats, couplings: Couplings) -> tuple[float, float]:
        """Return log Z and the mean of what stands in the exponent, as `Cavity.averages`."""
        if self._by_messages:
            return self._cavity(couplings).averages(h)
        n, m = len(h), self.m
        nodes, pairs, bonds, energy = self.kernels.bethe_sums(
            m, couplings.t, couplings.J, np.empty((3, n))
        )
        sites = float(np.logaddexp(self.H, -self.H).sum())
        return sites + 0.5 * (nodes - bonds) - pairs, -energy - float(h @ m)

    def stability(self, couplings: Couplings) -> float:
        """Return the least eigenvalue of what decides on the growth of random changes of messages.

        Below zero they grow: there are many states, and the cavity approximation fails (J. R. L. de
        Almeida, D. J. Thouless, J. Phys. A 11, 983 (1978)).  For weak couplings it is 1 − λ, λ the
        largest eigenvalue of (1 − m_i²) t_ij² (1 − m_j²); on trees it is positive.  Zero where its
        error leaves the sign open.
        """
        if couplings.tightest > TIGHT:
            return float(np.linalg.eigvalsh(self._tight(couplings).variance_matrix())[0])
        self._scratch = _square(self._scratch, len(self.H))
        self.kernels.variance_matrix(self.m, couplings.t, self._scratch, np.empty(len(self.H)))
        least = least_eigenvalue(self._scratch)
        return least.value if least.sign else 0.0

    def response(
        self, couplings: Couplings, along: Floats, outside: Floats
    ) -> tuple[Floats, float]:
        """Return how magnetizations and energy respond as all fields change along a direction.

        Parameters
        ----------
        couplings
            What was solved for.
        along
            (N,) direction of the change of h.
        outside
            (N,) fields g that belong to the energy, E = −Σ J_ij C_ij − Σ g_i m_i.

        Returns
        -------
        ∂m (N,) = √v S⁻¹ √v ∂h, with the Hessian S of the Bethe free energy, and ∂E.  NaN where S is
        not positive definite; ∂E too where pairs are very tight.
        """
        m = self.m
        root, nothing = np.sqrt(np.maximum(1 - m * m, 0.0)), np.full(len(m), np.nan)
        if couplings.tightest > TIGHT:
            if not self.minimum:
                return nothing, np.nan
            hessian = self._tight(couplings).hessian()
            return root * np.linalg.solve(hessian, root * along), np.nan
        y = self._conjugate_gradient(self._hessian, root * along, self.config.relative)
        if y is None:
            return nothing, np.nan
        change: Floats = root * y
        inner = self.kernels.energy_change(m, change, couplings.t, couplings.J)
        return change, float(-inner - outside @ change)

    def _is_minimum(self, couplings: Couplings) -> bool:
        """Return whether conjugate gradients from a random vector meet no negative curvature."""
        if couplings.tightest > TIGHT:
            return bool(np.linalg.eigvalsh(self._tight(couplings).hessian())[0] > -ROUNDING)
        n = len(self.H)
        self._hessian = S = _square(self._hessian, n)
        self.kernels.hessian(self.m, couplings.t, S, np.empty(n))
        b = np.random.default_rng(0).standard_normal(n)
        return self._conjugate_gradient(S, b, self.config.look) is not None

    def _conjugate_gradient(self, S: Singles, right: Floats, accuracy: float) -> Singles | None:
        """Return S⁻¹ applied to a vector; None where S has been seen not to be positive."""
        found, scratch = np.empty(len(S), np.float32), np.empty((3, len(S)), np.float32)
        done = self.kernels.conjugate_gradient(
            S, right.astype(np.float32), found, accuracy, self.config.gradient_steps, scratch
        )
        return None if done < 0 else found

    def _tight(self, couplings: Couplings) -> TightCavity:
        cavity = self._cavity(couplings)
        assert isinstance(cavity, TightCavity)
        return cavity

    def _arrived(self, place: float | None, h: Floats, H: Floats, rest: Rest) -> Rest:
        self.H, self._h = H, h
        self._past = [] if place is None else [(place, H), *self._past][:3]
        return rest

    def _follow(
        self, place: float | None, h: Floats, couplings: Couplings, guess: Floats | None
    ) -> Rest:
        """Go to a place by Newton's method, in smaller steps where it takes them."""
        if guess is not None:
            rest, H = self._newton(h, couplings, guess)
            if rest.converged:
                self._by_messages = False
                return self._arrived(place, h, H, rest)
        if place is None or not self._past:
            rest, H = self._newton(h, couplings, self.H + h - self._h)
            if rest.converged:
                self._by_messages = False
                self._arrived(place, h, H, rest)
            return rest
        start, first = self._past[0][0], self._h
        done, step, steps = 0.0, 1.0, 0
        while True:
            to = min(done + step, 1.0)
            here = place if to == 1 else start + to * (place - start)
            some = h if to == 1 else first + to * (h - first)
            rest, H = self._newton(some, couplings, self._extrapolated(here, h))
            steps += rest.iterations
            rest = rest._replace(iterations=steps)
            if rest.converged:
                self._by_messages = False
                self._arrived(here, some, H, rest)
                if to == 1:
                    return rest
                done, step = to, 2 * step
            else:
                step /= 2
                if step < self.config.smallest:
                    return rest

    def _cavity(self, couplings: Couplings) -> Cavity:
        kind = Cavity if couplings.tightest <= TIGHT else TightCavity
        if type(self.cavity) is not kind:
            self.cavity = kind(couplings, np.empty_like(couplings.t))
            if self.H.size:
                self.cavity.start(self.H)
        self.cavity.couplings = couplings
        return self.cavity

    def _extrapolated(self, place: float, h: Floats) -> Floats:
        """Return total fields by extrapolation, as far as that can be trusted."""
        past = self._past
        guess = past[0][1]
        if len(past) > 1:
            (a, first), (b, second) = past[:2]
            linear = first + (place - a) / (a - b) * (first - second)
            if np.abs(np.tanh(linear) - np.tanh(guess)).max() < 4 * self.config.trusted:
                guess = linear
        if len(past) > 2 and guess is not past[0][1]:
            quadratic = np.zeros_like(h)
            for n, (x, H) in enumerate(past):
                others = [other for k, (other, _) in enumerate(past) if k != n]
                quadratic += np.prod([(place - o) / (x - o) for o in others]) * H
            if np.abs(np.tanh(quadratic) - np.tanh(linear)).max() < self.config.trusted:
                guess = quadratic
        return guess

    def _newton(self, h: Floats, couplings: Couplings, guess: Floats) -> tuple[Rest, Floats]:
        """Return how it ended, and total fields."""
        kernels, config, t, n = self.kernels, self.config, couplings.t, len(h)
        lanes = -(-n // kernels.PRODUCT_LANES) * kernels.PRODUCT_LANES
        scratch, u, diagonal = np.empty((5, lanes)), np.empty(n), np.empty(n)
        self._scratch = S = _square(self._scratch, n)
        H, start, before, renewed = guess.copy(), np.tanh(guess), np.inf, False
        residual, iteration = np.inf, 0
        while iteration < config.newton_steps:
            iteration += 1
            m = np.tanh(H)
            kernels.neighbour_fields(m, t, u, scratch)
            new = h + u
            residual = float(np.abs(np.tanh(new) - m).max())
            # Another step costs little here, and saturated spins need it: m hides errors of H.
            if residual <= config.margin * self.tolerance or np.abs(m - start).max() > config.near:
                break
            if iteration == 1 or residual > config.falls_to * before:
                # Next to the end of a branch, even Newton's steps only halve the residual.
                least = 0.0 if residual <= self.tolerance else config.slowest * before
                if not np.isfinite(residual) or (renewed and residual > least):
                    break
                renewed = True
                kernels.hessian(m, t, S, diagonal)
            else:
                renewed = False
            before = residual
            root = np.sqrt(np.maximum(1 / np.cosh(np.minimum(np.abs(H), 300)) ** 2, LEAST_VARIANCE))
            step = self._conjugate_gradient(S, root * (new - H), config.relative)
            if step is None:
                break
            H = H + step / root
        near = residual <= self.tolerance and np.abs(m - start).max() <= config.near
        return Rest(bool(near), iteration, residual, 0.0), new


def _square(matrix: Singles, n: int) -> Singles:
    """Return a matrix (N, N) to be filled: the given one where it fits."""
    return matrix if matrix.shape == (n, n) else np.empty((n, n), np.float32)


class State(NamedTuple):
    """A solution: f and s per weight, whether it has converged, and is stable (`stability` > 0)."""

    f: float
    s: float
    converged: bool
    stable: bool


def bethe_entropy(
    model: IsingModel,
    beta: float = 1.0,
    field: ArrayLike = 0.0,
    *,
    reference: ArrayLike | None = None,
    known: Sequence[State] = (),
    tolerance: float = 1e-9,
    max_sweeps: int = 5000,
) -> State:
    """Return the state of the lowest free energy, by the cavity method.

    Of those that have converged to a stable solution, if there are any; else of those that have
    converged.

    Parameters
    ----------
    model, beta
        The model and its inverse temperature, positive.
    field
        (N,) added to βh, in nats.
    reference
        (N,) ±1: solutions are looked for from independent spins, and from spins that agree or
        disagree with it; by default with the fields.
    known
        Solutions found elsewhere.
    tolerance, max_sweeps
        Converged when no message moves by more in a sweep, of so many at most.
    """
    n, couplings = model.n_spins, Couplings.at(model.J, beta)
    h = beta * model.h + np.broadcast_to(as_numbers(field, "field"), n)
    bias = np.where(h < 0, -1.0, 1.0) if reference is None else as_numbers(reference, "reference")
    states = list(known)
    for x in (0.0, 1.0, -1.0):
        branch = Branch(tolerance, max_sweeps)
        branch.go_to(x, h + x * bias, couplings)
        rest, _ = branch.go_to(0.0, h, couplings)
        log_Z, exponent = branch.averages(h, couplings)
        stable = branch.stability(couplings) > 0 and branch.minimum
        states.append(State(-log_Z / (n * beta), (log_Z + exponent) / n, rest.converged, stable))
    return min(states, key=lambda state: (not state.converged, not state.stable, state.f))
