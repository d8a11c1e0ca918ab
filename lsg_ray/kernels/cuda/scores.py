"""Answers of a network to an example, whose scores lie in shared memory."""

from __future__ import annotations

from lsg_ray.kernels.cuda.device import at, device


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
