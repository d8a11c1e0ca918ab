"""Verdicts on random planted systems, counted: none may be wrong where the answer is exact."""

from dataclasses import replace

import numpy as np
import pytest

from lsg_ray.ising.branch import Branch
from lsg_ray.ising.cavity import Couplings
from lsg_ray.ising.curve import entropy_curve
from lsg_ray.ising.eigenvalue import least_eigenvalue
from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.hysteresis import VERDICT
from lsg_ray.ising.stationary import plefka_matrix, scaled_hessian
from lsg_ray.ising.tap import tap_gradient, tap_states

from .planted import Block, largest_gap, noise, random_block, tap_minima


def test_tap__blocks_have_the_states_of_the_closed_form():
    """100 random blocks in a random gauge, half of them within a few per cent of the transition.

    Without a field all minima are found, and no others; with one, starts may all miss the upper.
    """
    rng, wrong = np.random.default_rng(11), []
    for seed in range(100):
        strength = rng.uniform(0.5, 1.8) if seed % 2 else 1 + 0.03 * rng.normal()
        field = 0.05 * rng.normal() if seed % 3 == 0 else 0.0
        n = int(rng.integers(40, 200))
        size = int(rng.integers(12, n + 1))  # of fewer, other states may be stable
        block = random_block(rng, n, size, float(strength), field)
        minima, least, _ = tap_minima(block)
        summary = tap_states((block.J, block.h), starts=150, seed=seed).attrs
        right = summary["stable_states"] == minima or (
            field and 1 <= summary["stable_states"] <= minima
        )
        right = right and summary["converged"] == 1 and (field or summary["peaks"] == 1)
        if not right and not (least < 1e-4 and summary["undetermined_states"]):
            wrong.append((seed, block[:4], minima, summary))
    assert not wrong


@pytest.mark.parametrize(
    ("n", "strength", "states", "stable"),
    [(200, 1.005, 1, 1), (200, 1.02, 3, 2), (200, 1.03, 3, 2), (1000, 1.02, 3, 2), (100, 0.5, 1, 1),
     (200, 1.01, 1, 1), (200, 1.0102, 3, 2)],
)  # fmt: skip
def test_tap__curie_weiss_next_to_its_transition(n, strength, states, stable):
    """J = b/N.  The saddle is seen where some start rests beside it."""
    J = np.full((n, n), strength / n)
    np.fill_diagonal(J, 0)
    states = tap_states((J, np.zeros(n)), starts=300 if n < 1000 else 150)
    about = states.attrs
    assert (about["states"], about["stable_states"]) == (states, stable)
    assert about["converged"] == about["peaks"] == 1
    assert about["saddles"] == states - stable
    assert about["undetermined_states"] == 0
    assert float(states["state_error"].max()) < 1e-9


