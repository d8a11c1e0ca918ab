"""What a store claims costs nothing: sizes come before memory, and names lead nowhere else.

Memory is measured by `tracemalloc`, which sees NumPy's arrays and Python's objects.
"""

import json
import os
import threading
import time
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lsg_ray.ensemble.ledger import record_key, record_text
from lsg_ray.ensemble.local import MAX_DOCUMENT_BYTES, UnreadableError
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.query import query
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.urls import canonical_url
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import create_ensemble, missing_blocks
from lsg_ray.errors import SpecError, StoreError, StoreInputError
from lsg_ray.spec import load_spec, parse_spec

from .synthetic import DATASET_HASH, fill, make_spec

MIB = 2**20


@contextmanager
def at_most(mib: float):
    """Fail if more is allocated at any moment than so many MiB."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()
    assert peak < mib, f"{peak:.0f} MiB were allocated, {mib} are allowed"


@contextmanager
def within(seconds: float):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def rewrite(store: Path, **attributes):
    """Change attributes of a store, and what follows from its specification."""
    import hashlib

    root = json.loads((store / "zarr.json").read_text())
    spec = root["attributes"]["spec"]
    for path, value in attributes.items():
        if path in ("count", "block_size"):
            spec["ensemble"][path] = value
        root["attributes"][path] = value
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":")).encode()
    root["attributes"]["spec_hash"] = hashlib.sha256(canonical).hexdigest()
    del root["attributes"]["digest"]
    (store / "zarr.json").write_text(json.dumps(root))


@pytest.fixture
def store(tmp_path):
    fill(tmp_path / "e", make_spec())
    return tmp_path / "e"


def everything(store):
    """Do all that reads a store; return the errors."""
    errors = []
    for act in (
        lambda: open_ensemble(store).info(),
        lambda: verify(store),
        lambda: missing_blocks(store),
        lambda: query(open_ensemble(store), "accuracy > 0.8"),
        lambda: query(open_ensemble(store), "configuration >= 0", columns=["configuration"]),
        lambda: open_ensemble(store).numpy(limit=10),
        lambda: open_ensemble(store).column("configuration"),
    ):
        try:
            act()
        except StoreError as error:
            errors.append(str(error))
    return errors


@pytest.mark.parametrize("count", [10**12, 2**31, -1, 10**400])
def test_a_claim_of_too_many_configurations_is_refused(store, count):
    rewrite(store, count=count, block_size=10**6)
    with at_most(20), within(10):
        errors = everything(store)
    assert len(errors) >= 6
    assert "count" in errors[0]
    assert "is damaged" in errors[0]


def test_the_largest_plan_is_small(store):
    """Ten million blocks planned, four of them there: a byte a block, and the list of the rest."""
    rewrite(store, count=160_000_000, block_size=16)
    with at_most(200), within(20):
        ensemble = open_ensemble(store)
        assert not ensemble.complete
        assert len(ensemble.missing_blocks) == 10**7 - 4
        assert len(missing_blocks(store)) == 10**7 - 4
    with at_most(20):
        ensemble = open_ensemble(store)
        # The last record was of a short block.
        with pytest.raises(StoreError, match=r"block 3: ledger/00000003\.json has rows 2"):
            ensemble.info()
        kinds = {finding.kind for finding in verify(store).findings}
        assert kinds == {"metadata", "record", "unverified header"}


def test_more_blocks_than_that_are_refused(store):
    rewrite(store, count=2**31 - 1, block_size=16)
    with at_most(20), within(10):
        assert "at most 10,000,000" in everything(store)[0]
        with pytest.raises(StoreInputError, match="use larger blocks"):
            create_ensemble(
                store.parent / "n", make_spec(count=2**31 - 1, block_size=1), dataset_hash="d"
            )


def test_large_blocks_must_be_there(store):
    """A record of a hundred bytes claims 2·10⁸ configurations: without data they are none."""
    rewrite(store, count=2 * 10**8, block_size=2 * 10**8)
    record = json.loads((store / record_key(0)).read_text())
    del record["digest"]
    record.update(rows=2 * 10**8, trials=2 * 10**8, rejected={})
    (store / record_key(0)).write_text(json.dumps(record))
    with at_most(20), within(10):
        errors = everything(store)
        assert len(errors) == 4
        assert all("must hold" in error for error in errors)
        assert open_ensemble(store).n_complete == 2 * 10**8


@pytest.mark.parametrize("widths", [[5, 10**9, 1], [5, *[1] * 10**4, 1], [5, 2**31 - 1, 1]])
def test_huge_networks_are_refused(store, widths, tmp_path):
    root = json.loads((store / "zarr.json").read_text())
    root["attributes"]["spec"]["network"]["widths"] = widths
    (store / "zarr.json").write_text(json.dumps(root))
    with at_most(60), within(10):
        assert len(everything(store)) >= 6
        with pytest.raises((SpecError, StoreInputError), match="at most"):
            create_ensemble(tmp_path / "n", make_spec(widths=tuple(widths)), dataset_hash="d")


@pytest.mark.parametrize("key", ["weights/c.1.0", "loss/c.1"])
def test_a_chunk_of_ten_gigabytes_is_not_read(store, key):
    os.truncate(store / key, 10 * 10**9)  # a hole: takes no disk
    with at_most(20), within(10):
        found = verify(store).findings
        assert [(one.kind, one.key) for one in found] == [("truncated chunk", key)]
        assert "holds 10,000,000,000 bytes, must hold" in found[0].message
        ensemble, words = open_ensemble(store), r"block 1: chunk .* holds 10,000,000,000 bytes"
        with pytest.raises(StoreError, match=words):
            ensemble.numpy() if "weights" in key else ensemble.column("loss")


def test_documents_of_ten_gigabytes_are_not_read(store):
    for key in (record_key(1), "loss/zarr.json"):
        os.truncate(store / key, 10 * 10**9)
    with at_most(20), within(10):
        assert {(one.kind, one.key) for one in verify(store).findings} == {
            ("record", record_key(1)),
            ("metadata", "loss/zarr.json"),
        }
        with pytest.raises(StoreError, match=r"block 1: .* a document at most 1,048,576"):
            open_ensemble(store).info()
        repaired = verify(store, repair=True)
        assert repaired.ok
        assert (repaired.healthy, repaired.missing) == (3, 1)
        os.truncate(store / "zarr.json", MAX_DOCUMENT_BYTES + 1)
        with pytest.raises(UnreadableError, match=r"zarr\.json holds 1,048,577 bytes"):
            open_ensemble(store)


def test_a_server_that_announces_ten_gigabytes_is_not_believed():
    """The size is in the answer's head; nothing of the body is waited for."""
    import socket

    from .s3 import HOST, using

    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                client.recv(65536)
                client.sendall(
                    b'HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\nETag: "e"\r\n'
                    b"Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n{}"
                )

        threading.Thread(target=serve, daemon=True).start()
        with (
            using(f"http://{HOST}:{server.getsockname()[1]}"),
            at_most(20),
            within(5),
            pytest.raises(StoreError, match=r"zarr\.json holds 10,000,000,000 bytes"),
        ):
            open_ensemble("s3://bucket/x")
        server.shutdown(socket.SHUT_RDWR)


