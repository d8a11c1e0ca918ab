"""The Bethe approximation of a dense Ising model as a function of magnetizations alone.

At a fixed point of belief propagation the two messages of a pair follow from its magnetizations:
m_i = (a + t b)/(1 + t a b) and m_j = (b + t a)/(1 + t a b), with t = tanh J_ij, a = m_{i→j},
b = m_{j→i}, are solved by

    D = (1 − t²)² − 4t (m_i − t m_j)(m_j − t m_i),
    a = 2 (m_i − t m_j)/(1 − t² + √D),        b = 2 (m_j − t m_i)/(1 − t² + √D)

(F. Ricci-Tersenghi, J. Stat. Mech. (2012) P08015).  So N equations H_i = h_i + Σ_j atanh(t b), with
m = tanh H, stand for N² messages.  Each pair is gone through once, in the row of the larger index.
"""

from __future__ import annotations

import math

import numpy as np

from lsg_ray.kernels.cavity import PRODUCT_LANES, RESCALE_EVERY, _lanes_total, _rescale
from lsg_ray.kernels.compile import inlined, kernel

_F = np.float32


@inlined
def _cavities(mi, mj, t):
    """Return m_{i→j} and m_{j→i} of a pair with magnetizations mi, mj."""
    p, q = mi - t * mj, mj - t * mi
    unpaired = 1.0 - t * t
    scale = 2.0 / (unpaired + math.sqrt(max(unpaired * unpaired - 4.0 * t * p * q, 0.0)))
    # For a saturated spin, rounding would give more than 1.
    return max(min(p * scale, 1.0), -1.0), max(min(q * scale, 1.0), -1.0)


@inlined
def _responses(mi, mj, t):
    """Return αβ of a pair as top/bottom; see `hessian`."""
    a, b = _cavities(mi, mj, t)
    square = t * t
    top = square * (1.0 - a * a) * (1.0 - b * b)
    return top, (1.0 - square * a * a) * (1.0 - square * b * b)


