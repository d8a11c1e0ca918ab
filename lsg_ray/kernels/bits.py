"""Second and third moments of ±1 weights by counting bits.

For signs stored as bits, ``Σ σ_i σ_j = M − 2 D_ij`` with D_ij the number of configurations in which
weights i and j differ: the number of ones in the exclusive or of two *bit planes*, the bits of one
weight over all configurations.  512 products of signs cost one load, one exclusive or, one count of
ones and one addition, so a core does some twenty times what it does as a float32 matrix product.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lsg_ray.kernels.compile import inlined, kernel

_U64 = np.uint64
#: Planes that all others are compared with before the next ones: of 4 KiB each, half of the second
#: cache.  Even, so that the pairs of planes do not straddle two strips.
STRIP = 128


@intrinsic
def popcount(typing_context, word):
    """Count the ones of a 64-bit word; vectorises where the processor can (AVX-512 VPOPCNTDQ)."""

    def codegen(context, builder, signature, arguments):
        bits = ir.IntType(64)
        count = builder.module.declare_intrinsic("llvm.ctpop", [bits])
        return builder.call(count, [arguments[0]])

    return types.int64(types.uint64), codegen


@kernel
def bit_planes(packed, planes):
    """Transpose bits: ``planes[i]`` holds weight i of all rows, 64 rows a word.

    packed (rows, bytes) uint8, C order, bit ``i % 8`` of byte ``i // 8`` is weight i; planes
    (weights, words) uint64, overwritten; 64 words ≥ rows, and the bits beyond the rows are zero.
    """
    rows, weights = packed.shape[0], planes.shape[0]
    planes[:] = 0
    # 512 rows at a time: eight words, which are one cache line of each plane.
    for top in range(0, rows, 512):
        for byte in range((weights + 7) >> 3):
            for start in range(top, min(top + 512, rows), 8):
                x = _U64(0)
                for row in range(start, min(start + 8, rows)):
                    x |= _U64(packed[row, byte]) << _U64(8 * (row - start))
                x = _transpose8(x)
                word, shift = start >> 6, _U64(start & 63)
                for bit in range(min(8, weights - 8 * byte)):
                    eight = (x >> _U64(8 * bit)) & _U64(255)
                    planes[8 * byte + bit, word] |= eight << shift


@inlined
def _transpose8(x):
    """Transpose the 8 x 8 bits of a word (Warren, Hacker's Delight, section 7-3)."""
    t = (x ^ (x >> _U64(7))) & _U64(0x00AA00AA00AA00AA)
    x = x ^ t ^ (t << _U64(7))
    t = (x ^ (x >> _U64(14))) & _U64(0x0000CCCC0000CCCC)
    x = x ^ t ^ (t << _U64(14))
    t = (x ^ (x >> _U64(28))) & _U64(0x00000000F0F0F0F0)
    return x ^ t ^ (t << _U64(28))


@kernel
def add_ones(planes, ones):
    """Add the number of ones of each plane (weights, words) uint64 to ``ones`` (weights,) int64."""
    for i in range(planes.shape[0]):
        count = 0
        for word in range(planes.shape[1]):
            count += popcount(planes[i, word])
        ones[i] += count


@kernel
def choose_bits(packed, which, chosen):
    """Set ``chosen`` to some bits of each row: bit k of its row is bit ``which[k]``.

    packed (rows, bytes) uint8, bits as in `bit_planes`; which (K,) int64, in any order, may repeat;
    chosen (rows, ceil(K/8)) uint8, overwritten, its bits beyond K zero.  Eight that are
    neighbours are taken at once.
    """
    # 64 rows at a time, whose bytes stay in the first cache.
    for top in range(0, packed.shape[0], 64):
        rows = range(top, min(top + 64, packed.shape[0]))
        for low in range(0, len(which), 8):
            high = min(low + 8, len(which))
            first = which[low]
            neighbours = high - low == 8
            for k in range(low, high):
                neighbours &= which[k] == first + (k - low)
            if neighbours:
                byte, shift = first >> 3, first & 7
                after = byte + (shift > 0)
                for row in rows:
                    two = np.int64(packed[row, byte]) | np.int64(packed[row, after]) << 8
                    chosen[row, low >> 3] = (two >> shift) & 255
            else:
                for row in rows:
                    value = 0
                    for k in range(low, high):
                        bit = np.int64(packed[row, which[k] >> 3]) >> (which[k] & 7) & 1
                        value |= bit << (k - low)
                    chosen[row, low >> 3] = value


@kernel
def add_disagreements(planes, counts):
    """Add to ``counts[i, j]``, j > i, in how many configurations weights i and j differ.

    planes (weights, words) uint64, counts (weights, weights) int64; what lies on the diagonal or
    below it is left undefined.  2 x 4 pairs share their loads; with 512 words a plane, six of them
    stay in the first cache, and `STRIP` in the second.
    """
    n = planes.shape[0]
    for left in range(0, n, STRIP):
        right = min(left + STRIP, n)
        for i in range(0, right - 1, 2):
            # From an even weight on, as i and i + 1 share all their tiles.
            _add_strip(planes, i, planes, max(left, i), right, counts)


@kernel
def add_disagreements_between(a, b, counts):
    """Add to ``counts[i, j]`` in how many configurations weight i of a and weight j of b differ.

    a (A, words), b (B, words) uint64, counts (A, B) int64; otherwise as `add_disagreements`.
    """
    rows, columns = a.shape[0], b.shape[0]
    for left in range(0, columns, STRIP):
        right = min(left + STRIP, columns)
        for i in range(0, rows - 1, 2):
            _add_strip(a, i, b, left, right, counts)
        if rows & 1:
            for j in range(left, right):
                _add_pair(a, rows - 1, b, j, counts)


@inlined
def _add_strip(a, i, b, left, right, counts):
    """Add planes i and i + 1 of a with planes left:right of b."""
    j = left
    while j + 4 <= right:
        _add_tile(a, i, b, j, counts)
        j += 4
    while j < right:
        _add_pair(a, i, b, j, counts)
        _add_pair(a, i + 1, b, j, counts)
        j += 1


@inlined
def _add_tile(a, i, b, j, counts):
    c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = 0
    for word in range(a.shape[1]):
        a0, a1 = a[i, word], a[i + 1, word]
        b0, b1 = b[j, word], b[j + 1, word]
        b2, b3 = b[j + 2, word], b[j + 3, word]
        c00 += popcount(a0 ^ b0)
        c01 += popcount(a0 ^ b1)
        c02 += popcount(a0 ^ b2)
        c03 += popcount(a0 ^ b3)
        c10 += popcount(a1 ^ b0)
        c11 += popcount(a1 ^ b1)
        c12 += popcount(a1 ^ b2)
        c13 += popcount(a1 ^ b3)
    counts[i, j] += c00
    counts[i, j + 1] += c01
    counts[i, j + 2] += c02
    counts[i, j + 3] += c03
    counts[i + 1, j] += c10
    counts[i + 1, j + 1] += c11
    counts[i + 1, j + 2] += c12
    counts[i + 1, j + 3] += c13


@inlined
def _add_pair(a, i, b, j, counts):
    count = 0
    for word in range(a.shape[1]):
        count += popcount(a[i, word] ^ b[j, word])
    counts[i, j] += count


@kernel
def add_odd(planes, triples, counts):
    """Add to ``counts[t]`` in how many configurations σ_i σ_j σ_k = +1, for triple t = (i, j, k).

    That is where the exclusive or of the three bits is one.  planes (weights, words) uint64,
    triples (T, 3) int64, counts (T,) int64; the bits beyond the rows must be zero.
    """
    for t in range(triples.shape[0]):
        i, j, k = triples[t, 0], triples[t, 1], triples[t, 2]
        count = 0
        for word in range(planes.shape[1]):
            count += popcount(planes[i, word] ^ planes[j, word] ^ planes[k, word])
        counts[t] += count
