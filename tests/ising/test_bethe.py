"""Cavity fits: models whose beliefs are the data's, and which plain sweeps find from anywhere."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.boltzmann import fit_boltzmann
from lsg_ray.ising.bp import belief_propagation, bethe_averages
from lsg_ray.ising.fitted import deviation
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.targets import Target, as_target
from tests.ensemble.mixture import synthetic

from .test_bp import tree
from .test_model import couplings


@pytest.mark.parametrize("correlations", ["beliefs", "response"])
def test_trees__come_back(correlations):
    """Where beliefs are exact, the response is, and only it knows that far pairs are apart."""
    model = tree(10, seed=4, scale=0.6)
    exact = enumerate_model(model)
    fit = fit_boltzmann((exact.m, exact.C), method="bp", correlations=correlations, verify=False)
    if correlations == "response":
        np.testing.assert_allclose(fit.model.J, model.J, atol=1e-8)
        np.testing.assert_allclose(fit.model.h, model.h, atol=1e-8)
    else:
        assert fit.report["rms_m_method"] < 1e-5
    assert fit.report["converged"]


def test_response__is_nearer_to_the_truth_than_beliefs():
    model = IsingModel(*couplings(12, seed=1, scale=0.08))
    exact = enumerate_model(model)
    errors = {}
    for correlations in ("beliefs", "response"):
        fit = fit_boltzmann(
            (exact.m, exact.C), method="bp", correlations=correlations, verify=False
        )
        averages = enumerate_model(fit.model)
        errors[correlations] = deviation(averages.m, averages.C, Target(exact.m, exact.C))[0]
        assert fit.report["delta_method"] < 0.002
    assert errors["response"] < errors["beliefs"] / 5


def test_strongly_correlated_data__give_a_model_that_any_start_finds():
    """Two clusters: the collective mode is far beyond what stable beliefs can hold."""
    target = as_target(synthetic("memory://bethe", 2000, 60, 3))
    for seed in range(3):
        fit = fit_boltzmann(target, method="bp", seed=seed, verify=False)
        assert fit.report["converged"]
        assert fit.report["delta_method"] < fit.report["delta_independent"]
        assert fit.report["rms_m_method"] < 1e-4
        start = np.random.default_rng(100 + seed).uniform(-1, 1, (60, 60))
        beliefs = belief_propagation(fit.model, start=start, damping=0.0, tolerance=1e-8)
        assert beliefs.converged[0]
        C = bethe_averages(fit.model, beliefs).C[0]
        assert deviation(beliefs.m[0], C, target)[0] == pytest.approx(
            fit.report["delta_method"], abs=1e-5
        )
    assert (fit.history["stable"] == 0).any()
    assert fit.history["delta"].where(fit.history["stable"] == 1).min() == pytest.approx(
        fit.report["delta_method"]
    )


def test_few_configurations__need_shrinkage_and_get_it():
    weights = np.where(np.random.default_rng(0).random((20, 40)) < 0.5, -1, 1)
    target = as_target(weights)
    assert fit_boltzmann(target, method="bp", correlations="response", verify=False).report[
        "converged"
    ]
    for shrinkage, message in ((0.0, "inverse is needed"), (1.5, "shrinkage 1.5 given")):
        with pytest.raises(InputError, match=message):
            fit_boltzmann(
                target, method="bp", correlations="response", shrinkage=shrinkage, verify=False
            )
    with pytest.raises(InputError, match="correlations 'x' given"):
        fit_boltzmann(target, method="bp", correlations="x")


@pytest.mark.parametrize(("part", "C", "m"), [("LB", 0.034, 0.046), ("ITR", 0.0024, 0.001),
                                               ("RB", 0.016, 0.019)])  # fmt: skip
def test_reference_parts__beat_the_published_fits(shared, part, C, m):
    indices = {"LB": slice(0, 300), "ITR": slice(300, 525), "RB": slice(525, 675)}
    target = as_target(shared / "data" / "reference" / "deep_20-15-15-10.npz")
    fit = fit_boltzmann(target.restrict(indices[part]), method="bp", verify=False)
    assert fit.report["converged"]
    assert fit.report["rms_C_method"] < C
    assert fit.report["rms_m_method"] < m / 100


def test_margin__stays_below_the_border():
    """A ferromagnet's moments, too strong for stable beliefs: less is asked for, with a margin."""
    n = 20
    c = np.full((n, n), 0.4) + 0.6 * np.eye(n)
    border, inside = (
        fit_boltzmann((np.zeros(n), c), method="bp", verify=False, margin=margin)
        for margin in (0.0, 0.2)
    )
    assert inside.report["converged"]
    assert inside.report["rms_C_method"] > border.report["rms_C_method"]
    assert np.abs(inside.model.J).max() < np.abs(border.model.J).max()
    with pytest.raises(InputError, match="margin 1"):
        fit_boltzmann((np.zeros(n), c), method="bp", margin=1.0)


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
def test_margin__leaves_alone_what_is_stable(margin):
    """A chain of 10 spins, whose moments plain sweeps find: there is no border here."""
    n = 10
    J = np.diag(np.full(n - 1, 0.3), 1)
    exact = enumerate_model(IsingModel(J + J.T, np.linspace(-0.2, 0.3, n)))
    fit = fit_boltzmann((exact.m, exact.C), method="bp", margin=margin, verify=False)
    assert fit.report["converged"]
    assert fit.report["rms_C_method"] < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_margin__of_weak_models_changes_nothing(seed):
    exact = enumerate_model(IsingModel(*couplings(12, seed=seed, scale=0.05)))
    plain, inside = (
        fit_boltzmann((exact.m, exact.C), method="bp", margin=margin, verify=False)
        for margin in (0.0, 0.2)
    )
    np.testing.assert_array_equal(plain.model.J, inside.model.J)
