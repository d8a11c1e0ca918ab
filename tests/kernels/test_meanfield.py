"""Products, moments of fields, shuffling and evaluation against a few lines of NumPy."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lsg_ray.kernels import descent, meanfield, products


@settings(max_examples=25, deadline=None)
@given(
    n_out=st.integers(1, 4),
    n_in=st.integers(1, 6),
    n=st.integers(1, 18),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_products(n_out, n_in, n, dtype, seed):
    n_out, n_in, n = 4 * n_out, 4 * n_in, 16 * n
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    w, a, d = normal(n_out, n_in), normal(n_in, n), normal(n_out, n)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-10}
    z, back, grad = normal(n_out + 2, n), normal(n_in, n), np.ones((n_out, n_in), dtype)
    below = z[n_out:].copy()
    products.product(w, a, z, n)
    np.testing.assert_allclose(z[:n_out], w @ a, **tolerance)
    np.testing.assert_array_equal(z[n_out:], below)
    products.product(w.T, d, back, n)
    np.testing.assert_allclose(back, w.T @ d, **tolerance)
    products.outer(d, a, grad, n)
    np.testing.assert_allclose(grad, 1 + d @ a.T, **tolerance)


_ON_ANOTHER_PROCESSOR = """
import numpy as np
from lsg_ray.kernels import examples, products
from numba import njit
from lsg_ray.kernels.compile import has_feature
from lsg_ray.kernels.vectors import BYTES
assert not has_feature("avx512f") and BYTES == 32
rng = np.random.default_rng(0)
@njit
def gathered(x, y, order, n, a, labels):
    examples.gather(x, y, order, 0, n, a, labels)
for dtype in (np.float32, np.float64):
    for n in range(16, 160, 16):
        w, a, d = (rng.normal(size=s).astype(dtype) for s in ((8, 12), (12, 160), (8, 160)))
        z, g = np.zeros((8, 160), dtype), np.ones((8, 12), dtype)
        products.product(w, a, z, n)
        products.outer(d, a, g, n)
        np.testing.assert_allclose(z[:, :n], (w @ a)[:, :n], rtol=1e-4, atol=1e-4)
        assert not z[:, n:].any()
        np.testing.assert_allclose(g, 1 + d[:, :n] @ a[:, :n].T, rtol=1e-4, atol=1e-4)
    x, y = rng.normal(size=(50, 7)).astype(dtype), rng.integers(0, 9, 50).astype(np.int32)
    a, labels = np.full((8, 32), 9, dtype), np.zeros(32, np.int32)
    gathered(x, y, np.arange(49, -1, -1), 23, a, labels)
    np.testing.assert_array_equal(a[:7, :23], x[::-1][:23].T)
    np.testing.assert_array_equal(labels[:23], y[::-1][:23])
    assert not a[:7, 23:].any() and (a[7] == 9).all()
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of x86")
@pytest.mark.parametrize(("name", "features"), [("haswell", "+avx,+avx2,+fma"), ("x86-64", "")])
def test_products__are_right_on_processors_with_narrower_vectors(tmp_path, name, features):
    """Kernels that are compiled for AVX and for SSE: this processor runs them as well."""
    given = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    environment = {**os.environ, **given, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _ON_ANOTHER_PROCESSOR], env=environment, check=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 5e-7), (np.float64, 1e-14)])
def test_moments_of_fields_keep_small_variances(dtype, tolerance):
    """1 − tanh² is right where tanh rounds to 1: Adam moves weights by tiny gradients too."""
    theta = np.linspace(-60, 60, 1201).astype(dtype)
    mu, var = np.empty_like(theta), np.empty_like(theta)
    meanfield.moments_of_fields(theta, mu, var)
    half = theta.astype(np.float64) / 2
    np.testing.assert_allclose(mu, np.tanh(half), atol=tolerance)
    np.testing.assert_allclose(var, 1 / np.cosh(half) ** 2, rtol=2 * tolerance)


def test_shuffle_is_a_uniform_permutation():
    """Chi-square over the 120 permutations of five; false alarm for one seed in 10⁵."""
    state = np.array([3], np.uint64)
    counts: dict[tuple[int, ...], int] = {}
    order = np.arange(5)
    for _ in range(24_000):
        descent.shuffle(order, state)
        key = tuple(int(i) for i in order)
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 120
    assert stats.chisquare(list(counts.values())).pvalue > 1e-5


_TRAIN_AND_EVALUATE = """
import hashlib, sys
import numpy as np
from lsg_ray.kernels import products
from lsg_ray.networks import binary_network
from lsg_ray.networks.solvers import mean_field
from lsg_ray.networks.layout import chunk_examples
from lsg_ray.spec import NetworkSpec, TrainingSpec
rng = np.random.default_rng(0)
x, y = rng.normal(size=(900, 20)).astype(np.float32), rng.integers(0, 10, 900)
network, seeds = NetworkSpec(), [np.random.SeedSequence(1)]
def train():
    return mean_field.train(network, TrainingSpec(epochs=3), x, y, seeds).fields
def evaluate():
    weights = np.random.default_rng(2).choice([-1, 1], (3, 675))
    return np.array(binary_network.evaluate(network, weights, chunk_examples(x, y)))
def product():
    w, a, z = np.eye(16, 20), np.ones((20, 208)), np.empty((16, 208))
    products.product(w, a, z, 208)
    return z
results = {name: globals()[name]() for name in sys.argv[1:]}
print(hashlib.sha256(b"".join(results[name].tobytes() for name in sorted(results))).hexdigest())
"""


def test_bytes_do_not_depend_on_what_was_compiled_or_loaded_before(tmp_path):
    """Once with an empty cache of compiled code, then from the cache, in another order."""
    printed = [
        subprocess.run(
            [sys.executable, "-c", _TRAIN_AND_EVALUATE, *order],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for order in (["train", "evaluate", "product"], ["product", "evaluate", "train"])
    ]
    assert len(printed[0]) == 65
    assert len(set(printed)) == 1
