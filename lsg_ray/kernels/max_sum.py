"""Max-sum on the weights of a perceptron of ±1 weights: belief propagation at zero temperature.

Messages in the gauge of their pattern, ũ = ξu ≥ 0 (P, n), labels absorbed; ψ̃_i = ξ_iΨ_i − ũ_i is
the field of all else on weight i, positive where it agrees with the pattern.  A pattern needs
(n + 1)/2 that agree.  Where k of the others are missing to that if i agrees, for the least cost of
turning some, turning one more costs

    ũ_i = the (k + 1)-th smallest |ψ̃_j| among those j ≠ i that disagree,   k = (n − 1)/2 − n₊,

with n₊ others that agree, and 0 if there are enough without i.

Source: C. Baldassi, A. Braunstein, J. Stat. Mech. (2015) P08008, arXiv:1505.05401.
"""

from __future__ import annotations

from lsg_ray.kernels.compile import kernel


@kernel
def smallest(values, count, k):
    """Return the k-th smallest (from 0) of the first ``count`` values, which are reordered."""
    low, high = 0, count - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            return values[k]
    return values[k]


@kernel
def pattern_messages(cavity, messages, scratch):
    """Set messages (n,) to the messages of one pattern, of cavity fields ψ̃ (n,); scratch (n,)."""
    n = len(cavity)
    against = 0
    for i in range(n):
        if cavity[i] <= 0.0:
            scratch[against] = -cavity[i]
            against += 1
    agree = n - against
    # That many of all weights must turn; of the others of one that agrees, one more.
    missing = (n + 1) // 2 - agree
    if missing < 0:
        messages[:] = 0.0
        return
    first, second = 0.0, 0.0
    if missing >= 1:
        first = smallest(scratch, against, missing - 1)
    if missing < against:
        second = smallest(scratch, against, missing)
    for i in range(n):
        if cavity[i] > 0.0:
            messages[i] = second
        elif missing < 1:
            messages[i] = 0.0
        else:
            # Without one of the smallest, the next takes its place.
            messages[i] = second if -cavity[i] <= first else first


@kernel
def sweep(x, u, fields, damping, cavity, messages, scratch, fresh):
    """Make all messages anew, in place; fresh (n,) is set to their sums; return the largest change.

    x (P, n) int8 ±1, labels absorbed; u (P, n) float64 messages ũ; fields (n,) total fields Ψ that
    they were part of; damping: share that stays; cavity, messages, scratch (n,).
    """
    fresh[:] = 0.0
    moved = 0.0
    for p in range(x.shape[0]):
        row, own = x[p], u[p]
        for i in range(len(fields)):
            cavity[i] = row[i] * fields[i] - own[i]
        pattern_messages(cavity, messages, scratch)
        for i in range(len(fields)):
            step = messages[i] - own[i]
            moved = max(moved, abs(step))
            own[i] += (1.0 - damping) * step
            fresh[i] += row[i] * own[i]
    return moved
