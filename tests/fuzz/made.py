"""Settings, bounds and strategies of tests that throw anything at what reads from outside.

It answers or raises an error of ours: nothing else, in bounded time and memory.

Examples are the same on every run.  ``LSG_FUZZ=1`` tries forty times as many.
"""

import json
import os
import time
import tracemalloc

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from lsg_ray.errors import LsgError

MANY = bool(os.environ.get("LSG_FUZZ"))
#: Of one input.
SECONDS, MIB = 5.0, 64


def fuzz(examples: int):
    """Settings of a property that is tried on so many inputs."""
    return settings(
        max_examples=examples * 20 if MANY else examples // 2,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class bounded:  # noqa: N801
    """Fail if what is inside takes long, or (looked at now and then: it is slow) much memory."""

    entered = 0

    def __enter__(self):
        bounded.entered += 1
        self.traced = bounded.entered % 20 == 0
        if self.traced:
            tracemalloc.start()
        self.began = time.monotonic()

    def __exit__(self, kind, error, traceback):
        if self.traced:
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
            assert peak < MIB, f"{peak:.0f} MiB"
        assert time.monotonic() - self.began < SECONDS


def clean(error: LsgError, printable: bool = True) -> str:
    """Check that an error can be shown: text that says something, in bounded length."""
    text = str(error)
    assert 5 < len(text) < 20_000
    assert not printable or all(mark.isprintable() or mark == "\n" for mark in text)
    return text


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.sampled_from([10**12, 2**31 - 1, 2**31, 2**63, 2**128, 10**400, -(10**30)]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["digits", "relu", "binary", "torch", "class", "parity", "ITR", "../../etc"]),
    st.binary(max_size=5),
    st.dates(),
)
TREES = st.recursive(
    ODD,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.one_of(st.text(max_size=8), ODD), inner)
    ),
    max_leaves=12,
)


@st.composite
def mutated(draw, data: bytes) -> bytes:
    """Bytes with some flipped, left out, doubled or put in."""
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(result)))
        kind = draw(st.integers(0, 5))
        if kind == 0 and position < len(result):
            result[position] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            del result[position : position + draw(st.integers(1, 30))]
        elif kind == 2:
            result[position:position] = result[position : position + draw(st.integers(1, 30))]
        elif kind == 3:
            result[position:position] = draw(st.binary(max_size=8))
        elif kind == 4 and position < len(result):
            result[position] = draw(st.sampled_from(b'0189-+.eE"[]{}:,ntf \\\x00\xff'))
        else:
            result[position:position] = draw(
                st.sampled_from([b"9" * 30, b"1e999", b"null", b"[" * 200, b"NaN", b"-1", b"{}"])
            )
    return bytes(result)


@st.composite
def changed(draw, tree):
    """A JSON tree with one value, somewhere, replaced by another."""
    if isinstance(tree, dict) and tree and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(tree)))
        return {**tree, key: draw(changed(tree[key]))}
    if isinstance(tree, list) and tree and draw(st.integers(0, 4)):
        position = draw(st.integers(0, len(tree) - 1))
        return [*tree[:position], draw(changed(tree[position])), *tree[position + 1 :]]
    return draw(TREES.filter(_is_json))


def _is_json(tree) -> bool:
    try:
        json.dumps(tree)
    except (TypeError, ValueError):
        return False
    return True


#: Obeyed by terminals, or by what reads lines; half a character; bidirectional marks; C1.
MARKS = st.text(
    st.sampled_from("a/$_\\\x1b\x07\x9b\x9d\n\r\t\x85\u2028\u202e\u2066\u200b\ud800\x00\x7f[];0m@"),
    max_size=20,
)
STRANGE = st.recursive(
    st.one_of(
        MARKS,
        st.integers(24, 5000).map(lambda n: 10**n),
        st.sampled_from([10**23, 10**24, -(10**400), True, None, 1e308]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(MARKS, inner, max_size=3)),
    max_leaves=6,
)
