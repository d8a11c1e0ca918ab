"""Replicated gradient descent on the sphere: elastic coupling to a centre (elastic SGD).

y replicas descend on the smooth loss of `lsg_ray.networks.smooth_committee`, each on mini-batches
of its own, and are pulled to a centre W̄:

    W^a ← W^a − η √n ∇loss(W^a) − η g (W^a − W̄),  |W^a_l| ← √n.

The centre is the mean of the replicas, or explicit: then it moves towards them with a momentum μ,

    V ← μ V + η g Σ_a (W^a − W̄),  W̄ ← W̄ + V.

The coupling is scoped: g = g₀ (1 + g₁)^epoch, up to 1/η for a mean, where replicas fall together,
and to 1/(η y) for an explicit centre, which would swing beyond.  β and γ grow as in
`cross-entropy-sgd`; where replicas are one long before β is large, less is won.  The result is W̄,
once the replicas are one and it makes no error.

Source: C. Baldassi et al., PNAS 113, E7655 (2016), arXiv:1605.06444; S. Zhang, A.
Choromanska, Y. LeCun, NeurIPS (2015); F. Pittorino et al., ICLR (2021), arXiv:2006.07897, for the
scoping.  The defaults are of this package.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from lsg_ray.networks.families.committee import Stop
from lsg_ray.networks.smooth_committee import loss_and_gradient, on_sphere
from lsg_ray.networks.solvers.committee_trial import SPHERICAL, End, Trial, algorithm, spread
from lsg_ray.networks.solvers.cross_entropy_sgd import Scales
from lsg_ray.typing import Floats


class Options(Scales):
    """Options of elastic gradient descent."""

    growth: float = Field(0.01, ge=0, le=10, description="Relative growth of β and γ per epoch.")
    replicas: int = Field(3, ge=2, le=1000, description="Number of replicas y.")
    coupling: float = Field(1e-3, gt=0, description="Coupling g₀ of the first epoch.")
    coupling_growth: float = Field(
        0.02, ge=0, le=10, description="Relative growth g₁ of the coupling per epoch."
    )
    centre: Literal["mean", "explicit"] = Field(
        "mean", description="Kind of centre: the mean of the replicas, or explicit weights."
    )
    centre_momentum: float = Field(0.0, ge=0, lt=1, description="Momentum μ of an explicit centre.")
    collapsed: float = Field(
        1e-4,
        gt=0,
        lt=1,
        description="Mean square distance from the mean, relative to its square, "
        "at which replicas have collapsed.",
    )

    def pull(self, epoch: int) -> float:
        """Return η g of an epoch, at most 1, or 1/y."""
        growth = np.exp(min(epoch * np.log1p(self.coupling_growth), 700.0))
        most = 1.0 if self.centre == "mean" else 1.0 / self.replicas
        return float(min(self.step * self.coupling * growth, most))


class _Centre:
    """The centre that replicas are pulled to."""

    def __init__(self, options: Options, w: Floats) -> None:
        self.options, self.velocity = options, np.zeros(w.shape[1:])
        self.weights: Floats = w.mean(axis=0)

    def pull(self, w: Floats, pull: float) -> None:
        """Move replicas (y, K, n) towards the centre, in place, and the centre with them."""
        away = w - self.weights
        w -= pull * away
        if self.options.centre == "mean":
            self.weights = w.mean(axis=0)
        else:
            self.velocity *= self.options.centre_momentum
            self.velocity += pull * away.sum(axis=0)
            self.weights = self.weights + self.velocity


def solve(trial: Trial, options: Options) -> End:
    """Train until the replicas are one solution at large β, or the epochs are used up.

    Cost: 4 y N P flop an epoch.
    """
    w = trial.starts(options.replicas)
    centre = _Centre(options, w)
    size = options.step * np.sqrt(w.shape[-1])
    for epoch in range(trial.epochs):
        (beta, gamma), pull = options.at(epoch), options.pull(epoch)
        for rows in trial.batches(options.replicas):
            trial.step(centre.weights[None])
            _, gradient = loss_and_gradient(w, trial.patterns, rows, beta, gamma)
            w -= size * gradient
            centre.pull(w, pull)
            on_sphere(w)
        if not np.isfinite(w).all():
            return End(centre.weights, epoch + 1, Stop.DIVERGED)
        one = options.may_end(beta) and spread(w) < options.collapsed
        if one and trial.errors(centre.weights[None])[0] == 0:
            return End(centre.weights, epoch + 1, Stop.SOLVED)
    return End(centre.weights, trial.epochs, Stop.EPOCHS)


ALGORITHM = algorithm("elastic-sgd", SPHERICAL, Options, solve)
