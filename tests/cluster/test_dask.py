"""Dask graphs on threads and on a real Ray: the same bytes, errors as raised, lost workers."""

import os
import time
from pathlib import Path

import dask
import numpy as np
import pytest

from lsg_ray.cluster.dask import dask_session, ray_scheduler
from lsg_ray.cluster.sample import sample
from lsg_ray.cluster.session import ray_session
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import ClusterError, InputError, StoreError
from lsg_ray.ising.boltzmann import fit_boltzmann, fit_parts
from lsg_ray.ising.dynamics import relax
from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.isoenergy import iso_energy
from lsg_ray.ising.montecarlo import sample_model
from lsg_ray.ising.tap import tap_states
from lsg_ray.loss_landscape.flatness import flatness
from lsg_ray.loss_landscape.interpolation import interpolate
from lsg_ray.loss_landscape.walks import random_walk
from lsg_ray.results.graph import compute
from lsg_ray.statistics.clustering import cluster
from lsg_ray.statistics.distances import distances
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.node_symmetry import canonicalize, node_symmetry
from lsg_ray.statistics.overlaps import overlaps
from tests.ensemble.mixture import synthetic
from tests.loss_landscape.conftest import relu_spec


@pytest.fixture(scope="module")
def on_ray():
    """A private Ray with two CPUs, and Dask's scheduler on it."""
    with ray_session(cpus=2) as cpus, dask.config.set(scheduler=ray_scheduler(2 * cpus)):
        yield


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    return synthetic(tmp_path_factory.mktemp("d") / "e", 9000, 200, 1, block_size=500)


def threads():
    """Compute on threads of this process, inside.

    They go first: what they compile, workers of Ray find compiled.  Dask's setting holds from when
    it is made, not from when it is entered, and once: it is made anew for each use.
    """
    return dask.config.set(scheduler="threads")


def same(one, other):
    assert one.attrs == other.attrs
    for name in one.variables:
        assert one[name].values.tobytes() == other[name].values.tobytes(), name


