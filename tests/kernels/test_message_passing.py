"""Sweeps against the same with SciPy, small machines against enumeration, and the speed."""

import itertools
import time

import numpy as np
import pytest
from scipy.special import log_ndtr, ndtr
from scipy.stats import norm

from lsg_ray.errors import InputError
from lsg_ray.kernels import approximate_message_passing, max_sum, message_passing, normal_law
from lsg_ray.networks.factor_graph import FactorGraph, gauged


def _graph(units, n, patterns, *, full=False, exact=False, seed=0, size=0.01):
    rng = np.random.default_rng(seed)
    x = rng.choice([-1, 1], (patterns, 1 if full else units, n)).astype(np.int8)
    graph = FactorGraph(gauged(x, rng.choice([-1, 1], patterns)), units, exact=exact)
    graph.start(rng, size)
    return graph


def _means(graph):
    m = np.tanh(graph.x * graph.fields - graph.messages)
    return m, m.sum(-1, keepdims=True), (1 - m * m).sum(-1, keepdims=True)


def _perceptron_sweep(x, u, fields, damping):
    """The sweep as it is written, with SciPy."""
    m = np.tanh(x * fields - u)
    v = 1 - m * m
    w = m.sum(-1, keepdims=True) - m
    deviation = np.sqrt(np.maximum(v.sum(-1, keepdims=True) - v, 1e-9))
    new = 0.5 * (log_ndtr((w + 1) / deviation) - log_ndtr((w - 1) / deviation))
    new = np.clip(new, -500, 500)
    u = damping * u + (1 - damping) * new
    return u, (x * u).sum(axis=0), np.abs(new - u).max()


