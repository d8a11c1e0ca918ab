"""A slow run in a process of its own, a cluster that can be struck, and what must hold afterwards.

As a script, ``faults.py run`` is the `lsg` command whose every block pauses between its data and
its record, where a kill leaves most behind; ``faults.py cluster`` holds a Ray cluster of several
nodes and does to it what it reads from standard input.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

#: 12 blocks of 2; most trials are rejected, so that what is tried twice would show in the counts.
SPEC = {
    "name": "struck",
    "dataset": {"name": "digits", "components": 4},
    "network": {"widths": [4, 3, 10]},
    "training": {"epochs": 2, "batch_size": 100},
    "ensemble": {"count": 24, "threshold": 0.35, "draws": 2, "block_size": 2},
}
BLOCKS = 12
#: What must be known of a run afterwards, whatever struck it.
KEYS = ("count", "rows", "blocks_complete", "trials", "accuracy", "content_hash")
#: A lost node is noticed within some two seconds, a lost head within six.
RAY_SETTINGS = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "9",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
}
#: Seconds for any one step on a machine that is busy with other things.
PATIENCE = 240.0


class Run:
    """An `lsg sample` in a process of its own, with ``pause`` seconds in every block."""

    def __init__(
        self,
        store: Path,
        *options: str,
        pause: float = 0.0,
        clock: bool = False,
        setting: dict[str, str] | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        file = store.parent / "spec.yaml"
        file.write_text(json.dumps(SPEC))
        self.store = store
        self._servers: set[psutil.Process] = set()
        words = ["sample", str(file), "--out", str(store), *options]
        self.process = subprocess.Popen(
            [sys.executable, __file__, "run", str(pause), str(int(clock)), *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **RAY_SETTINGS, **(setting or {})},
            start_new_session=True, preexec_fn=before,
        )  # fmt: skip

    def wait_for_blocks(self, count: int) -> None:
        """Return when so many blocks are complete and the run goes on."""
        deadline = time.monotonic() + PATIENCE
        while blocks_in(self.store) < count:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "no blocks were written"
            time.sleep(0.02)
        assert self.process.poll() is None, "the run ended before it was struck"
        self._servers = self.children()

    def end(self) -> tuple[int, str, str]:
        """Wait for the end, also of a private Ray; return exit code, output and errors."""
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        finally:
            self.kill()
        wait_until_gone(self._servers)
        return self.process.returncode, out, err

    def children(self) -> set[psutil.Process]:
        """Return the processes of its private Ray."""
        return set(psutil.Process(self.process.pid).children(recursive=True))

    def kill(self) -> None:
        """End the command if it still runs; a private Ray goes with it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def children() -> set[psutil.Process]:
    """Return all processes below this one."""
    return set(psutil.Process().children(recursive=True))