def test_keys_that_are_none_of_ours_take_no_memory(store, monkeypatch):
    """A million foreign names in the ledger; files themselves would take minutes to make."""
    names = [f"ledger/{number}.txt" for number in range(1000)] * 1000
    real = list(locate(store).keys("ledger"))
    monkeypatch.setattr(type(locate(store)), "keys", lambda *_: iter([*real, *names]))
    with at_most(20):  # the list of the two itself is 8 MiB
        assert open_ensemble(store).blocks.tolist() == [0, 1, 2, 3]


def test_foreign_files_by_the_thousand_are_named_in_part(store):
    for number in range(1500):
        (store / "ledger" / f"{number}.txt").touch()
    report = verify(store)
    assert report.healthy == 4
    foreign = [one for one in report.findings if one.kind == "foreign file"]
    assert len(foreign) == 1001
    assert "500 more" in foreign[-1].message


def test_damage_by_the_thousand_is_named_in_part_and_repaired_in_full(tmp_path, no_writer_lives):
    """A ledger of 3,000 blocks of which one has data."""
    spec = make_spec(count=3000, block_size=1)
    fill(tmp_path / "e", spec, blocks=[0])
    record = open_ensemble(tmp_path / "e").records[0]
    for block in range(1, 3000):
        moved = record.model_copy(update={"block": block, "start": block})
        (tmp_path / "e" / record_key(block)).write_bytes(record_text(moved))
    report = verify(tmp_path / "e")
    assert len(report.findings) == 1001
    assert report.findings[-1].message.endswith(" more")
    assert not report.sound
    repaired = verify(tmp_path / "e", repair=True)
    assert (repaired.ok, repaired.missing) == (True, 2999)
    assert verify(tmp_path / "e").findings == ()


