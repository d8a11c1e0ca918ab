"""A sample of an ensemble that is small enough to look at, and its map.

Whole blocks are sampled, so that few chunks are read however many configurations there are; blocks
hold configurations of the same law.  Components are those of some thousand configurations, onto
which all of the sample are projected: block by block, in single precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.ensemble.schema import unpack
from lsg_ray.errors import InputError
from lsg_ray.typing import Array, Bytes, Floats, Ints, Singles


@dataclass(frozen=True)
class SampleConfig:
    """Sizes of a sample.

    rows: configurations, where no number is asked for; component_rows, component_bytes:
    configurations whose components are computed, and bytes of their weights, at most; gram_weights:
    weights above which these come from products of configurations and not of weights; map_bytes:
    bytes of weights that are read for a map, at most; cached_bytes: bits of binary weights that are
    kept in memory, at most.
    """

    rows: int = 100_000
    component_rows: int = 4_000
    component_bytes: int = 2**30
    gram_weights: int = 4_096
    map_bytes: int = 16 * 2**30
    cached_bytes: int = 2**28


CONFIG = SampleConfig()


class Sample:
    """Some whole blocks of an ensemble or view, chosen at random, and what was read of them.

    Parameters
    ----------
    ensemble
        Ensemble or view.
    rows
        Number of configurations, about: a block more or less.
    seed
        Seed of the choice.
    """

    def __init__(self, ensemble: Ensemble, rows: int = CONFIG.rows, seed: int = 0) -> None:
        if not len(ensemble.blocks):
            raise InputError(f"{ensemble.url}: no configurations yet; sample first")
        self.ensemble = ensemble
        wanted = max(1, -(-rows // ensemble.block_size))
        chosen = ensemble.blocks
        if wanted < len(chosen):
            rng = np.random.default_rng(seed)
            chosen = np.sort(rng.choice(chosen, wanted, replace=False))
        self.blocks: list[int] = chosen.tolist()
        self._columns: dict[str, Array] = {}

    @property
    def is_whole(self) -> bool:
        """Whether all configurations are in it."""
        return len(self.blocks) == len(self.ensemble.blocks)

    def column(self, name: str) -> Array:
        """Return a number per configuration: (rows,); read once."""
        if name not in self._columns:
            parts = [self.ensemble.read(block, [name])[name] for block in self.blocks]
            self._columns[name] = np.concatenate(parts)
        return self._columns[name]

    @cached_property
    def bits(self) -> list[Bytes] | None:
        """Binary weights block by block, as bits (rows, bytes); None where too many to keep."""
        ensemble = self.ensemble
        size = len(self.column("configuration")) * -(-ensemble.n_weights // 8)
        if not ensemble.signs or ensemble.is_part or size > CONFIG.cached_bytes:
            return None
        return [ensemble.packed_block(block) for block in self.blocks]

    @cached_property
    def components(self) -> tuple[Floats, Floats]:
        """Mean and first two principal axes of some configurations: (N,), (N, 2)."""
        return principal_axes(self._some())

    @cached_property
    def xy(self) -> Singles:
        """Scores on the first two principal components: (rows, 2).

        Raises
        ------
        InputError
            Too many weights would have to be read.
        """
        item = 1 if self.ensemble.signs else 4
        size = len(self.column("configuration")) * self.ensemble.n_weights * item
        if size > CONFIG.map_bytes:
            raise InputError(
                f"{size / 2**30:.0f} GiB of weights to read for this map, more than "
                f"{CONFIG.map_bytes / 2**30:.0f}; choose fewer points"
            )
        n, bits = self.ensemble.n_weights, self.bits
        blocks = (
            (self.ensemble.weights_block(block) for block in self.blocks)
            if bits is None
            else (unpack(some, 0, n) for some in bits)
        )
        return np.concatenate([self._scores(weights) for weights in blocks])

    def project(self, configurations: Ints) -> Singles:
        """Return the scores of any configurations (M,) on the same components: (M, 2)."""
        return self._scores(self.ensemble.take(configurations)["weights"])

    def _scores(self, weights: Array) -> Singles:
        mean, axes = self.components
        offset = (mean @ axes).astype(np.float32)
        return weights.astype(np.float32) @ axes.astype(np.float32) - offset

    def _some(self) -> Floats:
        """Return weights of the first configurations of the sample."""
        n = self.ensemble.n_weights
        most = max(2, min(CONFIG.component_rows, CONFIG.component_bytes // (8 * n)))
        parts: list[Array] = []
        for block in self.blocks:
            if most <= 0:
                break
            parts.append(self.ensemble.weights_block(block)[:most].astype(np.float64))
            most -= len(parts[-1])
        return np.concatenate(parts)


def principal_axes(weights: Floats) -> tuple[Floats, Floats]:
    """Return mean (N,) and the first two principal axes (N, 2) of configurations (M, N).

    The sign of an axis makes its largest entry positive.  Axes of zeros stand for those that there
    are not.  O(M N min(M, N)) time.

    >>> mean, axes = principal_axes(np.array([[1.0, 1.0], [-1.0, 1.0]]))
    >>> mean.tolist(), axes.tolist()
    ([0.0, 1.0], [[1.0, 0.0], [0.0, 0.0]])
    """
    from scipy.linalg import eigh

    mean = weights.mean(axis=0)
    centred = weights - mean
    rows, n = centred.shape
    axes = np.zeros((n, 2))
    by_weights = n <= min(rows, CONFIG.gram_weights)
    product = centred.T @ centred if by_weights else centred @ centred.T
    count = min(2, len(product))
    values, vectors = eigh(product, subset_by_index=[len(product) - count, len(product) - 1])
    found = vectors if by_weights else centred.T @ vectors
    for k in range(count):
        axis, value = found[:, count - 1 - k], values[count - 1 - k]
        if value > 1e-10 * max(float(np.trace(product)), np.finfo(float).tiny):
            axis = axis / np.linalg.norm(axis)
            axes[:, k] = axis if axis[np.abs(axis).argmax()] > 0 else -axis
    return mean, axes


def inside(xy: Array, bounds: tuple[float, float, float, float] | None, lasso: Any = None) -> Ints:
    """Return the rows of points (M, 2) in a box, left, bottom, right, top, or in a polygon (K, 2).

    >>> inside(np.array([[0.0, 0.0], [2.0, 0.0]]), (-1, -1, 1, 1)).tolist()
    [0]
    """
    if lasso is not None and len(lasso) > 2:
        from matplotlib.path import Path

        corners = np.asarray(lasso, float)
        low, high = corners.min(axis=0), corners.max(axis=0)
        near = inside(xy, (low[0], low[1], high[0], high[1]))
        return near[Path(corners).contains_points(xy[near])]
    if bounds is None:
        return np.empty(0, np.int64)
    left, bottom, right, top = bounds
    x, y = xy[:, 0], xy[:, 1]
    return np.flatnonzero((x >= left) & (x <= right) & (y >= bottom) & (y <= top))