def wait_until_gone(processes: set[psutil.Process]) -> None:
    """Wait for the end of these processes; the agents of a killed Ray take some seconds."""
    _, alive = psutil.wait_procs([p for p in processes if p.is_running()], timeout=30)
    left = [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    for process in left:
        process.kill()
    assert not left, left


def blocks_in(store: Path) -> int:
    """Return how many blocks of a store are complete, without opening it."""
    return len(list((store / "ledger").glob("0*.json")))


def resume(store: Path) -> int:
    """Do the rest in this process; return how many configurations were there before."""
    from lsg_ray.cluster.sample import sample
    from lsg_ray.spec import Spec

    return sample(Spec.model_validate(SPEC), store, workers=0).resumed


def assert_like(store: Path, undisturbed: tuple[Path, dict[str, Any]]) -> None:
    """Nothing is lost, doubled, damaged or left over."""
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.ensemble.verify import verify

    report = verify(store)
    assert (report.findings, report.healthy, report.missing) == ((), BLOCKS, 0)
    info = open_ensemble(store).info()
    assert {key: info[key] for key in KEYS} == undisturbed[1]
    assert report.content_hash == info["content_hash"]


def assert_partial(store: Path, at_least: int) -> int:
    """What was finished is whole, what was not is not seen, and there is something left to do."""
    from lsg_ray.ensemble.reader import open_ensemble
    from lsg_ray.ensemble.verify import verify

    report = verify(store)
    assert report.sound, report.findings
    assert at_least <= report.healthy < BLOCKS
    assert open_ensemble(store).n_rows == 2 * report.healthy
    return report.healthy


class Nodes:
    """A Ray cluster of several nodes on this machine, the head without CPUs."""

    def __init__(self, folder: str, nodes: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "cluster"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **RAY_SETTINGS, "RAY_TMPDIR": folder},
        )  # fmt: skip
        self.renew(nodes)

    def renew(self, nodes: int) -> None:
        """Start a cluster; end the one that was there."""
        self.address: str = self._say("head")
        for _ in range(nodes):
            self.add()

    def add(self) -> None:
        """Add a node with one CPU."""
        self._say("add")

    def kill(self) -> None:
        """Kill -9 all processes of the oldest node."""
        self._say("kill")

    def terminate(self) -> None:
        """Send SIGTERM to the raylet of the oldest node and wait for its end."""
        self._say("terminate")

    def kill_head(self) -> None:
        """Kill -9 all processes of the head."""
        self._say("kill head")

    def close(self) -> None:
        """End all of it."""
        try:
            self._process.communicate("end\n", timeout=PATIENCE)
        finally:
            self._process.kill()

    def _say(self, word: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _hold_cluster() -> None:
    """Do what standard input says, a word a line; answer each with a line of JSON."""
    from ray.cluster_utils import Cluster

    from lsg_ray.cluster.private import needed_servers

    Path(os.environ["RAY_TMPDIR"], "ray").mkdir()  # Ray notes there which cluster runs

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints
    cluster: Any = None
    nodes: list[Any] = []
    answer: Any = None
    try:
        with needed_servers():
            for line in sys.stdin:
                word = line.strip()
                if word == "head":
                    if cluster is not None:
                        cluster.shutdown()
                    cluster, nodes = Cluster(), []
                    cluster.add_node(num_cpus=0, include_dashboard=False)
                    answer = cluster.address
                elif word == "add":
                    nodes.append(cluster.add_node(num_cpus=1))
                elif word == "kill":
                    cluster.remove_node(nodes.pop(0), allow_graceful=False)
                elif word == "terminate":
                    node = nodes.pop(0)
                    raylet = node.all_processes["raylet"][0].process
                    raylet.terminate()
                    answer = raylet.wait(PATIENCE)
                elif word == "kill head":
                    cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
                else:
                    break
                print(json.dumps(answer), file=answers, flush=True)
                answer = None
    finally:
        cluster.shutdown()


def _run(pause: float, clock: bool, words: list[str]) -> None:
    """Run the command line, slowed here and in the actors."""
    from lsg_ray.cli import main
    from lsg_ray.cluster import sampler

    class Struck(sampler.Sampler):
        def __init__(self, *arguments: Any) -> None:
            _disturb(pause, clock)
            super().__init__(*arguments)

    _disturb(pause, clock)
    sampler.Sampler = Struck
    main(words)


def _disturb(pause: float, clock: bool) -> None:
    """Pause between data and record; let every look at the clock be an hour earlier."""
    from lsg_ray.ensemble import ledger, writer

    def late(location: Any, record: Any) -> bool:
        time.sleep(pause)
        return ledger.add_record(location, record)

    writer.add_record = late
    if clock and not getattr(time, "struck", False):
        true, looks = time.time, iter(range(10**9))
        time.struck = True
        time.time = lambda: true() - 3600.0 * next(looks)


def without_privileges() -> None:
    """Between fork and exec: take from root the power to write where permissions forbid it."""
    import ctypes

    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    drop_from_bounding_set, override, read_search = 24, 1, 2
    for capability in (override, read_search):
        if libc.prctl(drop_from_bounding_set, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "capability cannot be dropped")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[1] == "run":
        _run(float(sys.argv[2]), sys.argv[3] == "1", sys.argv[4:])
    else:
        _hold_cluster()
