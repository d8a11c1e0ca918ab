"""Training of one ReLU network, step by step within the caches of one core.

A layer is z_l = W_l a_{l−1} + b_l, its activation a_l = max(z_l, 0) (leaky with a slope), the
scores α z_L; with δ = ∂L/∂z

    ∂L/∂W_l = δ_lᵀ a_{l−1},     δ_{l−1} = (δ_l W_l) ∘ 1[z_{l−1} > 0].

One mini-batch goes through all of it before the next begins.  Of sparse examples
(`lsg_ray.kernels.sparse`) the gradient of the first layer is made tile by tile of its inputs, and
each tile of weights is moved while it is in the first cache: a step reads and writes weights and
moments once, and nothing else of their size.

Activations are (example, unit), rows of examples; a batch is padded to a multiple of four with rows
of zeros.  Layers other than a sparse first one are matrices (out, in), in one flat array, padded
with zeros to multiples of 4 and 16 by `Shape`; a bias is the weight of one more input, which is 1.
Sums over inputs and over examples are in their order, so they do not depend on the processor.
"""

from __future__ import annotations

from collections import namedtuple
from typing import NamedTuple

import numpy as np

from lsg_ray.kernels.classification import CROSS_ENTROPY, padded
from lsg_ray.kernels.compile import inlined, kernel
from lsg_ray.kernels.descent import descend, loss_gradient
from lsg_ray.kernels.products import product
from lsg_ray.kernels.sparse import add_gradient, add_product


class Rule(NamedTuple):
    """The optimizer, as of `lsg_ray.kernels.descent.descend`, and the penalty γ."""

    adam: bool
    rate: float
    decay_steps: int
    decay_factor: float
    momentum: float
    beta1: float
    beta2: float
    epsilon: float
    gamma: float


#: Scratch of a mini-batch.  a (rows, columns): activations of all layers side by side; labels
#: (rows,); turned: the largest layer, transposed; z (rows, classes); scores (2, classes, rows), z
#: and δ; work (5, rows); deltas (2, rows, widest), δ of two layers; grad: of the flat weights.
_Room = namedtuple("_Room", "a labels turned z scores work deltas grad")


