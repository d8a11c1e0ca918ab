"""Damping of fixed-point iterations that grows where they oscillate.

A damped step goes to (1 − γ) f(x) + γ x.  Where the residual of an iteration has not fallen enough
over a fixed number of steps, its γ goes half of the way to 1; an exempt iteration, such as one that
is leaving a saddle, keeps its γ.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType

import numpy as np

from lsg_ray.typing import Flags, Floats, Ints


@dataclass(frozen=True)
class DampingConfig:
    """When damping grows, and when an iteration is given up."""

    #: Iterations between two looks at the residual, and the share of the best one to which it must
    #: have fallen.
    every: int = 50
    falls_to: float = 0.9
    #: Largest γ: twenty such steps go as far as one without damping.
    largest: float = 0.95
    #: Looks at which the residual may not have fallen, at most.
    failures: int = 10


class AdaptiveDamping:
    """State of the damping of one or many iterations.

    Attributes
    ----------
    gamma : (B,) damping now.
    hopeless : (B,) whether the residual has failed to fall too often.
    """

    def __init__(self, config: DampingConfig, start: float = 0.0, count: int = 1) -> None:
        self.config, self.gamma = config, np.full(count, start)
        self.hopeless = np.zeros(count, np.bool_)
        self._best, self._failures = np.full(count, np.inf), np.zeros(count, np.int64)

    def update(
        self, residual: float | Floats, exempt: bool | Flags, which: Ints | EllipsisType = ...
    ) -> None:
        """Raise the damping of iterations, by default all, by their residuals."""
        config, best = self.config, self._best[which]
        slow = (residual > config.falls_to * best) & ~np.asarray(exempt)
        grown = np.minimum((1 + self.gamma[which]) / 2, config.largest)
        self.gamma[which] = np.where(slow, grown, self.gamma[which])
        self._failures[which] += slow
        self.hopeless = self._failures > config.failures
        self._best[which] = np.minimum(best, residual)
