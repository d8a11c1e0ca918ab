"""Belief propagation on the weights of perceptrons and committees of ±1 weights.

P patterns, K units with n weights each.  Labels are absorbed, ξ ← sξ, so that every pattern wants a
majority of units at +1, and messages are in the gauge of their pattern, ũ = ξu, (P, K, n): the
only large array.  From total fields H (K, n), a sweep makes for each pattern

    m̃_i = ξ_i tanh(H_i − u_i) = tanh(ξ_i H_i − ũ_i),   w = Σ m̃_i,   V = Σ (1 − m̃_i²),
    ũ_i = ½ [L((w' + 1)/√V') − L((w' − 1)/√V')],   w' = w − m̃_i,   V' = V − (1 − m̃_i²),
    L(a) = ln[Φ(a) + ρ Φ(−a)],

with Φ the normal distribution function and ρ = P(others have a majority without this unit)/P(others
and this unit have one): 0 of a perceptron.  All messages of a unit are one function of m̃ ∈ [−1, 1],
analytic but for singularities at a distance of some √V, so a few logarithms serve a whole row: it
is interpolated in 13 Chebyshev points, or where little variance is left in 24, if the last
coefficients are below `DECAY`, so to 1e-11; else each message is computed, as vector code.  A
message costs some 2 ns by interpolation (4 of 100 weights) and 8 without; with log Φ of a library
100.

``exact``: the law of Σ m̃ by convolution in place of the normal one, O(n²) a unit; for small n.
"""

from __future__ import annotations

import math

import numpy as np

from lsg_ray.kernels import double
from lsg_ray.kernels.classification import padded
from lsg_ray.kernels.compile import inlined, kernel
from lsg_ray.kernels.normal_law import (
    LARGEST,
    NARROWEST,
    gaussian_message,
    gaussian_messages,
    log_normal,
)

#: Sum of the last three Chebyshev coefficients that interpolation is taken with.
DECAY = 1e-11
#: Points that messages are interpolated in, few and many, and variances of a sum from which they
#: are tried: below the first, few hardly ever do; below the second, many do for a part of rows.
POINTS, MANY_POINTS = 13, 24
SMOOTH, ROUGH = 25.0, 2.0
#: Weights of a unit from which many points cost less than messages one by one.
MANY_WEIGHTS = 64
#: Numbers that are worked on together: a rest of fewer would be taken one at a time, and cost more.
WHOLE = 8
#: Means beyond which weights are decided, so that all have one message of each sign.
DECIDED = 1.0 - 1e-14
#: Smallest probability of a unit: products of eight stay normal numbers.
RAREST = 1e-30
#: Largest number of hidden units.
MOST_UNITS = 15


def interpolation(count=POINTS):
    """Return Chebyshev points on [−1, 1], the matrix (count, count) from values there to Chebyshev
    coefficients, and the one from these to coefficients of powers.

    The points are followed by zeros, up to whole vectors.
    """  # fmt: skip
    k = np.arange(count)
    points = np.cos((k + 0.5) * np.pi / count)
    to_chebyshev = 2 / count * np.cos(np.outer(k, np.arccos(points)))
    to_chebyshev[0] /= 2
    powers = np.zeros((count, count))
    for order in range(count):
        one = np.polynomial.chebyshev.cheb2poly(np.eye(count)[order])
        powers[: len(one), order] = one
    return np.pad(points, (0, -count % WHOLE)), to_chebyshev, powers


@kernel
def polynomial(w, variance, ratio, points, to_chebyshev, powers, values, c):
    """Set c (count,) to the powers of m̃ that give the messages of a unit; return whether they do.

    w, V of the whole sum; the next three from `interpolation`; values, scratch, as the points.
    """
    count = len(c)
    gaussian_messages(points, w, variance, ratio, values)
    _product(to_chebyshev, values, c)
    if not abs(c[count - 1]) + abs(c[count - 2]) + abs(c[count - 3]) < DECAY:
        return False
    values[:count] = c
    _product(powers, values, c)
    return True


@kernel
def _product(matrix, values, c):
    for k in range(len(c)):
        total = 0.0
        for j in range(len(c)):
            total += matrix[k, j] * values[j]
        c[k] = total