@pytest.mark.parametrize("size", [0.01, 0.1, 0.5, 2.0, 10.0])
def test_perceptron_sweep_equals_scipy(size):
    graph = _graph(1, 201, 60, size=size)
    wanted, fields, _ = _perceptron_sweep(graph.x, graph.messages, graph.fields, 0.3)
    graph.sweep(graph.fields.copy(), 0.3)
    # Where almost no variance is left, messages are as large as w²/V.
    np.testing.assert_allclose(graph.messages, wanted, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(graph.fields, fields, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("units", "n"), [(3, 101), (9, 55), (15, 21)])
def test_committee_sweep_equals_enumerated_majorities(units, n, full):
    graph = _graph(units, n, 5, full=full, size=0.3)
    m, w, variance = _means(graph)
    right = ndtr(w / np.sqrt(variance))[..., 0]
    deviation = np.sqrt(variance - (1 - m * m))
    chances = [ndtr((w - m + sign) / deviation) for sign in (1, -1)]
    wanted = np.empty_like(m)
    others = np.array(list(itertools.product([0, 1], repeat=units - 1)))
    for unit in range(units):
        p = np.delete(right, unit, axis=1)[:, None]
        law = np.where(others, p, 1 - p).prod(axis=-1)
        with_it, without = (
            (law * (others.sum(axis=1) >= least)).sum(axis=1)[:, None]
            for least in ((units - 1) // 2, (units + 1) // 2)
        )
        top, bottom = (
            with_it * chance[:, unit] + without * (1 - chance[:, unit]) for chance in chances
        )
        wanted[:, unit] = 0.5 * np.log(top / bottom)
    graph.sweep(graph.fields.copy(), 0.0)
    np.testing.assert_allclose(graph.messages, wanted, atol=1e-10)


@pytest.mark.parametrize(
    ("count", "lowest", "least"),
    [(message_passing.POINTS, 4.0, 200), (message_passing.MANY_POINTS, message_passing.ROUGH, 500)],
)
def test_messages_are_interpolated_to_1e_11_or_not_at_all(count, lowest, least):
    rule = message_passing.interpolation(count)
    values, c, t = np.empty(len(rule[0])), np.empty(count), np.linspace(-1, 1, 41)
    taken = 0
    for variance, ratio, z in itertools.product(
        (lowest, 2.5, 4.0, 6.0, 20.0, 100.0, 600.0),
        (0, 1e-200, 1e-6, 0.3, 1),
        np.linspace(-30, 30, 25),
    ):
        w = z * np.sqrt(variance)
        if variance < lowest:
            continue
        if message_passing.polynomial(w, variance, float(ratio), *rule, values, c):
            exact = [
                message_passing.gaussian_message(w - s, variance - 1 + s * s, float(ratio))
                for s in t
            ]
            np.testing.assert_allclose(np.polyval(c[::-1], t), exact, atol=1e-11)
            taken += 1
    assert taken > least


@pytest.mark.parametrize("ratio", [0.0, 1e-200, 1e-30, 1e-3, 0.5, 0.999, 1.0])
def test_messages_at_once_are_those_one_by_one(ratio):
    """However little variance is left, and however far out a sum lies."""
    t = np.linspace(-1, 1, 23)
    for variance, z in itertools.product(
        (0.1, 1.0, 3.0, 50.0), (-40.0, -9.0, -1.0, 0.0, 2.0, 30.0)
    ):
        w, new = z * np.sqrt(variance), np.empty(23)
        normal_law.gaussian_messages(t, w, variance, ratio, new)
        one_by_one = [
            normal_law.gaussian_message(w - s, variance - 1 + s * s, ratio) for s in t.tolist()
        ]
        np.testing.assert_allclose(new, one_by_one, rtol=1e-11, atol=2e-12)


def test_log_normal_far_out():
    for w in (-1e4, -300.0, -37.0, 0.0, 40.0):
        for variance in (1.0, 1e-3, 1e-9):
            scale = np.sqrt(variance)
            wanted = 0.5 * (log_ndtr((w + 1) / scale) - log_ndtr((w - 1) / scale))
            found = message_passing.gaussian_message(w, variance, 0.0)
            assert found == pytest.approx(min(wanted, 500), rel=1e-12)


def _enumerated(graph, external):
    """Return ln Z and magnetizations by all configurations."""
    units, n = graph.shape
    all_of = np.array(list(itertools.product([-1, 1], repeat=units * n)))
    weights = all_of.reshape(-1, units, n)
    h = np.stack([weights[:, k] @ graph.x[:, k % graph.x.shape[1]].T for k in range(units)], -1)
    good = weights[(np.sign(h).sum(axis=-1) > 0).all(axis=1)]
    chance = np.exp((good * external).sum(axis=(1, 2)))
    return np.log(chance.sum()), (chance[:, None, None] * good).sum(axis=0) / chance.sum()


@pytest.mark.parametrize(
    ("units", "n", "full"), [(1, 15, False), (3, 5, False), (3, 5, True), (5, 3, False)]
)
def test_exact_sums_on_a_tree(units, n, full):
    graph = _graph(units, n, 1, full=full, exact=True)
    external = 0.3 * np.random.default_rng(1).choice([-1, 1], graph.shape)
    assert graph.solve(external, 0.3, 1e-13, 500).converged
    log_z, m = _enumerated(graph, external)
    total = external + graph.fields
    assert graph.log_partition(total) == pytest.approx(log_z, abs=1e-8)
    np.testing.assert_allclose(np.tanh(total), m, atol=1e-8)


@pytest.mark.parametrize("exact", [False, True])
def test_small_machines_with_loops(exact):
    """Off trees, belief propagation is not exact: entropies per weight within 0.03 at n = 15."""
    errors = []
    for seed in range(6):
        graph = _graph(1, 15, 3, exact=exact, seed=seed)
        assert graph.solve(np.zeros((1, 15)), 0.3, 1e-10, 500).converged
        errors.append((graph.log_partition(graph.fields) - _enumerated(graph, 0.0)[0]) / 15)
    assert np.abs(errors).max() < 0.03


def test_speed_beside_numpy():
    """At least 10 times a sweep with NumPy and SciPy, N = 1,001, α = 0.6."""
    graph = _graph(1, 1001, 600)
    u, fields = graph.messages.copy(), graph.fields.copy()
    graph.sweep(fields, 0.3)
    ours, theirs = [], []
    for _ in range(5):
        start = time.perf_counter()
        graph.sweep(fields, 0.3)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        _perceptron_sweep(graph.x, u, fields, 0.3)
        theirs.append(time.perf_counter() - start)
    assert min(theirs) > 10 * min(ours)


def test_rounds_do_not_depend_on_what_ran_before():
    first, second = _graph(3, 21, 20), _graph(3, 21, 20)
    second.sweep(second.fields.copy(), 0.5)
    second.start(np.random.default_rng(9))
    second.messages[:], second.fields[:] = first.messages, first.fields
    for graph in (first, second):
        graph.sweep(graph.fields.copy(), 0.5)
    np.testing.assert_array_equal(first.messages, second.messages)


def test_max_sum_equals_brute_force():
    rng, n = np.random.default_rng(0), 7
    weights = np.array(list(itertools.product([-1, 1], repeat=n)))
    weights = weights[weights.sum(axis=1) > 0]
    found = np.empty(n)
    for _ in range(300):
        cavity = rng.normal(rng.uniform(-1, 1), 1, n)
        max_sum.pattern_messages(cavity, found, np.empty(n))
        energy = (weights @ cavity)[:, None] - weights * cavity
        up = np.where(weights > 0, energy, -np.inf).max(axis=0)
        down = np.where(weights < 0, energy, -np.inf).max(axis=0)
        np.testing.assert_allclose(found, (up - down) / 2, atol=1e-12)


@pytest.mark.parametrize("values", [[1.0], [2.0, 1.0], [3.0, 3.0, 3.0, 1.0], [5, 2, 9, 2, 7, 1]])
def test_smallest(values):
    for k, wanted in enumerate(sorted(values)):
        assert max_sum.smallest(np.array(values, float), len(values), k) == wanted


@pytest.mark.parametrize("warm", [0.0, np.exp(-4.0)])
def test_force_of_a_pattern(warm):
    for mean, step in ((-3.0, 1e-4), (0.5, 1e-4), (20.0, 1e-4)):
        log_z = [
            np.log(warm + (1 - warm) * norm.cdf(m / 2)) for m in (mean - step, mean, mean + step)
        ]
        g, slope = approximate_message_passing.pattern_force(mean, 4.0, warm)
        assert g == pytest.approx((log_z[2] - log_z[0]) / (2 * step), rel=1e-5, abs=1e-8)
        second = (log_z[2] - 2 * log_z[1] + log_z[0]) / step**2
        assert slope == pytest.approx(second, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.ones((2, 1, 4)), "4 inputs of each unit given; with an even number"),
        (np.zeros((2, 1, 3)), "inputs or labels other than ±1"),
        (np.ones((2, 3)), "patterns of shape"),
    ],
)
def test_bad_patterns(x, told):
    with pytest.raises(InputError, match=told):
        gauged(x, np.ones(2))


def test_bad_machines():
    x = np.ones((2, 1, 3), np.int8)
    with pytest.raises(InputError, match="4 hidden units given; an odd number up to 15"):
        FactorGraph(x, 4)
    with pytest.raises(InputError, match="17 hidden units given"):
        FactorGraph(x, 17)
    with pytest.raises(InputError, match="patterns of 3 units given for 5"):
        FactorGraph(np.ones((2, 3, 3), np.int8), 5)
    with pytest.raises(InputError, match="exact sums take 101 at most"):
        FactorGraph(np.ones((2, 1, 1001), np.int8), exact=True)
