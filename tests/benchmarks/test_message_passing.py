"""Sweeps of message passing beside the same in NumPy and SciPy, in one process on one core.

At toy size an ordinary test; at full size (a minute):

    OMP_NUM_THREADS=1 pytest tests/benchmarks/test_message_passing.py --benchmark-enable -s
"""

import resource
import time

import numpy as np
from scipy.special import log_ndtr

from lsg_ray.networks.factor_graph import FactorGraph, gauged
from lsg_ray.networks.solvers import reinforced_amp
from lsg_ray.networks.solvers.focusing_bp import Focus, pull, through

#: Of focusing belief propagation halfway through its protocol.
FOCUS = Focus(0.88, 3.0)


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def patterns(n: int, load: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    count = int(load * n)
    return gauged(rng.choice([-1, 1], (count, 1, n)), np.ones(count))


def numpy_sweep(x, u, total, damping=0.5):
    m = np.tanh(x * total - u)
    v = 1 - m * m
    w = m.sum(axis=-1, keepdims=True) - m
    deviation = np.sqrt(np.maximum(v.sum(axis=-1, keepdims=True) - v, 1e-9))
    new = 0.5 * (log_ndtr((w + 1) / deviation) - log_ndtr((w - 1) / deviation))
    return damping * u + (1 - damping) * new


def numpy_pull(h):
    def through_it(x):
        return np.arctanh(np.tanh(FOCUS.gamma) * np.tanh(x))

    return through_it((FOCUS.y - 1) * through_it(h))


def test_bp_and_focusing_sweeps_against_numpy(full):
    n, repeats = (1001, 15) if full else (101, 2)
    graph = FactorGraph(patterns(n, 0.6))
    graph.start(np.random.default_rng(1))
    for _ in range(20):
        graph.sweep(graph.fields.copy(), 0.5)
    x, u, h = graph.x, graph.messages.copy(), graph.fields.copy()
    ratios = {}
    for name, ours, theirs in (
        ("belief propagation", lambda: graph.sweep(h, 0.5), lambda: numpy_sweep(x, u, h)),
        ("focusing", lambda: graph.sweep(h + pull(FOCUS, h), 0.5),
         lambda: numpy_sweep(x, u, h + numpy_pull(h))),
    ):  # fmt: skip
        mine, other = (np.median([timed(work) for _ in range(repeats)]) for work in (ours, theirs))
        ratios[name] = other / mine
        print(f"\n{name}, N = {n}: {1e3 * mine:.2f} ms, NumPy {1e3 * other:.1f} ms, "
              f"{other / mine:.0f} times")  # fmt: skip
    np.testing.assert_allclose(pull(FOCUS, h), numpy_pull(h), atol=1e-12)
    assert np.isfinite(through(0.5, h)).all()
    if full:
        assert min(ratios.values()) >= 10


def test_memory_of_messages_is_all_there_is(full):
    """8 P N bytes of messages, one byte an input, and nothing else that grows with P N."""
    import tracemalloc

    n = 2001 if full else 401
    x = patterns(n, 0.5)
    graph = FactorGraph(x)
    graph.sweep(graph.fields.copy(), 0.5)
    tracemalloc.start()
    graph = FactorGraph(x)
    graph.start(np.random.default_rng(0))
    graph.sweep(graph.fields.copy(), 0.5)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.1 * graph.messages.nbytes + 200 * 8 * n


def test_large_amp_in_bounded_memory(full):
    """10⁵ inputs, 5·10⁴ patterns, solved: 625 MB of bits; some 1.5 s a sweep on one core."""
    n, count = (100_001, 50_000) if full else (3201, 1600)
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, (count, -(-n // 32)), dtype=np.uint32)
    assert words.nbytes <= n * count / 8 + 4 * count
    options = reinforced_amp.Options(rate=0.02, inverse_temperature=None)
    fields = reinforced_amp.amp(words, n, options, rng)
    next(fields)
    seconds, wrong = [], count
    while wrong and len(seconds) < 400:
        began = time.perf_counter()
        h = next(fields)[0]
        seconds.append(time.perf_counter() - began)
        if len(seconds) % 5 == 0:
            wrong = reinforced_amp.wrong(words, h)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nN = {n}, P = {count}: {wrong} wrong after {len(seconds)} sweeps of "
          f"{np.median(seconds):.2f} s, peak memory {peak:,.0f} MiB")  # fmt: skip
    assert wrong == 0
    if full:
        assert peak < 1500
