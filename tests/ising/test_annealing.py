"""Entropy landscapes by Monte Carlo, against enumeration, both ends, and a ferromagnet."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.annealing import anneal_scan
from lsg_ray.ising.model import IsingModel, enumerate_model

from .test_entropy import curie_weiss, exact_landscape
from .test_model import couplings


def test_annealing__agrees_with_enumeration_within_its_errors():
    """126 values of each; 5 standard errors: false alarms once in 10⁴ runs."""
    n, rng = 12, np.random.default_rng(3)
    J, h = couplings(n, seed=4, scale=0.9 / np.sqrt(n))
    model, sigma = IsingModel(J, 0.3 * h), rng.choice([-1, 1], (3, n))
    scan = anneal_scan(model, sigma, np.linspace(-2, 2, 21), seed=1)
    assert scan.attrs["converged"] > 0.98
    assert scan.attrs["verdict"] == "smooth"
    scores = []
    for r in range(3):
        for k, x in enumerate(scan["field"].values):
            exact = exact_landscape(model, sigma[r], x)
            for name, value in zip("dse", exact, strict=False):
                mean, error = scan[name].values[r, :, k], scan[f"{name}_stderr"].values[r, :, k]
                scores += ((mean - value) / error).tolist()
    assert np.abs(scores).max() < 5
    assert np.std(scores) < 1.6  # values along a scan share their noise
    exact = enumerate_model(model)
    assert abs(scan.attrs["s0"] - exact.entropy / n) < 5 * scan.attrs["s0_stderr"]


def test_annealing__from_both_ends_gives_one_entropy():
    """42 differences, of which 5 standard errors: false alarms once in 10⁵ runs."""
    n, rng = 150, np.random.default_rng(5)
    J, h = couplings(n, seed=6, scale=0.5 / np.sqrt(n))
    fields = np.linspace(-2.5, 2.5, 21)
    scan = anneal_scan((J, h), rng.choice([-1, 1], (2, n)), fields, chains=32, seed=2)
    assert scan["known"].all()
    assert scan.attrs["verdict"] == "smooth"
    gap = np.diff(scan["s"].values, axis=1)
    error = np.sqrt((scan["s_stderr"].values ** 2).sum(axis=1, keepdims=True))
    assert np.abs(gap / error).max() < 5


def test_annealing__shows_the_loop_of_a_ferromagnet():
    n = 100
    model = (curie_weiss(n, 1.6), np.zeros(n))
    scan = anneal_scan(model, np.ones((1, n)), np.linspace(-1, 1, 21), chains=64)
    assert scan.attrs["verdict"] == "first-order"
    assert scan.attrs["hysteresis"] > 0.8
    with pytest.raises(InputError, match="chains 1"):
        anneal_scan(model, np.ones((1, n)), chains=1)
