"""Input of statistics: configurations in a store, in an array, or derived from others.

Every statistic uses the same interface: the numbers of configurations and weights, and any range of
rows, as signs or as bits.  Sources are small and picklable (a store is a URL and block
numbers), so a task anywhere reads its rows by itself, and nothing larger than a range is in memory.
"""

from __future__ import annotations

import json
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray import __version__
from lsg_ray.arrays import as_numbers
from lsg_ray.ensemble.lazy import weight_coordinates
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.schema import pack
from lsg_ray.errors import InputError
from lsg_ray.paths import ending, expanded, member_of
from lsg_ray.results.foreign import reading
from lsg_ray.results.opening import local_file, open_archive, open_array, require_file
from lsg_ray.rng import Stream, generator
from lsg_ray.statistics.copied_rows import groups_of_derivation
from lsg_ray.typing import (
    Array,
    Bytes,
    ConfigurationsLike,
    Flags,
    Floats,
    Ints,
    JsonObject,
    PathOrUrl,
)

#: Largest real weight: squares, summed in float32, stay finite.
MAX_WEIGHT = 1e15


class Configurations(ABC):
    """Rows of weights, all of one length.

    Attributes
    ----------
    name
        Name in messages: a URL, or ``array``.
    n_rows, n_weights
        Number of configurations M and of weights N.
    signs
        Whether weights are ±1; else they are real numbers.
    """

    name: str
    n_rows: int
    n_weights: int
    signs: bool
    #: Names of values stored per configuration, such as ``accuracy``.
    columns: tuple[str, ...] = ()

    def require(self, least: int, purpose: str) -> None:
        """Refuse to continue with fewer rows.

        Raises
        ------
        InputError
            With the number of rows, and the condition that selected them.
        """
        if self.n_rows < least:
            raise InputError(
                f"{self.name}: {self.n_rows} configurations selected; {purpose} need at least "
                f"{least}{self._remedy()}"
            )

    def _remedy(self) -> str:
        return ""

    @abstractmethod
    def rows(self, start: int, stop: int) -> Array:
        """Return rows start:stop, (rows, N): int8 ±1, or float64 for real weights."""

    def packed(self, start: int, stop: int) -> Bytes:
        """Return rows start:stop of binary weights as bits, (rows, ceil(N/8)); see `pack`."""
        return pack(self.rows(start, stop))

    def take(self, rows: Ints) -> Array:
        """Return chosen rows, ascending, as `rows` does."""
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        parts = [self.rows(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]
        return np.concatenate(parts) if parts else self.rows(0, 0)

    def values(self, name: str, rows: Ints) -> Array:  # noqa: ARG002
        """Return what is stored beside chosen rows, such as ``accuracy``: (rows, …)."""
        raise InputError(f"{self.name} has no column {name!r}; only stores have columns")

    def groups(self) -> Ints | None:
        """Return a number for each row, equal for copies of one configuration: (M,).

        None where all rows are independent; see `lsg_ray.statistics.copies`.
        """
        return None

    def part(self, part: str | int) -> Configurations:
        """Return the configurations restricted to a part of the network's weights."""
        raise InputError(f"part {part!r} of {self.name} asked for; only stores know parts")

    @property
    def grain(self) -> int:
        """Number of rows that are stored together; ranges of multiples of it are read fastest."""
        return 1

    def coordinates(self) -> dict[str, tuple[str, Array]]:
        """Return coordinates along ``weight``."""
        return {"weight": ("weight", np.arange(self.n_weights))}

    def provenance(self) -> JsonObject:
        """Return attributes that name the source of a result."""
        return {"source": self.name, "package_version": __version__}


def as_configurations(given: ConfigurationsLike) -> Configurations:
    """Return any input as `Configurations`.

    Parameters
    ----------
    given
        `Ensemble`, view, or the URL of a store; ``FILE.npy``, ``FILE.npz`` or ``FILE.npz:NAME``;
        NumPy, Dask or xarray array (M, N), or nested lists.  Integers must be ±1; floating-point
        numbers are binary weights if all are ±1.

    Raises
    ------
    InputError
        An array of another shape, or with values that are no weights.
    """
    if isinstance(given, Configurations):
        return given
    if isinstance(given, (str, os.PathLike)):
        if is_array_file(given):
            return read_array(given)
        given = open_ensemble(given)
    if isinstance(given, Ensemble):
        return StoredConfigurations(given)
    return ArrayConfigurations(given)


class StoredConfigurations(Configurations):
    """Rows of the complete blocks of a store, or of a view of it."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.signs, self.columns = ensemble.signs, ensemble.query_columns
        self.name = ensemble.url
        self.n_weights = ensemble.n_weights
        self._ends = np.cumsum(ensemble.rows_by_block)
        self.n_rows = int(self._ends[-1]) if len(self._ends) else 0

    @property
    def grain(self) -> int:
        return self.ensemble.block_size

    def _blocks(self, start: int, stop: int) -> Iterator[tuple[int, slice]]:
        """Yield block and rows in it that make up rows start:stop."""
        if start >= stop:
            return
        for index in range(int(np.searchsorted(self._ends, start, "right")), len(self._ends)):
            end = int(self._ends[index])
            first = end - int(self.ensemble.rows_by_block[index])
            yield int(self.ensemble.blocks[index]), slice(max(start - first, 0), stop - first)
            if end >= stop:
                return

    def rows(self, start: int, stop: int) -> Array:
        blocks = [self.ensemble.weights_block(b)[rows] for b, rows in self._blocks(start, stop)]
        weights = np.concatenate(blocks) if blocks else self.ensemble.no_rows("weights")
        return weights if self.signs else _real(weights, np.arange(start, stop), self.name)

    def packed(self, start: int, stop: int) -> Bytes:
        blocks = [self.ensemble.packed_block(b)[rows] for b, rows in self._blocks(start, stop)]
        row = -(-self.n_weights // 8)
        return np.concatenate(blocks) if blocks else np.empty((0, row), np.uint8)

    def take(self, rows: Ints) -> Array:
        weights = self.values("weights", rows)
        return weights if self.signs else _real(weights, rows, self.name)

    def values(self, name: str, rows: Ints) -> Array:
        empty = self.ensemble.no_rows(name)
        values = np.empty((len(rows), *empty.shape[1:]), empty.dtype)
        indices = np.searchsorted(self._ends, rows, "right")
        for index in np.unique(indices).tolist():
            first = self._ends[index] - self.ensemble.rows_by_block[index]
            here = indices == index
            block = self.ensemble.read(int(self.ensemble.blocks[index]), [name])[name]
            values[here] = block[rows[here] - first]
        return values

    def groups(self) -> Ints | None:
        derivation, count = self.ensemble.header.derivation, self.ensemble.count
        # Most stores have no copies, and their rows need not be numbered.
        if derivation is None or '"add"' not in json.dumps(derivation):
            return None
        rows = self.values("configuration", np.arange(self.n_rows)).astype(np.int64)
        return groups_of_derivation(derivation, rows, count)

    def _remedy(self) -> str:
        if not self.ensemble.n_complete:
            return "; no block is complete yet: sample first"
        where = self.ensemble.condition
        return "" if where is None else f"; relax the condition (--where): {where}"

    def part(self, part: str | int) -> StoredConfigurations:
        return StoredConfigurations(self.ensemble.part(part))

    def coordinates(self) -> dict[str, tuple[str, Array]]:
        weights = self.ensemble.weight_slice
        known = weight_coordinates(self.ensemble.spec)
        return {name: ("weight", values[weights]) for name, values in known.items()}

    def provenance(self) -> JsonObject:
        ensemble, spec = self.ensemble, self.ensemble.spec
        return {
            "source": spec.name,
            "spec": spec.canonical_json(),
            "spec_hash": ensemble.spec_hash,
            "sampling_seed": spec.ensemble.seed,
            "complete_configurations": ensemble.n_complete,
            "planned_configurations": ensemble.count,
            "where": ensemble.condition or "",
            **ensemble.time,
            "package_version": __version__,
        }


class ArrayConfigurations(Configurations):
    """Rows of an array; a Dask array is computed range by range, inside the tasks."""

    def __init__(self, array: ArrayLike, name: str = "array") -> None:
        self.name = name
        rows = _rows_first(array)
        self._lazy = hasattr(rows, "dask")
        self._array: Any = rows if self._lazy else as_numbers(rows, name, None)
        if self._array.ndim != 2 or self._array.shape[1] == 0:
            raise InputError(
                f"{name} of shape {self._array.shape} given; configurations are (M, N) with N > 0"
            )
        if np.isnan(self._array.shape[0]):
            raise InputError("Dask array of unknown length given; call compute_chunk_sizes() first")
        self.n_rows, self.n_weights = map(int, self._array.shape)
        kind = self._array.dtype.kind
        if kind not in "iuf":
            raise InputError(f"{name} of {self._array.dtype} given; weights are ±1 or real numbers")
        # Floating-point ±1 are binary weights too, so all of them must be read.
        all_signs: Any = kind in "iu" or (abs(self._array) == 1).all()
        self.signs = bool(all_signs.compute() if hasattr(all_signs, "compute") else all_signs)

    @property
    def grain(self) -> int:
        return int(self._array.chunksize[0]) if self._lazy and self.n_rows else 1

    def rows(self, start: int, stop: int) -> Array:
        return self._weights(self._array[start:stop], np.arange(start, stop))

    def take(self, rows: Ints) -> Array:
        return self._weights(self._array[rows], rows)

    def _weights(self, values: Any, rows: Ints) -> Array:
        if self._lazy:
            values = as_numbers(values.compute(scheduler="synchronous"), self.name, None)
        if not self.signs:
            return _real(values, rows, self.name)
        _require((values == 1) | (values == -1), values, rows, self.name, "±1")
        return values.astype(np.int8)


def _real(values: Array, rows: Ints, name: str) -> Floats:
    """Return real weights as float64; they must be finite, and their products too."""
    weights = values.astype(np.float64)
    need = f"finite, and at most {MAX_WEIGHT:g}"
    _require(np.abs(weights) <= MAX_WEIGHT, weights, rows, name, need)
    return weights


def _require(good: Flags, values: Array, rows: Ints, name: str, need: str) -> None:
    if not good.all():
        row, weight = np.argwhere(~good)[0].tolist()
        raise InputError(
            f"{name} holds {values[row, weight]} at row {rows[row]}, weight {weight}; "
            f"weights must be {need}"
        )


def _rows_first(array: Any) -> Any:
    """Return an array; of a DataArray with dimensions (…, configuration), its transpose."""
    if type(array).__name__ != "DataArray":
        return array
    dims = array.dims
    return (array.T if len(dims) == 2 and dims[1] == "configuration" else array).data


def is_array_file(path: PathOrUrl) -> bool:
    """Return whether a path names an array in a file: ``.npy``, ``.npz`` or ``.npz:NAME``."""
    file, _ = member_of(path)
    return ending(file) in (".npy", ".npz") and not os.path.isdir(expanded(file))


def chosen_array(arrays: Iterable[str], path: str, name: str | None) -> str:
    """Return which array of an ``.npz`` to read: that of a name, ``sigma``, or the only one.

    Raises
    ------
    InputError
        No array has the name, or a name is needed.
    """
    names = list(arrays)
    implied = "sigma" if "sigma" in names else names[0] if len(names) == 1 else None
    chosen = implied if name is None else name
    if chosen is None or chosen not in names:
        raise InputError(
            f"{path} holds {', '.join(names) or 'nothing'}; write {path}:NAME of an array"
        )
    return chosen


def read_array(path: PathOrUrl) -> ArrayConfigurations:
    """Read configurations (M, N) from ``FILE.npy``, or ``FILE.npz`` (``sigma``, or ``:NAME``).

    Raises
    ------
    InputError
        The file cannot be read, holds Python objects, or has no such array.
    """
    text = os.fspath(path)
    file, name = member_of(text)
    remedy = "write it with numpy.save"
    with reading(file, "cannot be read as an array of numbers", remedy, expanded(file)):
        local = local_file(file)
        require_file(local)
        if not zipfile.is_zipfile(local):
            return ArrayConfigurations(open_array(local), text)
        with open_archive(local) as arrays:
            chosen = chosen_array(arrays, file, name)
            return ArrayConfigurations(np.asarray(arrays[chosen]), text)


def ranges(n_rows: int, rows: int, grain: int = 1) -> list[tuple[int, int]]:
    """Cut 0:n_rows into ranges of about ``rows`` rows, a multiple of ``grain``.

    >>> ranges(10, 4)
    [(0, 4), (4, 8), (8, 10)]
    """
    step = max(1, round(rows / grain)) * grain
    return [(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def stream(seed: int, stage: Stream, *index: int) -> np.random.Generator:
    """Return the random numbers of a statistic, after a check of the seed.

    Raises
    ------
    InputError
        The seed is not an integer from 0.
    """
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed {seed!r} given; it must be an integer, 0 or more")
    return generator(int(seed), stage, *index)


def check_same_weights(first: Configurations, second: Configurations) -> None:
    """Refuse two sets whose configurations cannot be compared."""
    if first.n_weights != second.n_weights:
        raise InputError(
            f"{first.name} has {first.n_weights} weights a configuration, {second.name} "
            f"{second.n_weights}; give two of the same network, or the same part of both"
        )
    if first.signs != second.signs:
        raise InputError(f"{first.name} and {second.name}: one has weights ±1, the other real ones")
