"""Replicas on actors: the bytes of a store are those of one process, even where actors are lost."""

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from lsg_ray.cluster.replica_actors import check_actors
from lsg_ray.cluster.sample import sample
from lsg_ray.cluster.session import ray_session
from lsg_ray.errors import InputError
from lsg_ray.pipeline import run
from lsg_ray.registry import ALGORITHMS
from tests.cluster.conftest import assert_same
from tests.networks.test_replicas import KINDS, SIGNS, SPHERE, spec_of


def test_actors__do_not_change_a_byte(tmp_path):
    with ray_session(cpus=3):
        import ray

        for number, ((tree, options), actors) in enumerate(zip(KINDS[::2], (2, 3), strict=True)):
            spec = spec_of(tree, options)
            sample(spec, tmp_path / f"{number}.zarr", workers=0)
            sample(spec, tmp_path / f"{number}-shared.zarr", actors=actors)
            assert_same(tmp_path / f"{number}-shared.zarr", tmp_path / f"{number}.zarr")
        deadline = time.monotonic() + 30
        while ray.available_resources().get("CPU") != 3:  # all places are given back
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_lost_actor__is_replaced(tmp_path):
    """A block whose actor was killed is computed again, to the same bytes."""
    options = {"replicas": 4, "growth": 0.0}  # never ends before its epochs
    tree = {**SPHERE, "training": {**SPHERE["training"], "epochs": 400}}
    spec = spec_of(tree, options)
    sample(spec, tmp_path / "whole.zarr", workers=0)
    (tmp_path / "spec.yaml").write_text(json.dumps(spec.tree()))
    driver = subprocess.Popen(
        [sys.executable, "-m", "lsg_ray.cli", "sample", str(tmp_path / "spec.yaml"), "--out",
         str(tmp_path / "s.zarr"), "--workers", "2", "--actors", "2", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _actor(driver).kill()
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, (out, err)
    assert_same(tmp_path / "s.zarr", tmp_path / "whole.zarr")


def _actor(driver: subprocess.Popen) -> psutil.Process:
    """Return an actor with replicas that is at work."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert driver.poll() is None, driver.communicate()
        for child in psutil.Process(driver.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.cmdline()[:1] == ["ray::ReplicaActor.call"]:
                    return child
        time.sleep(0.02)
    raise AssertionError("no actor")


@pytest.mark.parametrize(
    ("tree", "options", "where", "message"),
    [
        (*KINDS[0], {"actors": 0}, "actors 0 given; at least 1"),
        (*KINDS[0], {"actors": 5, "workers": 8}, "actors 5 given; a trial has 4 replicas to share"),
        (*KINDS[0], {"actors": 3, "workers": 2}, "actors 3 given; there are 2 CPUs, and each"),
        (*KINDS[0], {"actors": 2, "workers": 0}, "actors 2 and workers=0 given"),
        (
            {**SIGNS, "training": {"algorithm": "focusing-bp"}},
            {},
            {"actors": 2, "workers": 2},
            "focusing-bp has no replicas to share, these have: elastic-sgd, replicated-sgd",
        ),
    ],
)
def test_bad_numbers__are_refused_and_create_nothing(tmp_path, tree, options, where, message):
    spec = spec_of(tree, options)
    with pytest.raises(InputError, match=message):
        sample(spec, tmp_path / "s.zarr", **where)
    study = spec.replace(study={"moments": {}})
    with pytest.raises(InputError, match=message):
        run(study, tmp_path / "run", **where)
    assert list(tmp_path.iterdir()) == []


def test_replicas_are_counted_by_the_algorithm(monkeypatch):
    """An algorithm says how many replicas a trial has, whatever its options are called."""
    spec = spec_of({**SIGNS, "training": {"algorithm": "focusing-bp"}}, {})
    own = replace(ALGORITHMS["focusing-bp"], replicas=lambda spec: spec.dataset.n_examples // 10)
    monkeypatch.setattr("lsg_ray.networks.solvers.focusing_bp.ALGORITHM", own)
    check_actors(spec, 3, 4)
    with pytest.raises(InputError, match="actors 4 given; a trial has 3 replicas to share"):
        check_actors(spec, 4, 4)