@kernel
def _cavity_means(x, u, field, m):
    """Set m (n,) to tanh(ξH − ũ); return its sum and Σ (1 − m²)."""
    w, variance = 0.0, 0.0
    for i in range(len(m)):
        z = x[i] * field[i] - u[i]
        e = double.exp(max(-2.0 * abs(z), -700.0))
        inverse = 1.0 / (1.0 + e)
        t = (1.0 - e) * inverse
        t = t if z >= 0.0 else -t
        m[i] = t
        w += t
        variance += 4.0 * e * inverse * inverse
    return w, variance


@kernel
def _smooth_row(x, u, m, c, damping, fresh, moved):
    """Set messages (n,) of a unit by its polynomial of `POINTS`; add to fresh and moved (n,)."""
    c0, c1, c2, c3, c4, c5, c6 = c[0], c[1], c[2], c[3], c[4], c[5], c[6]
    c7, c8, c9, c10, c11, c12 = c[7], c[8], c[9], c[10], c[11], c[12]
    share = 1.0 - damping
    for i in range(len(m)):
        t = m[i]
        p = c12 * t + c11
        p = p * t + c10
        p = p * t + c9
        p = p * t + c8
        p = p * t + c7
        p = p * t + c6
        p = p * t + c5
        p = p * t + c4
        p = p * t + c3
        p = p * t + c2
        p = p * t + c1
        step = p * t + c0 - u[i]
        size = abs(step)
        moved[i] = size if size > moved[i] else moved[i]
        new = u[i] + share * step
        u[i] = new
        fresh[i] += x[i] * new


@kernel
def _values(m, c, new):
    """Set new (n,) to a polynomial of m of `MANY_POINTS` powers, four of them at a time."""
    new[:] = 0.0
    for k in range(MANY_POINTS - 1, 0, -4):
        c0, c1, c2, c3 = c[k], c[k - 1], c[k - 2], c[k - 3]
        for i in range(len(m)):
            t = m[i]
            p = new[i] * t + c0
            p = p * t + c1
            p = p * t + c2
            new[i] = p * t + c3


@kernel
def _set_row(x, u, new, damping, fresh, moved):
    """Set messages (n,) of a unit; add to fresh and moved (n,)."""
    share = 1.0 - damping
    for i in range(len(u)):
        step = new[i] - u[i]
        size = abs(step)
        moved[i] = size if size > moved[i] else moved[i]
        u[i] += share * step
        fresh[i] += x[i] * u[i]


@kernel
def _put(x, u, i, new, damping, fresh, moved):
    """Set one message; add to fresh and moved (n,)."""
    step = new - u[i]
    moved[i] = max(moved[i], abs(step))
    u[i] += (1.0 - damping) * step
    fresh[i] += x[i] * u[i]


@kernel
def _rough_row(x, u, m, w, variance, ratio, damping, fresh, moved, scratch):
    """Set messages (n,) of a unit one by one; scratch (2, n, rounded up to `WHOLE`)."""
    n = len(m)
    count = 0
    for i in range(n):
        if abs(m[i]) < DECIDED:
            scratch[0, count] = m[i]
            count += 1
    whole = padded(count, WHOLE)
    scratch[0, count:whole] = 0.0
    gaussian_messages(scratch[0, :whole], w, variance, ratio, scratch[1, :whole])
    if count == n:
        _set_row(x, u, scratch[1], damping, fresh, moved)
        return
    up = gaussian_message(w - 1.0, variance, ratio)
    down = gaussian_message(w + 1.0, variance, ratio)
    count = 0
    for i in range(n):
        new = up if m[i] > 0.0 else down
        if abs(m[i]) < DECIDED:
            new = scratch[1, count]
            count += 1
        _put(x, u, i, new, damping, fresh, moved)


