"""Elementary functions in float64 against NumPy and SciPy."""

import numba
import numpy as np
import pytest
from scipy import special

from lsg_ray.kernels import double
from lsg_ray.kernels.compile import FASTMATH


@numba.njit
def _erfcx(x):
    top, bottom = double.erfcx_ratio(x)
    return top / bottom


def _over(function):
    """Return a loop over an array, with the flags that kernels have: sums may be reordered."""

    @numba.njit(fastmath=FASTMATH, error_model="numpy")
    def loop(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    return loop


_SIZES = np.logspace(-300, 300, 6001)
_SMALL = np.logspace(-300, np.log10(0.5), 3001)
CASES = {
    "exp": (double.exp, np.exp, np.linspace(-707, 707, 20_001), 1e-13),
    "log": (double.log, np.log, np.concatenate([_SIZES, np.linspace(0.4, 2.5, 20_001)]), 1e-15),
    "log1p": (
        double.log1p, np.log1p,
        np.concatenate([np.linspace(-0.5, 1, 20_001), -_SMALL, 2 * _SMALL]), 1e-15,
    ),
    "erfcx": (
        _erfcx, special.erfcx,
        np.concatenate([np.linspace(0, 30, 10_001), np.logspace(1.5, 9, 100)]), 1e-13,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_functions_equal_those_of_numpy(name):
    function, expected, x, tolerance = CASES[name]
    out = np.empty_like(x)
    _over(function)(x, out)
    np.testing.assert_allclose(out, expected(x), rtol=tolerance, atol=0)
