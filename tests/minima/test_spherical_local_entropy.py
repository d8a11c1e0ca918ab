"""Local entropy on the sphere: limits, replica theory, direct sampling, and known solutions."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.minima.chosen import Ground
from lsg_ray.minima.spherical_local_entropy import local_entropy_around, spherical_local_entropy
from lsg_ray.networks.families.committee import Arena, Patterns, fields
from lsg_ray.networks.relaxed_bp import Focus, RelaxedBP
from lsg_ray.networks.solvers.least_action import least_action
from lsg_ray.report.figures.flat_minima import local_entropy_caption, local_entropy_figure
from tests.minima.sampled_local_entropy import sampled_local_entropy

FREE = 0.5 * np.log(2 * np.pi * np.e)


def ground_of(units, n, patterns, seed, full=False, machine_spec=None):
    rng = np.random.default_rng(seed)
    inputs = 1 if full or units == 1 else units
    x = rng.choice([-1.0, 1.0], (patterns, inputs, n)).astype(np.float32)
    own = Patterns(x, rng.choice([-1, 1], patterns))
    network = None
    if machine_spec is not None:
        family = "spherical-perceptron" if units == 1 else "spherical-committee"
        words = {"connection": "full"} if full else {}
        network = machine_spec(family, units, n, **words).network
    return Ground(network, Arena(own, own, own))


def solution(ground, units, n, seed, step=0.2):
    """Return a solution by least-action learning, of norm √n a unit, and its epochs."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((units, n))
    w *= np.sqrt(n) / np.linalg.norm(w, axis=1, keepdims=True)
    patterns = ground.arena.train
    for epoch in range(500):
        batches = np.array_split(rng.permutation(patterns.n_patterns), 5)
        if not sum(least_action(w, patterns, rows, step) for rows in batches):
            return w * np.sqrt(n) / np.linalg.norm(w, axis=1, keepdims=True), epoch
    raise AssertionError("not solved")


def settled(bp, b, damping=0.3, sweeps=400, tolerance=1e-8):
    bp.control(b)
    return any(bp.sweep(damping, b) < tolerance for _ in range(sweeps))


def test_without_patterns_that_matter__all_is_free():
    n = 30
    ground = ground_of(1, n, 1, 0)
    bp = RelaxedBP(ground.arena.train, 1, n)
    assert settled(bp, np.zeros((1, n)))
    # One pattern is right on half of the sphere.
    assert n * (bp.log_volume(np.zeros((1, n))) - FREE) == pytest.approx(-np.log(2), abs=0.03)


@pytest.mark.parametrize(
    ("alpha", "symmetric", "overlap"), [(0.5, -0.3777, 0.307), (1.0, -0.8558, 0.585)]
)
def test_volume_of_perceptrons__is_that_of_replica_theory(alpha, symmetric, overlap):
    n, values, squares = 600, [], []
    zero = np.zeros((1, n))
    for seed in range(3):
        bp = RelaxedBP(ground_of(1, n, int(alpha * n), seed).arena.train, 1, n)
        assert settled(bp, zero, tolerance=1e-5)
        values.append(bp.log_volume(zero) - FREE)
        squares.append(np.mean(bp.means**2))
    # Instances of N = 600 scatter by 0.02; an independent program found −0.3615 and −0.8337.
    assert np.mean(values) == pytest.approx(symmetric, abs=0.03)
    assert np.mean(squares) == pytest.approx(overlap, abs=0.02)


