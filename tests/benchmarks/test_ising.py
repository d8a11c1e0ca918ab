"""Belief propagation, Monte Carlo and fits beside what a user would run instead.

At toy size an ordinary test; at full size (some ten minutes):

    pytest tests/benchmarks/test_ising.py --benchmark-enable -s

The Monte Carlo peer, dwave-samplers (with dimod), is no dependency: install it for this alone.
"""

import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from lsg_ray.ising.boltzmann import fit_boltzmann
from lsg_ray.ising.bp import belief_propagation
from lsg_ray.ising.chains import Chains
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.regression import fit_rows
from lsg_ray.ising.targets import as_target
from lsg_ray.statistics.configurations import as_configurations
from tests.ensemble.mixture import synthetic

N = 675


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def spin_glass(n: int, strength: float = 0.5) -> IsingModel:
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(size=(n, n)) * strength / np.sqrt(n), 1)
    return IsingModel(J + J.T, 0.1 * rng.normal(size=n))


def numpy_sweep(messages: np.ndarray, t: np.ndarray, h: np.ndarray) -> np.ndarray:
    """[j, i] = m_{j→i}, tanh J given."""
    u = np.arctanh(t * messages)
    return np.tanh((h + u.sum(axis=0))[:, None] - u.T)


def test_bp_sweep_against_numpy(full):
    n, sweeps, repeats = (N, 40, 15) if full else (60, 4, 1)
    model = spin_glass(n)
    t, start = np.tanh(model.J), np.zeros((n, n))
    options = {"start": start, "tolerance": 1e-300, "damping": 0.0, "threads": 1}
    found = belief_propagation(model, max_sweeps=2, **options)
    ours, theirs = [], []
    for _ in range(repeats):
        long, short = (
            timed(lambda k=k: belief_propagation(model, max_sweeps=k, **options))
            for k in (2 + sweeps, 2)
        )
        ours.append((long - short) / sweeps)
        theirs.append(timed(lambda: numpy_sweep(start, t, model.h)))
    expected = numpy_sweep(numpy_sweep(start, t, model.h), t, model.h)
    off = ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(found.messages[0][off], expected[off], atol=1e-12)
    ratio = np.median(theirs) / np.median(ours)
    print(
        f"\nBP sweep, N = {n}, float64, one thread: {1e3 * np.median(ours):.3f} ms, NumPy "
        f"{1e3 * np.median(theirs):.2f} ms ({ratio:.1f}x)"
    )
    if full:
        assert ratio >= 5


def test_monte_carlo_against_dwave(full):
    """Spin updates a second at fixed β, one thread each; theirs without the set-up of a call."""
    dimod = pytest.importorskip("dimod")
    samplers = pytest.importorskip("dwave.samplers")
    n = N if full else 40
    model = spin_glass(n)
    pairs = {(i, j): -model.J[i, j] for i in range(n) for j in range(i + 1, n)}
    problem = dimod.BinaryQuadraticModel(dict(enumerate(-model.h)), pairs, 0.0, "SPIN")
    sampler = samplers.SimulatedAnnealingSampler()

    def peer(sweeps: int) -> None:
        sampler.sample(
            problem, num_reads=8, num_sweeps=sweeps, num_sweeps_per_beta=sweeps,
            beta_schedule_type="custom", beta_schedule=[1.0], seed=1,
        )  # fmt: skip

    chains = Chains(model, 1024, threads=1)
    chains.sweep(2)
    ratios, ours, theirs = [], [], []
    for _ in range(7 if full else 1):
        theirs.append(8 * 500 * n / (timed(lambda: peer(600)) - timed(lambda: peer(100))))
        ours.append(1024 * n * 20 / timed(lambda: chains.sweep(20)))
        ratios.append(ours[-1] / theirs[-1])
    print(
        f"\nMonte Carlo, N = {n}: {np.median(ours) / 1e6:.1f} M spins/s, dwave-samplers "
        f"{np.median(theirs) / 1e6:.2f} M/s ({np.median(ratios):.1f}x)"
    )
    if full:
        assert np.median(ratios) >= 15


def test_l1_pseudolikelihood_against_scikit_learn(full, tmp_path):
    """All rows, against saga on three of them."""
    count, n, l1 = (100_000, N, 0.01) if full else (400, 30, 0.05)
    ensemble = synthetic(tmp_path / "e", count, n, 0)
    source, target = as_configurations(ensemble), as_target(ensemble)
    if full:
        fit_rows(as_configurations(ensemble.numpy()[:500]), target, l1=l1, max_passes=2)
    began = time.perf_counter()
    rows = fit_rows(source, target, l1=l1)
    seconds = time.perf_counter() - began
    sigma = ensemble.numpy().astype(np.float64)
    worst, theirs = 0.0, []
    for i in np.random.default_rng(0).choice(n, 3, replace=False):
        peer = LogisticRegression(
            l1_ratio=1.0, C=2 / (l1 * count), solver="saga", tol=1e-5, max_iter=1000
        )
        others = np.delete(sigma, i, axis=1)
        theirs.append(timed(lambda p=peer, x=others, i=i: p.fit(x, sigma[:, i])))
        worst = max(worst, np.abs(np.delete(rows.J[i], i) - peer.coef_[0] / 2).max())
    print(
        f"\nL1 pseudolikelihood, {count:,} x {n}, λ = {l1}: {seconds:.1f} s, KKT {rows.kkt:.1e}, "
        f"{rows.passes} passes; saga {np.mean(theirs):.1f} s a row "
        f"({n * np.mean(theirs) / seconds:.0f}x); largest difference {worst:.1e}"
    )
    assert rows.kkt <= 1e-4
    assert worst <= 1e-3
    if full:
        assert seconds <= 90


def test_reference_moments(full, shared):
    """The full deep model by persistent chains, and the parts by the cavity method."""
    target = as_target(shared / "data" / "reference" / "deep_20-15-15-10.npz")
    places = {"LB": slice(0, 300), "ITR": slice(300, 525), "RB": slice(525, 675)}
    for part, place in places.items() if full else []:
        report = fit_boltzmann(target.restrict(place), method="bp").report
        print(
            f"\nbp, {part}: own rms C {report['rms_C_method']:.4f}, m {report['rms_m_method']:.1e};"
            f" by Monte Carlo C {report['rms_C']:.4f}, m {report['rms_m']:.4f}"
        )
    with threadpool_limits(1):
        some = target if full else target.restrict(slice(0, 40))
        report = fit_boltzmann(some, seconds=None if full else 0.3, verify=full).report
    print({name: value for name, value in report.items() if name != "frozen_weights"})
    if full:
        assert report["rms_C"] <= 0.003
        assert report["rms_m"] <= 0.004
        assert report["seconds"] <= 120