@kernel
def neighbour_fields(m, t, fields, scratch):
    """Set fields (N,) to Σ_j atanh(t_ij m_{j→i}), the field that its neighbours exert on a spin.

    m (N,) float64; t (N, N) float64, symmetric, zero diagonal; scratch (5, L) float64 with L the
    next multiple of `PRODUCT_LANES` above N.
    """
    n = len(m)
    plus, minus, y = scratch[0, :n], scratch[1, :n], scratch[2]
    lanes_plus, lanes_minus = scratch[3], scratch[4]
    plus[:] = 1.0
    minus[:] = 1.0
    fields[:] = 0.0
    y[:] = 0.0
    for j in range(1, n):
        row, mj = t[j], m[j]
        for i in range(j):
            a, b = _cavities(m[i], mj, row[i])
            y[i] = row[i] * a
            x = row[i] * b
            plus[i] *= 1.0 + x
            minus[i] *= 1.0 - x
        if j % RESCALE_EVERY == RESCALE_EVERY - 1:
            _rescale(plus[:j], minus[:j])
        p, q = _lanes_total(y[: -(-j // PRODUCT_LANES) * PRODUCT_LANES], lanes_plus, lanes_minus)
        fields[j] = 0.5 * (math.log(p) - math.log(q))
    for i in range(n):
        fields[i] += 0.5 * (math.log(plus[i]) - math.log(minus[i]))


@kernel
def hessian(m, t, matrix, diagonal):
    """Set matrix (N, N) float32 to the Hessian of the Bethe free energy, in units of √(v_i v_j)⁻¹.

    v = 1 − m².  With α = ∂u_{i→j}/∂H_{i→j} = t (1 − a²)/(1 − t²a²), and β of the other direction,

        S_ij = −sign(t) √(αβ)/(1 − αβ),        S_ii = 1 + Σ_j αβ/(1 − αβ).

    The lower triangle only; diagonal (N,) float64 scratch.
    """
    n = len(m)
    diagonal[:] = 1.0
    for j in range(n):
        row, mj, out = t[j], m[j], matrix[j]
        own = 0.0
        for i in range(j):
            top, bottom = _responses(m[i], mj, row[i])
            inverse = 1.0 / (bottom - top)
            out[i] = -math.copysign(math.sqrt(top * bottom) * inverse, row[i])
            diagonal[i] += top * inverse
            own += top * inverse
        diagonal[j] += own
    for i in range(n):
        matrix[i, i] = diagonal[i]


@kernel
def variance_matrix(m, t, matrix, diagonal):
    """Set matrix (N, N) float32 to what tells whether random changes of messages grow.

    Their variances pass from message to message by α² and β², without going back; the growth rate
    is 1 where this matrix, the Hessian's twin, is singular (as zeta functions of graphs, H. Bass,
    Int. J. Math. 3, 717 (1992)): with p = αβ,

        P_ij = −p/(1 − p²),        P_ii = 1 + Σ_j p²/(1 − p²).

    The lower triangle only; diagonal (N,) float64 scratch.
    """
    n = len(m)
    diagonal[:] = 1.0
    for j in range(n):
        row, mj, out = t[j], m[j], matrix[j]
        own = 0.0
        for i in range(j):
            top, bottom = _responses(m[i], mj, row[i])
            factor = top / (bottom * bottom - top * top)
            out[i] = -factor * bottom
            diagonal[i] += top * factor
            own += top * factor
        diagonal[j] += own
    for i in range(n):
        matrix[i, i] = diagonal[i]


@kernel
def bethe_sums(m, t, J, scratch):
    """Return sums over pairs i < j: logs of (1 − t²a²)(1 − t²b²), 1 + t a b, 1 − t²; and J_ij C_ij.

    J (N, N) what t is the tanh of; scratch (3, N).  `RESCALE_EVERY` factors share a logarithm.
    """
    n = len(m)
    nodes, pairs, bonds = scratch[0], scratch[1], scratch[2]
    nodes[:] = 1.0
    pairs[:] = 1.0
    bonds[:] = 1.0
    log_nodes, log_pairs, log_bonds, energy = 0.0, 0.0, 0.0, 0.0
    for j in range(n):
        row, mj, w = t[j], m[j], J[j]
        for i in range(j):
            a, b = _cavities(m[i], mj, row[i])
            square = row[i] * row[i]
            joint = 1.0 + row[i] * a * b
            nodes[i] *= (1.0 - square * a * a) * (1.0 - square * b * b)
            pairs[i] *= joint
            bonds[i] *= 1.0 - square
            energy += w[i] * ((row[i] + a * b) / joint)
        if j % RESCALE_EVERY == RESCALE_EVERY - 1 or j == n - 1:
            for i in range(n):
                log_nodes += math.log(nodes[i])
                log_pairs += math.log(pairs[i])
                log_bonds += math.log(bonds[i])
            nodes[:] = 1.0
            pairs[:] = 1.0
            bonds[:] = 1.0
    return log_nodes, log_pairs, log_bonds, energy


@kernel
def pair_messages(m, t, messages):
    """Set messages (N, N), [j, i] = m_{j→i}, to those that belong to magnetizations."""
    n = len(m)
    for j in range(n):
        row, mj = t[j], m[j]
        for i in range(n):
            messages[j, i] = _cavities(m[i], mj, row[i])[1]


@kernel
def couplings_of_beliefs(m, c, unseen, shares):
    """Set c (N, N) to the couplings with beliefs m and c; return Σ_j atanh m_i − atanh m_{i→j}.

    With p_ab = ((1 + a m_i)(1 + b m_j) + ab c_ij)/4, a, b = ±1,

        J_ij = ¼ log(p_{++} p_{−−} / p_{+−} p_{−+}),
        atanh m_{i→j} = ¼ log(p_{++} p_{+−} / p_{−+} p_{−−}).

    m (N,), c (N, N) float64, symmetric; unseen: least probability of a state, or half of what it
    has among independent spins, if that is less: c is clipped for it.  shares (N,), overwritten.
    """
    n = len(m)
    shares[:] = 0.0
    local = np.empty(n)
    for i in range(n):
        local[i] = math.atanh(m[i])
    for i in range(n):
        c[i, i] = 0.0
        for j in range(i + 1, n):
            x, y = m[i], m[j]
            pp, mm = 0.25 * (1.0 + x) * (1.0 + y), 0.25 * (1.0 - x) * (1.0 - y)
            pm, mp = 0.25 * (1.0 + x) * (1.0 - y), 0.25 * (1.0 - x) * (1.0 + y)
            lowest = -min(pp - min(unseen, 0.5 * pp), mm - min(unseen, 0.5 * mm))
            highest = min(pm - min(unseen, 0.5 * pm), mp - min(unseen, 0.5 * mp))
            quarter = min(max(0.125 * (c[i, j] + c[j, i]), lowest), highest)
            a, b = math.log(pp + quarter), math.log(mm + quarter)
            d, e = math.log(pm - quarter), math.log(mp - quarter)
            c[i, j] = 0.25 * (a + b - d - e)
            c[j, i] = c[i, j]
            shares[i] += local[i] - 0.25 * (a + d - e - b)
            shares[j] += local[j] - 0.25 * (a + e - d - b)


@inlined
def _product(S, x, y):
    """Set y (N,) to S x; S (N, N) symmetric, given by its lower triangle; float32."""
    n = len(x)
    y[:] = _F(0.0)
    for j in range(n):
        row, xj = S[j], x[j]
        total = row[j] * xj
        for i in range(j):
            total += row[i] * x[i]
            y[i] += row[i] * xj
        y[j] += total


@kernel
def conjugate_gradient(S, b, x, tolerance, max_steps, scratch):
    """Set x (N,) to the solution of S x = b; return the steps, or −1 if S is not positive definite.

    S as `hessian` gives it; b, x (N,) float32; tolerance: the residual to reach, relative to |b|;
    scratch (3, N) float32.
    """
    n = len(b)
    r, p, y = scratch[0], scratch[1], scratch[2]
    x[:] = _F(0.0)
    square = 0.0
    for i in range(n):
        r[i] = b[i]
        p[i] = b[i]
        square += b[i] * b[i]
    target = tolerance * tolerance * square
    for step in range(max_steps):
        if square <= target:
            return step
        _product(S, p, y)
        curvature = 0.0
        for i in range(n):
            curvature += p[i] * y[i]
        if not curvature > 0.0:
            return -1
        length = _F(square / curvature)
        new = 0.0
        for i in range(n):
            x[i] += length * p[i]
            r[i] -= length * y[i]
            new += r[i] * r[i]
        ratio = _F(new / square)
        square = new
        for i in range(n):
            p[i] = r[i] + ratio * p[i]
    return max_steps


@kernel
def energy_change(m, change, t, J):
    """Return the change of Σ_{i<j} J_ij C_ij with magnetizations, along ∂m (N,).

    With a, b the cavity means of a pair, C = (t + ab)/(1 + tab) and m_i = (a + tb)/(1 + tab),

        ∂C = {∂m_i [b(1 − t²a²) − at(1 − b²)] + ∂m_j [a(1 − t²b²) − bt(1 − a²)]}/(1 − t²a²b²).
    """
    n = len(m)
    total = 0.0
    for j in range(1, n):
        row, mj, w, dj = t[j], m[j], J[j], change[j]
        own = 0.0
        for i in range(j):
            a, b = _cavities(m[i], mj, row[i])
            ta, tb = row[i] * a, row[i] * b
            to_i = b * (1.0 - ta * ta) - ta * (1.0 - b * b)
            to_j = a * (1.0 - tb * tb) - tb * (1.0 - a * a)
            own += w[i] * (change[i] * to_i + dj * to_j) / max(1.0 - ta * tb * a * b, 1e-300)
        total += own
    return total


@kernel
def lanczos(S, basis, diagonal, off_diagonal, first, last):
    """Make Lanczos steps first … last − 1 on a symmetric matrix; return the steps done in all.

    S (N, N) float32 by its lower triangle; basis (≥ last + 1, N) float32, of which rows up to
    ``first`` are there, orthonormal; diagonal, off_diagonal (≥ last,) float64 of the tridiagonal
    matrix, filled.  Fewer steps than asked for where the vectors span an invariant space.
    """
    n = S.shape[0]
    for k in range(first, last):
        v, y = basis[k], basis[k + 1]
        _product(S, v, y)
        projection = 0.0
        for i in range(n):
            projection += v[i] * y[i]
        diagonal[k] = projection
        size = 0.0
        # Twice is enough (Parlett): what rounding leaves of earlier vectors goes in the second.
        for _ in range(2):
            for j in range(k + 1):
                old = basis[j]
                overlap = 0.0
                for i in range(n):
                    overlap += old[i] * y[i]
                part = _F(overlap)
                for i in range(n):
                    y[i] -= part * old[i]
        for i in range(n):
            size += y[i] * y[i]
        size = math.sqrt(size)
        off_diagonal[k] = size
        if size <= 1e-6 * (abs(projection) + 1.0):
            return k + 1
        scale = _F(1.0 / size)
        for i in range(n):
            y[i] *= scale
    return last