@pytest.mark.parametrize(("units", "n", "full"), [(1, 60, False), (3, 21, False), (3, 41, True)])
def test_slope_of_the_free_entropy__is_the_overlap(units, n, full):
    # Messages are expanded in 1/√n, so the equations are stationary up to 1/n.
    ground = ground_of(units, n, units * n // 2, 4, full)
    w, _ = solution(ground, units, n, 1)
    values, overlaps = [], []
    for gamma in (5.99, 6.0, 6.01):
        bp = RelaxedBP(ground.arena.train, units, n)
        assert settled(bp, gamma * w, tolerance=1e-11)
        values.append(bp.free_entropy() + 0.5 * bp.shift)
        overlaps.append(np.mean(w * bp.means))
    assert (values[2] - values[0]) / 0.02 == pytest.approx(overlaps[1], rel=1e-3)


@pytest.mark.parametrize(
    ("units", "n", "full", "gammas", "bound"),
    [
        (1, 101, False, (50.0, 12.0, 6.0), 0.0012),
        (3, 35, False, (50.0, 25.0), 0.006),
        (3, 35, True, (50.0, 25.0), 0.006),
    ],
)
def test_local_entropy__is_that_of_direct_sampling(units, n, full, gammas, bound, machine_spec):
    ground = ground_of(units, n, units * n // 2, 1, full, machine_spec)
    w, _ = solution(ground, units, n, 1)
    result = local_entropy_around(ground, w, np.array(gammas))
    sampled = sampled_local_entropy(ground, w, result.overlap, 20_000, np.random.default_rng(0))
    assert result.converged.all()
    assert np.abs(result.entropy - sampled.entropy).max() < bound + 3 * sampled.error.max()


def test_close_to_a_solution_in_the_middle__all_are_solutions(machine_spec):
    n = 401
    ground = ground_of(1, n, n // 2, 0, machine_spec=machine_spec)
    bp = RelaxedBP(ground.arena.train, 1, n)
    assert settled(bp, np.zeros((1, n)), tolerance=1e-6)
    mean = bp.means * np.sqrt(n) / np.linalg.norm(bp.means)  # as deep inside as can be
    h = fields(mean[None], ground.arena.train.x)[0, :, 0] * ground.arena.train.s
    assert (h > 0).all()
    result = local_entropy_around(ground, mean, np.array([50.0, 12.0, 5.0, 2.0]))
    assert result.converged.all()
    assert (np.diff(result.overlap) < 0).all()
    assert (np.diff(result.entropy) < 0).all()
    assert (result.entropy < 1e-6).all()
    # [D] of the dossier, at close overlaps: −0.0006 at 0.951, −0.0051 at 0.908, −0.0314 at 0.811.
    at = np.interp([0.811, 0.908, 0.951], result.overlap[::-1], result.entropy[::-1])
    assert abs(at[2]) < abs(at[1]) < abs(at[0])
    assert abs(result.entropy[0]) < 1e-3


def test_tree_of_nine__least_action_lies_below_focusing(machine_spec):
    units, n = 9, 55
    rng = np.random.default_rng(3)
    x = rng.choice([-1.0, 1.0], (495, units, n)).astype(np.float32)
    own = Patterns(x, rng.choice([-1, 1], 495))
    ground = Ground(machine_spec(units=units, n=n).network, Arena(own, own, own))
    w, epochs = solution(ground, units, n, 101)
    assert 15 < epochs < 80
    gammas = np.array([25.0, 6.0])
    least = local_entropy_around(ground, w, gammas)
    bp = RelaxedBP(own, units, n, np.random.default_rng(0))
    bp.control(focus=Focus(10, 0.05))
    for gamma in np.geomspace(0.05, 8, 20):
        for _ in range(8):
            bp.sweep(0.6, focus=Focus(10, float(gamma)))
    m = bp.means * np.sqrt(n) / np.linalg.norm(bp.means, axis=1, keepdims=True)
    focused = local_entropy_around(ground, m, gammas)
    assert least.converged.all()
    assert focused.converged.all()
    assert -0.16 < least.entropy[0] < -0.08
    assert -0.33 < least.entropy[1] < -0.20
    assert -0.02 < focused.entropy[0] < 0
    assert -0.10 < focused.entropy[1] < -0.05


def test_stage__of_a_store(committees):
    result = spherical_local_entropy(committees, configurations=3, gammas=[6, 25])
    assert result.sizes["solution"] == 3
    assert result["gamma"].values.tolist() == [25, 6]
    assert result.attrs["converged"] == 1
    assert result.attrs["alpha"] == pytest.approx(0.6)
    assert (result["local_entropy"] < 0.01).all()
    assert (result["overlap"].diff("gamma") < 0).all()
    mean = result["local_entropy"].mean("solution")
    np.testing.assert_allclose(result["local_entropy_mean"], mean)
    error = result["local_entropy"].std("solution", ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(result["local_entropy_stderr"], error)
    again = spherical_local_entropy(committees, configurations=[2], gammas=[25, 6])
    np.testing.assert_array_equal(again["local_entropy"][0], result["local_entropy"][2])
    assert len(local_entropy_figure({"": result}).axes) == 2
    assert "3 solutions of least-action" in local_entropy_caption({"": result})[0]


def test_error_of_one_solution_many_times__is_unknown(focused):
    result = spherical_local_entropy(focused, gammas=[6, 25], theory=False)
    assert np.ptp(result["local_entropy"].values, axis=0).max() < 1e-6  # one fixed point twice
    assert np.isfinite(result["local_entropy_mean"]).all()
    assert np.isnan(result["local_entropy_stderr"]).all()
    assert np.isnan(result["overlap_stderr"]).all()


def test_theory__is_drawn_of_trees_of_many_units(machines, machine_spec):
    ensemble = machines(machine_spec("spherical-perceptron", n=51, count=1))
    result = spherical_local_entropy(ensemble, gammas=[12.0])
    assert result["theory"].attrs["machine"] == "perceptron"
    assert (result["theory"].dropna("point") <= 1e-9).all()
    without = spherical_local_entropy(ensemble, gammas=[12.0], theory=False)
    assert "theory" not in without
    assert np.isnan(result["local_entropy_stderr"]).all()  # of one solution there is none


def test_messages_that_do_not_settle__are_reported(committees):
    result = spherical_local_entropy(committees, configurations=1, gammas=[6], max_sweeps=2)
    assert not result["converged"].any()
    assert np.isnan(result["local_entropy"]).all()
    assert result["sweeps"].item() == 8  # at four dampings
    assert "converged: 0%" in local_entropy_caption({"": result})[0]


def test_messages_that_swing__are_damped_more(machine_spec):
    # Patterns that are nearly alike: parallel updates of weak damping overshoot.
    units, n, patterns = 3, 45, 60
    rng = np.random.default_rng(0)
    common = rng.choice([-1.0, 1.0], n)
    labels = rng.choice([-1, 1], patterns)
    noise = np.where(rng.random((patterns, n)) < 0.35, -1, 1)
    x = (labels[:, None] * common * noise).astype(np.float32)[:, None, :]
    own = Patterns(x, labels)
    network = machine_spec(units=units, n=n, connection="full").network
    ground = Ground(network, Arena(own, own, own))
    w, _ = solution(ground, units, n, 0)
    strong = local_entropy_around(ground, w, np.array([50.0, 12.0]), damping=0.85)
    weak = local_entropy_around(ground, w, np.array([50.0, 12.0]), damping=0.0)
    assert strong.converged.all()
    assert weak.converged.all()
    np.testing.assert_allclose(weak.entropy, strong.entropy, atol=1e-5)


def test_norm_control__of_messages_that_diverged(machine_spec):
    ground = ground_of(1, 21, 5, 0, machine_spec=machine_spec)
    bp = RelaxedBP(ground.arena.train, 1, 21)
    bp.A_sum[0, 0] = np.nan
    bp.control()
    assert np.isnan(bp.means).all()


def test_bad_input__is_one_line(committees, perceptrons, machines, machine_spec):
    rng = np.random.default_rng(0)
    spec = machine_spec(count=1)
    wrong = machines(spec, rng.standard_normal((1, 45)).astype(np.float32))
    cases = [
        (perceptrons, {}, "is of weights on the sphere (network.family: spherical-perceptron)"),
        (wrong, {}, "choose them with --where 'errors == 0'"),
        (committees, {"gammas": [0, 1]}, "numbers above 0 are needed"),
        (committees, {"gammas": []}, "numbers above 0 are needed"),
        (committees, {"configurations": 9}, "has 4 to choose from"),
        (committees, {"configurations": [7]}, "configuration 7 given"),
        (np.ones(3), {}, "an ensemble or the path of its store is needed"),
    ]
    for given, options, message in cases:
        with pytest.raises(InputError) as raised:
            spherical_local_entropy(given, **options)
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)
