"""Mean-field training of one network of binary weights (liquid-like paper, App. A).

A weight is +1 with probability sigmoid(θ), so it has mean μ = tanh(θ/2) and variance s² = 1 − μ².
A layer sees z = μ a + sqrt(s² a²) ε with ε ~ N(0, 1) drawn afresh per mini-batch, unit and example;
the activation is LeakyReLU(z) / sqrt(fan_in), the output layer is z itself.  With δ = ∂L/∂z and
g = δ ε / sqrt(s² a²):

    ∂L/∂θ = [δ aᵀ − μ ⊙ g (a²)ᵀ] ⊙ (1 − μ²)/2,     ∂L/∂a = μᵀ δ + a ⊙ s²ᵀ g.

All arrays of a layer are padded with zeros to widths of multiples of four; θ = 0 with no input and
no output stays 0, so only the outputs need care.  Every kernel takes float32 or
float64 arrays.  One call trains one network on one thread and releases the interpreter lock.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.kernels.classification import CHUNK_EXAMPLES, matrix, offsets, padded
from lsg_ray.kernels.compile import inlined, kernel
from lsg_ray.kernels.descent import descend, loss_gradient, shuffle
from lsg_ray.kernels.elementary import RANDOM_STREAMS, exp, normals
from lsg_ray.kernels.examples import gather
from lsg_ray.kernels.products import outer, product

#: Variances are at least this in 1/sqrt, which so stays finite in float32.
MIN_VARIANCE = 1e-30


@kernel
def moments_of_fields(theta, mu, var):
    """Mu = tanh(θ/2) and var = 1 − μ², elementwise over flat arrays."""
    one = theta.dtype.type(1)
    for i in range(theta.size):
        e = exp(-abs(theta[i]))
        r = one / (one + e)
        m = (one - e) * r
        mu[i] = m if theta[i] >= 0 else -m
        var[i] = 4 * e * r * r


@kernel
def _hidden_layer(mean_z, var_z, noise, a, squares, n_units, slope, scale, n):
    """Turn noise ε into ε/sqrt(v) in place, and write the next layer's activations and a²."""
    tiny = a.dtype.type(MIN_VARIANCE)
    one = a.dtype.type(1)
    zero = a.dtype.type(0)
    for i in range(n_units):
        for b in range(n):
            v = var_z[i, b]
            r = noise[i, b] * (one / np.sqrt(max(v, tiny)))
            noise[i, b] = r
            z = mean_z[i, b] + v * r
            z = scale * (z if z > zero else slope * z)
            a[i, b] = z
            squares[i, b] = z * z


@kernel
def _output_layer(mean_z, var_z, noise, n_units, n):
    """As `_hidden_layer` without activation: z replaces ``mean_z``."""
    tiny = noise.dtype.type(MIN_VARIANCE)
    one = noise.dtype.type(1)
    for i in range(n_units):
        for b in range(n):
            v = var_z[i, b]
            r = noise[i, b] * (one / np.sqrt(max(v, tiny)))
            noise[i, b] = r
            mean_z[i, b] += v * r


@kernel
def _hidden_gradient(mean_a, var_a, a, noise, n_units, slope, scale, delta, noise_delta, n):
    """δ and g of a hidden layer from the two back-propagated products."""
    zero = a.dtype.type(0)
    steep, flat = scale, scale * slope
    for i in range(n_units):
        for b in range(n):
            d = mean_a[i, b] + a[i, b] * var_a[i, b]
            d *= steep if a[i, b] > zero else flat
            delta[i, b] = d
            noise_delta[i, b] = d * noise[i, b]


@kernel
def accumulate_gradient(
    a, squares, noise, y, n, widths, starts, rows, frozen, mu, var, slope, loss, work, mean_grad,
    var_grad,
):  # fmt: skip
    """Add one chunk's contribution to the gradient of the layers that are not frozen.

    a, squares (rows, examples): inputs and their squares, zero beyond example ``n``, the rest is
    overwritten; noise (rows − inputs, examples): ε per unit, overwritten; y (n,) labels; frozen
    (layers,) bool; mu, var flat padded; work (6, widest + 2, examples) scratch; mean_grad,
    var_grad flat padded: δ aᵀ and g (a²)ᵀ, summed over examples.  Returns the summed loss and the
    number of correct answers.
    """
    n_layers = widths.size - 1
    n_padded = padded(n, 16)
    widest = work.shape[1] - 2
    mean_z, var_z, peak, total = work[0], work[1], work[0, widest], work[0, widest + 1]
    own, top, answer = work[1, widest], work[1, widest + 1], work[2, widest]
    for layer in range(n_layers):
        here, above = slice(rows[layer], rows[layer + 1]), slice(rows[layer + 1], rows[layer + 2])
        product(matrix(mu, starts, rows, layer), a[here], mean_z, n_padded)
        product(matrix(var, starts, rows, layer), squares[here], var_z, n_padded)
        epsilon = noise[rows[layer + 1] - rows[1] :]
        if layer + 1 < n_layers:
            scale = a.dtype.type(1.0 / np.sqrt(widths[layer]))
            _hidden_layer(
                mean_z,
                var_z,
                epsilon,
                a[above],
                squares[above],
                widths[layer + 1],
                slope,
                scale,
                n_padded,
            )
        else:
            _output_layer(mean_z, var_z, epsilon, widths[layer + 1], n_padded)
    delta, noise_delta, delta_below, noise_delta_below = work[2], work[3], work[4], work[5]
    value, correct = loss_gradient(
        mean_z, y, widths[n_layers], loss, delta, peak, total, own, top, answer, n, n_padded
    )
    epsilon = noise[rows[n_layers] - rows[1] :]
    for i in range(widths[n_layers]):
        for b in range(n_padded):
            noise_delta[i, b] = delta[i, b] * epsilon[i, b]
    # Errors are needed no further down than the lowest layer that learns.
    lowest = 0
    while lowest < n_layers and frozen[lowest]:
        lowest += 1
    for layer in range(n_layers - 1, lowest - 1, -1):
        here = slice(rows[layer], rows[layer + 1])
        for i in range(widths[layer + 1], rows[layer + 2] - rows[layer + 1]):
            delta[i, :n_padded] = 0
            noise_delta[i, :n_padded] = 0
        if not frozen[layer]:
            outer(delta, a[here], matrix(mean_grad, starts, rows, layer), n_padded)
            outer(noise_delta, squares[here], matrix(var_grad, starts, rows, layer), n_padded)
        if layer > lowest:
            product(matrix(mu, starts, rows, layer).T, delta, mean_z, n_padded)
            product(matrix(var, starts, rows, layer).T, noise_delta, var_z, n_padded)
            scale = a.dtype.type(1.0 / np.sqrt(widths[layer - 1]))
            _hidden_gradient(
                mean_z,
                var_z,
                a[here],
                noise[rows[layer] - rows[1] :],
                widths[layer],
                slope,
                scale,
                delta_below,
                noise_delta_below,
                n_padded,
            )
            delta, delta_below = delta_below, delta
            noise_delta, noise_delta_below = noise_delta_below, noise_delta
    return value, correct


