"""Networks as replicas: some of an ensemble, hidden units of real ones in a common order."""

from __future__ import annotations

import contextlib
from typing import Annotated, Unpack

import numpy as np
import xarray
from annotated_types import Ge

from lsg_ray.arrays import public
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import DataError, InputError
from lsg_ray.networks.alignment import Alignment, aligned
from lsg_ray.rng import Stream
from lsg_ray.stage import ENSEMBLE, Stage
from lsg_ray.statistics.configurations import (
    ArrayConfigurations,
    StoredConfigurations,
    as_configurations,
    stream,
)
from lsg_ray.statistics.copies import draw_independent
from lsg_ray.statistics.derived import CHECKED_INPUTS, stored_root
from lsg_ray.statistics.findings import replicas_findings
from lsg_ray.statistics.rsb import FIGURE, overlap_summary, replica_overlaps
from lsg_ray.typing import EnsembleLike, Repeats, Seeded

#: Most bytes of networks whose overlaps are computed.
MAX_REPLICA_BYTES = 2**32


def aligned_replicas(
    ensemble: Ensemble, count: int, alignment: Alignment, *, seed: int = 0
) -> ArrayConfigurations:
    """Return some networks of real weights in a common order, in memory as float32.

    Parameters
    ----------
    ensemble
        Ensemble of ReLU networks, or a view of one.
    count
        Number of networks, drawn at random; all if there are fewer.
    alignment
        See `lsg_ray.networks.alignment`; ``matching`` is to one more network, which is left out:
        it is nearer to all others than they are to each other.
    seed
        Seed of the draw.

    Raises
    ------
    InputError
        Fewer than four networks beside the reference, or more than fit into `MAX_REPLICA_BYTES`.
    """
    source = StoredConfigurations(ensemble)
    if alignment != "none":
        ensemble.require_permutable()
    matching = alignment == "matching"
    source.require(4 + matching, "overlaps of replicas")
    count = min(count + matching, source.n_rows)
    if 4 * count * source.n_weights > MAX_REPLICA_BYTES:
        most = MAX_REPLICA_BYTES // (4 * source.n_weights)
        raise InputError(
            f"{count} networks of {source.n_weights:,} weights given; {most} at most (--replicas)"
        )
    rng = stream(seed, Stream.RSB, 1 << 23)
    rows = draw_independent(source, count, rng)
    inputs = None  # where there are none, a network is not compared with itself
    if ensemble.header.family.has_outputs:
        with contextlib.suppress(DataError):
            dataset = load_dataset(ensemble.spec.dataset, download=False)
            inputs = dataset.test.x[:CHECKED_INPUTS]
    reference = source.take(rows[:1])[0]
    rows = rows[1:] if matching else rows
    networks = np.empty((len(rows), source.n_weights), np.float32)
    for index, row in enumerate(rows):
        weights = source.take(np.array([row]))
        networks[index] = aligned(ensemble.spec.network, weights, alignment, reference, inputs)[0]
    return ArrayConfigurations(networks, source.name)


@public
def network_replicas(
    ensemble: EnsembleLike,
    *,
    replicas: Annotated[int, Ge(4)] = 64,
    alignment: Alignment = "matching",
    centered: bool = False,
    draws: Repeats = 20,
    **run: Unpack[Seeded],
) -> xarray.Dataset:
    """Measure the overlaps of networks, and how ultrametric they are, beside nulls.

    Parameters
    ----------
    ensemble
        Ensemble or view, or its path.
    replicas
        Number of networks, drawn at random; all if there are fewer.
    alignment
        How hidden units of real-valued networks are brought into a common order.
    centered
        Whether to subtract the mean configuration.
    draws
        Number of draws of each null.

    Returns
    -------
    xarray.Dataset
        As `lsg_ray.replica_overlaps`.

    Raises
    ------
    InputError
        Fewer than four networks; canonical forms of real-valued ones, or a part of them, where
        they are to be aligned.

    Examples
    --------
    >>> signs = np.where(np.random.default_rng(0).random((8, 200)) < 0.5, -1, 1)
    >>> result = network_replicas(signs, draws=2)
    >>> result.attrs["replicas"], result["q"].shape
    (8, (8, 8))
    """
    source = as_configurations(ensemble)
    root = stored_root(source)
    rows, count = source, replicas if source.signs else None
    if not source.signs:
        if not isinstance(source, StoredConfigurations):
            raise InputError(f"{source.name}: --canonical is of ±1 weights; use --alignment")
        network = source.ensemble.spec.network
        if source.n_weights != network.n_weights and alignment != "none":
            raise InputError(f"{source.name}: --alignment is of whole networks, without --part")
        rows = aligned_replicas(source.ensemble, replicas, alignment, seed=run["seed"])
    result = replica_overlaps(rows, configurations=count, centered=centered, draws=draws, **run)
    if not source.signs:
        result = result.assign_attrs(alignment=alignment)
    return result if root is None else result.assign_attrs(system=root.ensemble.spec.name)


STAGE = Stage(
    "replicas",
    network_replicas,
    reads={"ensemble": ENSEMBLE},
    summary=overlap_summary,
    findings=replicas_findings,
    figures=[FIGURE],
)
