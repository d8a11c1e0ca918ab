"""An S3 server that fails: what is tried again, and what is a clear error in time."""

import pickle
import time
from dataclasses import replace

import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble import remote
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.errors import StoreError, StoreInputError
from lsg_ray.spec import parse_spec

from .s3 import SECRETS, SLOW_DOWN, SPEC, Proxy, at_random, content, free_port, refusal, using
from .synthetic import DATASET_HASH, make_block, make_spec

_FAULTS = ["reset", "lost", "lost-503", "truncated", (500, "oops"), (503, SLOW_DOWN)]


def test_a_faulty_network_changes_nothing(server, url, local_run, hasty, monkeypatch):
    """One request in eight fails, in one of seven ways."""
    monkeypatch.setattr(remote, "CONFIG", replace(remote.CONFIG, retry_seconds=60.0))
    with Proxy(server, at_random(0.12, [*_FAULTS, "slow"]), slow=0.8) as proxy, using(proxy.url):
        sample(parse_spec(SPEC), url, workers=0)
        assert verify(url).findings == ()
        assert content(url) == local_run.info()["content_hash"]
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
    with Proxy(server, lambda *_: (status, refusal(code))) as proxy, using(proxy.url):
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
