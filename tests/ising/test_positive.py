"""Factorisations in place are those of NumPy."""

import numpy as np
import pytest

from lsg_ray.ising.positive import inverted, is_positive


@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_inverse__is_that_of_numpy_in_place(n):
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, 2 * n))
    matrix = root @ root.T / n
    expected = np.linalg.inv(matrix)
    least = np.linalg.eigvalsh(matrix)[0]
    assert is_positive(matrix, -0.999 * least)
    assert not is_positive(matrix, -1.001 * least)
    assert inverted(matrix)
    np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert (matrix == matrix.T).all()


def test_indefinite_matrix__has_no_inverse_here():
    assert not inverted(np.array([[1.0, 2.0], [2.0, 1.0]]))
    assert is_positive(np.array([[1.0, 2.0], [2.0, 1.0]]), 1.001)
