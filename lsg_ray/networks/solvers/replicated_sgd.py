"""Replicated gradient descent of ±1 weights: replicas with hidden reals, kicked to their centre.

Each of y replicas has reals H^a, and W^a = sign H^a.  On a mini-batch, at the weights before it,
the units of a wrong pattern that are nearest to being right, just as many as turn the output, move
as in least-action learning,

    H_l ← H_l + η s ξ_l,    of the (|Σ_l τ_l| + 1)/2 wrong units with smallest |h_l|,

and then all replicas towards the centre W̄ = mean_a W^a:

    simple      H^a ← H^a + λ [tanh(γ y W̄) − W^a],
    corrected   H^a ← H^a + λ [tanh(γ y W̄) − tanh(γ y) W^a],
    hard        H^a ← H^a + λ [clip(γ y W̄, −1, 1) − W^a],
    continuous  H^a ← H^a + λ [W̄ − W^a],
    explicit    H^a ← H^a + λ [W^c − W^a],  H^c ← H^c − λ Σ_a [W^c − W^a],  W^c = sign H^c.

γ grows by δγ an epoch.  The result is the centre's sign, or else a replica, whichever makes no
error first, as looked at after each epoch; ``wait_for_centre`` asks for the centre.

Source: C. Baldassi et al., PNAS 113, E7655 (2016), arXiv:1605.06444.  Replicas move together here,
not one after another.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.networks.families.committee import Patterns, Stop, fields
from lsg_ray.networks.solvers.committee_trial import BINARY, End, Trial, algorithm, odd_replicas
from lsg_ray.typing import Array, Floats, Ints

Formula = Literal["simple", "corrected", "hard", "continuous", "explicit"]


class Options(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Options of replicated gradient descent of ±1 weights."""

    replicas: int = Field(7, ge=1, le=1001, description="Number of replicas y, odd.")
    step: float = Field(
        2.0, gt=0, description="Step size η of the hidden real weights, which start at ±1."
    )
    kick: float = Field(0.75, ge=0, description="Size λ of the kick to the centre.")
    formula: Formula = Field(
        "simple", description="Formula of the kick: centre traced out, continuous, or explicit."
    )
    coupling: float = Field(0.05, ge=0, description="Coupling γ₀ of the first epoch.")
    coupling_step: float = Field(1e-3, ge=0, description="Growth of γ per epoch.")
    start: Literal["equal", "random"] = Field(
        "equal", description="Start of replicas: at one configuration, or each at its own."
    )
    wait_for_centre: bool = Field(False, description="Whether only the centre can end training.")


def easiest_units(w: Array, patterns: Patterns, rows: Array) -> tuple[Array, Array]:
    """Return patterns and units that are to move, for weights (K, n) and a mini-batch.

    Of each wrong pattern the fewest units, those of the smallest |h|, whose change of sign would
    make it right.
    """
    x, s = patterns.x[rows], patterns.s[rows]
    h = fields(w[None], x)[0] * s[:, None]
    right = (h > 0).sum(axis=1)
    wrong = np.flatnonzero(right <= w.shape[0] // 2)
    depth = np.where(h[wrong] > 0, np.inf, -h[wrong])
    order = np.argsort(depth, axis=1, kind="stable")
    turned = w.shape[0] // 2 + 1 - right[wrong]
    index = np.arange(w.shape[0])
    pattern, column = np.nonzero(index < turned[:, None])
    return rows[wrong[pattern]], order[pattern, column]


def move(hidden: Floats, w: Array, patterns: Patterns, rows: Array, step: float) -> None:
    """Update hidden reals (K, n) in place for a mini-batch, at weights w (K, n)."""
    chosen, unit = easiest_units(w, patterns, rows)
    inputs = patterns.x[chosen, unit if patterns.x.shape[1] > 1 else 0]
    np.add.at(hidden, unit, step * patterns.s[chosen, None] * inputs)


def kick(centre: Floats, w: Array, coupling: float, formula: Formula) -> Floats:
    """Return the kick (y, K, n), of size 1, of replicas w (y, K, n) towards their centre."""
    if formula in ("continuous", "explicit"):
        return centre - w
    scale = coupling * len(w)
    if formula == "hard":
        return np.clip(scale * centre, -1, 1) - w
    return np.tanh(scale * centre) - (np.tanh(scale) if formula == "corrected" else 1.0) * w


def _signs(hidden: Floats) -> Array:
    return np.where(hidden >= 0, np.int8(1), np.int8(-1))


class Replicas:
    """Some replicas of a trial: hidden reals, and their signs."""

    def __init__(self, trial: Trial, options: Options, part: slice) -> None:
        self.patterns, self.step = trial.patterns, options.step
        starts = trial.starts(options.replicas)
        if options.start == "equal":
            starts[:] = starts[0]
        self.hidden = starts[part]

    def reals(self, _: None) -> Floats:
        """Return the hidden reals (g, K, n)."""
        return self.hidden

    def descend(self, rows: Ints) -> Array:
        """Learn mini-batches (g, B); return the weights after it."""
        w = _signs(self.hidden)
        for hidden, signs, batch in zip(self.hidden, w, rows, strict=True):
            move(hidden, signs, self.patterns, batch, self.step)
        return _signs(self.hidden)

    def pulled(self, force: Floats) -> Array:
        """Move by the kick (g, K, n); return the weights after it."""
        self.hidden += force
        return _signs(self.hidden)


def solve(trial: Trial, options: Options) -> End:
    """Train until the centre or a replica is a solution, or the epochs are used up.

    Cost: 4 y N P flop an epoch; groups exchange 11 y N bytes a mini-batch.
    """
    y = options.replicas
    with trial.groups(Replicas, options, y) as groups:
        reals = groups("reals")
        centre = reals.mean(axis=0)  # hidden reals, of an explicit centre
        w = _signs(reals)
        for epoch in range(trial.epochs):
            coupling = options.coupling + epoch * options.coupling_step
            for rows in trial.batches(y):
                trial.step(_centre(w, centre, options)[None])
                w = groups("descend", rows)
                formula = options.formula
                force = options.kick * kick(_centre(w, centre, options), w, coupling, formula)
                w = groups("pulled", force)
                centre -= force.sum(axis=0)
            candidates = np.concatenate([_centre(w, centre, options)[None], w])
            errors = trial.errors(candidates[:1] if options.wait_for_centre else candidates)
            if errors.min() == 0:
                return End(candidates[errors.argmin()], epoch + 1, Stop.SOLVED)
        return End(_centre(w, centre, options), trial.epochs, Stop.EPOCHS)


def _centre(w: Array, hidden: Floats, options: Options) -> Floats:
    """Return the centre (K, n): the mean of replicas w, or, explicit, the signs of its reals."""
    mean: Floats = (_signs(hidden) if options.formula == "explicit" else w.mean(axis=0)) * 1.0
    return mean


ALGORITHM = algorithm(
    "replicated-sgd",
    BINARY,
    Options,
    solve,
    misfits=odd_replicas,
    replicas=lambda options: options.replicas,
)
