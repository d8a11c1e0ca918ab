"""The data of an ensemble or view: block by block, and whole columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from typing import Any

import numpy as np

from lsg_ray.ensemble.columns import Window, load, no_rows
from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.schema import pack
from lsg_ray.ensemble.view import View
from lsg_ray.errors import InputError
from lsg_ray.typing import Array, Bytes, Ints


class BlockReader(View):
    """Reads columns of an ensemble or view."""

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
        names = [self._known(name) for name in columns]
        if self.condition is None:
            return {name: self._load(block, name) for name in names}
        condition = compile_expression(self.condition)
        tests = {name: self._load(block, name) for name in condition.names or ("configuration",)}
        mask = condition(tests)
        if not mask.any():
            return {name: self.no_rows(name) for name in names}
        return {
            name: (tests[name] if name in tests else self._load(block, name))[mask]
            for name in names
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

    @cached_property
    def rows_by_block(self) -> Ints:
        """Rows of each complete block, in the order of `blocks`; a view reads its condition."""
        if self.condition is None:
            return np.array([self.header.rows(block) for block in self.blocks.tolist()], np.int64)
        rows = self._map(lambda block: len(self.read(block, ["configuration"])["configuration"]))
        return np.array(list(rows), np.int64)

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
        blocks = list(self._map(lambda block: self.read(block, [name])[name]))
        return np.concatenate(blocks) if blocks else self.no_rows(name)
