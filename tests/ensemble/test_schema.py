"""Bits, chunks and content hashes: pure functions, over random sizes."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.ensemble.chunks import ChunkError, chunk_bytes, decode_chunk, encode_chunk
from lsg_ray.ensemble.content import EMPTY, combine, content_hash
from lsg_ray.ensemble.schema import arrays_of, pack, padding_is_zero, unpack

from .synthetic import make_real_spec, make_spec, real_rows, rows


def signs(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), size=shape)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 70), st.data())
def test_packed_signs_come_back(seed, n_rows, n_weights, data):
    weights = signs(seed, (n_rows, n_weights))
    for given_weights in (weights, np.asfortranarray(weights)):
        packed = pack(given_weights)
        assert packed.shape == (n_rows, -(-n_weights // 8))
        assert packed.flags.c_contiguous
        assert padding_is_zero(packed, n_weights)
    start = data.draw(st.integers(0, n_weights - 1))
    stop = data.draw(st.integers(start + 1, n_weights))
    part = unpack(packed, start, stop)
    assert part.dtype == np.int8
    np.testing.assert_array_equal(part, weights[:, start:stop])


def test_bit_i_of_byte_j_is_weight_8j_plus_i():
    weights = -np.ones((1, 20), np.int8)
    weights[0, 11] = 1
    assert pack(weights).tolist() == [[0, 1 << 3, 0]]


def test_padding_bits_are_noticed():
    assert not padding_is_zero(np.array([[0b1000]], np.uint8), 3)
    assert padding_is_zero(np.array([[0b11111111]], np.uint8), 8)


@given(
    st.integers(1, 12), st.integers(1, 12), st.sampled_from(["weights", "loss", "trial", "fields"])
)
def test_chunks_come_back_and_damage_is_noticed(n_rows, extra, name):
    spec = make_spec(widths=(10, 1, 1), store_fields=True)
    layout = next(layout for layout in arrays_of(spec) if layout.name == name)
    values = rows(n_rows, 11)[name]
    values = pack(values) if name == "weights" else values
    check_chunk(layout, values, extra)


@given(
    st.integers(1, 12), st.integers(1, 12), st.booleans(),
    st.sampled_from(["weights_0", "weights_1", "train_loss", "epochs", "curve_test_loss"]),
)  # fmt: skip
def test_chunks_of_real_weights_come_back(n_rows, extra, biases, name):
    spec = make_real_spec(count=n_rows, biases=biases)
    layout = next(layout for layout in arrays_of(spec) if layout.name == name)
    check_chunk(layout, real_rows(spec)[name], extra)


def check_chunk(layout, values, extra):
    n_rows = len(values)
    block_size = n_rows + extra
    data = encode_chunk(layout, block_size, values)
    assert len(data) == chunk_bytes(layout, block_size)
    back = decode_chunk(layout, block_size, n_rows, data)
    np.testing.assert_array_equal(back, values)
    assert back.dtype == np.dtype(layout.dtype)
    for place in (0, len(data) // 2, len(data) - 1):
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        with pytest.raises(ChunkError) as caught:
            decode_chunk(layout, block_size, n_rows, flipped)
        assert caught.value.kind == "flipped bits"
    for cut in (b"", data[:3], data[:-1], data + b"x"):
        with pytest.raises(ChunkError) as caught:
            decode_chunk(layout, block_size, n_rows, cut)
        assert caught.value.kind == "truncated chunk"


@settings(max_examples=30)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 8), st.booleans(), st.randoms())
def test_content_does_not_depend_on_blocks_or_order(count, first, second, fields, random):
    spec = make_spec(count=count, store_fields=fields)
    layouts = arrays_of(spec)
    stored = dict(rows(count, spec.network.n_weights))
    stored["weights"] = pack(stored["weights"])
    totals = []
    for size in (first, second):
        pieces = [
            content_hash(start, layouts, {k: v[start : start + size] for k, v in stored.items()})
            for start in range(0, count, size)
        ]
        random.shuffle(pieces)
        totals.append(combine(pieces))
    assert totals[0] == totals[1]
    # The definition, in plain Python.
    digests = [
        hashlib.sha256(
            i.to_bytes(8, "little")
            + b"".join(stored[one.name][i].astype(one.dtype).tobytes() for one in layouts)
        ).digest()
        for i in range(count)
    ]
    total = sum(int.from_bytes(digest, "little") for digest in digests) % 2**256
    assert totals[0] == f"{total:064x}"


def test_content_depends_on_every_array_and_on_the_position():
    layouts = arrays_of(make_spec(store_fields=True))
    stored = {name: np.array(values) for name, values in rows(4, 31).items()}
    stored["weights"] = pack(stored["weights"])
    seen = {content_hash(0, layouts, stored), content_hash(1, layouts, stored)}
    for layout in layouts:
        changed = {name: values.copy() for name, values in stored.items()}
        changed[layout.name][2] = changed[layout.name][2] + 1
        seen.add(content_hash(0, layouts, changed))
    assert len(seen) == 2 + len(layouts)
    assert combine([]) == EMPTY
