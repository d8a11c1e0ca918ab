"""Philox, normal deviates and orders of examples: published vectors, moments, uniformity."""

import math

import numpy as np
import pytest
from scipy import stats

from lsg_ray.kernels.cuda import philox
from tests.kernels.cuda import reference

#: Counter, key and words of Random123 (tests/kat_vectors, philox4x32 with 10 rounds).
KNOWN = [
    ("00000000" * 4, "00000000" * 2, "6627e8d5e169c58dbc57ac4c9b00dbd8"),
    ("ffffffff" * 4, "ffffffff" * 2, "408f276d41c83b0ea20bc7c66d5451fd"),
    ("243f6a8885a308d313198a2e03707344", "a4093822299f31d0", "d16cfe0994fdcceb5001e42024126ea1"),
]


def _words(text):
    return [np.uint32(int(text[i : i + 8], 16)) for i in range(0, len(text), 8)]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_published_words(counter, key, words):
    assert list(philox.philox(*_words(counter), *_words(key))) == _words(words)
    plain = reference.philox(_words(counter), _words(key))
    assert plain.tolist() == _words(words)


def test_normals_are_those_of_the_formula():
    """At the ends of the uniform, and at random; radius and angle in float32."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, (300, 2), dtype=np.uint64)
    ends = np.array([0, 511, 512, 2**30, 2**31, 2**32 - 1], np.uint64)
    bits = np.concatenate([bits, np.stack(np.meshgrid(ends, ends), -1).reshape(-1, 2)])
    got = np.array([philox.normal_pair(*map(np.uint32, pair)) for pair in bits])
    assert got.dtype == np.float32
    exact = np.stack(reference.normal_pair(*bits.T), 1)
    np.testing.assert_allclose(got, exact, atol=3e-6)


def test_noise_is_standard_normal_and_independent():
    """320,000 of NumPy's twin of the kernel: five standard errors, KS at 10⁻⁵.

    A false alarm for one seed in 10⁴.
    """
    layers = [reference.noise((4, 6, 3), 10_000, step, (7, 9)) for step in range(4)]
    x = np.array([np.concatenate(layer) for layer in layers])  # (steps, units, examples)
    n = x.size
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((x**power).mean() - mean) < 5 * math.sqrt(variance / n)
    assert stats.kstest(x[0].ravel(), "norm").pvalue > 1e-5
    pairs = [(x[1:], x[:-1]), (x[:, 1:], x[:, :-1]), (x[..., 1:], x[..., :-1])]
    for a, b in pairs:
        for of in (lambda v: v, np.abs):
            assert abs(np.corrcoef(of(a).ravel(), of(b).ravel())[0, 1]) < 5 / math.sqrt(a.size)


@pytest.mark.parametrize("n", [1, 2, 3, 17, 100, 256, 257, 1000])
def test_an_order_is_a_permutation(n):
    keys = np.random.default_rng(n).integers(0, 2**32, philox.ORDER_ROUNDS, dtype=np.uint32)
    bits = philox.domain_bits(n)
    got = [int(philox.permuted(i, n, *bits, keys)) for i in range(min(n, 100))]
    wide = np.repeat(keys.astype(np.uint64)[:, None], n, axis=1)
    plain = reference.permuted(np.arange(n), n, wide)
    assert got == plain[:100].tolist()
    assert sorted(plain) == list(range(n))


def test_orders_are_uniform():
    """Chi-square over the 120 permutations of five; false alarm for one seed in 10⁵."""
    keys = np.random.default_rng(3).integers(0, 2**32, (16, 24_000)).astype(np.uint64)
    images = np.array([reference.permuted(i, 5, keys) for i in range(5)])
    _, counts = np.unique(5 ** np.arange(5) @ images, return_counts=True)
    assert len(counts) == 120
    assert stats.chisquare(counts).pvalue > 1e-5


def test_orders_of_many_examples_are_uniform_too():
    """Where the first, second and last of a thousand go: chi-square, correlations; one in 10⁴."""
    keys = np.random.default_rng(4).integers(0, 2**32, (16, 50_000)).astype(np.uint64)
    first, second, last = (reference.permuted(i, 1000, keys) for i in (0, 1, 999))
    for image in (first, second, last):
        assert stats.chisquare(np.bincount(image, minlength=1000)).pvalue > 1e-5
    joint = np.bincount(first // 100 * 10 + second // 100, minlength=100)
    assert stats.chisquare(joint).pvalue > 1e-5
    assert abs(np.corrcoef(first, last)[0, 1]) < 5 / math.sqrt(50_000)
