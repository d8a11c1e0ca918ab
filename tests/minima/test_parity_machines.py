"""Parity machines on the sphere: volumes around solutions, what is measured, what is refused.

Two configurations whose units have overlaps q_l agree on a Gaussian pattern with probability
(1 + Π_l (2/π) arcsin q_l)/2.  A solution and patterns with random labels, all such pairs equally
likely, are a random configuration and patterns with its labels.  So, averaged over these, the share
of configurations around a solution that are solutions too is that probability to the power P, and
for K → ∞ 2^−P at all distances: there are no dense regions.
"""

import numpy as np
import pytest

import lsg_ray
from lsg_ray.errors import InputError
from lsg_ray.minima.chosen import Ground, choose
from lsg_ray.minima.flatness_table import flatness_table
from lsg_ray.minima.hessian import hessian
from lsg_ray.minima.local_energy import input_robustness, local_energy
from lsg_ray.minima.local_entropy import local_entropy
from lsg_ray.minima.spherical_local_entropy import spherical_local_entropy
from lsg_ray.networks.families.committee import Arena, Patterns, fields
from lsg_ray.rng import Stream, generator
from tests.minima.sampled_local_entropy import at_overlap, sampled_local_entropy

PATTERNS = 5


def solution(rng, units, n):
    """Return a solution (K, n) and its patterns, all such pairs equally likely."""
    w = rng.standard_normal((units, n))
    w *= np.sqrt(n) / np.linalg.norm(w, axis=1, keepdims=True)
    x = rng.standard_normal((PATTERNS, units, n)).astype(np.float32)
    s = np.sign(fields(w[None], x)[0]).prod(axis=1).astype(np.int8)
    own = Patterns(x, s)
    return Ground(None, Arena(own, own, own)), w


def share_of_solutions(units, n, p, rng, count=100_000):
    """Return what is expected at overlap p, over the overlaps q_l that the units have there."""
    unit = np.ones(units * n) / np.sqrt(units * n)
    w = at_overlap(unit, p, count, rng).reshape(count, units, n)
    q = w.sum(axis=2) / np.linalg.norm(w, axis=2) / np.sqrt(n)
    agree = (1 + (2 / np.pi * np.arcsin(q)).prod(axis=1)) / 2
    return (agree**PATTERNS).mean()


@pytest.mark.parametrize(("units", "n"), [(2, 8), (3, 5), (3, 9), (9, 5)])
def test_volumes_around_solutions__are_those_of_the_theory(units, n):
    rng, overlaps = np.random.default_rng(units * n), np.array([0.01, 0.5, 0.8, 0.95])
    shares = []
    for _ in range(300):
        ground, w = solution(rng, units, n)
        sampled = sampled_local_entropy(ground, w, overlaps, 2000, rng, product=True)
        shares.append(np.exp(w.size * sampled.entropy))
    mean, error = np.mean(shares, axis=0), np.std(shares, axis=0, ddof=1) / np.sqrt(len(shares))
    expected = np.array([share_of_solutions(units, n, p, rng) for p in overlaps])
    assert (error < 0.1 * mean).all()
    np.testing.assert_array_less(np.abs(mean - expected), 3.5 * error)
    # Far from a solution every pattern halves the volume, −P ln 2; with many units, near it too.
    # (Two units orthogonal in all to the solution have overlaps q and −q, and rather disagree.)
    flat = overlaps < {2: 0.0, 3: 0.1, 9: 0.9}[units]
    np.testing.assert_allclose(np.log(expected[flat]), -PATTERNS * np.log(2), atol=0.1)


@pytest.fixture(scope="module")
def parity(machines, machine_spec):
    """Four solutions of a parity machine of two units, by least-action learning."""
    return machines(machine_spec("spherical-parity", units=2, n=20, count=4, name="parity"))


def test_errors_under_noise__are_those_of_the_product(parity):
    chosen = choose(parity, None, for_what="this")
    assert not chosen.errors.any()
    x, s = chosen.ground.arena.train
    result = local_energy(parity, sigmas=[0.5], draws=5, seed=3)
    rng = generator(3, Stream.LANDSCAPE, 9, int(chosen.numbers[1]))
    wrong = []
    for noise in rng.standard_normal((5, 2, 20)):
        h = ((chosen.weights[1] + 0.5 * noise) * x.astype(np.float64)).sum(axis=2)
        wrong.append(np.mean(np.sign(h).prod(axis=1) != s))
    assert result["rise"][1, 0].item() == pytest.approx(np.mean(wrong))
    noisy = input_robustness(parity, sigmas=[1e-6, 0.4], draws=10)
    assert (noisy["rise"][:, 0] == 0).all()
    assert (noisy["rise"][:, 1] > 0).all()


def test_far_from_solutions__half_of_the_patterns_are_wrong(parity):
    result = local_energy(parity, sigmas=[1e-9, 1e4], draws=400)
    assert (result["rise"][:, 0] == 0).all()
    assert result["rise_mean"][1].item() == pytest.approx(0.5, abs=0.03)


def test_statistics_of_weights__take_parity_machines(parity):
    assert np.isfinite(lsg_ray.moments(parity)["m"]).all()
    assert np.isfinite(lsg_ray.distances(parity)["probability"]).all()


@pytest.mark.parametrize(
    "measure", [hessian, spherical_local_entropy, local_entropy, flatness_table]
)
def test_measures_of_majorities__are_refused_in_one_line(parity, measure):
    with pytest.raises(InputError) as raised:
        measure(parity)
    assert "parity machines on the sphere, whose output is no majority" in str(raised.value)
    assert "\n" not in str(raised.value)
