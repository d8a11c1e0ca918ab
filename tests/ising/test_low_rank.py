"""Models of a few patterns: exact averages, planted patterns, noise that has none."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.hopfield import LowRankModel, low_rank_averages, sample_low_rank
from lsg_ray.ising.low_rank import fields_of, fit_low_rank
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.statistics import principal as module
from lsg_ray.statistics.configurations import as_configurations
from lsg_ray.statistics.principal import edges, principal, spikes


def ising(model: LowRankModel) -> IsingModel:
    J = model.xi @ model.xi.T
    np.fill_diagonal(J, 0.0)
    return IsingModel(J, model.h)


def planted(n: int, strengths: list[float], seed: int, field: float = 0.5) -> LowRankModel:
    """Patterns whose Ξᵀ diag(v) Ξ has the given eigenvalues at the fields' magnetizations."""
    rng = np.random.default_rng(seed)
    h = rng.normal(0, field, n)
    v = 1 - np.tanh(h) ** 2
    u = np.linalg.qr(rng.normal(size=(n, len(strengths))))[0]
    return LowRankModel(u / np.sqrt(v)[:, None] * np.sqrt(strengths), h)


# Averages of a model


@pytest.mark.parametrize(
    ("n", "strengths", "field"),
    [(5, [], 1.0), (8, [0.5], 0.3), (12, [0.7, 0.4], 0.5), (14, [0.9, 0.8, 0.3], 0.0),
     (10, [1.6], 0.0), (12, [2.5, 1.8], 0.1)],
)  # fmt: skip
def test_averages__are_those_of_enumeration_within_their_errors(n, strengths, field):
    """Some 25 numbers a case at five standard errors, seeds fixed; also in the ordered phase."""
    model = planted(n, strengths, n, field)
    exact, own = enumerate_model(ising(model)), low_rank_averages(model, seed=3)
    assert own.effective > 200
    for value, error, true in (
        (own.log_Z, own.log_Z_stderr, exact.log_Z),
        (own.entropy, own.entropy_stderr, exact.entropy),
    ):
        assert abs(value - true) < 5 * error + 1e-9
    assert np.abs(own.m - exact.m).max() < 5 * own.m_stderr.max() + 1e-9
    of_xi = np.einsum("ik,ij,jk->k", model.xi, exact.C, model.xi) - (exact.m @ model.xi) ** 2
    assert (np.abs(own.variance - of_xi) < 5 * own.variance_stderr + 1e-9).all()
    assert own.maxima == 1 or max(strengths) > 1


def test_errors__are_the_scatter_over_seeds():
    """Of 60 seeds, the ratio of squares is 1 ± 0.18: three of that, and four numbers."""
    model = planted(12, [0.8, 0.5], 0)
    all_seeds = [low_rank_averages(model, seed=seed) for seed in range(60)]
    for name in ("log_Z", "entropy"):
        values = np.array([getattr(one, name) for one in all_seeds])
        errors = np.array([getattr(one, f"{name}_stderr") for one in all_seeds])
        assert 0.45 < values.var() / (errors**2).mean() < 1.6
    values = np.array([one.m for one in all_seeds])
    errors = np.array([one.m_stderr for one in all_seeds])
    assert 0.45 < values.var(axis=0).mean() / (errors**2).mean() < 1.6


def test_configurations__have_the_moments_of_enumeration():
    """4,000 chains: 66 correlations and 12 magnetizations at 4.5 errors; seeds fixed."""
    model = planted(12, [0.8, 0.5], 1)
    exact = enumerate_model(ising(model))
    sigma = sample_low_rank(model, chains=4000, sweeps=60, seed=2).astype(float)
    error = 4.5 / np.sqrt(4000)
    assert np.abs(sigma.mean(axis=0) - exact.m).max() < error
    assert np.abs(sigma.T @ sigma / 4000 - exact.C).max() < error


# Inference


