"""Fits: parameters that made the moments come back, and what cannot be fitted is said."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising import verification
from lsg_ray.ising.boltzmann import fit_boltzmann
from lsg_ray.ising.chains import Chains
from lsg_ray.ising.climbing import sampling_error
from lsg_ray.ising.exact import fit_exact
from lsg_ray.ising.fitted import deviation
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.targets import Target, as_target
from lsg_ray.ising.verification import verify_model
from lsg_ray.results.saving import save_result
from lsg_ray.statistics.moments import moments
from tests.ensemble.mixture import synthetic

from .test_model import couplings


def exact_target(n, seed=0, scale=0.3):
    model = IsingModel(*couplings(n, seed, scale))
    exact = enumerate_model(model)
    return model, (exact.m, exact.C)


def test_exact__gives_the_model_back():
    model, target = exact_target(8)
    fit = fit_boltzmann(target, method="exact")
    np.testing.assert_allclose(fit.model.J, model.J, atol=1e-6)
    np.testing.assert_allclose(fit.model.h, model.h, atol=1e-6)
    assert fit.report["converged"]
    assert fit.report["delta_method"] < 1e-7
    assert fit.report["mc_converged"]
    assert fit.report["rms_C"] < 4 * fit.report["noise_C"]


def test_pcd__recovers_the_model_within_the_noise_of_its_chains():
    """1,024 chains and 1,000 averaged steps: errors of J of order 1/√(10⁶/2τ) ~ 0.003."""
    model, target = exact_target(12)
    fit = fit_boltzmann(target, method="pcd", steps=2000, seed=3)
    assert np.abs(fit.model.J - model.J).max() < 0.05
    assert np.sqrt(np.mean((fit.model.J - model.J) ** 2)) < 0.012
    assert fit.report["converged"]
    assert fit.report["delta"] < 0.3 * fit.report["delta_independent"]
    exact = enumerate_model(fit.model)
    assert deviation(exact.m, exact.C, Target(*target))[0] < 0.01


def test_pcd__that_is_cut_short_says_so():
    _, target = exact_target(12, scale=0.6)
    fit = fit_boltzmann(target, method="pcd", steps=6, rate=0.01, verify=False)
    assert not fit.report["converged"]
    assert fit.report["iterations"] == 6


def test_fit__from_configurations_recovers_what_they_were_drawn_from():
    model = IsingModel(*couplings(10, seed=2, scale=0.2))
    chains = Chains(model, 40_000, seed=5)
    chains.sweep(60)
    fit = fit_boltzmann(chains.spins, method="exact", verify=False)
    assert np.abs(fit.model.J - model.J).max() < 6 / np.sqrt(40_000) * 2
    assert fit.model.attributes["method"] == "exact"


def test_frozen_weights__are_left_out_and_reported():
    model, (m, C) = exact_target(6)
    wide_m, wide_C = np.zeros(9), np.eye(9)
    wide_m[[3, 7]] = 1, -1
    free = np.setdiff1d(np.arange(9), [3, 7, 8])
    wide_m[free], wide_C[np.ix_(free, free)] = m, C
    lone = np.isin(np.arange(9), [3, 7, 8])
    wide_C = np.where(lone | lone[:, None], np.outer(wide_m, wide_m), wide_C)
    np.fill_diagonal(wide_C, 1)
    fit = fit_boltzmann(Target(wide_m, wide_C, count=998), method="exact", verify=False)
    assert fit.report["frozen_weights"] == [3, 7]
    np.testing.assert_allclose(fit.model.J[np.ix_(free, free)], model.J, atol=1e-5)
    assert not fit.model.J[3].any()
    assert fit.model.h[3] == pytest.approx(np.arctanh(1 - 1 / 1000))
    assert fit.model.h[7] == pytest.approx(-np.arctanh(1 - 1 / 1000))
    ones = Target(np.ones(4), np.ones((4, 4)))
    with pytest.raises(InputError, match="4 of 4 weights are frozen"):
        fit_boltzmann(ones)


# Where moments come from


def test_targets__come_from_anything_with_moments(tmp_path):
    ensemble = synthetic(tmp_path / "s", 500, 675, 1)
    result = moments(ensemble)
    save_result(result, tmp_path / "m.zarr")
    np.savez(tmp_path / "m.npz", m=result["m"], C=result["C"])
    for given in (
        ensemble,
        result,
        tmp_path / "m.zarr",
        str(tmp_path / "m.npz"),
        ensemble.url,
        (result["m"].values, result["C"].values),
        ensemble.numpy(),
    ):
        target = as_target(given)
        np.testing.assert_array_equal(target.C, result["C"])
    target = as_target(tmp_path / "m.zarr")
    assert target.count == 500
    parts = {name: (at[0], at[-1] + 1, len(at)) for name, at in target.parts().items()}
    assert parts == {"LB": (0, 300, 300), "ITR": (300, 525, 225), "RB": (525, 675, 150)}
    assert target.restrict(slice(300, 525)).C.shape == (225, 225)


def test_targets__of_weighted_moments_count_what_is_independent():
    """One in 300 rows weighs 100 times the others: n_eff = 61 of 6,000, by the spread of m too.

    m of 100 independent weights: the spread is that of a sampling error to 8 %.
    """
    rng = np.random.default_rng(0)
    sigma = rng.choice([-1, 1], (6000, 100)).astype(np.int8)
    w = np.where(np.arange(6000) % 300, 1.0, 100.0)
    n_eff = w.sum() ** 2 / (w**2).sum()
    result = moments(sigma, weights=w)
    target = as_target(result)
    assert target.count == pytest.approx(n_eff)
    assert target.restrict(slice(0, 5)).count == target.count
    rms = deviation(np.zeros(100), np.eye(100), target)[0]
    assert sampling_error(target) == pytest.approx(rms, rel=0.25)
    assert as_target(moments(sigma)).count == 6000
    frozen = result.copy(deep=True)
    frozen["m"].values[0] = 1.0
    frozen["C"].values[0] = frozen["C"].values[:, 0] = frozen["m"].values
    fit = fit_boltzmann(frozen, method="bp", correlations="response", verify=False)
    assert np.tanh(fit.model.h[0]) == pytest.approx(1 - 1 / (n_eff + 2))


@pytest.mark.parametrize(
    ("m", "C", "message"),
    [
        ([0, np.nan], np.eye(2), r"m\[1\] is nan"),
        ([0, 1.5], np.eye(2), r"m\[1\] is 1.5; it must be from"),
        ([0, 0], [[1, 2], [2, 1]], r"C\[0, 1\] is 2"),
        ([0, 0], [[0, 0.1], [0.1, 0]], "diagonal of C is 1"),
        ([0, 0], [[1, 0.5], [0.1, 1]], "symmetric"),
        ([0.9, 0.9], [[1, 0], [0, 1]], "cannot be moments of ±1"),
        ([0, 0, 0], [[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]], "eigenvalue"),
        ([0], [[1]], "at least 2"),
        ([0, 0, 0], np.eye(2), r"\(N,\) and \(N, N\)"),
    ],
)
def test_no_moments__are_refused_with_the_entry(m, C, message):
    with pytest.raises(InputError, match=message):
        fit_boltzmann((np.array(m), np.array(C)))


def test_files__that_hold_no_moments_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=1)
    (tmp_path / "t.npz").write_text("x")
    for name, message in (
        ("x.npz", "m and C are needed"),
        ("t.npz", "cannot be read"),
        ("no", "nothing there"),
    ):
        with pytest.raises(InputError, match=message):
            as_target(tmp_path / name)
    with pytest.raises(
        InputError, match="'magic' is no method of fitting; there are pcd, tempered"
    ):
        fit_boltzmann((np.zeros(2), np.eye(2)), method="magic")
    with pytest.raises(InputError, match="at most 16: use pcd"):
        fit_boltzmann((np.zeros(17), np.eye(17)), method="exact")


def test_reference_moments__full_model_in_a_tenth_of_the_steps(shared):
    """The acceptance figures (0.003, 0.004 in 120 s) belong to the benchmark; here a quick look."""
    target = as_target(shared / "data" / "reference" / "deep_20-15-15-10.npz")
    fit = fit_boltzmann(target, steps=150, chains=512, verify=False)
    assert fit.report["delta_method"] < 0.6 * fit.report["delta_independent"]


@pytest.mark.parametrize("method", ["bp", "plm", "pcd"])
def test_nearly_frozen_weights__are_fitted_no_worse_than_independent(method):
    """|m| = 0.98 of 1,000: states that few or no configurations have must not make couplings."""
    sigma = np.where(np.random.default_rng(3).random((1000, 16)) < 0.01, -1, 1)
    options = {"plm": {"l1": 0.001}, "pcd": {"steps": 1500}}.get(method, {})
    fit = fit_boltzmann(sigma, method=method, verify=False, **options)
    exact, target = enumerate_model(fit.model), as_target(sigma)
    assert fit.report["converged"]
    assert deviation(exact.m, exact.C, target)[0] < 0.01
    assert np.abs(exact.m - target.m).max() < 0.01


def test_penalty__means_the_same_by_chains_and_by_enumeration():
    _, (m, C) = exact_target(5, scale=0.4)
    fits = [
        fit_boltzmann((m, C), method=method, l2=0.2, verify=False) for method in ("exact", "pcd")
    ]
    np.testing.assert_allclose(fits[1].model.J, fits[0].model.J, atol=0.02)
    np.testing.assert_allclose(fits[1].model.h, fits[0].model.h, atol=0.02)
    assert all(fit.report["converged"] for fit in fits)


def test_states_never_seen__are_not_called_converged():
    """Two weights that always agree: the coupling that says so is infinite, if asked for."""
    sigma = np.where(np.random.default_rng(0).random((200, 3)) < 0.5, -1, 1)
    sigma[:, 1] = sigma[:, 0]
    assert not fit_exact(as_target(sigma)).converged
    assert fit_exact(as_target(sigma), l2=0.1).converged


def test_frozen_weights__count_alike_in_every_deviation():
    _, (m, C) = exact_target(6)
    wide_m, wide_C = np.ones(12), np.ones((12, 12))
    wide_m[:6] = m
    wide_C[:6, :6] = C
    wide_C[:6, 6:] = m[:, None]
    wide_C[6:, :6] = m
    fit = fit_boltzmann((wide_m, wide_C), method="exact", verify=False)
    whole = Target(wide_m, wide_C)
    assert fit.report["delta_independent"] == pytest.approx(
        deviation(wide_m, np.outer(wide_m, wide_m), whole)[0]
    )


def test_few_chains__are_not_called_converged():
    """Their noise is what it says: true deviations of 10 fits have its size to 50 %."""
    _, (m, C) = exact_target(12, scale=0.1)
    deviations, noises = [], []
    for seed in range(10):
        fit = fit_boltzmann((m, C), chains=8, steps=300, seed=seed, verify=False)
        assert not fit.report["converged"]
        assert "noise of the chains" in fit.report["reason"]
        exact = enumerate_model(fit.model)
        deviations.append(deviation(exact.m, exact.C, Target(m, C))[0])
        noises.append(fit.report["noise_method"])
    ratio = np.sqrt(np.mean(np.square(deviations)) / np.mean(np.square(noises)))
    assert 0.5 < ratio < 1.5
    fit = fit_boltzmann((m, C), verify=False)
    assert fit.report["converged"]
    assert "reason" not in fit.report
    assert fit.report["noise_method"] < 0.002 < 0.1 * fit.report["delta_independent"]


def ordered_magnet(n=14):
    """Chains stay in one of its two states, so none has the averages."""
    exact = enumerate_model(IsingModel(0.4 * (1 - np.eye(n)), np.zeros(n)))
    return exact.m, exact.C


def test_chains_of_the_check__that_have_not_converged_leave_it_to_replicas():
    fit = fit_boltzmann(ordered_magnet(), method="exact", l2=1e-3)
    assert fit.report["checked_by"] == "tempering"
    assert fit.report["mc_converged"]
    assert fit.report["converged"]
    assert abs(fit.check["m"].values).max() < 5 * fit.check["m_stderr"].values.max()
    assert fit.report["excess_delta"] < 5 * fit.report["excess_delta_stderr"]


def test_replicas_of_the_check__that_have_not_converged_leave_no_fit_converged(monkeypatch):
    short = replace(verification.CONFIG, ladder_draws=0, ladder_thins=(1,), ladder_burn_in=0)
    monkeypatch.setattr(verification, "CONFIG", short)
    fit = fit_boltzmann(ordered_magnet(), method="exact", l2=1e-3)
    assert fit.report["checked_by"] == "chains"
    assert not fit.report["mc_converged"]
    assert not fit.report["converged"]
    assert "chains of the check have not" in fit.report["reason"]
    assert fit.model.attributes["converged"] == 0
    assert fit_boltzmann(ordered_magnet(), method="exact", l2=1e-3, verify=False).report[
        "converged"
    ]


# What the check measures


@pytest.mark.parametrize("chains", [64, 60])
def test_check__noise_is_taken_off_without_bias(chains):
    """100 checks of a model against its own averages, and against others.

    rms² − noise² is zero on average, and the true mean square: four of its standard errors.  The
    errors from eight groups are Student's t with some 7 to 20 degrees of freedom, so |z| > 4 has a
    chance below 0.5 %, and of 100 more than 5 one below 10⁻⁴.
    """
    model, (m, C) = exact_target(8, seed=4)
    wrong_m, wrong_C = (
        getattr(enumerate_model(IsingModel(0.9 * model.J, model.h)), name) for name in "mC"
    )
    for target in (Target(m, C), Target(wrong_m, wrong_C)):
        true = dict(zip(("delta", "m", "C"), deviation(m, C.copy(), target), strict=True))
        checks = [
            verify_model(model, target, chains=chains, samples=16 * chains, seed=seed).attrs
            for seed in range(100)
        ]
        for name, value in true.items():
            rms = "delta" if name == "delta" else f"rms_{name}"
            squares = np.array([a[rms] ** 2 - a[f"noise_{name}"] ** 2 for a in checks])
            error = squares.std() / np.sqrt(len(squares))
            assert abs(squares.mean() - value**2) < 4 * error
            excess, stderr = (
                np.array([a[f"excess_{name}{what}"] for a in checks]) for what in ("", "_stderr")
            )
            np.testing.assert_allclose(excess, np.sqrt(np.maximum(squares, 0)), rtol=1e-6)
            assert np.count_nonzero(np.abs(excess - value) > 4 * stderr) <= 5


def test_check__noise_of_correlations_is_unbiased():
    """Squared errors of C from groups, against its scatter over 100 checks: 28 pairs, 6 %."""
    model, (m, C) = exact_target(8, seed=4)
    checks = [
        verify_model(model, Target(m, C), chains=60, samples=960, seed=seed) for seed in range(100)
    ]
    scatter = np.mean([(check["C"].values - C) ** 2 for check in checks], axis=0)
    error = np.mean([check["C_stderr"].values ** 2 for check in checks], axis=0)
    off = ~np.eye(8, dtype=bool)
    assert scatter[off].mean() == pytest.approx(error[off].mean(), rel=0.15)


# Weights that repeat others


def with_repeats(method):
    """Six weights as of a model, 1 twice more (once opposite), 4 once more opposite, two frozen."""
    model = IsingModel(*couplings(6, 1, 0.3))
    chains = Chains(model, 4000, seed=1)
    chains.sweep(50)
    s = chains.spins
    ones = np.ones((len(s), 1), np.int8)
    wide = np.c_[s, s[:, 1], -s[:, 1], ones, -s[:, 4], -ones]
    order = [8, 0, 6, 1, 7, 2, 3, 9, 4, 10, 5]
    return wide[:, order], fit_boltzmann(wide[:, order], method=method)


@pytest.mark.parametrize("method", ["pcd", "bp", "plm", "exact"])
def test_duplicates__are_left_out_and_named_with_their_sign(method):
    wide, fit = with_repeats(method)
    report, model = fit.report, fit.model
    assert report["duplicates"] == 3
    assert report["duplicate_weights"] == [[3, 2, 1], [4, 2, -1], [8, 7, -1]]
    assert report["frozen_weights"] == [0, 9]
    assert report["converged"]
    assert not model.J[[0, 3, 4, 8, 9]].any()
    assert np.abs(model.J).max() < 1
    m = wide.mean(axis=0)
    np.testing.assert_allclose(np.tanh(model.h[[3, 4, 8]]), m[[3, 4, 8]], atol=1e-9)
    unique = [1, 2, 5, 6, 7, 10]
    exact = enumerate_model(IsingModel(model.J[np.ix_(unique, unique)], model.h[unique]))
    alone = as_target(wide[:, unique])
    rms = deviation(exact.m, exact.C, alone)
    # Two of the 8 weights that are no duplicates are frozen, and deviate by (almost) nothing.
    scaled = np.hypot(rms[1] * np.sqrt(6 / 8), rms[2] * np.sqrt(30 / 56))
    assert report["excess_delta"] == pytest.approx(scaled, abs=4 * report["excess_delta_stderr"])
    assert scaled < (0.06 if method == "bp" else 0.01)
    np.testing.assert_array_equal(fit.check["repeats"], [0, 1, 2, 2, 2, 5, 6, 7, 7, 9, 10])
    assert json.loads(model.attributes["duplicate_weights"]) == report["duplicate_weights"]
    assert model.attributes["duplicates"] == 3


def test_duplicates__alone_cannot_be_fitted():
    sigma = np.where(np.random.default_rng(0).random((200, 1)) < 0.4, -1, 1)
    with pytest.raises(InputError, match="2 repeat another"):
        fit_boltzmann(np.c_[sigma, -sigma, sigma, np.ones((200, 1))])
    both = np.c_[sigma, -sigma, np.roll(sigma, 1)]
    assert fit_boltzmann(both, method="exact", verify=False).report["duplicates"] == 1


def test_weights__that_differ_once_are_no_duplicates():
    sigma = np.where(np.random.default_rng(0).random((1000, 3)) < 0.4, -1, 1)
    sigma[:, 1] = sigma[:, 0]
    sigma[0, 1] *= -1
    assert fit_boltzmann(sigma, method="exact", verify=False).report["duplicates"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0}, "rate 0 given"),
        ({"seconds": 0}, "seconds 0 given"),
        ({"final_rate": -1}, "final_rate -1 given"),
        ({"l2": np.nan}, "l2 nan given"),
        ({"l2": -1, "method": "exact"}, "l2 -1 given"),
        ({"seed": -1}, "seed -1 given"),
        ({"pseudocount": 2}, "pseudocount 2 given"),
        ({"l1": 0.1}, "l1 given; method 'pcd' takes"),
    ],
)
def test_misfits__are_refused(options, message):
    with pytest.raises(InputError, match=message):
        fit_boltzmann((np.zeros(3), np.eye(3)), verify=False, **options)
