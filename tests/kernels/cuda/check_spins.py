"""Sweeps of the CUDA kernel against a loop of NumPy with the same levels."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.ising.chains import Chains
from lsg_ray.ising.model import IsingModel
from lsg_ray.kernels.cuda import spins as kernels
from lsg_ray.kernels.cuda.philox import MOVES
from tests.kernels.cuda import reference


@pytest.fixture(autouse=True)
def few_threads(monkeypatch):
    """Warps of two threads, and so blocks of eight levels: sweeps of nine spins need two."""
    monkeypatch.setattr(kernels, "WARP", 2)
    monkeypatch.setattr(kernels, "LEVELS", 8)


def _model(n=9):
    rng = np.random.default_rng(2)
    J = np.triu(rng.normal(size=(n, n)), 1)
    return IsingModel(J + J.T, rng.normal(size=n))


def _replayed(model, start, beta, key, sweeps, method):
    """Chains (chains, N) after some sweeps, by the definition, in float64."""
    s, n = start.astype(float), model.n_spins
    chains = np.arange(len(s))
    for number in range(sweeps):
        words = reference.philox((np.arange(-(-n // 4))[:, None], number, chains, MOVES), key)
        levels = np.moveaxis(words >> np.uint64(8), 0, 1).reshape(-1, len(s))[:n] / 2**24
        for i in range(n):
            field = s @ model.J[:, i] + model.h[i]
            if method == "heat-bath":
                s[:, i] = np.where(levels[i] < 1 / (1 + np.exp(-2 * beta * field)), 1, -1)
            else:
                s[:, i] *= np.where(levels[i] < np.exp(-2 * beta * s[:, i] * field), -1, 1)
    return s


@pytest.mark.parametrize("method", ["heat-bath", "metropolis"])
def test_chains_move_by_the_definition(method):
    model, beta = _model(), np.linspace(0.1, 1.5, 10)
    chains = Chains(model, 10, seed=4, beta=beta, method=method, layout="cuda")
    start = chains.spins
    chains.sweep(3)
    chains.sweep(2)
    for part, group in zip(chains._parts, chains.groups, strict=True):
        key = part.key.copy_to_host()
        exact = _replayed(model, start[group], beta[group], key, 5, method)
        np.testing.assert_array_equal(chains.spins[group], exact)
    assert 0 < chains.acceptance < 1
    np.testing.assert_allclose(chains.energies(), model.energy(chains.spins), rtol=1e-5)


def test_other_models_and_starts_are_taken_over():
    model = _model()
    chains = Chains(model, 4, seed=1, layout="cuda", start=np.ones(model.n_spins))
    strong = IsingModel(np.zeros_like(model.J), np.full(model.n_spins, -50.0))
    chains.use(strong)
    chains.sweep()
    assert (chains.spins == -1).all()
    chains.set_spins(np.ones((4, model.n_spins), np.int8))
    assert (chains.spins == 1).all()


def test_another_order_is_refused():
    with pytest.raises(InputError, match="layout cuda given with order random"):
        Chains(_model(), 4, layout="cuda", order="random")
