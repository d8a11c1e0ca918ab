"""A Ray to run on: a private one on this machine, or a cluster that is there already.

A private Ray has its own temporary folder, an explicit number of CPUs, no dashboard (whose job port
is remote code execution) and a token of its own; it goes when the run ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lsg_ray.cluster import private
from lsg_ray.cluster.limits import available_cpus
from lsg_ray.cluster.watch import disconnect
from lsg_ray.ensemble.owned import scratch
from lsg_ray.errors import ClusterError, InputError


@dataclass(frozen=True)
class SessionConfig:
    """Of a private Ray, and of the connection to a cluster."""

    #: Object store of a private Ray: runs put one small training set there.
    object_store_bytes: int = 256 * 2**20
    #: Longest folder that sockets of Ray, 95 characters below it at most, may lie in.
    folder_characters: int = 107 - 95
    #: How often a task whose worker was killed for memory is run again; Ray itself would do so for
    #: ever.  The pauses between double from a second on.
    oom_retries: int = 5
    #: Seconds to wait for a cluster's port; Ray itself would wait for minutes.
    connect_seconds: float = 10.0
    #: How often a private Ray is started anew where its servers did not find each other in the
    #: 30 s that Ray itself waits, as on a busy machine.
    start_retries: int = 2
    #: Milliseconds in which the agents of a private Ray's node must start, without which it ends;
    #: Ray itself gives 30 s.
    agent_start_ms: int = 180_000


CONFIG = SessionConfig()
#: Variable of Ray: milliseconds between reports of tasks to the list of them, 0 for none.
TASK_EVENTS_VARIABLE = "RAY_task_events_report_interval_ms"
#: Variable of Ray: milliseconds in which agents of a node must start.
AGENT_START_VARIABLE = "RAY_agent_register_timeout_ms"
_TOKEN = secrets.token_hex(32)
#: Folders of private Rays that run now.
_open_folders: list[str] = []


@contextlib.contextmanager
def ray_session(
    address: str | None = None, cpus: int | None = None, object_bytes: int = 0
) -> Iterator[int]:
    """Connect to Ray, yield how many CPUs it has, and leave it as it was.

    Parameters
    ----------
    address
        Address of a running cluster (``auto``, ``host:6379``, ``ray://host:10001``); by default the
        environment's ``RAY_ADDRESS``, else a private Ray is started.  A connection that the caller
        has already made is used as it is.
    cpus
        Number of CPUs of a private Ray; by default all that this process may use.
    object_bytes
        Number of bytes that the run puts into the object store at once.

    Raises
    ------
    ClusterError
        Ray did not start, or the cluster cannot be reached.
    """
    import ray

    if cpus is not None and cpus < 1:
        raise InputError(f"{cpus} workers given; at least 1 is needed")
    if ray.is_initialized():
        yield _cluster_cpus()
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_task_oom_retries", str(CONFIG.oom_retries))
    private.read_settings()
    # Ray prints its warnings to standard output, which belongs to results.
    with contextlib.redirect_stdout(sys.stderr):
        if address != "local":
            check_address(address)
            with _connected(partial(_no_cluster, address), address=address):
                yield _cluster_cpus()
            return
        cpus = cpus or available_cpus()
        with _private_folder() as folder, _private_settings(), _started(cpus, folder, object_bytes):
            yield cpus


def on_cluster(address: str | None = None) -> bool:
    """Return whether `ray_session` would use a Ray that is there already."""
    import ray

    given = address or os.environ.get("RAY_ADDRESS") or "local"
    return ray.is_initialized() or given != "local"


def _cluster_cpus() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


@contextlib.contextmanager
def _connected(
    failed: Callable[[Exception], str], retries: int = 0, **options: Any
) -> Iterator[None]:
    """Hold a connection to Ray; ``failed`` says why there is none."""
    import ray

    earlier = _below(os.getpid())
    while True:
        try:
            with private.own_termination():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
            break
        except MemoryError:
            raise
        except Exception as error:
            # What has been started would stay until this process ends.
            _kill(_below(os.getpid()) - earlier)
            if not retries or not private.is_late_start(error):
                raise ClusterError(failed(error)) from error
            retries -= 1
        except BaseException:
            _kill(_below(os.getpid()) - earlier)
            raise
    try:
        yield
    finally:
        disconnect()


def check_address(address: str | None, seconds: float = CONFIG.connect_seconds) -> None:
    """Refuse an address that is none, or whose port does not answer; before anything is created.

    Raises
    ------
    InputError
        The address is not of the form that Ray takes.
    ClusterError
        Nothing answers there within some seconds.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address in ("local", "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if (
        not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]+\]", host)
        or not re.fullmatch(r"[0-9]{1,5}", port)
        or not 0 < int(port) < 65536
    ):
        raise InputError(f"address {address!r} given; write auto, host:port or ray://host:port")
    try:
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()
    except (OSError, UnicodeError) as error:
        raise ClusterError(_no_cluster(address, error)) from None


def _no_cluster(address: str, error: Exception) -> str:
    return (
        f"no Ray cluster at {address}: {error}\nStart one (ray start --head), correct "
        f"--address or RAY_ADDRESS, or leave both out to run on this machine alone."
    )


@contextlib.contextmanager
def _started(cpus: int, folder: str, object_bytes: int) -> Iterator[None]:
    private.require_token()
    with private.needed_servers(), _connected(
        lambda error: f"Ray did not start on this machine: {error}", CONFIG.start_retries,
        address="local", num_cpus=cpus, include_dashboard=False, _temp_dir=folder,
        object_store_memory=max(CONFIG.object_store_bytes, 2 * object_bytes),
    ):  # fmt: skip
        private.require_token()
        yield


def _below(pid: int) -> set[int]:
    """Return the descendants of a process, where the system lists them."""
    processes: set[int] = set()
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                processes |= {child} | _below(child)
    return processes


def _kill(processes: set[int]) -> None:
    for pid in processes:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def leave_at_once() -> None:
    """Kill what a private Ray of this process has started, and remove its folder."""
    if _open_folders:
        _kill(_below(os.getpid()))
    for folder in _open_folders:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _private_folder() -> Iterator[str]:
    """Make a folder for one session; its path must stay short, as sockets lie in it."""
    base = tempfile.gettempdir()
    # Ray opens its own folder to all users: it lies in one that is ours alone.
    with scratch(base=base if len(base) <= CONFIG.folder_characters else "/tmp") as folder:  # noqa: S108
        _open_folders.append(str(folder))
        try:
            (folder / "r").mkdir()
            yield str(folder / "r")
        finally:
            _open_folders.remove(str(folder))


@contextlib.contextmanager
def _private_settings() -> Iterator[None]:
    """Give a private Ray a token that is never written to disk, whatever is in the environment.

    Ray remembers the first mode and token it meets in a process, so it is one token for all
    sessions of this process, and Ray is asked to look again before and after.  It keeps no list of
    tasks either: there is nobody to ask for it, and it takes 3 KiB a block, to 300 MiB.
    """
    environment = os.environ
    given = {
        "RAY_AUTH_MODE": "token",  # "disabled" is for a cluster behind other walls
        "RAY_AUTH_TOKEN": environment.get("RAY_AUTH_TOKEN") or _TOKEN,
        TASK_EVENTS_VARIABLE: environment.get(TASK_EVENTS_VARIABLE, "0"),
        AGENT_START_VARIABLE: environment.get(AGENT_START_VARIABLE, str(CONFIG.agent_start_ms)),
    }
    before = {name: environment.get(name) for name in given}
    environment.update(given)
    private.read_settings()
    private.forget_token()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        private.read_settings()
        private.forget_token()
