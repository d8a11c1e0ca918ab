"""Philox, its normal deviates and orders of examples in plain NumPy, many at once."""

import numpy as np

from lsg_ray.kernels.cuda.philox import NOISE, ORDER, ORDER_ROUNDS, domain_bits
from lsg_ray.networks.trial import Purpose, trial_seed

LOW = np.uint64(0xFFFFFFFF)


def philox(counter, key):
    """Four words (4, ...) uint64 below 2³² from counters (4, ...) and a key of two words."""
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c, np.uint64) for c in counter))
    k0, k1 = (int(k) for k in key)
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (q >> np.uint64(32)) ^ c1 ^ np.uint64(k0), q & LOW
        c2, c3 = (p >> np.uint64(32)) ^ c3 ^ np.uint64(k1), p & LOW
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.array([c0, c1, c2, c3])


def normal_pair(radius_bits, angle_bits):
    """Box and Muller in float64: radius from 23 bits, angle from 32, as quarter and position."""
    u = ((radius_bits >> np.uint64(9)).astype(float) + 0.5) / 2**23
    radius = np.sqrt(-2 * np.log(u))
    low = (angle_bits & np.uint64(2**30 - 1)).astype(float)
    angle = (low / 2**30 - 0.5) * np.pi / 2
    c, s = radius * np.cos(angle), radius * np.sin(angle)
    swap, turn = angle_bits >> np.uint64(30) & np.uint64(1), angle_bits >> np.uint64(31)
    sign = 1 - 2 * turn.astype(float)
    return sign * np.where(swap, s, c), sign * np.where(swap, c, s)


def noise(widths, n, step, key):
    """ε of each layer (units, n) of a mini-batch."""
    result, above = [], 0
    for width in widths[1:]:
        quads = -(-width // 4)
        counter = (np.arange(n), above + np.arange(quads)[:, None], step, NOISE)
        words = philox(counter, key)
        four = np.stack([*normal_pair(words[0], words[1]), *normal_pair(words[2], words[3])], 1)
        result.append(four.reshape(4 * quads, n)[:width])
        above += quads
    return result


def mixed(x, key):
    """The finalizer of MurmurHash3 of x ^ key."""
    x = x ^ key
    x = (x ^ x >> np.uint64(16)) * np.uint64(0x85EBCA6B) & LOW
    x = (x ^ x >> np.uint64(13)) * np.uint64(0xC2B2AE35) & LOW
    return x ^ x >> np.uint64(16)


def permuted(position, n, keys):
    """Images of positions under permutations of n, of keys (rounds, ...) uint64."""
    low_bits, high_bits = domain_bits(n)
    low_mask, high_mask = np.uint64(2**low_bits - 1), np.uint64(2**high_bits - 1)
    result = np.array(np.broadcast_to(np.asarray(position, np.uint64), keys.shape[1:]))
    outside = np.arange(result.size)
    while outside.size:
        x = result[outside]
        low, high = x & low_mask, x >> np.uint64(low_bits)
        for i in range(0, ORDER_ROUNDS, 2):
            high = high ^ (mixed(low, keys[i, outside]) & high_mask)
            low = low ^ (mixed(high, keys[i + 1, outside]) & low_mask)
        result[outside] = high << np.uint64(low_bits) | low
        outside = outside[result[outside] >= n]
    return result.astype(np.int64)


def order(n, epoch, key):
    """The examples of an epoch, in order."""
    keys = philox((np.arange(ORDER_ROUNDS // 4), epoch, 0, ORDER), key).T.reshape(-1)
    return permuted(np.arange(n), n, np.repeat(keys[:, None], n, axis=1))


def key_of(seed, purpose=Purpose.NOISE):
    """The key of a network's random numbers."""
    return trial_seed(seed, purpose).generate_state(2, np.uint32)
