"""Sweeps of belief propagation on a dense Ising model, without a transcendental per message.

With t_ij = tanh J_ij, x_ji = t_ij m_{j→i} and T_i = tanh H_i, the messages of a node are

    H_i = h_i + ½ log Π_k (1 + x_ki)/(1 − x_ki),      m_{i→j} = (T_i − x_ji)/(1 − T_i x_ji).

Messages of one sweep stand as [j, i] = m_{j→i}.  Those of the next, m_{i→j}, are written over them
at [j, i], so that row j then holds all that comes in to j: its field follows from the row alone,
and the sweep after that is computed while the row is in the first cache, and leaves m_{j→i} at
[j, i] again.  Two sweeps read and write the messages once, and nothing is transposed.
"""

from __future__ import annotations

import math

import numpy as np

from lsg_ray.kernels.compile import inlined, kernel

#: Factors of a product that are gathered side by side.
PRODUCT_LANES = 32
#: Factors after which a pair of products is scaled, so that neither becomes zero: (1 − |x|)^16 is
#: above 10⁻²⁵⁶.
RESCALE_EVERY = 16
#: Below this |x|, tanh x = x + x³ P(x²)/Q(x²) with the coefficients of P and Q, leading first; the
#: leading 1 of Q is left out.
RATIONAL_BELOW = 0.625
_NUMERATOR = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_DENOMINATOR = (1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)


@inlined
def _total(plus, minus, h, old, damping):
    """Return the field of a node, damped; ±350 stands for what float64 cannot tell from ±∞."""
    cavity = h + 0.5 * min(max(math.log(plus) - math.log(minus), -700.0), 700.0)
    return (1.0 - damping) * cavity + damping * old


@inlined
def _lanes_total(y, plus, minus):
    """Return Π (1 + y) and Π (1 − y), both scaled alike; y, padded with zeros."""
    for lane in range(PRODUCT_LANES):
        plus[lane] = 1.0
        minus[lane] = 1.0
    chunks = len(y) // PRODUCT_LANES
    for start in range(0, chunks, RESCALE_EVERY):
        for chunk in range(start, min(start + RESCALE_EVERY, chunks)):
            block = y[chunk * PRODUCT_LANES : (chunk + 1) * PRODUCT_LANES]
            for lane in range(PRODUCT_LANES):
                plus[lane] *= 1.0 + block[lane]
                minus[lane] *= 1.0 - block[lane]
        for lane in range(PRODUCT_LANES):
            scale = 1.0 / (plus[lane] + minus[lane])
            plus[lane] *= scale
            minus[lane] *= scale
    half = PRODUCT_LANES // 2
    while half > 0:
        for lane in range(half):
            p = plus[lane] * plus[lane + half]
            q = minus[lane] * minus[lane + half]
            scale = 1.0 / (p + q)
            plus[lane] = p * scale
            minus[lane] = q * scale
        half //= 2
    return plus[0], minus[0]


@kernel
def couplings(J, beta, max_t, scaled, t):
    """Set scaled (N, N) to βJ and t (N, N) to its tanh; return the largest |t|.

    J (N, N), finite; scaled, t: of one type, and perhaps one array, where βJ is not needed;
    max_t: the bound that |t| is clipped to.  Rows with small
    couplings, as those of most models, take a rational function that becomes vector code (Cephes;
    two units in the last place), others the library's.
    """
    n = len(J)
    largest_t = 0.0
    for i in range(n):
        row, x, y = J[i], scaled[i], t[i]
        row_max = 0.0
        for j in range(n):
            x[j] = beta * row[j]
            row_max = max(row_max, abs(x[j]))
        if row_max < RATIONAL_BELOW:
            for j in range(n):
                z = x[j] * x[j]
                top = (_NUMERATOR[0] * z + _NUMERATOR[1]) * z + _NUMERATOR[2]
                bottom = ((z + _DENOMINATOR[0]) * z + _DENOMINATOR[1]) * z + _DENOMINATOR[2]
                y[j] = x[j] + x[j] * z * (top / bottom)
        else:
            for j in range(n):
                y[j] = max(min(math.tanh(x[j]), max_t), -max_t)
        for j in range(n):
            largest_t = max(largest_t, abs(y[j]))
    return largest_t


