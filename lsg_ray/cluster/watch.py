"""Notice that Ray is lost before Ray does, which would end this process without a message.

A private Ray is lost when one of its servers has ended; a cluster, when its head no longer answers.
A lost node does no harm: Ray runs its tasks elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

from lsg_ray.cluster import private
from lsg_ray.errors import ClusterError

#: Seconds between two checks of the head, and for its answer.
CHECK_SECONDS = 1.0
#: Variable of Ray: for how many seconds a lost head may come back; and its default.
RECONNECT_VARIABLE, RECONNECT_SECONDS = "RAY_gcs_rpc_server_reconnect_timeout_s", 60.0
_abandoned = False


class RayWatch:
    """Checks, when called, whether the Ray that this process is connected to is still there.

    Ray waits for its head to come back, as it can where its state is kept elsewhere; this waits for
    two thirds of that time, `RECONNECT_VARIABLE`.
    """

    def __init__(self) -> None:
        limit = RECONNECT_SECONDS
        with contextlib.suppress(ValueError):
            limit = float(os.environ.get(RECONNECT_VARIABLE, limit))
        self._head, self._limit = _head(), limit * 2 / 3
        self._next = self._seen = time.monotonic()

    def __call__(self) -> None:
        """Check, if the last check was `CHECK_SECONDS` ago.

        Raises
        ------
        ClusterError
            Ray is lost.
        """
        if ended := private.ended_server():
            raise ClusterError(
                f"Ray's {ended} on this machine has ended; was it killed, or out of memory?\n"
                "What is finished stays; run the same command again to do the rest."
            )
        if time.monotonic() < self._next:
            return
        error = _silence(self._head)
        self._next = time.monotonic() + CHECK_SECONDS
        if error is None:
            self._seen = time.monotonic()
        elif (gone := time.monotonic() - self._seen) >= self._limit:
            host, port = self._head or ("", 0)
            raise ClusterError(
                f"the head of the Ray cluster, {host}:{port}, has not answered for {gone:.0f} s: "
                f"{error}\nWhat is finished stays; start the cluster again and run the same "
                "command to do the rest."
            )


def disconnect() -> None:
    """Shut Ray down, or abandon it where it is lost: then its shutdown would wait, and crash."""
    import ray

    global _abandoned
    if private.ended_server() or _silence(_head()):
        _abandoned = True
        private.abandon()
    else:
        ray.shutdown()


def is_abandoned() -> bool:
    """Return whether a lost Ray was left behind in this process, which Ray will end soon.

    Only ``os._exit`` then ends it well: Ray's threads crash when Python tidies up.
    """
    return _abandoned


def _head() -> tuple[str, int] | None:
    """Return where the head listens; None for a client, which has no connection of its own."""
    import ray
    from ray.util.client import ray as client

    if client.is_connected() or not ray.is_initialized():
        return None
    host, _, port = (ray.get_runtime_context().gcs_address or "").rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdigit() else None


def _silence(head: tuple[str, int] | None) -> OSError | None:
    """Return why nothing answers at the head, or None if something does."""
    try:
        if head is not None:
            socket.create_connection(head, timeout=CHECK_SECONDS).close()
    except OSError as error:
        return error
    return None
