"""Local entropy of ±1 weights against enumeration, sampling, replica theory and its identities."""

import matplotlib.figure
import numpy as np
import pytest

import lsg_ray
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.errors import InputError
from lsg_ray.minima.theory.densest import densest
from lsg_ray.minima.theory.gaussian import binary_entropy
from lsg_ray.minima.theory.replica_symmetric import symmetric_state
from lsg_ray.minima.weight_enumerator import GAMMAS, all_solutions, weight_enumerator
from lsg_ray.networks.factor_graph import FactorGraph, gauged
from lsg_ray.networks.sampling import prepare, sample_configurations
from lsg_ray.networks.solvers.focusing_bp import Focus
from lsg_ray.report.figures.local_entropy import local_entropy_caption, local_entropy_figure
from lsg_ray.spec import parse_spec
from lsg_ray.stages import stage_of
from tests.minima.enumeration import enumerate_solutions, right_configurations, sampled_entropy
from tests.minima.focused import focused


def _patterns(patterns, n, units=1, *, full=False, seed=0):
    rng = np.random.default_rng(seed)
    return gauged(rng.choice([-1, 1], (patterns, 1 if full else units, n)), np.ones(patterns))


def _solution(x, units, seed=0):
    """A random solution, found by trying."""
    rng = np.random.default_rng(seed)
    weights = rng.choice(np.array([-1, 1], np.int8), (20_000, units, x.shape[-1]))
    return weights[np.flatnonzero(right_configurations(x, weights))[0]]


def _deviations(x, units, *, exact):
    reference = _solution(x, units)
    graph = FactorGraph(x, units, exact=exact)
    result = weight_enumerator(graph, reference.astype(float), tolerance=1e-12)
    counts = enumerate_solutions(x, reference)
    assert result.converged.all()
    free = np.array([counts.log_partition(gamma) for gamma in GAMMAS])
    overlap = np.array([counts.overlap(gamma) for gamma in GAMMAS])
    entropy = free - np.array(GAMMAS) * overlap
    return [
        np.abs(a - b).max()
        for a, b in (
            (result.log_partition, free),
            (result.entropy, entropy),
            (result.overlap, overlap),
        )
    ]


@pytest.mark.parametrize(
    ("units", "n", "full"), [(1, 15, False), (3, 5, False), (3, 5, True), (5, 3, False)]
)
def test_one_pattern_is_a_tree(units, n, full):
    assert max(_deviations(_patterns(1, n, units, full=full), units, exact=True)) < 1e-8


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    ("units", "n", "patterns", "full", "accuracy"),
    [
        (1, 21, 4, False, 0.03), (1, 21, 8, False, 0.15), (3, 7, 4, False, 0.03),
        (3, 5, 3, True, 0.07),
    ],
)  # fmt: skip
def test_loops_against_enumeration(units, n, patterns, full, accuracy, exact):
    """At N = 15 and 21 loops are short: to so much per weight, at any field; of five instances."""
    x = _patterns(patterns, n, units, full=full)
    assert max(_deviations(x, units, exact=exact)) < accuracy


def test_enumeration_counts_and_sampling_agree():
    x = _patterns(3, 15)
    reference = _solution(x, 1)
    counts = enumerate_solutions(x, reference)
    assert counts.solutions[0] == 1
    total = int(counts.solutions.sum())
    assert counts.log_partition(0.0) == pytest.approx(np.log(total) / 15)
    h = 1e-5
    slope = (counts.log_partition(0.7 + h) - counts.log_partition(0.7 - h)) / (2 * h)
    assert slope == pytest.approx(counts.overlap(0.7), abs=1e-8)
    for flips in (2, 5):
        result, error = sampled_entropy(x, reference, flips, 20_000, np.random.default_rng(0))
        assert abs(result - np.log(counts.solutions[flips]) / 15) < 4 * error
    none = sampled_entropy(-x[:1], -reference, 15, 10, np.random.default_rng(0))
    assert none[0] == -np.inf or none[1] >= 0


def test_no_patterns_leave_all_configurations():
    graph = FactorGraph(np.ones((0, 3, 7), np.int8), 3)
    result = weight_enumerator(graph, np.ones((3, 7)))
    np.testing.assert_allclose(
        result.entropy, binary_entropy((1 - np.tanh(GAMMAS)) / 2), atol=1e-12
    )
    np.testing.assert_allclose(result.entropy, result.bound, atol=1e-12)


