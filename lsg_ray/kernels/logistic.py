"""Logistic regression of every spin on all others: residuals, and coordinate descent on a Gram.

For a spin σ in the field f, the negative log pseudolikelihood log(1 + exp(−2σf)) has the derivative
−(σ − tanh f) and the second derivative 1 − tanh² f ≤ 1.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.kernels.compile import kernel
from lsg_ray.kernels.elementary import exp, log

_F = np.float32

#: Rows whose losses are added in float32.
FLOAT32_ROWS = 64


@kernel
def residuals(signs, fields, loss, curvature, block_loss, block_curvature):
    """Replace fields by σ − tanh f, and add up losses and 1 − tanh² f.

    signs, fields (R, N) float32; loss, curvature (N,) float64, added to; block_loss,
    block_curvature (N,) float32 scratch.
    """
    rows, n = signs.shape
    for start in range(0, rows, FLOAT32_ROWS):
        block_loss[:] = _F(0.0)
        block_curvature[:] = _F(0.0)
        for r in range(start, min(start + FLOAT32_ROWS, rows)):
            s, f = signs[r], fields[r]
            for i in range(n):
                # Clipped to where exp(2|f|)² is finite: beyond, the spin is as good as certain.
                x = min(max(_F(-2.0) * s[i] * f[i], _F(-40.0)), _F(40.0))
                a = exp(x)
                over = _F(1.0) / (_F(1.0) + a)
                p = a * over
                f[i] = _F(2.0) * s[i] * p
                block_curvature[i] += _F(4.0) * p * over
                block_loss[i] += log(_F(1.0) + a)
        for i in range(n):
            loss[i] += block_loss[i]
            curvature[i] += block_curvature[i]


@kernel
def descend_row(J, h, gradient, slope, C, m, scale, l1, l2, allowed, tolerance, sweeps, active):
    """Minimise the quadratic model of a row's loss plus penalty, in place; return the new field.

    With d the change of the row J (N,) and b that of its field h, the model is
    gradient·d + slope·b + ½ scale (b² + 2 b m·d + dᵀCd) + l1 Σ|J + d| + ½ l2 Σ(J + d)².

    gradient (N,) float64 is used up; C (N, N) and m (N,) float64: raw moments; allowed (N,) bool:
    couplings that may differ from zero, not the row's own; active (N,) bool scratch.  Goes over all
    couplings, then over those that are not zero until none moves by ``tolerance``, and again.
    """
    n = len(J)
    full = True
    for _ in range(sweeps):
        moved = 0.0
        step = -slope / scale
        if step != 0.0:
            h += step
            slope = 0.0
            moved = abs(step)
            for k in range(n):
                gradient[k] += scale * step * m[k]
        for j in range(n):
            if not allowed[j] or not (full or active[j]):
                continue
            old = J[j]
            raw = scale * old - gradient[j]
            if raw > l1:
                new = (raw - l1) / (scale + l2)
            elif raw < -l1:
                new = (raw + l1) / (scale + l2)
            else:
                new = 0.0
            active[j] = new != 0.0
            step = new - old
            if step != 0.0:
                J[j] = new
                moved = max(moved, abs(step))
                slope += scale * step * m[j]
                row = C[j]
                for k in range(n):
                    gradient[k] += scale * step * row[k]
        if moved < tolerance:
            if full:
                break
            full = True
        else:
            full = False
    return h
