"""Ensembles as lazy arrays: Dask, one chunk a block, and xarray with named dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lsg_ray.ensemble.blocks import BlockReader
from lsg_ray.ensemble.schema import LAYER, SNAPSHOT, seen
from lsg_ray.spec import Spec
from lsg_ray.typing import Array

if TYPE_CHECKING:
    import dask.array
    import xarray


def dask_column(ensemble: BlockReader, column: str) -> dask.array.Array:
    """Return a column of an ensemble or view as a Dask array, one chunk a block.

    The graph holds the URL and block numbers and no open store: it runs under Dask's threads, on a
    cluster, or through Dask-on-Ray, and each task reads its block by itself.

    Returns
    -------
    (n_rows, n_weights) for ``weights``, int8 ±1 or float32, else (n_rows, …) of the array's type.

    Raises
    ------
    InputError
        There is no such column.
    """
    import dask.array
    from dask.base import tokenize

    loader = ensemble.loader(column)
    nothing = ensemble.no_rows(column)
    rows = ensemble.rows_by_block
    filled = np.flatnonzero(rows)
    if not len(filled):
        return dask.array.from_array(nothing)
    # Two snapshots of one store may differ in which blocks are complete, not only in how many.
    identity = (ensemble.spec_hash, ensemble.header.dataset_hash, ensemble.blocks.tolist())
    name = f"{column}-" + tokenize(loader.args, loader.keywords, *identity, rows.tolist())
    zeros = (0,) * (nothing.ndim - 1)
    graph = {
        (name, index, *zeros): (loader, block, ensemble.header.rows(block))
        for index, block in enumerate(ensemble.blocks[filled].tolist())
    }
    chunks = (tuple(rows[filled].tolist()), *((size,) for size in nothing.shape[1:]))
    return dask.array.Array(graph, name, chunks, meta=nothing)


def dataset(ensemble: BlockReader) -> xarray.Dataset:
    """Return weights and all columns of an ensemble or view as a lazy Dataset.

    Returns
    -------
    Dataset over `configuration` and `weight`; of real weights also each layer over its units and
    inputs (unless the view is of a part), and curves over `epoch`.  Coordinates: the index of each
    configuration, and of each weight its index, `layer` (from 0), `part`, output `unit` and input
    `unit_in`.  Attributes: provenance, the specification as JSON text.
    """
    import xarray

    data: dict[str, Any] = {
        "weights": (("configuration", "weight"), dask_column(ensemble, "weights"))
    }
    for array in ensemble.header.arrays:
        if array.name == "weights" or (array.name.startswith(LAYER) and ensemble.is_part):
            continue
        whole = not ensemble.is_part and ensemble.at is None
        if array.name.startswith(f"{SNAPSHOT}weights") and not whole:
            continue
        dimensions = seen(array, ensemble.at).dimensions
        data[array.name] = (dimensions, dask_column(ensemble, array.name), array.attributes)
    coordinates: dict[str, Any] = {"configuration": ensemble.column("configuration")}
    for name, values in weight_coordinates(ensemble.spec).items():
        coordinates[name] = ("weight", values[ensemble.weight_slice])
    unit, times = ensemble.spec.times
    if times and ensemble.at is None:
        coordinates["snapshot"] = ("snapshot", np.array(times), {"units": unit})
    attributes = ensemble.header.attributes() | ensemble.time
    attributes["spec"] = ensemble.spec.canonical_json()
    if ensemble.condition is not None:
        attributes["where"] = ensemble.condition
    return xarray.Dataset(data, coordinates, attributes)


def weight_coordinates(spec: Spec) -> dict[str, Array]:
    """Return what each weight belongs to.

    Returns
    -------
    ``weight``, ``layer``, ``unit`` (output), ``unit_in`` as (N,) integers, ``part`` as (N,) names.
    """
    network = spec.network
    numbers = np.arange(network.n_weights)
    part = np.empty(network.n_weights, dtype="<U3")
    for name, indices in network.parts.items():
        part[indices] = name
    layer, unit, unit_in = (np.empty(network.n_weights, dtype=np.int32) for _ in range(3))
    for number, indices in enumerate(network.layer_slices):
        fan_out, fan_in = network.shapes[number]
        layer[indices] = number
        unit[indices] = np.repeat(np.arange(fan_out), fan_in)
        unit_in[indices] = np.tile(np.arange(fan_in), fan_out)
    return {"weight": numbers, "layer": layer, "part": part, "unit": unit, "unit_in": unit_in}
