"""Directions by construction, beside finite differences and the dense Hessian."""

import numpy as np
import pytest

from lsg_ray.loss_landscape.curves import directions as module
from lsg_ray.loss_landscape.curves.directions import (
    DRAWN,
    SINGLE,
    curvatures,
    directions_of,
    extreme_eigenvectors,
    gradient,
    kinds_of,
    products,
    scaled,
)
from lsg_ray.loss_landscape.curves.measured import measure_subspace


@pytest.fixture(scope="module")
def hessian(terrain, start):
    return np.array([products(terrain, start, row[None])[0] for row in np.eye(39, dtype="f4")])


def test_a_line_is_measured_as_its_networks_are(terrain, start):
    epsilon = np.random.default_rng(1).normal(size=(2, 39)).astype(np.float32)
    c = np.random.default_rng(2).normal(size=(6, 2))
    exact = terrain.measure((start + c @ epsilon).astype(np.float32))
    np.testing.assert_allclose(measure_subspace(terrain, start, epsilon, c), exact, rtol=1e-4)


def test_the_gradient_is_that_of_finite_differences(terrain, start, monkeypatch):
    monkeypatch.setattr(module, "_PART", 7)
    found = gradient(terrain, start)
    for seed in range(3):
        d = np.random.default_rng(seed).normal(size=39).astype(np.float32)
        up, down = terrain.loss(np.stack([start + 2e-3 * d, start - 2e-3 * d]))
        assert found @ d == pytest.approx((up - down) / 4e-3, rel=0.02, abs=2e-3)


def test_extreme_eigenvectors_are_those_of_the_dense_hessian(terrain, start, hessian, monkeypatch):
    monkeypatch.setattr(module, "EIGEN_TOLERANCE", 1e-4)
    vectors, residual = extreme_eigenvectors(terrain, start, np.random.default_rng(3))
    values, exact = np.linalg.eigh((hessian + hessian.T) / 2)
    for vector, column, value in zip(vectors, (-1, 0), values[[-1, 0]], strict=True):
        assert abs(vector @ exact[:, column]) > 0.99
        assert vector @ hessian @ vector == pytest.approx(value, rel=0.02, abs=1e-3)
    assert (residual <= module.EIGEN_TOLERANCE).all()


def test_residuals_are_those_of_the_vectors(terrain, start, hessian, monkeypatch):
    monkeypatch.setattr(module, "EIGEN_STEPS", 5)
    vectors, residual = extreme_eigenvectors(terrain, start, np.random.default_rng(3))
    largest = np.abs(np.linalg.eigvalsh((hessian + hessian.T) / 2)).max()
    for vector, told in zip(vectors, residual, strict=True):
        rest = hessian @ vector - (vector @ hessian @ vector) * vector
        assert np.linalg.norm(vector) == pytest.approx(1, rel=1e-5)
        assert np.linalg.norm(rest) / largest == pytest.approx(told, rel=0.3)
    assert (residual > module.EIGEN_TOLERANCE).any()


def test_the_mean_curvature_of_gaussian_directions_is_that_of_the_trace(terrain, start, hessian):
    """400 directions; beyond four standard errors once in 16,000 times."""
    drawn = np.random.default_rng(4).standard_normal((400, 39))
    epsilon = scaled(terrain.network, start, drawn, 2.0, "whole")
    found = curvatures(terrain, start, epsilon[:20])
    exact = np.einsum("ni,ij,nj->n", epsilon, hessian, epsilon)
    np.testing.assert_allclose(found, exact[:20], rtol=1e-3, atol=1e-3)
    mean = 4 * np.linalg.norm(start) ** 2 * np.trace(hessian) / 39
    assert abs(exact.mean() - mean) < 4 * exact.std() / 20


def test_directions_have_the_norms_asked_for(terrain, start):
    other = start + 1
    for scaling in ("whole", "layer"):
        found = directions_of(
            terrain, start, other, np.random.default_rng(5), draws=2, length=1.5, scaling=scaling
        )
        assert kinds_of(2) == [*SINGLE, *[DRAWN[0]] * 2, *[DRAWN[1]] * 2]
        size = np.linalg.norm(found.epsilon, axis=1) / np.linalg.norm(start)
        np.testing.assert_allclose(np.delete(size, 2), 1.5, rtol=1e-5)
        np.testing.assert_allclose(found.epsilon[2], other - start)
        layer = terrain.network.layer_slices[0]
        share = np.linalg.norm(found.epsilon[:, layer], axis=1) / np.linalg.norm(start[layer])
        assert np.allclose(np.delete(share, 2), 1.5, rtol=1e-5) == (scaling == "layer")
    np.testing.assert_array_equal(scaled(terrain.network, start, np.zeros((1, 39)), 1, "whole"), 0)