@pytest.mark.parametrize("seed", range(3))
def test_first_order__has_errors_of_second_order(seed):
    """Of exact moments, halving weak couplings divides the errors of J and of m by four."""
    rng = np.random.default_rng(seed)
    n = 10
    xi, h = rng.normal(size=(n, 2)) / np.sqrt(n), rng.normal(0, 0.4, n)
    errors = []
    for scale in (0.08, 0.04, 0.02):
        J = scale * xi @ xi.T
        np.fill_diagonal(J, 0.0)
        exact = enumerate_model(IsingModel(J, h))
        v = 1 - exact.m**2
        R = (exact.C - np.outer(exact.m, exact.m)) / np.sqrt(np.outer(v, v))
        values, vectors = np.linalg.eigh(R)
        # All patterns, also repulsive ones.
        units = vectors / np.sqrt(v)[:, None]
        found = (units * (1 - 1 / values)) @ units.T
        np.fill_diagonal(found, 0.0)
        errors.append(np.abs(found - J).max())
    assert 3.0 < errors[0] / errors[1] < 5.5
    assert 3.3 < errors[1] / errors[2] < 4.8


def test_fields__give_the_magnetizations():
    """The reaction of the patterns is what a plain mean field lacks, by a power of N."""
    model = planted(12, [0.5], 4)
    m = enumerate_model(ising(model)).m
    h = fields_of(model.xi, m)
    plain = np.arctanh(m) - model.xi @ (model.xi.T @ m)
    assert np.abs(h - model.h).max() < 0.2 * np.abs(plain - model.h).max()
    large = planted(2000, [0.9, 0.6], 5)
    exact = low_rank_averages(large, seed=1)
    assert np.abs(fields_of(large.xi, exact.m) - large.h).max() < 5 * exact.m_stderr.max() + 5e-3


def test_patterns_too_strong_for_their_magnetizations__are_refused():
    model = planted(12, [1.5], 0)
    with pytest.raises(InputError, match=r"eigenvalue 1\.5 of .* take fewer patterns"):
        fields_of(model.xi, np.tanh(model.h))


@pytest.fixture(scope="module")
def rows():
    model = planted(300, [0.95, 0.9], 0)  # eigenvalues of about 20 and 10
    return model, sample_low_rank(model, chains=1500, sweeps=200, seed=1)


def test_planted_patterns__are_recovered_as_the_theory_of_spikes_says(rows):
    model, sigma = rows
    result = fit_low_rank(sigma, seed=2)
    assert result.attrs["verdict"] == "low rank"
    assert result.attrs["patterns"] == 2
    assert result.attrs["converged"]
    m = sigma.mean(axis=0)
    x = (sigma - m) / np.sqrt(1 - m**2)
    values = np.linalg.eigvalsh(x.T @ x / len(x))
    np.testing.assert_allclose(result["eigenvalue"], values[:-3:-1], rtol=2e-3)
    # The population is that of ten times as many rows, whose own eigenvectors are off by 0.004.
    many = sample_low_rank(model, chains=15_000, sweeps=200, seed=5)
    x = (many - many.mean(axis=0)) / many.std(axis=0)
    population, u = np.linalg.eigh(x.T @ x / len(x))
    np.testing.assert_allclose(result["population"], population[:-3:-1], rtol=0.12)
    own = result["xi"].values * np.sqrt(1 - m**2)[:, None]
    own /= np.linalg.norm(own, axis=0)
    lost = 1 - ((u[:, -2:].T @ own) ** 2).sum(axis=0)
    np.testing.assert_allclose(lost, 1 - result["alignment"], rtol=0.35)
    np.testing.assert_allclose(result["variance"], result["target"], rtol=0.011)
    assert (result["first_order"] < result["target"]).all()
    assert result.attrs["rms_m"] <= 1e-3
    # By another sampler, and along the patterns: √(2/8000) = 1.6 % is the error.
    own_model = LowRankModel(result["xi"].values, result["h"].values)
    again = sample_low_rank(own_model, chains=8000, sweeps=150, seed=6)
    assert np.sqrt(((again.mean(axis=0) - m) ** 2).mean()) < 1.3 / np.sqrt(8000)
    strength = (result["xi"].values ** 2 * (1 - m**2)[:, None]).sum(axis=0)
    along = (again @ own_model.xi).var(axis=0) / strength
    np.testing.assert_allclose(along, result["variance"], rtol=0.15)
    exact = low_rank_averages(model)
    assert abs(result.attrs["entropy"] - exact.entropy / 300) < 0.005


