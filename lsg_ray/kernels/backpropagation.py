"""Training of one network of real weights, the twin of one of binary weights, by its gradient.

A layer is z = W a, its activation a' = LeakyReLU(z) / sqrt(fan_in), the output layer z itself; with
δ = ∂L/∂z

    ∂L/∂W = δ aᵀ,     ∂L/∂a = Wᵀ δ.

The network is that of `lsg_ray.kernels.meanfield` at μ = W and no variance; arrays are laid out as
there.  One call trains one network on one thread and releases the interpreter lock.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.kernels.classification import CHUNK_EXAMPLES, matrix, offsets, padded
from lsg_ray.kernels.compile import kernel
from lsg_ray.kernels.descent import descend, loss_gradient, shuffle
from lsg_ray.kernels.examples import gather
from lsg_ray.kernels.products import outer, product


@kernel
def accumulate_gradient(a, y, n, widths, starts, rows, weights, slope, loss, work, grad):
    """Add one chunk's contribution to the gradient.

    a (rows, examples): inputs, zero beyond example ``n``, the rest is overwritten; y (n,) labels;
    weights flat padded; work (3, widest + 2, examples) scratch; grad flat padded: δ aᵀ, summed over
    examples.  Returns the summed loss and the number of correct answers.
    """
    n_layers = widths.size - 1
    n_padded = padded(n, 16)
    widest = work.shape[1] - 2
    z, delta, below = work[0], work[1], work[2]
    zero, one = a.dtype.type(0), a.dtype.type(1)
    for layer in range(n_layers):
        here, above = slice(rows[layer], rows[layer + 1]), slice(rows[layer + 1], rows[layer + 2])
        if layer + 1 == n_layers:
            product(matrix(weights, starts, rows, layer), a[here], z, n_padded)
            break
        hidden = a[above]
        product(matrix(weights, starts, rows, layer), a[here], hidden, n_padded)
        steep = one / np.sqrt(a.dtype.type(widths[layer]))
        flat = steep * slope
        for i in range(widths[layer + 1]):
            for b in range(n_padded):
                hidden[i, b] *= steep if hidden[i, b] > zero else flat
    value, correct = loss_gradient(
        z, y, widths[n_layers], loss, delta, work[0, widest], work[0, widest + 1],
        work[1, widest], work[1, widest + 1], work[2, widest], n, n_padded,
    )  # fmt: skip
    for layer in range(n_layers - 1, -1, -1):
        here = slice(rows[layer], rows[layer + 1])
        for i in range(widths[layer + 1], rows[layer + 2] - rows[layer + 1]):
            delta[i, :n_padded] = 0
        outer(delta, a[here], matrix(grad, starts, rows, layer), n_padded)
        if layer > 0:
            product(matrix(weights, starts, rows, layer).T, delta, below, n_padded)
            steep = one / np.sqrt(a.dtype.type(widths[layer - 1]))
            flat = steep * slope
            for i in range(widths[layer]):
                for b in range(n_padded):
                    below[i, b] *= steep if a[rows[layer] + i, b] > zero else flat
            delta, below = below, delta
    return value, correct


@kernel
def train(
    x, y, weights, order_state, widths, slope, loss, batch_size, epochs, adam, rate, decay_steps,
    decay_factor, momentum, beta1, beta2, epsilon, gamma, history, times, snapshots,
):  # fmt: skip
    """Train the weights of one network in place; arguments as in `lsg_ray.kernels.meanfield.train`.

    A mini-batch of all examples is taken in their order, which leaves sums of the gradient alone.
    """
    n_layers = widths.size - 1
    starts, rows = offsets(widths)
    columns = padded(min(batch_size, CHUNK_EXAMPLES), 16)
    a = np.zeros((rows[n_layers + 1], columns), weights.dtype)
    work = np.zeros((3, padded(widths.max(), 4) + 2, columns), weights.dtype)
    grad = np.empty_like(weights)
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    order, labels = np.arange(x.shape[0]), np.empty(columns, np.int32)
    leak, decay = weights.dtype.type(slope), weights.dtype.type(gamma)
    step, taken = 0, 0
    while taken < times.size and times[taken] == 0:
        snapshots[taken] = weights
        taken += 1
    for epoch in range(epochs):
        if batch_size < x.shape[0]:
            shuffle(order, order_state)
        for start in range(0, x.shape[0], batch_size):
            n_batch = min(batch_size, x.shape[0] - start)
            grad[:] = 0
            for chunk in range(start, start + n_batch, columns):
                n = min(columns, start + n_batch - chunk)
                gather(x, y, order, chunk, n, a, labels)
                value, correct = accumulate_gradient(
                    a, labels, n, widths, starts, rows, weights, leak, loss, work, grad
                )
                history[epoch, 0] += value / x.shape[0]
                history[epoch, 1] += correct / x.shape[0]
            factor = weights.dtype.type(1.0 / n_batch)
            for i in range(weights.size):
                grad[i] = grad[i] * factor + decay * weights[i]
            step += 1
            descend(
                weights, grad, first, second, step, adam, rate, decay_steps, decay_factor, momentum,
                beta1, beta2, epsilon,
            )  # fmt: skip
            while taken < times.size and times[taken] == step:
                snapshots[taken] = weights
                taken += 1
