"""Monte Carlo of coupled replicas against recomputation, enumeration and detailed balance."""

import itertools

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.kernels import robust_ensemble as kernels
from lsg_ray.networks.families.committee import Patterns
from lsg_ray.networks.robust_ensemble import RobustEnsemble, log_cosh

BETA, GAMMA = 0.7, 0.4
FORMS = [
    (1, 15, False, False), (3, 7, False, False), (3, 9, True, False), (5, 3, False, True),
    (2, 7, False, True), (4, 5, True, True),
]  # fmt: skip


def patterns_of(rng, count, units, n, shared=False):
    x = rng.choice([-1, 1], (count, 1 if shared else units, n)).astype(np.float32)
    return Patterns(x, rng.choice([-1, 1], count).astype(np.int8))


def machine_of(units, n, shared, product, y=3, count=31, seed=0):
    rng = np.random.default_rng(seed)
    patterns = patterns_of(rng, count, units, n, shared)
    return RobustEnsemble(patterns, rng.choice([-1, 1], (y, units, n)), product=product)


def energy(patterns, w, product, beta=BETA, gamma=GAMMA):
    """β E by its definition, of w (y, K, n)."""
    total = -np.log(2 * np.cosh(gamma * w.sum(axis=0))).sum()
    for replica in w:
        tau = np.sign((patterns.x * replica).sum(axis=2))
        out = np.prod(tau, axis=1) if product else np.sign(tau.sum(axis=1))
        total += beta * (out != patterns.s).sum()
    return total


@pytest.mark.parametrize(("units", "n", "shared", "product"), FORMS)
def test_energy_and_changes_are_those_of_the_definition(units, n, shared, product):
    machine = machine_of(units, n, shared, product)
    w = machine.weights.copy()
    before = energy(machine.patterns, w, product)
    assert machine.energy(BETA, GAMMA) == pytest.approx(before, abs=1e-11)
    for a, site in itertools.product(range(3), range(units * n)):
        flipped = w.reshape(3, -1).copy()
        flipped[a, site] *= -1
        after = energy(machine.patterns, flipped.reshape(w.shape), product)
        change = kernels.flip_change(
            machine.w, machine.h, machine.votes, machine.x, a, site, product
        )
        m = machine.w[a, site] * machine.mu[site]
        inner = log_cosh(np.array(m), GAMMA) - log_cosh(np.array(m - 2), GAMMA)
        assert BETA * change + inner == pytest.approx(after - before, abs=1e-11)


@pytest.mark.parametrize("sampler", ["metropolis", "reduced-rejection"])
@pytest.mark.parametrize(("units", "n", "shared", "product"), FORMS)
def test_what_is_kept_is_as_recomputed(units, n, shared, product, sampler):
    machine, rng = machine_of(units, n, shared, product), np.random.default_rng(1)
    accepted = sum(machine.sweep(rng, BETA, GAMMA, sampler=sampler).accepted for _ in range(30))
    assert accepted > 0
    kept = [machine.h.copy(), machine.votes.copy(), machine.errors.copy(), machine.mu.copy()]
    cached = machine._members
    machine.recompute()
    for own, anew in zip(kept, [machine.h, machine.votes, machine.errors, machine.mu], strict=True):
        np.testing.assert_array_equal(own, anew)
    if sampler == "reduced-rejection":
        _check_classes(machine, cached)


def _check_classes(machine, cached):
    members, places, counts = cached
    y = len(machine.w)
    anew = (np.zeros_like(members), np.zeros_like(places), np.zeros_like(counts))
    kernels.classify(machine.w, machine.mu, *anew)
    np.testing.assert_array_equal(counts, anew[2])
    for k in range(y + 1):
        own = members[k, : counts[k]]
        assert set(own) == set(anew[0][k, : counts[k]])
        np.testing.assert_array_equal(places[own], np.arange(counts[k]))


def states_of(y, n):
    for signs in itertools.product([-1, 1], repeat=y * n):
        yield np.array(signs, np.int8).reshape(y, 1, n)


def rates(w):
    """Rates p of the flips of w (y, n) by the coupling alone."""
    m = w * w.sum(axis=0)
    change = log_cosh(m.astype(float), GAMMA) - log_cosh(m - 2.0, GAMMA)
    return np.minimum(1, np.exp(-change))


@pytest.fixture(scope="module")
def tiny():
    """Patterns of three weights, of which three replicas have 512 states."""
    rng = np.random.default_rng(5)
    return patterns_of(rng, 4, 1, 3)


def transition(patterns, sampler, y=3, n=3):
    """Full matrix of one move, and the Boltzmann distribution, over 2^(y n) states."""
    states = [state.copy() for state in states_of(y, n)]
    place = {state.tobytes(): k for k, state in enumerate(states)}
    energies = np.array([energy(patterns, state, False) for state in states])
    matrix = np.zeros((len(states), len(states)))
    for k, state in enumerate(states):
        flat = state.reshape(y, n)
        p = rates(flat)
        for a, i in itertools.product(range(y), range(n)):
            after = flat.copy()
            after[a, i] *= -1
            k2 = place[after.tobytes()]
            if sampler == "metropolis":
                move = min(1, np.exp(energies[k] - energies[k2])) / (y * n)
            else:
                q = rates(after)
                inner = np.log(p[a, i] / q[a, i])  # −ΔE₀
                rest = energies[k2] - energies[k] + inner
                move = p[a, i] / p.sum() * min(1, p.sum() / q.sum() * np.exp(-rest))
            matrix[k, k2] = move
        matrix[k, k] = 1 - matrix[k].sum()
    weight = np.exp(energies.min() - energies)
    return states, place, matrix, weight / weight.sum()