@kernel
def _convolve(m, ahead, behind):
    """Set laws of partial sums of a unit.

    ahead[i, j]: j of the first i weights agree with the pattern; behind[i, j]: j or more of those
    from i on; both (n + 1, n + 2).
    """
    n = len(m)
    ahead[:] = 0.0
    behind[:] = 0.0
    ahead[0, 0] = 1.0
    for i in range(n):
        up, down = 0.5 * (1.0 + m[i]), 0.5 * (1.0 - m[i])
        for j in range(i + 1):
            ahead[i + 1, j] += down * ahead[i, j]
            ahead[i + 1, j + 1] += up * ahead[i, j]
    behind[n, 0] = 1.0
    for i in range(n - 1, -1, -1):
        up, down = 0.5 * (1.0 + m[i]), 0.5 * (1.0 - m[i])
        behind[i, 0] = 1.0
        for j in range(1, n - i + 1):
            behind[i, j] = up * behind[i + 1, j - 1] + down * behind[i + 1, j]


@kernel
def _exact_row(x, u, m, ahead, behind, ratio, damping, fresh, moved):
    """Set messages (n,) of a unit from laws that `_convolve` has made; n odd."""
    n = len(m)
    half = (n - 1) // 2
    for i in range(n):
        # Of n − 1 others, half or more must agree where this weight does, else one more.
        with_it, without = 0.0, 0.0
        for j in range(i + 1):
            with_it += ahead[i, j] * behind[i + 1, max(half - j, 0)]
            without += ahead[i, j] * behind[i + 1, max(half + 1 - j, 0)]
        top = max(with_it + ratio * (1.0 - with_it), 1e-300)
        bottom = max(without + ratio * (1.0 - without), 1e-300)
        new = 0.5 * (math.log(top) - math.log(bottom))
        _put(x, u, i, min(new, LARGEST), damping, fresh, moved)


@inlined
def _add_unit(law, units, right, wrong):
    """Turn the law (units + 2,) of how many units are right into that with one more, in place."""
    for j in range(units + 1, 0, -1):
        law[j] = law[j] * wrong + law[j - 1] * right
    law[0] *= wrong