# Names that lead elsewhere


@pytest.mark.parametrize(
    "url",
    [
        *("s3://bucket/../other", "s3://bucket/a/../../b", "s3://bucket/./a", "gs://bucket/.."),
        *("s3://bucket/%2e%2e/other", "s3://bucket/a%2fb", "s3://bucket/a\\..\\b"),
        *("s3://bucket/a\nb", "s3://bucket/a\x1b[31m", "s3://bucket/\ud800", "s3://bucket/\u202e"),
        *("s3://../etc", "s3://.bucket/x", "s3://a/x", "s3://a..b/x", "s3://bücket/x", "s3:// /x"),
        *("s3://bucket:80/x", "s3://host:pass@bucket/x", "s3://bucket/x#y", "s3://bucket/x?a=b"),
        *("s3:/bucket/x", "s3:bucket/x", "gs:/bucket/x", "file:/tmp/x", "memory:x"),
        "s3://bucket/" + "a/" * 500,
        "s3://bucket/" + "x" * 1000,
        "s3://" + "b" * 300,
    ],
)
def test_urls_that_mean_another_place_are_refused(url):
    with pytest.raises(StoreInputError) as caught:
        canonical_url(url)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


def test_paths_mean_what_they_say(tmp_path):
    """A local path is a path: nothing in it is decoded, and file:// once."""
    assert canonical_url("/a/%2e%2e/b") == "/a/%2e%2e/b"
    assert canonical_url("file:///a/%252e%252e/b") == "/a/%2e%2e/b"
    fill(tmp_path / "%2e%2e" / "e", make_spec(), blocks=[0])
    assert [path.name for path in tmp_path.iterdir()] == ["%2e%2e"]
    assert open_ensemble(tmp_path / "%2e%2e" / "e").n_complete == 16
    with pytest.raises(StoreError, match="cannot be"):
        open_ensemble("/" + "x" * 300)


def test_names_in_specifications_and_metadata_are_no_paths(store, tmp_path):
    for name in ("../x", "/etc/passwd", "a/b", "", ".", "x" * 65, "a\n"):
        with pytest.raises(SpecError, match="name"):
            parse_spec({"name": name})
    outside = tmp_path / "outside"
    outside.write_text("mine")
    root = json.loads((store / "zarr.json").read_text())
    root["consolidated_metadata"] = {"metadata": {"../outside": {}}}
    root["attributes"]["arrays"] = ["../../outside"]
    (store / "zarr.json").write_text(json.dumps(root))
    loss = json.loads((store / "loss" / "zarr.json").read_text())
    loss["chunk_key_encoding"] = {"name": "v2", "configuration": {"separator": "/../../"}}
    loss["storage_transformers"] = [{"name": "../../outside"}]
    (store / "loss" / "zarr.json").write_text(json.dumps(loss))
    np.testing.assert_array_equal(open_ensemble(store).column("configuration"), np.arange(50))
    report = verify(store, repair=True)
    assert [finding.key for finding in report.findings] == ["loss/zarr.json"]
    assert report.ok
    assert outside.read_text() == "mine"


