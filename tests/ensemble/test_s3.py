"""Ensembles on a real S3 server process: the same bytes as on a local disk.

The server is moto's, on loopback.  It shows that requests, conditions and errors are understood;
it says nothing about the speed, the throttling or the consistency of a real service.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

import lsg_ray
from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble.local import UnreadableError
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.query import query
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import create_ensemble
from lsg_ray.errors import InputError, StoreError, StoreInputError
from lsg_ray.results.opening import open_result
from lsg_ray.results.saving import save_result
from lsg_ray.spec import parse_spec

from .s3 import BUCKET, SPEC, Proxy, content, everything, using
from .synthetic import DATASET_HASH, fill, make_spec, zarr_store

RELU = {
    "name": "relu",
    "dataset": {"name": "digits"},
    "network": {"family": "relu", "widths": [64, 12, 10]},
    "training": {"epochs": 2},
    "ensemble": {"count": 6, "block_size": 2},
}
TINY = {
    "name": "tiny",
    "dataset": {"name": "digits", "components": 4},
    "network": {"widths": [4, 3, 10]},
    "training": {"epochs": 2, "batch_size": 100},
    "ensemble": {"count": 200, "threshold": 0, "draws": 2, "block_size": 50},
}


# A place like any other


def test_objects_are_written_listed_and_deleted(s3, url, monkeypatch):
    monkeypatch.setattr("lsg_ray.ensemble.location.LIST_PAGE", 2)
    place = locate(url)
    assert list(place.keys()) == []
    assert place.everything() == {}
    with pytest.raises(FileNotFoundError):
        place.read("a/b")
    place.write("a/b", b"123")
    assert bytes(place.read("a/b")) == b"123"
    assert place.create("a/b", b"456") is False
    assert place.create("a/c", b"4567") is True
    place.write("a/b", b"xy")
    place.write("ab", b"")
    assert list(place.keys("a")) == ["a/b", "a/c"]
    assert place.everything() == {"a/b": 2, "a/c": 4, "ab": 0}
    place.delete("a/b")
    place.delete("a/b")
    assert place.everything() == {"a/c": 4, "ab": 0}
    with pytest.raises(UnreadableError, match="a/c holds 4 bytes, must hold 3"):
        place.read("a/c", 3)


def test_large_objects_go_in_parts(s3, url):
    data = np.random.default_rng(0).bytes(11_000_000)
    locate(url).write("big", data)
    assert bytes(locate(url).read("big", len(data))) == data


# The whole life of a store


def test_a_run_is_sampled_verified_queried_and_measured(s3, url, local_run, tmp_path):
    result = sample(parse_spec(SPEC), url, workers=0)
    assert (result.url, result.rows, result.resumed) == (url, 60, 0)
    report = verify(url)
    assert report.findings == ()
    assert report.content_hash == local_run.info()["content_hash"]
    ensemble = open_ensemble(url)
    info = ensemble.info()
    assert (info["url"], info["rows"], info["complete"]) == (url, 60, True)
    condition = f"accuracy > {np.median(local_run.column('accuracy'))}"
    found, expected = (query(one, condition, sort="-loss") for one in (ensemble, local_run))
    assert len(found["loss"]) > 5
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    np.testing.assert_array_equal(ensemble.numpy(), local_run.numpy())
    measured, known = lsg_ray.moments(ensemble), lsg_ray.moments(local_run)
    for name in ("m", "C", "connected"):
        np.testing.assert_array_equal(measured[name], known[name])
    # What a block is on the server is what it is on the disk; records tell the time they took.
    disk = Path(local_run.url)
    stored = everything(s3, BUCKET)
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    for file in (path for path in disk.rglob("*") if path.is_file()):
        key = file.relative_to(disk).as_posix()
        data = stored.pop(f"{prefix}/{key}")
        assert key.startswith("ledger/0") or data == file.read_bytes(), key
    assert not [key for key in stored if key.startswith(prefix)]


def test_canonical_stores_go_anywhere(s3, url, local_run, tmp_path):
    sample(parse_spec(SPEC), url, workers=0)
    lsg_ray.canonicalize(open_ensemble(url), url + "-canonical")
    assert verify(url + "-canonical").findings == ()
    lsg_ray.canonicalize(local_run, tmp_path / "c")
    assert content(tmp_path / "c") == content(url + "-canonical")


def test_results_live_beside_the_store(s3, url, lsg):
    """Each stage reads and writes URLs alone, as on a cluster without a common disk."""
    sample(parse_spec(TINY), url, workers=0)
    moments, model, scan = f"{url}-m", f"{url}-fit.zarr", f"{url}-scan"
    for words in (
        ("moments", url, "--out", moments, "--part", "LB"),
        ("overlaps", url, "--out", f"{url}-o"),
        ("fit", moments, "--out", model, "--method", "exact"),
        ("check", model, url, "--part", "LB", "--out", f"{url}-check"),
        ("references", model, url, "--part", "LB", "--count", "2", "--out", f"{url}-references"),
        ("scan", model, "--references", url, "--count", "2", "--out", scan, "--fields", "-1:1:0.5"),
        ("tap", model, "--out", f"{url}-tap", "--starts", "10"),
        ("fit", url, "--out", model, "--method", "bp", "--part", "LB,RB"),
    ):
        code, _, err = lsg(*words, "--json")
        assert code == 0, (words, err)
    assert lsg_ray.load_model(f"{url}-fit-RB.zarr").n_spins == 30
    assert open_result(scan).attrs["statistic"]
    code, _, err = lsg("moments", url, "--out", moments)
    assert code == 2
    assert "exists; name another path or pass --overwrite" in err
    assert lsg("moments", url, "--out", moments, "--overwrite")[0] == 0
    assert open_result(moments).sizes["weight"] == 42
    assert lsg("moments", url, "--out", url, "--overwrite")[0] == 2
    assert lsg("moments", url, "--out", f"{url}/within")[0] == 2
    assert content(url) == open_ensemble(url).info()["content_hash"]


@pytest.mark.parametrize(
    ("overwrite", "puts", "stands"),
    [(False, 1, None), (False, 4, None), (True, 1, 5), (True, 4, 5), (True, 6, None)],
)
def test_an_upload_that_breaks_off_is_repeated(server, url, overwrite, puts, stands):
    """Five requests write the result; four before them a copy, where another one stands."""
    old, new = (
        xarray.Dataset({"m": ("weight", np.arange(n, dtype=float))}, attrs={"statistic": "moments"})
        for n in (5, 3)
    )
    written = []

    def refuse(method, _path, _number):
        written.extend([method] * (method == "PUT"))
        return (403, "") if method == "PUT" and len(written) > puts else None

    with Proxy(server) as proxy, using(proxy.url):
        if overwrite:
            save_result(old, url)
        proxy.rule = refuse
        with pytest.raises(StoreError, match="access denied"):
            save_result(new, url, overwrite=overwrite)
        proxy.rule = lambda *_: None
        if stands:
            assert open_result(url).sizes["weight"] == stands
        else:
            with pytest.raises(InputError, match="its upload was interrupted"):
                open_result(url)
        save_result(new, url, overwrite=overwrite)
        assert open_result(url).sizes["weight"] == 3
        above = locate(url.rpartition("/")[0])
        assert not [key for key in above.everything() if ".lsg" in key]


def test_a_killed_run_is_resumed(s3, url, local_run, tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(json.dumps(SPEC))
    driver = subprocess.Popen(
        [sys.executable, "-c", "from lsg_ray.cli import main; main()", "sample", str(file),
         "--out", url, "--workers", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 100
    while len([key for key in locate(url).keys("ledger") if "000" in key]) < 2:
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, "no blocks were written"
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    before = open_ensemble(url)
    assert 2 <= len(before.blocks) < 10
    assert verify(url).sound
    result = sample(parse_spec(SPEC), url, workers=0)
    assert result.resumed == before.n_complete
    assert verify(url).findings == ()
    assert content(url) == local_run.info()["content_hash"]


def test_networks_of_real_weights_are_sampled_and_grown(s3, url, tmp_path):
    spec = parse_spec(RELU)
    sample(spec.replace(ensemble={"count": 3}), url, workers=0)
    assert sample(spec, url, workers=0).resumed == 2  # a short last block is sampled again
    sample(spec, tmp_path / "r.zarr", workers=0)
    assert verify(url).findings == ()
    assert content(url) == content(tmp_path / "r.zarr")
    np.testing.assert_array_equal(
        open_ensemble(url).numpy(), open_ensemble(tmp_path / "r.zarr").numpy()
    )


def test_damage_is_found_repaired_and_refilled(s3, url, no_writer_lives):
    spec = make_spec()
    fill(url, spec)
    before = content(url)
    place = locate(url)
    flipped = bytearray(place.read("weights/c.1.0"))
    flipped[3] ^= 16
    place.write("weights/c.1.0", flipped)
    place.delete("loss/c.2")
    place.write("ledger/00000003.json", b"{")
    place.write("loss/zarr.json", b"{}")
    place.write("accuracy/c.7", b"left over")
    place.write("thesis.tex", b"mine")
    with pytest.raises(StoreError, match=r"'weights', block 1: .* CRC32C"):
        open_ensemble(url).numpy()
    found = {finding.kind for finding in verify(url).findings}
    assert found == {
        *("flipped bits", "missing chunk", "record", "metadata", "left-over data", "foreign file")
    }
    report = verify(url, repair=True)
    assert [finding.kind for finding in report.findings if not finding.repaired] == ["foreign file"]
    assert (report.healthy, report.missing) == (1, 3)
    assert fill(url, spec).missing.tolist() == [1, 2, 3]
    assert content(url) == before
    assert [finding.kind for finding in verify(url).findings] == ["foreign file"]


def test_zarr_opens_the_same_store(s3, url):
    from obstore.store import S3Store

    fill(url, make_spec(count=37, block_size=16))
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    theirs = S3Store(BUCKET, prefix=prefix, client_options={"allow_http": True})
    for store in (zarr.storage.ObjectStore(theirs, read_only=True), zarr_store(url)):
        group = zarr.open_group(store, mode="r")
        expected = open_ensemble(url)
        np.testing.assert_array_equal(group["accuracy"][:], expected.column("accuracy"))
        packed = np.concatenate([expected.packed_block(block) for block in expected.blocks])
        np.testing.assert_array_equal(group["weights"][:], packed)


def test_another_run_and_other_objects_are_left_alone(s3, url):
    fill(url, make_spec(), blocks=[0])
    with pytest.raises(StoreInputError, match="holds another run"):
        create_ensemble(url, make_spec(seed=5), dataset_hash=DATASET_HASH)
    place = locate(url + "-other")
    place.write("thesis.tex", b"mine")
    with pytest.raises(StoreInputError, match=r"it holds thesis\.tex"):
        create_ensemble(place.url, make_spec(), dataset_hash=DATASET_HASH)
    assert place.everything() == {"thesis.tex": 4}
    with pytest.raises(StoreInputError, match="nothing there"):
        open_ensemble(url + "-nothing")
