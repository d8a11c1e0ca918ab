"""Sums of a sweep of approximate message passing over patterns that are stored as bits.

One bit an input: 10⁵ inputs of 5·10⁴ patterns take 625 MB.  Bit k of word j is that of input
32 j + k, 1 where the input is −1, so that ξa is a with its sign turned where bits are set: they are
the mask of a vector.  A few patterns at a time are read, for Σ ξa and then for Σ ξg.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lsg_ray.kernels.compile import kernel
from lsg_ray.kernels.normal_law import log_normal
from lsg_ray.kernels.vectors import WORD, Matrix, add_product, spread
from lsg_ray.kernels.vectors import sums as totals

#: Patterns that are read side by side.
PATTERNS = 4
#: Lanes of a vector; a word has the signs of two.
_LANES = 16
_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


def _signs(builder, words, row, word):
    """Return the bits of words[row, word], lane by lane, as the halves of a vector."""
    bits = words.entry(row, word)
    halves = bits, builder.lshr(bits, ir.IntType(32)(_LANES))
    return [
        builder.bitcast(
            builder.trunc(half, ir.IntType(_LANES)), ir.VectorType(ir.IntType(1), _LANES)
        )
        for half in halves
    ]


def _columns(builder, word):
    """Return the columns of the halves of a word."""
    start = builder.mul(word, WORD(2 * _LANES))
    return [start, builder.add(start, WORD(_LANES))]


def _add_turned(builder, place, x, signs):
    """Add x to a sum, negative where a sign is set; a product, as sums alone may be reordered."""
    plus, minus = (ir.Constant(x.type, [one] * _LANES) for one in (1.0, -1.0))
    add_product(builder, place, x, builder.select(signs, minus, plus))


def _sum_signed(patterns):
    """Return an intrinsic of a number of patterns, p and on; each vector of a serves them all."""

    @intrinsic
    def sum_signed(typing_context, words, p, a, lanes):
        """Set lanes[n, k] to Σ_j ±a[0, 32 j + k], with the sign of bit k of word j of p + n."""

        def codegen(context, builder, signature, arguments):
            words, a, lanes = (
                Matrix(context, builder, signature.args[n], arguments[n]) for n in (0, 2, 3)
            )
            rows = [builder.add(arguments[1], WORD(n)) for n in range(patterns)]
            places = totals(builder, ir.VectorType(ir.FloatType(), _LANES), patterns, 2)
            with cgutils.for_range(builder, words.shape[1]) as loop:
                halves = [
                    a.load(WORD(0), column, _LANES) for column in _columns(builder, loop.index)
                ]
                for row, own in zip(rows, places, strict=True):
                    signs = _signs(builder, words, row, loop.index)
                    for half, sign, place in zip(halves, signs, own, strict=True):
                        _add_turned(builder, place, half, sign)
            for n, own in enumerate(places):
                for column, place in zip(_columns(builder, WORD(0)), own, strict=True):
                    lanes.store(WORD(n), column, builder.load(place))
            return context.get_dummy_value()

        return types.void(words, types.intp, a, lanes), codegen

    return sum_signed


def _add_signed(patterns):
    """Return an intrinsic of a number of patterns, p and on; h is read and written once for all."""

    @intrinsic
    def add_signed(typing_context, words, p, sizes, h):
        """Add ±sizes[0, n] to h[0, 32 j + k], by bit k of word j of pattern p + n, in turn."""

        def codegen(context, builder, signature, arguments):
            words, sizes, h = (
                Matrix(context, builder, signature.args[n], arguments[n]) for n in (0, 2, 3)
            )
            rows = [builder.add(arguments[1], WORD(n)) for n in range(patterns)]
            steps = [
                spread(builder, sizes.entry(WORD(0), WORD(n)), _LANES) for n in range(patterns)
            ]
            (places,) = totals(builder, ir.VectorType(ir.FloatType(), _LANES), 1, 2)
            with cgutils.for_range(builder, words.shape[1]) as loop:
                columns = _columns(builder, loop.index)
                for column, place in zip(columns, places, strict=True):
                    builder.store(h.load(WORD(0), column, _LANES), place)
                for row, step in zip(rows, steps, strict=True):
                    signs = _signs(builder, words, row, loop.index)
                    for place, sign in zip(places, signs, strict=True):
                        _add_turned(builder, place, step, sign)
                for column, place in zip(columns, places, strict=True):
                    h.store(WORD(0), column, builder.load(place))
            return context.get_dummy_value()

        return types.void(words, types.intp, sizes, h), codegen

    return add_signed


_sum_one, _sum_some = _sum_signed(1), _sum_signed(PATTERNS)
_add_one, _add_some = _add_signed(1), _add_signed(PATTERNS)


@kernel
def _sum(words, p, a, lanes):
    """Sum as `_sum_signed` does for as many patterns as there are; return how many these are."""
    if p + PATTERNS <= words.shape[0]:
        _sum_some(words, p, a, lanes)
        return PATTERNS
    _sum_one(words, p, a, lanes)
    return 1


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
    float64, those of the sweep before in, new ones out; lanes (`PATTERNS`, 32) float32 scratch.
    """
    total = 0.0
    flat_a, flat_h = a.reshape(1, a.size), h.reshape(1, h.size)
    sizes = np.empty((1, PATTERNS), np.float32)
    p = 0
    while p < words.shape[0]:
        count = _sum(words, p, flat_a, lanes)
        for n in range(count):
            own, mean = lanes[n], 0.0
            for k in range(32):
                mean += own[k]
            force, slope = pattern_force(mean - variance * g[p + n], variance, error_weight)
            g[p + n] = force
            sizes[0, n] = force
            total += slope
        if count == PATTERNS:
            _add_some(words, p, sizes, flat_h)
        else:
            _add_one(words, p, sizes, flat_h)
        p += count
    return total


@kernel
def count_wrong(words, signs, lanes):
    """Return how many patterns ±1 weights get wrong: signs (n,) float32, padded with 0."""
    wrong, p = 0, 0
    flat = signs.reshape(1, signs.size)
    while p < words.shape[0]:
        count = _sum(words, p, flat, lanes)
        for n in range(count):
            total = 0.0
            for k in range(32):
                total += lanes[n, k]
            wrong += total <= 0.0
        p += count
    return wrong
