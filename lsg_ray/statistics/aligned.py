"""Configurations with their hidden units in a common order, out of core, and their distances.

Rows are read and reordered by tasks, a few at a time, and form one matrix (M, N) of 32-bit numbers
(or of bits, for ±1 weights) in memory or, if that is large, in a temporary file.  Distances between
all of them are computed from tiles of columns,

    ‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b,

in float64 and relative to the mean of each column; where the terms cancel almost completely
(`EuclideanConfig.cancellation`), the difference itself is squared.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.schema import pack
from lsg_ray.errors import InputError, StoreError
from lsg_ray.networks import alignment as units
from lsg_ray.registry import FAMILIES
from lsg_ray.results.graph import compute, share
from lsg_ray.spec import NetworkSpec
from lsg_ray.statistics.configurations import Configurations, StoredConfigurations, ranges
from lsg_ray.statistics.derived import CHECKED_INPUTS, DerivedConfigurations, stored_root
from lsg_ray.statistics.euclidean import EUCLIDEAN
from lsg_ray.statistics.node_symmetry import canonical_view
from lsg_ray.typing import Array, Floats, Ints

#: Called with the number of further rows or tiles that are done.
OnDone = Callable[[int], None]

#: Those of `lsg_ray.networks.alignment`, and canonical forms of ±1 weights.
Alignment = Literal["clustering", "matching", "canonical", "none"]


@dataclass(frozen=True)
class AlignedConfig:
    """Sizes of the matrix of reordered rows, and of the work on it."""

    #: Largest matrix in memory, in bytes; a larger one is in a temporary file (``TMPDIR``).
    memory_bytes: int = 2**29
    #: Bytes of the rows that a task returns, and of those in progress at a time.
    task_bytes: int = 2**24
    batch_bytes: int = 2**27
    #: Bytes of a tile of columns in float64.
    tile_bytes: int = 2**26


ALIGNED = AlignedConfig()


class Reordering(NamedTuple):
    """How the hidden units of each row are reordered.

    network: architecture; alignment: see `lsg_ray.networks.alignment`; reference: (N,) that units
    are matched to, or None; inputs: (P, inputs) real examples on which outputs are compared.
    """

    network: NetworkSpec
    alignment: units.Alignment
    reference: Array | None
    inputs: Array


class Plan(NamedTuple):
    """Source of reordered rows, what tasks do to them, layers, and widths of the network."""

    source: Configurations
    reordering: Reordering | None
    alignment: Alignment
    layers: tuple[slice, ...]
    widths: tuple[int, ...]


def plan_alignment(
    base: Configurations,
    alignment: Alignment | None,
    reference: int,
    network: NetworkSpec | Sequence[int] | None,
) -> Plan:
    """Decide how rows are reordered; see `lsg_ray.statistics.clustering.cluster`.

    Raises
    ------
    InputError
        The alignment is unknown, or does not fit the weights; the network or reference does not.
    """
    root, passed = stored_root(base), network
    if root is not None:
        network, passed = root.ensemble.spec.network, None
        if alignment not in (None, "none"):
            root.ensemble.require_permutable()
    elif isinstance(base, DerivedConfigurations):
        network, passed = base.network, None
    elif network is not None and not isinstance(network, NetworkSpec):
        families = (name for name in FAMILIES.names() if FAMILIES[name].signs == base.signs)
        network = NetworkSpec(family=next(families), widths=tuple(network))
    if root is not None and alignment is None and not root.ensemble.header.family.permutable:
        alignment = "none"
    known = network is not None and network.n_weights == base.n_weights
    if alignment is None:
        alignment = _default(base, network if known else None)
    if network is None or not known:
        if network is not None and passed is not None:
            raise InputError(
                f"{base.name} has {base.n_weights} weights a configuration; widths "
                f"{list(network.widths)} need {network.n_weights}"
            )
        if alignment != "none":
            raise InputError(
                f"alignment {alignment!r} of {base.name} asked for; hidden units are reordered in "
                "whole networks: pass a store, or network= of an array, or alignment 'none'"
            )
        return Plan(base, None, "none", (slice(0, base.n_weights),), ())
    layers, widths = network.layer_slices, network.widths
    if alignment == "none" or len(widths) == 2:
        return Plan(base, None, "none", layers, widths)
    _check_fit(base, alignment, reference)
    if alignment == "canonical":
        return Plan(canonical_view(base), None, alignment, layers, widths)
    target = as_stored(base, np.array([reference]))[0] if alignment == "matching" else None
    if root is not None:
        dataset = load_dataset(root.ensemble.spec.dataset, download=False)
        inputs: Array = dataset.test.x[:CHECKED_INPUTS]
    else:
        inputs = np.random.default_rng(0).standard_normal((CHECKED_INPUTS, widths[0]))
    return Plan(base, Reordering(network, alignment, target, inputs), alignment, layers, widths)


def _default(base: Configurations, network: NetworkSpec | None) -> Alignment:
    if network is None or isinstance(base, DerivedConfigurations):
        return "none"
    if base.signs:
        return "canonical" if stored_root(base) is not None else "none"
    return "clustering"


def _check_fit(base: Configurations, alignment: Alignment, reference: int) -> None:
    if alignment == "clustering" and base.signs:
        raise InputError(
            "alignment 'clustering' of ±1 weights asked for; their units are as often at equal "
            "distances, which leaves the order open: choose canonical or matching"
        )
    if alignment == "canonical" and (not base.signs or stored_root(base) is None):
        raise InputError(
            f"alignment 'canonical' of {base.name} asked for; it is for stores of ±1 weights: "
            "choose clustering or matching, or pass what canonicalize(...) returns"
        )
    if alignment == "matching" and not 0 <= reference < base.n_rows:
        raise InputError(
            f"reference {reference} given; {base.name} has rows 0 to {base.n_rows - 1}"
        )


class Matrix:
    """Rows (M, row) in memory or, beyond `AlignedConfig.memory_bytes`, in a temporary file.

    Raises
    ------
    StoreError
        The file does not fit on the disk.
    """

    def __init__(self, rows: int, row: int, kind: DTypeLike) -> None:
        size = rows * row * np.dtype(kind).itemsize
        self._map: mmap.mmap | None = None
        if size <= ALIGNED.memory_bytes:
            self.values: Array = np.empty((rows, row), kind)
            return
        with tempfile.TemporaryFile(prefix="lsg-rows-") as file:
            _reserve(file.fileno(), size)
            self._map = mmap.mmap(file.fileno(), size)
        self.values = np.frombuffer(self._map, kind).reshape(rows, row)

    def release(self) -> None:
        """Free the pages of the file that are in memory."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _reserve(file: int, size: int) -> None:
    """Allocate a file on disk at once: a full disk must not show when it is written to."""
    folder = tempfile.gettempdir()
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)
        elif shutil.disk_usage(folder).free > size:
            os.truncate(file, size)
        else:
            raise OSError("too little space")
    except OSError as error:
        raise StoreError(
            f"{folder}: {size / 2**30:.1f} GiB of reordered weights do not fit "
            f"({error.strerror or error}); set TMPDIR to a folder on a larger disk, or take fewer "
            "configurations"
        ) from error