@pytest.mark.parametrize(("alpha", "scatter"), [(0.2, 0.006), (0.4, 0.015), (0.6, 0.02)])
def test_entropy_of_all_solutions_beside_replica_theory(alpha, scatter):
    values = []
    for seed in range(3):
        graph = FactorGraph(_patterns(round(alpha * 1001), 1001, seed=seed))
        entropy, settled = all_solutions(graph)
        assert settled
        values.append(entropy)
    assert np.mean(values) == pytest.approx(symmetric_state(alpha).entropy, abs=scatter)


@pytest.mark.parametrize("focus", [Focus(0.3, 5.0), Focus(0.8, 2.0)])
@pytest.mark.parametrize(
    ("units", "n", "patterns", "exact", "accuracy"),
    [(1, 51, 20, True, 1e-5), (3, 15, 15, True, 1e-5), (1, 2001, 800, False, 1e-4)],
)
def test_derivatives_of_the_partition_function(units, n, patterns, exact, accuracy, focus):
    """Exact sums to the step of the differences; normal ones up to 1/N.

    Of normal sums, at N = 301, 1,001 and 2,001, deviations are 4.6, 1.4 and 0.65e-4, whatever the
    step and the tolerance.
    """
    graph = FactorGraph(_patterns(patterns, n, units), units, exact=exact)
    at = focused(graph, focus)
    assert at.convergence.converged

    def log_z(gamma, y):
        return focused(graph, Focus(gamma, y)).log_partition

    step, (gamma, y) = 1e-3, focus
    by_gamma = (log_z(gamma + step, y) - log_z(gamma - step, y)) / (2 * step)
    by_y = (log_z(gamma, y + step) - log_z(gamma, y - step)) / (2 * step)
    assert by_gamma == pytest.approx(y * at.overlap, rel=accuracy)
    assert by_y == pytest.approx(at.potential, rel=accuracy)
    assert at.entropy <= binary_entropy(np.array(at.distance))


def test_replicas_come_near_the_densest_regions():
    """Of many replicas at α = 0.4, N = 1,001, beside y → ∞, within the scatter of instances."""
    graph = FactorGraph(_patterns(400, 1001))
    many = focused(graph, Focus(0.5, 20.0), tolerance=1e-6)
    assert many.convergence.converged
    wanted = densest(400 / 1001, (1 - 2 * many.distance) ** 2).entropy
    assert many.entropy == pytest.approx(wanted, abs=0.02)


def test_one_replica_is_free():
    graph = FactorGraph(_patterns(40, 101))
    one = focused(graph, Focus(0.7, 1.0))
    entropy, _ = all_solutions(graph, tolerance=1e-9)
    assert one.log_partition == pytest.approx(entropy + np.log(2 * np.cosh(0.7)), abs=1e-8)
    with pytest.raises(InputError, match=r"γ ≥ 0 and y ≥ 1, both finite"):
        focused(graph, Focus(np.inf, 2.0))
    with pytest.raises(InputError, match=r"y = 0\.5 given"):
        focused(graph, Focus(1.0, 0.5))


def test_what_has_not_settled_is_nan():
    graph = FactorGraph(_patterns(60, 101))
    result = weight_enumerator(graph, np.ones((1, 101)), (1.0, 0.5), max_sweeps=2)
    assert not result.converged.any()
    assert np.isnan(result.entropy).all()
    assert np.isnan(result.distance).all()
    assert (result.residual > 1e-6).all()
    assert np.isnan(focused(graph, Focus(1.0, 3.0), max_sweeps=2).entropy)


def _spec(family="perceptron", widths=(101, 1), patterns=30, **sections):
    return parse_spec({
        "name": f"toy-{family}",
        "dataset": {"name": "random-patterns", "patterns": patterns, "inputs": widths[0]},
        "network": {"family": family, "widths": list(widths)},
        "training": {"epochs": 500, **sections.get("training", {})},
        "ensemble": {"count": 3, **sections.get("ensemble", {})},
    })  # fmt: skip


def _store(spec):
    url = f"memory://local-entropy-{spec.name}-{spec.algorithm}-{spec.hash[:8]}"
    dataset = load_dataset(spec.dataset)
    plan = create_ensemble(url, spec, dataset_hash=dataset.content_hash)
    arena = prepare(spec, dataset)
    for index in range(plan.n_blocks):
        start = index * plan.block_size
        rows = min(plan.block_size, spec.ensemble.count - start)
        sampled = sample_configurations(spec, arena, start, rows)
        write_block(url, index, Block(start, sampled.weights, sampled.columns, rows))
    return open_ensemble(url)


