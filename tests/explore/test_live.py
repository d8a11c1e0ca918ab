"""What follows the sliders is what a scan computes."""

import numpy as np
import pytest

import lsg_ray
from lsg_ray.errors import InputError
from lsg_ray.explore.live import MAX_SPINS, Live, nearest_to, references_of


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(2)
    J = np.triu(rng.normal(0, 0.1, (15, 15)), 1)
    return lsg_ray.IsingModel(J + J.T, rng.normal(0, 0.3, 15))


def test_solutions__are_those_of_a_scan(model):
    reference = np.where(np.arange(15) % 3, 1, -1).astype(np.int8)
    fields = [-1.0, 0.25, 2.0]
    scan = lsg_ray.entropy_scan(model, reference, fields, beta=0.7)
    live = Live(model)
    for n, x in enumerate(fields):
        found = live.at(x, 0.7, reference)
        assert found.converged
        assert found.stable
        assert live.at(x, 0.7, reference) is found
        for name in "dsef":
            expected = float(scan[name].isel(reference=0, direction=0)[n])
            assert abs(getattr(found, name) - expected) < 1e-6
    up, down = live.curve(0.7, reference)
    np.testing.assert_allclose([s.d for s in up], [s.d for s in down[::-1]], atol=1e-6)


def test_another_temperature_or_reference__starts_anew(model):
    live, one = Live(model), np.ones(15, np.int8)
    for beta, reference in ((1.0, one), (0.5, one), (0.5, -one)):
        found = live.at(0.3, beta, reference)
        alone = Live(model).at(0.3, beta, reference)
        np.testing.assert_allclose(found.m, alone.m, atol=1e-6)


def test_references__are_of_the_store_by_energy(model, ensemble_of):
    rng = np.random.default_rng(3)
    ensemble = ensemble_of(np.where(rng.random((50, 15)) < 0.5, 1, -1), widths=(4, 3, 1))
    references = references_of(model, ensemble)
    assert (np.diff(references.energy) >= 0).all()
    np.testing.assert_allclose(model.energy(references.sigma), references.energy)
    row = references.numbers[4]
    np.testing.assert_array_equal(ensemble.numpy()[row], references.sigma[4])
    near = nearest_to(references.sigma[4].astype(float), references)
    assert near["configuration"][0] == row
    assert near["overlap with m(x)"][0] == 1
    with pytest.raises(InputError, match="does not say which"):
        references_of(lsg_ray.IsingModel(np.zeros((3, 3)), np.zeros(3)), ensemble)


def test_large_models__are_refused():
    n = MAX_SPINS + 1
    with pytest.raises(InputError, match="lsg scan"):
        Live(lsg_ray.IsingModel(np.zeros((n, n)), np.zeros(n)))
