"""Ensembles on a real S3 server process: the same bytes as on a local disk, whatever goes wrong.

The server is moto's, on loopback.  It shows that requests, conditions and errors are understood;
it says nothing about the speed, the throttling or the consistency of a real service.
"""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

import lsg_ray
from lsg_ray.cli import main
from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble import remote
from lsg_ray.ensemble.local import UnreadableError
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.query import query
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.errors import InputError, LsgError, StoreError, StoreInputError
from lsg_ray.results.opening import open_result
from lsg_ray.results.saving import save_result
from lsg_ray.spec import parse_spec

from .s3 import (
    ACCESS_KEY,
    SECRET,
    SECRETS,
    SLOW_DOWN,
    TOKEN,
    Proxy,
    at_random,
    environment,
    everything,
    free_port,
    make_bucket,
    moto_server,
    using,
)
from .synthetic import DATASET_HASH, fill, make_block, make_spec, zarr_store

SPEC = {
    "name": "small",
    "dataset": {"name": "digits"},
    "training": {"epochs": 10, "batch_size": 50},
    "ensemble": {"count": 60, "threshold": 0.4, "draws": 5, "block_size": 6},
}
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
BUCKET = "bucket"


@pytest.fixture(scope="module")
def server():
    with moto_server() as endpoint:
        make_bucket(endpoint, BUCKET)
        yield endpoint


@pytest.fixture
def s3(server):
    """The server, with credentials for it in the environment."""
    with using(server):
        yield server


@pytest.fixture
def url(request):
    """A place of its own for each test."""
    name = "".join(mark if mark.isalnum() else "-" for mark in request.node.name)
    return f"s3://{BUCKET}/tests/{name}/e ü.zarr"


@pytest.fixture
def hasty(monkeypatch):
    """Limits of seconds instead of minutes."""
    config = remote.RemoteConfig(
        retry_seconds=1.5, first_retry_seconds=1.0, stall_seconds=0.5, first_pause_seconds=0.02
    )
    monkeypatch.setattr(remote, "CONFIG", config)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Content of the small run on a local disk."""
    store = tmp_path_factory.mktemp("undisturbed") / "s.zarr"
    sample(parse_spec(SPEC), store, workers=0)
    return open_ensemble(store)


def content(url):
    return open_ensemble(url).info()["content_hash"]


@pytest.fixture
def lsg(capsys):
    """Run a command in this process; return its exit code, output and messages."""

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stop.value.code, out, err

    return run


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


def test_a_run_is_sampled_verified_queried_and_measured(s3, url, undisturbed, tmp_path):
    result = sample(parse_spec(SPEC), url, workers=0)
    assert (result.url, result.rows, result.resumed) == (url, 60, 0)
    report = verify(url)
    assert report.findings == ()
    assert report.content_hash == undisturbed.info()["content_hash"]
    ensemble = open_ensemble(url)
    info = ensemble.info()
    assert (info["url"], info["rows"], info["complete"]) == (url, 60, True)
    condition = f"accuracy > {np.median(undisturbed.column('accuracy'))}"
    found, expected = (query(one, condition, sort="-loss") for one in (ensemble, undisturbed))
    assert len(found["loss"]) > 5
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    np.testing.assert_array_equal(ensemble.numpy(), undisturbed.numpy())
    measured, known = lsg_ray.moments(ensemble), lsg_ray.moments(undisturbed)
    for name in ("m", "C", "connected"):
        np.testing.assert_array_equal(measured[name], known[name])
    # What a block is on the server is what it is on the disk; records tell the time they took.
    disk = Path(undisturbed.url)
    stored = everything(s3, BUCKET)
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    for file in (path for path in disk.rglob("*") if path.is_file()):
        key = file.relative_to(disk).as_posix()
        data = stored.pop(f"{prefix}/{key}")
        assert key.startswith("ledger/0") or data == file.read_bytes(), key
    assert not [key for key in stored if key.startswith(prefix)]


def test_canonical_stores_go_anywhere(s3, url, undisturbed, tmp_path):
    sample(parse_spec(SPEC), url, workers=0)
    lsg_ray.canonicalize(open_ensemble(url), url + "-canonical")
    assert verify(url + "-canonical").findings == ()
    lsg_ray.canonicalize(undisturbed, tmp_path / "c")
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


def test_a_killed_run_is_resumed(s3, url, undisturbed, tmp_path):
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
    assert content(url) == undisturbed.info()["content_hash"]


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


# Secrets


def test_ray_tasks_use_their_own_credentials_and_no_secret_is_written(
    server, url, undisturbed, monkeypatch, capfd
):
    """Search all that a run leaves: Ray's session and logs, task arguments, store and output."""
    import ray

    with using(server), tempfile.TemporaryDirectory(prefix="lsg-s3-", dir="/tmp") as folder:
        assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRET
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, _temp_dir=folder,
            object_store_memory=100 * 2**20, logging_level="error", log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )  # fmt: skip
        try:
            given = _watch(ray, monkeypatch)
            result = sample(parse_spec(SPEC), url, workers=2, style="auto")
            assert (result.rows, result.resumed) == (60, 0)
            time.sleep(0.5)
            searched = [file for file in Path(folder).rglob("*") if file.is_file()]
            assert len(searched) > 5
            assert not [file for file in searched if _tells(file.read_bytes())]
        finally:
            ray.shutdown()
        assert len(given) >= 12, "tasks and shared objects were to be seen"
        assert not [one for one in given if _tells(one)]
        assert content(url) == undisturbed.info()["content_hash"]
        for thing in (locate(url), open_ensemble(url), open_ensemble(url).to_dask()):
            assert not _tells(pickle.dumps(thing) + repr(thing).encode())
    assert not [key for key, data in everything(server, BUCKET).items() if _tells(data)]
    assert not _tells("".join(capfd.readouterr()).encode())


