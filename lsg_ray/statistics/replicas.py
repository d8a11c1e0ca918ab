"""Networks of real weights as replicas: some of an ensemble, hidden units in a common order."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import xarray
from annotated_types import Ge

from lsg_ray.arrays import public
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.errors import DataError, InputError
from lsg_ray.networks.alignment import Alignment, aligned
from lsg_ray.rng import Stream
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.statistics.configurations import ArrayConfigurations, StoredConfigurations, stream
from lsg_ray.statistics.copies import draw_independent
from lsg_ray.statistics.rsb import replica_overlaps
from lsg_ray.typing import EnsembleLike, Progress, Seed

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
        found[place] = aligned(ensemble.spec.network, weights, alignment, reference, inputs)[0]
    return ArrayConfigurations(found, source.name)


@public
def network_replicas(
    solutions: EnsembleLike,
    *,
    replicas: Annotated[int, Ge(4)] = 64,
    alignment: Alignment = "matching",
    seed: Seed = 0,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Measure the overlaps of networks of real weights, and how ultrametric they are.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or its path.
    replicas
        That many networks, drawn by seed; all if there are fewer.
    alignment
        How hidden units are brought into a common order.
    seed
        Of all that is drawn at random.
    progress
        Told ``(tasks done, tasks in all)``.

    Returns
    -------
    xarray.Dataset
        As `lsg_ray.replica_overlaps`.
    """
    ensemble = solutions if isinstance(solutions, Ensemble) else open_ensemble(solutions)
    rows = aligned_replicas(ensemble, replicas, alignment, seed=seed)
    found = replica_overlaps(rows, seed=seed, progress=progress)
    return found.assign_attrs(source=ensemble.spec.name, alignment=alignment)


STAGE = Stage(
    "replicas", network_replicas, reads={"solutions": SOLUTIONS},
    summary=("replicas", "n_weights", "n_pairs", "modes", "modes_p_value"),
    figures=[
        Figure("lsg_ray.report.figures.rsb:replicas_figure", "Overlaps and ultrametricity",
               "replicas_caption", together=6)
    ],
)  # fmt: skip
