"""``gs://``: the requests that Google Cloud Storage's XML interface takes, and its credentials.

No Google emulator that installs from PyPI speaks the XML interface, which our client uses.  What
stands in here is a map from keys to bytes with its conditions (``x-goog-if-generation-match``):
enough to see that stores are written, resumed and read through ``gs://`` and that errors are
clear; no evidence about the real service.
"""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from lsg_ray.ensemble import remote
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.errors import StoreError, StoreInputError

from .s3 import HOST, free_port, using
from .synthetic import fill, make_spec, memory_url

TOKEN = "ya29.never-shown-0123456789"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__((HOST, 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()
        self.lock = threading.Lock()
        self.refusal: int | None = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self):
        parts = urlsplit(self.path)
        _, bucket, *key = unquote(parts.path).split("/", 2)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.tokens.add(self.headers.get("Authorization"))
            if self.server.refusal:
                self._say(self.server.refusal, b"<Error><Code>AccessDenied</Code></Error>")
            elif bucket != "bucket":
                self._say(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            elif key and key[0]:
                self._object(key[0], body)
            else:
                self._list(parse_qs(parts.query).get("prefix", [""])[0])

    do_GET = do_PUT = do_DELETE = do_HEAD = handle_any  # noqa: N815

    def _object(self, key, body):
        objects = self.server.objects
        if self.command == "PUT":
            if self.headers.get("x-goog-if-generation-match") == "0" and key in objects:
                self._say(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                return
            objects[key] = body
            self._say(200)
        elif key not in objects:
            self._say(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif self.command == "DELETE":
            del objects[key]
            self._say(204)
        else:
            self._say(200, objects[key])

    def _list(self, prefix):
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>e</ETag></Contents>"
            for key, data in sorted(self.server.objects.items())
            if key.startswith(prefix)
        )
        self._say(200, f"<ListBucketResult>{entries}</ListBucketResult>".encode())

    def _say(self, status, data=b""):
        self.send_response(status)
        for name, value in (
            ("ETag", '"e"'),
            ("x-goog-generation", "1"),
            ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ):
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def _google(**more):
    with _Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://{HOST}:{server.server_address[1]}"
        with using(None, GOOGLE_BASE_URL=url, **({"GOOGLE_BEARER_TOKEN": TOKEN} | more)):
            yield server
        server.shutdown()


def test_a_store_lives_on_google():
    spec, twin = make_spec(), memory_url()
    fill(twin, spec)
    with _google() as server:
        url = "gs://bucket/runs/e.zarr"
        fill(url, spec, blocks=[2, 0])
        assert fill(url, spec).missing.tolist() == [1, 3]
        assert verify(url).findings == ()
        assert (
            open_ensemble(url).info()["content_hash"]
            == (open_ensemble(twin).info()["content_hash"])
        )
        place = locate(url)
        assert place.create("ledger/00000001.json", b"another's") is False
        place.delete("loss/c.1")
        assert [finding.kind for finding in verify(url).findings] == ["missing chunk"]
        assert server.tokens == {f"Bearer {TOKEN}"}
        assert not [key for key, data in server.objects.items() if TOKEN.encode() in data]


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "access denied; the credentials need the role Storage"), (401, "are not accepted")],
)
def test_refusals_are_explained(status, words):
    with _google() as server:
        server.refusal = status
        with pytest.raises(StoreError, match=words) as caught:
            open_ensemble("gs://bucket/x")
        assert TOKEN not in str(caught.value)


def test_a_missing_bucket_is_named():
    with _google(), pytest.raises(StoreInputError, match="there is no bucket 'other'"):
        open_ensemble("gs://other/x")


def test_a_server_that_is_not_there_is_an_early_error(monkeypatch):
    monkeypatch.setattr(remote, "CONFIG", remote.RemoteConfig(first_retry_seconds=0.5))
    url = f"http://{HOST}:{free_port()}"
    began = time.monotonic()
    with (
        using(None, GOOGLE_BASE_URL=url, GOOGLE_BEARER_TOKEN=TOKEN),
        pytest.raises(StoreError, match="the connection is refused"),
    ):
        open_ensemble("gs://bucket/x")
    assert time.monotonic() - began < 5


def test_without_credentials_it_fails_fast(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(remote, "CONFIG", remote.RemoteConfig(metadata_seconds=0.3))
    began = time.monotonic()
    with (
        using(None, GCE_METADATA_HOST=f"{HOST}:{free_port()}"),
        pytest.raises(StoreError, match=r"no credentials.*set GOOGLE_APPLICATION_CREDENTIALS"),
    ):
        open_ensemble("gs://bucket/x")
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("key", [None, "{}", '{"private_key": "never-shown-9876"}'])
def test_wrong_key_files_are_named(key, tmp_path):
    file = tmp_path / "key.json"
    if key is not None:
        file.write_text(key)
    with (
        using(None, GOOGLE_APPLICATION_CREDENTIALS=str(file)),
        pytest.raises(StoreError, match="GOOGLE_APPLICATION_CREDENTIALS") as caught,
    ):
        open_ensemble("gs://bucket/x")
    assert "never-shown" not in str(caught.value)
    assert "\n" not in str(caught.value)
