"""Engines by what is there: named before anything is stored, and kept by what is stored."""

import subprocess
import sys

import pytest
import torch

import lsg_ray
from lsg_ray.cluster import engines
from lsg_ray.cluster.engines import with_engine
from lsg_ray.cluster.holdings import Where
from lsg_ray.errors import InputError, SpecError
from lsg_ray.kernels.cuda import launch
from lsg_ray.networks.solvers.thread_blocks import tile_of, training_bytes
from lsg_ray.spec import NetworkSpec, parse_spec
from tests.cluster.conftest import SPEC


def _spec(engine, **more):
    tree = {**SPEC, **more}
    return parse_spec({**tree, "training": {**SPEC.get("training", {}), "engine": engine}})


@pytest.mark.parametrize(
    ("missing", "torch_sees", "widths", "chosen"),
    [
        (None, True, (20, 15, 15, 10), "cuda"),
        (None, False, (20, 15, 15, 10), "cuda"),
        (None, True, (20, 300, 10), "torch"),
        (None, False, (20, 300, 10), "numba"),
        ("the package", True, (20, 15, 15, 10), "torch"),
        ("a GPU", False, (20, 15, 15, 10), "numba"),
    ],
)
def test_auto_is_the_fastest_that_is_there(monkeypatch, missing, torch_sees, widths, chosen):
    monkeypatch.setattr(launch, "missing", lambda: missing)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: torch_sees)
    spec = _spec("auto", network={"widths": widths})
    assert with_engine(spec, "memory://none", None, 0).training.engine == chosen


@pytest.mark.parametrize(
    ("engine", "gpus", "installed", "chosen"),
    [
        ("auto", 0, True, "numba"),
        ("auto", 4, True, "cuda"),
        ("auto", 4, False, "torch"),
        ("cuda", 4, True, "cuda"),
    ],
)
def test_on_a_cluster_the_nodes_count(monkeypatch, engine, gpus, installed, chosen):
    monkeypatch.setattr(engines, "on_cluster", lambda _: True)
    monkeypatch.setattr(engines, "_gpus", lambda _: float(gpus))
    monkeypatch.setattr(
        engines.importlib.util, "find_spec", lambda _: object() if installed else None
    )
    spec = with_engine(_spec(engine), "memory://none", "ray://there:1", None)
    assert spec.training.engine == chosen


def test_a_cluster_without_gpus_is_refused(monkeypatch):
    monkeypatch.setattr(engines, "on_cluster", lambda _: True)
    monkeypatch.setattr(engines, "_gpus", lambda _: 0.0)
    with pytest.raises(InputError, match="the Ray cluster has no GPU; add a node"):
        with_engine(_spec("cuda"), "memory://none", "ray://there:1", None)


def test_a_store_keeps_its_engine(monkeypatch, tmp_path):
    """A run of auto goes on as the store began, whatever has been installed since."""
    monkeypatch.setattr(launch, "missing", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    few = _spec("auto", ensemble={**SPEC["ensemble"], "count": 2})
    lsg_ray.sample(few, tmp_path / "s.zarr", workers=0)
    assert lsg_ray.open_ensemble(tmp_path / "s.zarr").spec.training.engine == "numba"
    monkeypatch.setattr(launch, "missing", lambda: None)
    more = _spec("auto", ensemble={**SPEC["ensemble"], "count": 3})
    lsg_ray.sample(more, tmp_path / "s.zarr", workers=0)
    ensemble = lsg_ray.open_ensemble(tmp_path / "s.zarr")
    assert (ensemble.count, ensemble.spec.training.engine) == (3, "numba")


def test_a_store_of_relu_networks_goes_on_with_torch(monkeypatch, tmp_path):
    """That of a specification without an engine, as all were once."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(launch, "missing", lambda: "a GPU")
    tree = {
        "dataset": {"name": "digits", "train_examples": 100},
        "network": {"family": "relu", "widths": [64, 8, 10]},
        "training": {"epochs": 1, "stack": 2},
    }
    for engine, count in (({}, 2), ({"engine": "auto"}, 4)):
        training = {**tree["training"], **engine}
        spec = parse_spec({**tree, "training": training, "ensemble": {"count": count}})
        lsg_ray.sample(spec, tmp_path / "s.zarr", workers=0)
    ensemble = lsg_ray.open_ensemble(tmp_path / "s.zarr")
    assert (ensemble.count, ensemble.spec.training.engine) == (4, "torch")


@pytest.mark.parametrize("missing", ["the package numba-cuda", "a GPU with a driver"])
def test_without_a_gpu_cuda_is_one_line_and_nothing_is_created(monkeypatch, tmp_path, missing):
    monkeypatch.setattr(launch, "missing", lambda: missing)
    with pytest.raises(InputError, match=f"cuda given; it needs {missing}; set it to numba"):
        lsg_ray.sample(_spec("cuda"), tmp_path / "s.zarr", workers=0)
    assert not (tmp_path / "s.zarr").exists()


def test_on_this_machine_something_is_missing_or_there():
    assert launch.missing() is None or "numba-cuda" in launch.missing() or "GPU" in launch.missing()


def test_networks_that_fit_no_thread_block_are_refused_with_their_size():
    with pytest.raises(SpecError, match=r"needs 386 KiB of shared memory .* has 227"):
        _spec("cuda", network={"widths": [20, 300, 10]})
    with pytest.raises(SpecError, match=r"training\.engine: 'auto' given"):
        parse_spec({"network": {"family": "binarised"}, "training": {"engine": "auto"}})


@pytest.mark.parametrize(("torch_sees", "chosen"), [(True, "torch"), (False, "numba")])
def test_auto_is_an_engine_that_trains_such_networks(monkeypatch, torch_sees, chosen):
    """Where cuda is there, too: it has no ReLU networks."""
    monkeypatch.setattr(launch, "missing", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: torch_sees)
    spec = parse_spec({"network": {"family": "relu"}, "training": {"engine": "auto"}})
    assert with_engine(spec, "memory://none", None, 0).training.engine == chosen


@pytest.mark.parametrize(
    ("widths", "batch", "limit", "tile"),
    [
        ((20, 15, 15, 10), 200, 227, 128),
        ((20, 15, 15, 10), 50, 227, 64),
        ((20, 15, 15, 10), 200, 64, 64),
        ((20, 15, 15, 10), 1, 48, 32),
        ((20, 60, 60, 10), 200, 227, 32),
    ],
)
def test_tiles_are_as_large_as_fits(widths, batch, limit, tile):
    network = NetworkSpec(widths=widths)
    assert tile_of(network, batch, 1024 * limit) == tile
    assert training_bytes(widths, tile) <= 1024 * limit


def test_tasks_ask_for_gpus():
    for engine, gpus, cpus, needs, room in (
        ("cuda", 2, 16, (1, 0.5), 4),
        ("cuda", 2, 3, (1, 0.5), 3),
        ("cuda", 0, 16, (1, 0), 16),
        ("torch", 2, 16, (1, 1), 2),
        ("numba", 2, 16, (1, 0), 16),
    ):
        node = {"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}}
        assert Where().on([node], _spec(engine)) == (needs, room)


def test_blocks_are_many_launches():
    spec = _spec("cuda", ensemble={"count": 1_000_000})
    assert spec.together == 512
    assert spec.block_size == 16 * 512
    assert _spec("cuda", ensemble={"count": 700}).block_size == 700


def test_importing_the_engine_loads_no_numba():
    code = "import sys, lsg_ray.networks.solvers.thread_blocks; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
