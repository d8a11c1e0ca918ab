"""Checks of a model: three-body correlations, energies and references, by their definitions."""

import itertools

import numpy as np
import pytest
import xarray

from lsg_ray.errors import InputError
from lsg_ray.ising.chains import Chains
from lsg_ray.ising.checks import configuration_energies, three_body
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.references import choose_references
from lsg_ray.report.figures.checks import checks_figure
from lsg_ray.report.style import render
from lsg_ray.results.saving import REFERENCE_ARRAYS, save_result
from tests.ensemble.mixture import synthetic

from .test_model import couplings


@pytest.fixture(scope="module")
def drawn():
    """A model of 10 spins with fields, and 40,000 of its configurations."""
    J, h = couplings(10, seed=5, scale=0.25)
    model = IsingModel(J, h + 0.3)
    chains = Chains(model, 40_000, seed=1)
    chains.sweep(60)
    return model, chains.spins


def test_three_body__is_that_of_enumeration_and_comes_back(drawn):
    """Errors of c_ijk are 0.003 here; a model that made the data reproduces what is above 0.03."""
    model, sigma = drawn
    triples = np.array(list(itertools.combinations(range(10), 3)))
    result = three_body(model, sigma, triples=triples, cutoff=0.03)
    exact = enumerate_model(model)
    states = 2.0 * ((np.arange(1024)[:, None] >> np.arange(10)) & 1) - 1
    p = np.exp(-model.energy(states) - exact.log_Z)
    off = (states - exact.m)[:, triples]
    np.testing.assert_allclose(result["model"], p @ off.prod(axis=2), atol=0.006)
    np.testing.assert_allclose(result["ensemble"], p @ off.prod(axis=2), atol=0.03)
    assert result.attrs["above"] > 10
    assert result.attrs["reproduced"] > 0.95
    assert result.attrs["correlation"] > 0.98
    assert result.attrs["slope"] == pytest.approx(1, abs=0.05)
    independent = IsingModel(np.zeros((10, 10)), np.arctanh(exact.m))
    poor = three_body(independent, sigma, triples=triples, cutoff=0.03)
    assert poor.attrs["reproduced"] == 0
    figure = render(checks_figure(result, configuration_energies(model, sigma[:500])))
    assert figure.startswith(b"\x89PNG")


def test_energies_and_references__are_those_of_the_model(drawn, tmp_path):
    model, sigma = drawn
    result = configuration_energies(model, sigma)
    np.testing.assert_allclose(result["energy"], model.energy(sigma) / 10)
    exact = enumerate_model(model)
    assert result.attrs["typical"] == pytest.approx(exact.energy / 10, abs=0.01)
    assert np.isnan(result.attrs["correlation"])
    chosen = choose_references(result, sigma, 7)
    assert chosen["group"].values.tolist() == ["low"] * 7 + ["medium"] * 7 + ["high"] * 7
    energy = chosen["energy"].values
    assert energy[:7].max() <= np.sort(result["energy"])[7]
    assert energy[14:].min() >= np.sort(result["energy"])[-8]
    assert energy[7:14] == pytest.approx(float(np.median(result["energy"])), abs=0.01)
    np.testing.assert_array_equal(chosen["sigma"], sigma[chosen["row"]])
    for name in ("r.npz", "r.zarr"):
        save_result(chosen, tmp_path / name, archive=REFERENCE_ARRAYS)
    with np.load(tmp_path / "r.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["sigma"], chosen["sigma"])
        assert arrays["group"][0] == "low"
    stored = xarray.open_zarr(tmp_path / "r.zarr")
    np.testing.assert_array_equal(stored["sigma"], chosen["sigma"])


def test_misfits__are_refused(drawn):
    model, sigma = drawn
    store = synthetic("memory://checks", 50, 30, 0)
    for check in (three_body, configuration_energies):
        with pytest.raises(InputError, match="10 weights and memory://checks 30"):
            check(model, store)
    energies = configuration_energies(model, sigma[:30])
    with pytest.raises(InputError, match="11 references of each of 3 groups"):
        choose_references(energies, sigma[:30], 11)
    with pytest.raises(InputError, match="30 energies given for 40 configurations"):
        choose_references(energies, sigma[:40])
    with pytest.raises(InputError, match="no triples"):
        three_body(model, sigma, triples=0)
