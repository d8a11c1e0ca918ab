"""Configurations that follow from others row by row: canonical forms, random node permutations.

A derived set is a view: rows are computed when they are read, so it can be handed to every
statistic.  `write_ensemble` makes a store of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.errors import InputError
from lsg_ray.spec import NetworkSpec
from lsg_ray.statistics.configurations import Configurations, StoredConfigurations
from lsg_ray.statistics.graph import Progress, compute

#: Maps whole weights (rows, N) and their row numbers to weights of the same shape.
Transform = Callable[[NDArray[Any], NDArray[np.int64]], NDArray[Any]]


class DerivedConfigurations(Configurations):
    """Transformed rows of other configurations.

    Parameters
    ----------
    base
        Whole configurations of a network.
    network
        That network.
    transform
        Picklable.
    derivation
        What it does, as plain JSON: goes into results and stores.
    origin
        Of row numbers, the rows of `base` they come from; by default themselves.
    n_rows
        Rows; by default those of `base`.
    """

    def __init__(
        self,
        base: Configurations,
        network: NetworkSpec,
        transform: Transform,
        derivation: dict[str, Any],
        *,
        origin: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None,
        n_rows: int | None = None,
    ) -> None:
        if base.n_weights != network.n_weights:
            raise InputError(
                f"{base.name} has {base.n_weights} weights a configuration; widths "
                f"{list(network.widths)} need {network.n_weights}: take the part afterwards"
            )
        self.base, self.network = base, network
        self.derivation = derivation
        self.name = f"{base.name} ({derivation['kind']})"
        self.binary = base.binary
        self.n_rows = base.n_rows if n_rows is None else n_rows
        self.n_weights = base.n_weights
        self._transform, self._origin = transform, origin
        self._weights = slice(0, base.n_weights)

    @property
    def grain(self) -> int:
        return self.base.grain

    def origin(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return which rows of the base rows start:stop come from."""
        rows = np.arange(start, stop)
        return rows if self._origin is None else self._origin(rows)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        if self._origin is None:
            whole = self.base.rows(start, stop)
        else:
            whole = self.base.take(self.origin(start, stop))
        numbers = np.arange(start, start + len(whole))
        return np.ascontiguousarray(self._transform(whole, numbers)[:, self._weights])

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        whole = self.base.take(rows if self._origin is None else self._origin(rows))
        return np.ascontiguousarray(self._transform(whole, rows)[:, self._weights])

    def column(self, name: str, start: int, stop: int) -> NDArray[Any]:
        origin = self.origin(start, stop)
        if not len(origin):
            return self.base.column(name, 0, 0)
        first = int(origin.min())
        return self.base.column(name, first, int(origin.max()) + 1)[origin - first]

    def part(self, part: str | int) -> DerivedConfigurations:
        if self._weights != slice(0, self.base.n_weights):
            raise InputError("this is a view of a part already; take the part of the whole")
        places: dict[str | int, slice] = dict(enumerate(self.network.layer_slices))
        places.update(self.network.parts)
        if part not in places:
            raise InputError(f"part {part!r} given; this network has {', '.join(map(str, places))}")
        view = DerivedConfigurations(
            self.base,
            self.network,
            self._transform,
            self.derivation,
            origin=self._origin,
            n_rows=self.n_rows,
        )
        view._weights = places[part]
        view.n_weights = places[part].stop - places[part].start
        return view

    def coordinates(self) -> dict[str, tuple[str, NDArray[Any]]]:
        whole = self.base.coordinates()
        return {name: (d, values[self._weights]) for name, (d, values) in whole.items()}

    def provenance(self) -> dict[str, Any]:
        about = {f"derivation_{key}": value for key, value in self.derivation.items()}
        return {**self.base.provenance(), **about}


def write_ensemble(
    view: DerivedConfigurations,
    url: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
) -> Ensemble:
    """Write derived configurations as a store of their own, block by block; resumable.

    Numbers of each configuration (accuracy, loss, …) are those of where it comes from.

    Raises
    ------
    InputError
        It does not come from a store, is a part, or is empty.
    StoreInputError
        Something else is at the URL.
    StoreError
        A block of the source is damaged, or the place cannot be written.

    Notes
    -----
    One task a block, each of which reads, transforms and writes its rows.
    """
    import dask

    if not isinstance(view.base, StoredConfigurations) or view.n_weights != view.base.n_weights:
        raise InputError(f"{view.name}: only whole configurations of a store can be stored")
    if not view.n_rows:
        raise InputError(f"{view.name}: no configurations selected")
    source = view.base.ensemble
    spec = source.spec.replace(
        ensemble={"count": view.n_rows, "block_size": min(source.block_size, view.n_rows)}
    )
    derivation = {
        **view.derivation,
        "source_spec_hash": source.spec_hash,
        "source_content_hash": source.info()["content_hash"],
        "source_where": source.condition or "",
    }
    plan = create_ensemble(
        url, spec, dataset_hash=source.header.dataset_hash, derivation=derivation
    )
    task = dask.delayed(partial(_write_block, view, plan.url, plan.block_size), pure=False)
    compute([task(index) for index in plan.missing.tolist()], progress)
    return open_ensemble(plan.url)


def _write_block(view: DerivedConfigurations, url: str, block_size: int, index: int) -> int:
    start = index * block_size
    stop = min(start + block_size, view.n_rows)
    base = view.base
    assert isinstance(base, StoredConfigurations)  # checked before any task
    names = [array.name for array in base.ensemble.header.arrays if array.name != "weights"]
    columns: dict[str, Any] = {name: view.column(name, start, stop) for name in names}
    if "fields" in columns:
        columns["fields"] = view._transform(columns["fields"], np.arange(start, stop))
    trials: dict[str, Any] = {"trials": stop - start}
    if view._origin is None and base.ensemble.condition is None and base.ensemble.complete:
        record = base.ensemble.records[index]
        trials = {"trials": record.trials, "rejected": record.rejected, "seconds": record.seconds}
    write_block(url, index, Block(start=start, weights=view.rows(start, stop), **columns, **trials))
    return stop - start
