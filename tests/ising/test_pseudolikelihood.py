"""Pseudolikelihood: minimum against SciPy and scikit-learn, planted models, blocks, misfits."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from lsg_ray.errors import InputError
from lsg_ray.ising.boltzmann import fit_boltzmann
from lsg_ray.ising.chains import Chains
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.regression import fit_rows, sum_rows
from lsg_ray.ising.targets import as_target
from lsg_ray.statistics.configurations import as_configurations
from tests.ensemble.mixture import synthetic

from .test_model import couplings


def drawn(model, count, seed=0):
    chains = Chains(model, count, seed=seed)
    chains.sweep(100)
    return chains.spins


def planted(n, seed=0, density=0.03):
    rng = np.random.default_rng(seed)
    J = np.triu(rng.random((n, n)) < density, 1) * rng.uniform(0.2, 0.5, (n, n))
    J *= rng.choice([-1, 1], (n, n))
    return IsingModel(J + J.T, 0.1 * rng.normal(size=n))


def f1(J, true):
    both = np.triu((J != 0) & (true != 0), 1).sum()
    return 2 * both / (np.triu(J != 0, 1).sum() + np.triu(true != 0, 1).sum())


def test_sums__are_those_of_the_formula():
    sigma = synthetic("memory://plm", 700, 30, 1).numpy().astype(float)
    rng = np.random.default_rng(0)
    J, h = 0.2 * rng.normal(size=(30, 30)), rng.normal(size=30)
    np.fill_diagonal(J, 0)
    f = sigma @ J.T + h
    for keep, rows in (("all", slice(None)), ("held", np.arange(700) % 10 == 9)):
        sums = sum_rows(as_configurations(sigma), J.astype(np.float32), h, keep, 0, 700)
        s, g = sigma[rows], f[rows]
        assert sums.rows == len(s)
        np.testing.assert_allclose(sums.loss, np.log1p(np.exp(-2 * s * g)).sum(0), rtol=2e-5)
        np.testing.assert_allclose(sums.curvature, (1 - np.tanh(g) ** 2).sum(0), rtol=2e-5)
        residual = s - np.tanh(g)
        np.testing.assert_allclose(sums.residual, residual.sum(0), atol=2e-3)
        np.testing.assert_allclose(sums.products, residual.T @ s, atol=5e-3)


def test_l2__is_the_minimum_that_scipy_finds():
    sigma = drawn(IsingModel(*couplings(8, seed=2)), 2000).astype(float)
    rows = fit_rows(as_configurations(sigma), as_target(sigma), l1=0, l2=0.05, tolerance=1e-5)
    assert rows.converged
    for i in range(8):
        others = np.delete(sigma, i, axis=1)

        def loss(x, i=i, others=others):
            field = x[0] + others @ x[1:]
            return np.log1p(np.exp(-2 * sigma[:, i] * field)).mean() + 0.025 * x[1:] @ x[1:]

        best = minimize(loss, np.zeros(8), tol=1e-12)
        # A gradient of 10⁻⁵ over the least curvature, about 0.02.
        np.testing.assert_allclose(np.delete(rows.J[i], i), best.x[1:], atol=5e-4)
        assert rows.h[i] == pytest.approx(best.x[0], abs=5e-4)
        assert rows.objective[i] == pytest.approx(best.fun, abs=1e-6)


def test_l1__is_that_of_scikit_learn():
    """liblinear penalises the intercept, so saga; its loss is in units of w = 2J."""
    ensemble = synthetic("memory://l1", 1500, 60, 3)
    sigma = ensemble.numpy().astype(float)
    rows = fit_rows(as_configurations(ensemble), as_target(ensemble), l1=0.02, tolerance=1e-5)
    for i in (0, 30, 59):
        peer = LogisticRegression(
            l1_ratio=1.0, C=2 / (0.02 * len(sigma)), solver="saga", tol=1e-6, max_iter=5000
        ).fit(np.delete(sigma, i, axis=1), sigma[:, i])
        np.testing.assert_allclose(np.delete(rows.J[i], i), peer.coef_[0] / 2, atol=1e-3)
        assert rows.h[i] == pytest.approx(peer.intercept_[0] / 2, abs=1e-3)


@pytest.mark.parametrize(
    "options", [{"l1": 0.03}, {"l1": 0.0, "decimate": "coupling"},
                {"l1": 0.0, "decimate": "free-energy"}],
)  # fmt: skip
def test_planted_couplings__are_found(options):
    """Couplings of 0.2 and more, from 20,000 configurations: 0.007 is the error of one."""
    model = planted(30, density=0.05)
    sigma = drawn(model, 20_000)
    fit = fit_boltzmann(sigma, method="plm", verify=False, **options)
    assert fit.report["converged"]
    assert fit.report["kkt"] <= 5e-5
    assert f1(fit.model.J, model.J) >= 0.95
    assert fit.report["sparsity"] == pytest.approx(
        np.mean(fit.model.J[np.triu_indices(30, 1)] == 0)
    )
    if "decimate" in options:
        curve = fit.report["decimated"]
        assert len(curve["couplings"]) == len(curve["tilted"])
        assert np.abs(fit.model.J - model.J).max() < 0.05


def test_penalty__is_chosen_by_what_is_held_out():
    model = planted(30, seed=1)
    fit = fit_boltzmann(drawn(model, 3000), method="plm", l1="auto", verify=False)
    curve = fit.report["held_out"]
    best = int(np.argmax(curve["pseudolikelihood"]))
    assert 0 < best < len(curve["l1"]) - 1
    assert fit.report["l1"] == curve["l1"][best]
    assert np.all(np.diff(curve["l1"]) < 0)
    assert np.all(np.diff(curve["sparsity"]) <= 0)
    path = fit_boltzmann(drawn(model, 3000), method="plm", l1=[0.01, 0.1], verify=False)
    assert path.report["held_out"]["l1"] == [0.1, 0.01]


def test_blocks_subsamples_and_frozen_weights(tmp_path):
    ensemble = synthetic(tmp_path / "s", 5000, 200, 2)
    fits = [
        fit_boltzmann(given, method="plm", l1=0.05, verify=False)
        for given in (ensemble, ensemble.url, ensemble.numpy())
    ]
    for fit in fits[1:]:
        np.testing.assert_allclose(fit.model.J, fits[0].model.J, atol=1e-4)
    some = fit_boltzmann(ensemble, method="plm", l1=0.05, count=500, verify=False)
    assert some.report["configurations"] == 500
    frozen = ensemble.numpy()[:, :20].copy()
    frozen[:, 4] = 1
    fit = fit_boltzmann(frozen, method="plm", verify=False)
    assert fit.report["frozen_weights"] == [4]
    assert not fit.model.J[4].any()
    assert fit.report["delta_method"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l1": -1}, "not negative"),
        ({"l1": "some"}, "'some' given"),
        ({"l1": []}, "not negative"),
        ({"l2": np.nan}, "finite"),
        ({"decimate": "all"}, "decimate 'all' given"),
        ({"count": 1}, "1 configurations asked for"),
        ({"max_passes": 0}, "max_passes 0"),
    ],
)
def test_misfits__are_refused(options, message):
    sigma = np.where(np.random.default_rng(0).random((50, 6)) < 0.5, -1, 1)
    with pytest.raises(InputError, match=message):
        fit_boltzmann(sigma, method="plm", verify=False, **options)


def test_moments__are_not_enough(tmp_path):
    np.savez(tmp_path / "m.npz", m=np.zeros(3), C=np.eye(3))
    for given in ((np.zeros(3), np.eye(3)), tmp_path / "m.npz"):
        with pytest.raises(InputError, match="needs the configurations"):
            fit_boltzmann(given, method="plm")
    with pytest.raises(InputError, match="real numbers"):
        fit_boltzmann(np.random.default_rng(0).normal(size=(9, 3)), method="plm")
