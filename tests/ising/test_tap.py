"""TAP: free energy and gradient by differences, fixed points, states and peaks."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.stationary import scaled_hessian
from lsg_ray.ising.tap import count_peaks, tap_free_energy, tap_gradient, tap_states

from .test_entropy import curie_weiss, glass
from .test_model import couplings


def test_free_energy__is_that_of_the_formula_and_the_gradient_its_derivative():
    J, h = couplings(7, seed=3)
    m = np.random.default_rng(0).uniform(-0.9, 0.9, (4, 7))
    v = 1 - m**2
    for row, value in zip(m, tap_free_energy(m, J, h), strict=True):
        pairs = sum(
            J[i, j] * row[i] * row[j] + J[i, j] ** 2 * (1 - row[i] ** 2) * (1 - row[j] ** 2) / 2
            for i in range(7) for j in range(i)
        )  # fmt: skip
        p, q = (1 + row) / 2, (1 - row) / 2
        assert -value == pytest.approx(h @ row + pairs - (p * np.log(p) + q * np.log(q)).sum())
    gradient = tap_gradient(m, J, h)
    for i in range(7):
        up, down = m.copy(), m.copy()
        up[:, i] += 1e-6
        down[:, i] -= 1e-6
        slope = -(tap_free_energy(up, J, h) - tap_free_energy(down, J, h)) / 2e-6
        np.testing.assert_allclose(gradient[:, i], slope, atol=1e-7)
    scaled = np.empty((7, 7))
    for i in range(7):
        up, down = m[:1].copy(), m[:1].copy()
        up[0, i] += 1e-6
        down[0, i] -= 1e-6
        scaled[i] = -(tap_gradient(up, J, h) - tap_gradient(down, J, h))[0] / 2e-6
    scaled *= np.sqrt(np.outer(v[0], v[0]))
    least = np.linalg.eigvalsh(scaled_hessian(m[0], J))[0]
    assert least == pytest.approx(np.linalg.eigvalsh(scaled)[0], abs=1e-6)


@pytest.mark.parametrize("beta", [0.6, 1.0])
def test_fixed_points__are_stationary_and_near_enumeration(beta):
    n = 12
    model = IsingModel(glass(n, 3.0), 0.4 * np.random.default_rng(1).normal(size=n))
    result = tap_states(model, beta=beta, starts=50, tolerance=1e-11)
    exact = enumerate_model(model, beta)
    assert (result.attrs["states"], result.attrs["converged"], result.attrs["peaks"]) == (1, 1.0, 1)
    assert float(result["gradient"].max()) < 1e-9
    np.testing.assert_allclose(result["m"].values[0], exact.m, atol=0.02)
    assert float(result["state_f"][0]) == pytest.approx(-exact.log_Z / (beta * n), abs=0.003)
    assert float(result["stability"][0]) > 0


def test_ferromagnet__has_two_states_and_with_a_field_two_free_energies():
    n = 80
    even = tap_states((curie_weiss(n, 1.6), np.zeros(n)), starts=300)
    assert sorted(even["m"].values.mean(axis=1)) == pytest.approx([-0.88, 0.88], abs=0.01)
    assert (even["curvature"] > 0).all()
    np.testing.assert_allclose(np.diff(even["state_f"]), 0, atol=1e-6)
    assert int(even["population"].sum()) == 300
    tilted = tap_states((curie_weiss(n, 1.6), np.full(n, 0.05)), starts=300)
    assert (tilted.attrs["states"], tilted.attrs["peaks"]) == (2, 2)
    assert tilted["m"].values.mean(axis=1)[0] > 0.8
    assert float(tilted["overlap"][0, 1]) < -0.5


def test_oscillations__are_damped_and_what_does_not_settle_is_flagged():
    n = 40
    J = -curie_weiss(n, 6.0)
    result = tap_states((J, np.zeros(n)), starts=20)
    assert result.attrs["converged"] == 1
    assert (result["damping"] > 0).all()
    short = tap_states((glass(n, 0.5), np.zeros(n)), starts=20, max_iterations=5)
    assert short.attrs["converged"] < 1
    assert (short["state"].where(~short["converged"], -1) == -1).all()
    assert short.attrs["states"] == 0 or short["m"].sizes["state_number"] > 0
    cold = tap_states((glass(n, 0.3), np.zeros(n)), starts=20)
    assert cold.attrs["stable_states"] < max(cold.attrs["states"], 1)


def test_seeds__decide_all(tmp_path):
    model = (glass(30, 0.8), np.zeros(30))
    one, same = (tap_states(model, starts=300, seed=5) for _ in range(2))
    assert one.identical(same)
    other = tap_states(model, starts=300, seed=6)
    assert not np.array_equal(one["iterations"], other["iterations"])


@pytest.mark.parametrize("seed", range(5))
def test_peaks__of_mixtures(seed):
    rng = np.random.default_rng(seed)
    assert count_peaks(rng.normal(size=800))[0] == 1
    assert count_peaks(rng.gamma(4, size=800))[0] == 1  # skewed: two components, one peak
    number, positions = count_peaks(np.r_[rng.normal(0, 1, 500), rng.normal(7, 1, 300)])
    assert number == 2
    np.testing.assert_allclose(positions, [0, 7], atol=0.5)
    assert count_peaks(np.r_[np.zeros(600), np.ones(400)])[0] == 2
    assert count_peaks(np.zeros(0))[0] == 0


@pytest.mark.parametrize(
    "options", [{"starts": 0}, {"tolerance": 0}, {"max_iterations": 0}, {"beta": -1}]
)
def test_bad_input__is_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        tap_states((np.zeros((2, 2)), np.zeros(2)), **options)
