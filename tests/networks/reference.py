"""Plain NumPy and autograd versions of what the engines compute: short, slow, obvious."""

import numpy as np
import torch


def forward(network, weights, x):
    """Outputs (n, out) of a network with real or ±1 weights, float64."""
    a = x.astype(np.float64).T
    layers = list(zip(network.layer_slices, network.shapes, strict=True))
    for where, shape in layers:
        z = weights[where].reshape(shape).astype(np.float64) @ a
        a = np.where(z > 0, z, network.leaky_slope * z) / np.sqrt(shape[1])
    return z.T


def loss_by_autograd(network, fields, x, y, noise, loss, gamma):
    """Loss and gradient of a mean-field mini-batch by torch's autograd, float64."""
    theta = torch.tensor(fields, dtype=torch.float64, requires_grad=True)
    a = torch.tensor(x.T, dtype=torch.float64)
    for layer, (where, shape) in enumerate(zip(network.layer_slices, network.shapes, strict=True)):
        mu = torch.tanh(theta[where].reshape(shape) / 2)
        epsilon = torch.tensor(noise[layer], dtype=torch.float64)
        z = mu @ a + torch.sqrt((1 - mu**2) @ a**2) * epsilon
        a = torch.nn.functional.leaky_relu(z, network.leaky_slope) / np.sqrt(shape[1])
    if loss == "hinge":
        value = torch.clamp(1 - torch.tensor(y) * z[0], min=0).mean()
    else:
        value = torch.nn.functional.cross_entropy(z.T, torch.tensor(y).long())
    (value + gamma / 2 * (theta**2).sum()).backward()
    return value.item(), theta.grad.numpy()


def train_in_numpy(network, training, x, y, fields, rng):
    """The authors' training loop for cross entropy and Adam, float64."""
    theta = [
        fields[where].reshape(shape).astype(np.float64)
        for where, shape in zip(network.layer_slices, network.shapes, strict=True)
    ]
    first, second = [0 * t for t in theta], [0 * t for t in theta]
    step, batch = 0, training.batch_size
    for _ in range(training.epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            step += 1
            grads = numpy_gradient(network, theta, x[rows], y[rows], rng)
            for layer, grad in enumerate(grads):
                grad = grad + training.gamma * theta[layer]
                first[layer] = training.beta1 * first[layer] + (1 - training.beta1) * grad
                second[layer] = training.beta2 * second[layer] + (1 - training.beta2) * grad**2
                m = first[layer] / (1 - training.beta1**step)
                v = second[layer] / (1 - training.beta2**step)
                theta[layer] = theta[layer] - training.learning_rate * m / (
                    np.sqrt(v) + training.epsilon
                )
    return np.concatenate([t.ravel() for t in theta])


def numpy_gradient(network, theta, x, y, rng):
    """Gradients per layer of one mini-batch, float64, as equations of the paper's App. A."""
    n = len(x)
    mu = [np.tanh(t / 2) for t in theta]
    var = [1 - m * m for m in mu]
    activations, ratios, preactivations = [x.T.astype(np.float64)], [], []
    for layer, t in enumerate(theta):
        a = activations[-1]
        v = var[layer] @ (a * a)
        epsilon = rng.normal(size=v.shape)
        z = mu[layer] @ a + np.sqrt(v) * epsilon
        ratios.append(epsilon / np.sqrt(v))
        preactivations.append(z)
        if layer + 1 < len(theta):
            activations.append(np.where(z > 0, z, network.leaky_slope * z) / np.sqrt(t.shape[1]))
    p = np.exp(z - z.max(0))
    delta = p / p.sum(0)
    delta[y, np.arange(n)] -= 1
    grads = [None] * len(theta)
    for layer in reversed(range(len(theta))):
        a, g = activations[layer], delta * ratios[layer]
        chain = delta @ a.T - mu[layer] * (g @ (a * a).T)
        grads[layer] = chain * var[layer] / 2 / n
        if layer:
            back = mu[layer].T @ delta + a * (var[layer].T @ g)
            slope = np.where(preactivations[layer - 1] > 0, 1, network.leaky_slope)
            delta = back * slope / np.sqrt(theta[layer - 1].shape[1])
    return grads