@kernel
def gradient_of_fields(theta, mu, var, mean_grad, var_grad, gamma, n, grad):
    """Grad = [mean_grad − μ var_grad] (1 − μ²)/2 / n + γ θ, elementwise over flat arrays."""
    factor = theta.dtype.type(0.5 / n)
    decay = theta.dtype.type(gamma)
    for i in range(theta.size):
        chain = (mean_grad[i] - mu[i] * var_grad[i]) * var[i]
        grad[i] = chain * factor + decay * theta[i]


@inlined
def _squared(a, squares, n_features, n):
    for k in range(n_features):
        for b in range(padded(n, 16)):
            squares[k, b] = a[k, b] * a[k, b]


@kernel
def train(
    x, y, theta, bits_state, order_state, widths, frozen, slope, loss, batch_size, epochs,
    adam, rate, decay_steps, decay_factor, momentum, beta1, beta2, epsilon, gamma, history, times,
    snapshots,
):  # fmt: skip
    """Train the fields of one network in place.

    x (P, inputs) and y (P,) int32, the training set; theta flat padded; bits_state (4, 64) uint32
    and order_state (1,) uint64, random states, advanced; widths (layers + 1,) int64; frozen
    (layers,) bool; adam true for Adam, else SGD with momentum; decay_steps 0 for a constant rate;
    history (epochs, 2) float64: mean loss and accuracy while training; times (S,) int64, steps,
    ascending, after which the fields are copied to snapshots (S, theta.size).
    """
    kind = theta.dtype.type
    n_layers = widths.size - 1
    starts, rows = offsets(widths)
    columns = padded(min(batch_size, CHUNK_EXAMPLES), 16)
    n_rows = rows[n_layers + 1]
    a, squares = np.zeros((n_rows, columns), theta.dtype), np.zeros((n_rows, columns), theta.dtype)
    n_noise = (n_rows - rows[1]) * columns
    n_drawn = padded(n_noise, 2 * RANDOM_STREAMS)
    bits = np.empty((n_drawn // RANDOM_STREAMS, RANDOM_STREAMS), np.uint32)
    deviates = np.empty(n_drawn, np.float32)
    noise = deviates[:n_noise].reshape(n_rows - rows[1], columns)
    work = np.zeros((6, padded(widths.max(), 4) + 2, columns), theta.dtype)
    mu, var, grad = np.empty_like(theta), np.empty_like(theta), np.empty_like(theta)
    mean_grad, var_grad = np.empty_like(theta), np.empty_like(theta)
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    order, labels = np.arange(x.shape[0]), np.empty(columns, np.int32)
    leak = kind(slope)
    step, taken = 0, 0
    while taken < times.size and times[taken] == 0:
        snapshots[taken] = theta
        taken += 1
    for epoch in range(epochs):
        shuffle(order, order_state)
        for start in range(0, x.shape[0], batch_size):
            n_batch = min(batch_size, x.shape[0] - start)
            moments_of_fields(theta, mu, var)
            mean_grad[:] = 0
            var_grad[:] = 0
            for chunk in range(start, start + n_batch, columns):
                n = min(columns, start + n_batch - chunk)
                gather(x, y, order, chunk, n, a, labels)
                _squared(a, squares, x.shape[1], n)
                normals(bits_state, bits, deviates)
                value, correct = accumulate_gradient(
                    a, squares, noise, labels, n, widths, starts, rows, frozen, mu, var, leak, loss,
                    work, mean_grad, var_grad,
                )  # fmt: skip
                history[epoch, 0] += value / x.shape[0]
                history[epoch, 1] += correct / x.shape[0]
            gradient_of_fields(theta, mu, var, mean_grad, var_grad, gamma, n_batch, grad)
            for layer in range(n_layers):
                if frozen[layer]:
                    grad[starts[layer] : starts[layer + 1]] = 0
            step += 1
            descend(
                theta, grad, first, second, step, adam, rate, decay_steps, decay_factor, momentum,
                beta1, beta2, epsilon,
            )  # fmt: skip
            while taken < times.size and times[taken] == step:
                snapshots[taken] = theta
                taken += 1
