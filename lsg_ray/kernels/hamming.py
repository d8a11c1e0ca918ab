"""Hamming distances between many configurations stored as bits, without a matrix of all pairs.

Rows of the one set are read word by word against *lanes* of the other, its words transposed to
(words, rows), so that the innermost loop runs over rows in vectors of eight words: a load, an
exclusive or, a count of ones and an addition make 8 x 64 comparisons of weights.  A tile of lanes
stays in the first cache, and distances live in a small buffer until they are counted.

All sets are (rows, words) uint64, C order, with zeros in the bits that do not count.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.kernels.bits import popcount
from lsg_ray.kernels.compile import inlined, kernel

#: Lanes of a tile: 256 rows of 11 words are 22 KiB.
TILE_LANES = 256
#: Histograms that are filled in turn: two equal distances in a row need not wait for each other.
COUNTERS = 4


@inlined
def _distances(a, i, lanes, start, stop, buffer):
    """Write the distances of row i of ``a`` to lanes start:stop to the head of ``buffer``."""
    words, width = a.shape[1], stop - start
    for j in range(width):
        buffer[j] = 0
    word = 0
    while word + 4 <= words:
        w0, w1, w2, w3 = a[i, word], a[i, word + 1], a[i, word + 2], a[i, word + 3]
        l0, l1 = lanes[word, start:stop], lanes[word + 1, start:stop]
        l2, l3 = lanes[word + 2, start:stop], lanes[word + 3, start:stop]
        for j in range(width):
            buffer[j] += (popcount(w0 ^ l0[j]) + popcount(w1 ^ l1[j])) + (
                popcount(w2 ^ l2[j]) + popcount(w3 ^ l3[j])
            )
        word += 4
    while word < words:
        w0, l0 = a[i, word], lanes[word, start:stop]
        for j in range(width):
            buffer[j] += popcount(w0 ^ l0[j])
        word += 1


@kernel
def count_distances(a, lanes, within, counts):
    """Add to ``counts[:, d]`` the number of pairs at Hamming distance d, spread over its rows.

    a (rows, words), lanes (words, rows'); with ``within`` both are one set, and each pair counts
    once; counts (COUNTERS, N + 1) int64, N at least the number of bits that differ anywhere.
    """
    buffer = np.empty(TILE_LANES, np.int64)
    c0, c1, c2, c3 = counts[0], counts[1], counts[2], counts[3]
    bins = buffer.view(np.uint64)  # an unsigned index needs no check for a negative one
    for first in range(0, lanes.shape[1], TILE_LANES):
        last = min(first + TILE_LANES, lanes.shape[1])
        for i in range(min(a.shape[0], last) if within else a.shape[0]):
            start = max(first, i + 1) if within else first
            if start >= last:
                continue
            _distances(a, i, lanes, start, last, buffer)
            width = last - start
            j = 0
            while j + 4 <= width:
                c0[bins[j]] += 1
                c1[bins[j + 1]] += 1
                c2[bins[j + 2]] += 1
                c3[bins[j + 3]] += 1
                j += 4
            while j < width:
                c0[bins[j]] += 1
                j += 1


@kernel
def write_distances(a, lanes, out):
    """Write all distances: a (rows, words), lanes (words, rows'), out (rows, rows') uint16."""
    buffer = np.empty(TILE_LANES, np.int64)
    for first in range(0, lanes.shape[1], TILE_LANES):
        last = min(first + TILE_LANES, lanes.shape[1])
        for i in range(a.shape[0]):
            _distances(a, i, lanes, first, last, buffer)
            for j in range(last - first):
                out[i, first + j] = buffer[j]


@kernel
def nearest(a, lanes, skip, n, indices, distances):
    """Find the k nearest lanes of each row by counting: two passes over a row of distances.

    a (rows, words), lanes (words, rows'), skip (rows,) int64 a lane to leave out or −1, n the
    largest distance; indices, distances (rows, k) int64, ascending in distance, then in lane, with
    k ≤ rows'.  A lane that is left out counts as lying at distance n + 1.
    """
    width, k = lanes.shape[1], indices.shape[1]
    buffer = np.empty(TILE_LANES, np.int64)
    row = np.empty(width, np.int32)
    counts = np.empty(n + 2, np.int64)
    for i in range(a.shape[0]):
        counts[:] = 0
        for first in range(0, width, TILE_LANES):
            last = min(first + TILE_LANES, width)
            _distances(a, i, lanes, first, last, buffer)
            for j in range(last - first):
                row[first + j] = buffer[j]
        if 0 <= skip[i] < width:
            row[skip[i]] = n + 1
        for j in range(width):
            counts[row[j]] += 1
        # counts[d] becomes the index of the next lane at distance d, up to the k-th.
        before, limit = 0, 0
        for d in range(n + 2):
            here = counts[d]
            counts[d] = before
            before += here
            limit = d
            if before >= k:
                break
        for j in range(width):
            d = row[j]
            if d <= limit and counts[d] < k:
                indices[i, counts[d]] = j
                distances[i, counts[d]] = d
                counts[d] += 1