def test_independent_weights__have_no_pattern():
    """One in a hundred sets has one, by the threshold; of 60, more than 5 once in 2,000 seeds."""
    counts = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        mu = np.tanh(rng.normal(0, 0.7, 80))
        sigma = np.where(rng.random((200, 80)) < (1 + mu) / 2, 1, -1).astype(np.int8)
        result = fit_low_rank(sigma, patterns=3)
        counts.append(result.attrs["patterns"])
        assert result.attrs["verdict"] == ("low rank" if counts[-1] else "independent")
    assert sum(count > 0 for count in counts) <= 5
    m = result["m_data"].values
    np.testing.assert_allclose(result["m"], np.clip(m, -1 + 2 / 202, 1 - 2 / 202), atol=1e-9)
    assert result.attrs["entropy"] == pytest.approx(result.attrs["independent_entropy"])


def test_eigenvectors__do_not_depend_on_how_rows_are_cut(rows, monkeypatch, ensemble_of):
    _, sigma = rows
    m = sigma.mean(axis=0)
    whole = principal(as_configurations(sigma), m, 4, 0)
    monkeypatch.setattr(module, "CONFIG", module.PrincipalConfig(bytes=4 * 300 * 64))
    cut = principal(as_configurations(ensemble_of(sigma, block_size=37)), m, 4, 0)
    np.testing.assert_allclose(cut.values, whole.values, rtol=1e-5)
    assert (whole.residuals[:2] <= 0.02).all()


def test_frozen_weights__have_fields_and_no_pattern(rows):
    sigma = rows[1].copy()
    sigma[:, 7] = 1
    result = fit_low_rank(sigma)
    assert result.attrs["frozen"] == 1
    assert (result["xi"][7] == 0).all()
    assert result["h"][7] == pytest.approx(np.arctanh(1 - 2 / 1502))
    assert result.attrs["patterns"] == 2


def test_too_few_patterns__are_undetermined(rows):
    result = fit_low_rank(rows[1], patterns=1)
    assert result.attrs["verdict"] == "undetermined"
    assert "all 1 patterns are beyond the noise" in result.attrs["reason"]


def test_edges_and_spikes__are_those_of_the_theory():
    """100 draws of a spiked covariance, N = 150, M = 300: means within 4 %."""
    edge, threshold = edges(150, 300)
    assert edge < threshold < 1.1 * edge
    rng = np.random.default_rng(0)
    values, overlaps = [], []
    for _ in range(100):
        x = rng.normal(size=(300, 150))
        x[:, 0] *= np.sqrt(6.0)
        eigenvalues, vectors = np.linalg.eigh(x.T @ x / 300)
        values.append(eigenvalues[-1])
        overlaps.append(vectors[0, -1] ** 2)
    spike = spikes(np.array([np.mean(values)]), 0.5)
    assert spike.population[0] == pytest.approx(6.0, rel=0.04)
    assert spike.alignment[0] == pytest.approx(np.mean(overlaps), rel=0.04)


@pytest.mark.parametrize(("given", "words"), [
    (np.random.default_rng(0).normal(size=(9, 4)), "array holds real weights"),
    (np.ones((9, 4), np.int8), r"all weights but 0 are frozen \(\|m\| = 1\)"),
    (np.ones((2, 4), np.int8), "patterns need at least 3"),
])  # fmt: skip
def test_bad_input__is_refused(given, words):
    with pytest.raises(InputError, match=words):
        fit_low_rank(given)


@pytest.mark.parametrize(("count", "n"), [(900, 200), (60, 200), (25, 8), (12, 30)])
def test_eigenvectors__are_those_of_numpy_also_below_the_edge(count, n):
    sigma = np.where(np.random.default_rng(n).random((count, n)) < 0.4, 1, -1).astype(np.int8)
    sigma[:, n // 2] = 1
    m = sigma.mean(axis=0)
    found = principal(as_configurations(sigma), m, 3, 0)
    free = np.flatnonzero(np.abs(m) < 1)
    x = (sigma - m)[:, free] / np.sqrt(1 - m[free] ** 2)
    values = np.linalg.eigvalsh(x.T @ x / count)[::-1]
    assert found.converged
    assert found.values[0] == pytest.approx(values[0], rel=0.01)
    assert (found.values <= values[:3] * 1.0001).all()
    assert (found.vectors[n // 2] == 0).all()
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(3), atol=1e-6)
