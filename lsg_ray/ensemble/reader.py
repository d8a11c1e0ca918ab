"""Reading an ensemble: what is complete, views of it, and its data.

An `Ensemble` is a snapshot of the ledger at opening: the blocks that were complete then.  It holds
a URL and plain numbers, no open store, so it can be pickled into a task, carries no credentials,
and reads by itself wherever it arrives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_integers, brief, public
from lsg_ray.ensemble.columns import Window, load, no_rows
from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.ledger import complete_blocks
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.schema import pack
from lsg_ray.ensemble.view import View
from lsg_ray.errors import InputError
from lsg_ray.typing import Array, Bytes, Ints, Place

if TYPE_CHECKING:
    import dask.array
    import pandas
    import xarray

#: Largest array that `Ensemble.numpy` makes without being told to.
MAX_BYTES = 4 * 2**30


@public
def open_ensemble(url: Place) -> Ensemble:
    """Open a store for reading; legal while a run writes to it.

    Parameters
    ----------
    url
        Local path, ``file://``, ``memory://``, ``s3://`` or ``gs://``.

    Raises
    ------
    StoreInputError
        Nothing is there, or something that is not an ensemble of this format version.
    StoreError
        The store is damaged or cannot be read.

    Notes
    -----
    One small read and one listing: about 20 ms for 2,000 blocks on a local disk.
    """
    location = locate(url)
    header = read_header(location)
    return Ensemble(location.url, header, complete_blocks(location, header))


class Ensemble(View):
    """The complete blocks of a store, or a view of them restricted to some rows or weights.

    Made by `open_ensemble`; never changes.  Open again to see blocks that were added since.
    """

    def where(self, condition: str) -> Ensemble:
        """Return a view of the rows that meet a condition; see `compile_expression`.

        The condition is checked now and evaluated block by block when data are read.

        Raises
        ------
        QueryError
            The condition cannot be understood.
        """
        compile_expression(condition, self.query_columns)
        both = condition if self.condition is None else f"({self.condition}) and ({condition})"
        compile_expression(both)
        return self._view(condition=both)

    def part(self, part: str | int) -> Ensemble:
        """Return a view of some weights: ``"LB"``, ``"ITR"``, ``"RB"``, or a layer counted from 0.

        Raises
        ------
        InputError
            The network has no such part, or this is a view of a part already.
        """
        if self.is_part:
            raise InputError(
                "this is a view of a part already; take the part of the whole ensemble"
            )
        network = self.spec.network
        layers = network.layer_slices
        if isinstance(part, str) and part in self.parts:
            chosen = self.parts[part]
        elif isinstance(part, int) and 0 <= part < len(layers):
            chosen = layers[part]
        else:
            names = ", ".join(self.parts)
            raise InputError(
                f"part {part!r} given; this network has {names} and layers 0 to {len(layers) - 1}"
            )
        return self._view(weight_slice=chosen)

    def snapshot(self, time: int) -> Ensemble:
        """Return a view of the weights after some epochs or steps of training (`Spec.times`).

        What was measured then, ``snapshot_accuracy`` and the like, are columns of it.

        Raises
        ------
        InputError
            The store has no snapshot at that time, or this is a view of one.
        """
        unit, times = self.spec.times
        if self.at is not None:
            raise InputError("this is a view of a snapshot already; take that of the whole")
        whole = isinstance(time, (int, np.integer)) and not isinstance(time, bool)
        if not whole or time not in times:
            kept = ", ".join(map(str, times)) if times else "none (ensemble.snapshots)"
            told = f"snapshot {brief(time)} given; there are, in {unit}: {kept}"
            raise InputError(f"{self.url}: {told}")
        return self._view(at=times.index(int(time)))

    # Block by block

    def read(self, block: int, columns: Iterable[str]) -> dict[str, Array]:
        """Read columns of one complete block; a view gives its rows and weights only.

        Parameters
        ----------
        block
            Index, one of `blocks`.
        columns
            ``configuration``, ``weights`` ((rows, weights): int8 ±1, or float32), ``packed`` (of
            binary weights, whole rows of bits as stored), or any array of the store.

        Raises
        ------
        InputError
            The block is not complete, or there is no such column.
        StoreError
            A chunk is missing or damaged; names array and block.
        """
        self._check_complete(block)
        wanted = [self._known(name) for name in columns]
        if self.condition is None:
            return {name: self._load(block, name) for name in wanted}
        condition = compile_expression(self.condition)
        tests = {name: self._load(block, name) for name in condition.names or ("configuration",)}
        mask = condition(tests)
        if not mask.any():
            return {name: self.no_rows(name) for name in wanted}
        return {
            name: (tests[name] if name in tests else self._load(block, name))[mask]
            for name in wanted
        }

    def packed_block(self, block: int) -> Bytes:
        """Return the weights of one complete block as bits.

        Returns
        -------
        (rows, ceil(n_weights/8)) uint8 in the bit order of `unpack`; of a part, its own bits.

        Raises
        ------
        InputError
            Weights are real numbers.
        """
        self._known("packed")
        if self.is_part:
            return pack(self.weights_block(block))
        return self.read(block, ["packed"])["packed"]

    def weights_block(self, block: int) -> Array:
        """Return the weights of one complete block: (rows, n_weights) int8 ±1, or float32."""
        return self.read(block, ["weights"])["weights"]

    def loader(self, column: str) -> partial[Array]:
        """Return a picklable function of ``(block, rows)`` that reads a column of this view."""
        return partial(load, self.url, self._known(column), self._window, where=self.condition)

    @property
    def _window(self) -> Window:
        part = self.weight_slice
        return Window(self.block_size, self.header.arrays, part.start, part.stop, self.at)

    def no_rows(self, column: str) -> Array:
        """Return what reading a column gives when no row meets the condition."""
        return no_rows(self._known(column), self._window)

    def _load(self, block: int, column: str) -> Array:
        return self.loader(column)(block, self.header.rows(block), where=None)

    def _known(self, column: str) -> str:
        if column not in self.columns:
            raise InputError(f"column {column!r} given; there are {', '.join(self.columns)}")
        return column

    def _map(self, function: Any) -> Iterator[Any]:
        return locate(self.url).map(function, self.blocks.tolist())

    # Whole columns

    @cached_property
    def rows_by_block(self) -> Ints:
        """Rows of each complete block, in the order of `blocks`; a view reads its condition."""
        if self.condition is None:
            return np.array([self.header.rows(block) for block in self.blocks.tolist()], np.int64)
        found = self._map(lambda block: len(self.read(block, ["configuration"])["configuration"]))
        return np.array(list(found), np.int64)

    @property
    def n_rows(self) -> int:
        """Rows of the view; `n_complete` unless there is a condition."""
        return self.n_complete if self.condition is None else int(self.rows_by_block.sum())

    def column(self, name: str) -> Array:
        """Return one per-configuration column over all complete blocks: (n_rows,)."""
        if name not in self.query_columns:
            raise InputError(
                f"column {name!r} given; columns are {', '.join(self.query_columns)}; "
                "for weights use numpy() or to_dask()"
            )
        pieces = list(self._map(lambda block: self.read(block, [name])[name]))
        return np.concatenate(pieces) if pieces else self.no_rows(name)

    def numpy(self, limit: int | None = None, *, max_bytes: int = MAX_BYTES) -> Array:
        """Return the weights of the first rows in memory.

        Parameters
        ----------
        limit
            At most so many rows; None for all.
        max_bytes
            Refuse to make a larger array.

        Returns
        -------
        (rows, n_weights) int8 ±1, or float32.

        Raises
        ------
        InputError
            The array would be too large.
        """
        if limit is not None and limit < 0:
            raise InputError(f"limit {limit} given; it must be 0 or more")
        rows = self.n_rows if limit is None else min(limit, self.n_complete)
        kind = self.no_rows("weights").dtype
        size = rows * self.n_weights * kind.itemsize
        if size > max_bytes:
            raise InputError(
                f"{rows:,} rows of {self.n_weights:,} weights take {size / 2**30:.1f} GiB, more "
                f"than {max_bytes / 2**30:.1f}; give limit=, use to_dask(), or raise max_bytes"
            )
        weights = np.empty((rows, self.n_weights), kind)
        filled = 0
        for block in self.blocks.tolist():
            if filled >= rows:
                break
            piece = self.weights_block(block)[: rows - filled]
            weights[filled : filled + len(piece)] = piece
            filled += len(piece)
        return weights[:filled]

    def take(
        self, configurations: ArrayLike, columns: Sequence[str] = ("weights",)
    ) -> dict[str, Array]:
        """Read chosen configurations, in the order given.

        Parameters
        ----------
        configurations
            (rows,) indices of configurations in complete blocks; the view's condition is not
            applied, its part is.
        columns
            As for `read`.

        Raises
        ------
        InputError
            An index is out of range or in a block that is not complete.
        """
        wanted = as_integers(configurations, "configurations")
        outside = wanted[(wanted < 0) | (wanted >= self.count)]
        if len(outside):
            raise InputError(f"configuration {outside[0]} given; there are 0 to {self.count - 1}")
        whole = self._view(condition=None)
        empty = {name: whole.no_rows(name) for name in columns}
        table = {
            name: np.empty((len(wanted), *nothing.shape[1:]), nothing.dtype)
            for name, nothing in empty.items()
        }
        owners = wanted // self.block_size
        for block in np.unique(owners).tolist():
            rows = np.flatnonzero(owners == block)
            for name, values in whole.read(block, columns).items():
                table[name][rows] = values[wanted[rows] - self.header.start(block)]
        return table

    # Lazy arrays

    def to_dask(self, column: str = "weights") -> dask.array.Array:
        """Return a column as a lazy Dask array, one chunk a block; see `lazy.dask_column`."""
        from lsg_ray.ensemble.lazy import dask_column

        return dask_column(self, column)

    def to_pandas(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """Return numbers per configuration as a table in memory, its index the configurations.

        Parameters
        ----------
        columns
            Any of `query_columns`; by default all.
        """
        import pandas

        names = self.query_columns if columns is None else columns
        values = {name: self.column(name) for name in names if name != "configuration"}
        index = pandas.Index(self.column("configuration"), name="configuration")
        return pandas.DataFrame(values, index)

    def to_xarray(self) -> xarray.Dataset:
        """Return weights and all columns as a lazy Dataset; see `lazy.dataset`."""
        from lsg_ray.ensemble.lazy import dataset

        return dataset(self)
