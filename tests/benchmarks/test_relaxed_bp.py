"""A sweep of relaxed belief propagation beside the same in NumPy.

At toy size an ordinary test; at full size (some ten seconds):

    pytest tests/benchmarks/test_relaxed_bp.py --benchmark-enable -s
"""

import time

import numpy as np
from scipy.special import erfcx
from threadpoolctl import threadpool_limits

from lsg_ray.kernels.relaxed_bp import sweep
from lsg_ray.networks.families.committee import Patterns
from lsg_ray.networks.relaxed_bp import RelaxedBP


def numpy_sweep(A, B, x, precision, field, damping):
    """Return new messages of a perceptron: Ut = 1, so that g is a hazard rate."""
    v = 1 / (precision - A)
    m = v * (field - B)
    w, V = (x * m).sum(axis=2, keepdims=True), (x * x * v).sum(axis=2, keepdims=True)
    w, V = w - x * m, V - x * x * v
    g = np.sqrt(2 / np.pi / V) / erfcx(-w / np.sqrt(2 * V))
    gamma = g * (g + w / V)
    return damping * A + (1 - damping) * x * x * gamma, damping * B + (1 - damping) * x * g


def fastest(work, repeats):
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def test_a_sweep_beside_numpy(full):
    n = 1001 if full else 51
    patterns = int(0.6 * n)
    x = np.random.default_rng(0).choice([-1.0, 1.0], (patterns, 1, n))
    bp = RelaxedBP(Patterns(x, np.ones(patterns, np.int8)), 1, n)
    bp.control()
    for _ in range(3):
        bp.sweep(0.3)
    given = bp.A, bp.B, bp.x, bp.precision, bp.field, 0.3
    expected = numpy_sweep(*given)
    with threadpool_limits(1):
        theirs = fastest(lambda: numpy_sweep(*given), 10 if full else 1)
        sums = np.empty_like(bp.field), np.empty_like(bp.field)
        sweep(*given, *sums)
        np.testing.assert_allclose(bp.B, expected[1], rtol=1e-10, atol=1e-14)
        ours = fastest(lambda: sweep(*given, *sums), 20 if full else 1)
    size = n * patterns
    print(f"\n{1e9 * ours / size:.1f} ns a message, NumPy {1e9 * theirs / size:.0f} ns, "
          f"{theirs / ours:.0f} times")  # fmt: skip
    if full:
        assert theirs > 10 * ours