def test_tap__hopfield_models_have_their_patterns():
    """Two random patterns, N = 120, T = 0.5: four retrieval states; mixtures are saddles."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        patterns = rng.choice([-1.0, 1.0], (2, 120))
        J = 2.0 * patterns.T @ patterns / 120
        np.fill_diagonal(J, 0)
        states = tap_states((J, np.zeros(120)), starts=200, seed=seed)
        stable = states["stable"].values == 1
        assert states.attrs["converged"] == 1
        assert stable.sum() == 4
        overlaps = np.abs(states["m"].values[stable] @ patterns.T / 120).max(axis=1)
        assert (overlaps > 0.9).all()


@pytest.mark.parametrize("temperature", [0.35, 0.6, 1.6])
def test_tap__glasses_hold_what_they_say(temperature):
    """Each state is stationary, apart from the others by more than its error, and of its kind."""
    n = 80
    for seed in range(3):
        J = noise(np.random.default_rng(seed), n, temperature)
        states = tap_states((J, np.zeros(n)), starts=150, seed=seed, max_iterations=1000)
        m, error = states["m"].values, states["state_error"].values
        for k in range(len(m)):
            assert np.abs(tap_gradient(m[k : k + 1], J, np.zeros(n)) * (1 - m[k] ** 2)).max() < 1e-9
            curvature, stability = (
                np.linalg.eigvalsh(matrix(m[k], J))[0] for matrix in (scaled_hessian, plefka_matrix)
            )
            sign = int(np.sign(min(curvature, stability)))
            assert int(states["stable"][k]) in (sign, 0)
            assert int(states["minimum"][k]) in (np.sign(curvature), 0)
            apart = np.abs(m - m[k]).max(axis=1)
            apart[k] = np.inf
            assert (apart > error + error[k]).all()
        if temperature > 1:
            assert (states.attrs["states"], states.attrs["stable_states"]) == (1, 1)


def test_tap__beyond_the_first_states_signs_are_told_by_factorisations(monkeypatch):
    from lsg_ray.ising import tap

    J = noise(np.random.default_rng(0), 60, 0.5)
    whole = tap_states((J, np.zeros(60)), starts=100, max_iterations=1000)
    monkeypatch.setattr(tap, "CONFIG", replace(tap.CONFIG, computed_states=0))
    signs = tap_states((J, np.zeros(60)), starts=100, max_iterations=1000)
    assert signs["curvature"].isnull().all()
    for name in ("minimum", "stable"):
        np.testing.assert_array_equal(signs[name], whole[name])


def grid(rng, kind):
    step = {"coarse": 0.5, "usual": 0.1, "fine": 0.05}[kind]
    count = round(3 / step)
    return step * (np.arange(-count, count + 1) + rng.choice([0.0, 0.5, rng.random()]))


def test_scans__of_blocks_have_the_verdict_of_the_closed_form():
    """90 random blocks on coarse, usual and fine grids, shifted: a loop counts from 0.01 in d."""
    rng, wrong = np.random.default_rng(12), []
    for number in range(90):
        block = random_block(rng)
        gap = largest_gap(block)
        xs = grid(rng, ("coarse", "usual", "fine")[number % 3])
        scan = entropy_scan((block.J, block.h), block.pattern[None], xs).attrs
        verdict = "first-order" if gap > VERDICT.gap else "smooth"
        if scan["verdict"] != verdict and abs(gap - VERDICT.gap) > 2e-4:
            wrong.append((number, block[:4], gap, scan["verdict"], scan["unexplained_step"]))
    assert not wrong


def test_scans__of_blocks_in_weak_noise():
    """Bulk at T from 8 to 20; not within 15 % of the block's own transition."""
    rng, wrong = np.random.default_rng(13), []
    for number in range(30):
        sign = rng.choice([-1, 1])
        block = random_block(rng, strength=float(1 + sign * rng.uniform(0.15, 0.5)))
        gap = largest_gap(block)
        if 0 < gap < 2 * VERDICT.gap:
            continue
        J = block.J + noise(rng, block.n, rng.uniform(8, 20))
        scan = entropy_scan((J, block.h), block.pattern[None]).attrs
        if scan["verdict"] != ("first-order" if gap else "smooth"):
            wrong.append((number, block[:4], gap, scan["verdict"]))
    assert not wrong


def test_scans__of_glasses_are_smooth_above_their_transition_alone():
    rng, wrong = np.random.default_rng(14), []
    for number in range(20):
        temperature = rng.uniform(1.4, 4) if number % 2 else rng.uniform(0.2, 0.5)
        n = int(rng.integers(60, 160))
        model = (noise(rng, n, temperature), np.zeros(n))
        scan = entropy_scan(model, rng.choice([-1, 1], (1, n))).attrs
        if (scan["verdict"] == "smooth") != (temperature > 1):
            wrong.append((number, temperature, scan["verdict"]))
    assert not wrong


@pytest.mark.parametrize("shift", [0.0, 0.5, 0.31])
@pytest.mark.parametrize("step", [0.4, 0.1, 0.05, 0.025])
def test_scans__do_not_depend_on_the_grid(step, shift):
    """A block of 15 of 200 spins whose loop, 0.034 in d, lies around x = 0.05."""
    block = Block(200, 15, 1.15, -0.05, np.ones(200))
    xs = step * (np.arange(-round(3 / step), round(3 / step) + 1) + shift)
    scan = entropy_scan((block.J, block.h), np.ones((1, 200)), xs)
    assert scan.attrs["verdict"] == "first-order"
    assert scan.attrs["hysteresis"] == pytest.approx(largest_gap(block), rel=0.1)
    assert scan["gaps"].values.tolist() == [1]
    assert abs(float(scan["hysteresis_field"][0]) - 0.05) < 0.02


