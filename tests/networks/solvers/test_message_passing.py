"""Solvers by message passing: they solve, stop for a stated reason, and repeat themselves."""

import numpy as np
import pytest
from scipy.special import log_ndtr

from lsg_ray.datasets import load_dataset
from lsg_ray.errors import InputError
from lsg_ray.networks.factor_graph import gauged
from lsg_ray.networks.families.committee import Stop
from lsg_ray.networks.solvers import focusing_bp, max_sum, reinforced_amp, reinforced_bp
from lsg_ray.networks.solvers.focusing_bp import Focus, protocol, pull, through
from lsg_ray.networks.solvers.sweeps import search
from lsg_ray.registry import ALGORITHMS, FAMILIES
from lsg_ray.spec import parse_spec

SOLVERS = ("focusing-bp", "reinforced-bp", "reinforced-amp", "max-sum")


def _spec(algorithm, *, family="perceptron", widths=(301, 1), patterns=120, **sections):
    given = {
        "name": "toy",
        "dataset": {"name": "random-patterns", "patterns": patterns, "inputs": widths[0]},
        "network": {"family": family, "widths": list(widths), **sections.get("network", {})},
        "training": {"algorithm": algorithm, "epochs": 1000, **sections.get("training", {})},
        "ensemble": {"count": 2, **sections.get("ensemble", {})},
    }
    return parse_spec(given)


def _run(spec, configurations=(0,), trial=0):
    family = FAMILIES[spec.network.family]
    arena = family.prepare(spec, load_dataset(spec.dataset))
    return arena, ALGORITHMS[spec.algorithm].trainer(spec, arena, None)(configurations, trial)


@pytest.mark.parametrize("algorithm", SOLVERS)
def test_solves_and_repeats(algorithm):
    spec = _spec(algorithm, ensemble={"snapshots": [0, 5, 900]})
    arena, (one, other) = _run(spec, (0, 1))
    for found in (one, other):
        assert found.accuracy == 1
        assert found.columns["errors"] == 0
        assert found.columns["stopped"] == Stop.SOLVED
        assert 0 < found.columns["epochs"] < 1000
        h = arena.train.x[:, 0] @ found.weights.astype(float)
        assert (h * arena.train.s > 0).all()
        assert found.snapshots.shape == (3, 301)
        np.testing.assert_array_equal(found.snapshots[2], found.weights)
    assert (one.weights != other.weights).any()
    (again,) = _run(spec, (1,))[1]
    np.testing.assert_array_equal(again.weights, other.weights)
    np.testing.assert_array_equal(again.snapshots, other.snapshots)


@pytest.mark.parametrize(
    ("algorithm", "connection", "widths", "patterns"),
    [
        ("focusing-bp", "tree", (275, 5, 1), 110),
        ("focusing-bp", "full", (101, 5, 1), 120),
        ("reinforced-bp", "tree", (275, 5, 1), 80),
    ],
)
def test_solves_committees(algorithm, connection, widths, patterns):
    spec = _spec(
        algorithm, family="committee", widths=widths, patterns=patterns,
        network={"options": {"connection": connection}},
    )  # fmt: skip
    _, (found,) = _run(spec)
    assert found.columns["errors"] == 0


@pytest.mark.parametrize("algorithm", SOLVERS)
def test_no_solution_where_sweeps_are_few(algorithm):
    spec = _spec(algorithm, patterns=270, training={"epochs": 3})
    _, (found,) = _run(spec)
    assert found.accuracy < 1
    assert found.columns["errors"] > 0
    assert found.columns["epochs"] == 3
    assert found.columns["stopped"] == Stop.EPOCHS


@pytest.mark.parametrize(
    "options",
    [
        {"protocol": "standard"},
        {"protocol": "scoping"},
        {"protocol": "free", "gammas": [0.5] * 40 + [1.5] * 99, "ys": [2] * 40 + [9] * 99},
        {"sweeps": 2, "step": 0.01},
    ],
)
def test_protocols_solve(options):
    spec = _spec("focusing-bp", patterns=90, training={"options": options})
    _, (found,) = _run(spec)
    assert found.columns["errors"] == 0


