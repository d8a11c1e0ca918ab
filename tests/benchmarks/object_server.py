"""An object store in memory, of any number of objects, whose answers take as long as a real one's.

It speaks as much of S3's protocol as stores need: get, head, put (``If-None-Match``), delete, and
lists of 1,000 keys.  moto, which the other tests use, goes through all keys for each list.  As a
script, ``object_server.py GET_SECONDS LIST_SECONDS`` serves on a free port, which it prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
import urllib.request
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 1000
LIST = '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
#: What the tests ask about the server itself; no bucket has this name.
ABOUT, RECORDS = "/-counts", "/-records"


class Objects:
    """Objects by path (``/bucket/key``), the paths in order, and requests by kind."""

    def __init__(self, get_seconds: float, list_seconds: float) -> None:
        self.seconds = {"LIST": list_seconds}
        self.default = get_seconds
        self.data: dict[str, bytes] = {}
        self.paths: list[str] = []
        self.counts: Counter[str] = Counter()

    def put(self, path: str, data: bytes) -> None:
        """Store an object."""
        if path not in self.data:
            insort(self.paths, path)
        self.data[path] = data

    def fill(self, folder: str, arrays: list[str], records: int) -> None:
        """Add a ledger of blocks of one row below a folder, and empty chunks of arrays."""
        from lsg_ray.ensemble.ledger import Record, Summary, record_key, record_text

        accuracy = Summary(min=0.8, mean=0.8, max=0.8)
        shared = {"rows": 1, "attempt": 0, "trials": 1, "rejected": {}, "accuracy": accuracy}
        for block in range(records):
            content = hashlib.sha256(str(block).encode()).hexdigest()
            record = Record(
                block=block, start=block, seed_path=(0, 1, block), seconds=0.5, content=content,
                package_version="1", processor="x", **shared,
            )  # fmt: skip
            self.data[f"{folder}/{record_key(block)}"] = record_text(record)
        for array in arrays:
            for block in range(records):
                self.data[f"{folder}/{array.replace('0', str(block), 1)}"] = b""
        self.paths = sorted(self.data)

    def listed(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        """Answer a list request."""
        prefix = f"{bucket}/{query.get('prefix', [''])[0]}"
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        first = bisect_right(self.paths, f"{bucket}/{after}") if after else 0
        first = max(first, bisect_right(self.paths, prefix))
        parts, last = [LIST], ""
        for place in range(first, min(first + PAGE, len(self.paths))):
            path = self.paths[place]
            if not path.startswith(prefix):
                break
            last, data = path.removeprefix(f"{bucket}/"), self.data[path]
            parts.append(
                f"<Contents><Key>{escape(last)}</Key><Size>{len(data)}</Size>"
                f"<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{tag(data)}&quot;</ETag></Contents>"
            )
        end = first + PAGE
        more = end < len(self.paths) and self.paths[end].startswith(prefix)
        parts.append(f"<IsTruncated>{str(more).lower()}</IsTruncated>")
        if more:
            parts.append(f"<NextContinuationToken>{escape(last)}</NextContinuationToken>")
        return "".join([*parts, "</ListBucketResult>"]).encode()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Any:
        """Return status, headers and body of an answer."""
        parts = urlsplit(target)
        path, query = unquote(parts.path), parse_qs(parts.query)
        if "list-type" in query:
            return 200, {}, self.listed(path.rstrip("/"), query)
        if method == "PUT":
            if path in self.data and headers.get("if-none-match") == "*":
                return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
            self.put(path, body)
            return 200, {"ETag": f'"{tag(body)}"'}, b""
        if path not in self.data:
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        if method == "DELETE":
            del self.data[path]
            self.paths.remove(path)
            return 204, {}, b""
        data = self.data[path]
        return 200, {"ETag": f'"{tag(data)}"', "Last-Modified": formatdate(0, usegmt=True)}, data

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, _ = head.split(" ", 2)
                lines = (line.partition(":") for line in head.split("\r\n")[1:] if line)
                headers = {name.lower(): value.strip() for name, _, value in lines}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if target in (ABOUT, RECORDS):
                    status, more, data = self.about(target, body)
                else:
                    kind = "LIST" if "list-type=2" in target else method
                    self.counts[kind] += 1
                    await asyncio.sleep(self.seconds.get(kind, self.default))
                    status, more, data = self.answer(method, target, headers, body)
                more = {"Content-Length": str(len(data)), **more}
                fields = "".join(f"{name}: {value}\r\n" for name, value in more.items())
                writer.write(f"HTTP/1.1 {status} -\r\n{fields}\r\n".encode("latin-1"))
                writer.write(b"" if method == "HEAD" else data)
                await writer.drain()
        writer.close()

    def about(self, target: str, body: bytes) -> Any:
        """Return the counts and begin anew, or add records."""
        if target == RECORDS:
            self.fill(**json.loads(body))
        counts, self.counts = dict(self.counts), Counter()
        return 200, {}, json.dumps(counts).encode()


def tag(data: bytes) -> str:
    """Return the entity tag of an object."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Server:
    """A running server, as its tests see it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def counts(self) -> dict[str, int]:
        """Return the number of requests by kind since the last call."""
        return self._ask(ABOUT, {})

    def fill(self, folder: str, arrays: list[str], records: int) -> None:
        """See `Objects.fill`."""
        self._ask(RECORDS, {"folder": folder, "arrays": arrays, "records": records})

    def _ask(self, path: str, value: Any) -> Any:
        with urllib.request.urlopen(self.url + path, json.dumps(value).encode()) as answer:
            return json.load(answer)


@contextlib.contextmanager
def object_server(get_seconds: float = 0.0, list_seconds: float = 0.0) -> Iterator[Server]:
    """Serve in a process of its own."""
    command = [sys.executable, "-m", __name__, str(get_seconds), str(list_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


async def _main(get_seconds: float, list_seconds: float) -> None:
    objects = Objects(get_seconds, list_seconds)
    server = await asyncio.start_server(objects.serve, "127.0.0.1", 0, limit=2**24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(*map(float, sys.argv[1:])))
