"""Weights to be imported, read block by block and never whole.

A source knows the number of its configurations and reads rows of them; `scan` reads all rows once,
before anything is created, and reports faults with their row.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from lsg_ray.ensemble.block import wrong_values
from lsg_ray.ensemble.declared import check_column_name, check_distinct, declared_column
from lsg_ray.errors import InputError
from lsg_ray.networks.family import SCALAR_COLUMNS
from lsg_ray.typing import Array, Ints, Progress


@dataclass(frozen=True)
class ImportConfig:
    """Sizes of the blocks that are read and written."""

    #: Size in bytes of the weights read at a time, and of those in a block of the store.
    read_bytes: int = 2**25
    block_bytes: int = 2**25
    #: Largest number of configurations of a block: statistics work block by block.
    block_rows: int = 10_000


CONFIG = ImportConfig()


def block_rows(n_rows: int, n_weights: int, signs: bool) -> int:
    """Return the number of configurations of a block of a store."""
    fitting = CONFIG.block_bytes // ((1 if signs else 4) * n_weights)
    return max(1, min(n_rows, CONFIG.block_rows, fitting))


class Rows(NamedTuple):
    """Consecutive configurations: weights (rows, N), and columns (rows,) by name."""

    weights: Array
    columns: Mapping[str, Array]


class Source(ABC):
    """Configurations of a file, an array or state dicts, read row by row.

    Parameters
    ----------
    name
        Name for messages.
    n_rows, n_weights
        Number of configurations, and of weights of each.
    layers
        Shapes of the layers by name, in the order of the weights; None for flat
        weights, whose layers are not known.
    """

    def __init__(
        self,
        name: str,
        n_rows: int,
        n_weights: int,
        layers: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.name, self.n_rows, self.n_weights = name, n_rows, n_weights
        self.layers = layers
        #: Whether rows are those of a network of the given widths, and have biases.
        self.matched, self.biases = False, False
        #: Notes for the user on how it was read.
        self.notes: list[str] = []

    @abstractmethod
    def read(self, start: int, stop: int) -> Rows:
        """Return rows start:stop."""

    def blocks(self) -> Iterator[tuple[int, Rows]]:
        """Yield the first row and the rows of all blocks, in order."""
        step = max(1, CONFIG.read_bytes // max(1, 8 * self.n_weights))
        for start in range(0, self.n_rows, step):
            yield start, self.read(start, min(start + step, self.n_rows))


class ArraySource(Source):
    """Rows of an array in memory, on disk or of Dask (M, N), and columns (M,)."""

    def __init__(self, name: str, weights: Array, columns: Mapping[str, Array]) -> None:
        super().__init__(name, *weights.shape)
        self._weights, self._columns = weights, columns

    def read(self, start: int, stop: int) -> Rows:
        columns = {name: values[start:stop] for name, values in self._columns.items()}
        weights: Any = self._weights[start:stop]
        if hasattr(weights, "dask"):
            weights = weights.compute(scheduler="synchronous")
        weights = weights.view(np.uint8) if weights.dtype == np.bool_ else weights
        return Rows(np.ascontiguousarray(weights), columns)


class Permuted(Source):
    """A source with the weights of each row in another order."""

    def __init__(self, base: Source, order: Ints) -> None:
        super().__init__(base.name, base.n_rows, len(order), base.layers)
        self.notes = base.notes
        self._base, self._order = base, order

    def read(self, start: int, stop: int) -> Rows:
        rows = self._base.read(start, stop)
        return Rows(np.take(rows.weights, self._order, axis=1), rows.columns)


class WithColumns(Source):
    """A source with additional columns (M,)."""

    def __init__(self, base: Source, columns: Mapping[str, Array]) -> None:
        super().__init__(base.name, base.n_rows, base.n_weights, base.layers)
        self.notes, self.matched, self.biases = base.notes, base.matched, base.biases
        self._base, self._columns = base, columns

    def read(self, start: int, stop: int) -> Rows:
        rows = self._base.read(start, stop)
        if repeated := sorted(set(rows.columns) & set(self._columns)):
            raise InputError(f"{self.name}: column {repeated[0]!r} is there already; rename one")
        more = {name: values[start:stop] for name, values in self._columns.items()}
        return Rows(rows.weights, {**rows.columns, **more})


@dataclass
class Scan:
    """Properties of all rows of a source.

    signs: whether weights are ±1; zero_one: whether they are given as 0 and 1; digest: SHA-256 of
    the numbers; types: of the columns; rounding: largest relative error of float32; largest: size
    of real weights.
    """

    signs: bool = False
    zero_one: bool = False
    digest: str = ""
    types: dict[str, str] = field(default_factory=dict)
    rounding: float = 0.0
    largest: float = 0.0

    def stored(self, weights: Array) -> Array:
        """Return weights as they are stored: int8 ±1, or float32."""
        if not self.signs:
            return weights.astype(np.float32)
        # 0/1 → −1/+1, and ±1 as they are.
        signs: Array = weights.astype(np.int8)
        return 2 * signs - 1 if self.zero_one else signs


class _Values:
    """Which of the values −1, 0 and 1 binary weights have had so far."""

    def __init__(self, name: str) -> None:
        self.name, self.zero, self.minus = name, False, False

    def add(self, start: int, weights: Array) -> None:
        low, high = (weights.min(), weights.max()) if weights.size else (1, 1)
        whole = weights.dtype.kind in "iu" or bool((weights == np.rint(weights)).all())
        if low < -1 or high > 1 or not whole:
            self._refuse(start, weights, ~np.isin(weights, (-1, 0, 1)), "±1, or 0 and 1")
        zero = low <= 0 and bool((weights == 0).any())
        if (zero and (self.minus or low < 0)) or (low < 0 and self.zero):
            # The first value other than 1 decides between ±1 and 0/1.
            signs = self.minus or (not self.zero and weights[weights < 1].flat[0] == -1)
            wrong = weights == (0 if signs else -1)
            need = "±1, as those before it" if signs else "0 or 1, as those before it"
            self._refuse(start, weights, wrong, need)
        self.zero, self.minus = self.zero or zero, self.minus or bool(low < 0)

    def _refuse(self, start: int, weights: Array, wrong: Array, need: str) -> None:
        row, weight = np.argwhere(wrong)[0].tolist()
        raise InputError(
            f"{self.name}: row {start + row}, weight {weight} is {weights[row, weight]:g}; binary "
            f"weights are {need}; for real weights pass --family real-weights (or relu)"
        )


def scan(source: Source, signs: bool | None, progress: Progress | None = None) -> Scan:
    """Read and check all rows of a source.

    Parameters
    ----------
    source
        Source to read.
    signs
        Whether weights are ±1 (or 0 and 1).  None: integers are, and floating-point numbers are if
        those of the first row are.
    progress
        Called with the number of rows read and in all.

    Raises
    ------
    InputError
        There are no rows, a number is not finite, or binary weights have a third value; the message
        names the row.
    """
    if source.n_rows < 1 or source.n_weights < 1:
        raise InputError(
            f"{source.name}: {source.n_rows:,} configurations of {source.n_weights:,} weights; "
            "there must be some"
        )
    result, digest, values = Scan(), hashlib.sha256(), _Values(source.name)
    by_column: dict[str, hashlib._Hash] = {}
    for start, (weights, columns) in source.blocks():
        _check_numbers(source.name, start, weights)
        if start == 0:
            result.signs = _are_signs(weights[:1]) if signs is None else signs
            digest.update(f"{weights.dtype.str} {source.n_weights} {source.layers}".encode())
            _check_names(source.name, columns)
        if result.signs:
            values.add(start, weights)
        else:
            result.rounding = max(result.rounding, _rounding(source.name, start, weights))
            result.largest = max(result.largest, float(np.abs(weights).max(initial=0)))
        digest.update(np.ascontiguousarray(weights).data)
        for name, column in columns.items():
            kind = _column_type(source.name, name, start, column)
            if fault := wrong_values(declared_column(name, kind, ""), column):
                raise InputError(f"{source.name}: column {name!r}, rows from {start}: {fault}")
            result.types[name] = max(result.types.get(name, kind), kind, key="<i8 <f8".index)
            by_column.setdefault(name, hashlib.sha256()).update(np.ascontiguousarray(column).data)
        if progress is not None:
            progress(start + len(weights), source.n_rows)
    for name, column_digest in by_column.items():
        digest.update(f"{name} {column_digest.hexdigest()}".encode())
    result.digest, result.zero_one = digest.hexdigest(), values.zero
    return result


def _check_names(name: str, columns: Iterable[str]) -> None:
    try:
        check_distinct(map(check_column_name, columns))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _are_signs(weights: Array) -> bool:
    if weights.dtype.kind in "biu":
        return True
    return bool((np.abs(weights) == 1).all() or ((weights == 0) | (weights == 1)).all())


def _check_numbers(name: str, start: int, weights: Array) -> None:
    if weights.dtype.kind not in "iuf":
        raise InputError(f"{name}: {weights.dtype} given; weights are real numbers")
    if weights.dtype.kind == "f" and not np.isfinite(weights).all():
        row, weight = np.argwhere(~np.isfinite(weights))[0].tolist()
        raise InputError(
            f"{name}: row {start + row}, weight {weight} is {weights[row, weight]}; weights must "
            "be finite: leave the row out"
        )


def _rounding(name: str, start: int, weights: Array) -> float:
    """Return the largest relative error of float32; refuse numbers beyond its range."""
    if weights.dtype in (np.float32, np.float16):
        return 0.0
    size = np.abs(weights)
    if size.max(initial=0) > np.finfo(np.float32).max:
        row, weight = np.unravel_index(size.argmax(), size.shape)
        raise InputError(
            f"{name}: row {start + row}, weight {weight} is {weights[row, weight]:g}, more than "
            "float32 holds, in which weights are stored"
        )
    error = np.abs(weights - weights.astype(np.float32))
    return float(np.divide(error, size, out=np.zeros(size.shape), where=size > 0).max(initial=0))


def _column_type(name: str, column: str, start: int, values: Array) -> str:
    """Return the type that numbers of a column are stored in."""
    kind = values.dtype.kind
    if kind in "biu" and SCALAR_COLUMNS.get(column, ("",))[0] == "<f8":  # as ours of that name
        return "<f8"
    if kind == "b" or (kind in "iu" and (not values.size or int(values.max()) < 2**63)):
        return "<i8"
    if kind != "f":
        raise InputError(f"{name}: column {column!r} is {values.dtype}; columns are real numbers")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(
            f"{name}: row {start + row}, column {column!r} is {values[row]}; it must be finite: "
            "leave the column or the row out"
        )
    return "<f8"