def _problem(n, load, seed):
    rng = np.random.default_rng(seed)
    x = gauged(rng.choice([-1, 1], (int(load * n), 1, n)), np.ones(int(load * n)))
    wide = x[:, 0].astype(np.float32)
    return x, lambda h: int((wide @ np.where(h[0] >= 0, 1, -1).astype(np.float32) <= 0).sum())


@pytest.mark.parametrize("load", [0.5, 0.6, 0.7])
def test_focusing_solves_at_full_size(load):
    x, errors = _problem(1001, load, 0)
    fields = focusing_bp.focusing(x, 1, focusing_bp.Options(), np.random.default_rng(100))
    found = search(fields, errors, 1000)
    assert found.stopped == Stop.SOLVED
    assert errors(found.weights) == 0
    assert found.epochs < 450


def test_why_a_search_stops():
    def fields(*rows):
        yield from (np.array([[float(row)]]) for row in rows)

    errors = {0.0: 3, 1.0: 2, 2.0: 0}

    def wrong(h):
        return errors[h[0, 0]]

    assert search(fields(0, 1, 2, 1), wrong, 10).stopped == Stop.SOLVED
    assert search(fields(0, 1, 1), wrong, 10)[1:3] == (2, Stop.PROTOCOL)
    assert search(fields(0, 1, 1), wrong, 1).stopped == Stop.EPOCHS
    assert search(fields(0, np.nan), wrong, 5).stopped == Stop.DIVERGED
    visited = []
    search(fields(0, 1, 1, 2), wrong, 10, lambda h: visited.append(float(h[0, 0])))
    assert visited == [0, 1, 1]


def test_pulls_and_their_limits():
    h = np.array([-3.0, -0.4, 0.0, 0.2, 5.0])
    direct = np.arctanh(np.tanh(0.7) * np.tanh(h))
    np.testing.assert_allclose(through(0.7, h), direct, atol=1e-14)
    assert np.isfinite(through(400.0, np.array([-900.0, 900.0]))).all()
    np.testing.assert_array_equal(pull(Focus(0.7, 1), h), 0)
    np.testing.assert_allclose(pull(Focus(np.inf, 3), h), 2 * h)
    many = pull(Focus(0.7, 1e9), h[h != 0])
    np.testing.assert_allclose(many, 0.7 * np.sign(h[h != 0]))


def test_protocols():
    steps = list(protocol(focusing_bp.Options(step=0.25)))
    assert steps[0] == Focus(0.0, 1.0)
    np.testing.assert_allclose(np.tanh([s.gamma for s in steps]), np.sqrt([0, 0.25, 0.5, 0.75]))
    np.testing.assert_allclose(
        [s.y for s in steps[1:]], [(2 - r) / (1 - r) for r in (0.25, 0.5, 0.75)]
    )
    standard = list(protocol(focusing_bp.Options(protocol="standard", step=0.5)))
    assert standard == [Focus(np.inf, 1), Focus(np.inf, 2)]
    scoping = list(protocol(focusing_bp.Options(protocol="scoping")))
    assert len(scoping) == 101
    assert scoping[-1] == Focus(10.0, 21.0)
    assert len(list(protocol(focusing_bp.Options()))) == 200
    assert len(list(protocol(focusing_bp.Options(), hard=True))) == 500


def test_amp_equals_numpy():
    x, _ = _problem(333, 0.5, 1)
    options = reinforced_amp.Options(rate=0.1, inverse_temperature=4.0, noise=0)
    fields = reinforced_amp.amp(
        reinforced_amp.packed(x[:, 0]), 333, options, np.random.default_rng(2)
    )
    wide, warm = x[:, 0].astype(float), np.exp(-4.0)
    h, g = next(fields)[0], np.zeros(len(x))
    for t in range(1, 4):
        a = np.tanh(h)
        variance = (1 - a * a).sum()
        z = (wide @ a - variance * g) / np.sqrt(variance)
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi * variance)
        g = (1 - warm) * density / (warm + (1 - warm) * np.exp(log_ndtr(z)))
        slope = -g * (z / np.sqrt(variance) + g)
        h = wide.T @ g - a * slope.sum() + (1 - 0.9**t) * h
        np.testing.assert_allclose(next(fields)[0], h, atol=2e-5)


