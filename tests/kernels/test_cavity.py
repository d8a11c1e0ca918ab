"""The couplings of belief propagation against the library's tanh."""

import numpy as np
import pytest

from lsg_ray.kernels import cavity

LARGEST = 1 - 2.0**-52


@pytest.mark.parametrize("size", [1e-8, 0.1, 0.5, 3, 1e6])
def test_couplings(size):
    rng = np.random.default_rng(0)
    J = size * rng.normal(size=(40, 40))
    J[3] *= 1e-3  # rows are small or wide each for itself
    np.fill_diagonal(J, 0)
    scaled, t = np.empty_like(J), np.empty_like(J)
    tightest = cavity.couplings(J, 1.3, LARGEST, scaled, t)
    np.testing.assert_array_equal(scaled, 1.3 * J)
    np.testing.assert_allclose(t, np.clip(np.tanh(1.3 * J), -LARGEST, LARGEST), rtol=1e-15)
    assert tightest == np.abs(t).max()
