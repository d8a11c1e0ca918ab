"""How many workers a cluster has room for, with parts of its CPUs and GPUs."""

import pytest

from lsg_ray.cluster import holdings
from lsg_ray.cluster.holdings import Needs, Where
from lsg_ray.errors import InputError
from lsg_ray.spec import Spec

TORCH = {"engine": "torch"}


def nodes(*resources):
    return [{"Alive": True, "Resources": one} for one in resources]


@pytest.mark.parametrize(
    ("where", "training", "cluster", "needs", "room"),
    [
        ({}, {}, nodes({}, {"CPU": 4}, {"CPU": 2}), Needs(1, 0), 6),
        ({}, {}, nodes({"CPU": 4, "GPU": 2}), Needs(1, 0), 4),
        ({}, TORCH, nodes({"CPU": 4, "GPU": 2}), Needs(1, 1), 2),
        ({}, TORCH, nodes({"CPU": 4}), Needs(1, 0), 4),
        ({"worker_gpus": 0}, TORCH, nodes({"CPU": 4, "GPU": 2}), Needs(1, 0), 4),
        ({"worker_gpus": 0.25}, TORCH, nodes({"CPU": 8, "GPU": 1}), Needs(1, 0.25), 4),
        ({"worker_gpus": 0.1}, TORCH, nodes({"CPU": 8, "GPU": 1}), Needs(1, 0.1), 8),
        ({"worker_cpus": 0.1}, {}, nodes({"CPU": 3}), Needs(0.1, 0), 30),
        ({"worker_cpus": 2}, {}, nodes({"CPU": 3}, {"CPU": 5}), Needs(2, 0), 3),
        ({"actors": 2}, {}, nodes({"CPU": 5}), Needs(1, 0), 2),
        ({}, {}, [*nodes({"CPU": 2}), {"Alive": False, "Resources": {"CPU": 8}}], Needs(1, 0), 2),
    ],
)
def test_room__is_for_whole_workers_on_each_node(capsys, where, training, cluster, needs, room):
    spec = Spec.model_validate({"training": training})
    assert Where(**where).on(cluster, spec) == (needs, room)
    assert capsys.readouterr().err == ""


def test_a_cluster_without_room__is_asked_for_a_worker_all_the_same_with_a_warning(capsys):
    where = Where(worker_cpus=4, worker_gpus=0.5)
    assert where.on(nodes({"CPU": 2}, {"CPU": 8}), Spec()) == (Needs(4, 0.5), 1)
    assert "no node of the cluster has 4 CPUs and 0.5 GPUs" in capsys.readouterr().err
    assert Where().on(nodes({}), Spec())[1] == 1  # as on a head that waits for an autoscaler
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("cpus", "private"), [(1, 3), (0.5, 2), (0.1, 1), (2, 6), (1 / 3, 1)])
def test_a_private_ray__has_cpus_for_its_workers(cpus, private):
    assert Where(3, worker_cpus=cpus).private_cpus == private
    assert Where(worker_cpus=cpus).private_cpus is None


def test_gpus_that_are_not_there__are_refused(monkeypatch):
    monkeypatch.setattr(holdings, "_gpus_here", lambda: 1)
    Where(worker_gpus=0.5).check(Spec(), None)
    with pytest.raises(InputError, match="worker_gpus 2 given; there are 1 GPUs"):
        Where(worker_gpus=2).check(Spec(), None)
    with pytest.raises(InputError, match="worker_cpus 1000 given; there are"):
        Where(worker_cpus=1000).check(Spec(), None)
