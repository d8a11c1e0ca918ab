"""Local entropy on the sphere by direct sampling: the oracle of belief propagation at small N.

Weights at overlap p with a reference, |W|² = N in all, are W = p W_ref + √(1 − p²) √N u with u
uniform among the directions orthogonal to W_ref.  The share of them that is right on all patterns
is e^{N nLE(p)}, so some e^{−N nLE} weights are needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsg_ray.minima.chosen import Ground
from lsg_ray.networks.families.committee import fields
from lsg_ray.typing import Floats

#: Weights that are drawn at a time.
_BATCH = 4096


class Sampled(NamedTuple):
    """nLE per weight at each overlap, and its standard error; −∞ where no weights were right."""

    entropy: Floats
    error: Floats


def at_overlap(unit: Floats, p: float, count: int, rng: np.random.Generator) -> Floats:
    """Return weights (count, N) at overlap p with a vector (N,) of norm one, of norm √N."""
    size = unit.size
    u = rng.standard_normal((count, size))
    u -= np.outer(u @ unit, unit)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    weights: Floats = (p * unit + np.sqrt(1 - p * p) * u) * np.sqrt(size)
    return weights


def sampled_local_entropy(
    ground: Ground,
    reference: Floats,
    overlaps: Floats,
    samples: int,
    rng: np.random.Generator,
    *,
    product: bool = False,
) -> Sampled:
    """Return nLE around a reference (K, n) by drawing ``samples`` weights at each overlap.

    ``product``: of a parity machine, and not a committee.  Cost: 2 N P flop a sample.
    """
    flat = reference.ravel() / np.linalg.norm(reference)
    x, s = ground.arena.train
    size = flat.size
    rows = []
    for p in overlaps:
        right = 0
        for start in range(0, samples, _BATCH):
            w = at_overlap(flat, p, min(_BATCH, samples - start), rng)
            tau = np.sign(fields(w.reshape(-1, *reference.shape), x))
            votes = tau.prod(axis=2) if product else tau.sum(axis=2)
            right += int((votes * s > 0).all(axis=1).sum())
        share = right / samples
        with np.errstate(divide="ignore"):
            value = np.log(share) / size
            error = np.sqrt((1 - share) / max(right, 1)) / size
        rows.append((value, error))
    return Sampled(*map(np.array, zip(*rows, strict=True)))
