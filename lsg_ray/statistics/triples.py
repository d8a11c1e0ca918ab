"""Third-order moments of ±1 weights for chosen triples; see `lsg_ray.statistics.moments`.

The joint distribution of three signs has eight states with probabilities

    p(a, b, c) = (1 + a m_i + b m_j + c m_k + ab C_ij + ac C_ik + bc C_jk + abc ⟨σ_iσ_jσ_k⟩)/8,

so every average over a triple, also the variance behind a standard error, is a sum of eight terms.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers
from lsg_ray.errors import InputError
from lsg_ray.rng import Stream
from lsg_ray.statistics.configurations import stream
from lsg_ray.statistics.estimates import estimate
from lsg_ray.typing import Floats, Ints, Variables

#: Most triples of one estimate.
MAX_TRIPLES = 10_000_000


def choose_triples(triples: int | ArrayLike, n_weights: int, seed: int) -> Ints:
    """Return triples (T, 3): those given, or distinct random ones i < j < k in ascending order.

    Raises
    ------
    InputError
        Indices that are out of range or repeated in a triple; more triples than there are.
    """
    if isinstance(triples, (int, np.integer)):
        return _drawn(int(triples), n_weights, seed)
    given = as_numbers(triples, "triples", None)
    if given.size == 0:
        return np.empty((0, 3), np.int64)
    if given.dtype.kind not in "iu":
        raise InputError(f"triples of {given.dtype} given; a number, or (T, 3) indices of weights")
    if given.ndim != 2 or given.shape[1] != 3:
        raise InputError(f"triples of shape {given.shape} given; (T, 3) indices are needed")
    wrong = ((given < 0) | (given >= n_weights)).any(axis=1)
    i, j, k = given.T
    wrong |= (i == j) | (i == k) | (j == k)
    if wrong.any():
        raise InputError(
            f"triple {given[np.argmax(wrong)].tolist()} given; "
            f"three different weights from 0 to {n_weights - 1} are needed"
        )
    return np.ascontiguousarray(given, np.int64)


def _drawn(count: int, n: int, seed: int) -> Ints:
    possible = math.comb(n, 3)
    if not 0 <= count <= min(possible, MAX_TRIPLES):
        raise InputError(
            f"{count:,} triples asked for; {n} weights have {possible:,}, and at most "
            f"{MAX_TRIPLES:,} are estimated at once"
        )
    if 2 * count > possible:
        every = np.array(list(itertools.combinations(range(n), 3)), np.int64).reshape(-1, 3)
        chosen = stream(seed, Stream.TRIPLES).choice(possible, count, replace=False)
        return every[np.sort(chosen)]
    rng = stream(seed, Stream.TRIPLES)
    triples = np.empty((0, 3), np.int64)
    while len(triples) < count:
        more = np.sort(rng.integers(0, n, (2 * count + 16, 3)), axis=1)
        more = more[(more[:, 0] < more[:, 1]) & (more[:, 1] < more[:, 2])]
        _, first = np.unique(merged := np.concatenate([triples, more]), axis=0, return_index=True)
        triples = merged[np.sort(first)]
    return triples[:count][np.lexsort(triples[:count].T[::-1])]


def connected_third(triples: Ints, raw: Floats, m: Floats, C: Floats) -> Floats:
    """Return the connected moments of triples from ⟨σ_iσ_jσ_k⟩ (…, T), m (…, N) and C (…, N, N)."""
    i, j, k = triples.T
    a, b, c = m[..., i], m[..., j], m[..., k]
    ab, ac, bc = C[..., i, j], C[..., i, k], C[..., j, k]
    return raw - a * bc - b * ac - c * ab + 2 * a * b * c


def triple_moments(triples: Ints, raw: Floats, m: Floats, C: Floats, count: int) -> Variables:
    """Return variables of ⟨σ_iσ_jσ_k⟩ and of the connected moment, with standard errors.

    Parameters
    ----------
    triples
        (T, 3) indices.
    raw
        ⟨σ_iσ_jσ_k⟩, (T,).
    m, C
        First and second moments, (N,) and (N, N).
    count
        Configurations M.
    """
    i, j, k = triples.T
    means, cs = (m[i], m[j], m[k]), (C[j, k], C[i, k], C[i, j])
    connected = connected_third(triples, raw, m, C)
    c = (cs[0] - m[j] * m[k], cs[1] - m[i] * m[k], cs[2] - m[i] * m[j])
    variance = np.zeros(len(triples))
    for a, b, d in itertools.product((-1, 1), repeat=3):
        p = 1 + a * means[0] + b * means[1] + d * means[2]
        p = (p + b * d * cs[0] + a * d * cs[1] + a * b * cs[2] + a * b * d * raw) / 8
        x, y, z = a - means[0], b - means[1], d - means[2]
        variance += p * (x * y * z - connected - c[0] * x - c[1] * y - c[2] * z) ** 2
    raw_error = np.sqrt((1 - raw**2) / (count - 1))
    error = np.sqrt(np.maximum(variance, 0) / (count - 1))
    name, dims = "connected third moment", ("triple",)
    return {
        **estimate("third", raw, raw_error, "third moment", dims),
        **estimate("third_connected", connected, error, name, dims),
    }
