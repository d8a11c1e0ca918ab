"""Credentials and endpoints of S3, and that no secret is written anywhere."""

import json
import os
import pickle
import socket
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble import remote
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import LsgError, StoreError
from lsg_ray.spec import parse_spec

from .s3 import (
    ACCESS_KEY,
    BUCKET,
    SECRET,
    SECRETS,
    SPEC,
    Proxy,
    content,
    environment,
    everything,
    free_port,
    refusal,
    using,
)
from .synthetic import fill, make_spec, zarr_store


def test_ray_tasks_use_their_own_credentials_and_no_secret_is_written(
    server, url, local_run, monkeypatch, capfd
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
        assert content(url) == local_run.info()["content_hash"]
        for thing in (locate(url), open_ensemble(url), open_ensemble(url).to_dask()):
            assert not _tells(pickle.dumps(thing) + repr(thing).encode())
    assert not [key for key, data in everything(server, BUCKET).items() if _tells(data)]
    assert not _tells("".join(capfd.readouterr()).encode())


def _tells(data: bytes) -> bool:
    """Whether a secret is in it."""
    return any(secret.encode() in data for secret in SECRETS)


def _watch(ray, monkeypatch):
    """Collect what actors are made from, told, and what is put into the object store, as bytes."""
    from ray import cloudpickle
    from ray.actor import ActorClass, ActorMethod

    given = []
    make, call, put = ActorClass._remote, ActorMethod._remote, ray.put

    def watched_make(self, args=None, kwargs=None, **options):
        of = self.__ray_metadata__.modified_class
        given.append(cloudpickle.dumps((of, repr((args, kwargs, options)))))
        return make(self, args, kwargs, **options)

    def watched_call(self, args=None, kwargs=None, **options):
        given.append(cloudpickle.dumps(repr((args, kwargs, options))))
        return call(self, args, kwargs, **options)

    def watched_put(value, *args, **options):
        given.append(cloudpickle.dumps(value))
        return put(value, *args, **options)

    monkeypatch.setattr(ActorClass, "_remote", watched_make)
    monkeypatch.setattr(ActorMethod, "_remote", watched_call)
    monkeypatch.setattr(ray, "put", watched_put)
    return given


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
    with Proxy(server, lambda *_: (403, refusal("AccessDenied"))) as proxy, using(proxy.url):
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
