"""The Hessian of the smooth network against automatic differentiation, and products against it."""

import numpy as np
import pytest
import torch

from lsg_ray.errors import InputError
from lsg_ray.minima.hessian import hessian, largest, quadrature
from lsg_ray.minima.smooth import SmoothNetwork
from lsg_ray.networks.families.committee import Patterns
from lsg_ray.report.figures.flat_minima import hessian_caption, hessian_figure


def network_of(units=3, n=8, patterns=20, shared=False, beta=1.7, gamma=2.3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.choice([-1.0, 1.0], (patterns, 1 if shared else units, n)).astype(np.float32)
    own = Patterns(x, rng.choice([-1, 1], patterns))
    return SmoothNetwork(rng.standard_normal((units, n)), own, beta, gamma)


def torch_loss(network):
    """Return the loss as a function of flat weights of unit norm."""
    x = torch.tensor(network.x)
    s = torch.tensor(network.patterns.s, dtype=torch.float64)
    units, n = network.units.shape

    def loss(flat):
        u = flat.reshape(units, n)
        h = (x * u).sum(dim=2)
        delta = s * torch.tanh(network.beta * h).sum(dim=1) / units**0.5
        softplus = torch.nn.functional.softplus(-2 * network.gamma * delta)
        return (softplus / (2 * network.gamma)).mean()

    return loss, torch.tensor(network.units.ravel(), requires_grad=True)


def projected(network, matrix):
    units, n = network.units.shape
    P = np.eye(units * n)
    for unit, u in enumerate(network.units):
        block = slice(unit * n, (unit + 1) * n)
        P[block, block] -= np.outer(u, u)
    return P @ matrix @ P


@pytest.mark.parametrize(("units", "shared"), [(1, True), (3, False), (3, True)])
def test_derivatives__are_those_of_autograd(units, shared):
    network = network_of(units, shared=shared)
    loss, flat = torch_loss(network)
    value = loss(flat)
    (gradient,) = torch.autograd.grad(value, flat)
    assert network.loss == pytest.approx(value.item(), rel=1e-12)
    np.testing.assert_allclose(network.gradient.ravel(), gradient.numpy(), atol=1e-14)
    second = torch.autograd.functional.hessian(loss, flat.detach()).numpy()
    expected = projected(network, second)
    result = network.dense()
    np.testing.assert_allclose(result, expected, atol=1e-13)
    assert network.trace() == pytest.approx(np.trace(expected), rel=1e-10)
    v = np.random.default_rng(1).standard_normal(network.units.shape)
    np.testing.assert_allclose(network.product(v).ravel(), expected @ v.ravel(), atol=1e-13)


def test_large_scales__do_not_overflow():
    network = network_of(beta=40.0, gamma=300.0)
    assert np.isfinite(network.dense()).all()


def test_radial_directions__have_no_curvature():
    network = network_of()
    radial = np.zeros_like(network.units)
    radial[1] = network.units[1]
    assert np.abs(network.product(radial)).max() == 0
    assert (np.abs(np.linalg.eigvalsh(network.dense())) < 1e-12).sum() == 3


def test_lanczos_and_quadrature__are_those_of_the_matrix():
    network = network_of(units=5, n=31, patterns=60, shared=True)
    matrix = network.dense()
    values = np.linalg.eigvalsh(matrix)[::-1]
    result, converged = largest(network, 4, np.random.default_rng(0))
    assert converged
    np.testing.assert_allclose(result, values[:4], rtol=1e-5)
    nodes, shares = quadrature(network, 60, np.random.default_rng(0))
    assert shares.sum() == pytest.approx(1)
    assert nodes.min() > values[-1] - 1e-9
    assert nodes.max() < values[0] + 1e-9
    # The first moments of the spectrum, within four errors of 60 probes.
    for power in (1, 2):
        error = np.sqrt(2 * np.mean(values ** (2 * power)) / len(values) / 60)
        assert shares @ nodes**power == pytest.approx(np.mean(values**power), abs=4 * error)


def test_iterations_that_do_not_suffice__are_reported():
    network = network_of(units=5, n=31, patterns=60)
    result, converged = largest(network, 6, np.random.default_rng(0), max_iterations=1)
    assert not converged
    assert len(result) == 6
    assert np.isnan(result).any()


def test_stage__dense_and_by_products(committees):
    dense = hessian(committees, eigenvalues=3)
    free = hessian(committees, eigenvalues=3, dense=0)
    assert (dense.attrs["dense"], free.attrs["dense"]) == (1, 0)
    np.testing.assert_allclose(free["eigenvalue"], dense["eigenvalue"], rtol=1e-4)
    np.testing.assert_allclose(free["trace"], dense["trace"])
    width = (dense["right"] - dense["left"]).values
    np.testing.assert_allclose((dense["density"].values * width).sum(axis=1), 1)
    np.testing.assert_allclose((free["density"].values * width.mean()).sum(axis=1), 1, rtol=0.2)
    assert dense.attrs["radial"] == 3
    assert (dense["errors"] == 0).all()
    again = hessian(committees, eigenvalues=3, dense=0, configurations=[2])
    np.testing.assert_array_equal(again["eigenvalue"][0], free["eigenvalue"][2])
    assert len(hessian_figure({"": dense}).axes) == 3
    assert "4 configurations of least-action" in hessian_caption({"": dense})[0]
    several = {"a": dense, "b": dense}
    assert "b: 4 configurations" in hessian_caption(several)[0]
    assert hessian_figure(several).legends


def test_stage__of_signs(perceptrons):
    result = hessian(perceptrons, eigenvalues=2)
    assert result.sizes["rank"] == 2
    assert (result["errors"] > 0).all()


def test_bad_input__is_one_line(committees, machines, machine_spec):
    rng = np.random.default_rng(0)
    signs = rng.choice(np.array([-1, 1], np.int8), (1, 45))
    parity = machines(machine_spec("parity", count=1, training={"algorithm": "given"}), signs)
    zeros = np.ones((1, 45), np.float32)
    zeros[0, 15:30] = 0
    empty = machines(machine_spec(count=1, name="empty"), zeros)
    for given, options, message in [
        (parity, {}, "whose output is no majority"),
        (committees, {"eigenvalues": 45}, "the network has 45 weights"),
        (committees, {"beta": 0}, "beta"),
        (committees, {"gamma": -1}, "gamma"),
        (committees, {"beta": 1e300}, "at most"),
        (empty, {}, "configuration 0 has a unit whose weights are all zero"),
    ]:
        with pytest.raises(InputError, match=message):
            hessian(given, **options)
