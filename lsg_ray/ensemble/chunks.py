"""One block of one array: rows to bytes and back, with the checksum that zarr's codec writes.

A chunk is ``block_size`` rows, little-endian and C-ordered, then their CRC32C: what zarr writes and
reads for codecs ``bytes`` and ``crc32c``.  Doing it here instead of through `zarr.Array` is on
purpose: zarr reads a missing chunk as fill values without an error, and takes five times as long
for the few small chunks of a block.  Rows past the end of a short last block hold fill values.
"""

from __future__ import annotations

import time

import google_crc32c
import numpy as np

from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.local import UnreadableError
from lsg_ray.ensemble.location import Location
from lsg_ray.ensemble.schema import LEDGER, ArrayLayout
from lsg_ray.errors import StoreError
from lsg_ray.typing import Array, Data

CHECKSUM_BYTES = 4
#: Seconds after which a chunk that looks damaged is read again, before it is reported.
REREAD_SECONDS = 0.05


class ChunkError(ValueError):
    """A chunk is not what was written; `kind` is ``truncated chunk`` or ``flipped bits``."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)

    def __reduce__(self) -> tuple[type[ChunkError], tuple[str, str]]:
        return (type(self), (self.kind, str(self)))


def chunk_bytes(array: ArrayLayout, block_size: int) -> int:
    """Return the size of a stored chunk in bytes."""
    return block_size * array.row_bytes + CHECKSUM_BYTES


def encode_chunk(array: ArrayLayout, block_size: int, values: Array) -> bytes:
    """Return the stored bytes of a block.

    Parameters
    ----------
    array
        Layout of the array.
    block_size
        Rows of a whole chunk.
    values
        (rows, …) with at most `block_size` rows, of the array's type.
    """
    chunk = np.full((block_size, *array.row), array.fill, dtype=array.dtype)
    chunk[: len(values)] = values
    body = chunk.tobytes()
    return body + google_crc32c.value(body).to_bytes(CHECKSUM_BYTES, "little")


def decode_chunk(array: ArrayLayout, block_size: int, rows: int, data: Data) -> Array:
    """Return the first `rows` rows of a stored chunk: read-only, no copy.

    Raises
    ------
    ChunkError
        The length or the checksum is wrong.
    """
    raw = np.frombuffer(memoryview(data), dtype=np.uint8) if len(data) else np.empty(0, np.uint8)
    expected = chunk_bytes(array, block_size)
    if len(raw) != expected:
        raise ChunkError("truncated chunk", f"holds {len(raw):,} bytes, must hold {expected:,}")
    body, checksum = raw[:-CHECKSUM_BYTES], raw[-CHECKSUM_BYTES:]
    if google_crc32c.value(body) != int.from_bytes(checksum.tobytes(), "little"):
        raise ChunkError("flipped bits", "fails its CRC32C checksum")
    return body.view(array.dtype).reshape(block_size, *array.row)[:rows]


def read_chunk(
    location: Location, array: ArrayLayout, block: int, *, block_size: int, rows: int
) -> Array:
    """Read one block of one array.

    Returns
    -------
    (rows, …) of the array's type, read-only.

    Raises
    ------
    StoreError
        The chunk is missing or damaged; names array and block.
    """
    key = array.chunk_key(block)
    for pause in (REREAD_SECONDS, None):
        try:
            data = location.read(key, limit=chunk_bytes(array, block_size))
            return decode_chunk(array, block_size, rows, data)
        except FileNotFoundError:
            fault = "is missing"
        except UnreadableError as error:
            fault = error.reason
        except ChunkError as error:
            fault = str(error)
        if pause is not None:  # a writer or a repair may be just there
            time.sleep(pause)
    refill = read_header(location).refill
    if location.age(f"{LEDGER}/{block:08d}.json") is None:
        raise StoreError(
            f"{location.url}: block {block} is not complete any more: it was dropped since the "
            f"ensemble was opened; let the run finish, or {refill} to refill the block, and open "
            "the ensemble again"
        )
    raise StoreError(
        f"{location.url}: array {array.name!r}, block {block}: chunk {key} {fault}; "
        f"run `lsg verify --repair` on the store, then {refill} to refill the block"
    )
