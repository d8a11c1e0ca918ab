"""URLs have one spelling, or are refused."""

import pytest

from lsg_ray.ensemble.urls import canonical_url
from lsg_ray.errors import StoreInputError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/a/b/../c/", "/a/c"),
        ("file:///a/b%20c", "/a/b c"),
        ("memory://x/", "memory://x"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("gs://bucket", "gs://bucket"),
    ],
)
def test_urls_have_one_spelling(given, expected):
    assert canonical_url(given) == expected
    assert canonical_url(canonical_url(given)) == expected


def test_a_tilde_is_the_home_of_a_user_and_in_urls_a_name(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert canonical_url("~/a/") == "/home/me/a"
    assert canonical_url("~") == "/home/me"
    assert canonical_url("file:///~/a") == "/~/a"
    assert canonical_url("s3://bucket/~/a") == "s3://bucket/~/a"
    with pytest.raises(StoreInputError, match="no home folder of ~nobody-here is known here"):
        canonical_url("~nobody-here/a")


def test_relative_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert canonical_url("x.zarr") == str(tmp_path / "x.zarr")


@pytest.mark.parametrize(
    "url",
    [
        *("", "  ", "a\0b", "http://x/y", "memory://", "file://host/x", "file://rel"),
        *("s3://", "s3:///x", "s3://bucket/../other", "s3://bucket//x"),
        *("s3://key:secret@bucket/x", "gs://b/x?token=1"),
    ],
)
def test_urls_that_cannot_be_served_are_refused(url):
    with pytest.raises(StoreInputError) as caught:
        canonical_url(url)
    assert "secret" not in str(caught.value)
