"""A cluster of Ray that grows and shrinks by itself: nodes are processes of this machine.

Ray's own autoscaler decides, and its provider of fake nodes starts and ends them.  Ray's
`AutoscalingCluster` ends every Ray of the machine before it starts, and needs a file that its
package lacks.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.cluster.faults import PATIENCE
from tests.ensemble.s3 import free_port

#: Nodes on a busy machine are slow, and not to be taken for dead.
SETTINGS = {
    "RAY_FAKE_CLUSTER": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class Autoscaled:
    """Such a cluster, from outside."""

    def __init__(self, head: psutil.Process, address: str) -> None:
        self.address = address
        self._head = head
        #: Every process that was seen of it.
        self.processes: set[psutil.Process] = set()

    def nodes(self) -> list[psutil.Process]:
        """Return the servers of its nodes that run, the oldest first, without the head's."""
        self.processes |= set(self._head.children(recursive=True))
        raylets = [process for process in self.processes if _is_raylet(process)]
        return sorted(raylets, key=lambda process: process.create_time())[1:]

    def kill_node(self, node: psutil.Process) -> None:
        """Kill a node and its actors at once, as a spot machine ends without notice."""
        for process in [node, *node.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def wait_for(self, number: int) -> float:
        """Return the seconds until it has so many nodes."""
        began = time.monotonic()
        while len(self.nodes()) != number:
            assert time.monotonic() < began + PATIENCE, f"{len(self.nodes())} nodes, not {number}"
            time.sleep(0.1)
        return time.monotonic() - began


def _is_raylet(process: psutil.Process) -> bool:
    try:
        return process.name() == "raylet" and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def autoscaled(folder: Path, most: int, idle_seconds: float) -> Iterator[Autoscaled]:
    """Run a head without CPUs, to which nodes of one CPU come as they are asked for.

    Parameters
    ----------
    folder
        Of Ray's files; short, since sockets lie below it.
    most
        Number of nodes at most.
    idle_seconds
        After which a node on which nothing runs is ended.
    """
    port = free_port()
    address = f"{socket.gethostbyname(socket.gethostname())}:{port}"
    config = {
        "cluster_name": "fake",
        "max_workers": most,
        "idle_timeout_minutes": idle_seconds / 60,
        "provider": {
            "type": "fake_multinode", "gcs_address": address, "use_node_id_as_ip": True,
            "disable_node_updaters": True, "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "one": {
                "resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": most
            },
        },
        "head_node_type": "ray.head.default",
        "upscaling_speed": 1.0,
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "ray").mkdir()
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
        f"--port={port}", "--num-cpus=0", "--include-dashboard=false",
        f"--autoscaling-config={folder / 'config.json'}",
    ]  # fmt: skip
    with open(folder / "log", "wb") as log:
        head = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env={**os.environ, **SETTINGS, "RAY_TMPDIR": str(folder)},
        )
    cluster = Autoscaled(psutil.Process(head.pid), address)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((address.split(":")[0], port), 1).close()
                break
            assert head.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield cluster
    finally:
        cluster.nodes()
        head.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            head.wait(20)
        head.kill()
        _, alive = psutil.wait_procs(cluster.processes, timeout=5)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
