"""Small matrix products of a layer, with the examples of a mini-batch as the vector axis.

Activations are stored (unit, example), examples contiguous, widths padded to multiples of four and
examples to multiples of sixteen.  Each innermost loop runs over examples with a 2 x 4 tile of
weights held in registers: 16 multiply-adds for 8 loads and 4 stores, near the peak of a core, and
whatever the widths are.  The first product goes with the mean of a weight, the second with its
variance (see `meanfield`).
"""

from __future__ import annotations

from lsg_ray.kernels.compile import inlined, kernel


@kernel
def forward(mu, var, a, mean_z, var_z, n):
    """mean_z = mu @ a and var_z = var @ a² for the first ``n`` examples.

    mu, var (out, in); a (in, examples); mean_z, var_z (out, examples), overwritten.
    """
    n_out, n_in = mu.shape
    for i in range(n_out):
        mean_z[i, :n] = 0
        var_z[i, :n] = 0
    for i in range(0, n_out, 2):
        for k in range(0, n_in, 4):
            _forward_tile(mu, var, a, mean_z, var_z, n, i, k)


@inlined
def _forward_tile(mu, var, a, mean_z, var_z, n, i, k):
    m00, m01, m02, m03 = mu[i, k], mu[i, k + 1], mu[i, k + 2], mu[i, k + 3]
    m10, m11, m12, m13 = mu[i + 1, k], mu[i + 1, k + 1], mu[i + 1, k + 2], mu[i + 1, k + 3]
    v00, v01, v02, v03 = var[i, k], var[i, k + 1], var[i, k + 2], var[i, k + 3]
    v10, v11, v12, v13 = var[i + 1, k], var[i + 1, k + 1], var[i + 1, k + 2], var[i + 1, k + 3]
    for b in range(n):
        a0, a1, a2, a3 = a[k, b], a[k + 1, b], a[k + 2, b], a[k + 3, b]
        mean_z[i, b] += m00 * a0 + m01 * a1 + m02 * a2 + m03 * a3
        mean_z[i + 1, b] += m10 * a0 + m11 * a1 + m12 * a2 + m13 * a3
        a0, a1, a2, a3 = a0 * a0, a1 * a1, a2 * a2, a3 * a3
        var_z[i, b] += v00 * a0 + v01 * a1 + v02 * a2 + v03 * a3
        var_z[i + 1, b] += v10 * a0 + v11 * a1 + v12 * a2 + v13 * a3


@kernel
def forward_mean(weights, a, z, n):
    """Z = weights @ a for the first ``n`` examples; shapes as in `forward`."""
    n_out, n_in = weights.shape
    for i in range(n_out):
        z[i, :n] = 0
    for i in range(0, n_out, 4):
        for k in range(0, n_in, 4):
            _mean_tile(weights, a, z, n, i, k)


@inlined
def _mean_tile(w, a, z, n, i, k):
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
def backward(mu, var, delta, noise_delta, mean_a, var_a, n):
    """mean_a = muᵀ @ delta and var_a = varᵀ @ noise_delta for the first ``n`` examples.

    mu, var (out, in); delta, noise_delta (out, examples); mean_a, var_a (in, examples), written.
    """
    n_out, n_in = mu.shape
    for k in range(n_in):
        mean_a[k, :n] = 0
        var_a[k, :n] = 0
    for k in range(0, n_in, 2):
        for i in range(0, n_out, 4):
            _backward_tile(mu, var, delta, noise_delta, mean_a, var_a, n, i, k)


@inlined
def _backward_tile(mu, var, delta, noise_delta, mean_a, var_a, n, i, k):
    m00, m10, m20, m30 = mu[i, k], mu[i + 1, k], mu[i + 2, k], mu[i + 3, k]
    m01, m11, m21, m31 = mu[i, k + 1], mu[i + 1, k + 1], mu[i + 2, k + 1], mu[i + 3, k + 1]
    v00, v10, v20, v30 = var[i, k], var[i + 1, k], var[i + 2, k], var[i + 3, k]
    v01, v11, v21, v31 = var[i, k + 1], var[i + 1, k + 1], var[i + 2, k + 1], var[i + 3, k + 1]
    for b in range(n):
        d0, d1, d2, d3 = delta[i, b], delta[i + 1, b], delta[i + 2, b], delta[i + 3, b]
        g0, g1 = noise_delta[i, b], noise_delta[i + 1, b]
        g2, g3 = noise_delta[i + 2, b], noise_delta[i + 3, b]
        mean_a[k, b] += m00 * d0 + m10 * d1 + m20 * d2 + m30 * d3
        mean_a[k + 1, b] += m01 * d0 + m11 * d1 + m21 * d2 + m31 * d3
        var_a[k, b] += v00 * g0 + v10 * g1 + v20 * g2 + v30 * g3
        var_a[k + 1, b] += v01 * g0 + v11 * g1 + v21 * g2 + v31 * g3


@kernel
def outer(delta, noise_delta, a, mean_grad, var_grad, n):
    """mean_grad += delta @ aᵀ and var_grad += noise_delta @ (a²)ᵀ, summed over ``n`` examples.

    delta, noise_delta (out, examples); a (in, examples); mean_grad, var_grad (out, in).
    """
    for i in range(0, mean_grad.shape[0], 2):
        for k in range(0, mean_grad.shape[1], 4):
            _outer_tile(delta, noise_delta, a, mean_grad, var_grad, n, i, k)


@inlined
def _outer_tile(delta, noise_delta, a, mean_grad, var_grad, n, i, k):
    zero = delta.dtype.type(0)
    m00 = m01 = m02 = m03 = m10 = m11 = m12 = m13 = zero
    v00 = v01 = v02 = v03 = v10 = v11 = v12 = v13 = zero
    for b in range(n):
        a0, a1, a2, a3 = a[k, b], a[k + 1, b], a[k + 2, b], a[k + 3, b]
        d0, d1, g0, g1 = delta[i, b], delta[i + 1, b], noise_delta[i, b], noise_delta[i + 1, b]
        m00, m01, m02, m03 = m00 + d0 * a0, m01 + d0 * a1, m02 + d0 * a2, m03 + d0 * a3
        m10, m11, m12, m13 = m10 + d1 * a0, m11 + d1 * a1, m12 + d1 * a2, m13 + d1 * a3
        a0, a1, a2, a3 = a0 * a0, a1 * a1, a2 * a2, a3 * a3
        v00, v01, v02, v03 = v00 + g0 * a0, v01 + g0 * a1, v02 + g0 * a2, v03 + g0 * a3
        v10, v11, v12, v13 = v10 + g1 * a0, v11 + g1 * a1, v12 + g1 * a2, v13 + g1 * a3
    mean_grad[i, k] += m00
    mean_grad[i, k + 1] += m01
    mean_grad[i, k + 2] += m02
    mean_grad[i, k + 3] += m03
    mean_grad[i + 1, k] += m10
    mean_grad[i + 1, k + 1] += m11
    mean_grad[i + 1, k + 2] += m12
    mean_grad[i + 1, k + 3] += m13
    var_grad[i, k] += v00
    var_grad[i, k + 1] += v01
    var_grad[i, k + 2] += v02
    var_grad[i, k + 3] += v03
    var_grad[i + 1, k] += v10
    var_grad[i + 1, k + 1] += v11
    var_grad[i + 1, k + 2] += v12
    var_grad[i + 1, k + 3] += v13
