"""The pool of actors on one Ray, which these tests share: no byte changes, errors come through."""

import contextlib
import time

import pytest

from lsg_ray.cluster import sampler
from lsg_ray.cluster.pool import Pool, PoolConfig
from lsg_ray.cluster.sample import sample
from lsg_ray.cluster.session import ray_session
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import AcceptanceError, ClusterError, InputError
from lsg_ray.spec import parse_spec
from tests.cluster.conftest import assert_same


@pytest.fixture(scope="module", autouse=True)
def _on_ray():
    with ray_session(cpus=3):
        yield


def test_workers_do_not_change_a_byte(spec, undisturbed, tmp_path):
    workers = 3
    result = sample(spec, tmp_path / "s.zarr", workers=workers)
    assert (result.rows, result.resumed) == (120, 0)
    assert_same(tmp_path / "s.zarr", undisturbed)
    again = sample(spec, tmp_path / "s.zarr", workers=workers)
    assert (again.rows, again.resumed) == (0, 120)


def test_workers_do_not_change_a_byte_of_relu_networks(tmp_path):
    relu = parse_spec(
        {
            "dataset": {"name": "digits", "train_examples": 300},
            "network": {"family": "relu", "widths": [64, 12, 10]},
            "training": {"epochs": 2, "stack": 4},
            "ensemble": {"count": 10},
        }
    )
    sample(relu, tmp_path / "undisturbed.zarr", workers=0)
    result = sample(relu, tmp_path / "s.zarr", workers=2)
    assert (result.rows, result.resumed) == (10, 0)
    assert_same(tmp_path / "s.zarr", tmp_path / "undisturbed.zarr")


def test_out_of_reach_threshold_stops_the_run(spec, tmp_path):
    hard = spec.replace(ensemble={"threshold": 1.0, "give_up_after": 3})
    with pytest.raises(AcceptanceError, match="0 of 3 trials"):
        sample(hard, tmp_path / "s.zarr", workers=2)
    assert verify(tmp_path / "s.zarr").ok


@pytest.mark.parametrize("method", ["__init__", "ready", "sample"])
def test_an_error_in_an_actor_is_told_with_its_cause(spec, tmp_path, monkeypatch, method):
    def fail(self, *_):
        raise FileNotFoundError("no such place: /nowhere")

    struck = type("Struck", (sampler.Sampler,), {method: fail})
    monkeypatch.setattr(sampler, "Sampler", struck)
    with pytest.raises(ClusterError, match=r"FileNotFoundError: no such place: /nowhere\nWhat is"):
        sample(spec, tmp_path / "s.zarr", workers=2)
    assert verify(tmp_path / "s.zarr").ok


def test_workers_may_hold_a_part_of_a_cpu_and_the_cluster_is_free_afterwards(
    spec, undisturbed, tmp_path
):
    import ray

    counts = {}
    for cpus, name in ((0.5, "half"), (2, "two")):
        seen = []
        store = tmp_path / f"{name}.zarr"
        with _watched(seen):
            sample(spec, store, worker_cpus=cpus)
        counts[cpus] = seen[0]
        assert_same(store, undisturbed)
    assert counts == {0.5: 6, 2: 1}
    deadline = time.monotonic() + 30
    while ray.available_resources().get("CPU") != 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_actors_that_make_room_for_others_do_not_change_a_byte(
    spec, undisturbed, tmp_path, monkeypatch
):
    started = []
    start = sampler.Samplers.start

    def counted(crew):
        started.append(start(crew))
        return started[-1]

    monkeypatch.setattr(sampler.Samplers, "start", counted)
    short = PoolConfig(tick_seconds=0.1, turn_seconds=0.5)
    monkeypatch.setitem(Pool.__init__.__kwdefaults__, "config", short)
    longer = spec.replace(ensemble={"count": 240})
    sample(longer, tmp_path / "s.zarr", workers=3)
    assert len(started) > 3
    sample(longer, tmp_path / "undisturbed.zarr", workers=0)
    assert_same(tmp_path / "s.zarr", tmp_path / "undisturbed.zarr")


@contextlib.contextmanager
def _watched(seen):
    """Note how many actors a pool asks for."""
    resize = Pool._resize

    def noted(pool, now):
        resize(pool, now)
        seen.append(sum(pool.size))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "_resize", noted)
        yield


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"worker_cpus": 0}, "worker_cpus 0 given; at least 0.001"),
        ({"worker_cpus": float("nan")}, "worker_cpus nan given"),
        ({"worker_cpus": 1.5}, "worker_cpus 1.5 given; above 1 Ray takes whole numbers"),
        ({"worker_gpus": -1}, "worker_gpus -1 given; at least 0.001"),
        ({"worker_gpus": 2.5}, "worker_gpus 2.5 given; above 1 Ray"),
        ({"worker_cpus": 0.5, "actors": 2}, "worker_cpus and actors 2 given; actors hold"),
        ({"workers": 0, "worker_cpus": 0.5}, "worker_cpus or worker_gpus and workers=0 given"),
    ],
)
def test_bad_shares_are_refused_and_create_nothing(spec, tmp_path, where, message):
    with pytest.raises(InputError, match=message):
        sample(spec, tmp_path / "s.zarr", **where)
    assert list(tmp_path.iterdir()) == []
