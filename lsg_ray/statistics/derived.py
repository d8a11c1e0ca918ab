"""Configurations whose hidden units are reordered: canonical forms, random node permutations.

A derived set is a view: rows are computed when they are read, so it can be handed to every
statistic, and derived again.  `write_derived` makes a store of one.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import numpy as np

from lsg_ray.arrays import public
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.location import is_within, locate
from lsg_ray.ensemble.pages import each_record
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.schema import LAYER, SNAPSHOT, pack
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.errors import InputError, StoreInputError
from lsg_ray.networks.alignment import reordered
from lsg_ray.networks.permutations import Orders, permute_nodes
from lsg_ray.results.graph import compute
from lsg_ray.spec import NetworkSpec
from lsg_ray.statistics.configurations import Configurations, StoredConfigurations
from lsg_ray.typing import Array, Bytes, Floats, Ints, JsonObject, PathOrUrl, Progress

#: Maps whole weights (rows, N) and their row numbers to the order of each hidden layer's units.
Ordering = Callable[[Array, Ints], Orders]

#: Number of rows that are reordered at a time.
REORDERED_ROWS = 4096
#: Number of inputs on which every reordered network is compared with the original one.
CHECKED_INPUTS = 8


class DerivedConfigurations(Configurations):
    """Networks of other configurations with their hidden units in another order.

    Parameters
    ----------
    base
        Whole configurations of a network.
    network
        Architecture of that network.
    inputs
        (P, inputs): outputs on the first few are compared with those of `base`, always.
    ordering
        Function that returns the orders of the units; picklable.
    derivation
        Description of the derivation as plain JSON, for results and stores.
    origin
        Function from row numbers to the rows of `base` they come from; by default the same rows.
    n_rows
        Number of rows; by default that of `base`.
    """

    def __init__(
        self,
        base: Configurations,
        network: NetworkSpec,
        inputs: Floats,
        ordering: Ordering,
        derivation: JsonObject,
        *,
        origin: Callable[[Ints], Ints] | None = None,
        n_rows: int | None = None,
    ) -> None:
        self.base, self.network = base, network
        self.derivation = derivation
        self.name = f"{base.name} ({derivation['kind']})"
        self.signs = base.signs
        self.n_rows = base.n_rows if n_rows is None else n_rows
        self.n_weights = base.n_weights
        self.columns = base.columns
        self._checked, self._ordering, self._origin = inputs[:CHECKED_INPUTS], ordering, origin
        self._weights = slice(0, base.n_weights)

    @property
    def is_part(self) -> bool:
        """Whether this is a view of a part of the weights."""
        return self.n_weights != self.base.n_weights

    @property
    def is_row_by_row(self) -> bool:
        """Whether row i comes from row i."""
        return self._origin is None

    @property
    def grain(self) -> int:
        return self.base.grain

    def origin(self, rows: Ints) -> Ints:
        """Return which rows of the base some rows come from."""
        return rows if self._origin is None else self._origin(rows)

    def groups(self) -> Ints | None:
        known = self.base.groups()
        if self._origin is None:
            return known
        origin = self._origin(np.arange(self.n_rows))
        return origin if known is None else known[origin]

    def _whole(self, start: int, stop: int) -> Array:
        if self._origin is None:
            return self.base.rows(start, stop)
        return self.base.take(self._origin(np.arange(start, stop)))

    @public
    def orders(self, whole: Array, rows: Ints) -> Orders:
        """Return the order that units of whole rows of the base are brought into."""
        return self._ordering(whole, rows)

    @public
    def _reordered(self, whole: Array, rows: Ints) -> Array:
        orders = self._ordering(whole, rows)
        values = reordered(self.network, whole, orders, self._checked)
        return np.ascontiguousarray(values[:, self._weights])

    def _batches(self, start: int, stop: int) -> list[Array]:
        whole = self._whole(start, stop)
        numbers = np.arange(start, start + len(whole))
        starts = range(0, max(len(whole), 1), REORDERED_ROWS)
        cuts = [slice(low, low + REORDERED_ROWS) for low in starts]
        return [self._reordered(whole[cut], numbers[cut]) for cut in cuts]

    def rows(self, start: int, stop: int) -> Array:
        return np.concatenate(self._batches(start, stop))

    def packed(self, start: int, stop: int) -> Bytes:
        return np.concatenate([pack(batch) for batch in self._batches(start, stop)])

    def take(self, rows: Ints) -> Array:
        return self._reordered(self.base.take(self.origin(rows)), rows)

    def values(self, name: str, rows: Ints) -> Array:
        values = self.base.values(name, self.origin(rows))
        if name != "fields":
            return values
        # A number for every weight, such as the trained fields, moves with the weights.
        orders = self._ordering(self.base.take(self.origin(rows)), rows)
        return permute_nodes(self.network, values, orders)

    def part(self, part: str | int) -> DerivedConfigurations:
        if self.is_part:
            raise InputError("this is a view of a part already; take the part of the whole")
        slices: dict[str | int, slice] = dict(enumerate(self.network.layer_slices))
        slices.update(self.network.parts)
        if part not in slices:
            raise InputError(f"part {part!r} given; this network has {', '.join(map(str, slices))}")
        view = copy(self)
        view._weights = slices[part]
        view.n_weights = slices[part].stop - slices[part].start
        return view

    def coordinates(self) -> dict[str, tuple[str, Array]]:
        whole = self.base.coordinates()
        return {name: (d, values[self._weights]) for name, (d, values) in whole.items()}

    def provenance(self) -> JsonObject:
        about = {f"derivation_{key}": value for key, value in self.derivation.items()}
        return {**self.base.provenance(), **about}


def stored_root(source: Configurations) -> StoredConfigurations | None:
    """Return the store that configurations come from at last; None if not from a store."""
    while isinstance(source, DerivedConfigurations):
        source = source.base
    return source if isinstance(source, StoredConfigurations) else None


def write_derived(
    view: DerivedConfigurations, url: PathOrUrl, *, progress: Progress | None = None
) -> Ensemble:
    """Write derived configurations as a store of their own, block by block; resumable.

    Columns (accuracy, loss, …) are those of the original configurations.

    Raises
    ------
    InputError
        It does not come from a store, is a part, or is empty.
    StoreInputError
        Something else is at the URL.
    StoreError
        A block of the source is damaged, or the store cannot be written.

    Notes
    -----
    One task a block, each of which reads, reorders and writes its rows.
    """
    import dask

    root = stored_root(view)
    if root is None or view.is_part:
        raise InputError(f"{view.name}: only whole configurations of a store can be stored")
    view.require(1, "a store")
    source = root.ensemble
    if source.at is not None:
        raise InputError(
            f"{view.name}: weights along training, of which not all columns were stored, cannot be "
            "a store of their own; measure the view itself (--canonical)"
        )
    inside = locate(url).path is None and is_within(url, source.url)
    if inside or is_within(source.url, url):
        raise StoreInputError(f"{source.url} is where the configurations come from; name another")
    block_size = min(source.block_size, view.n_rows)
    sizes = {"count": view.n_rows, "block_size": block_size, "snapshots": None}
    spec = source.spec.replace(ensemble=sizes)
    derivation = {
        **_history(view),
        "source_spec_hash": source.spec_hash,
        "source_content_hash": source.info()["content_hash"],
        "source_where": source.condition or "",
    }
    plan = create_ensemble(
        url,
        spec,
        dataset_hash=source.header.dataset_hash,
        derivation=derivation,
        columns=source.header.columns,
    )
    task = dask.delayed(partial(_write_block, view, plan.url, plan.block_size), pure=False)
    compute([task(index) for index in plan.missing.tolist()], progress)
    return open_ensemble(plan.url)


def _history(view: DerivedConfigurations) -> dict[str, Any]:
    """Return the derivation, and under ``of`` the one before it."""
    base = view.base
    before = _history(base) if isinstance(base, DerivedConfigurations) else None
    if isinstance(base, StoredConfigurations) and base.ensemble.condition is None:
        whole = base.ensemble.complete  # row i is configuration i
        earlier = base.ensemble.header.derivation
        before = dict(earlier) if whole and earlier is not None else None
    return {**view.derivation, **({} if before is None else {"of": before})}


def _write_block(view: DerivedConfigurations, url: str, block_size: int, index: int) -> int:
    start = index * block_size
    stop = min(start + block_size, view.n_rows)
    root = stored_root(view)
    assert root is not None  # checked before any task
    source, rows = root.ensemble, np.arange(start, stop)
    columns: dict[str, Any] = {
        array.name: view.values(array.name, rows)
        for array in source.header.arrays
        if not (array.name == "weights" or array.name.startswith((LAYER, SNAPSHOT)))
    }
    about: dict[str, Any] = {"trials": stop - start}
    if view.base is root and view.is_row_by_row and source.condition is None and source.complete:
        record = next(each_record(locate(source.url), source.header, [index]))
        about = {"trials": record.trials, "rejected": record.rejected, "seconds": record.seconds}
    kind = np.int8 if view.signs else np.float32
    weights = view.rows(start, stop).astype(kind, copy=False)
    write_block(url, index, Block(start, weights, columns, **about))
    return stop - start
