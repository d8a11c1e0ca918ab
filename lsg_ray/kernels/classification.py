"""Classification with given weights, and what training shares with it.

All arrays of a layer are padded with zeros to widths of multiples of four; see
`lsg_ray.kernels.products` for their layout.  Arithmetic is that of the arrays, float32 or float64.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.kernels.compile import inlined, kernel
from lsg_ray.kernels.elementary import exp, log
from lsg_ray.kernels.products import product

#: Losses by the numbers that kernels know them by.
CROSS_ENTROPY, HINGE = 0, 1
#: Examples of a chunk, at most: a layer of them stays in the cache.
CHUNK_EXAMPLES = 256
#: Where scores are larger, or the mean loss smaller, ln Σ exp z and the score of the label are not
#: subtracted in float32, where they cancel.  Elsewhere that costs less than rounding of the scores
#: does; it stays, as ensembles are known by hashes that losses are part of.
LARGE_SCORE, SMALL_LOSS = 128.0, 1e-3


@inlined
def padded(n, multiple):
    """Return n, rounded up to a multiple."""
    return (n + multiple - 1) // multiple * multiple


@kernel
def offsets(widths):
    """Return where padded layers start: weights (layers + 1,), activation rows (layers + 2,)."""
    n_layers = widths.size - 1
    weights = np.zeros(n_layers + 1, np.int64)
    rows = np.zeros(n_layers + 2, np.int64)
    for layer in range(n_layers):
        size = padded(widths[layer], 4) * padded(widths[layer + 1], 4)
        weights[layer + 1] = weights[layer] + size
    for layer in range(n_layers + 1):
        rows[layer + 1] = rows[layer] + padded(widths[layer], 4)
    return weights, rows


@inlined
def matrix(flat, starts, rows, layer):
    """Return the weights (out, in) of a layer as a view of all, by their `offsets`."""
    n_out = rows[layer + 2] - rows[layer + 1]
    n_in = rows[layer + 1] - rows[layer]
    return flat[starts[layer] : starts[layer + 1]].reshape(n_out, n_in)


@inlined
def answers(z, y, n_units, own, top, answer, n):
    """Write each example's score of its label, largest score, and the first class that has it.

    A NaN is the largest score, as in `numpy.argmax`; it equals no score, so it is never right.
    """
    for b in range(n):
        own[b] = z[y[b], b]
        top[b] = z[0, b]
        answer[b] = 0
    for i in range(1, n_units):
        for b in range(n):
            above = z[i, b] > top[b] or (z[i, b] != z[i, b] and top[b] == top[b])
            answer[b] = i if above else answer[b]
            top[b] = z[i, b] if above else top[b]


@kernel
def evaluate(weights, x, y, widths, slope, loss):
    """Classify with given weights and no noise.

    weights (configurations, padded weights); x (chunks, inputs padded, `CHUNK_EXAMPLES`), the
    examples in order, and y (n,) int32.  Returns correct answers (configurations,) int64 and mean
    loss (configurations,) float64.  The first of equal outputs is the answer, as in `numpy.argmax`;
    NaN is never right, nor is z = 0 in parity.
    """
    n_layers = widths.size - 1
    starts, rows = offsets(widths)
    n_examples = y.size
    leak = x.dtype.type(slope)
    correct = np.zeros(weights.shape[0], np.int64)
    total_loss = np.zeros(weights.shape[0])
    a = np.zeros((2, padded(widths.max(), 4), CHUNK_EXAMPLES), x.dtype)
    sums = np.zeros((3, CHUNK_EXAMPLES), x.dtype)
    answer = np.zeros(CHUNK_EXAMPLES, np.int32)
    for chunk in range(x.shape[0]):
        labels = y[chunk * CHUNK_EXAMPLES : min((chunk + 1) * CHUNK_EXAMPLES, n_examples)]
        n_padded = padded(labels.size, 16)
        for c in range(weights.shape[0]):
            below, z = x[chunk], a[0]
            for layer in range(n_layers):
                z = a[layer % 2]
                product(matrix(weights[c], starts, rows, layer), below, z, n_padded)
                if layer + 1 < n_layers:
                    scale = x.dtype.type(1.0 / np.sqrt(widths[layer]))
                    _leaky(z, widths[layer + 1], leak, scale, n_padded)
                    below = z
            hits, value = _score(z, labels, widths[n_layers], loss, sums, answer)
            correct[c] += hits
            total_loss[c] += value
    return correct, total_loss / n_examples


@kernel
def _leaky(z, n_units, slope, scale, n):
    zero = z.dtype.type(0)
    for i in range(n_units):
        for b in range(n):
            z[i, b] = scale * (z[i, b] if z[i, b] > zero else slope * z[i, b])


@kernel
def _score(z, y, n_units, loss, sums, answer):
    n = y.size
    correct = 0
    value = 0.0
    if loss == HINGE:
        for b in range(n):
            agreement = y[b] * z[0, b]
            correct += agreement > 0
            value += max(1.0 - agreement, 0.0)
        return correct, value
    peak, total, right = sums[0], sums[1], sums[2]
    answers(z, y, n_units, right, peak, answer, n)
    for b in range(n):
        total[b] = 0
    for i in range(n_units):
        for b in range(n):
            total[b] += exp(z[i, b] - peak[b])
    largest = z.dtype.type(0)
    for b in range(n):
        largest = max(largest, abs(peak[b]))
        correct += answer[b] == y[b] and right[b] == peak[b]
    for b in range(n):
        value += log(total[b]) + peak[b] - right[b]
    if not (largest <= LARGE_SCORE and value >= SMALL_LOSS * n):
        value = 0.0
        for b in range(n):
            # In float64, as float32 sums may be reordered.
            value += np.float64(log(total[b])) + np.float64(peak[b] - right[b])
    return correct, value
