"""Mean-field training on a GPU: one network in one thread block, all its epochs in one launch.

The step is that of `lsg_ray.kernels.meanfield`, in float32.  θ, the moments of the optimizer, μ, s²
and both gradients stay in shared memory, and so do the activations of a tile of a mini-batch,
(unit, example), a tile after the other; examples are read from global memory, whose cache holds
them.  Rows of activations have an odd stride, so that threads of a warp meet different banks.

Products: a thread computes 4 × 4 numbers of both at a time in registers: units × examples forward
and backward, outputs × inputs in gradients, whose examples are cut into `SPLITS` ranges that are
added in order.  So a result depends on the tile, but not on the number of threads, and not on
the other networks of a launch.

Random numbers are Philox's (`lsg_ray.kernels.cuda.philox`), under a key of the network: noise at
(example of the mini-batch, four units, step), the order of examples at the epoch.
"""

from __future__ import annotations

import math

import numpy as np
from numba import cuda, float32, float64, int32, uint32

from lsg_ray.kernels.classification import CROSS_ENTROPY
from lsg_ray.kernels.cuda.device import at, device, inverse_root, kernel
from lsg_ray.kernels.cuda.fields import clear, moments, update
from lsg_ray.kernels.cuda.philox import NOISE, ORDER, ORDER_ROUNDS, normal_pair, permuted, philox
from lsg_ray.kernels.cuda.scores import cross_entropy
from lsg_ray.kernels.meanfield import MIN_VARIANCE

#: Ranges that the examples of a tile are cut into for gradients.
SPLITS = 4

_F, _U = np.float32, np.uint32


@device
def _forward_term(memory, mu, var, a, pitch, quads, mean, square):
    """Add μ a and s² a² of one input: of four units, by four examples ``quads`` apart."""
    x = cuda.local.array(4, float32)
    for j in range(4):
        x[at(j)] = memory[at(a + j * quads)]
    for i in range(4):
        m, s = memory[at(mu + i * pitch)], memory[at(var + i * pitch)]
        for j in range(4):
            b = x[at(j)]
            mean[at(4 * i + j)] += m * b
            square[at(4 * i + j)] += s * (b * b)


@device
def _forward_sums(memory, mu, var, a, n_in, pitch, stride, quads, mean, square):
    """Mean = μ a and square = s² a² of four units and examples: sixteen numbers each, by unit."""
    clear(mean, square)
    # Four inputs at a time, written out: their addresses differ by constants.
    for k in range(0, n_in, 4):
        b = a + k * stride
        m, s = mu + k, var + k
        _forward_term(memory, m, s, b, pitch, quads, mean, square)
        _forward_term(memory, m + 1, s + 1, b + stride, pitch, quads, mean, square)
        _forward_term(memory, m + 2, s + 2, b + 2 * stride, pitch, quads, mean, square)
        _forward_term(memory, m + 3, s + 3, b + 3 * stride, pitch, quads, mean, square)


@device
def _backward_sums(memory, mu, var, d, g, n_out, pitch, stride, quads, mean, square):
    """Mean = μᵀ δ and square = (s²)ᵀ g of four units below and examples."""
    x, y = cuda.local.array(4, float32), cuda.local.array(4, float32)
    clear(mean, square)
    for i in range(n_out):
        for j in range(4):
            x[at(j)] = memory[at(d + i * stride + j * quads)]
            y[at(j)] = memory[at(g + i * stride + j * quads)]
        for k in range(4):
            m, s = memory[at(mu + i * pitch + k)], memory[at(var + i * pitch + k)]
            for j in range(4):
                mean[at(4 * k + j)] += m * x[at(j)]
                square[at(4 * k + j)] += s * y[at(j)]


@device
def _gradient_term(memory, d, g, a, stride, mean, square):
    """Add δ aᵀ and g (a²)ᵀ of one example, of four outputs by four inputs."""
    x = cuda.local.array(4, float32)
    for k in range(4):
        x[at(k)] = memory[at(a + k * stride)]
    for i in range(4):
        m, s = memory[at(d + i * stride)], memory[at(g + i * stride)]
        for k in range(4):
            c = x[at(k)]
            mean[at(4 * i + k)] += m * c
            square[at(4 * i + k)] += s * (c * c)


@device
def _gradient_sums(memory, d, g, a, begin, end, stride, mean, square):
    """Mean = δ aᵀ and square = g (a²)ᵀ of four outputs and inputs, over a range of examples."""
    clear(mean, square)
    for b in range(begin, end, 4):
        _gradient_term(memory, d + b, g + b, a + b, stride, mean, square)
        _gradient_term(memory, d + b + 1, g + b + 1, a + b + 1, stride, mean, square)
        _gradient_term(memory, d + b + 2, g + b + 2, a + b + 2, stride, mean, square)
        _gradient_term(memory, d + b + 3, g + b + 3, a + b + 3, stride, mean, square)