@kernel
def _aligned(count):
    """Return zeros (count,) float32 that begin with a cache line, as vectors of AVX-512 should."""
    room = np.zeros(count + 16, np.float32)
    skipped = -(room.ctypes.data // 4) % 16
    return room[skipped : skipped + count]


@kernel
def _room(batch, widths, layers, size):
    """Return scratch for mini-batches, and zeros where it is padded."""
    rows, lanes, last = padded(batch, 4), padded(batch, 16), layers[widths.size - 2]
    columns, widest = last[3] + last[2] + 16, layers[:, 2].max() + 16
    classes = widths[widths.size - 1]
    return _Room(
        _aligned(rows * columns).reshape(rows, columns),
        np.empty(rows, np.int64),
        _aligned(widest * (padded(widths[1:].max(), 16) + 16)),
        _aligned(rows * padded(classes, 16)).reshape(rows, padded(classes, 16)),
        _aligned(2 * padded(classes, 4) * lanes).reshape(2, padded(classes, 4), lanes),
        _aligned(5 * lanes).reshape(5, lanes),
        _aligned(2 * rows * widest).reshape(2, rows, widest),
        _aligned(size),
    )


@inlined
def _matrix(flat, layers, layer):
    """Return the weights (out, in) of a layer, padded, as a view."""
    begin, rows, columns = layers[layer, 0], layers[layer, 1], layers[layer, 2]
    return flat[begin : begin + rows * columns].reshape(rows, columns)


@inlined
def _activate(a, n, units, biases, slope):
    """Replace z by the activations; with biases, the unit after them is 1."""
    for b in range(n):
        for i in range(units):
            a[b, i] = a[b, i] if a[b, i] > 0 else slope * a[b, i]
        if biases:
            a[b, units] = 1


@kernel
def _forward(a, n, first, layers, widths, biases, slope, flat, turned, z):
    """Compute the activations of layers after ``first``, and z (examples, classes) of the last."""
    n_layers = widths.size - 1
    n_rows = padded(n, 4)
    for layer in range(first, n_layers):
        weights = _matrix(flat, layers, layer)
        inputs, width = widths[layer] + biases, padded(widths[layer + 1], 16)
        # Rows a power of two long would all be at the same few places of the caches.
        across = turned[: inputs * (width + 16)].reshape(inputs, width + 16)
        for i in range(weights.shape[0]):
            for k in range(inputs):
                across[k, i] = weights[i, k]
        across[:, weights.shape[0] :] = 0
        below = a[:n_rows, layers[layer, 3] : layers[layer, 3] + inputs]
        if layer + 1 == n_layers:
            product(below, across, z[:n_rows], width)
        else:
            above = a[:n_rows, layers[layer + 1, 3] :]
            product(below, across, above, width)
            _activate(above, n, widths[layer + 1], biases, slope)


@kernel
def _backward(a, n, first, layers, widths, slope, flat, scores, delta, below, grad):
    """Write the gradient of layers from ``first`` on; return δ of the layer below them.

    scores (classes, examples): δ of the scores; delta, below (examples, widest) scratch.
    """
    n_layers = widths.size - 1
    n_rows, one = padded(n, 4), a.dtype.type(1)
    for layer in range(n_layers - 1, first - 1, -1):
        weights, slopes = _matrix(flat, layers, layer), _matrix(grad, layers, layer)
        units, width = widths[layer + 1], weights.shape[1]
        here = a[:n_rows, layers[layer, 3] : layers[layer, 3] + width]
        if layer + 1 == n_layers:
            product(scores[:, :n], here, slopes, width)
            if layer > 0:
                product(scores.T[:n_rows, :units], weights, delta, width)
        else:
            product(delta.T[: weights.shape[0], :n], here, slopes, width)
            if layer > 0:
                product(delta[:n_rows, :units], weights, below, width)
                delta, below = below, delta
        if layer > 0:
            for b in range(n):
                for i in range(widths[layer]):
                    delta[b, i] *= one if here[b, i] > 0 else slope
                delta[b, widths[layer] : width] = 0
    return delta


@kernel
def _gradients(n, first, layers, widths, biases, slope, scale, flat, room):
    """Write the gradient of layers from ``first`` on, of the mean loss over α² of a batch.

    Activations of ``first`` and labels are in ``room``.  Returns the summed loss, the number of
    correct answers, and δ of the layer below (examples, widest).
    """
    a, z, scores, work = room.a, room.z, room.scores, room.work
    classes = widths[widths.size - 1]
    _forward(a, n, first, layers, widths, biases, slope, flat, room.turned, z)
    for i in range(classes):
        for b in range(n):
            scores[0, i, b] = scale * z[b, i]
    value, correct = loss_gradient(
        scores[0], room.labels, classes, CROSS_ENTROPY, scores[1], work[0], work[1], work[2],
        work[3], work[4], n, padded(n, 16),
    )  # fmt: skip
    share = a.dtype.type(1.0 / (n * scale))
    for i in range(classes):
        for b in range(n):
            scores[1, i, b] *= share
    delta = _backward(
        a, n, first, layers, widths, slope, flat, scores[1], room.deltas[0], room.deltas[1],
        room.grad,
    )  # fmt: skip
    return value, correct, delta


@kernel
def _move(weights, grad, first, second, step, rule):
    """Make a step of flat weights, whose gradient has a penalty γ besides."""
    if rule.gamma > 0:
        decay = weights.dtype.type(rule.gamma)
        for i in range(weights.size):
            grad[i] += decay * weights[i]
    descend(
        weights, grad, first, second, step, rule.adam, rule.rate, rule.decay_steps,
        rule.decay_factor, rule.momentum, rule.beta1, rule.beta2, rule.epsilon,
    )  # fmt: skip


@kernel
def train_sparse(
    splits, entries, table, y, order, batch, weights, moments, flat, flat_moments, widths, layers,
    biases, slope, scale, step, rule, sums,
):  # fmt: skip
    """Take the steps of one network through some examples of sparse rows, in place.

    splits, entries, table: as in `lsg_ray.kernels.sparse`; y (P,) labels; order (n,): the examples
    in mini-batches of ``batch``; weights (blocks, inputs, width), of the first layer; flat: its
    biases and the other layers; moments, flat_moments (2, …): of each; widths (layers + 1,);
    layers (layers, 4): start, rows, columns, column of their inputs; step: number of steps before;
    sums (2,) float64: summed loss and correct answers are added to them.
    """
    units, (blocks, inputs, width) = widths[1], weights.shape
    room = _room(min(batch, order.size), widths, layers, flat.size)
    a, grad = room.a, room.grad
    tile = -(-inputs // (splits.shape[1] - 1))
    own = _aligned(tile * width)
    for begin in range(0, order.size, batch):
        rows = order[begin : begin + batch]
        n = rows.size
        a[n:] = 0
        for b in range(n):
            room.labels[b] = y[rows[b]]
            a[b, : layers[0, 2]] = flat[: layers[0, 2]]
        add_product(splits, entries, table, rows, weights, a)
        _activate(a, n, units, biases, slope)
        value, correct, delta = _gradients(n, 1, layers, widths, biases, slope, scale, flat, room)
        sums[0] += value
        sums[1] += correct
        if biases:
            grad[:units] = 0
            for b in range(n):
                for i in range(units):
                    grad[i] += delta[b, i]
        step += 1
        _move(flat, grad, flat_moments[0], flat_moments[1], step, rule)
        for block in range(blocks):
            for part in range(splits.shape[1] - 1):
                here = slice(part * tile, min((part + 1) * tile, inputs))
                size = (here.stop - here.start) * width
                own[:] = 0
                add_gradient(
                    splits, entries, table, rows, part, delta, block * width, here.start,
                    own.reshape(tile, width),
                )  # fmt: skip
                _move(
                    weights[block, here].reshape(size), own[:size],
                    moments[0, block, here].reshape(size), moments[1, block, here].reshape(size),
                    step, rule,
                )  # fmt: skip


@kernel
def train_dense(
    x, y, order, batch, flat, flat_moments, widths, layers, biases, slope, scale, step, rule, sums
):
    """Take the steps of one network through some examples x (P, inputs); as `train_sparse`.

    flat, flat_moments: of all layers.
    """
    inputs = widths[0]
    room = _room(min(batch, order.size), widths, layers, flat.size)
    a = room.a
    for begin in range(0, order.size, batch):
        rows = order[begin : begin + batch]
        n = rows.size
        a[n:] = 0
        for b in range(n):
            room.labels[b] = y[rows[b]]
            a[b, :inputs] = x[rows[b]]
            if biases:
                a[b, inputs] = 1
        value, correct, _ = _gradients(n, 0, layers, widths, biases, slope, scale, flat, room)
        sums[0] += value
        sums[1] += correct
        step += 1
        _move(flat, room.grad, flat_moments[0], flat_moments[1], step, rule)
