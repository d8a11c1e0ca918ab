"""Ensembles planted in memory, in place of those of a run: as large, but sampled in seconds.

Some configurations are sampled, and repeated, of ±1 weights with some signs flipped, to the number
of the run or to as many as fit into memory.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lsg_ray.cluster.progress import Style, byte_progress
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.chunks import chunk_bytes
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.schema import arrays_of
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.errors import AcceptanceError, SpecError
from lsg_ray.networks.sampling import Sampled, prepare, sample_configurations
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import Spec
from lsg_ray.typing import Array


@dataclass(frozen=True)
class PlantConfig:
    """Sizes of what is planted."""

    #: Bytes of a planted ensemble, in memory.
    bytes: int = 2**27
    #: Configurations of it that are sampled, at most.
    sampled: int = 400
    #: Share of the signs of repeated configurations that are flipped.
    flips: float = 0.2


CONFIG = PlantConfig()
_NUMBERS = itertools.count()


class Planted:
    """Ensembles of a run that are planted when they are read first, the last two retained."""

    def __init__(self, specs: Mapping[str, Spec], seconds: float, style: Style) -> None:
        self._specs, self._style = specs, style
        self._seconds = seconds / len(specs)
        self._stores: dict[str, Ensemble] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def share(self, name: str) -> float:
        """Return the share of the configurations of a run that are planted."""
        return self.store(name).n_rows / self._specs[name].ensemble.count

    def store(self, name: str) -> Ensemble:
        """Return a planted ensemble."""
        if name not in self._stores:
            self._stores[name] = plant(self._specs[name], self._seconds, self._style)
        return self._stores[name]


def plant(spec: Spec, seconds: float, style: Style = "quiet") -> Ensemble:
    """Return an ensemble in memory: some configurations, repeated to the number of a run.

    Where a trial takes longer than the seconds, networks are trained for one epoch, and all are
    accepted: what is measured of them takes as long.
    """
    with byte_progress(style) as on_bytes:
        dataset = load_dataset(spec.dataset, progress=on_bytes)
    arena = prepare(spec, dataset)
    row = sum(chunk_bytes(array, spec.block_size) for array in arrays_of(spec)) / spec.block_size
    count = min(spec.ensemble.count, max(int(CONFIG.bytes / row), spec.stack))
    short, sampled = _sampled(spec, arena, min(count, CONFIG.sampled), seconds)
    weights = np.concatenate([one.weights for one in sampled])
    columns = {
        name: np.concatenate([one.columns[name] for one in sampled]) for name in sampled[0].columns
    }
    url = f"memory://planted-{next(_NUMBERS)}-{time.monotonic_ns()}"
    plan = create_ensemble(
        url,
        short.replace(ensemble={"count": count, "block_size": min(spec.block_size, count)}),
        dataset_hash=dataset.content_hash,
    )
    for block in range(plan.n_blocks):
        start = block * plan.block_size
        numbers = np.arange(start, start + plan.rows(block))
        rows = numbers % len(weights)
        taken = weights[rows]
        if FAMILIES[spec.network.family].signs:
            taken = _flipped(taken, numbers >= len(weights), start)
        some: Mapping[str, Array] = {name: column[rows] for name, column in columns.items()}
        write_block(url, block, Block(start, taken, some, len(rows)))
    return open_ensemble(url)


def _flipped(weights: Array, repeated: Array, seed: int) -> Array:
    """Flip some signs of repeated configurations: no weight is frozen, and none is a copy."""
    flips = np.random.default_rng(seed).random(weights.shape) < CONFIG.flips
    return np.where(flips & repeated[:, None], -weights, weights)


def _sampled(spec: Spec, arena: Any, count: int, seconds: float) -> tuple[Spec, list[Sampled]]:
    """Sample some configurations, a stack at least, by trials of one epoch if need be."""
    try:
        brief = spec.replace(training={"epochs": 1}, ensemble={"threshold": 0.0, "snapshots": None})
        candidates = [brief, spec] if spec.training.epochs > 1 else [spec]
        if spec.times[1]:
            candidates = [spec]
    except SpecError:
        candidates = [spec]
    for one in candidates:
        found: list[Sampled] = []
        began = math.inf
        try:
            while not found or (
                len(found) * spec.stack < count and time.perf_counter() - began < seconds
            ):
                start = len(found) * spec.stack
                found.append(sample_configurations(one, arena, start, spec.stack))
                began = min(began, time.perf_counter())  # the first one compiles kernels
        except AcceptanceError:  # an algorithm that finds nothing in one epoch
            if one is candidates[-1]:
                raise
            continue
        return one, found
    raise AssertionError("there is a candidate")
