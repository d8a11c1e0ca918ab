"""Entropy-SGD: descent on a local entropy whose gradient is measured by Langevin dynamics.

Around the weights x, L steps of stochastic gradient Langevin dynamics on mini-batches explore

    x′ ← x′ − η′ [√n ∇loss(x′) − g (x − x′)] + ε √η′ N(0, 1),    μ ← a μ + (1 − a) x′,

from x′ = μ = x; then x follows their running mean,

    x ← x − η (x − μ),  |x_l| ← √n.

The noise is ε√η′, and not the ε√(2η′) of some implementations; η takes the place of ηg of some
texts.  The coupling is scoped, g = g₀ (1 + g₁)^k at the k-th step of x.  The loss is that of
`lsg_ray.networks.smooth_committee`, with β and γ growing by the epoch as in `cross-entropy-sgd`.
An epoch is a pass of the inner steps over the patterns, so epochs compare by their gradients.

Source: P. Chaudhari et al., ICLR (2017), arXiv:1611.01838, Algorithm 1; defaults of a, L and ε are
theirs, those of the steps and of the coupling are of this package.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from lsg_ray.networks.families.committee import Stop
from lsg_ray.networks.smooth_committee import loss_and_gradient, on_sphere
from lsg_ray.networks.solvers.committee_trial import SPHERICAL, End, Trial, algorithm
from lsg_ray.networks.solvers.cross_entropy_sgd import Scales
from lsg_ray.networks.trial import Purpose
from lsg_ray.typing import Floats


class Options(Scales):
    """Options of Entropy-SGD; ``step`` is that of the inner dynamics, η′."""

    growth: float = Field(0.01, ge=0, le=10, description="Relative growth of β and γ per epoch.")
    outer_step: float = Field(1.0, gt=0, le=2, description="Step size η of x towards the mean μ.")
    inner_steps: int = Field(
        20, ge=1, le=100_000, description="Number of inner steps L per step of x."
    )
    average: float = Field(0.75, ge=0, lt=1, description="Weight a of the past in the mean μ.")
    noise: float = Field(1e-4, ge=0, description="Noise ε; a step adds ε√η′ N(0, 1).")
    coupling: float = Field(0.03, ge=0, description="Coupling g₀ of the first step of x.")
    coupling_growth: float = Field(
        1e-3, ge=0, le=10, description="Relative growth g₁ of the coupling per step of x."
    )

    def pull(self, step: int) -> float:
        """Return η′g of a step of x, at most 1, where inner steps return to x."""
        growth = np.exp(min(step * np.log1p(self.coupling_growth), 700.0))
        return float(min(self.step * self.coupling * growth, 1.0))


class _Walk:
    """The inner dynamics around x, and x itself."""

    def __init__(self, trial: Trial, options: Options) -> None:
        self.options, self.noise = options, trial.rng(Purpose.NOISE)
        self.x = trial.starts()
        self.near, self.mean = self.x.copy(), self.x.copy()
        self.taken = self.moves = 0

    def step(self, gradient: Floats) -> None:
        """Take an inner step, and that of x after L of them."""
        options = self.options
        away = self.near - self.x
        self.near -= options.step * np.sqrt(self.x.shape[-1]) * gradient
        self.near -= options.pull(self.moves) * away
        kick = options.noise * np.sqrt(options.step)
        self.near += kick * self.noise.standard_normal(self.near.shape)
        self.mean = options.average * self.mean + (1 - options.average) * self.near
        self.taken += 1
        if self.taken == options.inner_steps:
            self.x += options.outer_step * (self.mean - self.x)
            on_sphere(self.x)
            self.near, self.mean = self.x.copy(), self.x.copy()
            self.taken, self.moves = 0, self.moves + 1


def solve(trial: Trial, options: Options) -> End:
    """Train until x is a solution at large β, or until the epochs are used up.

    Cost: 4 N P flop an epoch.
    """
    walk = _Walk(trial, options)
    for epoch in range(trial.epochs):
        beta, gamma = options.at(epoch)
        for rows in trial.batches():
            trial.step(walk.x)
            _, gradient = loss_and_gradient(walk.near, trial.patterns, rows, beta, gamma)
            walk.step(gradient)
        if not np.isfinite(walk.near).all() or not np.isfinite(walk.x).all():
            return End(walk.x[0], epoch + 1, Stop.DIVERGED)
        if options.may_end(beta) and trial.errors(walk.x)[0] == 0:
            return End(walk.x[0], epoch + 1, Stop.SOLVED)
    return End(walk.x[0], trial.epochs, Stop.EPOCHS)


ALGORITHM = algorithm("entropy-sgd", SPHERICAL, Options, solve)