def _tells(data: bytes) -> bool:
    """Whether a secret is in it."""
    return any(secret.encode() in data for secret in SECRETS)


def _watch(ray, monkeypatch):
    """Collect what is submitted with every task and put into the object store, as bytes."""
    from ray import cloudpickle
    from ray.remote_function import RemoteFunction

    given = []
    submit, put = RemoteFunction._remote, ray.put

    def watched_submit(self, args=None, kwargs=None, **options):
        given.append(cloudpickle.dumps((self._function, repr((args, kwargs, options)))))
        return submit(self, args, kwargs, **options)

    def watched_put(value, *args, **options):
        given.append(cloudpickle.dumps(value))
        return put(value, *args, **options)

    monkeypatch.setattr(RemoteFunction, "_remote", watched_submit)
    monkeypatch.setattr(ray, "put", watched_put)
    return given


# Faults

_FAULTS = ["reset", "lost", "lost-503", "truncated", (500, "oops"), (503, SLOW_DOWN)]


def test_a_faulty_network_changes_nothing(server, url, undisturbed, hasty, monkeypatch):
    """One request in eight fails, in one of seven ways."""
    monkeypatch.setattr(remote, "CONFIG", replace(remote.CONFIG, retry_seconds=60.0))
    with Proxy(server, at_random(0.12, [*_FAULTS, "slow"]), slow=0.8) as proxy, using(proxy.url):
        sample(parse_spec(SPEC), url, workers=0)
        assert verify(url).findings == ()
        assert content(url) == undisturbed.info()["content_hash"]
        kinds = {str(action) for action in proxy.done} - {"None"}
    assert len(kinds) == 7, f"faults tried: {kinds}"


@pytest.mark.parametrize("fault", ["lost", "lost-503", "slow", "reset", (503, SLOW_DOWN)])
def test_a_record_whose_answer_was_lost_is_known_again(server, url, hasty, fault):
    """The server has it, the client was not told: the second try must not call it another's."""
    spec = make_spec()
    with using(server):
        create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    hit = []

    def first_record(method, path, _):
        if method == "PUT" and "ledger/0000" in path and not hit:
            hit.append(path)
            return fault
        return None

    with Proxy(server, first_record, slow=0.8) as proxy, using(proxy.url):
        assert write_block(url, 1, make_block(spec, 1)) == "written"
        assert proxy.count("PUT", "ledger/0000") >= 2
        assert verify(url).findings == ()
    with using(server):
        assert locate(url).create("ledger/00000001.json", b"another's") is False


