"""Parallel tempering: exact at every temperature, and free where plain chains are trapped."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.montecarlo import sample_model
from lsg_ray.ising.tempering import choose_betas, temper_model

from .test_model import couplings


def test_averages__are_exact_at_every_temperature():
    """z-scores of energies at 6 temperatures and of 10 m and 45 C at the last, 8 repeats: their
    standard deviation is 1 (1.18 for C, whose errors come from 8 groups), here within 0.35.
    """
    model = IsingModel(*couplings(10, seed=5, scale=0.4))
    betas = np.linspace(0.25, 1.5, 6)
    exact = [enumerate_model(model, beta) for beta in betas]
    upper = np.triu_indices(10, 1)
    z = {"energy": [], "m": [], "C": []}
    for seed in range(8):
        result = temper_model(model, betas=betas, ladders=32, burn_in=50, draws=100, seed=seed)
        assert result.attrs["converged"] == 1
        energies = np.array([e.energy for e in exact])
        z["energy"].append((result["energy_mean"] - energies) / result["energy_mean_stderr"])
        z["m"].append((result["m"] - exact[-1].m) / result["m_stderr"])
        z["C"].append((result["C"] - exact[-1].C).values[upper] / result["C_stderr"].values[upper])
        assert result["exchanged"][:-1].min() > 0.3
        assert np.isnan(result["exchanged"][-1])
    assert abs(np.std(z["energy"]) - 1) < 0.35
    assert abs(np.std(z["m"]) - 1) < 0.35
    assert abs(np.std(z["C"]) - 1.18) < 0.35
    by_formula = [np.mean(x) for x in z.values()]
    assert np.abs(by_formula).max() < 0.5


def test_energies_that_have_not_settled__are_flagged():
    """A ferromagnet in its first sweeps: spins are even by symmetry, so that R̂ of m alone may be
    small; the energy is still falling.  After a burn-in nothing is flagged, in 10 of 10 runs.
    """  # fmt: skip
    n = 64
    model = IsingModel((np.ones((n, n)) - np.eye(n)) * 1.2 / n, np.zeros(n))
    betas, options = [0.2, 0.6, 1.0], {"ladders": 32, "draws": 60, "thin": 1}
    for seed in range(3):
        early = temper_model(model, betas=betas, burn_in=0, seed=seed, **options)
        assert early.attrs["energy_rhat"] == early["energy_rhat"].max()
        assert early.attrs["converged"] == 0
    late = [
        temper_model(model, betas=betas, burn_in=200, seed=seed, **options | {"thin": 20})
        for seed in range(10)
    ]
    assert [result.attrs["converged"] for result in late] == [1] * 10


def test_trapped_model__is_freed():
    """A ferromagnet of 40 spins below its transition: chains at β = 1 keep the sign they took."""
    n = 40
    model = IsingModel((np.ones((n, n)) - np.eye(n)) * 2 / n, np.zeros(n))
    plain = sample_model(model, chains=64, draws=40, burn_in=100, thin=2)
    assert plain.attrs["converged"] == 0
    result = temper_model(model, ladders=64, burn_in=300, draws=400, thin=3)
    assert result.attrs["converged"] == 1
    assert result.attrs["round_trips"] > 64
    assert np.abs(result["m"]).max() < 5 * result["m_stderr"].mean()
    assert result["C"].values[0, 1] > 0.7


def test_ladder__reaches_from_hot_to_cold_in_even_steps():
    model = IsingModel(*couplings(60, scale=0.15))
    betas = choose_betas(model, 2.0)
    assert betas[[0, -1]] == pytest.approx([0.2, 2.0])
    assert (np.diff(betas) > 0).all()
    result = temper_model(model, beta=2.0, ladders=16, burn_in=20, draws=50)
    exchanged = result["exchanged"][:-1]
    assert 0.25 < exchanged.min() <= exchanged.max() < 0.9
    free = IsingModel(np.zeros((3, 3)), np.zeros(3))
    assert len(choose_betas(free)) == 2


def test_results__depend_on_the_seed_alone():
    model = IsingModel(*couplings(12))
    one, two, other = (
        temper_model(model, ladders=4, burn_in=5, draws=8, seed=seed, threads=threads)
        for seed, threads in ((0, 1), (0, 2), (1, 2))
    )
    assert one.identical(two)
    assert (one["energy"] != other["energy"]).any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ladders": 1}, "ladders 1"),
        ({"draws": 2}, "draws 2"),
        ({"betas": [1, 0.5]}, "must ascend"),
        ({"betas": [np.nan]}, "finite"),
        ({"betas": []}, "finite"),
        ({"beta": 0}, "beta 0 given"),
    ],
)
def test_misfits__are_refused(options, says):
    with pytest.raises(InputError, match=says):
        temper_model(IsingModel(*couplings(5)), **options)
