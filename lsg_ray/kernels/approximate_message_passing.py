"""Sums of a sweep of approximate message passing over patterns that are stored as bits.

One bit an input: 10⁵ inputs of 5·10⁴ patterns take 625 MB.  Bit k of word j is that of input
32 j + k, 1 where the input is −1, so that ξa is a with its sign bit turned: an exclusive or, which
vectorises.  Each pattern is read once a sweep, for Σ ξa and then for Σ ξg.
"""

from __future__ import annotations

import math

import numpy as np

from lsg_ray.kernels.compile import inlined, kernel
from lsg_ray.kernels.elementary import _bits, _float
from lsg_ray.kernels.normal_law import log_normal

_I, _U, _F = np.int32, np.uint32, np.float32
_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


@inlined
def _signed(x, word, k):
    """Return x, with its sign turned where bit k of a word is set."""
    return _float(_I(_bits(x) ^ _I(_I(_I(word) >> _I(k)) << _I(31))))


@kernel
def pattern_force(mean, variance, error_weight):
    """Return g = d/dM ln[ε + (1 − ε) Φ(M/√V)] and dg/dM, with ε = e^−B of a wrong pattern."""
    scale = 1.0 / math.sqrt(variance)
    z = mean * scale
    log_z = log_normal(z)
    if error_weight > 0.0:
        right = math.log1p(-error_weight) + log_z
        wrong = math.log(error_weight)
        top = max(right, wrong)
        log_z = top + math.log(math.exp(right - top) + math.exp(wrong - top))
    g = (1.0 - error_weight) * scale * math.exp(-0.5 * z * z - _LOG_ROOT_2PI - log_z)
    return g, -g * (z * scale + g)


@kernel
def sums(words, a, variance, error_weight, g, h, lanes):
    """Add to h (n,) float32 the sum over some patterns, Σ ξg; return Σ dg/dM of them.

    words (P, n/32) uint32; a (n,) float32 magnetizations, n a multiple of 32; variance V; g (P,)
    float64, those of the sweep before in, new ones out; lanes (32,) float32 scratch.
    """
    total = 0.0
    for p in range(words.shape[0]):
        row = words[p]
        lanes[:] = _F(0.0)
        for j in range(len(row)):
            word, own = row[j], a[32 * j : 32 * j + 32]
            for k in range(32):
                lanes[k] += _signed(own[k], word, k)
        mean = 0.0
        for k in range(32):
            mean += lanes[k]
        force, slope = pattern_force(mean - variance * g[p], variance, error_weight)
        g[p] = force
        total += slope
        size = _F(force)
        for j in range(len(row)):
            word, own = row[j], h[32 * j : 32 * j + 32]
            for k in range(32):
                own[k] += _signed(size, word, k)
    return total


@kernel
def count_wrong(words, signs, lanes):
    """Return how many patterns ±1 weights get wrong: signs (n,) float32, padded with 0."""
    wrong = 0
    for p in range(words.shape[0]):
        row = words[p]
        lanes[:] = _F(0.0)
        for j in range(len(row)):
            word, own = row[j], signs[32 * j : 32 * j + 32]
            for k in range(32):
                lanes[k] += _signed(own[k], word, k)
        total = 0.0
        for k in range(32):
            total += lanes[k]
        wrong += total <= 0.0
    return wrong
