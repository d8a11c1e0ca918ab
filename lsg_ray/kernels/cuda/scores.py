"""Answers of a network to an example, whose scores lie in shared memory."""

from __future__ import annotations

import math

import numpy as np
from numba import float64

from lsg_ray.kernels.cuda.device import at, device, exponential

_F = np.float32


@device
def answer(memory, z, stride, y, n_units):
    """Return the score of the label, the largest, and 1 where the answer is the label, else 0.

    The first of equal scores is the answer; NaN is the largest and never right, as in
    `lsg_ray.kernels.classification.answers`.
    """
    own, top, best = memory[at(z + y * stride)], memory[at(z)], 0
    for i in range(1, n_units):
        score = memory[at(z + i * stride)]
        if score > top or (score != score and top == top):
            top, best = score, i
    return own, top, 1 if best == y and own == top else 0


@device
def cross_entropy(memory, d, g, stride, y, n_units):
    """Replace an example's scores by δ, and ε/√v by g; return its loss, and 1 where it is right."""
    own, top, hit = answer(memory, d, stride, y, n_units)
    total = _F(0)
    for i in range(n_units):
        total += exponential(memory[at(d + i * stride)] - top)
    share = _F(1) / total
    for i in range(n_units):
        to = i * stride
        p = exponential(memory[at(d + to)] - top) * share
        p -= _F(1) if i == y else _F(0)
        memory[at(d + to)] = p
        memory[at(g + to)] *= p
    return float64(math.log(total)) + float64(top - own), hit
