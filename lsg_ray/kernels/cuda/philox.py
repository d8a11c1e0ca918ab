"""Random numbers by counters, for kernels in which any thread may need any number.

Philox4x32-10 (Salmon, Moraes, Dror & Shaw, SC 2011): ten rounds of two products turn a counter of
128 bits, under a key of 64, into four words of 32 random bits.  A number is addressed by what it is
for, such as (step, units, example), so results depend on no order of threads or blocks.

Normal deviates: Box & Muller (1958), with 23 bits of the uniform in the radius, which cut the tails
at 5.8 standard deviations, and 32 in the angle.

Orders of examples: a permutation of 2^bits numbers by an alternating Feistel network, one half of
the bits changed by a hash of the other, of which those numbers below n are kept by walking along
the cycle (Black & Rogaway, CT-RSA 2002; on GPUs Mitchell et al., ACM TOPC 9, 2022).  Any thread
computes its own example, with no memory and no order among threads.
"""

from __future__ import annotations

import math

import numpy as np

from lsg_ray.kernels.cuda.device import device, inverse_root, logarithm

#: Purposes of the numbers of a key, the last word of a counter.
NOISE, ORDER, DRAW, MOVES, START = 0, 1, 2, 3, 4

#: Half-rounds of the Feistel network, one 32-bit key each: four calls of Philox.
ORDER_ROUNDS = 16

_F, _U, _W = np.float32, np.uint32, np.uint64
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def domain_bits(n):
    """Return the bits of the two halves of the domain of `permuted`.

    At least four each: permutations of smaller domains are not uniform after these rounds.
    """
    bits = max(8, (n - 1).bit_length())
    return bits // 2, bits - bits // 2


@device
def philox(c0, c1, c2, c3, k0, k1):
    """Return four words of random bits, uint32, from a counter and a key of uint32 words."""
    for _ in range(10):
        p = _W(_W(0xD2511F53) * _W(c0))
        q = _W(_W(0xCD9E8D57) * _W(c2))
        c0 = _U(_U(_U(q >> _HALF) ^ c1) ^ k0)
        c1 = _U(q & _LOW)
        c2 = _U(_U(_U(p >> _HALF) ^ c3) ^ k1)
        c3 = _U(p & _LOW)
        k0 = _U((_W(k0) + _W(0x9E3779B9)) & _LOW)
        k1 = _U((_W(k1) + _W(0xBB67AE85)) & _LOW)
    return c0, c1, c2, c3


@device
def level(bits):
    """Return a uniform number of [0, 1), of 24 bits, for a comparison with a probability."""
    return _F(_U(bits >> _U(8))) * _F(2.0**-24)


@device
def normal_pair(radius_bits, angle_bits):
    """Return two independent N(0, 1) deviates from two words of random bits."""
    u = (_F(_U(radius_bits >> _U(9))) + _F(0.5)) * _F(2.0**-23)
    t = _F(-2.0) * logarithm(u)
    radius = t * inverse_root(t)
    # Thirty bits give an angle in [-π/4, π/4); the other two a quarter of the circle.
    f = (_F(_U(angle_bits & _U(0x3FFFFFFF))) - _F(2.0**29)) * _F(math.pi / 2 / 2**30)
    z = f * f
    s = ((_F(-1.9515295891e-4) * z + _F(8.3321608736e-3)) * z + _F(-1.6666654611e-1)) * z
    s = radius * (s * f + f)
    c = (_F(2.443315711809948e-5) * z + _F(-1.388731625493765e-3)) * z
    c = (c + _F(4.166664568298827e-2)) * z * z - _F(0.5) * z + _F(1.0)
    c = radius * c
    if _U(angle_bits & _U(0x40000000)) != _U(0):
        c, s = s, c
    if _U(angle_bits & _U(0x80000000)) != _U(0):
        c, s = -c, -s
    return c, s


@device
def mixed(x, key):
    """Return a hash of 32 bits under a key (the finalizer of MurmurHash3, A. Appleby)."""
    x = _W(_U(x ^ key))
    x = _W(_U(x ^ (x >> _W(16)))) * _W(0x85EBCA6B) & _LOW
    x = _W(_U(x ^ (x >> _W(13)))) * _W(0xC2B2AE35) & _LOW
    return _U(x ^ (x >> _W(16)))


@device
def permuted(position, n, low_bits, high_bits, keys):
    """Return the image of a position below n under a permutation of 0 to n − 1.

    low_bits, high_bits: of a domain of 2^(low + high) numbers, at least n, by `domain_bits`; keys:
    `ORDER_ROUNDS` words of random bits, uint32.
    """
    low_mask = _U((_W(1) << _W(low_bits)) - _W(1))
    high_mask = _U((_W(1) << _W(high_bits)) - _W(1))
    x = _U(position)
    while True:
        low, high = _U(x & low_mask), _U(x >> _U(low_bits))
        for i in range(0, ORDER_ROUNDS, 2):
            high = _U(high ^ _U(mixed(low, keys[i]) & high_mask))
            low = _U(low ^ _U(mixed(high, keys[i + 1]) & low_mask))
        x = _U(_U(high << _U(low_bits)) | low)
        if x < _U(n):
            return x
