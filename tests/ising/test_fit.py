"""The stage of fitting: one Dataset of each part, on a cluster by tasks, and options refused."""

import json

import dask
import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.boltzmann import fit_boltzmann
from lsg_ray.ising.fit import STAGE, fit_model, fit_models
from tests.ensemble.mixture import synthetic


@pytest.fixture(scope="module")
def ensemble():
    return synthetic("memory://fit-models", 400, 200, 3)


def test_parts__are_the_same_by_tasks_and_one_after_another(ensemble):
    options = {"method": "bp", "verify": False}
    alone = {part: fit_model(ensemble, part=part, **options) for part in ("LB", "full")}
    with dask.config.set(scheduler=dask.local.get_sync):
        tasks = fit_models(ensemble, ["LB", "full"], **options)
    for part, model in tasks.items():
        np.testing.assert_array_equal(model["J"], alone[part]["J"])
        np.testing.assert_array_equal(model["h"], alone[part]["h"])


def test_model__is_that_of_fit_boltzmann_with_its_check():
    sigma = np.random.default_rng(0).choice([-1, 1], (300, 6))
    sigma[:, 1] = 1
    model, fit = (
        function(sigma, method="exact", seed=2) for function in (fit_model, fit_boltzmann)
    )
    np.testing.assert_array_equal(model["J"], fit.model.J)
    for name in ("m", "C", "m_data", "C_data", "repeats"):
        np.testing.assert_array_equal(model[name], fit.check[name])
    shown = STAGE.shown(model)
    for name in fit.report.keys() - {"seconds", "fit_seconds"}:
        assert shown[name] == fit.report[name], name
    assert shown["frozen_weights"] == [1]
    assert json.loads(model.attrs["frozen_weights"]) == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l1": 0.1}, "l1 given with method pcd; it belongs to plm"),
        ({"method": "bp", "seconds": 1}, "seconds given with method bp; it belongs to pcd"),
        ({"method": "plm", "rounding": 0.01}, "it belongs to bp, pcd, tempered, exact"),
        ({"method": "none"}, "'none' is no method of fitting; there are pcd"),
        ({"options": {"steps": 3, "l2": 1}}, "pcd has no option l2; it has chains"),
        ({"options": {"tasks": True}}, "pcd has no option tasks"),
        ({"options": {"wide": 1}}, "pcd has no option wide; it has chains, steps, sweeps"),
        ({"options": {"steps": "many"}}, "steps: 'many' given; input should be a valid integer"),
    ],
)
def test_options_of_other_methods__are_refused(options, message):
    with pytest.raises(InputError, match=message):
        fit_model((np.zeros(3), np.eye(3)), **options)