def test_wrong_patterns_of_bits():
    x, errors = _problem(77, 3, 2)
    words = reinforced_amp.packed(x[:, 0])
    weights = np.random.default_rng(0).normal(size=77)
    assert reinforced_amp.wrong(words, weights) == errors(weights[None])


def test_amp_of_no_temperature_above_capacity_is_no_solution():
    options = {"inverse_temperature": None, "rate": 0.05}
    spec = _spec("reinforced-amp", patterns=600, training={"options": options, "epochs": 50})
    _, (found,) = _run(spec)
    assert found.columns["errors"] > 0
    assert found.accuracy != 1


def test_random_reinforcement():
    spec = _spec("reinforced-bp", patterns=90, training={"options": {"random": True}})
    _, (found,) = _run(spec)
    assert found.columns["errors"] == 0


def test_scaled_fields_of_max_sum_keep_their_signs(monkeypatch):
    x, _ = _problem(101, 0.5, 3)
    runs = []
    for far in (1e50, 4.0):
        monkeypatch.setattr(max_sum, "_FAR", far)
        fields = max_sum.max_sum(x, max_sum.Options(), np.random.default_rng(0))
        runs.append([np.sign(next(fields)[0]) for _ in range(30)])
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.parametrize(
    ("family", "widths", "training", "told"),
    [
        ("committee", (275, 5, 1), {"algorithm": "max-sum"}, "max-sum"),
        ("spherical-perceptron", (301, 1), {"algorithm": "focusing-bp"}, "focusing-bp"),
        ("perceptron", (300, 1), {}, "odd number"),
        ("committee", (220, 4, 1), {}, "4 hidden units given"),
        ("perceptron", (301, 1), {"options": {"damping": 1.0}}, "damping"),
        ("perceptron", (301, 1), {"options": {"exponent": 0.7}}, "exponent"),
        ("perceptron", (301, 1), {"options": {"protocol": "free"}}, "0 gammas and 0 ys"),
        ("perceptron", (301, 1), {"options": {"protocol": "free", "gammas": [-1.0], "ys": [2]}},
         "gammas from 0"),
    ],
)  # fmt: skip
def test_bad_specifications(family, widths, training, told):
    training = {"algorithm": "focusing-bp", **training}
    with pytest.raises(InputError, match=told):
        _spec(training["algorithm"], family=family, widths=widths, training=training)


def test_bad_inputs_and_times():
    with pytest.raises(InputError, match="steps given"):
        _spec("focusing-bp", ensemble={"snapshots": {"steps": [0, 1]}})
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="other than ±1"):
        gauged(rng.normal(size=(3, 1, 5)), np.ones(3))


def test_rates_of_zero_read_belief_propagation_as_it_is():
    x, _ = _problem(201, 0.3, 0)
    options = reinforced_bp.Options(rate=0, noise=0)
    fields = reinforced_bp.reinforced(x, 1, options, np.random.default_rng(0))
    rest = [next(fields) for _ in range(80)]
    np.testing.assert_allclose(rest[-1], rest[-2], atol=1e-6)


@pytest.mark.parametrize("algorithm", ["focusing-bp", "reinforced-bp", "max-sum"])
def test_too_many_messages(algorithm, monkeypatch):
    spec = _spec(algorithm)
    dataset = load_dataset(spec.dataset)
    ALGORITHMS[algorithm].check(spec, dataset)
    monkeypatch.setattr("lsg_ray.networks.solvers.sweeps.MAX_BYTES", 1000)
    with pytest.raises(InputError, match="messages of 120 patterns to 301 weights take"):
        ALGORITHMS[algorithm].check(spec, dataset)
