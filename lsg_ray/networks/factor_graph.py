"""Messages between patterns and ±1 weights: the graph that belief propagation runs on.

Solvers and measures share it: `FactorGraph` holds patterns, messages and buffers for a sweep;
mathematics and cost are those of `lsg_ray.kernels.message_passing`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.typing import Array, Floats, Signs

#: Largest number of inputs of a unit with exact convolutions, whose cost is that of their square.
MOST_EXACT = 101


class Convergence(NamedTuple):
    """How an iteration ended: whether it converged, sweeps, and the largest change of the last."""

    converged: bool
    sweeps: int
    residual: float


def gauged(x: Array, s: Array) -> Signs:
    """Return patterns with their labels absorbed, sξ (P, K or 1, n) int8.

    Raises
    ------
    InputError
        Inputs or labels that are not ±1, an even number of inputs, none at all.
    """
    if x.ndim != 3 or s.shape != x.shape[:1] or not x.size:
        raise InputError(
            f"patterns of shape {x.shape} and labels {s.shape} given; (P, K or 1, n) and (P,)"
        )
    if not ((np.abs(x) == 1).all() and (np.abs(s) == 1).all()):
        raise InputError("inputs or labels other than ±1 given; messages of ±1 weights need ±1")
    if x.shape[-1] % 2 == 0:
        raise InputError(
            f"{x.shape[-1]} inputs of each unit given; with an even number sums of ±1 can tie"
        )
    signs = np.empty(x.shape, np.int8)
    for row, pattern, label in zip(signs, x, s, strict=True):  # no copy of all as floats
        row[:] = pattern * label
    return signs


class FactorGraph:
    """Messages of P patterns to K units of n weights.

    Parameters
    ----------
    x
        (P, K or 1, n) int8 ±1, labels absorbed, from `gauged`; 1 where units share inputs.
    units
        Hidden units K, odd, 15 at most; 1 of a perceptron.
    exact
        Laws of sums by convolution, for small n; else normal.

    Raises
    ------
    InputError
        An even number of units or too many; too many inputs for exact laws.

    Notes
    -----
    Memory 8 P K n bytes for messages, all else O(N).
    """

    def __init__(self, x: Signs, units: int = 1, *, exact: bool = False) -> None:
        from lsg_ray.kernels import message_passing

        n = x.shape[-1]
        if units % 2 == 0 or not 1 <= units <= message_passing.MOST_UNITS:
            raise InputError(
                f"{units} hidden units given; an odd number up to {message_passing.MOST_UNITS} is "
                "needed, which have no ties"
            )
        if x.shape[1] not in (1, units):
            raise InputError(f"patterns of {x.shape[1]} units given for {units} hidden units")
        if exact and n > MOST_EXACT:
            raise InputError(f"{n} inputs of each unit given; exact sums take {MOST_EXACT} at most")
        self.x, self.shape, self.exact = x, (units, n), exact
        self.messages = np.zeros((len(x), units, n))
        self.fields = np.zeros((units, n))
        self._kernels = message_passing
        points = message_passing.POINTS, message_passing.MANY_POINTS
        self._rules = [message_passing.interpolation(count) for count in points]
        laws = (units, n + 1, n + 2) if exact else (units, 1, 1)
        self._scratch = (
            np.empty((units, n)),
            np.empty((2, units)),
            np.empty((2, units)),
            np.empty(units + 1),
            np.empty(laws),
            np.empty(laws),
        )
        self._moved = np.zeros((units, n))

    @property
    def n_weights(self) -> int:
        """Number of weights N = K n."""
        return self.shape[0] * self.shape[1]

    def start(self, rng: np.random.Generator | None = None, size: float = 0.01) -> None:
        """Set messages to size times N(0, 1), or to zero without a generator."""
        self.messages[:] = 0
        self.fields[:] = 0
        if rng is None:
            return
        for p, (own, x) in enumerate(zip(self.messages, self.x, strict=True)):
            own[:] = size * rng.standard_normal(self.shape)
            self.fields += x * self.messages[p]

    def sweep(self, total: Floats, damping: float) -> float:
        """Make all messages anew where total fields are H (K, n); return their largest change.

        `fields` (K, n), the messages to each weight Σ_p u, are set anew.  The change is that
        before damping; NaN where numbers are no longer finite.
        """
        kernels = self._kernels
        kernels.sweep(
            self.x,
            self.messages,
            total,
            damping,
            self.exact,
            *self._rules,
            *self._scratch,
            self.fields,
            self._moved,
        )
        return float(self._moved.max()) if np.isfinite(self.fields).all() else float("nan")

    def solve(
        self, external: Floats, damping: float, tolerance: float, max_sweeps: int
    ) -> Convergence:
        """Sweep with external fields (K, n) until no message moves by more than the tolerance."""
        residual, sweeps = np.inf, 0
        while sweeps < max_sweeps and residual > tolerance:
            residual = self.sweep(external + self.fields, damping)
            sweeps += 1
        return Convergence(bool(residual <= tolerance), sweeps, residual)

    def log_partition(self, total: Floats) -> float:
        """Return ln Z in the Bethe approximation where total fields are H (K, n)."""
        return float(
            self._kernels.bethe(
                self.x, self.messages, np.ascontiguousarray(total), self.exact, *self._scratch
            )
        )
