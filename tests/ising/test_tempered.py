"""Fits by replicas at several temperatures, of models that trap chains."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.boltzmann import fit_boltzmann
from lsg_ray.ising.fitted import deviation
from lsg_ray.ising.model import IsingModel, enumerate_model
from lsg_ray.ising.targets import Target
from lsg_ray.ising.tempered import bethe_fields


def trapping(n=12):
    """Pairs of weights that hardly ever turn over together, in fields; and their moments."""
    J = np.zeros((n, n))
    J[np.arange(0, n, 2), np.arange(1, n, 2)] = 3.0
    h = np.repeat(np.linspace(-0.15, 0.2, n // 2), 2)
    exact = enumerate_model(IsingModel(J + J.T, h))
    return exact.m, exact.C


def test_trapped_weights__are_fitted_where_chains_are_not():
    m, C = trapping()
    options = {"steps": 800, "chains": 256, "verify": False}
    errors = {}
    for method, more in (("pcd", {}), ("tempered", {"ladders": 256})):
        fit = fit_boltzmann((m, C), method=method, seed=1, **options, **more)
        exact = enumerate_model(fit.model)
        errors[method] = deviation(exact.m, exact.C.copy(), Target(m, C))[0]
    assert fit.report["round_trips"] > 256
    assert errors["tempered"] < 0.02
    assert errors["pcd"] > 3 * errors["tempered"]


def test_bethe_fields__are_exact_on_pairs():
    J = np.zeros((4, 4))
    J[0, 1] = J[1, 0] = 3.0
    h = np.array([0.2, -0.4, 0.7, 0.0])
    m = enumerate_model(IsingModel(J, h)).m
    assert bethe_fields(J, m) == pytest.approx(h, abs=1e-6)


def test_seeds__are_all_that_it_depends_on():
    fits = [
        fit_boltzmann(
            trapping(6), method="tempered", steps=20, ladders=8, seed=seed, threads=threads,
            verify=False,
        ).model.J
        for seed, threads in ((0, 1), (0, 2), (1, 2))
    ]  # fmt: skip
    assert np.array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])


def test_ladders__without_round_trips_are_not_converged():
    fit = fit_boltzmann(
        trapping(), method="tempered", steps=60, ladders=64, burn_in=0, verify=False
    )
    assert not fit.report["converged"]
    assert fit.report["reason"]


def test_bad_numbers__are_refused():
    with pytest.raises(InputError, match="ladders 1"):
        fit_boltzmann(trapping(), method="tempered", ladders=1)