def test_a_listing_goes_on_where_it_broke(server, url, hasty, monkeypatch):
    monkeypatch.setattr("lsg_ray.ensemble.location.LIST_PAGE", 1000)
    with using(server):
        for number in range(30):
            locate(url).write(f"k/{number:02}", b"x")
    with Proxy(server, lambda _, __, n: "truncated" if n == 0 else None) as proxy, using(proxy.url):
        assert list(locate(url).keys()) == [f"k/{number:02}" for number in range(30)]


@pytest.mark.parametrize(
    ("rule", "words", "remedy"),
    [
        ((500, "oops"), "HTTP 500 (tried", "run the same command again later"),
        ((503, SLOW_DOWN), "HTTP 503 SlowDown (tried", "later"),
        ("slow", "no answer within 0.5 s (tried", "look at the network"),
        ("reset", "the connection broke", "look at the network"),
    ],
)
def test_a_server_that_keeps_failing_is_a_clear_error_in_time(
    server, url, hasty, rule, words, remedy
):
    with Proxy(server, lambda *_: rule, slow=0.7) as proxy, using(proxy.url):
        for what, act in (
            ("zarr.json cannot be read", lambda: open_ensemble(url)),
            ("zarr.json cannot be read", lambda: verify(url)),
            ("a cannot be written", lambda: locate(url).write("a", b"x")),
            ("a cannot be written", lambda: locate(url).create("a", b"x")),
            ("cannot be listed", lambda: list(locate(url).keys())),
            ("a cannot be deleted", lambda: locate(url).delete("a")),
        )[:: 5 if rule != (500, "oops") else 1]:
            began = time.monotonic()
            with pytest.raises(StoreError) as caught:
                act()
            seconds = time.monotonic() - began
            message = str(caught.value)
            assert message.startswith(f"{url}: {what}: {words}"), message
            assert remedy in message
            assert "\n" not in message
            limit = remote.CONFIG.retry_seconds + remote.CONFIG.stall_seconds + 3
            assert seconds < limit, f"{seconds:.1f} s"


def _refusal(code):
    """What a server says, with more in it than may be shown."""
    return (
        f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>{SECRET} {TOKEN}</Message>'
        f"<AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>"
    )


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", "access denied; the credentials need s3:GetObject, s3:PutObject"),
        (403, "InvalidAccessKeyId", "the credentials are not accepted; check AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "the credentials are not accepted; check AWS_ACCESS_KEY_ID"),
        (400, "ExpiredToken", r"the credentials have expired; renew them \(AWS_SESSION_TOKEN\)"),
        (403, "RequestTimeTooSkewed", "this machine's clock is wrong; set the clock"),
        (301, "PermanentRedirect", "'bucket' is in another region; set AWS_REGION"),
        (404, "NoSuchBucket", "there is no bucket 'bucket'; create it"),
        (418, "Teapot", "HTTP 418 Teapot"),
    ],
)
def test_refusals_are_explained_at_once_and_show_no_secret(server, url, status, code, words):
    began = time.monotonic()
    with Proxy(server, lambda *_: (status, _refusal(code))) as proxy, using(proxy.url):
        for act in (
            lambda: open_ensemble(url),
            lambda: create_ensemble(url, make_spec(), dataset_hash=DATASET_HASH),
            lambda: locate(url).create("a", b"x"),
            lambda: list(locate(url).keys()),
        ):
            with pytest.raises(StoreError, match=words) as caught:
                act()
            shown = f"{caught.value!r} {caught.value} {caught.value.args}"
            assert not [secret for secret in SECRETS if secret in shown]
            assert isinstance(pickle.loads(pickle.dumps(caught.value)), StoreError)
        assert len(proxy.seen) == 4, "a refusal is not asked for again"
    assert time.monotonic() - began < 3


def test_a_missing_bucket_is_named(s3):
    with pytest.raises(StoreInputError, match="there is no bucket 'nobuckethere'; create it"):
        open_ensemble("s3://nobuckethere/x")
    with pytest.raises(StoreInputError, match="there is no bucket 'nobuckethere'"):
        create_ensemble("s3://nobuckethere/x", make_spec(), dataset_hash=DATASET_HASH)


def test_an_endpoint_where_nobody_listens_is_an_early_error(hasty):
    began = time.monotonic()
    with (
        using(f"http://127.0.0.1:{free_port()}"),
        pytest.raises(StoreError, match=r"the connection is refused.*check the endpoint"),
    ):
        open_ensemble("s3://bucket/x")
    assert time.monotonic() - began < 5


