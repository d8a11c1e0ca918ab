"""Sweeps of relaxed belief propagation for continuous weights of committees.

Messages of pattern p to weight i of unit l are exp(B W − A W²/2), which need not be normalisable:
A may be negative, so A and B are what is stored, and never a mean and a variance.  With cavity
means m and variances v of the weights, a field has mean w = Σ x m and variance V = Σ x² v; from it
own terms are taken off, and the hidden unit gets from the others how much it matters: Ut, the
magnetisation that the majority asks of it.  With z = w'/√(2V'),

    g = Ut √(2/(πV')) e^{−z²}/(1 + Ut erf z),  Γ = g (g + w'/V'),  B = x g,  A = x² Γ.

Arrays: messages (P, K, n); patterns x (P, K, n), or (P, 1, n) shared by units, times their labels;
precision λ + A (K, n) and field B (K, n) of the weights.  All float64 and contiguous.
"""

from __future__ import annotations

import math

import numpy as np

from lsg_ray.kernels import double
from lsg_ray.kernels.compile import inlined, kernel

#: Least variance of a field, and least precision of a weight without one pattern.
LEAST_VARIANCE, LEAST_PRECISION = 1e-9, 1e-6
#: Means of hidden units stay this far from ±1.
MARGIN = 1e-9
#: Beyond it e^{z²} is not taken: as good as infinite.
_FARTHEST = 26.0
TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)


@inlined
def _cavity(precision, field, A, B, x, m, v):
    """Set means m and variances v (n,) of weights without one pattern; return Σ x m and Σ x² v."""
    w = 0.0
    V = 0.0
    for i in range(len(m)):
        v[i] = 1.0 / max(precision[i] - A[i], LEAST_PRECISION)
        m[i] = v[i] * (field[i] - B[i])
        w += x[i] * m[i]
        V += x[i] * x[i] * v[i]
    return w, max(V, LEAST_VARIANCE)


@inlined
def _laws(right, before, after):
    """Set the laws of how many of the first k, and of the last K − k, units are right.

    right (K,): probabilities; before, after (K + 1, K + 1): by k and number.
    """
    units = len(right)
    before[:] = 0.0
    after[:] = 0.0
    before[0, 0] = 1.0
    after[units, 0] = 1.0
    for k in range(units):
        p = right[k]
        before[k + 1, 0] = (1.0 - p) * before[k, 0]
        for j in range(1, k + 2):
            before[k + 1, j] = (1.0 - p) * before[k, j] + p * before[k, j - 1]
        last = units - 1 - k
        p = right[last]
        after[last, 0] = (1.0 - p) * after[last + 1, 0]
        for j in range(1, k + 2):
            after[last, j] = (1.0 - p) * after[last + 1, j] + p * after[last + 1, j - 1]


@inlined
def _asked(right, before, after, asked):
    """Set asked (K,) to the magnetisation that the majority asks of each unit.

    With the other K − 1 units r = (K − 1)/2 of which are right with probability P(r), and more with
    P(>r), it is P(r)/(P(r) + 2 P(>r)).
    """
    _laws(right, before, after)
    units = len(right)
    half = (units - 1) // 2
    for k in range(units):
        tied = 0.0
        more = 0.0
        tail = 0.0  # of the units after k, that at least half + 1 − a of them are right
        for j in range(half + 1, units - k):
            tail += after[k + 1, j]
        for a in range(min(k, units - 1) + 1):
            rest = half - a
            here = 0.0
            if 0 <= rest < units - k:
                here = after[k + 1, rest]
            tied += before[k, a] * here
            more += before[k, a] * tail
            tail += here
        asked[k] = tied / (tied + 2.0 * more)


