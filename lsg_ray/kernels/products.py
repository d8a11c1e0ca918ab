"""Small matrix products of a layer, with the examples of a mini-batch as the vector axis.

Activations are stored (unit, example), examples contiguous, widths padded to multiples of four and
examples to multiples of sixteen.  Each innermost loop runs over examples with a 4 x 4 tile of
weights held in registers: 16 multiply-adds for 8 loads and 4 stores, near the peak of a core,
whatever the widths are.  All arrays are two-dimensional, float32 or float64.
"""

from __future__ import annotations

from lsg_ray.kernels.compile import inlined, kernel


@kernel
def product(w, a, z, n):
    """Z = w @ a for the first ``n`` examples: w (out, in), a (in, examples), z (out, examples).

    Weights are read one by one, so w may be a transposed view.
    """
    for i in range(0, w.shape[0], 4):
        z[i : i + 4, :n] = 0
        for k in range(0, w.shape[1], 4):
            _product_tile(w, a, z, n, i, k)


@inlined
def _product_tile(w, a, z, n, i, k):
    w00, w01, w02, w03 = w[i, k], w[i, k + 1], w[i, k + 2], w[i, k + 3]
    w10, w11, w12, w13 = w[i + 1, k], w[i + 1, k + 1], w[i + 1, k + 2], w[i + 1, k + 3]
    w20, w21, w22, w23 = w[i + 2, k], w[i + 2, k + 1], w[i + 2, k + 2], w[i + 2, k + 3]
    w30, w31, w32, w33 = w[i + 3, k], w[i + 3, k + 1], w[i + 3, k + 2], w[i + 3, k + 3]
    for b in range(n):
        a0, a1, a2, a3 = a[k, b], a[k + 1, b], a[k + 2, b], a[k + 3, b]
        z[i, b] += w00 * a0 + w01 * a1 + w02 * a2 + w03 * a3
        z[i + 1, b] += w10 * a0 + w11 * a1 + w12 * a2 + w13 * a3
        z[i + 2, b] += w20 * a0 + w21 * a1 + w22 * a2 + w23 * a3
        z[i + 3, b] += w30 * a0 + w31 * a1 + w32 * a2 + w33 * a3


@kernel
def outer(d, a, g, n):
    """Add d @ aᵀ over ``n`` examples to g: d (out, examples), a (in, examples), g (out, in)."""
    for i in range(0, g.shape[0], 4):
        for k in range(0, g.shape[1], 4):
            _outer_tile(d, a, g, n, i, k)


@inlined
def _outer_tile(d, a, g, n, i, k):
    zero = d.dtype.type(0)
    g00 = g01 = g02 = g03 = g10 = g11 = g12 = g13 = zero
    g20 = g21 = g22 = g23 = g30 = g31 = g32 = g33 = zero
    for b in range(n):
        a0, a1, a2, a3 = a[k, b], a[k + 1, b], a[k + 2, b], a[k + 3, b]
        d0, d1, d2, d3 = d[i, b], d[i + 1, b], d[i + 2, b], d[i + 3, b]
        g00, g01, g02, g03 = g00 + d0 * a0, g01 + d0 * a1, g02 + d0 * a2, g03 + d0 * a3
        g10, g11, g12, g13 = g10 + d1 * a0, g11 + d1 * a1, g12 + d1 * a2, g13 + d1 * a3
        g20, g21, g22, g23 = g20 + d2 * a0, g21 + d2 * a1, g22 + d2 * a2, g23 + d2 * a3
        g30, g31, g32, g33 = g30 + d3 * a0, g31 + d3 * a1, g32 + d3 * a2, g33 + d3 * a3
    g[i, k], g[i, k + 1], g[i, k + 2], g[i, k + 3] = (
        g[i, k] + g00,
        g[i, k + 1] + g01,
        g[i, k + 2] + g02,
        g[i, k + 3] + g03,
    )
    g[i + 1, k], g[i + 1, k + 1], g[i + 1, k + 2], g[i + 1, k + 3] = (
        g[i + 1, k] + g10,
        g[i + 1, k + 1] + g11,
        g[i + 1, k + 2] + g12,
        g[i + 1, k + 3] + g13,
    )
    g[i + 2, k], g[i + 2, k + 1], g[i + 2, k + 2], g[i + 2, k + 3] = (
        g[i + 2, k] + g20,
        g[i + 2, k + 1] + g21,
        g[i + 2, k + 2] + g22,
        g[i + 2, k + 3] + g23,
    )
    g[i + 3, k], g[i + 3, k + 1], g[i + 3, k + 2], g[i + 3, k + 3] = (
        g[i + 3, k] + g30,
        g[i + 3, k + 1] + g31,
        g[i + 3, k + 2] + g32,
        g[i + 3, k + 3] + g33,
    )
