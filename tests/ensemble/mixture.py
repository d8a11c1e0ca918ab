"""Synthetic ensembles of any size, with moments that are known exactly.

A configuration is one of `PATTERNS` patterns, drawn with probabilities π, each weight then flipped
with a probability ε_i:

    m_i = (1 − 2ε_i) Σ_k π_k P_ki,    C_ij = (1 − 2ε_i)(1 − 2ε_j) Σ_k π_k P_ki P_kj  (i ≠ j),

P_ki = ±1 being the patterns.  The first third of the weights is stiff (ε = 1/8), the last softer
(ε = 1/4), and the middle third liquid (ε = 1/2), as in deep binary networks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.schema import pack, unpack
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.errors import InputError
from lsg_ray.registry import DATA_SETS
from lsg_ray.rng import Stream, generator
from lsg_ray.spec import Spec, parse_spec
from lsg_ray.typing import Bytes, Floats, Ints, PathOrUrl, Progress, Signs

#: Probabilities π of the patterns.
PROBABILITIES = (0.4, 0.3, 0.2, 0.1)
PATTERNS = len(PROBABILITIES)
#: Rows that share a stream of random numbers.
CHUNK = 1000
#: Data set hash of synthetic stores: no network was trained.
DATASET_HASH = "synthetic"
#: The papers' networks; all others are given the data set with the most inputs.
_NETWORKS = {675: (20, 15, 15, 10), 200: (20, 10)}
_WIDEST = "cifar10"


class Mixture(NamedTuple):
    """Patterns P (k, N) ±1 and flip probabilities ε (N,)."""

    patterns: Signs
    flip: Floats

    @property
    def m(self) -> Floats:
        """Exact magnetizations (N,)."""
        return (1 - 2 * self.flip) * (np.array(PROBABILITIES) @ self.patterns)

    @property
    def C(self) -> Floats:  # noqa: N802
        """Exact correlations (N, N)."""
        kept = (1 - 2 * self.flip) * self.patterns
        C = (kept.T * np.array(PROBABILITIES)) @ kept
        np.fill_diagonal(C, 1.0)
        return C


@lru_cache(maxsize=8)
def mixture(n_weights: int, seed: int) -> Mixture:
    """Return what the synthetic ensemble of N weights and a seed is drawn from."""
    rng = generator(seed, Stream.SYNTHETIC, n_weights)
    patterns = rng.choice(np.array([-1, 1], np.int8), (PATTERNS, n_weights))
    flip = np.exp2(-_halvings(n_weights).astype(np.float64))
    return Mixture(patterns, flip)


def _halvings(n_weights: int) -> Ints:
    """Return −log₂ ε_i: 3, 1, 2 in the three thirds."""
    return np.repeat([3, 1, 2], [len(p) for p in np.array_split(np.arange(n_weights), 3)])


def synthetic_rows(n_weights: int, seed: int, start: int, stop: int) -> tuple[Bytes, Ints]:
    """Return rows start:stop as bits (rows, ceil(N/8)), and which pattern each came from."""
    chunks = range(start // CHUNK, -(-stop // CHUNK))
    drawn = [_chunk(n_weights, seed, chunk) for chunk in chunks]
    place = slice(start - chunks[0] * CHUNK, stop - chunks[0] * CHUNK)
    bits, which = (np.concatenate(column)[place] for column in zip(*drawn, strict=True))
    return bits, which


def _chunk(n_weights: int, seed: int, chunk: int) -> tuple[Bytes, Ints]:
    rng = generator(seed, Stream.SYNTHETIC, n_weights, chunk)
    which = rng.choice(PATTERNS, CHUNK, p=PROBABILITIES)
    patterns = pack(mixture(n_weights, seed).patterns)
    halvings = _halvings(n_weights)
    noise = np.full((CHUNK, patterns.shape[1]), 255, np.uint8)
    for level in (1, 2, 3):  # the product of h fair bits is one with probability 2^−h
        random = np.frombuffer(rng.bytes(noise.size), np.uint8).reshape(noise.shape)
        spared = pack(np.where(halvings[None] < level, 1, -1).astype(np.int8))
        noise &= random | spared
    noise &= pack(np.ones((1, n_weights), np.int8))  # no bits beyond N
    return patterns[which] ^ noise, which


def synthetic(
    url: PathOrUrl,
    count: int,
    n_weights: int = 675,
    seed: int = 0,
    *,
    block_size: int | None = None,
    progress: Progress | None = None,
) -> Ensemble:
    """Write a synthetic ensemble, or what is missing of one, and open it.

    Parameters
    ----------
    url
        Store to create.
    count
        Configurations M.
    n_weights
        Weights N of each: 675 and 200 belong to the papers' networks, other numbers to a network
        that nobody trained.
    seed
        Of the patterns and of the draws.
    block_size
        Configurations a block; changes no configuration.
    progress
        Told ``(blocks done, blocks in all)``.

    Returns
    -------
    Ensemble
        Its accuracies go with the patterns, so that conditions select correlated configurations.
        `mixture` gives the exact moments.

    Raises
    ------
    InputError
        A count or number of weights below 1.
    StoreInputError
        Something else is at the URL.

    Notes
    -----
    About 5 s for a million configurations of 675 weights on one core.
    """
    plan_spec = _spec(count, n_weights, seed, block_size)
    plan = create_ensemble(url, plan_spec, dataset_hash=DATASET_HASH)
    for done, index in enumerate(plan.missing.tolist()):
        start = index * plan.block_size
        stop = min(start + plan.block_size, count)
        write_block(plan.url, index, _block(n_weights, seed, start, stop))
        if progress is not None:
            progress(done + 1, len(plan.missing))
    return open_ensemble(plan.url)


def _block(n_weights: int, seed: int, start: int, stop: int) -> Block:
    bits, which = synthetic_rows(n_weights, seed, start, stop)
    rows = len(bits)
    # Accuracies fall within 0.01 of a level of the pattern, by a hash of the row's first bytes.
    fine = (bits[:, : min(4, bits.shape[1])].astype(np.int64).sum(axis=1) % 256) / 25_600
    accuracy = 0.80 + 0.02 * which + fine
    return Block(
        start=start,
        weights=unpack(bits, 0, n_weights),
        columns={
            "accuracy": accuracy,
            "test_accuracy": accuracy,
            "loss": 1 - accuracy,
            "trial": np.zeros(rows, np.int32),
            "epochs": np.ones(rows, np.int32),
            "polarization": np.full(rows, 0.5, np.float32),
        },
        trials=rows,
    )


def _spec(count: int, n_weights: int, seed: int, block_size: int | None) -> Spec:
    if count < 1 or n_weights < 1:
        raise InputError(f"count {count}, n_weights {n_weights} given; both must be 1 or more")
    known = _NETWORKS.get(n_weights)
    widths = known or _widths(n_weights)
    return parse_spec(
        {
            "name": "synthetic",
            "dataset": {
                "name": "digits" if known else _WIDEST,
                "components": widths[0],
                "labels": "class" if known else "parity",
            },
            "network": {"widths": list(widths)},
            "ensemble": {"count": count, "seed": seed, "threshold": 0, "block_size": block_size},
        }
    )


def _widths(n_weights: int) -> tuple[int, ...]:
    """Return widths of a network with one output and exactly N weights."""
    most = DATA_SETS[_WIDEST].n_pixels
    if n_weights <= most:
        return (n_weights, 1)
    # c·a + a·b + b = N with b = N mod a: the first a that leaves few enough inputs c.
    for a in range(2, n_weights):
        b = n_weights % a
        c = n_weights // a - b
        if b and 1 <= c <= most:
            return (c, a, b, 1)
        if b == 0 and 1 <= n_weights // a - 1 <= most:
            return (n_weights // a - 1, a, 1)
    raise InputError(f"n_weights {n_weights} given; no network of so many weights was found")
