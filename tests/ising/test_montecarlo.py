"""Monte Carlo: every engine against enumeration, and honest about its own convergence."""

import itertools

import dask
import numpy as np
import pytest
from scipy.stats import chi2, combine_pvalues

from lsg_ray.errors import InputError
from lsg_ray.ising.chains import Chains
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.montecarlo import autocorrelation_time, sample_model

from .test_model import couplings

ENGINES = list(
    itertools.product(("heat-bath", "metropolis"), ("sequential", "random"), ("dense", "cached"))
)


@pytest.mark.parametrize(("method", "order", "layout"), ENGINES)
def test_states__occur_as_often_as_they_should(method, order, layout):
    """Chi-square over the 16 states of 4 spins, one draw a chain so that draws are independent;
    p-values of 12 repeats combined (Fisher): a false alarm once in 10⁴ seeds, and they are fixed.
    """
    model = IsingModel(*couplings(4, seed=3))
    states = 2 * ((np.arange(16)[:, None] >> np.arange(4)) & 1) - 1
    p = np.exp(-0.8 * model.energy(states))
    p /= p.sum()
    values = []
    for seed in range(12):
        chains = Chains(model, 4000, seed=seed, beta=0.8, method=method, order=order, layout=layout)
        chains.sweep(30)
        numbers = ((chains.spins > 0) << np.arange(4)).sum(axis=1)
        counts = np.bincount(numbers, minlength=16)
        values.append(chi2.sf(((counts - 4000 * p) ** 2 / (4000 * p)).sum(), 15))
    assert combine_pvalues(values).pvalue > 1e-4


@pytest.mark.parametrize(("method", "order", "layout"), ENGINES)
def test_fields_and_energies__are_those_of_recomputation(method, order, layout):
    """N = 70 is more than one block, and the last is short."""
    model = IsingModel(*couplings(70, scale=0.1))
    chains = Chains(model, 20, seed=1, method=method, order=order, layout=layout)
    for _ in range(3):
        chains.sweep(4)
        spins = chains.spins
        assert set(np.unique(spins)) == {-1, 1}
        np.testing.assert_allclose(chains.energies(), model.energy(spins), atol=2e-4)
        if layout == "cached":
            fields = np.concatenate([part.fields for part in chains._parts])
            np.testing.assert_allclose(fields, model.h + spins @ model.J, atol=1e-4)
    product = spins.T.astype(float) @ spins
    np.testing.assert_array_equal(chains.product(), product)
    by_group = np.zeros((len(chains.groups), *product.shape))
    chains.add_products(by_group)
    np.testing.assert_array_equal(by_group.sum(axis=0), product)
    assert 0 < chains.acceptance < 1


def test_averages__are_exact_within_their_errors():
    """z-scores of 10 m, 45 C and 120 triples, over 12 repeats; errors from 8 groups follow a t
    distribution with 7 degrees: their standard deviation is √(7/5) = 1.18, here within 0.25.
    """
    model = IsingModel(*couplings(10, seed=5, scale=0.25))
    exact = enumerate_model(model)
    triples = np.array(list(itertools.combinations(range(10), 3)))
    states = 2.0 * ((np.arange(1024)[:, None] >> np.arange(10)) & 1) - 1
    p = np.exp(-model.energy(states) - exact.log_Z)
    third = p @ np.prod(states[:, triples], axis=2)
    upper = np.triu_indices(10, 1)
    z = {"m": [], "C": [], "third": [], "energy": []}
    for seed in range(12):
        result = sample_model(
            model, chains=256, draws=40, thin=3, burn_in=50, seed=seed, triples=triples
        )
        assert result.attrs["converged"] == 1
        z["m"].append((result["m"] - exact.m) / result["m_stderr"])
        stderr = result["C_stderr"].where(result["C_stderr"] > 0)
        z["C"].append(((result["C"] - exact.C) / stderr).values[upper])
        z["third"].append((result["third"] - third) / result["third_stderr"])
        z["energy"].append((result["energy_mean"] - exact.energy) / result["energy_mean_stderr"])
    assert abs(np.std(z["m"]) - 1) < 0.25
    assert abs(np.std(z["C"]) - 1.18) < 0.25
    assert abs(np.std(z["third"]) - 1.18) < 0.25
    assert np.abs(z["energy"]).max() < 3.5


def test_results__do_not_depend_on_threads_and_do_on_seeds():
    model = IsingModel(*couplings(30, scale=0.1))
    one, two, other = (
        Chains(model, 200, seed=seed, threads=threads) for seed, threads in ((0, 1), (0, 2), (1, 2))
    )
    for chains in (one, two, other):
        chains.sweep(5)
    np.testing.assert_array_equal(one.spins, two.spins)
    assert (one.spins != other.spins).any()


