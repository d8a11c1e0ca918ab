"""Belief propagation: exact on trees, equal to plain NumPy elsewhere, and honest where it fails."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.errors import InputError
from lsg_ray.ising import bp as module
from lsg_ray.ising.bp import belief_propagation, bethe_averages
from lsg_ray.ising.model import IsingModel, enumerate_model

from .test_model import couplings


def tree(n, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    J = np.zeros((n, n))
    for i in range(1, n):
        parent = rng.integers(i)
        J[i, parent] = J[parent, i] = scale * rng.normal()
    return IsingModel(J, rng.normal(size=n))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 14), seed=st.integers(0, 2**32 - 1), beta=st.sampled_from([0.3, 1.0, -1.2]))
def test_trees__are_exact(n, seed, beta):
    model = tree(n, seed)
    exact = enumerate_model(model, beta)
    beliefs = belief_propagation(model, beta=beta, tolerance=1e-13)
    averages = bethe_averages(model, beliefs, beta=beta)
    assert beliefs.converged.all()
    assert beliefs.iterations[0] <= 2 * n + 4
    np.testing.assert_allclose(beliefs.m[0], exact.m, atol=1e-10)
    edges = model.J != 0
    np.testing.assert_allclose(averages.C[0][edges], exact.C[edges], atol=1e-10)
    np.testing.assert_allclose(averages.log_Z[0], exact.log_Z, atol=1e-9)
    np.testing.assert_allclose(averages.energy[0], beta * exact.energy, atol=1e-9)
    np.testing.assert_allclose(averages.entropy[0], exact.entropy, atol=1e-9)


def plain_sweep(messages, J, h):
    """[j, i] = m_{j→i} to the same, by the formula."""
    u = np.arctanh(np.tanh(J) * messages)
    H = h + u.sum(axis=0)
    return np.tanh(H[:, None] - u.T), np.tanh(H)


@pytest.mark.parametrize("n", [2, 3, 31, 32, 33, 100, 515])
def test_sweeps__are_those_of_the_formula(n):
    rng = np.random.default_rng(n)
    J, h = couplings(n, seed=n, scale=0.7 / np.sqrt(n))
    start = rng.uniform(-0.9, 0.9, (n, n))
    expected = start
    for _ in range(6):
        expected, _ = plain_sweep(expected, J, h)
    beliefs = belief_propagation((J, h), start=start, max_sweeps=6, tolerance=1e-300, damping=0.0)
    off = ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(beliefs.messages[0][off], expected[off], atol=1e-12)
    assert beliefs.iterations[0] == 6


def test_batches__equal_single_problems_and_threads_change_nothing():
    J, h = couplings(40, scale=0.1)
    rng = np.random.default_rng(1)
    fields = rng.normal(size=(5, 40))
    together = belief_propagation((J, h), fields=fields, beta=[0.5, 1, 1, 1, 0.7], threads=2)
    for b, beta in enumerate([0.5, 1, 1, 1, 0.7]):
        alone = belief_propagation((J, h), fields=fields[b], beta=beta, threads=1)
        np.testing.assert_array_equal(alone.messages[0], together.messages[b])
    scaled = belief_propagation((0.5 * J, fields[0]))
    np.testing.assert_array_equal(scaled.m[0], together.m[0])


def test_damping__brings_rest_where_plain_sweeps_oscillate():
    """An antiferromagnet: every spin answers to all others at once, and overshoots."""
    n = 50
    model = IsingModel(-(np.ones((n, n)) - np.eye(n)) * 8 / n, np.full(n, 0.3))
    plain = belief_propagation(model, damping=0.0)
    assert not plain.converged[0]
    assert plain.iterations[0] == 2000
    assert plain.residual[0] > 0.1
    damped = belief_propagation(model)
    assert damped.converged[0]
    assert 0 < damped.damping[0] < 1
    m, C = damped.m[0], bethe_averages(model, damped).C[0]
    assert 0 < m.min() <= m.max() < 0.1
    assert C[0, 1] < m[0] ** 2


def test_symmetry__fields_turned_over_turn_everything_over():
    J, h = couplings(20, scale=0.2)
    up, down = belief_propagation((J, h)), belief_propagation((J, -h))
    np.testing.assert_allclose(up.m, -down.m, atol=1e-12)
    a, b = bethe_averages((J, h), up), bethe_averages((J, -h), down)
    np.testing.assert_allclose(a.log_Z, b.log_Z, atol=1e-10)


def test_strong_couplings__stay_finite():
    model = IsingModel([[0, 60.0, 0], [60, 0, -60], [0, -60, 0]], [0.1, 0, 0])
    beliefs = belief_propagation(model)
    assert beliefs.converged[0]
    np.testing.assert_allclose(beliefs.m[0], np.tanh(0.1) * np.array([1, 1, -1]), atol=1e-6)
    assert np.isfinite(bethe_averages(model, beliefs).log_Z).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": np.zeros(3)}, r"fields of shape \(3,\)"),
        ({"fields": [np.nan] * 5}, "field 0 of problem 0 is nan"),
        ({"beta": np.inf}, "beta"),
        ({"beta": [1, 2, 3], "fields": np.zeros((2, 5))}, "3 values of beta given for 2 problems"),
        ({"start": np.zeros((4, 4))}, "start of shape"),
        ({"start": np.full((5, 5), 2)}, "outside"),
        ({"damping": 1}, "damping 1 given"),
        ({"tolerance": 0}, "tolerance 0"),
    ],
)
def test_misfits__are_refused(options, message):
    with pytest.raises(InputError, match=message):
        belief_propagation(couplings(5), **options)


@pytest.mark.parametrize("n", [2, 31, 100, 515])
@pytest.mark.parametrize("beta", [1.0, -0.6])
def test_single_precision__has_the_fixed_point_of_double(n, beta):
    J, h = couplings(n, seed=n, scale=0.5 / np.sqrt(n))
    double = belief_propagation((J, h), beta=beta)
    for coupling in (J, J.astype(np.float32)):
        single = belief_propagation((coupling, h), beta=beta, precision="single")
        assert single.converged.all()
        assert single.messages.dtype == np.float32
        off = ~np.eye(n, dtype=bool)
        np.testing.assert_allclose(single.m, double.m, atol=1e-5)
        np.testing.assert_allclose(single.messages[0][off], double.messages[0][off], atol=1e-5)
    averages = [bethe_averages((J, h), b, beta=beta) for b in (single, double)]
    np.testing.assert_allclose(averages[0].log_Z, averages[1].log_Z, rtol=1e-6, atol=1e-5 * n)
    np.testing.assert_allclose(averages[0].C, averages[1].C, atol=1e-5)


def test_single_precision__is_that_of_large_models_and_has_a_least_tolerance(monkeypatch):
    J, h = couplings(9, seed=0, scale=0.1)
    assert belief_propagation((J, h)).messages.dtype == np.float64
    monkeypatch.setattr(module, "CONFIG", module.PrecisionConfig(double=8))
    assert belief_propagation((J, h)).messages.dtype == np.float32
    assert belief_propagation((J, h), precision="double").messages.dtype == np.float64
    with pytest.raises(InputError, match="tolerance 1e-10 given; messages in single precision"):
        belief_propagation((J, h), tolerance=1e-10)
    for wrong, words in (
        (np.ones((9, 9), np.float32), "the diagonal of J must be zero"),
        (np.triu(J, 1).astype(np.float32), "J must be symmetric"),
        (np.float32(np.nan) * J.astype(np.float32), r"J\[0, 0\] is nan"),
        (J[:4].astype(np.float32), r"J of shape \(4, 9\)"),
    ):
        with pytest.raises(InputError, match=words):
            belief_propagation((wrong, h), precision="single")


def test_messages_beyond_the_memory__are_refused_before_they_are_there(monkeypatch):
    J, h = couplings(40, seed=0, scale=0.1)
    need = 8 * (5 + 2) * 40**2
    monkeypatch.setattr(module, "CONFIG", module.PrecisionConfig(bytes=need))
    belief_propagation((J, h), fields=np.zeros((5, 40)))
    monkeypatch.setattr(module, "CONFIG", module.PrecisionConfig(bytes=need - 1))
    with pytest.raises(
        InputError, match=r"of 5 problem\(s\) of 40 spins take .* precision='single'"
    ):
        belief_propagation((J, h), fields=np.zeros((5, 40)))
    belief_propagation((J, h), fields=np.zeros((5, 40)), precision="single")
