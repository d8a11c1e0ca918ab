"""Statistics of stored ReLU networks: each works as for an array, or says in a line why not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lsg_ray.cluster.sample import sample
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import InputError
from lsg_ray.networks.first_layer import DenseInputs
from lsg_ray.networks.permutations import network_outputs
from lsg_ray.networks.relu_network import evaluate, glorot_uniform
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import parse_spec
from lsg_ray.statistics import maps, reals
from lsg_ray.statistics import moments as moments_module
from lsg_ray.statistics.distances import distances
from lsg_ray.statistics.maps import embed
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.node_symmetry import canonicalize, node_symmetry, permute
from lsg_ray.statistics.overlaps import overlaps


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "biases"])
def ensemble(request):
    """Ten networks of a hundred weights, sampled in three blocks."""
    spec = parse_spec(
        {
            "dataset": {"name": "digits", "components": 6, "train_examples": 200},
            "network": {"family": "relu", "widths": [6, 5, 4, 10], "biases": request.param},
            "training": {"epochs": 2, "stack": 4},
            "ensemble": {"count": 10},
        }
    )
    url = f"memory://real-{request.param}"
    sample(spec, url, workers=0)
    return open_ensemble(url)


def test_moments__are_those_of_the_array(ensemble, monkeypatch):
    weights = ensemble.numpy().astype(float)
    result = moments(ensemble)
    np.testing.assert_allclose(result["m"], weights.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(result["C"], weights.T @ weights / 10, atol=1e-12)
    np.testing.assert_allclose(result["variance"], weights.var(axis=0, ddof=1), atol=1e-12)
    assert set(result["part"].values) == {"LB", "ITR", "RB"}
    part = moments(ensemble.part("RB").where("configuration < 7"))
    columns = ensemble.spec.network.parts["RB"]
    np.testing.assert_allclose(part["m"], weights[:7, columns].mean(axis=0), atol=1e-12)
    # However few rows are held at a time.
    for module in (moments_module, reals):
        monkeypatch.setattr(module, "REALS", replace(module.REALS, bytes=8 * ensemble.n_weights))
    again = moments(ensemble)
    for name in ("m", "C", "connected_stderr", "m_stderr"):
        np.testing.assert_allclose(again[name], result[name], atol=1e-12)


def test_moments__of_many_real_weights_have_no_matrix_unless_asked(monkeypatch, ensemble):
    monkeypatch.setattr(
        moments_module, "LIMITS", replace(moments_module.LIMITS, max_real_weights=50)
    )
    assert "C" not in moments(ensemble)
    assert "C" in moments(ensemble, correlations=True)
    monkeypatch.setattr(moments_module, "LIMITS", replace(moments_module.LIMITS, max_bytes=10**5))
    with pytest.raises(InputError, match=r"C of .* weights takes .*--choose, --part"):
        moments(ensemble, correlations=True)


def test_distances__are_euclidean(ensemble):
    weights = ensemble.numpy().astype(float)
    expected = np.sqrt(((weights[:, None] - weights[None]) ** 2).sum(axis=2))
    result = distances(ensemble, matrix=True)
    np.testing.assert_allclose(result["matrix"], expected, atol=1e-9)
    np.testing.assert_allclose(result.attrs["mean"], expected[np.triu_indices(10, 1)].mean())
    assert result["pairs"].sum() == 45


@pytest.mark.parametrize(
    "measure",
    [overlaps, lambda given: moments(given, triples=5), lambda given: distances(given, pairs=3)],
)
def test_what_is_of_signs_is_refused(ensemble, measure):
    with pytest.raises(InputError, match=r"real-valued weights|±1 weights"):
        measure(ensemble)


def test_canonical_and_permuted_networks__compute_what_they_did(ensemble):
    data, spec = load_dataset(ensemble.spec.dataset), ensemble.spec
    outputs = network_outputs(spec.network, ensemble.numpy().astype(float), data.test.x)
    inputs = DenseInputs(data.test.x, "cpu", torch.float32)
    labels = torch.tensor(data.test.y).long()
    for kind, make in (
        ("canonical", canonicalize),
        ("permuted", lambda given, url: permute(given, 1.0, url)),
    ):
        made = make(ensemble, f"{ensemble.url}-{kind}")
        assert verify(made.url).ok
        assert made.header.derivation["kind"] == kind
        weights = made.numpy()
        assert not np.array_equal(weights, ensemble.numpy())
        np.testing.assert_array_equal(np.sort(weights, axis=1), np.sort(ensemble.numpy(), axis=1))
        result = network_outputs(spec.network, weights.astype(float), data.test.x)
        np.testing.assert_allclose(result, outputs, atol=1e-12 * np.abs(outputs).max())
        for name in ("accuracy", "train_loss", "trial"):
            np.testing.assert_array_equal(made.column(name), ensemble.column(name))
        name = "curve_test_loss"
        np.testing.assert_array_equal(
            made.to_dask(name).compute(), ensemble.to_dask(name).compute()
        )
        loss = evaluate(spec.network, weights, inputs, labels).loss
        np.testing.assert_allclose(loss, made.column("test_loss"), rtol=1e-5)


def test_permuted_copies__have_the_forms_of_their_originals(ensemble):
    assert node_symmetry(ensemble).attrs["permutation_dependent_pairs"] == 0
    mixed = permute(ensemble, 0.5, mode="add", seed=1)
    result = node_symmetry(mixed)
    assert result.attrs["configurations"] == 13
    assert result.attrs["permutation_dependent_pairs"] == 3
    forms = canonicalize(mixed).rows(0, 13)
    np.testing.assert_array_equal(forms[:10], canonicalize(ensemble).rows(0, 10))


def test_map__has_the_columns_of_the_family_and_the_true_starts(ensemble):
    result = embed(ensemble, method="pca", starts=True)
    assert set(ensemble.query_columns) <= set(result.data_vars)
    assert "polarization" not in result
    seeds = [seed_sequence(0, Stream.TRIAL, i, 0) for i in range(10)]
    points = np.concatenate([glorot_uniform(ensemble.spec.network, seeds), ensemble.numpy()])
    direct = embed(points.astype(float), method="pca")
    np.testing.assert_allclose(result["x"], direct["x"], atol=1e-9)
    assert result["learned"].values.tolist() == [False] * 10 + [True] * 10
    with pytest.raises(InputError, match="starts asked for; these configurations were derived"):
        embed(canonicalize(ensemble, f"{ensemble.url}-for-a-map"), starts=True)


def test_map__that_would_not_fit_into_memory_is_refused(ensemble, monkeypatch):
    monkeypatch.setattr(maps, "MAP", replace(maps.MAP, max_bytes=1000))
    with pytest.raises(InputError, match=r"10 points of \d+ real weights take .* choose fewer"):
        embed(ensemble)
