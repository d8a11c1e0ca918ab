"""What all solvers of perceptrons and committees keep to, and where each of them ends."""

import numpy as np
import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import SpecError
from lsg_ray.networks.families.committee import Patterns, Stop, patterns_of
from lsg_ray.networks.sampling import prepare
from lsg_ray.networks.solvers.least_action import least_action
from lsg_ray.networks.solvers.replicated_sgd import easiest_units, kick
from lsg_ray.registry import ALGORITHMS, FAMILIES
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import parse_spec

SPHERE = {
    "least-action": {},
    "entropic-least-action": {"replicas": 3},
    "cross-entropy-sgd": {"growth": 0.05},
    "elastic-sgd": {"growth": 0.05, "coupling_growth": 0.1},
    "entropy-sgd": {"growth": 0.02, "inner_steps": 7},
}
SIGNS = {"replicated-sgd": {"replicas": 3}}
ALL = SPHERE | SIGNS


def spec_of(algorithm, options=None, *, patterns=40, widths=None, full=False, family=None, **more):
    widths = widths or ((63, 3, 1) if algorithm in SPHERE else (93, 3, 1))
    family = family or ("spherical-committee" if algorithm in SPHERE else "committee")
    network = {"family": family, "widths": widths}
    if full:
        network["options"] = {"connection": "full"}
    training = {"algorithm": algorithm, "options": options or {}, "batch_size": 20, "epochs": 600}
    return parse_spec(
        {
            "dataset": {"name": "random-patterns", "patterns": patterns, "inputs": widths[0],
                        "test_patterns": 10},
            "network": network,
            "training": training | more.pop("training", {}),
            "ensemble": {"count": 3} | more,
        }
    )  # fmt: skip


def tried(spec, configurations=(0,), trial=0):
    arena = prepare(spec, load_dataset(spec.dataset))
    return ALGORITHMS[spec.algorithm].trainer(spec, arena, None)(configurations, trial)


@pytest.mark.parametrize("units", [2, 3])
def test_parity_machines_of_signs_are_annealed_by_default(units):
    spec = parse_spec(
        {
            "dataset": {"name": "random-patterns", "patterns": 15, "inputs": 15 * units},
            "network": {"family": "parity", "widths": [15 * units, units, 1]},
            "training": {"options": {"last_beta": 8}, "epochs": 2000},
            "ensemble": {"count": 1},
        }
    )
    assert spec.algorithm == "annealing"
    (found,) = tried(spec)
    assert found.columns["errors"] == recomputed(spec, found.weights) == 0


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("units", [2, 3, 4])
def test_parity_machines_on_the_sphere_learn_by_least_action(units, full):
    n = 30
    spec = spec_of(
        "least-action", patterns=30 * units, widths=(n if full else units * n, units, 1),
        full=full, family="spherical-parity",
    )  # fmt: skip
    assert spec.replace(training={"algorithm": None}).algorithm == "least-action"
    (found,) = tried(spec)
    assert found.columns["stopped"] == Stop.SOLVED
    assert found.columns["errors"] == recomputed(spec, found.weights) == 0
    np.testing.assert_allclose((found.weights.reshape(units, n) ** 2).sum(axis=1), n, rtol=1e-6)


@pytest.mark.parametrize("product", [False, True])
def test_least_action_turns_the_unit_that_is_nearest_to_it(product):
    rng = np.random.default_rng(2)
    w, x = rng.standard_normal((3, 7)), rng.choice([-1.0, 1.0], (40, 3, 7))
    patterns = Patterns(x.astype(np.float32), rng.choice([-1, 1], 40).astype(np.int8))
    expected, wrong = w.copy(), 0
    for p, s in enumerate(patterns.s):
        h = [w[unit] @ x[p, unit] for unit in range(3)]
        tau = np.sign(h)
        if (np.prod(tau) if product else np.sign(tau.sum())) == s:
            continue
        wrong += 1
        eligible = [unit for unit in range(3) if product or tau[unit] != s]
        unit = min(eligible, key=lambda one: abs(h[one]))
        expected[unit] -= 0.3 * tau[unit] * x[p, unit]
    assert least_action(w, patterns, np.arange(40), 0.3, product=product) == wrong > 10
    np.testing.assert_allclose(w, expected, rtol=1e-12)