@kernel
def majority(right):
    """Return the probability that most of K units are right, of probabilities (K,), and Ut (K,)."""
    units = len(right)
    before = np.empty((units + 1, units + 1))
    after = np.empty((units + 1, units + 1))
    asked = np.empty(units)
    _asked(right, before, after, asked)
    total = 0.0
    for j in range((units + 1) // 2, units + 1):
        total += after[0, j]
    return total, asked


@kernel
def sweep(A, B, x, precision, field, damping, A_sum, B_sum):
    """Update all messages A, B (P, K, n) in place: new = damping old + (1 − damping) update.

    precision, field (K, n): λ + Σ A and Σ B + b of the weights, of the messages as they are given;
    A_sum, B_sum (K, n) are set to the sums of the new ones.  Parallel, so in no order.  Cost: P K n
    exponentials, and P K² for the majority.
    """
    patterns, units, n = A.shape
    shared = x.shape[1] == 1
    m = np.empty((units, n))
    v = np.empty((units, n))
    power = np.empty(n)
    w = np.empty(units)
    V = np.empty(units)
    right = np.empty(units)
    asked = np.empty(units)
    before = np.empty((units + 1, units + 1))
    after = np.empty((units + 1, units + 1))
    A_sum[:] = 0.0
    B_sum[:] = 0.0
    for p in range(patterns):
        for k in range(units):
            xs = x[p, 0 if shared else k]
            w[k], V[k] = _cavity(precision[k], field[k], A[p, k], B[p, k], xs, m[k], v[k])
            mean = math.erf(w[k] / math.sqrt(2.0 * V[k]))
            right[k] = 0.5 * (1.0 + min(max(mean, MARGIN - 1.0), 1.0 - MARGIN))
        _asked(right, before, after, asked)
        for k in range(units):
            xs, ml, vl = x[p, 0 if shared else k], m[k], v[k]
            for i in range(n):
                Vi = max(V[k] - xs[i] * xs[i] * vl[i], LEAST_VARIANCE)
                scale = 1.0 / math.sqrt(2.0 * Vi)
                z = (w[k] - xs[i] * ml[i]) * scale
                ml[i] = z
                vl[i] = scale
                power[i] = double.exp(min(z * z, _FARTHEST * _FARTHEST))
            Al, Bl, Asum, Bsum = A[p, k], B[p, k], A_sum[k], B_sum[k]
            ask = asked[k]
            for i in range(n):
                z = ml[i]
                # e^{z²}(1 + Ut erf z), without a difference of numbers that are nearly equal, and
                # with one division in all.
                signed = ask if z > 0 else -ask
                top, bottom = double.erfcx_ratio(abs(z))
                weight = (1.0 + signed) * power[i] * bottom - signed * top
                g = ask * TWO_OVER_ROOT_PI * vl[i] * bottom / weight
                gamma = g * (g + 2.0 * z * vl[i])
                Bl[i] = damping * Bl[i] + (1.0 - damping) * xs[i] * g
                Al[i] = damping * Al[i] + (1.0 - damping) * xs[i] * xs[i] * gamma
                Asum[i] += Al[i]
                Bsum[i] += Bl[i]


@kernel
def free_entropy(A, B, x, precision, field):
    """Return Σ_p ln P(right) − Σ_pli ln(edge) and Σ_li ln(weight), whose sum is N F.

    edge: −½ ln D + (B m + ½ B² v − ½ A m²)/D, D = 1 + A v; weight: ½ ln(2π/L) + ½ field²/L with
    L the precision.  Of a perceptron ln P is ln H, accurate far out.
    """
    patterns, units, n = A.shape
    shared = x.shape[1] == 1
    m = np.empty(n)
    v = np.empty(n)
    right = np.empty(units)
    nodes = 0.0
    edges = 0.0
    for p in range(patterns):
        z = 0.0
        for k in range(units):
            xs, Al, Bl = x[p, 0 if shared else k], A[p, k], B[p, k]
            w, V = _cavity(precision[k], field[k], Al, Bl, xs, m, v)
            z = w / math.sqrt(2.0 * V)
            right[k] = 0.5 * (1.0 + min(max(math.erf(z), MARGIN - 1.0), 1.0 - MARGIN))
            for i in range(n):
                D = max(1.0 + Al[i] * v[i], LEAST_PRECISION)
                edges -= 0.5 * math.log(D)
                edges += (Bl[i] * m[i] + 0.5 * (Bl[i] * Bl[i] * v[i] - Al[i] * m[i] * m[i])) / D
        if units == 1:
            top, bottom = double.erfcx_ratio(abs(z))
            tail = top / bottom
            nodes += (
                math.log(0.5 * tail) - z * z
                if z < 0
                else math.log1p(-0.5 * tail * math.exp(-z * z))
            )
        else:
            nodes += math.log(majority(right)[0])
    weights = 0.0
    for k in range(units):
        for i in range(n):
            L = precision[k, i]
            weights += 0.5 * math.log(2.0 * math.pi / L) + 0.5 * field[k, i] * field[k, i] / L
    return nodes - edges, weights
