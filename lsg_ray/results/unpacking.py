"""What compressed data unpack to, read from their heads: nothing is unpacked for it.

A Zstandard chunk is one frame that states its size (RFC 8878, 3.1.1); its blocks are walked, so
that no second frame hides behind it.  Blosc's head states the size, and what it takes to unpack.  A
member of an ``.npz`` is stored or deflated, and is as long as its own head says.
"""

from __future__ import annotations

import math
import os
import zipfile
from typing import IO

import numpy as np

from lsg_ray.arrays import npy_header

#: Compressions of archives that are unpacked in blocks; others unpack their input whole.
PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
ZSTANDARD = b"\x28\xb5\x2f\xfd"


def held_bytes(status: os.stat_result) -> int:
    """Return how many bytes of a file are on disk: holes in it are not."""
    blocks = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else min(status.st_size, max(4096, 512 * blocks))


def unpacked_bytes(file: IO[bytes], length: int, codec: str, expected: int) -> int:
    """Return what the first `length` bytes of a chunk unpack to.

    Parameters
    ----------
    file
        Chunk, open at its start.
    length
        Number of compressed bytes; a checksum may follow.
    codec
        ``zstd`` or ``blosc``.
    expected
        Size that it should have; bounds the work.

    Raises
    ------
    ValueError
        The size is not stated, or the chunk holds something else.
    """
    return _blosc(file, length) if codec == "blosc" else _zstandard(file, length, expected)


def _blosc(file: IO[bytes], length: int) -> int:
    head = file.read(16)
    if len(head) < 16:
        raise ValueError("is cut short")
    size, block, packed = (int.from_bytes(head[at : at + 4], "little") for at in (4, 8, 12))
    if packed != length:
        raise ValueError(f"holds {length:,} bytes and says {packed:,}")
    if block > max(size, 16):  # what is allocated to unpack it
        raise ValueError(f"is cut into blocks of {block:,} bytes, and has {size:,}")
    return size


def _zstandard(file: IO[bytes], length: int, expected: int) -> int:
    head = file.read(18)
    if len(head) < 6 or head[:4] != ZSTANDARD:
        raise ValueError("is not Zstandard")
    descriptor = head[4]
    single, dictionary = bool(descriptor & 0x20), (0, 1, 2, 4)[descriptor & 3]
    width = (int(single), 2, 4, 8)[descriptor >> 6]
    if width == 0:
        raise ValueError("does not say how large it is")
    start = 5 + (not single) + dictionary
    position = start + width
    size = int.from_bytes(head[start:position], "little") + (256 if width == 2 else 0)
    last, blocks = False, 0
    while not last:
        file.seek(position)
        block = int.from_bytes(head := file.read(3), "little")
        blocks += 1
        last = bool(block & 1)
        position += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)  # a byte that is repeated
        if len(head) < 3 or position > length or blocks > 16 + expected // 64:
            raise ValueError("is no whole frame of Zstandard")
    if position + (4 if descriptor & 4 else 0) != length:
        raise ValueError("is not one frame of Zstandard")
    return size


def array_bytes(file: IO[bytes], length: int) -> int:
    """Return the bytes in memory of an ``.npy`` of a given length, each number as 8 bytes at least.

    Raises
    ------
    ValueError
        It is none, holds Python objects, or is shorter than it says.
    """
    shape, _, kind = npy_header(file)
    if kind.hasobject:
        raise ValueError("holds Python objects")
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != length - file.tell():
        raise ValueError("does not hold what its head says")
    return math.prod(shape) * max(8, kind.itemsize)


def member_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Return the bytes in memory of a member of an ``.npz``, from its head.

    Raises
    ------
    ValueError
        As `array_bytes`, or it is packed in another way.
    """
    if member.compress_type not in PACKINGS or member.flag_bits & 1:
        raise ValueError("is packed in a way that numpy.savez does not use")
    with archive.open(member) as file:
        return array_bytes(file, member.file_size)


def item_bytes(data_type: object) -> int:
    """Return the bytes of an element of a Zarr data type of fixed length.

    Raises
    ------
    ValueError, TypeError, KeyError
        It is none.
    """
    if isinstance(data_type, dict):  # such as fixed_length_utf32
        size = data_type["configuration"]["length_bytes"]
        if type(size) is not int or not 0 <= size < 2**31:
            raise ValueError(f"elements of {size!r} bytes")
        return size
    dtype = np.dtype(str(data_type))
    if dtype.hasobject:
        raise ValueError("Python objects")
    return dtype.itemsize
