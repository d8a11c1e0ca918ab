"""Replica theory against published values, enumerable limits and its own derivatives.

Values that are asserted to many digits were derived twice, with independent code.
"""

import numpy as np
import pytest

from lsg_ray.minima.theory.clones import clones
from lsg_ray.minima.theory.cross_entropy import Kernel, minimizers, reference, solutions
from lsg_ray.minima.theory.densest import bound, densest
from lsg_ray.minima.theory.franz_parisi import around
from lsg_ray.minima.theory.gaussian import binary_entropy, grid, hazard, hazard_slope, log_tail
from lsg_ray.minima.theory.machines import energetic, kappa, majority, product_rule
from lsg_ray.minima.theory.replica_symmetric import (
    spherical_capacity,
    stability_limit,
    symmetric_state,
    zero_entropy,
)


@pytest.mark.parametrize(
    ("alpha", "entropy", "overlap"),
    [
        (0.2, 0.550120, 0.126865),
        (0.4, 0.396455, 0.255843),
        (0.6, 0.227785, 0.391050),
        (0.8, 0.035306, 0.537942),
    ],
)
def test_entropy_of_the_binary_perceptron(alpha, entropy, overlap):
    state = symmetric_state(alpha)
    assert state.converged
    assert state.entropy == pytest.approx(entropy, abs=6e-7)
    assert state.overlap == pytest.approx(overlap, abs=6e-7)


@pytest.mark.parametrize(
    ("machine", "alpha", "entropy", "overlap"),
    [
        ("committee-inf", 1, -0.733093, 0.310806),
        ("committee-inf", 2, -1.544807, 0.504014),
        ("committee-3", 1, -0.75596, 0.38854),
        ("perceptron", 0.5, -0.37767, 0.30739),
        ("perceptron", 1, -0.85582, 0.58531),
    ],
)
def test_volume_on_the_sphere(machine, alpha, entropy, overlap):
    state = symmetric_state(alpha, "spherical", machine)
    assert state.converged
    assert state.entropy == pytest.approx(entropy, rel=1e-4)
    assert state.overlap == pytest.approx(overlap, rel=1e-3)


def test_capacities():
    assert zero_entropy() == pytest.approx(0.8330786, abs=1e-7)
    assert zero_entropy("committee-inf") == pytest.approx(0.94695, abs=5e-6)
    assert zero_entropy("relu-inf") == pytest.approx(0.90399, abs=5e-6)
    assert spherical_capacity() == 2
    # Three units: 3/8 (1 − 2/π) for two wrong ones, and the two smallest of three for three.
    assert spherical_capacity("committee-3") == pytest.approx(4.02, abs=0.01)
    assert spherical_capacity("committee-inf") == np.inf


def test_stability_limit():
    assert stability_limit("committee-inf") == pytest.approx(2.9878, abs=5e-5)
    assert stability_limit("perceptron") == 2
    # A perceptron is stable up to its capacity.
    assert symmetric_state(1.9, "spherical").stability > 0


@pytest.mark.parametrize("machine", ["perceptron", "committee-3", "committee-inf", "relu-inf"])
@pytest.mark.parametrize("q", [0.1, 0.6])
def test_force_is_the_slope_of_the_energetic_term(machine, q):
    step = 1e-5
    slope = (energetic(machine, q + step).value - energetic(machine, q - step).value) / (2 * step)
    assert energetic(machine, q).force == pytest.approx(-2 * slope, rel=1e-7)


@pytest.mark.parametrize("machine", ["perceptron", "committee-inf", "relu-inf"])
def test_effective_overlap_has_its_derivatives(machine):
    step, q = 1e-5, 0.37
    low, mid, high = (kappa(machine, q + d) for d in (-step, 0, step))
    assert mid.slope == pytest.approx((high.at - low.at) / (2 * step), rel=1e-8)
    assert mid.curvature == pytest.approx((high.slope - low.slope) / (2 * step), rel=1e-7, abs=1e-9)
    assert kappa(machine, 0.0).at == pytest.approx(0, abs=1e-15)
    assert kappa(machine, 1.0).at == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("units", [3, 5])
def test_majority__probability_and_derivatives(units):
    rng = np.random.default_rng(0)
    u, free = rng.normal(size=(units, 7)), 0.6
    law = majority(u, free)
    p = np.exp(log_tail(-u))
    signs = np.array(np.meshgrid(*[[0, 1]] * units)).reshape(units, -1)
    chance = np.prod(np.where(signs[..., None], p[:, None], 1 - p[:, None]), axis=0)
    np.testing.assert_allclose(
        np.exp(law.log), chance[signs.sum(axis=0) > units / 2].sum(axis=0), rtol=1e-12
    )
    step = 1e-5
    for one in range(units):
        shift = np.zeros((units, 1))
        shift[one] = step / np.sqrt(free)
        up, down = majority(u + shift, free), majority(u - shift, free)
        np.testing.assert_allclose((up.log - down.log) / (2 * step), law.slope[one], rtol=1e-7)
        np.testing.assert_allclose(
            (up.slope - down.slope) / (2 * step), law.curvature[:, one], rtol=1e-5, atol=1e-8
        )


def test_product_rule__integrates_symmetric_functions():
    z, weight = product_rule(3)
    assert weight.sum() == pytest.approx(1)
    assert weight @ (z**2).sum(axis=0) == pytest.approx(3)
    assert weight @ np.prod(z**2, axis=0) == pytest.approx(1)