@pytest.fixture(scope="module")
def perceptrons():
    return _store(_spec())


def test_stage(perceptrons, monkeypatch):
    monkeypatch.setattr("lsg_ray.minima.local_entropy.DISTANCES", (0.05, 0.2))
    result = lsg_ray.local_entropy(perceptrons, gammas=[0, 0.5, 2, 1])
    assert result["entropy"].dims == ("solution", "gamma")
    np.testing.assert_array_equal(result["gamma"], [2, 1, 0.5, 0])
    assert result.attrs["converged"] == 1
    assert (result["entropy"] <= result["bound"] + 1e-9).all()
    d = result["distance"].values
    assert (np.diff(d, axis=1) > 0).all()
    # At γ = 0 all references see all solutions.
    assert result.attrs["solution_entropy_converged"] == 1
    np.testing.assert_allclose(
        result["entropy"][:, -1], result.attrs["solution_entropy"], atol=1e-7
    )
    mean = result["entropy"].values.mean(axis=0)
    np.testing.assert_allclose(result["entropy_mean"], mean)
    error = result["entropy"].values.std(axis=0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(result["entropy_stderr"], error)
    assert result.attrs["typical_entropy"] == pytest.approx(symmetric_state(30 / 101).entropy)
    assert (result["densest"] > result["typical"]).values.all()
    stage = stage_of("local-entropy")
    assert {"solutions", "converged", "gamma 2"} <= set(stage.shown(result))
    for results in ({"": result}, {"a": result, "b": result.isel(solution=[0])}):
        figure = local_entropy_figure(results)
        assert isinstance(figure, matplotlib.figure.Figure)
        caption, shown = local_entropy_caption(results)
        assert "focusing-bp" in caption
        assert shown


def test_error_of_one_solution_many_times__is_unknown(perceptrons, machines):
    weights = perceptrons.numpy()
    spec = perceptrons.spec.replace(training={"algorithm": "given"}, ensemble={"count": 3})
    for rows, known in (([0, 0, 0], False), ([0, 1, 0], True)):
        result = lsg_ray.local_entropy(machines(spec, weights[rows]), gammas=[1], theory=False)
        assert np.isfinite(result["entropy_mean"]).all()
        assert np.isfinite(result["entropy_stderr"]).all() == known
        assert np.isfinite(result["distance_stderr"]).all() == known


def test_stage_does_not_depend_on_how_it_is_cut(perceptrons, tmp_path):
    options = {"gammas": [1.0, 0.3], "theory": False}
    whole = lsg_ray.local_entropy(perceptrons, checkpoints=tmp_path, **options)
    one = lsg_ray.local_entropy(perceptrons, configurations=[1], **options)
    np.testing.assert_array_equal(one["entropy"][0], whole["entropy"][1])
    again = lsg_ray.local_entropy(perceptrons, checkpoints=tmp_path, **options)
    np.testing.assert_array_equal(again["entropy"], whole["entropy"])
    assert "densest" not in whole


def test_stage_of_committees():
    store = _store(_spec("committee", (45, 3, 1), 12))
    for exact in (False, True):
        result = lsg_ray.local_entropy(store, exact=exact, gammas=[1.5, 0.5])
        assert result.attrs["converged"] == 1
        assert "densest" not in result
        assert (result["entropy"] < result["bound"]).all()


def test_bad_input(perceptrons):
    with pytest.raises(InputError, match=r"gammas .* given; numbers from 0 are needed"):
        lsg_ray.local_entropy(perceptrons, gammas=[-1.0])
    with pytest.raises(InputError, match="units have 201 inputs, and 101 at most"):
        lsg_ray.local_entropy(_store(_spec(widths=(201, 1))), exact=True)
    wrong = _spec(
        patterns=300, training={"epochs": 5},
        ensemble={"count": 2, "threshold": 0.5},
    )  # fmt: skip
    with pytest.raises(InputError, match=r"is wrong on .* local entropy is of solutions"):
        lsg_ray.local_entropy(_store(wrong))
    sphere = _spec("spherical-perceptron", training={"algorithm": "least-action"})
    with pytest.raises(InputError, match=r"weights on the sphere; .* spherical-local-entropy"):
        lsg_ray.local_entropy(_store(sphere))
    with pytest.raises(InputError, match=r"an ensemble or the path"):
        lsg_ray.local_entropy(np.ones((2, 3)))