def test_a_server_that_ignores_conditions_is_refused(server, url):
    with (
        Proxy(server, lambda *_: "unconditional") as proxy,
        using(proxy.url),
        pytest.raises(StoreInputError, match=r"ignores conditional writes \(If-None-Match\)"),
    ):
        create_ensemble(url, make_spec(), dataset_hash=DATASET_HASH)
    with using(server):
        assert locate(url).everything() == {}


# Credentials and endpoints


@pytest.mark.parametrize("metadata", ["disabled", "refused", "silent"])
def test_without_credentials_it_fails_fast(server, url, metadata, monkeypatch):
    """Off the cloud no machine hands out a role; clients would ask for minutes."""
    monkeypatch.setattr(remote, "CONFIG", replace(remote.CONFIG, metadata_seconds=0.3))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1] if metadata == "silent" else free_port()
        given = {"AWS_METADATA_ENDPOINT": f"http://127.0.0.1:{port}"}
        if metadata == "disabled":
            given = {"AWS_EC2_METADATA_DISABLED": "true"}
        began = time.monotonic()
        with (
            using(None, AWS_ENDPOINT_URL_S3=server, **given),
            pytest.raises(
                StoreError, match=r"no credentials.*set AWS_ACCESS_KEY_ID and AWS_SECRET"
            ),
        ):
            open_ensemble(url)
        assert time.monotonic() - began < 2


def test_a_role_that_is_refused_is_no_credentials(server, url):
    with (
        Proxy(server, lambda *_: (403, "no role here")) as machine,
        using(None, AWS_ENDPOINT_URL_S3=server, AWS_METADATA_ENDPOINT=machine.url),
        pytest.raises(StoreError, match=r"no credentials.*set AWS_ACCESS_KEY_ID"),
    ):
        open_ensemble(url)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": ACCESS_KEY}, "only one of AWS_ACCESS_KEY_ID and"),
        ({"AWS_ENDPOINT_URL": f"http://k:{SECRET}@localhost:1"}, "AWS_ENDPOINT_URL is not of the"),
        ({"AWS_ENDPOINT_URL_S3": "localhost:9000"}, "AWS_ENDPOINT_URL_S3 is not of the form https"),
        ({"AWS_ENDPOINT_URL": f"https://:{SECRET}@host"}, "AWS_ENDPOINT_URL is not of the form"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1.invalid:1"}, "is plain http.*AWS_ALLOW_HTTP=true"),
        ({"AWS_ENDPOINT_URL_S3": "http://[::1"}, "AWS_ENDPOINT_URL_S3 is not of the form https"),
        (
            {"AWS_ENDPOINT_URL_S3": "http://minio.invalid:9000"},
            "is plain http.*AWS_ALLOW_HTTP=true",
        ),
    ],
)
def test_wrong_settings_are_named_and_not_shown(given, words):
    with using(None, **given), pytest.raises(StoreError, match=words) as caught:
        open_ensemble("s3://bucket/x")
    assert not [secret for secret in SECRETS if secret in str(caught.value)]


def test_every_command_line_error_is_one_clean_line(server, tmp_path, lsg):
    """Exit code, no traceback, no secret."""
    file = tmp_path / "spec.yaml"
    file.write_text(json.dumps(SPEC))
    with Proxy(server, lambda *_: (403, _refusal("AccessDenied"))) as proxy, using(proxy.url):
        for words in (["info"], ["verify"], ["sample", file, "--workers", "0", "--out"]):
            code, out, err = lsg(*words, "s3://bucket/x", "--json")
            assert code == 1
            assert "access denied" in err
            assert "access denied" in json.loads(out)["error"]
            assert not [secret for secret in SECRETS if secret in err + out]


def test_a_store_object_of_zarr_carries_no_secret(s3, url):
    fill(url, make_spec(), blocks=[0])
    assert not _tells(pickle.dumps(zarr_store(url)))
    assert set(environment(s3)) >= {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}


def test_errors_of_stores_are_errors_of_ours():
    assert issubclass(remote.StoreAccessError, LsgError)
    assert remote.StoreAccessError.exit_code == 1
