"""A cluster that grows and shrinks while a run is on it, by Ray's own autoscaler.

Nodes come, one of them is lost without notice and replaced, and all go when the run has ended.
It takes a minute, most of it the start of Ray's processes, so it is asked for:

    pytest tests/cluster/test_autoscaling.py --benchmark-enable -s
"""

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.cluster.autoscaled import autoscaled
from tests.cluster.faults import BLOCKS, Run, assert_like, blocks_in

NODES = 3


@pytest.fixture
def folder():
    path = Path(tempfile.mkdtemp(prefix="lsg-as-", dir="/tmp"))  # sockets need a short path
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.usefixtures("nothing_is_left")
def test_nodes_come_for_a_run_are_lost_and_go(request, unstruck, store, folder):
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("takes a minute; pass --benchmark-enable")
    with autoscaled(folder, most=NODES, idle_seconds=2.0) as cluster:
        assert not cluster.nodes()
        options = ("--address", cluster.address, "--workers", str(NODES), "--json")
        run = Run(store, *options, pause=6.0)
        print(f"\n{NODES} nodes after {cluster.wait_for(NODES):.1f} s", end="")
        run.wait_for_blocks(2)
        cluster.kill_node(cluster.nodes()[0])
        cluster.wait_for(NODES - 1)
        print(f"; one is lost, {NODES} again after {cluster.wait_for(NODES):.1f} s", end="")
        assert blocks_in(store) < BLOCKS
        code, out, err = run.end()
        assert code == 0, err
        assert json.loads(out)["complete"]
        assert_like(store, unstruck)
        print(f"; none {cluster.wait_for(0):.1f} s after the end of the run")
