"""Errors of foreign files: which file, why, and what to do."""

import re

import pytest

from lsg_ray.errors import InputError, StoreError
from lsg_ray.results.foreign import reading


def test_errors__name_the_file_once_and_the_remedy():
    for error, reason in (
        (KeyError("J"), "KeyError: 'J'"),
        (FileNotFoundError(2, "No such file"), "No such file"),
    ):
        text = re.escape(f"a.npz: not a model ({reason}); name another")
        with (
            pytest.raises(InputError, match=f"^{text}$"),
            reading("a.npz", "not a model", "name another"),
        ):
            raise error
    for text in ("a.npz: bad", "bad"):
        with pytest.raises(InputError, match=r"^a\.npz: bad$"), reading("a.npz", "", ""):
            raise InputError(text)
    with pytest.raises(InputError, match=r"^b: bad$"), reading("a.npz", "", "", "b"):
        raise InputError("b: bad")


@pytest.mark.parametrize("kind", [MemoryError, StoreError, KeyboardInterrupt])
def test_what_is_no_fault_of_the_file__stays(kind):
    with pytest.raises(kind), reading("a.npz", "", ""):
        raise kind("x")
