"""Damping of fixed-point iterations that grows where they oscillate.

A damped step goes to (1 − γ) f(x) + γ x.  Every so many iterations the residual of each must have
fallen, or else its γ goes half of the way to one; an iteration that has an excuse, such as one on
its way out of a saddle, is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType

import numpy as np

from lsg_ray.typing import Flags, Floats, Ints


@dataclass(frozen=True)
class DampingConfig:
    """When damping grows, and when it is given up."""

    #: Iterations after which the residual is looked at, and to what share of the best it must have
    #: fallen: a tenth less.
    every: int = 50
    falls_to: float = 0.9
    #: γ at most: from there on, twenty damped steps are one.
    largest: float = 0.95
    #: How often the residual may have failed to fall.
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
        self, residual: float | Floats, excused: bool | Flags, which: Ints | EllipsisType = ...
    ) -> None:
        """Look at the residuals of some iterations, all by default."""
        config, best = self.config, self._best[which]
        slow = (residual > config.falls_to * best) & ~np.asarray(excused)
        grown = np.minimum((1 + self.gamma[which]) / 2, config.largest)
        self.gamma[which] = np.where(slow, grown, self.gamma[which])
        self._failures[which] += slow
        self.hopeless = self._failures > config.failures
        self._best[which] = np.minimum(best, residual)