def test_scans__two_loops_are_two():
    n = 300
    J, h = np.zeros((n, n)), np.zeros(n)
    for block, field in ((slice(0, 20), 0.33), (slice(20, 40), -0.47)):
        J[block, block], h[block] = 1.12 / 19, field
    np.fill_diagonal(J, 0)
    scan = entropy_scan((J, h), np.ones((1, n)))
    assert scan.attrs["verdict"] == "first-order"
    assert scan["gaps"].values.tolist() == [2]


def test_slopes__are_those_of_differences():
    n, step = 50, 1e-4
    rng = np.random.default_rng(3)
    J, h = noise(rng, n, 1.5), 0.3 * rng.normal(size=n)
    xs = np.concatenate([[x - step, x, x + step] for x in (-1.0, 0.2, 0.9)])
    for beta in (0.7, 1.0):
        scan = entropy_scan((J, h), rng.choice([-1, 1], (1, n)), xs, beta=beta, tolerance=1e-13)
        for name in "ds":
            values = scan[name].values[0, 0].reshape(3, 3)
            slope = scan[f"{name}_slope"].values[0, 0].reshape(3, 3)[:, 1]
            np.testing.assert_allclose(
                slope, (values[:, 2] - values[:, 0]) / (2 * step), rtol=1e-3, atol=1e-5
            )


def variance_matrix(m, t):
    """What decides on stability, by its formula; see `lsg_ray.kernels.bethe`."""
    p, q = m[:, None] - t * m[None], m[None] - t * m[:, None]
    scale = 2 / (1 - t**2 + np.sqrt((1 - t**2) ** 2 - 4 * t * p * q))
    a, b = p * scale, q * scale
    both = t**2 * (1 - a**2) * (1 - b**2) / ((1 - t**2 * a**2) * (1 - t**2 * b**2))
    matrix = -both / (1 - both**2)
    np.fill_diagonal(both, 0)
    np.fill_diagonal(matrix, 1 + (both**2 / (1 - both**2)).sum(axis=1))
    return matrix


def test_stability__has_the_sign_of_the_exact_eigenvalue():
    """100 weak bulks with one strong block of 3 to 30 spins; within 10⁻³ of the exact value."""
    rng, signs = np.random.default_rng(15), []
    for _ in range(100):
        n, size = int(rng.integers(40, 400)), int(rng.integers(3, 31))
        J = noise(rng, n, rng.uniform(1.5, 5))
        J[:size, :size] = noise(rng, size, rng.uniform(0.4, 1.2))
        couplings = Couplings.at(J)
        if couplings.tightest > 0.95:
            continue
        branch = Branch(1e-9, 2000)
        branch.go_to(0.0, 0.3 * rng.normal(size=n), couplings)
        exact = np.linalg.eigvalsh(variance_matrix(branch.m, couplings.t))[0]
        assert branch.stability(couplings) == pytest.approx(exact, abs=1e-3)
        if abs(exact) > 1e-5:
            assert np.sign(branch.stability(couplings)) == np.sign(exact)
        signs.append(exact > 0)
    assert 0.1 < np.mean(signs) < 0.9
    assert len(signs) > 60


def test_least_eigenvalue__of_blocks_that_do_not_know_of_each_other():
    rng = np.random.default_rng(16)
    for n in (1, 2, 7, 60, 300):
        P = np.eye(n)
        for a in range(0, n - 1, 3):
            P[a, a + 1] = P[a + 1, a] = -rng.uniform(0, 1.2)
        least = least_eigenvalue(P.astype(np.float32))
        exact = np.linalg.eigvalsh(P)[0]
        assert least.converged
        assert abs(least.value - exact) <= max(least.error, 1e-5)
        assert least.sign == np.sign(exact)


