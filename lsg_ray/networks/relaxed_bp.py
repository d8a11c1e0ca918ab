"""Relaxed belief propagation of perceptrons and committees with weights on the sphere.

Weights of N = K n are free but for |W|² = N, which one precision λ of them all sees to, the root of

    mean_li[ 1/(λ + A_li) + ((B_li + b_li)/(λ + A_li))² ] = 1,   λ > −min A,

after every sweep; b is an external field, as γ times a reference.  Messages and the hidden units
are given in `lsg_ray.kernels.relaxed_bp`.  The free entropy per weight is that of the weights and
of λ, and the logarithm of the volume that of free weights at |W|² = N.

Source: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from lsg_ray.networks.families.committee import Patterns
from lsg_ray.typing import Floats

#: λ stays this far above −min A.
_CLOSEST = 1e-6


class Focus(NamedTuple):
    """Other replicas of a weight, y − 1 of them, tied to a common centre with stiffness γ.

    With the weight's own A, λ included, and B, each replica offers the centre γA/(γ + A) and
    γB/(γ + A); the centre, of y − 1 of them, offers the weight the same of A₂, B₂.
    """

    y: float
    gamma: float

    def offered(self, precision: Floats, field: Floats) -> tuple[Floats, Floats]:
        """Return precision and field that the others add to weights (K, n)."""
        own = np.maximum(precision, _CLOSEST)
        first = self.gamma / (self.gamma + own)
        A, B = (self.y - 1) * first * own, (self.y - 1) * first * field
        second = self.gamma / (self.gamma + A)
        return second * A, second * B


class RelaxedBP:
    """Messages of one instance and the precision λ.

    Parameters
    ----------
    patterns
        Patterns that are to be right.
    units, n
        Number of hidden units K, and of inputs n of each.
    rng
        Generator of the initial fields of messages, 0.01 N(0, 1)/√n; without it, all are zero.
    """

    def __init__(
        self, patterns: Patterns, units: int, n: int, rng: np.random.Generator | None = None
    ) -> None:
        signs = patterns.s[:, None, None].astype(np.float64)
        self.x = np.ascontiguousarray(patterns.x * signs / np.sqrt(n))
        shape = (patterns.n_patterns, units, n)
        self.A = np.zeros(shape)
        self.B = np.zeros(shape)
        if rng is not None:
            self.B[...] = rng.standard_normal(shape) * (0.01 / np.sqrt(n))
        self.A_sum, self.B_sum = self.A.sum(axis=0), self.B.sum(axis=0)
        self.precision, self.field = np.ones((units, n)), np.zeros((units, n))
        self.shift = 1.0
        self.bounded = False

    @property
    def means(self) -> Floats:
        """Mean weights (K, n)."""
        return self.field / self.precision

    def control(self, b: Floats | None = None, focus: Focus | None = None) -> None:
        """Set λ so that the mean square of weights is 1, and with it their precision and field.

        b (K, n): an external field.  ``bounded`` tells that there is no such λ above its bound.
        """
        # A copy: sweeps write the sums while they read the field.
        B = self.B_sum.copy() if b is None else self.B_sum + b

        def known(shift: float) -> tuple[Floats, Floats]:
            precision = shift + self.A_sum
            if focus is None:
                return precision, B
            more, field = focus.offered(precision, B)
            return precision + more, B + field

        def excess(shift: float) -> float:
            L, field = known(shift)
            return float(np.mean(1 / L + (field / L) ** 2)) - 1

        if not (np.isfinite(self.A_sum).all() and np.isfinite(B).all()):
            self.precision, self.field = np.full_like(B, np.nan), B  # diverged: callers look for it
            return
        low = float(_CLOSEST - self.A_sum.min())
        width = 1.0
        while excess(low + width) > 0:
            width *= 4
        self.bounded = excess(low) <= 0
        self.shift = low if self.bounded else float(brentq(excess, low, low + width, xtol=1e-12))
        self.precision, self.field = known(self.shift)

    def sweep(self, damping: float, b: Floats | None = None, focus: Focus | None = None) -> float:
        """Update all messages and λ; return the largest change of a mean weight."""
        from lsg_ray.kernels.relaxed_bp import sweep

        before = self.means
        sweep(self.A, self.B, self.x, self.precision, self.field, damping, self.A_sum, self.B_sum)
        self.control(b, focus)
        return float(np.abs(self.means - before).max())

    def free_entropy(self) -> float:
        """Return F per weight, of the present precision and field."""
        from lsg_ray.kernels.relaxed_bp import free_entropy

        nodes, weights = free_entropy(self.A, self.B, self.x, self.precision, self.field)
        return float(nodes + weights) / self.precision.size

    def log_volume(self, b: Floats) -> float:
        """Return the logarithm per weight of the volume that is right, F + λ/2 − mean(b m)."""
        return self.free_entropy() + 0.5 * self.shift - float(np.mean(b * self.means))
