"""Fields of a network in shared memory: their moments, and a step of the optimizer."""

from __future__ import annotations

import math

import numpy as np

from lsg_ray.kernels.cuda.device import at, device, exponential

_F = np.float32


@device
def clear(mean, square):
    """Set sixteen sums of both kinds to zero."""
    for i in range(16):
        mean[at(i)] = _F(0)
        square[at(i)] = _F(0)


@device
def moments(field):
    """Return μ = tanh(θ/2) and 1 − μ² of a field."""
    e = exponential(-abs(field))
    r = _F(1) / (_F(1) + e)
    m = (_F(1) - e) * r
    return m if field >= _F(0) else -m, _F(4) * e * r * r


@device
def update(memory, size, w, factor, gamma, adam, constants, rate, unbias):
    """Move a field; θ, both moments, μ, s² and both gradients are ``size`` apart."""
    b1, c1, b2, c2, eps, keep = constants
    first, second = size + w, 2 * size + w
    mu, var = memory[at(3 * size + w)], memory[at(4 * size + w)]
    chain = (memory[at(5 * size + w)] - mu * memory[at(6 * size + w)]) * var
    field = memory[at(w)]
    grad = chain * factor + gamma * field
    if adam:
        m = b1 * memory[at(first)] + c1 * grad
        v = b2 * memory[at(second)] + c2 * grad * grad
        memory[at(second)] = v
        field -= rate * m / (_F(math.sqrt(v)) * unbias + eps)
    else:
        m = keep * memory[at(first)] + grad
        field -= rate * m
    memory[at(first)] = m
    memory[at(w)] = field
    mu, var = moments(field)
    memory[at(3 * size + w)] = mu
    memory[at(4 * size + w)] = var