@kernel
def column_products(messages, t, plus, minus):
    """Set plus, minus (N,) to Π_j (1 ± t_ji m_{j→i}), scaled alike; messages, t (N, N) [j, i]."""
    n = len(messages)
    plus[:] = 1.0
    minus[:] = 1.0
    for j in range(n):
        m, c = messages[j], t[j]
        for i in range(n):
            x = c[i] * m[i]
            plus[i] *= 1.0 + x
            minus[i] *= 1.0 - x
        if j % RESCALE_EVERY == RESCALE_EVERY - 1:
            _rescale(plus, minus)


@inlined
def _rescale(plus, minus):
    for i in range(len(plus)):
        scale = 1.0 / (plus[i] + minus[i])
        plus[i] *= scale
        minus[i] *= scale


@kernel
def double_sweep(messages, t, h, fields, plus, minus, damping, scratch, lanes):
    """Do two sweeps, in place; return the largest change of a message over both, and of a tanh H.

    messages, t (N, N) float64 or both float32, [j, i] = m_{j→i} and tanh J_ji, zero diagonal;
    h (N,); fields (N,): H of the sweep before, which damping mixes in, H = (1 − damping) H' +
    damping H; plus, minus (N,): `column_products` of the messages, before and after; scratch
    (3, L) of the messages' type, with L the next multiple of `PRODUCT_LANES` above N, plus at least
    one row of zeros behind N; lanes (2, L).  All but the messages' type is float64, products too.
    """
    n = len(messages)
    one = messages.dtype.type(1.0)
    total, y, change = scratch[0], scratch[1], scratch[2]
    lanes_plus, lanes_minus = lanes[0], lanes[1]
    for i in range(n):
        fields[i] = _total(plus[i], minus[i], h[i], fields[i], damping)
        total[i] = math.tanh(fields[i])
        change[i] = 0.0
    plus[:] = 1.0
    minus[:] = 1.0
    largest_move = 0.0
    for j in range(n):
        m, c = messages[j], t[j]
        for i in range(n):
            x = c[i] * m[i]
            y[i] = c[i] * ((total[i] - x) / (one - total[i] * x))
        p, q = _lanes_total(y, lanes_plus, lanes_minus)
        fields[j] = _total(p, q, h[j], fields[j], damping)
        new = messages.dtype.type(math.tanh(fields[j]))
        largest_move = max(largest_move, abs(new - total[j]))
        for i in range(n):
            value = (new - y[i]) / (one - new * y[i])
            change[i] = max(change[i], abs(value - m[i]))
            m[i] = value
            x = c[i] * value
            plus[i] *= 1.0 + x
            minus[i] *= 1.0 - x
        if j % RESCALE_EVERY == RESCALE_EVERY - 1:
            _rescale(plus, minus)
    largest_change = 0.0
    for i in range(n):
        largest_change = max(largest_change, change[i])
    return largest_change, largest_move


@kernel
def pair_sums(messages, t, J, total, C, scratch):
    """Return sums over ordered pairs: log(1 − x_ji²), log(1 + t_ij m_{i→j} m_{j→i}), J_ij C_ij.

    C_ij = (t_ij + m_{i→j} m_{j→i})/(1 + t_ij m_{i→j} m_{j→i}), and goes to C (N, N) unless that is
    empty; messages, t as in `double_sweep`; J (N, N) what t is the tanh of; total (N,) tanh H;
    scratch (2, N).  Products of `RESCALE_EVERY` factors share a logarithm.
    """
    n = len(messages)
    nodes, pairs = scratch[0], scratch[1]
    nodes[:] = 1.0
    pairs[:] = 1.0
    log_nodes, log_pairs, energy = 0.0, 0.0, 0.0
    row = np.empty(n)
    for j in range(n):
        m, c, w = messages[j], t[j], J[j]
        part = 0.0
        for i in range(n):
            x = c[i] * m[i]
            product = m[i] * ((total[i] - x) / (1.0 - total[i] * x))
            joint = 1.0 + c[i] * product
            row[i] = (c[i] + product) / joint
            nodes[i] *= 1.0 - x * x
            pairs[i] *= joint
        for i in range(n):
            part += w[i] * row[i]
        energy += part
        if len(C):
            C[j] = row
            C[j, j] = 1.0
        if j % RESCALE_EVERY == RESCALE_EVERY - 1 or j == n - 1:
            for i in range(n):
                log_nodes += math.log(nodes[i])
                log_pairs += math.log(pairs[i])
            nodes[:] = 1.0
            pairs[:] = 1.0
    return log_nodes, log_pairs, energy
