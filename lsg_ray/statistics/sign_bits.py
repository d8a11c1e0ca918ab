"""Signs of real-valued configurations as bits: of each pair, how many weights differ in sign.

Let P, M and Z be the bits w > 0, w < 0 and w ≠ 0 of configurations a and b, D_P, D_M, D_Z their
Hamming distances, and n_a the number of weights of a that are not zero.  Then

    zero in neither:  n = (n_a + n_b − D_Z)/2,      unlike signs:  u = (D_P + D_M − D_Z)/2,

since a zero beside a sign makes D_P + D_M and D_Z larger by one, and unlike signs make D_P + D_M
larger by two.  So one kernel that counts bits (`lsg_ray.kernels.hamming`) gives all pairs; where no
weight is zero, D_P alone does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.arrays import read_only
from lsg_ray.results.records import joined
from lsg_ray.statistics.configurations import Configurations, ranges
from lsg_ray.statistics.pairs import as_words
from lsg_ray.typing import Array, Ints

Words = NDArray[np.uint64]
#: Most bytes of weights, in double precision, that are turned into bits at a time.
LOAD_BYTES = 2**26


class SignBits(NamedTuple):
    """Rows as bits (rows, words), layers side by side in whole words: w > 0, and w ≠ 0."""

    positive: Words
    nonzero: Words


def sign_bits(source: Configurations, layers: list[slice], start: int, stop: int) -> SignBits:
    """Return rows start:stop as bits, each layer in words of its own; a block function."""
    rows = max(1, LOAD_BYTES // (8 * source.n_weights))
    parts = []
    for begin, end in ranges(stop - start, rows, source.grain):
        weights = source.rows(start + begin, start + end)
        parts.append(SignBits(*(_words(some, layers) for some in (weights > 0, weights != 0))))
    return joined(parts)


def _words(flags: Array, layers: list[slice]) -> Words:
    packed = [np.packbits(flags[:, some], axis=1, bitorder="little") for some in layers]
    return np.concatenate([as_words(bits) for bits in packed], axis=1)


def count_signs(a: SignBits, b: SignBits, words: slice, n: int) -> tuple[Ints, Ints | int]:
    """Return, of all pairs (rows, rows'), the weights of unlike signs, and those zero in neither.

    Parameters
    ----------
    a, b
        Bits of two sets.
    words
        Words that count, those of ``n`` weights.
    n
        Number of weights.
    """
    positive = _distances(a.positive[:, words], b.positive[:, words])
    of_a, of_b = (
        np.bitwise_count(some.nonzero[:, words]).sum(axis=1, dtype=np.int64) for some in (a, b)
    )
    if (of_a == n).all() and (of_b == n).all():
        return positive, n
    nonzero = _distances(a.nonzero[:, words], b.nonzero[:, words])
    # What is not zero and not positive is negative.
    negative = _distances(*(some.positive[:, words] ^ some.nonzero[:, words] for some in (a, b)))
    return (positive + negative - nonzero) // 2, (of_a[:, None] + of_b - nonzero) // 2


def _distances(a: Words, b: Words) -> Ints:
    from lsg_ray.kernels import hamming

    wide = np.uint16 if 64 * a.shape[1] < 2**16 else np.uint32
    out = np.empty((len(a), len(b)), wide)
    hamming.write_distances(read_only(a, np.uint64), read_only(b.T, np.uint64), out)
    return out.astype(np.int64)