@pytest.mark.parametrize("sampler", ["metropolis", "reduced-rejection"])
def test_replicas_anneal_where_one_alone_is_trapped(sampler):
    more = {
        "patterns": 120,
        "widths": (401, 1),
        "family": "perceptron",
        "training": {"epochs": 1500},
    }
    alone = tried(spec_of("annealing", {}, **more), (0, 1))
    more["training"] = {"epochs": 1500}
    together = tried(spec_of("replicated-annealing", {"sampler": sampler}, **more), (0, 1))
    assert [one.columns["errors"] for one in together] == [0, 0]
    assert min(one.columns["errors"] for one in alone) > 0


def recomputed(spec, weights):
    """L_NE by the definition, pattern by pattern."""
    data, ((units, n),) = load_dataset(spec.dataset).train, spec.network.shapes
    w = weights.reshape(units, n).astype(float)
    wrong = 0
    for x, s in zip(data.x, data.y, strict=True):
        own = x.reshape(units, n) if x.size == w.size else np.tile(x, (units, 1))
        tau = np.sign((own * w).sum(axis=1))
        product = spec.network.family.endswith("parity")
        out = np.prod(tau) if product else np.sign(tau.sum())
        wrong += int(out != s)
    return wrong


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("algorithm", ALL)
def test_solves_and_says_so_only_of_solutions(algorithm, full):
    spec = spec_of(algorithm, ALL[algorithm], full=full)
    (found,) = tried(spec)
    assert found.columns["errors"] == 0
    assert recomputed(spec, found.weights) == 0
    assert found.columns["stopped"] == Stop.SOLVED
    assert found.accuracy == 1
    assert found.columns["alpha"] == pytest.approx(40 / found.weights.size)


@pytest.mark.parametrize("algorithm", ALL)
def test_is_bounded_and_says_that_it_is_not_solved(algorithm):
    spec = spec_of(algorithm, ALL[algorithm], patterns=400, training={"epochs": 3})
    (found,) = tried(spec)
    assert found.columns["stopped"] == Stop.EPOCHS
    assert found.columns["epochs"] == 3
    assert found.columns["errors"] == recomputed(spec, found.weights) > 0
    assert found.accuracy == pytest.approx(1 - found.columns["errors"] / 400)


@pytest.mark.parametrize("algorithm", ALL)
def test_a_trial_is_a_function_of_its_address(algorithm):
    spec = spec_of(algorithm, ALL[algorithm], training={"epochs": 15})
    together, alone = tried(spec, (0, 1)), tried(spec, (1,))
    np.testing.assert_array_equal(together[1].weights, alone[0].weights)
    assert together[1].columns == alone[0].columns
    assert (together[0].weights != together[1].weights).any()
    assert (tried(spec, (1,), trial=1)[0].weights != alone[0].weights).any()


@pytest.mark.parametrize("algorithm", ALL)
def test_snapshots_begin_at_the_start_and_end_with_the_solution(algorithm, tmp_path):
    spec = spec_of(algorithm, ALL[algorithm], snapshots=[0, 5, 600], seed=3)
    sample(spec, tmp_path / "kept.zarr", workers=0)
    assert verify(tmp_path / "kept.zarr").ok
    kept = open_ensemble(tmp_path / "kept.zarr")
    np.testing.assert_array_equal(kept.snapshot(600).numpy(), kept.numpy())
    assert (kept.snapshot(0).numpy() != kept.snapshot(5).numpy()).any()
    (plain,) = tried(spec.replace(ensemble={"snapshots": None}), (0,), int(kept.column("trial")[0]))
    np.testing.assert_array_equal(kept.numpy()[0], plain.weights)


@pytest.mark.parametrize("algorithm", ["elastic-sgd", "entropy-sgd"])
def test_what_is_no_longer_finite_is_no_candidate(algorithm):
    options = ALL[algorithm] | {"step": 1e308}
    (found,) = tried(spec_of(algorithm, options, training={"epochs": 50}))
    assert found.columns["stopped"] == Stop.DIVERGED
    assert found.columns["epochs"] < 50
    assert np.isnan(found.accuracy)


