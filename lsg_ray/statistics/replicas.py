"""Networks of real weights as replicas: some of an ensemble, hidden units in a common order."""

from __future__ import annotations

import numpy as np

from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import DataError, InputError
from lsg_ray.networks.alignment import Alignment, aligned
from lsg_ray.rng import Stream
from lsg_ray.statistics.configurations import ArrayConfigurations, StoredConfigurations, stream
from lsg_ray.statistics.copies import draw_independent

#: Bytes of networks whose overlaps are taken, at most.
REPLICA_BYTES = 2**32


def aligned_replicas(
    ensemble: Ensemble, count: int, alignment: Alignment, *, seed: int = 0
) -> ArrayConfigurations:
    """Return some networks of real weights in a common order, in memory as float32.

    Parameters
    ----------
    ensemble
        Of ReLU networks, or a view of one.
    count
        So many, drawn by seed; all if there are fewer.
    alignment
        See `lsg_ray.networks.alignment`; ``matching`` is to one more network, which is left out:
        it is nearer to all others than they are to each other.
    seed
        Of the draw.

    Raises
    ------
    InputError
        Fewer than four networks beside the reference, or more than fit into `REPLICA_BYTES`.
    """
    source = StoredConfigurations(ensemble)
    matching = alignment == "matching"
    source.require(4 + matching, "overlaps of replicas")
    count = min(count + matching, source.n_rows)
    if 4 * count * source.n_weights > REPLICA_BYTES:
        most = REPLICA_BYTES // (4 * source.n_weights)
        raise InputError(
            f"{count} networks of {source.n_weights:,} weights given; {most} at most (--replicas)"
        )
    rng = stream(seed, Stream.RSB, 1 << 23)
    rows = draw_independent(source, count, rng)
    try:
        inputs = load_dataset(ensemble.spec.dataset, download=False).test.x[:8]
    except DataError:  # not here: a network is then not compared with itself
        inputs = None
    reference = source.take(rows[:1])[0]
    rows = rows[1:] if matching else rows
    found = np.empty((len(rows), source.n_weights), np.float32)
    for place, row in enumerate(rows):
        weights = source.take(np.array([row]))
        found[place] = aligned(
            ensemble.spec.network, weights, alignment, reference, inputs
        )[0]  # fmt: skip
    return ArrayConfigurations(found, source.name)
