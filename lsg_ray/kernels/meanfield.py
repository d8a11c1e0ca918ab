"""Mean-field training of one network of binary weights (liquid-like paper, App. A).

A weight is +1 with probability sigmoid(θ), so it has mean μ = tanh(θ/2) and variance s² = 1 − μ².
A layer sees z = μ a + sqrt(s² a²) ε with ε ~ N(0, 1) drawn afresh per mini-batch, unit and example;
the activation is LeakyReLU(z) / sqrt(fan_in), the output layer is z itself.  With δ = ∂L/∂z and
g = δ ε / sqrt(s² a²):

    ∂L/∂θ = [δ aᵀ − μ ⊙ g (a²)ᵀ] ⊙ (1 − μ²)/2,     ∂L/∂a = μᵀ δ + a ⊙ s²ᵀ g.

All arrays of a layer are padded with zeros to widths of multiples of four; θ = 0 with no input and
no output stays 0, so padding needs no care beyond the outputs.  Every kernel takes float32 or
float64 arrays.  One call trains one network on one thread and releases the interpreter lock.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.kernels.compile import inlined, kernel
from lsg_ray.kernels.elementary import LANES, exp, log, normals, prefetch
from lsg_ray.kernels.products import outer, product

#: Losses by number, as kernels know them.
CROSS_ENTROPY, HINGE = 0, 1
#: Examples handled at a time; longer batches are cut, so that a layer stays in the cache.
MAX_CHUNK = 256
#: Where scores are larger, or the mean loss smaller, ln Σ exp z and the score of the label are not
#: subtracted in float32, where they cancel.  Elsewhere that costs less than rounding of the scores
#: does; it stays, as ensembles are known by hashes that losses are part of.
LARGE, SMALL = 128.0, 1e-3
#: Below this a variance counts as zero: 1/sqrt stays finite in float32.
_TINY = 1e-30


@inlined
def _pad(n, multiple):
    return (n + multiple - 1) // multiple * multiple


@kernel
def offsets(widths):
    """Return where padded layers start: weights (layers + 1,), activation rows (layers + 2,)."""
    n_layers = widths.size - 1
    weights = np.zeros(n_layers + 1, np.int64)
    rows = np.zeros(n_layers + 2, np.int64)
    for layer in range(n_layers):
        weights[layer + 1] = weights[layer] + _pad(widths[layer], 4) * _pad(widths[layer + 1], 4)
    for layer in range(n_layers + 1):
        rows[layer + 1] = rows[layer] + _pad(widths[layer], 4)
    return weights, rows


@inlined
def _matrix(flat, starts, rows, layer):
    n_out = rows[layer + 2] - rows[layer + 1]
    n_in = rows[layer + 1] - rows[layer]
    return flat[starts[layer] : starts[layer + 1]].reshape(n_out, n_in)


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
    tiny = a.dtype.type(_TINY)
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
    tiny = noise.dtype.type(_TINY)
    one = noise.dtype.type(1)
    for i in range(n_units):
        for b in range(n):
            v = var_z[i, b]
            r = noise[i, b] * (one / np.sqrt(max(v, tiny)))
            noise[i, b] = r
            mean_z[i, b] += v * r


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


@inlined
def _answers(z, y, n_units, own, top, answer, n):
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
def _loss_gradient(
    z, y, noise, n_units, loss, delta, noise_delta, peak, total, own, top, answer, n, n_padded
):  # fmt: skip
    """Write δ and g of the output layer; return summed loss and number of correct answers."""
    value = 0.0
    correct = 0
    zero = z.dtype.type(0)
    if loss == CROSS_ENTROPY:
        _answers(z, y, n_units, own, top, answer, n)
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
        for b in range(n_padded):
            noise_delta[i, b] = delta[i, b] * noise[i, b]
    return value, correct


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
    a, squares, noise, y, n, widths, starts, rows, mu, var, slope, loss, work, mean_grad, var_grad
):  # fmt: skip
    """Add one chunk's contribution to the gradient.

    a, squares (rows, examples): inputs and their squares, zero beyond example ``n``, the rest is
    overwritten; noise (rows − inputs, examples): ε per unit, overwritten; y (n,) labels; mu, var
    flat padded; work (6, widest + 2, examples) scratch; mean_grad, var_grad flat padded: δ aᵀ and
    g (a²)ᵀ, summed over examples.  Returns the summed loss and the number of correct answers.
    """
    n_layers = widths.size - 1
    n_padded = _pad(n, 16)
    widest = work.shape[1] - 2
    mean_z, var_z, peak, total = work[0], work[1], work[0, widest], work[0, widest + 1]
    own, top, answer = work[1, widest], work[1, widest + 1], work[2, widest]
    for layer in range(n_layers):
        here, above = slice(rows[layer], rows[layer + 1]), slice(rows[layer + 1], rows[layer + 2])
        product(_matrix(mu, starts, rows, layer), a[here], mean_z, n_padded)
        product(_matrix(var, starts, rows, layer), squares[here], var_z, n_padded)
        epsilon = noise[rows[layer + 1] - rows[1] :]
        if layer + 1 < n_layers:
            scale = a.dtype.type(1.0 / np.sqrt(widths[layer]))
            _hidden_layer(
                mean_z, var_z, epsilon, a[above], squares[above], widths[layer + 1], slope, scale,
                n_padded,
            )  # fmt: skip
        else:
            _output_layer(mean_z, var_z, epsilon, widths[layer + 1], n_padded)
    delta, noise_delta, delta_below, noise_delta_below = work[2], work[3], work[4], work[5]
    value, correct = _loss_gradient(
        mean_z, y, noise[rows[n_layers] - rows[1] :], widths[n_layers], loss, delta, noise_delta,
        peak, total, own, top, answer, n, n_padded,
    )  # fmt: skip
    for layer in range(n_layers - 1, -1, -1):
        here = slice(rows[layer], rows[layer + 1])
        for i in range(widths[layer + 1], rows[layer + 2] - rows[layer + 1]):
            delta[i, :n_padded] = 0
            noise_delta[i, :n_padded] = 0
        outer(delta, a[here], _matrix(mean_grad, starts, rows, layer), n_padded)
        outer(noise_delta, squares[here], _matrix(var_grad, starts, rows, layer), n_padded)
        if layer > 0:
            product(_matrix(mu, starts, rows, layer).T, delta, mean_z, n_padded)
            product(_matrix(var, starts, rows, layer).T, noise_delta, var_z, n_padded)
            scale = a.dtype.type(1.0 / np.sqrt(widths[layer - 1]))
            _hidden_gradient(
                mean_z, var_z, a[here], noise[rows[layer] - rows[1] :], widths[layer], slope, scale,
                delta_below, noise_delta_below, n_padded,
            )  # fmt: skip
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


@kernel
def _adam(theta, grad, first, second, rate, beta1, beta2, epsilon, step):
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
def _momentum(theta, grad, velocity, rate, momentum):
    kind = theta.dtype.type
    keep, lr = kind(momentum), kind(rate)
    for i in range(theta.size):
        velocity[i] = keep * velocity[i] + grad[i]
        theta[i] -= lr * velocity[i]


@kernel
def _shuffle(order, state):
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


@inlined
def _gather(x, y, order, start, n, a, squares, labels):
    n_features = x.shape[1]
    last = order.size - 1
    for b in range(n):
        row = order[start + b]
        # Rows come in random order, from far away: ask for those of the next chunk now.
        ahead = order[min(start + n + b, last)]
        for k in range(0, n_features, 16):
            prefetch(x, ahead, k)
        labels[b] = y[row]
        for k in range(n_features):
            a[k, b] = x[row, k]
    for k in range(n_features):
        a[k, n : _pad(n, 16)] = 0
        for b in range(_pad(n, 16)):
            squares[k, b] = a[k, b] * a[k, b]


@kernel
def train(
    x, y, theta, bits_state, order_state, widths, frozen, slope, loss, batch_size, epochs,
    adam, rate, decay_steps, decay_factor, momentum, beta1, beta2, epsilon, gamma, history, times,
    kept,
):  # fmt: skip
    """Train the fields of one network in place.

    x (P, inputs) and y (P,) int32, the training set; theta flat padded; bits_state (4, 64) uint32
    and order_state (1,) uint64, random states, advanced; widths (layers + 1,) int64; frozen
    (layers,) bool; adam true for Adam, else SGD with momentum; decay_steps 0 for a constant rate;
    history (epochs, 2) float64: mean loss and accuracy while training; times (S,) int64, steps,
    ascending, after which the fields go into kept (S, theta.size).
    """
    kind = theta.dtype.type
    n_layers = widths.size - 1
    starts, rows = offsets(widths)
    columns = _pad(min(batch_size, MAX_CHUNK), 16)
    n_rows = rows[n_layers + 1]
    a, squares = np.zeros((n_rows, columns), theta.dtype), np.zeros((n_rows, columns), theta.dtype)
    n_noise = (n_rows - rows[1]) * columns
    n_drawn = _pad(n_noise, 2 * LANES)
    bits = np.empty((n_drawn // LANES, LANES), np.uint32)
    deviates = np.empty(n_drawn, np.float32)
    noise = deviates[:n_noise].reshape(n_rows - rows[1], columns)
    work = np.zeros((6, _pad(widths.max(), 4) + 2, columns), theta.dtype)
    mu, var, grad = np.empty_like(theta), np.empty_like(theta), np.empty_like(theta)
    mean_grad, var_grad = np.empty_like(theta), np.empty_like(theta)
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    order, labels = np.arange(x.shape[0]), np.empty(columns, np.int32)
    leak = kind(slope)
    step, reached = 0, 0
    while reached < times.size and times[reached] == 0:
        kept[reached] = theta
        reached += 1
    for epoch in range(epochs):
        _shuffle(order, order_state)
        for start in range(0, x.shape[0], batch_size):
            n_batch = min(batch_size, x.shape[0] - start)
            moments_of_fields(theta, mu, var)
            mean_grad[:] = 0
            var_grad[:] = 0
            for chunk in range(start, start + n_batch, columns):
                n = min(columns, start + n_batch - chunk)
                _gather(x, y, order, chunk, n, a, squares, labels)
                normals(bits_state, bits, deviates)
                value, correct = accumulate_gradient(
                    a, squares, noise, labels, n, widths, starts, rows, mu, var, leak, loss, work,
                    mean_grad, var_grad,
                )  # fmt: skip
                history[epoch, 0] += value / x.shape[0]
                history[epoch, 1] += correct / x.shape[0]
            gradient_of_fields(theta, mu, var, mean_grad, var_grad, gamma, n_batch, grad)
            for layer in range(n_layers):
                if frozen[layer]:
                    grad[starts[layer] : starts[layer + 1]] = 0
            now = rate
            if decay_steps > 0:
                now = rate / decay_factor ** (step // decay_steps)
            step += 1
            if adam:
                _adam(theta, grad, first, second, now, beta1, beta2, epsilon, step)
            else:
                _momentum(theta, grad, first, now, momentum)
            while reached < times.size and times[reached] == step:
                kept[reached] = theta
                reached += 1


@kernel
def evaluate(weights, x, y, widths, slope, loss):
    """Classify with given weights and no noise.

    weights (configurations, padded weights); x (chunks, inputs padded, MAX_CHUNK), the examples in
    order, and y (n,) int32.  Returns correct answers (configurations,) int64 and mean loss
    (configurations,) float64.  The first of equal outputs is the answer, as in `numpy.argmax`; NaN
    is never right, nor is z = 0 in parity.
    """
    n_layers = widths.size - 1
    starts, rows = offsets(widths)
    n_examples = y.size
    leak = x.dtype.type(slope)
    correct = np.zeros(weights.shape[0], np.int64)
    total_loss = np.zeros(weights.shape[0])
    a = np.zeros((2, _pad(widths.max(), 4), MAX_CHUNK), x.dtype)
    sums = np.zeros((3, MAX_CHUNK), x.dtype)
    answer = np.zeros(MAX_CHUNK, np.int32)
    for chunk in range(x.shape[0]):
        labels = y[chunk * MAX_CHUNK : min((chunk + 1) * MAX_CHUNK, n_examples)]
        n_padded = _pad(labels.size, 16)
        for c in range(weights.shape[0]):
            below, z = x[chunk], a[0]
            for layer in range(n_layers):
                z = a[layer % 2]
                product(_matrix(weights[c], starts, rows, layer), below, z, n_padded)
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
    _answers(z, y, n_units, right, peak, answer, n)
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
    if not (largest <= LARGE and value >= SMALL * n):
        value = 0.0
        for b in range(n):
            # In float64, as float32 sums may be reordered.
            value += np.float64(log(total[b])) + np.float64(peak[b] - right[b])
    return correct, value
