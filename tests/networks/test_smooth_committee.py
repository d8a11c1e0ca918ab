"""The smooth committee against automatic differentiation, and its limits."""

import numpy as np
import pytest
import torch

from lsg_ray.networks.families.committee import Patterns
from lsg_ray.networks.smooth_committee import (
    cross_entropy,
    cross_entropy_slope,
    loss_and_gradient,
    on_sphere,
)


def patterns_of(rng, count, units, n, shared):
    x = rng.choice([-1.0, 1.0], (count, 1 if shared else units, n)).astype(np.float32)
    return Patterns(x, rng.choice([-1, 1], count).astype(np.int8))


@pytest.mark.parametrize(("units", "shared"), [(1, False), (3, False), (5, True)])
@pytest.mark.parametrize(("beta", "gamma"), [(0.5, 0.5), (3.0, 20.0)])
def test_gradient_is_that_of_autograd(units, shared, beta, gamma):
    rng = np.random.default_rng(units)
    patterns = patterns_of(rng, 20, units, 7, shared)
    w = on_sphere(rng.standard_normal((2, units, 7)))
    rows = np.array([[0, 3, 5, 11], [2, 3, 19, 7]])
    losses, gradients = loss_and_gradient(w, patterns, rows, beta, gamma)
    for k in range(2):
        own = torch.tensor(w[k], requires_grad=True)
        x, s = torch.tensor(patterns.x[rows[k]]).double(), torch.tensor(patterns.s[rows[k]])
        t = torch.tanh(beta * (x * own).sum(-1) / np.sqrt(7))
        stability = s * t.sum(-1) / np.sqrt(units)
        zero = torch.zeros_like(stability)
        loss = torch.logaddexp(zero, -2 * gamma * stability).mean() / (2 * gamma)
        loss.backward()
        np.testing.assert_allclose(losses[k], loss.item(), rtol=1e-12)
        np.testing.assert_allclose(gradients[k], own.grad.numpy(), rtol=1e-9, atol=1e-14)


def test_cross_entropy_has_its_limits_and_does_not_overflow():
    x = np.linspace(-5, 5, 101)
    small, large = 1e-4, 1e3
    closed = -x / 2 + np.log(2 * np.cosh(0.7 * x)) / 1.4
    np.testing.assert_allclose(cross_entropy(x, 0.7), closed, atol=1e-13)
    linear = -x / 2 + np.log(2) / (2 * small)
    np.testing.assert_allclose(cross_entropy(x, small), linear, atol=2e-3)
    np.testing.assert_allclose(cross_entropy(x, large), np.maximum(0, -x), atol=1e-3)
    ends = np.array([-1e6, 1e6])
    np.testing.assert_allclose(cross_entropy(ends, large), [1e6, 0])
    np.testing.assert_allclose(cross_entropy_slope(ends, large), [-1, 0])


def test_slope_is_the_derivative():
    x, h = np.linspace(-2, 2, 41), 1e-5
    numeric = (cross_entropy(x + h, 3.0) - cross_entropy(x - h, 3.0)) / (2 * h)
    np.testing.assert_allclose(cross_entropy_slope(x, 3.0), numeric, atol=1e-9)
