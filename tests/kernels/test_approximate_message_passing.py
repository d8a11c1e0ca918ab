"""Sums over patterns of bits against the same one by one, in the order that the kernel promises."""

import numpy as np
import pytest

from lsg_ray.kernels.approximate_message_passing import PATTERNS, count_wrong, pattern_force, sums


def signs_of(words):
    bits = words[:, :, None] >> np.arange(32, dtype=np.uint32) & 1
    return 1 - 2 * bits.reshape(len(words), -1).astype(np.float32)


@pytest.mark.parametrize("count", [1, 3, 4, 11])
@pytest.mark.parametrize("width", [1, 5])
def test_sums_are_those_of_patterns_one_after_another(count, width):
    rng = np.random.default_rng(count)
    words = rng.integers(0, 2**32, (count, width), dtype=np.uint32)
    a, signs = rng.standard_normal(32 * width).astype(np.float32), signs_of(words)
    g, h = rng.standard_normal(count), rng.standard_normal(32 * width).astype(np.float32)
    expected, slopes, before = h.copy(), 0.0, g.copy()
    total = sums(words, a, 40.0, 0.1, g, h, np.empty((PATTERNS, 32), np.float32))
    for row, old, new in zip(signs, before, g, strict=True):
        mean = float((row * a).astype(np.float64).sum())
        force, slope = pattern_force(mean - 40.0 * old, 40.0, 0.1)
        assert new == pytest.approx(force, rel=1e-4, abs=1e-5)
        slopes += slope
        expected += np.float32(new) * row  # in turn, so to the last bit
    np.testing.assert_array_equal(h, expected)
    assert total == pytest.approx(slopes, rel=1e-3)


@pytest.mark.parametrize("count", [2, 4, 9])
def test_wrong_patterns_are_counted(count):
    rng = np.random.default_rng(count)
    words = rng.integers(0, 2**32, (count, 3), dtype=np.uint32)
    weights = rng.choice([-1, 1], 96).astype(np.float32)
    expected = int((signs_of(words) @ weights <= 0).sum())
    assert count_wrong(words, weights, np.empty((PATTERNS, 32), np.float32)) == expected