def test_batches__are_tasks_that_give_the_same_anywhere():
    model = IsingModel(*couplings(20, scale=0.2))
    runs = []
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            runs.append(sample_model(model, chains=60, draws=6, batches=3, keep=60))
    assert runs[0].identical(runs[1])
    assert runs[0]["configurations"].shape == (60, 20)
    assert runs[0]["energy"].shape == (60, 6)
    last = runs[0]["energy"][:, -1]
    np.testing.assert_allclose(last, model.energy(runs[0]["configurations"]), atol=1e-4)
    one = sample_model(model, chains=60, draws=6)
    assert one["C"].values[0, 1] == pytest.approx(runs[0]["C"].values[0, 1], abs=0.3)


def test_trapped_chains__are_reported():
    """Two ferromagnetic states that no chain leaves: each chain is calm, and no two agree."""
    n = 40
    model = IsingModel((np.ones((n, n)) - np.eye(n)) * 3 / n, np.zeros(n))
    result = sample_model(model, chains=64, draws=20, burn_in=20)
    assert result.attrs["converged"] == 0
    assert result.attrs["rhat_max"] > 1.5
    free = sample_model(model, chains=64, draws=40, burn_in=20, beta=0.1)
    assert free.attrs["converged"] == 1


def test_autocorrelation_time__of_an_autoregression_is_known():
    """x' = a x + noise has τ = ½ (1 + a)/(1 − a): 9.5 for a = 0.9; 2 % at 200 × 2,000 draws."""
    rng = np.random.default_rng(0)
    x = np.zeros((200, 2000))
    x[:, 0] = rng.normal(size=200) / np.sqrt(1 - 0.81)
    for t in range(1, 2000):
        x[:, t] = 0.9 * x[:, t - 1] + rng.normal(size=200)
    assert autocorrelation_time(x) == pytest.approx(9.5, rel=0.1)
    assert autocorrelation_time(np.ones((3, 9))) == 0.5


def test_start_and_keep__place_and_return_configurations():
    model = IsingModel(np.zeros((5, 5)), np.full(5, 50.0))
    chains = Chains(model, 3, start=-np.ones(5))
    assert (chains.spins == -1).all()
    result = sample_model(model, chains=8, draws=4, keep=2)
    assert (result["configurations"] == 1).all()
    assert result["configurations"].shape == (2, 5)
    frozen = Chains(model, 3, start=-np.ones(5), beta=[0, 1, -1])
    frozen.sweep()
    assert frozen.spins[1].tolist() == [1] * 5
    assert frozen.spins[2].tolist() == [-1] * 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"chains": 1}, "chains 1"),
        ({"draws": 3}, "draws 3"),
        ({"thin": 0}, "thin 0"),
        ({"keep": 2000}, "keep 2000"),
        ({"batches": 0}, "batches 0"),
        ({"method": "wolff"}, "'wolff' given; choose one of heat-bath, metropolis"),
        ({"beta": np.nan}, "must be finite"),
        ({"start": np.ones(4)}, r"start of shape \(4,\)"),
        ({"start": np.zeros(5)}, "other than ±1"),
    ],
)
def test_misfits__are_refused(options, says):
    with pytest.raises(InputError, match=says):
        sample_model(IsingModel(*couplings(5)), **options)


def test_overlaps__with_what_does_not_fit_are_refused_before_sampling():
    model = IsingModel(*couplings(5))
    for references in (np.ones((2, 4)), np.zeros((1, 5))):
        with pytest.raises(InputError, match="reference"):
            sample_model(model, chains=10**9, references=references)
    one = sample_model(model, chains=8, draws=8, references=np.ones(5))
    assert one.sizes["reference"] == 1


@pytest.mark.parametrize("strength", [0.0, 0.8])
def test_overlaps__have_the_error_of_correlated_weights(strength):
    """z-scores of 60 runs against enumeration: unit variance within 0.25 (three standard errors).

    With the weights taken as independent, the error of a ferromagnet's would be too small by half.
    """
    n = 12
    model = IsingModel((np.ones((n, n)) - np.eye(n)) * strength / n, np.full(n, 0.1))
    exact, sigma = enumerate_model(model), np.stack([np.ones(n), np.resize([1, -1], n)])
    z = []
    for seed in range(60):
        result = sample_model(
            model, chains=64, burn_in=20, draws=20, thin=2, seed=seed, references=sigma
        )
        z.append((result["overlap"] - sigma @ exact.m / n) / result["overlap_stderr"])
    assert np.abs(np.std(z, axis=0) - 1).max() < 0.25
    assert np.abs(np.mean(z, axis=0)).max() < 0.45
    independent = np.sqrt((result["m_stderr"].values ** 2).sum()) / n
    if strength:
        assert float(result["overlap_stderr"][0]) > 1.5 * independent
