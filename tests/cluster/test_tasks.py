"""Tasks on one Ray, which these tests share: workers do not change a byte, errors come through."""

import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.cluster.session import ray_session
from lsg_ray.cluster.tasks import run_bounded
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import AcceptanceError, ClusterError
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


def test_an_error_in_a_task_is_told_with_its_cause():
    import ray

    def fail(_item):
        raise FileNotFoundError("no such place: /nowhere")

    with pytest.raises(ClusterError, match="FileNotFoundError: no such place"):
        list(run_bounded(ray.remote(fail).remote, [1], in_flight=1))