@device
def _gather(memory, words, order, x, y, place, first, n, quads, low_bits, high_bits):
    """Read a tile: its examples at positions ``first`` and on of the epoch's order, and labels."""
    a, chosen, labels, stride = place
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    for b in range(thread, n, threads):
        row = permuted(first + b, x.shape[0], low_bits, high_bits, order)
        words[at(chosen + b)] = row
        words[at(labels + b)] = y[at(row)]
    cuda.syncthreads()
    # The threads of a warp read neighbouring features of one example.
    lanes = min(threads, 32)
    lane, warp = thread % lanes, thread // lanes
    for b in range(warp, 4 * quads, threads // lanes):
        if b < n:
            row = words[at(chosen + b)]
            for k in range(lane, x.shape[1], lanes):
                memory[at(a + k * stride + b)] = x[at(row), at(k)]
        else:
            for k in range(lane, x.shape[1], lanes):
                memory[at(a + k * stride + b)] = _F(0)


@device
def _forward(memory, place, layer, widths, starts, rows, quads, slope, keys, first, step):
    """Write a layer's activations, or scores to δ; and ε/√v to g."""
    mu, var, a, d, g, stride = place
    last = layer + 2 == widths.size
    n_in, n_out = widths[layer], widths[layer + 1]
    pitch, above = rows[layer + 1] - rows[layer], rows[layer + 1] - rows[1]
    scale = _F(1) / _F(math.sqrt(_F(n_in)))
    mean, square = cuda.local.array(16, float32), cuda.local.array(16, float32)
    noise = cuda.local.array(4, float32)
    items = (rows[layer + 2] - rows[layer + 1]) // 4 * quads
    for item in range(cuda.threadIdx.x, items, cuda.blockDim.x):
        unit, q = item // quads * 4, item % quads
        weights, below = starts[layer] + unit * pitch, a + rows[layer] * stride + q
        _forward_sums(
            memory, mu + weights, var + weights, below, n_in, pitch, stride, quads, mean, square
        )
        for j in range(4):
            b = q + j * quads
            r0, r1, r2, r3 = philox(
                _U(first + b), _U((above + unit) // 4), _U(step), _U(NOISE), keys[0], keys[1]
            )
            noise[0], noise[1] = normal_pair(r0, r1)
            noise[2], noise[3] = normal_pair(r2, r3)
            for i in range(4):
                if unit + i < n_out:
                    v = square[at(4 * i + j)]
                    r = noise[at(i)] * inverse_root(max(v, _F(MIN_VARIANCE)))
                    z = mean[at(4 * i + j)] + v * r
                    to = (above + unit + i) * stride + b
                    memory[at(g + to)] = r
                    if last:
                        memory[at(d + to)] = z
                    else:
                        to = (rows[layer + 1] + unit + i) * stride + b
                        memory[at(a + to)] = scale * (z if z > _F(0) else slope * z)


@device
def _loss(memory, words, d, g, labels, stride, n, quads, n_units, loss):
    """Replace scores by δ, and ε/√v of the last layer by g; return this thread's loss and hits."""
    value, correct = float64(0), 0
    for b in range(cuda.threadIdx.x, 4 * quads, cuda.blockDim.x):
        if b >= n:
            for i in range(n_units):
                memory[at(d + i * stride + b)] = _F(0)
                memory[at(g + i * stride + b)] = _F(0)
        elif loss == CROSS_ENTROPY:
            y = words[at(labels + b)]
            loss_here, hit = cross_entropy(memory, d + b, g + b, stride, y, n_units)
            value += loss_here
            correct += hit
        else:
            label = _F(words[at(labels + b)])
            margin = _F(1) - label * memory[at(d + b)]
            correct += 1 if label * memory[at(d + b)] > _F(0) else 0
            value += float64(max(margin, _F(0)))
            delta = -label if margin > _F(0) else _F(0)
            memory[at(d + b)] = delta
            memory[at(g + b)] *= delta
    return value, correct


@device
def _backward(memory, place, layer, widths, starts, rows, quads, slope):
    """Write δ and g of a hidden layer, from those of the layer above."""
    mu, var, a, d, g, stride = place
    pitch = rows[layer + 1] - rows[layer]
    here, above = rows[layer] - rows[1], rows[layer + 1] - rows[1]
    scale = _F(1) / _F(math.sqrt(_F(widths[layer - 1])))
    mean, square = cuda.local.array(16, float32), cuda.local.array(16, float32)
    for item in range(cuda.threadIdx.x, pitch // 4 * quads, cuda.blockDim.x):
        unit, q = item // quads * 4, item % quads
        weights, column = starts[layer] + unit, above * stride + q
        _backward_sums(
            memory, mu + weights, var + weights, d + column, g + column, widths[layer + 1],
            pitch, stride, quads, mean, square,
        )  # fmt: skip
        for i in range(4):
            if unit + i < widths[layer]:
                for j in range(4):
                    b = q + j * quads
                    z = memory[at(a + (rows[layer] + unit + i) * stride + b)]
                    to = (here + unit + i) * stride + b
                    delta = mean[at(4 * i + j)] + z * square[at(4 * i + j)]
                    delta *= scale if z > _F(0) else scale * slope
                    memory[at(d + to)] = delta
                    memory[at(g + to)] *= delta


@device
def _gradients(memory, place, gradients, starts, rows, quads):
    """Add the tile's δ aᵀ and g (a²)ᵀ of all layers to the gradients."""
    a, d, g, stride = place
    to_mean, to_square = gradients
    mean, square = cuda.local.array(16, float32), cuda.local.array(16, float32)
    n_layers = starts.size - 1
    tiles = starts[n_layers] // 16
    for base in range(0, SPLITS * tiles, cuda.blockDim.x):
        item = base + cuda.threadIdx.x
        split, tile = item // tiles, item % tiles
        weight, pitch = 0, 0
        if split < SPLITS:
            layer = 0
            while starts[layer + 1] <= 16 * tile:
                layer += 1
            pitch = rows[layer + 1] - rows[layer]
            local = tile - starts[layer] // 16
            out, unit = local // (pitch // 4) * 4, local % (pitch // 4) * 4
            weight = starts[layer] + out * pitch + unit
            row = (rows[layer + 1] - rows[1] + out) * stride
            _gradient_sums(
                memory, d + row, g + row, a + (rows[layer] + unit) * stride, split * quads,
                (split + 1) * quads, stride, mean, square,
            )  # fmt: skip
        for turn in range(SPLITS):
            if split == turn:
                for i in range(4):
                    for k in range(4):
                        memory[at(to_mean + weight + i * pitch + k)] += mean[at(4 * i + k)]
                        memory[at(to_square + weight + i * pitch + k)] += square[at(4 * i + k)]
            cuda.syncthreads()


@device
def _begin(memory, theta, size, end):
    """Read the fields and set all else to zero, with μ and s² of the fields."""
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    for w in range(thread, end, threads):
        memory[at(w)] = _F(0)
    cuda.syncthreads()
    for w in range(thread, size, threads):
        memory[at(w)] = theta[at(w)]
        mu, var = moments(theta[at(w)])
        memory[at(3 * size + w)] = mu
        memory[at(4 * size + w)] = var


@device
def _new_order(bits, order, epoch, keys):
    """Draw the keys of an epoch's order of examples."""
    for i in range(cuda.threadIdx.x, ORDER_ROUNDS // 4, cuda.blockDim.x):
        r0, r1, r2, r3 = philox(_U(i), _U(epoch), _U(0), _U(ORDER), keys[0], keys[1])
        bits[at(order + 4 * i)], bits[at(order + 4 * i + 1)] = r0, r1
        bits[at(order + 4 * i + 2)], bits[at(order + 4 * i + 3)] = r2, r3


@device
def _add_up(doubles, sums, value, correct, history, n):
    """Store the mean loss and accuracy of an epoch, from those of all threads in order."""
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    doubles[at(sums + thread)] = value
    doubles[at(sums + threads + thread)] = float64(correct)
    cuda.syncthreads()
    if thread == 0:
        value, hits = float64(0), float64(0)
        for other in range(threads):
            value += doubles[at(sums + other)]
            hits += doubles[at(sums + threads + other)]
        history[0], history[1] = value / n, hits / n


@device
def _keep(memory, size, step, taken, times, snapshots):
    """Copy the fields for the times that are this step; return how many were taken so far."""
    while taken < times.size and times[taken] == step:
        for w in range(cuda.threadIdx.x, size, cuda.blockDim.x):
            snapshots[taken, at(w)] = memory[at(w)]
        taken += 1
    return taken


@device
def _tile(
    memory, words, order, x, y, places, shape, first, start, n, halves, slope, loss, keys, step
):  # fmt: skip
    """Add a tile's gradients; return this thread's loss and number of correct answers.

    ``first``: its position in the epoch's order; ``start``: in the mini-batch, for the noise.
    """
    widths, starts, rows = shape
    mu, var, to_mean, to_square, a, d, g, chosen, labels, stride = places
    n_layers = widths.size - 1
    quads = (n + 15) // 16 * 4
    _gather(memory, words, order, x, y, (a, chosen, labels, stride), first, n, quads, *halves)
    cuda.syncthreads()
    place = (mu, var, a, d, g, stride)
    for layer in range(n_layers):
        _forward(memory, place, layer, widths, starts, rows, quads, slope, keys, start, step)
        cuda.syncthreads()
    top = (rows[n_layers] - rows[1]) * stride
    value, correct = _loss(
        memory, words, d + top, g + top, labels, stride, n, quads, widths[n_layers], loss
    )
    cuda.syncthreads()
    for layer in range(n_layers - 1, 0, -1):
        _backward(memory, place, layer, widths, starts, rows, quads, slope)
        cuda.syncthreads()
    _gradients(memory, (a, d, g, stride), (to_mean, to_square), starts, rows, quads)
    return value, correct


@kernel
def train(
    x, y, theta, keys, widths, starts, rows, held, tile, low_bits, high_bits, slope, loss,
    batch_size, epochs, adam, rate, decay_steps, decay_factor, constants, beta1, beta2, gamma,
    history, times, snapshots,
):  # fmt: skip
    """Train the fields of a network a block, in place.

    x (P, inputs) float32, y (P,) int32; theta (networks, padded weights) float32; keys (networks,
    2) uint32; widths, starts, rows int64, as `lsg_ray.kernels.classification.offsets`; held
    (layers,) bool; tile, examples; low_bits, high_bits by `domain_bits`; constants: β₁, 1 − β₁, β₂,
    1 − β₂, ε, momentum, float32; history (networks, epochs, 2) float64; times (S,) int64, steps,
    ascending; snapshots (networks, S, padded weights); the rest as in `lsg_ray.kernels.meanfield`.
    Launched with the shared memory that `lsg_ray.networks.solvers.thread_blocks.training_bytes`
    says.
    """
    memory, words = cuda.shared.array(0, float32), cuda.shared.array(0, int32)
    bits, doubles = cuda.shared.array(0, uint32), cuda.shared.array(0, float64)
    thread, threads, net = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.x
    size, n_layers, n_examples = starts[starts.size - 1], widths.size - 1, x.shape[0]
    stride = tile + 1
    sums = 7 * size
    a = sums + 4 * threads
    d = a + rows[n_layers] * stride
    g = d + (rows[n_layers + 1] - rows[1]) * stride
    order = g + (rows[n_layers + 1] - rows[1]) * stride
    labels = order + ORDER_ROUNDS
    chosen = labels + tile
    places = (3 * size, 4 * size, 5 * size, 6 * size, a, d, g, chosen, labels, stride)
    key = (keys[net, 0], keys[net, 1])
    leak, decay = _F(slope), _F(gamma)
    _begin(memory, theta[net], size, chosen + tile)
    cuda.syncthreads()
    step, taken = 0, _keep(memory, size, 0, 0, times, snapshots[net])
    power1, power2 = float64(1), float64(1)
    for epoch in range(epochs):
        _new_order(bits, order, epoch, key)
        value, correct = float64(0), 0
        cuda.syncthreads()
        for begin in range(0, n_examples, batch_size):
            n_batch = min(batch_size, n_examples - begin)
            for start in range(0, n_batch, tile):
                loss_of_tile, hits = _tile(
                    memory, words, bits[order : order + ORDER_ROUNDS], x, y, places,
                    (widths, starts, rows), begin + start, start, min(tile, n_batch - start),
                    (low_bits, high_bits), leak, loss, key, step,
                )  # fmt: skip
                value += loss_of_tile
                correct += hits
            if decay_steps > 0 and step > 0 and step % decay_steps == 0:
                rate /= decay_factor
            step += 1
            power1 *= beta1
            power2 *= beta2
            unbias = _F(1.0 / math.sqrt(1.0 - power2)) if adam else _F(1)
            move = _F(rate / (1.0 - power1)) if adam else _F(rate)
            for layer in range(n_layers):
                for w in range(starts[layer] + thread, starts[layer + 1], threads):
                    if not held[layer]:
                        update(
                            memory, size, w, _F(0.5 / n_batch), decay, adam, constants, move, unbias
                        )
                    memory[at(5 * size + w)] = _F(0)
                    memory[at(6 * size + w)] = _F(0)
            cuda.syncthreads()
            taken = _keep(memory, size, step, taken, times, snapshots[net])
        _add_up(doubles, sums // 2, value, correct, history[net, epoch], n_examples)
    for w in range(thread, size, threads):
        theta[net, at(w)] = memory[at(w)]
