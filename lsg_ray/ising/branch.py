"""A solution of the cavity equations that is followed as fields or couplings change.

Near a known solution, Newton's method on the N equations in magnetizations alone
(`lsg_ray.kernels.bethe`) takes two or three steps where sweeps of messages take tens to hundreds,
also where they oscillate.  Its matrix is the Hessian of the Bethe free energy, so a branch that is
followed is a local minimum of that.  Where a branch ends, or none is known, belief propagation
starts from the last messages, and may come to any solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lsg_ray.ising.cavity import Cavity, Convergence, Couplings, TightCavity
from lsg_ray.ising.eigenvalue import least_eigenvalue
from lsg_ray.typing import Floats, Singles


@dataclass(frozen=True)
class BranchConfig:
    """How a solution is followed."""

    #: |tanh J| above which pairs are too strong for messages and their closed form: cavity fields
    #: are used.
    tight: float = 0.98
    #: Damping with which an iteration that has not converged is repeated from independent spins.
    restart_damping: float = 0.5
    #: Fields are extrapolated where a higher order changes every magnetization by less.
    trusted: float = 0.05
    #: Largest change of a magnetization in Newton's method: beyond, it has left its branch.
    near: float = 0.1
    #: Newton's steps, at most; the share to which the residual must fall in a step, or else the
    #: matrix is renewed, and in a step with a new one, or else it ends; and the share of the
    #: tolerance at which it ends.
    newton_steps: int = 24
    falls_to: float = 0.1
    slowest: float = 0.7
    margin: float = 1e-2
    #: Conjugate gradients: relative accuracy, and steps.
    relative: float = 1e-4
    gradient_steps: int = 200
    #: Smallest part of a step between two positions, below which a branch has come to its end.
    smallest: float = 2.0**-12
    #: Relative accuracy of conjugate gradients that search for negative curvature: along such a
    #: mode the residual never falls, so one is missed only if it has less than this of a random
    #: vector, once in 10⁴/√N.
    curvature_accuracy: float = 1e-5
    #: Size of the random push that leaves a saddle.
    push: float = 0.05
    #: Rounding error of an eigenvalue, and least 1 − m² that float32 can represent.
    eigenvalue_rounding: float = 1e-9
    least_variance: float = 1e-24


class Branch:
    """One solution, followed.

    Parameters
    ----------
    tolerance
        Largest change of a message, or of a magnetization, in a sweep at convergence.
    max_sweeps, damping
        As in `lsg_ray.ising.bp.belief_propagation`, for each attempt.
    side
        Side, +1 or −1, to which spins are pushed off a saddle where a symmetry holds them there.
    restart
        Whether an iteration that has not converged is repeated from independent spins.
    config
        Configuration of the method.

    Attributes
    ----------
    H : (N,) total fields; m = tanh H.
    minimum : whether the solution is a minimum of the Bethe free energy, and no saddle.
    """

    def __init__(
        self,
        tolerance: float,
        max_sweeps: int,
        damping: float | None = None,
        side: int = 1,
        restart: bool = True,
        config: BranchConfig | None = None,
    ) -> None:
        from lsg_ray.kernels import bethe

        self.kernels, self.config = bethe, config or BranchConfig()
        self.tolerance, self.max_sweeps, self.damping = tolerance, max_sweeps, damping
        self.side, self.restart, self.minimum = side, restart, True
        self.H, self._h = np.empty(0), np.empty(0)
        self._hessian, self._scratch = (np.empty((0, 0), np.float32) for _ in range(2))
        self.cavity: Cavity | None = None
        self._by_messages = True
        #: The last positions with their solutions, the newest first.
        self._past: list[tuple[float, Floats]] = []

    @property
    def m(self) -> Floats:
        """Magnetizations (N,)."""
        return np.tanh(self.H)

    def go_to(
        self, position: float | None, h: Floats, couplings: Couplings, guess: Floats | None = None
    ) -> tuple[Convergence, bool]:
        """Solve with fields h and couplings; return the status, and whether it was restarted.

        Parameters
        ----------
        position
            Parameter that changes along the branch, such as the distance field, in which solutions
            are extrapolated.  None where more than one changes.
        h
            (N,) fields.
        couplings
            Result of `Couplings.at`.
        guess
            (N,) total fields near the solution, to start from first.
        """
        status, restarted = self._solve(position, h, couplings, guess)
        self.minimum = self._is_minimum(couplings)
        if not self.minimum and status.converged and not self._is_tight(couplings):
            down = self._leave_saddle(position, h, couplings)
            status = down._replace(iterations=status.iterations + down.iterations)
            self.minimum = self._is_minimum(couplings)
        return status, restarted

    def restore(self, position: float, h: Floats, H: Floats, couplings: Couplings) -> None:
        """Go back to an earlier solution, with total fields H (N,), to continue from it."""
        cavity = self._cavity(couplings)
        self._record(position, h, H, Convergence(True, 0, 0.0, 0.0))
        self._past, self._by_messages = self._past[:1], False
        if self._is_tight(couplings):  # the closed form is inexact: sweeps start from it
            self.kernels.pair_messages(self.m, couplings.t, cavity.messages)
            edge = 1 - 2.0**-53
            cavity.messages[:] = np.arctanh(np.clip(cavity.messages, -edge, edge))

    def _solve(
        self, position: float | None, h: Floats, couplings: Couplings, guess: Floats | None
    ) -> tuple[Convergence, bool]:
        if not self.H.size:
            self._cavity(couplings).start(h)
            status, H = self._sweep(h, couplings, self.damping)
            return self._record(position, h, H, status), False
        last = self.m
        steps = 0
        if not self._is_tight(couplings):
            status = self._follow(position, h, couplings, guess)
            steps = status.iterations
            if status.converged:
                return status, False
            last = self.m
            if not self._by_messages:
                self.kernels.pair_messages(last, couplings.t, self._cavity(couplings).messages)
        self._by_messages = True
        status, H = self._sweep(h, couplings, self.damping)
        restarted = self.restart and not status.converged
        if restarted:
            self._cavity(couplings).start(h)
            steps += status.iterations
            status, H = self._sweep(h, couplings, max(self.config.restart_damping, status.damping))
        if restarted or np.abs(np.tanh(H) - last).max() > self.config.near:
            self._past = []  # no extrapolation from another branch
        status = status._replace(iterations=status.iterations + steps)
        return self._record(position, h, H, status), restarted

    def _sweep(
        self, h: Floats, couplings: Couplings, damping: float | None
    ) -> tuple[Convergence, Floats]:
        """Sweep messages until they converge, or else try Newton's method from the last ones."""
        cavity = self._cavity(couplings)
        status = cavity.solve(h, self.tolerance, self.max_sweeps, damping)
        if not status.converged and not self._is_tight(couplings):
            newton, H = self._newton(h, couplings, cavity.fields)
            if newton.converged:
                self._by_messages = False
                return newton._replace(iterations=newton.iterations + status.iterations), H
        return status, cavity.fields.copy()

    def _leave_saddle(self, position: float | None, h: Floats, couplings: Couplings) -> Convergence:
        """Go down from a saddle, along what grows out of a small push."""
        push = np.random.default_rng(1).standard_normal(len(h))
        cavity = self._cavity(couplings)
        self.kernels.pair_messages(
            np.tanh(self.H + self.side * self.config.push * push), couplings.t, cavity.messages
        )
        self._by_messages, self._past = True, []
        status, H = self._sweep(h, couplings, self.damping)
        return self._record(position, h, H, status)

    def averages(self, h: Floats, couplings: Couplings) -> tuple[float, float]:
        """Return log Z and the mean of the exponent, as `Cavity.averages`."""
        if self._by_messages:
            return self._cavity(couplings).averages(h)
        n, m = len(h), self.m
        nodes, pairs, bonds, energy = self.kernels.bethe_sums(
            m, couplings.t, couplings.J, np.empty((3, n))
        )
        sites = float(np.logaddexp(self.H, -self.H).sum())
        return sites + 0.5 * (nodes - bonds) - pairs, -energy - float(h @ m)

    def stability(self, couplings: Couplings) -> float:
        """Return the least eigenvalue of the matrix of the growth of random changes of messages.

        Below zero they grow: there are many states, and the cavity approximation fails (J. R. L. de
        Almeida, D. J. Thouless, J. Phys. A 11, 983 (1978)).  For weak couplings it is 1 − λ, λ the
        largest eigenvalue of (1 − m_i²) t_ij² (1 − m_j²); on trees it is positive.  Zero where its
        error leaves the sign open.
        """
        if self._is_tight(couplings):
            return float(np.linalg.eigvalsh(self._tight(couplings).variance_matrix())[0])
        self._scratch = _square(self._scratch, len(self.H))
        self.kernels.variance_matrix(self.m, couplings.t, self._scratch, np.empty(len(self.H)))
        least = least_eigenvalue(self._scratch)
        return least.value if least.sign else 0.0

    def response(
        self, couplings: Couplings, along: Floats, external: Floats
    ) -> tuple[Floats, float]:
        """Return how magnetizations and energy respond as all fields change along a direction.

        Parameters
        ----------
        couplings
            Couplings of the solution.
        along
            (N,) direction of the change of h.
        external
            (N,) fields g that belong to the energy, E = −Σ J_ij C_ij − Σ g_i m_i.

        Returns
        -------
        ∂m (N,) = √v S⁻¹ √v ∂h, with the Hessian S of the Bethe free energy, and ∂E.  NaN where S is
        not positive definite; ∂E also where couplings are very strong.
        """
        m = self.m
        root, unknown = np.sqrt(np.maximum(1 - m * m, 0.0)), np.full(len(m), np.nan)
        if self._is_tight(couplings):
            if not self.minimum:
                return unknown, np.nan
            hessian = self._tight(couplings).hessian()
            return root * np.linalg.solve(hessian, root * along), np.nan
        y = self._conjugate_gradient(self._hessian, root * along, self.config.relative)
        if y is None:
            return unknown, np.nan
        change: Floats = root * y
        inner = self.kernels.energy_change(m, change, couplings.t, couplings.J)
        return change, float(-inner - external @ change)

    def _is_minimum(self, couplings: Couplings) -> bool:
        """Return whether conjugate gradients from a random vector meet no negative curvature."""
        if self._is_tight(couplings):
            least = np.linalg.eigvalsh(self._tight(couplings).hessian())[0]
            return bool(least > -self.config.eigenvalue_rounding)
        n = len(self.H)
        self._hessian = S = _square(self._hessian, n)
        self.kernels.hessian(self.m, couplings.t, S, np.empty(n))
        b = np.random.default_rng(0).standard_normal(n)
        return self._conjugate_gradient(S, b, self.config.curvature_accuracy) is not None

    def _conjugate_gradient(self, S: Singles, right: Floats, accuracy: float) -> Singles | None:
        """Return S⁻¹ applied to a vector; None where S proves not to be positive definite."""
        solution, scratch = np.empty(len(S), np.float32), np.empty((3, len(S)), np.float32)
        done = self.kernels.conjugate_gradient(
            S, right.astype(np.float32), solution, accuracy, self.config.gradient_steps, scratch
        )
        return None if done < 0 else solution

    def _is_tight(self, couplings: Couplings) -> bool:
        return couplings.tightest > self.config.tight

    def _tight(self, couplings: Couplings) -> TightCavity:
        cavity = self._cavity(couplings)
        assert isinstance(cavity, TightCavity)
        return cavity

    def _record(
        self, position: float | None, h: Floats, H: Floats, status: Convergence
    ) -> Convergence:
        self.H, self._h = H, h
        self._past = [] if position is None else [(position, H), *self._past][:3]
        return status

    def _follow(
        self, position: float | None, h: Floats, couplings: Couplings, guess: Floats | None
    ) -> Convergence:
        """Go to a position by Newton's method, in smaller steps where they are needed."""
        if guess is not None:
            status, H = self._newton(h, couplings, guess)
            if status.converged:
                self._by_messages = False
                return self._record(position, h, H, status)
        if position is None or not self._past:
            status, H = self._newton(h, couplings, self.H + h - self._h)
            if status.converged:
                self._by_messages = False
                self._record(position, h, H, status)
            return status
        start, first = self._past[0][0], self._h
        done, step, steps = 0.0, 1.0, 0
        while True:
            to = min(done + step, 1.0)
            here = position if to == 1 else start + to * (position - start)
            fields = h if to == 1 else first + to * (h - first)
            status, H = self._newton(fields, couplings, self._extrapolated(here, h))
            steps += status.iterations
            status = status._replace(iterations=steps)
            if status.converged:
                self._by_messages = False
                self._record(here, fields, H, status)
                if to == 1:
                    return status
                done, step = to, 2 * step
            else:
                step /= 2
                if step < self.config.smallest:
                    return status

    def _cavity(self, couplings: Couplings) -> Cavity:
        kind = TightCavity if self._is_tight(couplings) else Cavity
        if type(self.cavity) is not kind:
            self.cavity = kind(couplings, np.empty_like(couplings.t))
            if self.H.size:
                self.cavity.start(self.H)
        self.cavity.couplings = couplings
        return self.cavity

    def _extrapolated(self, position: float, h: Floats) -> Floats:
        """Return total fields by extrapolation, of an order that is accurate enough."""
        past = self._past
        guess = past[0][1]
        if len(past) > 1:
            (a, first), (b, second) = past[:2]
            linear = first + (position - a) / (a - b) * (first - second)
            if np.abs(np.tanh(linear) - np.tanh(guess)).max() < 4 * self.config.trusted:
                guess = linear
        if len(past) > 2 and guess is not past[0][1]:
            quadratic = np.zeros_like(h)
            for n, (x, H) in enumerate(past):
                others = [other for k, (other, _) in enumerate(past) if k != n]
                quadratic += np.prod([(position - o) / (x - o) for o in others]) * H
            if np.abs(np.tanh(quadratic) - np.tanh(linear)).max() < self.config.trusted:
                guess = quadratic
        return guess

    def _newton(self, h: Floats, couplings: Couplings, guess: Floats) -> tuple[Convergence, Floats]:
        """Return the status, and total fields."""
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
            # Beyond the tolerance, for saturated spins: errors of their H hardly show in m.
            if residual <= config.margin * self.tolerance or np.abs(m - start).max() > config.near:
                break
            if iteration == 1 or residual > config.falls_to * before:
                # Near the end of a branch, even Newton's steps only halve the residual.
                least = 0.0 if residual <= self.tolerance else config.slowest * before
                if not np.isfinite(residual) or (renewed and residual > least):
                    break
                renewed = True
                kernels.hessian(m, t, S, diagonal)
            else:
                renewed = False
            before = residual
            root = np.sqrt(
                np.maximum(1 / np.cosh(np.minimum(np.abs(H), 300)) ** 2, config.least_variance)
            )
            step = self._conjugate_gradient(S, root * (new - H), config.relative)
            if step is None:
                break
            H = H + step / root
        near = residual <= self.tolerance and np.abs(m - start).max() <= config.near
        return Convergence(bool(near), iteration, residual, 0.0), new


def _square(matrix: Singles, n: int) -> Singles:
    """Return an (N, N) matrix to be filled: the given one if it has that shape."""
    return matrix if matrix.shape == (n, n) else np.empty((n, n), np.float32)
