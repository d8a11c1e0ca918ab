"""What trainings of a network share: loss and its gradient, steps of optimizers, random order."""

from __future__ import annotations

import numpy as np

from lsg_ray.kernels.classification import CROSS_ENTROPY, answers
from lsg_ray.kernels.compile import kernel
from lsg_ray.kernels.elementary import exp, log


@kernel
def _softmax(z, n_units, peak, total, n):
    """Replace z by softmax(z) along units; leave the largest z and the sum of exponentials."""
    for b in range(n):
        peak[b] = z[0, b]
        total[b] = 0
    for i in range(1, n_units):
        for b in range(n):
            peak[b] = max(peak[b], z[i, b])
    for i in range(n_units):
        for b in range(n):
            e = exp(z[i, b] - peak[b])
            z[i, b] = e
            total[b] += e
    one = z.dtype.type(1)
    for b in range(n):
        peak[b] = one / total[b]
    for i in range(n_units):
        for b in range(n):
            z[i, b] *= peak[b]


@kernel
def loss_gradient(z, y, n_units, loss, delta, peak, total, own, top, answer, n, n_padded):
    """Write δ = ∂L/∂z (units, examples) of the output layer, 0 beyond example ``n``; z is lost.

    peak, total, own, top, answer (examples,) scratch.  Returns the summed loss and the number of
    correct answers.
    """
    value = 0.0
    correct = 0
    zero = z.dtype.type(0)
    if loss == CROSS_ENTROPY:
        answers(z, y, n_units, own, top, answer, n)
        _softmax(z, n_units, peak, total, n_padded)
        for i in range(n_units):
            for b in range(n_padded):
                delta[i, b] = z[i, b]
        for b in range(n):
            correct += answer[b] == y[b] and own[b] == top[b]
            delta[y[b], b] = z[y[b], b] - z.dtype.type(1)
        for b in range(n):
            # In float64: float32 sums may be reordered, and large scores would cancel.
            value += np.float64(log(total[b])) + np.float64(top[b] - own[b])
    else:
        for b in range(n):
            label = z.dtype.type(y[b])
            margin = z.dtype.type(1) - label * z[0, b]
            correct += label * z[0, b] > zero
            value += max(margin, zero)
            delta[0, b] = -label if margin > zero else zero
    for i in range(n_units):
        delta[i, n:n_padded] = 0
    return value, correct


@kernel
def _adam_step(theta, grad, first, second, rate, beta1, beta2, epsilon, step):
    """Make step number ``step``, from 1, of Adam: theta, first, second change in place."""
    kind = theta.dtype.type
    b1, b2, c1, c2 = kind(beta1), kind(beta2), kind(1 - beta1), kind(1 - beta2)
    unbias2 = kind(1.0 / np.sqrt(1.0 - beta2**step))
    rate1 = kind(rate / (1.0 - beta1**step))
    eps = kind(epsilon)
    for i in range(theta.size):
        g = grad[i]
        m = b1 * first[i] + c1 * g
        v = b2 * second[i] + c2 * g * g
        first[i] = m
        second[i] = v
        theta[i] -= rate1 * m / (np.sqrt(v) * unbias2 + eps)


@kernel
def _momentum_step(theta, grad, velocity, rate, momentum):
    """Make a step of gradient descent with momentum: theta and velocity change in place."""
    kind = theta.dtype.type
    keep, lr = kind(momentum), kind(rate)
    for i in range(theta.size):
        velocity[i] = keep * velocity[i] + grad[i]
        theta[i] -= lr * velocity[i]


@kernel
def descend(
    theta, grad, first, second, step, adam, rate, decay_steps, decay_factor, momentum, beta1, beta2,
    epsilon,
):  # fmt: skip
    """Make step number ``step``, from 1, of Adam or of descent with momentum, in place.

    theta, grad, first, second (N,): parameters, gradient and moments; the rate is divided by
    ``decay_factor`` every ``decay_steps`` steps, never if that is 0.
    """
    if decay_steps > 0:
        rate = rate / decay_factor ** ((step - 1) // decay_steps)
    if adam:
        _adam_step(theta, grad, first, second, rate, beta1, beta2, epsilon, step)
    else:
        _momentum_step(theta, grad, first, rate, momentum)


@kernel
def shuffle(order, state):
    """Fisher-Yates with splitmix64 (Steele, Lea, Flood 2014); the bias of 2⁻³² n is negligible."""
    s = state[0]
    for i in range(order.size - 1, 0, -1):
        s += np.uint64(0x9E3779B97F4A7C15)
        x = s
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = (x ^ (x >> np.uint64(31))) >> np.uint64(32)
        j = np.int64((x * np.uint64(i + 1)) >> np.uint64(32))
        order[i], order[j] = order[j], order[i]
    state[0] = s
