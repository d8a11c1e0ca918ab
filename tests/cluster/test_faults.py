"""Faults strike a run in its middle; the same command then completes it, to the same content.

Lost nodes, a lost head, signals, a lack of memory.  `test_sample` has the killed worker, the killed
progress actor, the killed driver and Ctrl-C; `test_store_faults` what happens to the store.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from tests.cluster.faults import (
    BLOCKS,
    PATIENCE,
    RAY_SETTINGS,
    Nodes,
    Run,
    assert_like,
    assert_partial,
    blocks_in,
    resume,
    wait_until_gone,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


#: A Dask graph on a cluster, whose only task never ends.
GRAPH = """
import os, sys, time, dask
from lsg_ray.cluster.dask import dask_session
from lsg_ray.errors import ClusterError
@dask.delayed
def wait():
    time.sleep(1000)
try:
    with dask_session(sys.argv[1]):
        print("computing", file=sys.__stdout__, flush=True)
        wait().compute()
except ClusterError as error:
    print(error, flush=True)
    os._exit(1)
"""


@pytest.fixture
def nodes():
    folder = tempfile.mkdtemp(prefix="lsg-nodes-", dir="/tmp")  # sockets need a short path
    cluster = Nodes(folder, nodes=2)
    yield cluster
    cluster.close()
    shutil.rmtree(folder, ignore_errors=True)


def run_again(store, *options):
    """Give the same command again; return how many configurations were there before."""
    code, out, err = Run(store, "--json", *options).end()
    assert code == 0, err
    return json.loads(out)["sampled"]["resumed"]


def test_a_run_outlives_its_nodes(unstruck, store, nodes):
    run = Run(store, "--address", nodes.address, "--json", pause=1.0)
    run.wait_for_blocks(2)
    nodes.kill()
    run.wait_for_blocks(blocks_in(store) + 1)
    nodes.add()
    run.wait_for_blocks(3)
    nodes.terminate()
    assert blocks_in(store) < BLOCKS
    code, out, err = run.end()
    assert code == 0, err
    assert "Traceback" not in err
    assert json.loads(out)["complete"]
    assert_like(store, unstruck)


def test_a_lost_head_is_a_clear_error_and_a_new_cluster_does_the_rest(unstruck, store, nodes):
    run = Run(store, "--address", nodes.address, "--json", pause=2.0)
    graph = subprocess.Popen(
        [sys.executable, "-c", GRAPH, nodes.address],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | RAY_SETTINGS,
    )  # fmt: skip
    assert graph.stdout.readline() == "computing\n"
    run.wait_for_blocks(2)
    nodes.kill_head()
    assert "has not answered" in graph.communicate(timeout=PATIENCE)[0]
    code, out, err = run.end()
    assert code == 1, err
    assert f"lsg: the head of the Ray cluster, {nodes.address}, has not answered" in err
    assert "run the same command" in err
    assert "Traceback" not in err
    assert json.loads(out)["exit_code"] == 1
    before = assert_partial(store, 2)
    nodes.renew(1)
    assert run_again(store, "--address", nodes.address) >= 2 * before
    assert_like(store, unstruck)


def test_a_lost_node_of_a_private_ray_is_a_clear_error(unstruck, store):
    run = Run(store, "--workers", "2", pause=1.0)
    run.wait_for_blocks(2)
    next(child for child in run.children() if child.name() == "raylet").kill()
    code, _, err = run.end()
    assert code == 1, err
    assert "lsg: Ray's raylet on this machine has ended" in err
    assert "run the same command" in err
    assert "Traceback" not in err
    before = assert_partial(store, 2)
    # A worker may have finished its block after the driver had ended.
    assert resume(store) >= 2 * before
    assert_like(store, unstruck)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_termination_ends_a_run_within_its_grace_period(unstruck, store, workers):
    run = Run(store, "--workers", workers, pause=0.7)
    run.wait_for_blocks(2)
    began = time.monotonic()
    run.process.terminate()
    code, _, err = run.end()
    assert time.monotonic() - began < 20, "a spot node gives 30 seconds"
    assert code == 143, err
    assert "lsg: terminated; run the same command again to resume" in err
    assert "Traceback" not in err
    assert "SIGTERM" not in err, "Ray's own report"
    before = assert_partial(store, 2)
    assert resume(store) == 2 * before
    assert_like(store, unstruck)


def test_termination_of_all_processes_at_once_keeps_what_is_done(unstruck, store):
    run = Run(store, "--workers", "2", pause=0.7)
    run.wait_for_blocks(2)
    os.killpg(run.process.pid, signal.SIGTERM)
    code, _, err = run.end()
    assert code in (1, 143), err  # 1 where Ray's server ends the driver before it can speak
    assert "Traceback" not in err
    assert_partial(store, 2)
    resume(store)
    assert_like(store, unstruck)


def test_workers_that_are_killed_for_memory_end_the_run(store):
    setting = {
        "RAY_memory_usage_threshold": "0.001",
        "RAY_memory_monitor_refresh_ms": "50",
        "RAY_task_oom_retry_delay_base_ms": "10",
    }
    code, _, err = Run(store, "--workers", "1", setting=setting).end()
    assert code == 1, err
    assert "killed a worker for memory again and again" in err
    assert "fewer --workers" in err
    assert "Traceback" not in err


def _wait_until_ray_starts(run):
    deadline = time.monotonic() + PATIENCE
    while not (found := run.children()):
        assert run.process.poll() is None, run.process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def test_sigterm_while_ray_starts_ends_it_with_its_line(store):
    run = Run(store, "--workers", "1")
    servers = _wait_until_ray_starts(run)
    run.process.terminate()
    code, _, err = run.end()
    assert code == 143, err
    assert "lsg: terminated; run the same command again to resume" in err
    assert "Traceback" not in err
    wait_until_gone(servers)


def test_a_second_interrupt_ends_it_at_once(store):
    run = Run(store, "--workers", "1", pause=2.0)
    run.wait_for_blocks(1)
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    began = time.monotonic()
    while run.process.poll() is None and time.monotonic() < began + 20:
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    code, _, err = run.end()
    assert code == 130, err
    assert "run the same command again" in err
    assert "Traceback" not in err
