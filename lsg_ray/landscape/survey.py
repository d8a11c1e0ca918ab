"""The landscape of an ensemble of ReLU networks, surveyed as in the paper: what `lsg run` does.

Each result is saved as it is done, with the content hash of the ensemble, and is not computed again
while that stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import xarray

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.landscape.flatness import flatness
from lsg_ray.landscape.interpolation import interpolate, swap_barriers
from lsg_ray.landscape.surface import loss_surface
from lsg_ray.landscape.walks import random_walk
from lsg_ray.networks.alignment import ALIGNMENTS, Alignment
from lsg_ray.results.pieces import results_version
from lsg_ray.results.saving import kept
from lsg_ray.statistics.clustering import cluster
from lsg_ray.statistics.replicas import aligned_replicas
from lsg_ray.statistics.rsb import replica_overlaps

#: Solutions, at least: overlaps need four beside the one that others are matched to.
FEWEST = 5
#: Solutions, at most, that walks start from, whose copies are made, and whose curvature is taken.
STARTS, COPIES, CURVED = 5, 3, 10
#: Pairs of solutions that are joined by paths.
PAIRS = 6
#: Step sizes and steps of walks; fewer steps where each draws forty moves.
SIGMAS, STEPS = (0.003, 0.01, 0.03), 100
CONSTRAINED_SIGMAS, CONSTRAINED_STEPS, CONSTRAINED_STARTS = (0.001, 0.003), 20, 2
#: Training examples that constrained walks take the loss on.
CONSTRAINED_EXAMPLES = 5_000
#: Solutions whose overlaps are taken.
REPLICAS = 64
#: Points of the loss surface, in each direction.
POINTS = 21


class Survey(NamedTuple):
    """What was found; ``paths`` by alignment of the hidden units."""

    walks: xarray.Dataset
    constrained: xarray.Dataset
    paths: dict[str, xarray.Dataset]
    swaps: xarray.Dataset
    curvature: xarray.Dataset
    surface: xarray.Dataset
    clusters: dict[str, xarray.Dataset]
    overlaps: xarray.Dataset


def cannot_survey(ensemble: Ensemble) -> str:
    """Return why an ensemble's landscape is not surveyed, or an empty string."""
    if ensemble.binary:
        return "Walks and paths are of networks of real weights."
    if ensemble.n_rows < FEWEST:
        return f"Needs at least {FEWEST} solutions; there are {ensemble.n_rows:,}."
    return ""


def survey(
    ensemble: Ensemble,
    folder: Path,
    *,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Survey:
    """Walk, interpolate, permute, measure curvature, cluster.

    Parameters
    ----------
    ensemble
        At least `FEWEST` solutions.
    folder
        Where results are saved: ``walks.zarr``, ``constrained.zarr``, ``paths-ALIGNMENT.zarr``,
        ``swaps.zarr``, ``curvature.zarr``, ``surface.zarr``, ``clusters-ALIGNMENT.zarr``,
        ``replicas.zarr``.
    seed
        Of everything.
    say
        Told a line as each step begins.
    """
    key = f"{ensemble.info()['content_hash']} {results_version()} {seed}"
    count = ensemble.n_rows

    def keep(name: str, make: Callable[[], xarray.Dataset]) -> xarray.Dataset:
        return kept(folder / f"{name}.zarr", key, make)

    say("random walks")
    walks = keep(
        "walks",
        lambda: random_walk(
            ensemble, sigma=SIGMAS, steps=STEPS, configurations=min(STARTS, count), seed=seed
        ),
    )
    constrained = keep(
        "constrained",
        lambda: random_walk(
            ensemble, sigma=CONSTRAINED_SIGMAS, steps=CONSTRAINED_STEPS, kind="constrained",
            configurations=min(CONSTRAINED_STARTS, count), examples=CONSTRAINED_EXAMPLES, seed=seed,
        ),
    )  # fmt: skip
    say("paths between solutions")
    paths = {
        str(name): keep(
            f"paths-{name}", partial(interpolate, ensemble, pairs=PAIRS, alignment=name, seed=seed)
        )
        for name in ALIGNMENTS
    }
    say("permuted copies")
    swaps = keep(
        "swaps", lambda: swap_barriers(ensemble, configurations=min(COPIES, count), seed=seed)
    )
    say("curvature")
    curvature = keep(
        "curvature", lambda: flatness(ensemble, configurations=min(CURVED, count), seed=seed)
    )
    first = int(ensemble.column("configuration")[0])
    surface = keep(
        "surface", lambda: loss_surface(ensemble, configuration=first, points=POINTS, seed=seed)
    )
    say("distances and clusters")
    orders: tuple[Alignment, ...] = ("clustering", "matching")
    clusters = {
        str(name): keep(f"clusters-{name}", partial(cluster, ensemble, alignment=name, seed=seed))
        for name in orders
    }
    overlaps = keep(
        "replicas",
        lambda: replica_overlaps(
            aligned_replicas(ensemble, REPLICAS, "matching", seed=seed), seed=seed
        ),
    )
    return Survey(walks, constrained, paths, swaps, curvature, surface, clusters, overlaps)
