"""One block on its way into the store: the sampler's arrays, checked before they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lsg_ray.ensemble.header import Header
from lsg_ray.ensemble.ledger import check_rejected
from lsg_ray.ensemble.schema import LAYER, SNAPSHOT, ArrayLayout, pack
from lsg_ray.errors import InputError
from lsg_ray.typing import Array, Signs


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive accepted configurations and what it took to find them.

    Parameters
    ----------
    start
        Index of the first configuration.
    weights
        (rows, N), int8 ±1 or float32; layers one after another, each row-major ``[out, in]``.
    columns
        By array name, what else the family stores: (rows,) numbers, (rows, …) curves; and
        ``snapshots`` (rows, S, N), weights along training.
    trials
        Trials spent on the block, accepted and rejected.
    rejected
        Rejected trials by bin of their best accuracy, as `rejection_histogram` counts them.
    seconds
        Time the block took.
    """

    start: int
    weights: Array
    columns: Mapping[str, Array]
    trials: int
    rejected: Mapping[int, int] = field(default_factory=dict)
    seconds: float = 0.0


def stored_arrays(block: Block, header: Header, index: int) -> dict[str, Array]:
    """Check a block against the store and return its arrays as they are stored.

    Returns
    -------
    By array name: (rows, …) of the stored type, weights packed.

    Raises
    ------
    InputError
        The block does not start where it should, or an array has another shape, holds something
        else than numbers of its kind, or is not finite.
    """
    rows, where = header.rows(index), f"block {index}"
    if block.start != header.start(index):
        raise InputError(
            f"{where}: starts at configuration {block.start}, must start at {header.start(index)}; "
            f"blocks are {header.block_size} configurations"
        )
    try:
        check_rejected(dict(block.rejected), block.trials, rows)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    weights = _weights(block.weights, header, (rows,), where)
    known = {layout.name for layout in header.arrays}
    columns = dict(block.columns)
    snapshots = columns.pop("snapshots", None)
    if unknown := sorted(set(columns) - known):
        raise InputError(
            f"{where}: {unknown[0]} given; the store of {header.family.name} networks has no such "
            "array"
        )
    given = {**weights, **columns}
    if snapshots is not None:
        shape = (rows, len(header.spec.times[1]))
        along = _weights(snapshots, header, shape, where)
        given |= {f"{SNAPSHOT}{name}": values for name, values in along.items()}
    if missing := [layout.name for layout in header.arrays if layout.name not in given]:
        raise InputError(f"{where}: no {missing[0]}")
    return {
        layout.name: _numbers(given[layout.name], layout, rows, where) for layout in header.arrays
    }


def _weights(values: Array, header: Header, rows: tuple[int, ...], where: str) -> dict[str, Array]:
    """Return weights (*rows, N) as they are stored: bits of signs, real numbers by layer."""
    shape = (*rows, header.n_weights)
    if header.family.signs:
        signs = _signs(values, shape, where).reshape(-1, header.n_weights)
        return {"weights": pack(signs).reshape(*rows, -1)}
    weights = np.asarray(values)
    if weights.shape != shape or weights.dtype.kind != "f":
        raise InputError(
            f"{where}: weights are {weights.dtype} {weights.shape}, must be float32 {shape}"
        )
    network = header.spec.network
    return {
        f"{LAYER}{layer}": weights[..., part].reshape(*rows, *matrix)
        for layer, (part, matrix) in enumerate(
            zip(network.layer_slices, network.shapes, strict=True)
        )
    }


def _signs(weights: Any, shape: tuple[int, ...], where: str) -> Signs:
    signs = np.asarray(weights)
    if signs.shape != shape or signs.dtype != np.int8:
        raise InputError(
            f"{where}: weights are {signs.dtype} {signs.shape}, must be int8 {shape} of ±1"
        )
    wrong = np.abs(signs) != 1
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0])
        raise InputError(
            f"{where}: weights hold {signs[first]} at row {first[0]}, weight {first[-1]} "
            f"({np.count_nonzero(wrong)} such entries); they must be ±1"
        )
    return signs


def _numbers(array: Any, layout: ArrayLayout, rows: int, where: str) -> Array:
    values = np.asarray(array)
    shape, dtype = (rows, *layout.row), np.dtype(layout.dtype)
    kinds = "iuf" if dtype.kind == "f" else "iu"
    if values.shape != shape or values.dtype.kind not in kinds:
        kind = "integers" if dtype.kind == "i" else "numbers"
        raise InputError(
            f"{where}: {layout.name} is {values.dtype} {values.shape}, must be {kind} {shape}"
        )
    if fault := wrong_values(layout, values):
        raise InputError(f"{where}: {layout.name} {fault}")
    return np.ascontiguousarray(values, dtype=dtype)


def wrong_values(layout: ArrayLayout, values: Array) -> str | None:
    """Return what is wrong with numbers of an array, or None: where the first is, what it must be.

    >>> wrong_values(ArrayLayout("test_accuracy", "<f8"), np.array([0.5, 2.0]))
    'holds 2.0 at row 1 (1 such entries); it must be 0 to 1'
    """
    dtype = np.dtype(layout.dtype)
    if dtype.kind == "u":  # bits: anything may be
        return None
    if dtype.kind == "i" and dtype.itemsize == 8:  # of a user: any whole number
        return None
    if dtype.kind == "i":
        bad = (values < 0) | (values > np.iinfo(dtype).max)
        need = f"0 to {np.iinfo(dtype).max}"
    elif layout.is_curve:
        # NaN after the last pass; of a network that diverged there is no record.
        bad = np.isinf(values)
        need = "finite, or NaN after the last pass"
    elif layout.name.endswith("accuracy"):
        bad = ~((values >= 0) & (values <= 1))
        need = "0 to 1"
    else:
        bad = ~(np.abs(values) <= np.finfo(dtype).max)
        need = "finite"
    if not bad.any():
        return None
    first = tuple(int(index) for index in np.argwhere(bad)[0])
    count = np.count_nonzero(bad)
    return f"holds {values[first]} at row {first[0]} ({count} such entries); it must be {need}"