@pytest.mark.parametrize("sampler", ["metropolis", "reduced-rejection"])
def test_boltzmann_distribution_is_stationary_and_the_kernel_is_that_chain(tiny, sampler):
    states, place, matrix, weight = transition(tiny, sampler)
    np.testing.assert_allclose(weight @ matrix, weight, atol=1e-15)
    flows = weight[:, None] * matrix
    np.testing.assert_allclose(flows, flows.T, atol=1e-16)
    rng = np.random.default_rng(7)
    for k in rng.choice(len(states), 40, replace=False):
        for chance, moved in _moves(tiny, states[k], sampler):
            assert moved is not None
            assert chance == pytest.approx(matrix[k, place[moved]], rel=1e-9)


def _moves(patterns, state, sampler):
    """Yield probability and outcome of each move of the kernel, read off from its thresholds."""
    y, _, n = state.shape
    p = rates(state.reshape(y, n)).ravel()
    m = (state.reshape(y, n) * state.sum(axis=0)).ravel()
    for k in np.unique(m) if sampler != "metropolis" else [None]:
        sites = np.flatnonzero(m == k) if k is not None else np.arange(y * n)
        for place in range(len(sites)):
            if k is None:
                proposal, chosen = 1 / (y * n), [(place + 0.5) / (y * n)]
            else:
                lower = p[m < k].sum()
                proposal = p[sites[0]] / p.sum()
                chosen = [(lower + p[m == k].sum() / 2) / p.sum(), (place + 0.5) / len(sites)]
            low, high, moved = 0.0, 1.0, None
            for _ in range(45):  # bisect the largest number that accepts
                middle = (low + high) / 2
                machine = RobustEnsemble(patterns, state)
                draws = np.array([[*chosen, middle]])
                accepted = _step(machine, draws, sampler)
                if accepted:
                    low, moved = middle, machine.w.tobytes()
                else:
                    high = middle
            yield proposal * (low + high) / 2, moved


def _step(machine, draws, sampler):
    f = log_cosh(np.arange(4.0), GAMMA)
    state = (machine.w, machine.h, machine.votes, machine.mu, machine.errors, machine.x)
    if sampler == "metropolis":
        return kernels.metropolis(*state, f, BETA, draws, False, False)[1]
    members, places = np.zeros((4, 9), np.int32), np.zeros(9, np.int32)
    counts = np.zeros(4, np.int64)
    kernels.classify(machine.w, machine.mu, members, places, counts)
    sampled = kernels.reduced_rejection(
        *state, f, BETA, draws, False, False, members, places, counts
    )
    return sampled[1]


@pytest.mark.parametrize("sampler", ["metropolis", "reduced-rejection"])
def test_frequencies_are_those_of_boltzmann(tiny, sampler):
    states, place, _, weight = transition(tiny, sampler)
    machine, rng = RobustEnsemble(tiny, states[0]), np.random.default_rng(11)
    counts = np.zeros(len(states))
    for _ in range(20_000):
        machine.sweep(rng, BETA, GAMMA, sampler=sampler)
        counts[place[machine.w.tobytes()]] += 1
    expected = 20_000 * weight
    # Sweeps of nine moves are correlated: by far less than a factor of ten.
    chi = ((counts - expected) ** 2 / expected).sum()
    assert chi < 10 * len(states)
    mean, exact = counts @ np.arange(512) / 20_000, weight @ np.arange(512)
    assert abs(mean - exact) < 10


def test_stop_ends_at_the_first_solution():
    machine, rng = machine_of(1, 31, False, False, y=3, count=6), np.random.default_rng(0)
    for _ in range(100):
        info = machine.sweep(rng, 3.0, 0.2, stop=True)
        if machine.errors.min() == 0:
            break
    assert machine.errors.min() == 0
    assert info.moves <= machine.w.size


@pytest.mark.parametrize("k", [0.0, 3.0, 1e6])
def test_log_cosh_does_not_overflow(k):
    expected = np.log(2 * np.cosh(0.3 * k)) if k < 1e3 else 0.3 * k
    assert log_cosh(np.array(k), 0.3) == pytest.approx(expected, rel=1e-14)


def test_what_is_no_sign_or_could_tie_is_refused():
    patterns = patterns_of(np.random.default_rng(0), 5, 1, 4)
    with pytest.raises(InputError, match="1 units of 4 inputs given; odd numbers"):
        RobustEnsemble(patterns, np.ones((3, 1, 4)))
    with pytest.raises(InputError, match="not ±1"):
        RobustEnsemble(patterns, np.full((3, 1, 4), 0.5))
