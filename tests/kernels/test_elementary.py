"""Vector exp, log and normals against SciPy."""

import math

import numba
import numpy as np
import pytest
from scipy import stats

from lsg_ray.kernels import elementary


@numba.njit
def _apply_exp(x, out):
    for i in range(x.size):
        out[i] = elementary.exp(x[i])


@numba.njit
def _apply_log(x, out):
    for i in range(x.size):
        out[i] = elementary.log(x[i])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_exp_and_log(dtype, tolerance):
    x = np.linspace(-80, 80, 20_001).astype(dtype)
    out = np.empty_like(x)
    _apply_exp(x, out)
    np.testing.assert_allclose(out, np.exp(x.astype(np.float64)), rtol=tolerance)
    positive = np.exp(np.linspace(-80, 80, 20_001)).astype(dtype)
    _apply_log(positive, out)
    exact = np.log(positive.astype(np.float64))
    np.testing.assert_allclose(out, exact, rtol=tolerance, atol=tolerance)


def _deviates(seed: int, repeats: int, rows: int = 128) -> np.ndarray:
    state = np.random.SeedSequence(seed).generate_state(256, np.uint32).reshape(4, 64)
    bits, out = np.empty((rows, 64), np.uint32), np.empty(rows * 64, np.float32)
    batches = []
    for _ in range(repeats):
        elementary.normals(state, bits, out)
        batches.append(out.copy())
    return np.array(batches)


def test_random_bits_match_a_plain_xoshiro128plusplus():
    state = np.random.SeedSequence(5).generate_state(256, np.uint32).reshape(4, 64)
    lanes = [[int(word) for word in state[:, lane]] for lane in range(64)]
    out = np.empty((6, 64), np.uint32)
    elementary.random_bits(state, out)

    def rotate(x, k):
        return ((x << k) | (x >> (32 - k))) & 0xFFFFFFFF

    for row in range(6):
        for lane, s in enumerate(lanes):
            assert out[row, lane] == (rotate((s[0] + s[3]) & 0xFFFFFFFF, 7) + s[0]) & 0xFFFFFFFF
            t = (s[1] << 9) & 0xFFFFFFFF
            s[2] ^= s[0]
            s[3] ^= s[1]
            s[1] ^= s[2]
            s[0] ^= s[3]
            s[2] ^= t
            s[3] = rotate(s[3], 11)
    np.testing.assert_array_equal(state, np.array(lanes, np.uint32).T)


def test_normals_are_standard_normal():
    """Moments and Kolmogorov-Smirnov; together a false alarm for one seed in about 10⁵."""
    x = _deviates(1, 200).astype(np.float64)
    n = x.size
    assert abs(x.mean()) < 5 / math.sqrt(n)
    assert abs(x.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((x**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 5 * math.sqrt(96 / n)
    assert stats.kstest(x.ravel()[:400_000], "norm").pvalue > 1e-5
    assert 4.5 < np.abs(x).max() < 6.0


def test_normals_are_independent():
    """Pairs, neighbours, lanes and successive calls are uncorrelated, also in absolute value."""
    x = _deviates(2, 400, rows=32).astype(np.float64)
    half = x.shape[1] // 2
    pairs = [
        (x[:, :half], x[:, half:]),
        (x[:, :-1], x[:, 1:]),
        (x[:, :-64], x[:, 64:]),
        (x[:-1], x[1:]),
    ]
    for a, b in pairs:
        for f in (lambda v: v, np.abs):
            left, right = f(a).ravel(), f(b).ravel()
            assert abs(np.corrcoef(left, right)[0, 1]) < 5 / math.sqrt(left.size)
