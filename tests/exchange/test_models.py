"""Models of other packages, and chains: energies are the same, and round trips are exact."""

import warnings

import numpy as np
import pytest

import lsg_ray
from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel, load_model


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(size=(6, 6)), 1)
    return IsingModel(J + J.T, rng.normal(size=6), np.array(["LB"] * 3 + ["RB"] * 3),
                      {}, np.arange(6) + 4)  # fmt: skip


@pytest.fixture
def sigma():
    return np.random.default_rng(1).choice([-1, 1], (20, 6))


def test_binary_quadratic_models__have_the_same_energies(model, sigma, tmp_path):
    dimod = pytest.importorskip("dimod")
    bqm = lsg_ray.to_bqm(model)
    np.testing.assert_allclose(bqm.energies(sigma), model.energy(sigma), atol=1e-12)
    back = lsg_ray.from_bqm(bqm)
    np.testing.assert_array_equal(back.J, model.J)
    np.testing.assert_array_equal(back.h, model.h)
    of_bits = lsg_ray.from_bqm(bqm.change_vartype("BINARY", inplace=False))
    np.testing.assert_allclose(of_bits.J, model.J, atol=1e-12)
    lsg_ray.export(model, tmp_path / "m.bqm")
    with open(tmp_path / "m.bqm", "rb") as file:
        assert dimod.BinaryQuadraticModel.from_file(file) == bqm
    lsg_ray.export(tmp_path / "m.bqm", tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.J, model.J)
    with pytest.raises(InputError, match="0 variables"):
        lsg_ray.from_bqm(dimod.BinaryQuadraticModel("SPIN"))


def test_graphs__hold_couplings_above_the_cutoff(model, tmp_path):
    networkx = pytest.importorskip("networkx")
    graph = lsg_ray.to_networkx(model, cutoff=0.5)
    assert graph.number_of_nodes() == 6
    expected = {(i, j) for i in range(6) for j in range(i) if abs(model.J[i, j]) > 0.5}
    assert {tuple(sorted(edge, reverse=True)) for edge in graph.edges} == expected
    assert graph.nodes[4] == {"field": model.h[4], "part": "RB", "weight": 8}
    lsg_ray.export(model, tmp_path / "m.graphml", cutoff=0.5)
    read = networkx.read_graphml(tmp_path / "m.graphml", node_type=int)
    for i, j, about in read.edges(data=True):
        assert about["coupling"] == model.J[i, j]
    assert len(read.edges) == len(expected)


@pytest.mark.parametrize("suffix", ["npz", "mtx"])
def test_models__round_trip(model, tmp_path, suffix):
    model.save(tmp_path / "m.zarr")
    lsg_ray.export(tmp_path / "m.zarr", tmp_path / f"x.{suffix}")
    if suffix == "npz":
        again = load_model(tmp_path / "x.npz")
        np.testing.assert_array_equal(again.J, model.J)
        np.testing.assert_array_equal(again.weight, model.weight)
    else:
        import scipy.io

        np.testing.assert_array_equal(scipy.io.mmread(tmp_path / "x.mtx").toarray(), model.J)
    with pytest.raises(InputError, match=r"\.pt holds state dicts"):
        lsg_ray.export(model, tmp_path / "x.pt")
    with pytest.raises(InputError, match="limit given"):
        lsg_ray.export(model, tmp_path / "y.npz", limit=1)


def test_chains__as_arviz_takes_them(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("arviz")
        result = lsg_ray.sample_model(model, chains=8, burn_in=5, draws=10)
        data = lsg_ray.to_arviz(result)
    np.testing.assert_array_equal(data.posterior["energy"], result["energy"])
    assert data.posterior.sizes == {"chain": 8, "draw": 10}
    with pytest.raises(InputError, match="without chains"):
        lsg_ray.to_arviz(model.to_dataset())
