"""What an ensemble is, apart from its data: its header, its complete blocks, its ledger."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import cached_property
from typing import Any, Self

import numpy as np

from lsg_ray.ensemble.header import Header
from lsg_ray.ensemble.info import describe
from lsg_ray.ensemble.ledger import Record, absent_blocks
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.pages import each_record
from lsg_ray.ensemble.schema import check_block_index, seen
from lsg_ray.errors import InputError
from lsg_ray.spec import Spec
from lsg_ray.typing import Ints, JsonObject

#: Why something cannot be computed of weights alone, and what to do.
NO_OUTPUTS = (
    "holds weights alone, without a network and a data set, which are needed here; import them "
    "with both, such as lsg import SOURCE --network 20-15-15-10 --family binary --dataset mnist "
    "--out STORE"
)


class View:
    """Complete blocks of a store, and what a view shows of them; `Ensemble` adds the data.

    Attributes
    ----------
    url
        Canonical URL, to be handed to tasks.
    header
        Header of the store: specification, hashes, how it is cut into blocks.
    blocks
        Indices of the complete blocks, ascending.
    condition
        Condition on rows of a view, or None.
    weight_slice
        Which weights of a whole configuration a view shows.
    at
        Which snapshot along training a view shows, by its index; None for the configurations.
    """

    url: str
    header: Header
    blocks: Ints
    condition: str | None
    weight_slice: slice
    at: int | None

    def __init__(self, url: str, header: Header, blocks: Ints) -> None:
        blocks.flags.writeable = False
        whole = slice(0, header.n_weights)
        self.__dict__.update(
            url=url, header=header, blocks=blocks, condition=None, weight_slice=whole, at=None
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an ensemble never changes; {name} cannot be set")

    def _view(self, **values: Any) -> Self:
        view = copy(self)
        view.__dict__.pop("rows_by_block", None)
        view.__dict__.update(values)
        return view

    def __repr__(self) -> str:
        view = "" if self.condition is None else f", where {self.condition!r}"
        if self.is_part:
            view += f", weights {self.weight_slice.start}:{self.weight_slice.stop}"
        if self.at is not None:
            unit, times = self.spec.times
            view += f", after {times[self.at]} {unit}"
        return (
            f"{type(self).__name__}({self.url!r}, {self.n_complete:,} of {self.count:,} rows{view})"
        )

    @property
    def time(self) -> dict[str, int | str]:
        """When along training the weights are of, as attributes; empty for those of the end."""
        unit, times = self.spec.times
        return {} if self.at is None else {"snapshot": times[self.at], "snapshot_unit": unit}

    @property
    def spec(self) -> Spec:
        """The run that it belongs to."""
        return self.header.spec

    @property
    def spec_hash(self) -> str:
        """SHA-256 of the specification as stored."""
        return self.header.spec_hash

    @property
    def count(self) -> int:
        """Configurations planned."""
        return self.header.count

    @property
    def block_size(self) -> int:
        """Configurations a block; the last may be short."""
        return self.header.block_size

    @property
    def missing_blocks(self) -> Ints:
        """Indices of the planned blocks that are not complete, ascending."""
        return absent_blocks(self.header, self.blocks)

    @property
    def complete(self) -> bool:
        """Whether every planned block is complete."""
        return len(self.blocks) == self.header.n_blocks

    @property
    def n_complete(self) -> int:
        """Rows in complete blocks."""
        if not len(self.blocks):
            return 0
        return (len(self.blocks) - 1) * self.block_size + self.header.rows(int(self.blocks[-1]))

    @property
    def n_weights(self) -> int:
        """Weights a row; those of the part, for a view of a part."""
        return self.weight_slice.stop - self.weight_slice.start

    @property
    def is_part(self) -> bool:
        """Whether this is a view of a part of the weights."""
        return self.n_weights != self.header.n_weights

    @property
    def parts(self) -> dict[str, slice]:
        """Where each named part stands in a whole configuration."""
        return self.spec.network.parts

    @property
    def columns(self) -> tuple[str, ...]:
        """Names that `read`, `take` and `to_dask` take."""
        names = ["configuration", *(array.name for array in self.header.arrays)]
        return (*names, "packed" if self.signs else "weights")

    @property
    def signs(self) -> bool:
        """Whether weights are ±1; else they are real numbers."""
        return self.header.family.signs

    @property
    def query_columns(self) -> tuple[str, ...]:
        """Names of numbers per configuration: what conditions, queries and `column` take."""
        scalars = (a.name for a in self.header.arrays if not seen(a, self.at).row)
        return ("configuration", *scalars)

    def require_outputs(self) -> None:
        """Refuse an ensemble of weights alone, whose networks and data are not known.

        Raises
        ------
        InputError
            Says what is missing, and how to add it.
        """
        if not self.header.family.has_outputs:
            raise InputError(f"{self.url}: {NO_OUTPUTS}")

    def require_permutable(self) -> None:
        """Refuse an ensemble whose networks have no hidden units to be reordered.

        Raises
        ------
        InputError
            Names what the store holds.
        """
        self.require_outputs()
        family = self.header.family
        if not family.permutable:
            raise InputError(
                f"{self.url}: holds {family.about}, whose hidden units are not reordered; choose "
                "alignment none where there is one"
            )

    def _check_complete(self, block: int) -> None:
        check_block_index(block, self.header.n_blocks)
        index = np.searchsorted(self.blocks, block)
        if index == len(self.blocks) or self.blocks[index] != block:
            raise InputError(
                f"{self.url}: block {block} was not complete when the ensemble was opened; "
                f"{self.header.refill} to fill it, or open the ensemble again"
            )

    @cached_property
    def records(self) -> list[Record]:
        """Records of the complete blocks, in the order of `blocks`; read once and cached."""
        return list(self.each_record())

    def each_record(self) -> Iterator[Record]:
        """Yield the records of the complete blocks one by one, in the order of `blocks`."""
        return each_record(locate(self.url), self.header, self.blocks)

    def info(self) -> JsonObject:
        """Describe the whole store from its ledger, as plain JSON; see `info.describe`.

        Raises
        ------
        StoreError
            A record is damaged.
        """
        return describe(self.url, self.header, self.each_record())
