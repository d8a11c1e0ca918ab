"""Heat-capacity integration and dynamics, against enumeration and known cases."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.dynamics import Task, relax
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.thermodynamics import thermodynamics
from lsg_ray.networks.binary_network import evaluate
from lsg_ray.networks.layout import chunk_examples
from lsg_ray.spec import NetworkSpec

from .test_entropy import curie_weiss, exact_landscape, glass


def test_entropy__agrees_with_enumeration_within_its_error():
    """12 models of 14 spins, several β each; 4.5 standard errors: false alarms below 10⁻³."""
    scores, n = [], 14
    for seed in range(12):
        rng = np.random.default_rng(seed)
        model = IsingModel(glass(n, 1.0, seed), 0.3 * rng.normal(size=n))
        result = thermodynamics(model, seed=seed, ladders=48, draws=80, burn_in=100, thin=3)
        assert result.attrs["converged"]
        for k in (3, 7, -1):
            exact = enumerate_model(model, float(result["beta"][k]))
            for name, value in (("s", exact.entropy), ("e", exact.energy), ("log_Z", exact.log_Z)):
                error = float(result[f"{name}_stderr"][k])
                scores.append((float(result[name][k]) - value / n) / error)
    assert np.abs(scores).max() < 4.5
    assert 0.7 < np.std(scores) < 1.3


def test_curves__start_at_ln_2_and_are_consistent():
    n = 30
    result = thermodynamics((glass(n, 1.2), np.zeros(n)), ladders=16, draws=60)
    beta = result["beta"].values
    assert beta[0] == 0
    assert float(result["s"][0]) == pytest.approx(np.log(2))
    assert (np.diff(result["s"]) < 2 * result["s_stderr"][1:]).all()
    np.testing.assert_allclose(
        result["s"], result["log_Z"] + result["beta"] * result["e"], atol=1e-12
    )
    np.testing.assert_allclose(result["f"][1:], -result["log_Z"][1:] / beta[1:])
    assert np.isnan(result["f"].values[0])
    # S = ln 2 − ∫ C_v/β dβ, by the trapezoidal rule
    slope = np.divide(result["heat_capacity"], beta, out=np.zeros(len(beta)), where=beta > 0)
    integral = np.log(2) - np.trapezoid(slope, beta)
    assert float(result["s"][-1]) == pytest.approx(integral, abs=0.01)


def test_distance_field__belongs_to_the_energy():
    n, x = 12, 0.6
    rng = np.random.default_rng(2)
    model = IsingModel(glass(n, 1.5), 0.2 * rng.normal(size=n))
    sigma = rng.choice([-1, 1], n)
    result = thermodynamics(model, reference=sigma, x=x, ladders=48, draws=100)
    d, s, e, _ = exact_landscape(model, sigma, x)
    assert abs(result.attrs["s"] - s) < 4.5 * result.attrs["s_stderr"]
    assert abs(float(result["d"]) - d) < 4.5 * float(result["d_stderr"])
    assert float(result["energy"]) == pytest.approx(e, abs=0.02)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"betas": [0.1, 1]}, "ascending from 0"),
        ({"betas": [0, 1, 1]}, "ascending from 0"),
        ({"x": 0.5}, "without a reference"),
        ({"reference": np.ones((2, 3)), "x": 1.0}, "2 references given"),
        ({"reference": np.ones(3), "x": np.inf}, "must be finite"),
        ({"beta": 0.0}, "positive"),
        ({"ladders": 1}, "ladders 1"),
    ],
)
def test_bad_input__is_named(options, says):
    with pytest.raises(InputError, match=says):
        thermodynamics((np.zeros((3, 3)), np.zeros(3)), **options)


def test_dynamics__escapes_where_the_landscape_is_flat():
    """Independent spins, Metropolis at random sites: q(t) = e^{−2t} to 1/√(N·chains)."""
    n = 400
    result = relax((np.zeros((n, n)), np.zeros(n)), np.ones((2, n)), sweeps=10, chains=32)
    expected = np.exp(-2 * result["sweep"].values)
    np.testing.assert_allclose(result["overlap"].mean("reference"), expected, atol=0.03)
    assert result.attrs["trapped"] == 0
    assert result["relaxation"].values.tolist() == [1, 1]


def test_dynamics__is_trapped_by_a_ferromagnet_and_forgets_above_its_transition():
    n = 100
    cold = relax((curie_weiss(n, 2.0), np.zeros(n)), np.ones((1, n)), sweeps=60)
    assert (cold.attrs["trapped"], bool(cold["trapped"][0])) == (1.0, True)
    assert cold.attrs["memory"] == pytest.approx(0.957, abs=0.03)
    assert np.isnan(cold["relaxation"].values[0])
    hot = relax((curie_weiss(n, 0.5), np.zeros(n)), np.ones((1, n)), sweeps=60)
    assert hot.attrs["trapped"] == 0
    field = relax((np.zeros((n, n)), np.full(n, 2.0)), np.ones((1, n)), sweeps=60)
    assert field.attrs["trapped"] == 0  # near the start for ever, but in equilibrium
    assert float(field["overlap"][0, -1]) == pytest.approx(np.tanh(2.0), abs=0.03)


def test_dynamics__watches_the_accuracy_of_the_networks():
    network = NetworkSpec(widths=(4, 3, 5))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 4)).astype(np.float32), rng.integers(0, 5, 200)
    sigma = rng.choice([-1, 1], (3, 27)).astype(np.int8)
    task = Task(network, x, y)
    result = relax((np.zeros((27, 27)), np.zeros(27)), sigma, sweeps=5, task=task)
    right, _ = evaluate(network, sigma, chunk_examples(x, y))
    np.testing.assert_array_equal(result["accuracy"].values[:, 0], right)
    frozen = IsingModel(
        np.zeros((15, 15)), 50.0 * sigma[0, 12:], part=np.full(15, "RB"), weight=np.arange(12, 27)
    )
    part = relax(frozen, sigma[:1], sweeps=5, task=task)  # the first layer stays that of σ*
    np.testing.assert_array_equal(part["accuracy"].values[0], right[0])
    for references, says in (
        (rng.choice([-1, 1], (1, 26)), "references have 26 weights"),
        (sigma[:, 12:], "references of whole networks"),
    ):
        with pytest.raises(InputError, match=says):
            relax(frozen, references, task=task)
    with pytest.raises(InputError, match="sweeps 1"):
        relax(frozen, sigma, sweeps=1)
