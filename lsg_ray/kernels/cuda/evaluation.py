"""Configurations drawn from trained fields on a GPU, and their correct answers.

Weight w of draw n of a network is +1 where the level at (w, n) is below sigmoid(θ), else −1, so a
draw is written out for the networks and draws that are wanted only.  One thread block evaluates one
draw of one network: its signs and the activations of a tile of examples lie in shared memory.
"""

from __future__ import annotations

import math

import numpy as np
from numba import cuda, float32, int32

from lsg_ray.kernels.classification import CHUNK_EXAMPLES, CROSS_ENTROPY
from lsg_ray.kernels.cuda.device import at, device, exponential, kernel
from lsg_ray.kernels.cuda.philox import DRAW, level, philox
from lsg_ray.kernels.cuda.scores import answer

_F, _U = np.float32, np.uint32


@device
def _sign(field, fixed, bits):
    if fixed:
        return _F(1) if field > _F(0) else _F(-1)
    plus = _F(1) / (_F(1) + exponential(-field))
    return _F(1) if level(bits) < plus else _F(-1)


@device
def _four_signs(field, fixed, quad, draw, key0, key1, out, to):
    """Write the signs of four weights of a draw, from ``4 quad`` on, to ``out`` from ``to`` on."""
    r0, r1, r2, r3 = philox(_U(quad), _U(draw), _U(0), _U(DRAW), key0, key1)
    w = 4 * quad
    out[at(to)] = _sign(field[at(w)], fixed[at(w)], r0)
    out[at(to + 1)] = _sign(field[at(w + 1)], fixed[at(w + 1)], r1)
    out[at(to + 2)] = _sign(field[at(w + 2)], fixed[at(w + 2)], r2)
    out[at(to + 3)] = _sign(field[at(w + 3)], fixed[at(w + 3)], r3)


@kernel
def write_signs(fields, keys, fixed, draws, signs):
    """Write draw ``draws[n]`` of network n: fields, signs (networks, padded weights), int8.

    keys (networks, 2) uint32; fixed (padded weights,) bool, weights that take the sign of their
    field.  One block a network.
    """
    net = cuda.blockIdx.x
    for quad in range(cuda.threadIdx.x, fields.shape[1] // 4, cuda.blockDim.x):
        _four_signs(
            fields[net], fixed, quad, draws[net], keys[net, 0], keys[net, 1], signs[net], 4 * quad
        )


@device
def _sums(memory, w, a, n_in, pitch, stride, quads, total):
    """Total = w a of four units, by four examples ``quads`` apart: sixteen numbers, by unit."""
    x = cuda.local.array(4, float32)
    for i in range(16):
        total[at(i)] = _F(0)
    for k in range(n_in):
        for j in range(4):
            x[at(j)] = memory[at(a + k * stride + j * quads)]
        for i in range(4):
            m = memory[at(w + i * pitch + k)]
            for j in range(4):
                total[at(4 * i + j)] += m * x[at(j)]


@device
def _layer(memory, activations, stride, layer, widths, starts, rows, quads, slope):
    """Write the activations of a layer above the inputs, or the scores."""
    last = layer + 2 == widths.size
    n_in, n_out, pitch = widths[layer], widths[layer + 1], rows[layer + 1] - rows[layer]
    scale = _F(1) / _F(math.sqrt(_F(n_in)))
    total = cuda.local.array(16, float32)
    items = (rows[layer + 2] - rows[layer + 1]) // 4 * quads
    for item in range(cuda.threadIdx.x, items, cuda.blockDim.x):
        unit, q = item // quads * 4, item % quads
        below = activations + rows[layer] * stride + q
        _sums(memory, starts[layer] + unit * pitch, below, n_in, pitch, stride, quads, total)
        for i in range(4):
            if unit + i < n_out:
                to = activations + (rows[layer + 1] + unit + i) * stride + q
                for j in range(4):
                    z = total[at(4 * i + j)]
                    if not last:
                        z = scale * (z if z > _F(0) else slope * z)
                    memory[at(to + j * quads)] = z


@device
def _hits(memory, scores, stride, y, first, n, n_units, loss):
    """Return this thread's number of correct answers to the first ``n`` examples of a tile."""
    hits = 0
    for b in range(cuda.threadIdx.x, n, cuda.blockDim.x):
        label = y[at(first + b)]
        if loss == CROSS_ENTROPY:
            hits += answer(memory, scores + b, stride, label, n_units)[2]
        else:
            hits += 1 if _F(label) * memory[at(scores + b)] > _F(0) else 0
    return hits


@kernel
def count_correct(
    fields, keys, fixed, x, y, widths, starts, rows, tile, slope, loss, correct
):  # fmt: skip
    """Count the correct answers of draws: correct (networks, draws) int32, zero before.

    fields, keys, fixed as in `write_signs`; x (chunks, inputs padded, `CHUNK_EXAMPLES`) float32, y
    (n,) int32; tile divides `CHUNK_EXAMPLES`, and is a multiple of four; slope float32.  A grid of
    (draws, networks) blocks, with the shared memory that
    `lsg_ray.networks.solvers.thread_blocks.evaluation_bytes` says.
    """
    memory = cuda.shared.array(0, float32)
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    draw, net = cuda.blockIdx.x, cuda.blockIdx.y
    size, n_layers, stride = starts[starts.size - 1], widths.size - 1, tile + 1
    quads = tile // 4
    for w in range(size + thread, size + rows[n_layers + 1] * stride, threads):
        memory[at(w)] = _F(0)
    for quad in range(thread, size // 4, threads):
        _four_signs(fields[net], fixed, quad, draw, keys[net, 0], keys[net, 1], memory, 4 * quad)
    hits = 0
    for first in range(0, y.size, tile):
        cuda.syncthreads()
        chunk, column = first // CHUNK_EXAMPLES, first % CHUNK_EXAMPLES
        for k in range(widths[0]):
            for b in range(thread, tile, threads):
                memory[at(size + k * stride + b)] = x[at(chunk), at(k), at(column + b)]
        cuda.syncthreads()
        for layer in range(n_layers):
            _layer(memory, size, stride, layer, widths, starts, rows, quads, slope)
            cuda.syncthreads()
        n = min(tile, y.size - first)
        scores = size + rows[n_layers] * stride
        hits += _hits(memory, scores, stride, y, first, n, widths[n_layers], loss)
    cuda.atomic.add(correct, (net, draw), int32(hits))