def test_links_in_a_store_are_not_followed_out_of_it(store, tmp_path, no_writer_lives):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.tex").write_text("mine")
    (store / "ledger" / "deep").symlink_to(outside)
    (store / "ledger" / "deeper").symlink_to("/")
    (store / "loss" / "c.9").symlink_to(outside / "thesis.tex")
    (store / "loss" / "c.1").unlink()
    (store / "loss" / "c.1").symlink_to(outside / "thesis.tex")
    (store / record_key(2)).unlink()
    (store / record_key(2)).symlink_to(outside / "thesis.tex")
    with within(10):
        assert len(open_ensemble(store).blocks) == 4
        report = verify(store, repair=True)
    assert not any("mine" in finding.message for finding in report.findings)
    assert {finding.kind for finding in report.findings} == {
        *("foreign file", "left-over data", "truncated chunk", "record")
    }
    assert (report.healthy, report.missing) == (2, 2)
    assert (outside / "thesis.tex").read_text() == "mine"
    fill(store, make_spec())
    assert verify(store).healthy == 4
    assert (outside / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("name", ["zarr.json", "loss/c.1", "loss/zarr.json", record_key(1)])
def test_links_to_what_would_do_are_refused_too(store, tmp_path, name):
    (store / name).rename(tmp_path / "kept")
    (store / name).symlink_to(tmp_path / "kept")
    assert any("is a symbolic link" in error for error in everything(store)) or not verify(store).ok
    assert "is a symbolic link" in verify(store).findings[0].message


@pytest.mark.parametrize("name", ["zarr.json", "loss/c.1", "loss/zarr.json", record_key(1)])
def test_pipes_and_folders_are_not_waited_for(store, name):
    for make in (os.mkfifo, os.mkdir):
        (store / name).rmdir() if (store / name).is_dir() else (store / name).unlink()
        make(store / name)
        done = threading.Thread(target=everything, args=(store,), daemon=True)
        done.start()
        done.join(20)
        assert not done.is_alive(), "it waits for a pipe"


def test_a_chunk_of_holes_is_not_read(tmp_path):
    spec = make_spec(count=2**21, block_size=2**21, widths=(64, 1))
    create_ensemble(tmp_path / "e", spec, dataset_hash=DATASET_HASH)
    place = locate(tmp_path / "e")
    with open(tmp_path / "e" / "loss" / "c.0", "wb") as file:
        file.truncate(2**26)
    with at_most(2), pytest.raises(StoreError, match="holds next to nothing of its 67,108,864"):
        place.read("loss/c.0", limit=2**27)


def test_array_folders_that_are_links_are_refused(store, tmp_path):
    (store / "loss").rename(tmp_path / "loss")
    (store / "loss").symlink_to(tmp_path / "loss")
    with pytest.raises(StoreError, match="loss is a symbolic link"):
        open_ensemble(store)


# Specifications

MANY_KEYS = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(500)) + "}\n"


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n"
            for n in range(9)
        ),
        "a: &a {x: 1}\n"
        + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{', '.join(['*' + chr(97 + n)] * 9)}]}}\n"
            for n in range(12)
        ),
        MANY_KEYS + "".join(f"b{n}: {{<<: *a}}\n" for n in range(2000)),
        MANY_KEYS + "b: {<<: [" + "*a, " * 4000 + "*a]}",
        "a: &a {}\nb: {<<: [" + "*a," * 11_000 + "*a]}",
        "a0: &a0 {x: 1}\n"
        + "".join(f"a{n + 1}: &a{n + 1} {{<<: *a{n}, k{n}: 1}}\n" for n in range(300)),
        "{<<: " * 800 + "{}" + "}" * 800,
        "[" * 1000,
        "ensemble: {count: 1000000000000}",
        "network: {widths: [" + "1," * 10**4 + "1]}",
        "ensemble: {seed: 1" + "0" * 5000 + "}",
        "name: " + "x" * 10**6,
    ],
    ids=[
        "aliases", "merges", "many merges", "list of merges", "empty merges", "chain of merges",
        "nested merges", "nesting", "count", "layers", "digits", "name",
    ],
)  # fmt: skip
def test_specifications_that_claim_much_are_refused(tmp_path, text):
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    with at_most(100), within(20), pytest.raises(SpecError) as caught:
        load_spec(file)
    assert len(str(caught.value)) < 5000


def test_a_document_of_ours_is_far_below_the_limit(tmp_path):
    spec = make_spec(widths=(5, *[4] * 200, 1), block_size=4)
    create_ensemble(tmp_path / "e", spec, dataset_hash=DATASET_HASH)
    sizes = locate(tmp_path / "e").everything()
    assert max(sizes.values()) < MAX_DOCUMENT_BYTES / 50