def fill(
    matrix: Matrix,
    source: Configurations,
    chosen: Ints,
    reordering: Reordering | None,
    on_done: OnDone,
) -> None:
    """Read chosen rows, ascending, reorder them, and write them to a matrix.

    Tasks run under Dask's current scheduler, `AlignedConfig.batch_bytes` of rows at a time.

    Raises
    ------
    InputError
        A weight is not finite; the message says which.
    LsgError
        A reordered network has another output: an error of ours.
    """
    import dask

    size = matrix.values[:1].nbytes
    task = dask.delayed(read_rows, pure=False)
    cuts = ranges(source.n_rows, max(1, ALIGNED.task_bytes // size), source.grain)
    parts = [chosen[slice(*np.searchsorted(chosen, cut))] for cut in cuts]
    start, at_once = 0, max(1, ALIGNED.batch_bytes // size)
    for batch in _batches([part for part in parts if len(part)], at_once):
        order = share(reordering)
        for rows in compute([task(source, part, order, matrix.values.dtype) for part in batch]):
            matrix.values[start : start + len(rows)] = rows
            start += len(rows)
            on_done(len(rows))
        matrix.release()


def _batches(parts: list[Ints], rows: int) -> Iterator[list[Ints]]:
    """Yield lists of parts with up to ``rows`` rows together, at least one part each."""
    batch: list[Ints] = []
    for part in parts:
        if batch and sum(map(len, batch)) + len(part) > rows:
            yield batch
            batch = []
        batch.append(part)
    yield batch


def read_rows(
    source: Configurations, rows: Ints, reordering: Reordering | None, kind: DTypeLike
) -> Array:
    """Return chosen rows, reordered, of a type; bits for ±1 weights."""
    weights = as_stored(source, rows)
    if reordering is not None:
        how = reordering
        weights = units.aligned(how.network, weights, how.alignment, how.reference, how.inputs)
    return pack(weights) if source.signs else weights.astype(kind, copy=False)


def as_stored(source: Configurations, rows: Ints) -> Array:
    """Return chosen rows, ascending, (rows, N): int8 ±1, or real numbers as they are stored.

    Raises
    ------
    InputError
        A weight is not finite.
    """
    stored = isinstance(source, StoredConfigurations)
    weights = source.values("weights", rows) if stored else source.take(rows)
    good = np.isfinite(weights)
    if not good.all():
        row, weight = np.argwhere(~good)[0].tolist()
        raise InputError(
            f"{source.name} holds {weights[row, weight]} at row {rows[row]}, weight {weight}; "
            "weights must be finite: leave such configurations out"
        )
    return weights


class Distances(NamedTuple):
    """Distances between all rows of a matrix.

    matrix: (M, M); layers: of each layer, mean over pairs; independent: distance expected of two
    configurations whose weights are drawn independently from all weights of each layer.
    """

    matrix: Floats
    layers: list[float]
    independent: float


def tiles(matrix: Matrix, layers: Sequence[slice]) -> list[list[slice]]:
    """Cut the columns of each layer into tiles of `AlignedConfig.tile_bytes` in float64."""
    step = max(1, ALIGNED.tile_bytes // (8 * len(matrix.values)))
    return [
        [slice(a, min(a + step, layer.stop)) for a in range(layer.start, layer.stop, step)]
        for layer in layers
    ]


def euclidean(matrix: Matrix, layers: Sequence[slice], on_done: OnDone) -> Distances:
    """Return Euclidean distances of all pairs of rows.

    Parameters
    ----------
    matrix
        (M, N) real numbers.
    layers
        Columns of each layer.
    on_done
        Called with 1 after every tile.

    Notes
    -----
    M² N multiplications and additions, in matrix products; 40 M² bytes and two tiles of memory.
    """
    count = len(matrix.values)
    squares, sizes, means, expected = np.zeros((count, count)), np.zeros(count), [], 0.0
    for layer, cuts in zip(layers, tiles(matrix, layers), strict=True):
        gram, total, total_squares = np.zeros((count, count)), 0.0, 0.0
        for cut in cuts:
            x = matrix.values[:, cut].astype(np.float64)
            centre = x.mean(axis=0)
            x -= centre
            gram += x @ x.T
            # The sums over the tile of x and x², with what was taken off.
            total += count * centre.sum()
            total_squares += np.vdot(x, x) + count * np.vdot(centre, centre)
            matrix.release()
            on_done(1)
        size = gram.diagonal().copy()
        gram *= -2
        gram += size
        gram += size[:, None]
        np.maximum(gram, 0, out=gram)
        np.fill_diagonal(gram, 0.0)
        means.append(float(np.sqrt(gram).sum()) / (count * (count - 1)))
        squares += gram
        sizes += size
        width = layer.stop - layer.start
        mean = total / (count * width)
        expected += 2 * width * max(total_squares / (count * width) - mean**2, 0.0)
    _recompute_close(matrix, squares, sizes)
    np.fill_diagonal(squares, 0.0)
    return Distances(np.sqrt(squares), means, float(np.sqrt(expected)))


def _recompute_close(matrix: Matrix, squares: Floats, sizes: Floats) -> None:
    """Compute the squared distances of close rows again, from their differences; in place."""
    close = squares < EUCLIDEAN.cancellation * (sizes + sizes[:, None])
    close &= np.triu(np.ones_like(close), 1)
    near = np.flatnonzero(close.any(axis=1))
    if not len(near):
        return
    squares[close | close.T] = 0.0
    (cuts,) = tiles(matrix, [slice(0, matrix.values.shape[1])])
    for cut in cuts:
        x = matrix.values[:, cut].astype(np.float64)
        for i in near.tolist():
            others = np.flatnonzero(close[i])
            squares[i, others] += ((x[others] - x[i]) ** 2).sum(axis=1)
        matrix.release()
    first, second = np.nonzero(close)
    squares[second, first] = squares[first, second]