@pytest.mark.parametrize("points", [1, 4, 10])
def test_curves__go_through_what_is_known(points):
    """A coarse scan's curve is that of a fine one to 10⁻³; straight lines are far off."""
    n, rng = 60, np.random.default_rng(4)
    model = (noise(rng, n, 1.5), 0.3 * rng.normal(size=n))
    sigma = rng.choice([-1, 1], (2, n))
    coarse = entropy_scan(model, sigma, np.arange(-6, 7) * 0.5)
    curve = entropy_curve(coarse, points)
    assert curve.sizes["field"] == 12 * points + 1
    fine = entropy_scan(model, sigma, curve["field"].values)
    straight = entropy_curve(coarse.drop_vars(["d_slope", "s_slope"]), points)
    for name in "ds":
        error = np.abs(curve[name] - fine[name]).max()
        assert error < 2e-3
        if points > 1:
            assert error < np.abs(straight[name] - fine[name]).max() / 5
    loop = entropy_scan(
        (Block(200, 100, 1.3, 0.03, np.ones(200)).J, np.zeros(200)), np.ones((1, 200))
    )
    broken = entropy_curve(loop, points)["d"].isnull().values.sum()
    assert broken == 2 * (points - 1)


@pytest.mark.parametrize(
    ("strength", "field"), [(1.011, 0.0005), (1.012, 0.0005), (1.013, 0.00045)]
)
def test_scans__see_loops_in_magnetizations_alone(strength, field):
    """A reference with 101 of 200 spins up hardly sees that all flip: d has no gap of 0.01."""
    n, reference = 200, np.ones(200)
    reference[:99] = -1
    J = np.full((n, n), strength / (n - 1))
    np.fill_diagonal(J, 0)
    for xs in (None, np.linspace(-3, 3, 61) + 0.03):
        scan = entropy_scan((J, np.full(n, field)), reference[None], xs).attrs
        assert scan["verdict"] == "first-order"
        assert scan["hysteresis"] < VERDICT.gap


@pytest.mark.parametrize("flank", [20, 40, 60])
def test_scans__what_other_spins_make_up_for_is_seen(flank):
    """Steep blocks around both fields add to the slopes there what a hidden jump takes."""
    n = 400
    J, h = np.zeros((n, n)), np.zeros(n)
    for start, size, strength, field in (
        (0, 20, 1.15, -0.05), (20, flank, 0.95, 0.0), (20 + flank, flank, 0.95, -0.1),
    ):  # fmt: skip
        block = slice(start, start + size)
        J[block, block], h[block] = strength / (size - 1), field
    np.fill_diagonal(J, 0)
    scan = entropy_scan((J, h), np.ones((1, n))).attrs
    assert scan["verdict"] == "first-order"
    assert scan["hysteresis"] == pytest.approx(0.025, abs=0.002)


def test_scans__with_a_tight_pair_look_between_fields_too():
    """An isolated pair with J = 3, tanh J > 0.98, beside a block with a loop."""
    n, size = 40, 26
    J, h = np.zeros((n, n)), np.zeros(n)
    J[:size, :size], h[:size] = 1.052 / (size - 1), 0.197
    np.fill_diagonal(J, 0)
    gap = largest_gap(Block(n, size, 1.052, 0.197, np.ones(n)))
    J[0 + size, n - 1] = J[n - 1, size] = 3.0
    scan = entropy_scan((J, h), np.ones((1, n)), [-1.25, -0.45, 0.05, 0.55, 1.05]).attrs
    assert gap > VERDICT.gap
    assert scan["verdict"] == "first-order"


@pytest.mark.parametrize("strength", [0.9, 0.97, 1.0])
def test_curves__of_steep_but_smooth_scans_have_no_holes(strength):
    block = Block(100, 100, strength, 0.0, np.ones(100))
    scan = entropy_scan((block.J, block.h), np.ones((1, 100)))
    assert scan.attrs["verdict"] == "smooth"
    assert not scan["broken"].any()
    assert entropy_curve(scan)["d"].notnull().all()
