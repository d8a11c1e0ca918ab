"""The few operations that every place must have."""

import pickle

import pytest

from lsg_ray.ensemble.location import locate
from lsg_ray.errors import StoreError

from .synthetic import memory_url


@pytest.fixture(params=["memory", "local"])
def location(request, tmp_path):
    return locate(memory_url() if request.param == "memory" else tmp_path / "odd näme #1%20")


def test_objects_are_written_listed_and_deleted(location):
    assert list(location.keys()) == []
    assert location.everything() == {}
    with pytest.raises(FileNotFoundError):
        location.read("a/b")
    location.write("a/b", b"123")
    assert bytes(location.read("a/b")) == b"123"
    assert location.create("a/b", b"456") is False
    assert location.create("a/c", b"4567") is True
    location.write("a/b", b"xy")
    assert sorted(location.keys("a")) == ["a/b", "a/c"]
    assert location.everything() == {"a/b": 2, "a/c": 4}
    location.delete("a/b")
    location.delete("a/b")
    assert location.everything() == {"a/c": 4}


def test_many_requests_keep_their_order(location, monkeypatch):
    assert list(location.map(lambda x: -x, range(100))) == [-x for x in range(100)]
    monkeypatch.setattr(type(location), "is_remote", True)
    assert list(location.map(lambda x: -x, range(100))) == [-x for x in range(100)]


def test_a_location_travels_as_its_url(location):
    assert pickle.loads(pickle.dumps(location)) is location


def test_staged_files_are_seen_and_deleted(tmp_path):
    location = locate(tmp_path)
    (tmp_path / "c.0#1").write_bytes(b"half")
    assert list(location.keys()) == []
    assert location.everything() == {"c.0#1": 4}
    location.delete("c.0#1")
    assert location.everything() == {}


def test_a_place_that_fails_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"file/store: a/b cannot be written"):
        locate(tmp_path / "file" / "store").write("a/b", b"1")
