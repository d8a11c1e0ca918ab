"""The model: what it refuses, its energy, enumeration against brute force, files."""

import itertools

import numpy as np
import pytest
import xarray

from lsg_ray.errors import InputError
from lsg_ray.ising.model import IsingModel, as_model, enumerate_model, load_model


def couplings(n, seed=0, scale=0.4):
    J = np.triu(np.random.default_rng(seed).normal(size=(n, n)) * scale, 1)
    return J + J.T, np.random.default_rng(seed + 1).normal(size=n) * scale


def test_energy_and_fields__are_those_of_the_formula():
    J, h = couplings(6)
    model = IsingModel(J, h)
    for sigma in itertools.product([-1, 1], repeat=6):
        pairs = sum(J[i, j] * sigma[i] * sigma[j] for i in range(6) for j in range(i))
        energy = -pairs - np.dot(h, sigma)
        assert model.energy(sigma)[0] == pytest.approx(energy)
        for i in range(6):
            flipped = np.array(sigma) * np.where(np.arange(6) == i, -1, 1)
            cost = model.energy(flipped)[0] - energy
            assert cost == pytest.approx(2 * sigma[i] * (h + J @ sigma)[i])


@pytest.mark.parametrize("beta", [0.0, 0.7, 1.0])
def test_enumeration__is_the_sum_over_states(beta):
    J, h = couplings(5)
    model = IsingModel(J, h)
    states = np.array(list(itertools.product([-1, 1], repeat=5)))
    weights = np.exp(-beta * model.energy(states))
    p = weights / weights.sum()
    result = enumerate_model(model, beta)
    assert result.log_Z == pytest.approx(np.log(weights.sum()))
    np.testing.assert_allclose(result.m, p @ states, atol=1e-14)
    np.testing.assert_allclose(result.C, (states.T * p) @ states, atol=1e-14)
    assert result.energy == pytest.approx(p @ model.energy(states))
    assert result.entropy == pytest.approx(-p @ np.log(p))


def test_enumeration__of_two_spins_is_in_closed_form():
    model = IsingModel([[0, 0.8], [0.8, 0]], [0, 0])
    assert enumerate_model(model).C[0, 1] == pytest.approx(np.tanh(0.8))
    with pytest.raises(InputError, match="21 spins; at most 20"):
        enumerate_model(IsingModel(np.zeros((21, 21)), np.zeros(21)))


@pytest.mark.parametrize("suffix", ["npz", "Npz", "zarr"])
def test_saved_model__reads_back_the_same(tmp_path, suffix):
    J, h = couplings(4)
    part, weight = np.array(["LB", "LB", "RB", "RB"]), np.array([3, 4, 7, 9])
    model = IsingModel(J, h, part, {"delta": 0.1}, weight)
    path = model.save(tmp_path / f"model.{suffix}")
    again = load_model(path)
    np.testing.assert_array_equal(again.J, model.J)
    np.testing.assert_array_equal(again.h, model.h)
    assert again.part.tolist() == ["LB", "LB", "RB", "RB"]
    assert again.weight.tolist() == [3, 4, 7, 9]
    assert again.attributes["delta"] == 0.1
    if suffix == "zarr":
        assert xarray.open_zarr(path)["J"].attrs["units"] == "nat"
    with pytest.raises(InputError, match="exists"):
        model.save(path)
    model.save(path, overwrite=True)
    np.testing.assert_array_equal(as_model(str(path)).J, J)
    np.testing.assert_array_equal(as_model((J, h)).J, J)


@pytest.mark.parametrize(
    ("J", "h", "says"),
    [
        ([[0, 1], [2, 0]], [0, 0], r"J\[0, 1\] is 1 and J\[1, 0\] is 2"),
        ([[3, 1], [1, 0]], [0, 0], r"J\[0, 0\] is 3; the diagonal"),
        ([[0, np.nan], [1, 0]], [0, 0], r"J\[0, 1\] is nan"),
        ([[0, 1], [1, 0]], [0, np.inf], r"h\[1\] is inf"),
        ([[0, 1, 1], [1, 0, 1]], [0, 0], r"J of shape \(2, 3\)"),
        (np.zeros((0, 0)), [], r"N > 0"),
    ],
)
def test_no_models__are_refused_with_the_entry(J, h, says):
    with pytest.raises(InputError, match=says):
        IsingModel(J, h)


def test_misfits__are_refused(tmp_path):
    model = IsingModel(*couplings(3))
    with pytest.raises(InputError, match=r"has 3 spins: \(R, 3\)"):
        model.energy([[1, 1]])
    with pytest.raises(InputError, match="configuration 1 holds 0 at spin 2"):
        model.energy([[1, 1, 1], [1, 1, 0]])
    (tmp_path / "text.npz").write_text("x")
    np.savez(tmp_path / "other.npz", a=1)
    for name in ("text.npz", "other.npz", "nothing.zarr"):
        with pytest.raises(InputError, match="not a model"):
            load_model(tmp_path / name)
    with pytest.raises(InputError, match=r"a model is two arrays, J and h; name .*other.npz alone"):
        load_model(tmp_path / "other.npz:a")
    with pytest.raises(InputError, match="a model is an IsingModel, a path"):
        as_model(3)


def test_arrays_of_others__are_read_and_their_parts_checked(tmp_path):
    J, h = couplings(3)
    np.savez(tmp_path / "plain.npz", J=J, h=h)
    assert load_model(tmp_path / "plain.npz").part is None
    IsingModel(J, h).save(tmp_path / "plain.npz", overwrite=True)  # no more than it was
    assert load_model(tmp_path / "plain.npz").weight is None
    for part, weight, says in (
        (["LB"] * 2, [0, 1, 2], "part of shape"),
        ([1, 2, 3], [0, 1, 2], "part holds int64"),
        (["LB"] * 3, [0.5, 1, 2], "weight holds float64"),
        (["LB"] * 3, [1, 1, 2], r"weight\[1\] is 1"),
    ):
        np.savez(tmp_path / "bad.npz", J=J, h=h, part=part, weight=weight)
        with pytest.raises(InputError, match=says):
            load_model(tmp_path / "bad.npz")
    np.savez(tmp_path / "odd.npz", J=J, h=h, attributes="{no JSON")
    assert load_model(tmp_path / "odd.npz").attributes == {}
