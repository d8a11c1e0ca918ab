"""Small data sets in the place of real ones, and servers for them."""

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import struct
import threading
import time

import numpy as np

from lsg_ray.datasets.source import RemoteFile
from lsg_ray.registry import DATA_SETS

N_TRAIN, N_TEST = 40, 12
TRAIN_IMAGES = "train-images-idx3-ubyte.gz"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def idx(array):
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx_contents(rng, n_train=N_TRAIN, n_test=N_TEST, n_labels=N_TRAIN):
    return {
        TRAIN_IMAGES: idx(rng.integers(0, 256, (n_train, 5, 4), dtype=np.uint8)),
        "train-labels-idx1-ubyte.gz": idx(rng.integers(0, 10, n_labels, dtype=np.uint8)),
        "t10k-images-idx3-ubyte.gz": idx(rng.integers(0, 256, (n_test, 5, 4), dtype=np.uint8)),
        "t10k-labels-idx1-ubyte.gz": idx(rng.integers(0, 10, n_test, dtype=np.uint8)),
    }


def register_idx(monkeypatch, contents, mirrors=()):
    """Put a small data set in MNIST's place; return its files as published."""
    published = {name: gzip.compress(data, mtime=0) for name, data in contents.items()}
    remote = tuple(
        RemoteFile(name, sha256(published[name]), len(data), sha256(data))
        for name, data in contents.items()
    )
    source = dataclasses.replace(
        DATA_SETS["mnist"],
        files=remote,
        mirrors=tuple(mirrors),
        n_train=N_TRAIN,
        n_test=N_TEST,
        image_shape=(5, 4),
    )
    monkeypatch.setattr("lsg_ray.datasets.mnist.SOURCE", source)
    return published


def write_all(folder, published):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in published.items():
        (folder / name).write_bytes(data)


class Mirror:
    """A mirror on this machine that serves what `files` holds and counts requests."""

    def __init__(self):
        self.files = {}
        self.requests = []
        self.delay = 0.0
        self.cut = None  # send only this many bytes of a body
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.requests.append(self.path)
                time.sleep(mirror.delay)
                body = mirror.files.get(self.path.lstrip("/"))
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the client may have had enough
                    self.wfile.write(body[: mirror.cut])

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def forms(published):
    """Forms in which a user may keep the files: all of them hold the same contents."""
    unpacked = {name: gzip.decompress(data) for name, data in published.items()}
    bare = {name.removesuffix(".gz"): data for name, data in unpacked.items()}
    repacked = {name: gzip.compress(data, 1, mtime=9) for name, data in unpacked.items()}
    return {"published": published, "unpacked": bare, "repacked": repacked}
