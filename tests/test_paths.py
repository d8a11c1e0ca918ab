"""Names of places: home folders, and what is refused of them."""

import os

import pytest

from lsg_ray.errors import InputError
from lsg_ray.paths import expanded


def test_home__is_put_in_its_place(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert expanded("~/runs@home/x") == "/home/someone/runs@home/x"
    assert expanded("a/~/x") == "a/~/x"
    assert expanded("s3://bucket/~x") == "s3://bucket/~x"


@pytest.mark.parametrize("text", ["~\0", "~\ud800", "~a\nb/x", "~key:secret@s3://x", "~x@y"])
def test_names_that_nobody_has__are_refused_and_not_repeated(text):
    with pytest.raises(InputError, match="control characters, or an '@'"):
        expanded(text)


def test_secrets__are_not_repeated():
    name = f"~nobody-{os.getpid()}"
    with pytest.raises(InputError, match="no home folder of") as error:
        expanded(f"{name}/key:secret@host")
    assert "secret" not in str(error.value)
