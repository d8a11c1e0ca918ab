"""Least-action learning (LAL): the unit that is nearest to being right is moved.

For each pattern of a mini-batch that is wrong, at the weights before the batch,

    l* = argmin_{l: τ_l ≠ s} |h_l|,   W_{l*} ← W_{l*} + η s ξ_{l*},

until no pattern is wrong.  The rule has no scale of its own: η counts relative to |W|, which is √n
at the start.  The batches of an epoch are a new permutation of the patterns.

Source: G. J. Mitchison, R. M. Durbin, Biol. Cybern. 60, 345 (1989); as a baseline of wide flat
minima: C. Baldassi, F. Pittorino, R. Zecchina, PNAS 117, 161 (2020), arXiv:1905.07833.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, Field

from lsg_ray.networks.algorithm import Algorithm, Candidate, Run
from lsg_ray.networks.families.committee import Arena, Patterns, committee_of, fields
from lsg_ray.networks.trial import Purpose, trial_generator
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import Spec
from lsg_ray.typing import Array, Floats


class Options(BaseModel, extra="forbid", frozen=True):
    """Options of least-action learning; epochs and the batch are those of ``training``."""

    step: float = Field(0.2, gt=0, description="Step η, of weights of norm √n per unit.")


def least_action(w: Floats, patterns: Patterns, rows: Array, step: float) -> int:
    """Update w (K, n) in place for a mini-batch; return how many of its patterns were wrong."""
    x, s = patterns.x[rows].astype(np.float64), patterns.s[rows]
    h = fields(w[None], x)[0]
    right = (h > 0) == (s[:, None] > 0)
    wrong = np.flatnonzero(right.sum(axis=1) <= w.shape[0] // 2)
    if len(wrong):
        unit = np.where(right[wrong], np.inf, np.abs(h[wrong])).argmin(axis=1)
        inputs = x[wrong, unit if x.shape[1] > 1 else 0]
        np.add.at(w, unit, step * s[wrong, None] * inputs)
    return len(wrong)


def trainer(spec: Spec, arena: Arena, device: str | None) -> Run:
    """Return what runs trials."""
    del device
    family, options = committee_of(spec), Options(**spec.training.options)
    ((units, n),) = spec.network.shapes
    patterns = arena.train
    batch = spec.training.batch(patterns.n_patterns)

    def one(configuration: int, trial: int) -> Candidate:
        seed = seed_sequence(spec.ensemble.seed, Stream.TRIAL, configuration, trial)
        w = family.starts(spec, [seed])[0].astype(np.float64).reshape(units, n)
        order = trial_generator(seed, Purpose.ORDER)
        times, snapshots = spec.snapshot_steps, []
        epoch = step = 0
        while epoch < spec.training.epochs:
            epoch += 1
            wrong = 0
            for rows in np.array_split(
                order.permutation(patterns.n_patterns), -(-patterns.n_patterns // batch)
            ):
                if step in times:
                    snapshots.append(family.stored(w))
                wrong += least_action(w, patterns, rows, options.step)
                step += 1
            if wrong == 0:
                break
        accuracy, weights, columns = family.outcome(spec, arena, w, epoch)
        # What comes after the end is as at the end.
        snapshots += [weights] * (len(times) - len(snapshots))
        return Candidate(accuracy, weights, columns, np.array(snapshots) if times else None)

    def run(configurations: Sequence[int], trial: int) -> list[Candidate]:
        return [one(configuration, trial) for configuration in configurations]

    return run


ALGORITHM = Algorithm(
    "least-action", ("spherical-perceptron", "spherical-committee"), trainer, config=Options
)
