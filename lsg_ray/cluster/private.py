"""Parts of Ray that Ray does not promise to keep, and what they are used for: all are here.

A newer Ray may move them; `CHECKED_RAY` are the versions that they were checked in.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import signal
import threading
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from lsg_ray.errors import ClusterError

#: Versions of Ray in which all that is used here was checked.
CHECKED_RAY = ("2.60.0",)
#: Methods of Ray's node that start what a private Ray does without.
UNNEEDED_SERVERS = ("start_api_server", "start_monitor", "start_log_monitor")


def ended_server() -> str | None:
    """Return which server of this process's private Ray has ended, if one has."""
    node = _own_node()
    ended = {name for name, _ in node.dead_processes()} if node else set()
    return next((name for name in ("raylet", "gcs_server") if name in ended), None)


def is_late_start(error: Exception) -> bool:
    """Return whether Ray gave its servers up, which did not find each other in the time it gives.

    It raises a plain `Exception`; the time is fixed.
    """
    return "timed out during startup" in str(error)


def abandon() -> None:
    """Kill what Ray started for this process, and keep it from waiting when the process ends."""
    if node := _own_node():
        node.kill_all_processes(check_alive=False, allow_graceful=False)
    atexit.unregister(import_module("ray._private.worker").shutdown)


def _own_node() -> Any:
    """Return what holds the servers that this process has started; None if it has not."""
    node = import_module("ray._private.worker")._global_node
    return node if node is not None and node.is_head() else None


@contextlib.contextmanager
def own_termination() -> Iterator[None]:
    """Keep the caller's handler of SIGTERM, if there is one: no other is set while Ray starts.

    Ray's end the process with an exit code of their own and a stack trace.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    utils: Any = import_module("ray._private.utils")
    original = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda _: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = original
        signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def needed_servers() -> Iterator[None]:
    """Start those servers of a Ray alone that run its tasks.

    A private Ray has no use for those of the dashboard and of the autoscaler, nor for the one that
    reads logs which are shown nowhere; each takes more than a second of a CPU at every start.
    """
    node: Any = import_module("ray._private.node").Node
    with contextlib.ExitStack() as restored:
        for name in UNNEEDED_SERVERS:
            if hasattr(node, name):
                restored.callback(setattr, node, name, getattr(node, name))
                setattr(node, name, lambda _, **__: None)
        yield


def read_settings() -> None:
    """Let Ray read its settings from the environment again; it did when it was imported."""
    with contextlib.suppress(ImportError, AttributeError):
        import_module("ray._raylet").Config.initialize("")


def require_token() -> None:
    """Refuse a private Ray that would answer to everybody."""
    raylet = import_module("ray._raylet")
    try:
        mode = raylet.get_authentication_mode()
        if mode == raylet.AuthenticationMode.TOKEN:
            return
    except AttributeError:
        mode = "unknown"
    raise ClusterError(
        f"Ray would not ask for its token (mode {mode}), and run what anybody sends it; use a Ray "
        "from 2.59 on, or --workers 0, which is without Ray"
    )


def forget_token() -> None:
    """Let Ray look for its token again."""
    with contextlib.suppress(ImportError, AttributeError):
        import_module("ray._raylet").AuthenticationTokenLoader.instance().reset_cache()


def job_client(address: str, headers: Mapping[str, str], options: Mapping[str, Any]) -> Any:
    """Return Ray's client of a job server, with options of `requests` for all that it asks.

    By itself it waits for ever, and follows whatever it is redirected to.
    """
    for module in ("aiohttp", "requests"):
        import_module(module)
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):  # type: ignore[misc, unused-ignore]
        def _do_request(self, method: str, endpoint: str, **arguments: Any) -> Any:
            return super()._do_request(method, endpoint, **{**options, **arguments})

    for name in ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return Client(address, headers=dict(headers))