@kernel
def _majority(right, wrong, law):
    """Return the probability that most of K units are right; law (K + 1,) scratch."""
    units = len(right)
    law[:] = 0.0
    law[0] = 1.0
    for k in range(units):
        _add_unit(law, k, right[k], wrong[k])
    more = 0.0
    for j in range((units + 1) // 2, units + 1):
        more += law[j]
    return more


@kernel
def _ratios(right, wrong, law, ahead, ratios):
    """Set ratios (K,) to ρ = P(j ≥ r + 1)/P(j ≥ r), j right of the other K − 1, r = (K − 1)/2.

    law (K + 1,), ahead (K + 1, K + 1) scratch: laws of the units behind, and of the first k.
    """
    units = len(right)
    half = (units - 1) // 2
    ahead[:] = 0.0
    ahead[0, 0] = 1.0
    for k in range(units - 1):
        ahead[k + 1] = ahead[k]
        _add_unit(ahead[k + 1], k, right[k], wrong[k])
    law[:] = 0.0
    law[0] = 1.0
    for k in range(units - 1, -1, -1):
        behind = units - 1 - k
        tail = 0.0  # of those behind, more than half − a of them
        for j in range(half + 1, behind + 1):
            tail += law[j]
        tied, more = 0.0, 0.0
        for a in range(min(k, half) + 1):
            here = law[half - a] if half - a <= behind else 0.0
            tied += ahead[k, a] * here
            more += ahead[k, a] * tail
            tail += here
        for a in range(half + 1, k + 1):
            more += ahead[k, a]
        ratios[k] = more / (tied + more)
        _add_unit(law, behind, right[k], wrong[k])


@kernel
def _upward(x, u, fields, exact, m, sums, chances, ahead, behind):
    """Set cavity means (K, n), sums (2, K) w and V, and chances (2, K) of units right and wrong."""
    shared = x.shape[0] == 1
    for unit in range(m.shape[0]):
        w, variance = _cavity_means(x[0 if shared else unit], u[unit], fields[unit], m[unit])
        sums[0, unit], sums[1, unit] = w, variance
        if exact:
            _convolve(m[unit], ahead[unit], behind[unit])
            right = behind[unit, 0, (m.shape[1] + 1) // 2]
            wrong = 1.0 - right
        else:
            a = w / math.sqrt(2.0 * max(variance, NARROWEST))
            right, wrong = 0.5 * math.erfc(-a), 0.5 * math.erfc(a)
        chances[0, unit] = max(right, RAREST)
        chances[1, unit] = max(wrong, RAREST)


@kernel
def sweep(
    x, u, fields, damping, exact, few, many, m, sums, chances, law, ahead, behind, fresh, moved,
):  # fmt: skip
    """Make all messages anew, in place, and their sums.

    x (P, K or 1, n) int8, with labels absorbed; u (P, K, n) float64, ξ times messages; fields
    (K, n) total fields H that they were part of; damping: share that stays; few, many: rules of
    `interpolation` in `POINTS` and `MANY_POINTS`; fresh (K, n), set to Σ_p u; moved (K, n), set to
    the largest changes before damping; scratch m (K, n), sums (2, K), chances (2, K), law (K + 1,),
    and ahead, behind (K, n + 1, n + 2) where ``exact``, else (K, 1, 1).
    """
    units, n = fields.shape
    fresh[:] = 0.0
    moved[:] = 0.0
    shared = x.shape[1] == 1
    values, c, powers = np.empty(MANY_POINTS), np.empty(POINTS), np.empty(MANY_POINTS)
    scratch = np.empty((2, padded(n, WHOLE)))
    before, ratios = np.empty((units + 1, units + 1)), np.zeros(units)
    for p in range(x.shape[0]):
        _upward(x[p], u[p], fields, exact, m, sums, chances, ahead, behind)
        if units > 1:
            _ratios(chances[0], chances[1], law, before, ratios)
        for unit in range(units):
            ratio = ratios[unit]
            row, own = x[p, 0 if shared else unit], u[p, unit]
            w, variance = sums[0, unit], sums[1, unit]
            if exact:
                _exact_row(
                    row, own, m[unit], ahead[unit], behind[unit], ratio, damping, fresh[unit],
                    moved[unit],
                )  # fmt: skip
            elif variance >= SMOOTH and polynomial(
                w, variance, ratio, few[0], few[1], few[2], values[: len(few[0])], c
            ):
                _smooth_row(row, own, m[unit], c, damping, fresh[unit], moved[unit])
            elif (
                n >= MANY_WEIGHTS
                and variance >= ROUGH
                and polynomial(w, variance, ratio, many[0], many[1], many[2], values, powers)
            ):
                _values(m[unit], powers, scratch[1, :n])
                _set_row(row, own, scratch[1], damping, fresh[unit], moved[unit])
            else:
                _rough_row(
                    row, own, m[unit], w, variance, ratio, damping, fresh[unit], moved[unit],
                    scratch,
                )  # fmt: skip


@inlined
def _log_2cosh(x):
    return abs(x) + math.log1p(math.exp(-2.0 * abs(x)))


@kernel
def bethe(x, u, fields, exact, m, sums, chances, law, ahead, behind):
    """Return ln Z of the Bethe approximation, of messages and total fields; arguments as `sweep`.

    ln Z = Σ_p ln Z_p + Σ_i l(H_i) + Σ_pi [l(H_i − u_pi) − l(H_i)], l = ln 2cosh, with Z_p the
    probability that a pattern is right under the cavity means.
    """
    units, n = fields.shape
    shared = x.shape[1] == 1
    total = 0.0
    for p in range(x.shape[0]):
        _upward(x[p], u[p], fields, exact, m, sums, chances, ahead, behind)
        if units > 1:
            total += math.log(_majority(chances[0], chances[1], law))
        elif exact:
            total += math.log(chances[0, 0])
        else:
            total += log_normal(sums[0, 0] / math.sqrt(max(sums[1, 0], NARROWEST)))
        for unit in range(units):
            row = x[p, 0 if shared else unit]
            for i in range(n):
                field = fields[unit, i]
                total += _log_2cosh(row[i] * field - u[p, unit, i]) - _log_2cosh(field)
    for unit in range(units):
        for i in range(n):
            total += _log_2cosh(fields[unit, i])
    return total
