"""One block on its way into the store: the sampler's arrays, checked before they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lsg_ray.ensemble.header import Header
from lsg_ray.ensemble.layout import CURVES, LAYER, ArrayLayout, pack
from lsg_ray.ensemble.ledger import check_rejected
from lsg_ray.errors import InputError
from lsg_ray.typing import Array, Signs, Singles


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive accepted configurations and what it took to find them.

    Parameters
    ----------
    start
        Index of the first configuration.
    weights
        (rows, N) int8, ±1; layers one after another, each row-major ``[out, in]``.
    accuracy, test_accuracy
        (rows,) fractions of the selection set and of the test set.
    loss
        (rows,) mean loss on the selection set.
    trial, epochs
        (rows,) integers: index of the accepted trial, and its epochs of training.
    polarization
        (rows,) mean |tanh(θ/2)|.
    trials
        Trials spent on the block, accepted and rejected.
    rejected
        Rejected trials by bin of their best accuracy, as `rejection_histogram` counts them.
    seconds
        Time the block took.
    fields
        (rows, N) trained fields θ; exactly when the specification stores them.
    """

    start: int
    weights: Signs
    accuracy: Array
    loss: Array
    test_accuracy: Array
    trial: Array
    epochs: Array
    polarization: Array
    trials: int
    rejected: Mapping[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    fields: Array | None = None


@dataclass(frozen=True, eq=False)
class RealBlock:
    """Consecutive accepted networks of real weights.

    Parameters
    ----------
    start
        Index of the first configuration.
    weights
        (rows, N) float32; layers one after another, each row-major ``[out, in]``.
    columns
        By array name, (rows,) numbers of `lsg_ray.ensemble.layout.REAL_SCALARS` and (rows, epochs)
        of `CURVES`, NaN after a network's last pass.
    trials, rejected, seconds
        As in `Block`.
    """

    start: int
    weights: Singles
    columns: Mapping[str, Array]
    trials: int
    rejected: Mapping[int, int] = field(default_factory=dict)
    seconds: float = 0.0


def stored_arrays(block: Block | RealBlock, header: Header, index: int) -> dict[str, Array]:
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
    if isinstance(block, RealBlock) != (header.spec.network.family == "relu"):
        raise InputError(
            f"{where}: a {type(block).__name__} given; the store holds "
            f"{header.spec.network.family} networks"
        )
    if isinstance(block, RealBlock):
        return _real_arrays(block, header, rows, where)
    if block.fields is not None and not header.spec.ensemble.store_fields:
        raise InputError(f"{where}: fields given; the store keeps none (ensemble.store_fields)")
    arrays = {"weights": pack(_signs(block.weights, (rows, header.n_weights), where))}
    for layout in header.arrays[1:]:
        arrays[layout.name] = _numbers(getattr(block, layout.name), layout, rows, where)
    return arrays


def _real_arrays(block: RealBlock, header: Header, rows: int, where: str) -> dict[str, Array]:
    """Cut weights into layers and check every array."""
    weights = np.asarray(block.weights)
    if weights.shape != (rows, header.n_weights):
        raise InputError(f"{where}: weights of shape {weights.shape}, must be "
                         f"{(rows, header.n_weights)}")  # fmt: skip
    network = header.spec.network
    layers = iter(zip(network.layer_slices, network.shapes, strict=True))
    arrays = {}
    for layout in header.arrays:
        if layout.name.startswith(LAYER):
            place, shape = next(layers)
            given = weights[:, place].reshape(rows, *shape)
        elif layout.name in block.columns:
            given = block.columns[layout.name]
        else:
            raise InputError(f"{where}: no {layout.name}")
        arrays[layout.name] = _numbers(given, layout, rows, where)
    return arrays


def _signs(weights: Any, shape: tuple[int, int], where: str) -> Signs:
    signs = np.asarray(weights)
    if signs.shape != shape or signs.dtype != np.int8:
        raise InputError(
            f"{where}: weights are {signs.dtype} {signs.shape}, must be int8 {shape} of ±1"
        )
    wrong = np.abs(signs) != 1
    if wrong.any():
        row, weight = np.argwhere(wrong)[0]
        raise InputError(
            f"{where}: weights hold {signs[row, weight]} at row {row}, weight {weight} "
            f"({np.count_nonzero(wrong)} such entries); they must be ±1"
        )
    return signs


def _numbers(given: Any, layout: ArrayLayout, rows: int, where: str) -> Array:
    values = np.asarray(given)
    shape, dtype = (rows, *layout.row), np.dtype(layout.dtype)
    kinds = "iu" if dtype.kind == "i" else "iuf"
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
    if dtype.kind == "i":
        bad = (values < 0) | (values > np.iinfo(dtype).max)
        need = f"0 to {np.iinfo(dtype).max}"
    elif layout.name in CURVES:
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
    at = tuple(int(place) for place in np.argwhere(bad)[0])
    count = np.count_nonzero(bad)
    return f"holds {values[at]} at row {at[0]} ({count} such entries); it must be {need}"
