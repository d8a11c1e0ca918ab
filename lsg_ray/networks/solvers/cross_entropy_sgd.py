"""Gradient descent on the cross entropy with explicit scales (ceSGD), fast or slow; SGD and Adam.

The loss is that of `lsg_ray.networks.smooth_committee`: units tanh(β h), cross entropy f_γ.  A step
on a mini-batch is

    W ← W − η √n ∇loss,  |W_l| ← √n,

so that the norms cannot take the part of β.  β and γ grow by a factor 1 + ``growth`` an epoch, up
to their largest values, and training ends when the committee of sign units makes no error and
β ≥ ``end_beta``.  The larger γ, the more only the wrong patterns count; the slower it grows, the
flatter the minimum: 0.02 is the fast protocol, 0.004 the slow one.

``growth: 0`` is plain SGD, or Adam, on the loss at constant β and γ, which ends at L_NE = 0; random
patterns at α = 1 want β, γ of 3 or so, and not the small ones that growing starts from.

Source: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.  The
defaults are of this package.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.networks.families.committee import Stop
from lsg_ray.networks.smooth_committee import loss_and_gradient, on_sphere
from lsg_ray.networks.solvers.committee_trial import SPHERICAL, End, Trial, algorithm
from lsg_ray.spec import TrainingSpec
from lsg_ray.typing import Floats


class Scales(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Options of descents on the smooth loss: β and γ, and how they grow."""

    step: float = Field(2.0, gt=0, description="Step size η, for weights of norm √n per unit.")
    beta: float = Field(0.5, gt=0, description="Initial scale β of the units.")
    gamma: float = Field(0.5, gt=0, description="Initial scale γ of the loss.")
    growth: float = Field(
        0.02,
        ge=0,
        le=10,
        description="Relative growth of β and γ per epoch: 0.02 is fast, "
        "0.004 slow, and 0 keeps them constant.",
    )
    max_beta: float = Field(30.0, gt=0, description="Largest β.")
    max_gamma: float = Field(50.0, gt=0, description="Largest γ.")
    end_beta: float = Field(
        15.0, gt=0, description="Smallest β at which a solution ends training, if β grows."
    )

    def at(self, epoch: int) -> tuple[float, float]:
        """Return β and γ of an epoch, counted from 0.

        >>> Scales(growth=0.02).at(500)
        (30.0, 50.0)
        """
        # Beyond e⁷⁰⁰ all is at its largest value.
        factor = float(np.exp(min(epoch * np.log1p(self.growth), 700.0)))
        beta, gamma = self.beta * factor, self.gamma * factor
        return (
            max(self.beta, min(beta, self.max_beta)),
            max(self.gamma, min(gamma, self.max_gamma)),
        )

    def may_end(self, beta: float) -> bool:
        """Return whether a solution ends training at this β."""
        return self.growth == 0 or beta >= min(self.end_beta, max(self.beta, self.max_beta))


class Options(Scales):
    """Options of gradient descent on the cross entropy."""

    optimizer: Literal["sgd", "adam"] = Field(
        "sgd",
        description="Optimizer: SGD (training.momentum) or Adam (training.beta1, beta2, epsilon).",
    )
    norm: Literal["fixed", "free"] = Field(
        "fixed", description="Norms of units after each step: reset to |W_l| = √n, or free."
    )


class Descent:
    """Optimizer of weights (y, K, n): SGD with momentum, or Adam."""

    def __init__(self, training: TrainingSpec, kind: str, step: float, w: Floats) -> None:
        self.training, self.kind, self.step = training, kind, step
        self.first, self.second = np.zeros_like(w), np.zeros_like(w)
        self.steps = 0

    def change(self, gradient: Floats) -> Floats:
        """Return what is added to the weights."""
        self.steps += 1
        about = self.training
        if self.kind == "sgd":
            self.first = about.momentum * self.first + gradient
            return -self.step * self.first
        self.first = about.beta1 * self.first + (1 - about.beta1) * gradient
        self.second = about.beta2 * self.second + (1 - about.beta2) * gradient**2
        mean = self.first / (1 - about.beta1**self.steps)
        square = self.second / (1 - about.beta2**self.steps)
        return -self.step * mean / (np.sqrt(square) + about.epsilon)


def solve(trial: Trial, options: Options) -> End:
    """Train until a solution at large β, or until the epochs are used up.

    Cost: 4 N P flop an epoch, and 2 N P for its errors from ``end_beta`` on.
    """
    w = trial.starts()
    root = np.sqrt(w.shape[-1])
    descent = Descent(trial.spec.training, options.optimizer, options.step, w)
    for epoch in range(trial.epochs):
        beta, gamma = options.at(epoch)
        for rows in trial.batches():
            trial.step(w)
            _, gradient = loss_and_gradient(w, trial.patterns, rows, beta, gamma)
            w += descent.change(root * gradient)
            if options.norm == "fixed":
                on_sphere(w)
        if not np.isfinite(w).all():
            return End(w[0], epoch + 1, Stop.DIVERGED)
        if options.may_end(beta) and trial.errors(w)[0] == 0:
            return End(w[0], epoch + 1, Stop.SOLVED)
    return End(w[0], trial.epochs, Stop.EPOCHS)


ALGORITHM = algorithm("cross-entropy-sgd", SPHERICAL, Options, solve)
