"""The smooth network that stands for one of signs, and its Hessian.

Hidden units of unit norm u_l = W_l/|W_l| read h_l = ξ_l · u_l, and

    t_l = tanh(β h_l),  Δ = s Σ_l t_l/√K,  loss = mean_p f(Δ_p),  f(x) = −x/2 + ln(2cosh γx)/(2γ),

which tends to a network of sign units and to max(0, −x) for large β and γ; as in
`lsg_ray.networks.smooth_committee`, which descends it.  Its Hessian with
respect to the u_l is

    H = mean_p[ f''(Δ) J Jᵀ + f'(Δ) ∂²Δ ],  J_l = s β(1 − t_l²) ξ_l/√K,
    ∂²Δ_ll = −2 s β² t_l(1 − t_l²) ξ_l ξ_lᵀ/√K,   f' = −1/(1 + e^{2γx}),  f'' = (γ/2) sech² γx.

Only directions matter for a network of signs: the K radial directions u_l are projected out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lsg_ray.networks.families.committee import Patterns, fields
from lsg_ray.networks.smooth_committee import cross_entropy, cross_entropy_slope
from lsg_ray.typing import Floats


@dataclass(frozen=True)
class SmoothNetwork:
    """A committee's smooth network at one configuration.

    Parameters
    ----------
    weights
        Directions of the units (K, n), of any norm.
    patterns
        Patterns over which the loss is averaged.
    beta
        Steepness β of hidden units.
    gamma
        Steepness γ of the loss.
    """

    weights: Floats
    patterns: Patterns
    beta: float
    gamma: float

    @cached_property
    def units(self) -> Floats:
        """Weights of unit norm (K, n)."""
        return self.weights / np.linalg.norm(self.weights, axis=1, keepdims=True)

    @cached_property
    def x(self) -> Floats:
        """Patterns (P, K or 1, n) in float64."""
        return self.patterns.x.astype(np.float64)

    def _of(self, unit: int) -> Floats:
        return self.x[:, unit if self.x.shape[1] > 1 else 0]

    @cached_property
    def _h(self) -> Floats:
        return fields(self.units[None], self.x)[0]

    @cached_property
    def _t(self) -> Floats:
        return np.tanh(self.beta * self._h)

    @cached_property
    def _scale(self) -> Floats:
        """s/√K (P, 1)."""
        return self.patterns.s[:, None].astype(np.float64) / np.sqrt(len(self.units))

    @cached_property
    def stabilities(self) -> Floats:
        """Δ (P,)."""
        return (self._scale * self._t).sum(axis=1)

    @property
    def loss(self) -> float:
        """Mean of f(Δ)."""
        return float(cross_entropy(self.stabilities, self.gamma).mean())

    @cached_property
    def _slope(self) -> Floats:
        return cross_entropy_slope(self.stabilities, self.gamma)

    @cached_property
    def _bend(self) -> Floats:
        # (γ/2) sech² = 2γ σ(1 − σ), which does not overflow.
        return -2 * self.gamma * self._slope * (1 + self._slope)

    @cached_property
    def _first(self) -> Floats:
        """∂Δ/∂h_l (P, K)."""
        return self._scale * self.beta * (1 - self._t**2)

    @cached_property
    def _second(self) -> Floats:
        """f'(Δ) ∂²Δ/∂h_l² (P, K)."""
        bent = -2 * self._scale * self.beta**2 * self._t * (1 - self._t**2)
        return self._slope[:, None] * bent

    @property
    def gradient(self) -> Floats:
        """Gradient with respect to the u_l (K, n)."""
        return self._gathered(self._slope[:, None] * self._first)

    def _gathered(self, rows: Floats) -> Floats:
        """Return Σ_p rows_pl ξ_pl / P (K, n)."""
        sums = np.empty_like(self.units)
        for unit in range(len(sums)):
            sums[unit] = rows[:, unit] @ self._of(unit)
        return sums / len(rows)

    def project(self, v: Floats) -> Floats:
        """Return directions (K, n) without their radial parts."""
        return v - self.units * (v * self.units).sum(axis=1, keepdims=True)

    def product(self, v: Floats) -> Floats:
        """Return P H P v for a direction (K, n), P the projection.  Cost: 4 P N flop."""
        v = self.project(v)
        along = np.empty_like(self._first)
        for unit in range(len(v)):
            along[:, unit] = self._of(unit) @ v[unit]
        change = (self._bend * (self._first * along).sum(axis=1))[:, None] * self._first
        return self.project(self._gathered(change + self._second * along))

    def trace(self) -> float:
        """Return the exact trace of the projected Hessian."""
        total = 0.0
        weight = self._bend[:, None] * self._first**2 + self._second
        for unit in range(len(self.units)):
            square = (self._of(unit) ** 2).sum(axis=1)
            total += float(weight[:, unit] @ (square - self._h[:, unit] ** 2))
        return total / len(weight)

    def dense(self) -> Floats:
        """Return the projected Hessian (N, N).  Cost: 2 P N² flop."""
        units, n = self.units.shape
        J = np.concatenate([self._first[:, [u]] * self._of(u) for u in range(units)], axis=1)
        hessian = (J * self._bend[:, None]).T @ J
        for unit in range(units):
            x, block = self._of(unit), slice(unit * n, (unit + 1) * n)
            hessian[block, block] += (x * self._second[:, [unit]]).T @ x
        hessian /= len(J)
        for unit, u in enumerate(self.units):
            block = slice(unit * n, (unit + 1) * n)
            hessian[block] -= np.outer(u, u @ hessian[block])
            hessian[:, block] -= np.outer(hessian[:, block] @ u, u)
        return hessian