# Ordering of the tree committee, K = 9, n = 55, α = 1: epochs of the reference protocol.
EPOCHS = {
    "least-action": ({}, 20, 60),
    "entropic-least-action": ({}, 55, 80),
    "fast": ({}, 173, 173),
    "slow": ({"growth": 0.004}, 853, 853),
}


@pytest.fixture(scope="module")
def of_tree():
    """Specification and first trial of configuration 0 of each algorithm."""
    found = {}
    for name, (options, _, _) in EPOCHS.items():
        spec = spec_of(
            "cross-entropy-sgd" if name in ("fast", "slow") else name, options, patterns=495,
            widths=(495, 9, 1), training={"batch_size": 100, "epochs": 1000},
        )  # fmt: skip
        found[name] = (spec, tried(spec)[0])
    return found


@pytest.mark.parametrize("name", EPOCHS)
def test_epochs_on_the_tree_committee(of_tree, name):
    _, least, most = EPOCHS[name]
    found = of_tree[name][1]
    assert found.columns["errors"] == 0
    assert least <= found.columns["epochs"] <= most


def test_slow_descent_is_flatter_than_fast_and_that_than_least_action(of_tree):
    """Errors of weights at overlap 0.9 with the solution, mean of 200: the order of the volumes."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((200, 495)) * np.sqrt(1 / 0.9**2 - 1)
    rise = {}
    for name, (spec, found) in of_tree.items():
        family, arena = FAMILIES[spec.network.family], prepare(spec, load_dataset(spec.dataset))
        rise[name] = family.errors(spec.network, found.weights + noise, arena.train).mean()
    assert rise["least-action"] > 1.3 * rise["fast"]
    assert rise["least-action"] > 1.3 * rise["entropic-least-action"]
    assert min(rise["fast"], rise["entropic-least-action"]) > 1.1 * rise["slow"]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("norm", ["fixed", "free"])
def test_plain_descent_solves_easy_patterns(optimizer, norm):
    options = {"growth": 0, "beta": 1, "gamma": 3, "optimizer": optimizer, "norm": norm,
               "step": 2.0 if optimizer == "sgd" else 0.02}  # fmt: skip
    (found,) = tried(spec_of("cross-entropy-sgd", options, patterns=20))
    assert found.columns["errors"] == 0


@pytest.mark.parametrize("centre", ["mean", "explicit"])
def test_elastic_replicas_have_a_centre_that_solves(centre):
    options = SPHERE["elastic-sgd"] | {"centre": centre}
    (found,) = tried(spec_of("elastic-sgd", options))
    assert found.columns["errors"] == 0


@pytest.mark.parametrize("formula", ["simple", "corrected", "hard", "continuous", "explicit"])
def test_every_formula_of_the_centre_solves(formula):
    spec = spec_of(
        "replicated-sgd", {"formula": formula}, patterns=32, widths=(51, 5, 1), full=True,
        training={"batch_size": 10},
    )  # fmt: skip
    (found,) = tried(spec)
    assert found.columns["errors"] == 0


def test_replicas_wait_for_their_centre():
    spec = spec_of("replicated-sgd", {"wait_for_centre": True, "start": "random"})
    (found,) = tried(spec)
    assert found.columns["errors"] == 0


def test_units_that_move_are_those_that_turn_the_output():
    rng = np.random.default_rng(0)
    spec = spec_of("replicated-sgd", widths=(75, 5, 1))
    w = rng.choice([-1, 1], (5, 15)).astype(np.int8)
    x, s = rng.choice([-1, 1], (60, 75)), rng.choice([-1, 1], 60)
    patterns = patterns_of(spec.network, x, s)
    chosen, units = easiest_units(w, patterns, np.arange(60))
    for p in range(60):
        h = (patterns.x[p] * w).sum(axis=1) * s[p]
        missing = max(0, (h < 0).sum() - 2)
        depths = np.sort(-h[h < 0])[:missing]
        assert (chosen == p).sum() == missing
        np.testing.assert_array_equal(np.sort(-h[units[chosen == p]]), depths)


def test_kicks_are_those_of_their_formulas():
    w = np.array([[[1, -1]], [[1, 1]], [[1, -1]]], np.int8)
    mean = w.mean(axis=0)
    gamma = 0.2
    np.testing.assert_allclose(kick(mean, w, gamma, "simple")[0, 0, 0], np.tanh(0.6) - 1)
    np.testing.assert_allclose(kick(mean, w, gamma, "corrected")[:, 0, 0], 0, atol=1e-15)
    np.testing.assert_allclose(kick(mean, w, gamma, "hard")[1, 0, 1], -0.2 - 1)
    np.testing.assert_allclose(kick(mean, w, gamma, "continuous")[1, 0, 1], -1 / 3 - 1)


BAD = [
    ("replicated-sgd", {"replicas": 4}, {}, "training.options.replicas: 4 given; an odd number"),
    ("replicated-annealing", {"replicas": 6}, {}, "training.options.replicas: 6 given; an odd"),
    ("replicated-annealing", {"coupling": -1}, {}, "training.options.coupling: -1 given"),
    ("annealing", {}, {"snapshots": {"steps": [0, 1]}}, "ensemble.snapshots: steps given"),
    ("annealing", {}, {"widths": (90, 3, 1)}, "30 inputs of each unit given; with ±1 weights"),
    ("annealing", {}, {"widths": (92, 4, 1)}, "4 hidden units given; an odd number"),
    ("replicated-sgd", {"formula": "soft"}, {}, "training.options.formula: 'soft' given"),
    ("cross-entropy-sgd", {"beta": 0}, {}, "training.options.beta: 0 given"),
    ("cross-entropy-sgd", {"gamma": float("nan")}, {}, "training.options.gamma: nan given"),
    ("elastic-sgd", {"replicas": 1}, {}, "training.options.replicas: 1 given"),
    ("entropy-sgd", {"average": 1}, {}, "training.options.average: 1 given"),
    ("entropic-least-action", {"coupling": 2}, {}, "training.options.coupling: 2 given"),
    ("least-action", {"speed": 2}, {}, "training.options.speed"),
    ("elastic-sgd", {}, {"training": {"learning_rate": 1}}, "training.learning_rate: 1.0 given"),
    ("entropy-sgd", {}, {"family": "committee"}, "committee networks are trained by"),
]


@pytest.mark.parametrize(("algorithm", "options", "more", "told"), BAD)
def test_bad_options_are_one_line(algorithm, options, more, told):
    with pytest.raises(SpecError) as error:
        spec_of(algorithm, options, **more)
    lines = [line for line in str(error.value).splitlines() if told in line]
    assert len(lines) == 1


def test_a_solver_of_committees_belongs_to_their_families():
    for name in ALL:
        for family in ALGORITHMS[name].families:
            assert hasattr(FAMILIES[family], "outcome")


@pytest.mark.parametrize("algorithm", ALL)
def test_the_first_snapshot_is_where_a_trial_starts(algorithm):
    spec = spec_of(algorithm, ALL[algorithm], snapshots=[0])
    (found,) = tried(spec)
    (again,) = tried(spec.replace(training={"epochs": 1}))
    np.testing.assert_array_equal(found.snapshots, again.snapshots)
    if "replicas" not in ALL[algorithm] and algorithm != "elastic-sgd":
        family = FAMILIES[spec.network.family]
        start = family.starts(spec, [seed_sequence(0, Stream.TRIAL, 0, 0)])
        np.testing.assert_array_equal(found.snapshots, start)


def test_snapshots_by_steps_are_those_of_the_mini_batches():
    spec = spec_of("entropic-least-action", {"replicas": 3}, snapshots={"steps": [0, 1, 2, 3]})
    (found,) = tried(spec)
    assert len({row.tobytes() for row in found.snapshots}) == 4
    by_epoch = tried(spec.replace(ensemble={"snapshots": [0, 1]}))[0].snapshots
    np.testing.assert_array_equal(by_epoch, found.snapshots[[0, 2]])
