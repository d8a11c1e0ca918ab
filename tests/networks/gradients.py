"""Gradients of the engines, for checks: what a training step does."""

import numpy as np
import torch

from lsg_ray.kernels import classification, meanfield
from lsg_ray.networks import relu_network
from lsg_ray.networks.binary_network import loss_number
from lsg_ray.networks.layout import Layout
from lsg_ray.networks.solvers import stacked
from lsg_ray.networks.trial import check_examples
from lsg_ray.spec import TrainingSpec


def gradient(
    network, fields, x, y, noise, *, loss="cross_entropy", gamma=0.0, engine="numba", frozen=None
):
    """Loss of one mini-batch and its gradient with respect to the fields, for given noise.

    What a training step does, for checks: arithmetic is that of ``fields``' dtype.

    Parameters
    ----------
    fields
        θ (N,), float32 or float64.
    x, y
        Mini-batch, x (n, inputs), y (n,).
    noise
        ε of each layer, (units, n).
    loss, gamma, engine
        As in `lsg_ray.networks.solvers.mean_field.train`.
    frozen
        Layers whose gradient is not computed, (layers,) bool; by default none.  Engine numba only.

    Returns
    -------
    loss, gradient
        Mean loss (without the γ term) and ∂L/∂θ + γθ, (N,), of frozen layers γθ alone.
    """
    check_examples(network, x, y, loss)
    if engine == "torch":
        return stack_gradient(network, fields, x, y, noise, loss, gamma)
    dtype = fields.dtype.type
    layout = Layout(network.widths)
    starts, rows = classification.offsets(layout.widths)
    n, n_padded = len(x), -(-len(x) // 16) * 16
    a = np.zeros((rows[-1], n_padded), dtype)
    a[: network.widths[0], :n] = x.T
    spread = np.zeros((rows[-1] - rows[1], n_padded), dtype)
    for layer, epsilon in enumerate(noise):
        first = rows[layer + 1] - rows[1]
        spread[first : first + len(epsilon), :n] = epsilon
    theta = layout.pad(fields, dtype)
    mu, var, grad = np.empty_like(theta), np.empty_like(theta), np.empty_like(theta)
    meanfield.moments_of_fields(theta, mu, var)
    mean_grad, var_grad = np.zeros_like(theta), np.zeros_like(theta)
    work = np.zeros((6, -(-max(network.widths) // 4) * 4 + 2, n_padded), dtype)
    value, _ = meanfield.accumulate_gradient(
        a,
        a * a,
        spread,
        np.ascontiguousarray(y, np.int32),
        n,
        layout.widths,
        starts,
        rows,
        np.zeros(len(network.shapes), bool) if frozen is None else np.asarray(frozen, bool),
        mu,
        var,
        dtype(network.leaky_slope),
        loss_number(loss),
        work,
        mean_grad,
        var_grad,
    )
    meanfield.gradient_of_fields(theta, mu, var, mean_grad, var_grad, gamma, n, grad)
    return value / n, grad[layout.positions]


def stack_gradient(network, fields, x, y, noise, loss, gamma):
    """Loss and gradient of one network for given noise; see `gradient`."""
    flat = torch.from_numpy(fields[None].copy())
    stack = stacked._Stack(network, TrainingSpec(gamma=gamma), loss, flat)
    inputs = torch.from_numpy(np.ascontiguousarray(x.T[None], fields.dtype))
    labels = torch.from_numpy(np.ascontiguousarray(y[None], np.int64))
    epsilon = [torch.from_numpy(np.ascontiguousarray(e[None], fields.dtype)) for e in noise]
    value, _, grads = stack._gradients(inputs, labels, epsilon)
    flat = torch.cat([g.reshape(1, -1) for g in grads], dim=1)
    return float(value[0]), flat[0].numpy()


def loss_gradient(network, weights, inputs, y):
    """Mean loss (networks,) over all examples and its gradient (networks, N)."""
    layers = relu_network.layers_of(network, weights, inputs)
    loss = torch.zeros(len(weights), dtype=torch.float64, device=weights.device)
    total = torch.zeros_like(weights)
    for rows in relu_network._chunks(network, len(weights), len(inputs)):
        step = relu_network.loss_step(network, layers, inputs, rows, y[rows], 1 / len(inputs))
        loss += step.loss
        total += relu_network.flat_of(network, step.gradients, inputs)
    return loss / len(inputs), total
