"""A real S3 server (moto) as a process on loopback, and a proxy before it that injects faults."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lsg_ray.ensemble import location
from lsg_ray.ensemble.reader import open_ensemble

HOST = "127.0.0.1"
ACCESS_KEY = "AKIATESTONLYNOTREAL1"
SECRET = "s3cr3t/never+shown/0123456789abcdef"
TOKEN = "t0k3n/never+shown/fedcba9876543210"
SECRETS = (SECRET, TOKEN, ACCESS_KEY)
BUCKET = "bucket"
#: A run that is quick on a server of this kind.
SPEC = {
    "name": "small",
    "dataset": {"name": "digits"},
    "training": {"epochs": 10, "batch_size": 50},
    "ensemble": {"count": 60, "threshold": 0.4, "draws": 5, "block_size": 6},
}

#: What proxies do to a request; see `Proxy`.
SLOW_DOWN = (
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


def content(url: Any) -> str:
    """Content hash of a store."""
    return str(open_ensemble(url).info()["content_hash"])


def refusal(code: str) -> str:
    """What S3 answers with an error; this one repeats secrets."""
    """What a server says, with more in it than may be shown."""
    return (
        f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>{SECRET} {TOKEN}</Message>'
        f"<AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """Start a server and yield its URL."""
    pytest.importorskip("moto.server", reason="moto is not installed: pip install 'lsg-ray[test]'")
    port = free_port()
    command = [sys.executable, "-c", "from moto.server import main; main()"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "-H", HOST, "-p", str(port)], stdout=log, stderr=log, env=_plain()
        )
        try:
            _wait_until_it_answers(process, port, log)
            yield f"http://{HOST}:{port}"
        finally:
            process.kill()
            process.wait()


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _wait_until_it_answers(process: subprocess.Popen, port: int, log: Any) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            raise AssertionError(f"moto did not start: {log.read().decode()[-2000:]}")
        time.sleep(0.05)


def environment(endpoint: str) -> dict[str, str]:
    """Variables that clients of the server need."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": endpoint,
    }


@contextlib.contextmanager
def using(endpoint: str | None, **more: str) -> Iterator[None]:
    """Give this process credentials for an endpoint (none for None), and drop open stores."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("AWS_", "GOOGLE_", "GCE_")):
                patch.delenv(name)
        given = {} if endpoint is None else environment(endpoint)
        for name, value in {**given, **more}.items():
            patch.setenv(name, value)
        location._location.cache_clear()
        yield
    location._location.cache_clear()


def make_bucket(endpoint: str, name: str) -> None:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=20)
    connection.request("PUT", f"/{name}", headers={"Content-Length": "0"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def everything(endpoint: str, bucket: str) -> dict[str, bytes]:
    """Every object of a bucket."""
    from lsg_ray.ensemble.location import locate

    with using(endpoint):
        place = locate(f"s3://{bucket}")
        return {key: bytes(place.read(key, 2**30)) for key in place.keys()}  # noqa: SIM118


Action = str | tuple[int, str] | None
Rule = Callable[[str, str, int], Action]


class Proxy:
    """Forwards to a server, and does to each request what a rule says.

    The rule gets method, path and the number of the request, and returns None (forward it),
    ``(status, body)`` (answer that), or one of

    - ``reset``: break the connection before the server sees the request,
    - ``lost``: let the server do it, then break the connection,
    - ``lost-503``: let the server do it, then answer 503,
    - ``truncated``: break the connection in the middle of the answer,
    - ``slow``: let the server do it, and answer when the client has long gone,
    - ``unconditional``: forward it without ``If-None-Match``.
    """

    def __init__(self, endpoint: str, rule: Rule = lambda *_: None, slow: float = 2.0) -> None:
        self.rule, self.slow = rule, slow
        self.seen: list[tuple[str, str]] = []
        self.done: list[Action] = []
        self.lock = threading.Lock()
        target = endpoint.removeprefix("http://")
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                with contextlib.suppress(OSError):  # the client has gone
                    proxy._handle(self, target)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self, method: str, part: str = "") -> int:
        return sum(method == seen and part in path for seen, path in self.seen)

    def _handle(self, request: BaseHTTPRequestHandler, target: str) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        with self.lock:
            action = self.rule(request.command, request.path, len(self.seen))
            self.seen.append((request.command, request.path))
            self.done.append(action)
        if action == "reset":
            return self._break(request)
        if isinstance(action, tuple):
            return self._answer(request, action[0], action[1].encode(), {})
        headers = dict(request.headers)
        if action == "unconditional":
            headers.pop("if-none-match", None)
        connection = http.client.HTTPConnection(target, timeout=30)
        connection.request(request.command, request.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if action == "lost":
            return self._break(request)
        if action == "lost-503":
            return self._answer(request, 503, SLOW_DOWN.encode(), {})
        if action == "slow":
            time.sleep(self.slow)
        kept = {
            name: value
            for name, value in answer.getheaders()
            if name.lower()
            not in ("content-length", "connection", "transfer-encoding", "server", "date")
        }
        if action == "truncated" and len(data) > 1:
            self._answer(request, answer.status, data, kept, send=len(data) // 2)
            return self._break(request)
        if request.command == "HEAD":
            kept["Content-Length"] = answer.getheader("Content-Length", "0")
        return self._answer(request, answer.status, data, kept)

    @staticmethod
    def _answer(
        request: BaseHTTPRequestHandler,
        status: int,
        data: bytes,
        headers: dict[str, str],
        send: int | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if "Content-Length" not in headers and status != 204:
            request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(data[:send])
            request.wfile.flush()

    @staticmethod
    def _break(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.connection.close()


def at_random(probability: float, actions: list[Action], seed: int = 1) -> Rule:
    """Return a rule that does one of the actions now and then."""
    rng = random.Random(seed)
    return lambda *_: rng.choice(actions) if rng.random() < probability else None
