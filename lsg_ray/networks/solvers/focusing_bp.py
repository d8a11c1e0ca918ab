"""Focusing belief propagation: y replicas of ±1 weights, drawn to a common centre.

All replicas are alike, so each weight sees the y − 1 others through the centre as one more message,

    f_i = A_γ[(y − 1) A_γ[h_i]],   A_γ(x) = atanh(tanh γ tanh x),   H_i = h_i + f_i,

with h_i = Σ_p u_pi the messages of the patterns.  y = 1 is plain belief propagation; γ → ∞ is
reinforcement, f = (y − 1) h.  As y and γ grow by a protocol, ρ from 0 to 1, the replicas collapse
into a region that is dense in solutions, and signs of H solve the patterns on the way:

    standard: γ = ∞, y = 1/(1 − ρ);
    pseudo-reinforcement: γ = atanh ρ^x, y = 1 + ρ^(1−2x)/(1 − ρ);
    scoping: y fixed, γ raised in steps;
    free: γ and y as listed.

One instance has one fixed point of belief propagation, which trials that differ in their first
messages would all end near; so trials have random fields of their own, small ones.

Source: C. Baldassi et al., PNAS 113, E7655 (2016), arXiv:1605.06444, Sec. "Focusing belief
propagation".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from lsg_ray.networks.factor_graph import FactorGraph
from lsg_ray.networks.solvers.committee_trial import BINARY
from lsg_ray.networks.solvers.sweeps import Messages, algorithm, check_memory
from lsg_ray.typing import Floats, Signs

#: Largest load α of perceptrons that the long step of ρ is for, and both steps.
_EASY, _STEPS = 0.6, (0.005, 0.002)


class Options(Messages):
    """Options of focusing belief propagation; ``training.epochs`` bounds its sweeps."""

    protocol: Literal["pseudo-reinforcement", "standard", "scoping", "free"] = Field(
        "pseudo-reinforcement", description="Protocol by which γ and y grow."
    )
    step: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Step of ρ; without it, 0.005 for perceptrons of up to 0.6 patterns per "
        "weight, and 0.002 for others.",
    )
    exponent: float = Field(0.5, ge=0, le=0.5, description="Exponent x of pseudo-reinforcement.")
    replicas: float = Field(21.0, ge=1, description="Number of replicas y of scoping.")
    gamma_step: float = Field(0.1, gt=0, description="Step of γ of scoping.")
    gamma_max: float = Field(10.0, gt=0, description="Last γ of scoping.")
    gammas: tuple[float, ...] = Field(
        (), description="Values of γ of the free protocol, one per step."
    )
    ys: tuple[float, ...] = Field((), description="Values of y of the free protocol, one per step.")
    sweeps: int = Field(1, ge=1, description="Number of sweeps per step.")
    damping: float = Field(0.5, ge=0, lt=1, description="Share of the old message in the new one.")

    @model_validator(mode="after")
    def _listed(self) -> Options:
        if self.protocol == "free":
            if not self.gammas or len(self.gammas) != len(self.ys):
                raise ValueError(
                    f"{len(self.gammas)} gammas and {len(self.ys)} ys given; the free protocol "
                    "needs as many of each"
                )
            if min(self.gammas) < 0 or min(self.ys) < 1:
                raise ValueError("gammas from 0 and ys from 1 on are needed")
        return self


class Focus(NamedTuple):
    """Coupling γ ≥ 0 of replicas to their centre, infinity too, and their number y ≥ 1."""

    gamma: float
    y: float


def through(gamma: float, x: Floats) -> Floats:
    """Return A_γ(x) = atanh(tanh γ tanh x) = ½ ln[cosh(γ + x)/cosh(γ − x)]; x itself at γ = ∞.

    >>> float(through(0.5, np.array(0.3)).round(6)), float(through(np.inf, np.array(40.0)))
    (0.135443, 40.0)
    """
    if np.isinf(gamma):
        return x
    a, b = np.abs(gamma + x), np.abs(gamma - x)
    joined: Floats = 0.5 * (a - b + np.log1p(np.exp(-2 * a)) - np.log1p(np.exp(-2 * b)))
    return joined


def pull(focus: Focus, fields: Floats) -> Floats:
    """Return f, the message of other replicas to each weight, for messages h of the patterns."""
    if focus.y == 1 or focus.gamma == 0:
        return np.zeros_like(fields)
    return through(focus.gamma, (focus.y - 1) * through(focus.gamma, fields))


def protocol(options: Options, hard: bool = False) -> Iterator[Focus]:
    """Yield γ and y step by step; ``hard``: with the short step of ρ by default."""
    if options.protocol == "free":
        yield from map(Focus, options.gammas, options.ys)
        return
    if options.protocol == "scoping":
        for k in range(round(options.gamma_max / options.gamma_step) + 1):
            yield Focus(k * options.gamma_step, options.replicas)
        return
    step = options.step or _STEPS[hard]
    x = options.exponent
    for k in range(int(np.ceil(1 / step - 1e-9))):
        rho = k * step
        if options.protocol == "standard":
            yield Focus(np.inf, 1 / (1 - rho))
        elif rho == 0:
            yield Focus(0.0, 1.0)  # replicas without coupling are one
        else:
            yield Focus(float(np.arctanh(rho**x)), 1 + rho ** (1 - 2 * x) / (1 - rho))


def focusing(x: Signs, units: int, options: Options, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield total fields (K, n), first those of random messages, then after each sweep.

    x (P, K or 1, n), labels absorbed.  Cost of a sweep: that of plain belief propagation.
    """
    graph = FactorGraph(x, units)
    graph.start(rng, options.start)
    bias = options.noise * rng.standard_normal(graph.shape)
    hard = units > 1 or len(x) > _EASY * graph.n_weights

    def total(focus: Focus) -> Floats:
        h = graph.fields + bias
        return h + pull(focus, h)

    yield graph.fields + bias
    for focus in protocol(options, hard):
        for _ in range(options.sweeps):
            graph.sweep(total(focus), options.damping)
            yield total(focus)


ALGORITHM = algorithm("focusing-bp", BINARY, Options, focusing, check_memory)
