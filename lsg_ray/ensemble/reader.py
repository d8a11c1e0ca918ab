"""Reading an ensemble: what is complete, views of it, and its data.

An `Ensemble` is a snapshot of the ledger at opening: the blocks that were complete then.  It holds
a URL and plain numbers, no open store, so it can be pickled into a task, carries no credentials,
and reads by itself wherever it arrives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_integers, brief, public
from lsg_ray.ensemble.blocks import BlockReader
from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.ledger import complete_blocks
from lsg_ray.ensemble.location import locate
from lsg_ray.errors import InputError
from lsg_ray.html import table
from lsg_ray.typing import Array, PathOrUrl

if TYPE_CHECKING:
    import dask.array
    import pandas
    import xarray

#: Bytes of the largest array that `Ensemble.numpy` makes by default.
MAX_ARRAY_BYTES = 4 * 2**30


@public
def open_ensemble(url: PathOrUrl) -> Ensemble:
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


class Ensemble(BlockReader):
    """The complete blocks of a store, or a view of them restricted to some rows or weights.

    Made by `open_ensemble`; never changes.  Open again to see blocks that were added since.
    """

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        return table("lsg-ray ensemble", self.info())

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
            stored = ", ".join(map(str, times)) if times else "none (ensemble.snapshots)"
            raise InputError(
                f"{self.url}: snapshot {brief(time)} given; there are, in {unit}: {stored}"
            )
        return self._view(at=times.index(int(time)))

    # Whole arrays

    def numpy(self, limit: int | None = None, *, max_bytes: int = MAX_ARRAY_BYTES) -> Array:
        """Return the weights of the first rows in memory.

        Parameters
        ----------
        limit
            Largest number of rows; None for all.
        max_bytes
            Largest array that is made, in bytes.

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
            part = self.weights_block(block)[: rows - filled]
            weights[filled : filled + len(part)] = part
            filled += len(part)
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
        indices = as_integers(configurations, "configurations")
        outside = indices[(indices < 0) | (indices >= self.count)]
        if len(outside):
            raise InputError(f"configuration {outside[0]} given; there are 0 to {self.count - 1}")
        whole = self._view(condition=None)
        empty = {name: whole.no_rows(name) for name in columns}
        table = {
            name: np.empty((len(indices), *nothing.shape[1:]), nothing.dtype)
            for name, nothing in empty.items()
        }
        owners = indices // self.block_size
        for block in np.unique(owners).tolist():
            rows = np.flatnonzero(owners == block)
            for name, values in whole.read(block, columns).items():
                table[name][rows] = values[indices[rows] - self.header.start(block)]
        return table

    # Lazy arrays

    def to_dask(self, column: str = "weights") -> dask.array.Array:
        """Return a column as a lazy Dask array, one chunk a block; see `lazy.dask_column`."""
        from lsg_ray.ensemble.lazy import dask_column  # Dask and xarray take a second to load

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