def test_statistics__are_the_same_bytes_on_ray_and_on_threads(ensemble, on_ray):
    seen = []
    for measure in (moments, overlaps, lambda e: distances(e, references=e.numpy(3), nearest=4)):
        with threads():
            expected = measure(ensemble)
        same(measure(ensemble), expected)
    moments(ensemble, triples=9, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == len(seen) > 2


def test_models__are_sampled_and_fitted_by_ray_tasks_as_by_threads(ensemble, on_ray):
    """Chains in batches, the rows of a pseudolikelihood, and one task for each of several parts."""
    options = {"method": "bp", "verify": False}
    with threads():
        model = fit_boltzmann(ensemble, method="plm", l1=0.05, verify=False).model
        sampled = sample_model(model, chains=40, draws=4, burn_in=20, batches=4)
        alone = fit_parts(ensemble, ["full", "LB"], **options)
    assert (model.J == fit_boltzmann(ensemble, method="plm", l1=0.05, verify=False).model.J).all()
    assert sampled.identical(sample_model(model, chains=40, draws=4, burn_in=20, batches=4))
    parts = fit_parts(ensemble, ["full", "LB"], tasks=True, **options)
    for name, fit in parts.items():
        np.testing.assert_allclose(fit.model.J, alone[name].model.J, atol=1e-12)
        assert fit.report["converged"]
    with pytest.raises(InputError, match="'XX' given; there are LB"):
        fit_parts(ensemble, ["XX"], tasks=True)


def test_landscapes__are_walked_by_ray_tasks_as_by_threads(on_ray, tmp_path):
    sample(relu_spec(4), tmp_path / "solutions", workers=0)
    solutions = open_ensemble(tmp_path / "solutions")
    for measure in (
        lambda e: random_walk(e, sigma=[0.02], steps=4, configurations=2),
        lambda e: interpolate(e, pairs=2, alphas=[0, 0.5, 1], alignment="matching"),
        lambda e: flatness(e, configurations=2, eigenvalues=1),
        lambda e: cluster(e, alignment="clustering"),
    ):
        with threads():
            expected = measure(solutions)
        same(measure(solutions), expected)


def test_stores_and_views__are_made_by_ray_tasks(on_ray, tmp_path):
    deep = synthetic(tmp_path / "e", 60, 675, 2, block_size=20)
    store = canonicalize(deep, tmp_path / "c")
    found = moments(canonicalize(deep).part("LB"))
    labels = node_symmetry(deep)
    with threads():
        np.testing.assert_array_equal(store.numpy(), canonicalize(deep).rows(0, 60))
        np.testing.assert_array_equal(found["C"], moments(store.part("LB"))["C"])
        same(labels, node_symmetry(deep))


def test_users_own_expressions__run_too(ensemble, on_ray):
    weights = ensemble.to_dask()
    assert weights.astype(float).mean().compute() == ensemble.numpy().mean()
    np.testing.assert_array_equal(weights[::7].compute(), ensemble.numpy()[::7])


def test_worker_that_dies__is_run_again_and_counts_once(on_ray, tmp_path):
    """Every leaf kills its process the first time; the sum is that of one run of each."""

    def leaf(number: int) -> int:
        mark = Path(tmp_path) / f"{number}"
        if not mark.exists():
            mark.touch()
            os._exit(1)
        return number

    leaves = [dask.delayed(leaf, pure=False)(number) for number in range(4)]
    assert compute(dask.delayed(sum)(leaves)) == 6


def test_errors__arrive_as_they_were_raised(ensemble, on_ray, tmp_path):
    def fail(error: Exception) -> None:
        raise error

    for error in (InputError("what was seen"), StoreError("block 3 is damaged"), ValueError("bug")):
        with pytest.raises(type(error), match=str(error)):
            compute(dask.delayed(fail)(error))
    damaged = synthetic(tmp_path / "e", 100, 30, 1, block_size=10)
    chunk = tmp_path / "e" / "weights" / "c.4.0"
    data = bytearray(chunk.read_bytes())
    chunk.write_bytes(data[:2] + bytes([data[2] ^ 8]) + data[3:])
    with pytest.raises(StoreError, match=r"weights.*block 4"):
        moments(damaged)


def test_tasks_in_flight__are_bounded(on_ray, tmp_path):
    def leaf(number: int) -> int:
        (tmp_path / f"{number}-{time.time()}").touch()
        time.sleep(0.05)
        return number

    graph = dask.delayed(sum)([dask.delayed(leaf, pure=False)(number) for number in range(12)])
    with dask.config.set(scheduler=ray_scheduler(1)):
        assert compute(graph) == 66
    stamps = sorted(float(path.name.split("-")[1]) for path in tmp_path.iterdir())
    assert min(np.diff(stamps)) > 0.045


def test_session__without_an_address_is_threads_and_with_one_asks_first(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with dask_session(workers=3) as number:
        assert number == 3
        assert dask.config.get("scheduler") == "threads"
    with (
        pytest.raises(ClusterError, match=r"no Ray cluster at 127\.0\.0\.1:1"),
        dask_session("127.0.0.1:1"),
    ):
        pass
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    with pytest.raises(InputError, match="nonsense"), dask_session():
        pass


def test_landscapes__are_the_same_bytes_on_ray_and_on_threads(on_ray, tmp_path):
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(size=(20, 20)) / 6, 1)
    model, sigma = (J + J.T, 0.3 * rng.normal(size=20)), rng.choice([-1, 1], (3, 20))
    for explore in (
        lambda **options: entropy_scan(model, sigma, **options),
        lambda **_: iso_energy(model, np.sign(model[1]), [-0.5, 0.0, 0.5]),
        lambda **_: tap_states(model, starts=300),
        lambda **_: relax(model, sigma, sweeps=5),
    ):
        with threads():
            expected = explore()
        same(explore(checkpoints=tmp_path / "p"), expected)
    assert len(list((tmp_path / "p").rglob("*.npz"))) == 3