def test_tails_far_out():
    v = np.array([-40.0, -5.0, 0.0, 5.0, 40.0])
    assert hazard(v)[-1] == pytest.approx(40 + 1 / 40, rel=1e-5)
    assert hazard(v)[2] == pytest.approx((2 / np.pi) ** 0.5)
    step = 1e-6
    np.testing.assert_allclose(
        (hazard(v + step) - hazard(v - step)) / (2 * step), hazard_slope(v), rtol=1e-5, atol=1e-12
    )


@pytest.mark.parametrize(
    ("alpha", "overlap", "entropy"),
    [
        (0.4, 0.64, 0.27893), (0.4, 0.81, 0.18597), (0.4, 0.9216, 0.09749),
        (0.6, 0.64, 0.18460), (0.6, 0.81, 0.13115), (0.6, 0.9216, 0.08347),
        (0.75, 0.8, 0.050391), (0.75, 0.95, 0.040264), (0.8, 0.9, 0.014248),
        (0.8, 0.95, 0.023912),
    ],
)  # fmt: skip
def test_densest_regions_of_the_binary_perceptron(alpha, overlap, entropy):
    region = densest(alpha, overlap)
    assert region.converged
    assert region.entropy == pytest.approx(entropy, abs=6e-6)
    assert region.entropy < bound(overlap)


@pytest.mark.parametrize(
    ("alpha", "overlap", "entropy"),
    [(1, 0.7, -0.26671), (1, 0.95, -0.00621), (2, 0.8, -0.77352), (3, 0.9, -1.1533)],
)
def test_densest_regions_of_a_tree_committee(alpha, overlap, entropy):
    region = densest(alpha, overlap, "spherical", "committee-inf")
    assert region.converged
    assert region.entropy == pytest.approx(entropy, rel=1e-4, abs=5e-6)


def test_densest_regions__stationary_in_what_is_not_given():
    # φ is stationary in δq, so its slope in α is the energetic term alone.
    step = 1e-4
    low, mid, high = (densest(0.5 + d, 0.7) for d in (-step, 0, step))
    assert low.entropy > mid.entropy > high.entropy
    assert (low.entropy + high.entropy) / 2 == pytest.approx(mid.entropy, abs=1e-7)


def test_clones():
    # Published: y = 4 clones of overlap 0.98 disappear at α = 0.784.
    at = clones(0.784, 4, 0.98)
    assert at.converged
    assert abs(at.entropy) < 5e-4
    assert at.complexity > 0
    # Five are more than there are: the complexity is negative.
    assert clones(0.784, 5, 0.98).complexity < 0


def test_clones__complexity_is_a_derivative__and_many_are_the_densest():
    step = 1e-3
    for weights, machine, q1 in (
        ("binary", "perceptron", 0.9), ("spherical", "committee-inf", 0.8)
    ):  # fmt: skip
        low, mid, high = (clones(0.6, 3 + d, q1, weights, machine) for d in (-step, 0, step))
        slope = -9 * (high.entropy - low.entropy) / (2 * step)
        assert mid.complexity == pytest.approx(slope, rel=2e-5)
    few, many = (clones(1, y, 0.8, "spherical", "committee-inf").entropy for y in (10, 60))
    limit = densest(1, 0.8, "spherical", "committee-inf").entropy
    assert few < many < limit
    assert limit - many < (limit - few) / 3


def test_one_clone_is_a_solution():
    # y = 1 has no partner: its entropy is that of all solutions, whatever q₁ is.
    for q1 in (0.5, 0.7):
        assert clones(0.4, 1, q1).entropy == pytest.approx(symmetric_state(0.4).entropy, abs=1e-6)


def test_cross_entropy__loss_is_the_slope_of_the_free_entropy():
    def phi(b):
        state = reference(0.4, b, 2.0)
        return state.entropy - b * state.loss

    step = 0.5
    slope = (phi(50 + step) - phi(50 - step)) / (2 * step)
    assert reference(0.4, 50, 2.0).loss == pytest.approx(-slope, rel=1e-4)


def test_cross_entropy__minimizers():
    frozen = minimizers(0.4, 1.0)
    assert abs(frozen.entropy) < 1e-8
    assert 0 < frozen.error_rate < 1e-3
    # Without patterns all weights are alike.
    assert reference(1e-9, 5.0, 1.0).entropy == pytest.approx(np.log(2), abs=1e-6)
    # The loss at no stability is ln 2/(2γ), and falls as −x far on the wrong side.
    loss = Kernel(1.0, 2.0).loss
    assert loss(0.0) == pytest.approx(np.log(2) / 4)
    assert loss(-50.0) == pytest.approx(50)


def test_around_a_typical_solution():
    typical = solutions(0.4)
    # At the distance of other solutions it counts all of them.
    there = around(typical, (1 - typical.overlap) / 2)
    assert there.converged
    assert there.entropy == pytest.approx(symmetric_state(0.4).entropy, abs=1e-6)
    near = around(typical, 0.05)
    assert near.entropy == pytest.approx(0.1144, abs=6e-5)
    assert near.entropy < binary_entropy(0.05)


def test_around_minimizers__more_solutions_than_around_typical_ones():
    frozen = minimizers(0.4, 1.0)
    near = around(frozen, 0.05)
    assert near.entropy == pytest.approx(0.182, abs=1e-3)
    # … and fewer than around the best centre.
    best = densest(0.4, (1 - 2 * 0.05) ** 2).entropy
    assert 0.1144 < near.entropy < best


def test_grid__moments():
    rule = grid()
    for power, moment in ((2, 1), (4, 3), (6, 15), (8, 105)):
        assert rule.mean(rule.z**power) == pytest.approx(moment, rel=1e-10)
