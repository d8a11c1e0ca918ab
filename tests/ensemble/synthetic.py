"""Ensembles of random weights: row i is the same whatever the count and the block size."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.ledger import rejection_histogram
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.writer import Plan, create_ensemble, write_block
from lsg_ray.spec import Spec, parse_spec

#: Of binary networks: numbers of a configuration.
SCALARS = ("accuracy", "loss", "test_accuracy", "trial", "epochs", "polarization")
#: Of ReLU networks: numbers of a configuration, and curves of training.
REAL_SCALARS = (
    "accuracy", "loss", "test_accuracy", "test_loss", "train_accuracy", "train_loss", "trial",
    "epochs",
)  # fmt: skip
CURVES = tuple(
    f"curve_{name}" for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
)
QUERY_COLUMNS = tuple(dict.fromkeys(["configuration", *SCALARS, *REAL_SCALARS]))
DATASET_HASH = "d" * 64
_numbers = itertools.count()


def memory_url() -> str:
    return f"memory://test-{next(_numbers)}"


def zarr_store(url: Any) -> Any:
    """Read-only store of Zarr's own, as other tools open one."""
    from zarr.storage import ObjectStore

    return ObjectStore(locate(url)._store, read_only=True)


def make_spec(
    count: int = 50,
    block_size: int | None = 16,
    widths: tuple[int, ...] = (5, 3, 4, 1),
    **ensemble: Any,
) -> Spec:
    tree = {
        "name": "synthetic",
        "dataset": {"components": widths[0], "labels": "parity" if widths[-1] == 1 else "class"},
        "network": {"widths": list(widths)},
        "ensemble": {"count": count, "block_size": block_size, **ensemble},
    }
    return parse_spec(tree)


@lru_cache(maxsize=64)
def rows(count: int, n_weights: int) -> dict[str, np.ndarray]:
    """Columns of the first configurations, drawn row by row so that fewer rows are a prefix."""
    table = np.random.default_rng(11).random((count, n_weights + 6))
    columns = {
        "weights": np.where(table[:, 6:] < 0.5, -1, 1).astype(np.int8),
        "accuracy": (0.8 + 0.1 * table[:, 0]).astype(np.float32),
        "loss": table[:, 1].astype(np.float32),
        "test_accuracy": (0.8 + 0.1 * table[:, 2]).astype(np.float32),
        "trial": (4 * table[:, 3]).astype(np.int32),
        "epochs": (50 * table[:, 4]).astype(np.int32),
        "polarization": table[:, 5].astype(np.float32),
        "fields": (table[:, 6:] - 0.5).astype(np.float32),
    }
    for values in columns.values():
        values.flags.writeable = False
    return {"configuration": np.arange(count), **columns}


def make_block(spec: Spec, index: int, block_size: int | None = None) -> Block:
    size = block_size or spec.block_size
    columns = rows(spec.ensemble.count, spec.network.n_weights)
    start = index * size
    part = slice(start, min(start + size, spec.ensemble.count))
    arrays = {name: columns[name][part] for name in columns if name != "configuration"}
    if not spec.ensemble.store_fields:
        del arrays["fields"]
    rejected = rejection_histogram([0.5, 0.75])
    number = len(arrays["trial"])
    weights = arrays.pop("weights")
    return Block(start, weights, arrays, number + 2, rejected, seconds=0.25)


def with_columns(block: Block, **columns: Any) -> Block:
    """The block with other columns."""
    return replace(block, columns={**block.columns, **columns})


def make_real_spec(
    count: int = 50,
    block_size: int | None = 16,
    widths: tuple[int, ...] = (6, 5, 10),
    *,
    biases: bool = False,
    epochs: int = 3,
    **ensemble: Any,
) -> Spec:
    tree = {
        "name": "synthetic",
        "dataset": {"name": "digits", "components": widths[0]},
        "network": {"family": "relu", "widths": list(widths), "biases": biases},
        "training": {"epochs": epochs},
        "ensemble": {"count": count, "block_size": block_size, **ensemble},
    }
    return parse_spec(tree)


@lru_cache(maxsize=64)
def real_rows(spec: Spec) -> dict[str, np.ndarray]:
    """Columns of the networks of a specification, each layer, and all ``weights`` side by side."""
    count, network, epochs = spec.ensemble.count, spec.network, spec.training.epochs
    n_weights, n_curves = network.n_weights, len(CURVES) * epochs
    rng = np.random.default_rng(12)
    table = rng.random((count, len(REAL_SCALARS) + n_curves + n_weights))
    columns = {name: table[:, place] for place, name in enumerate(REAL_SCALARS)}
    columns["trial"] = (4 * columns["trial"]).astype(np.int32)
    columns["epochs"] = (1 + epochs * columns["epochs"]).astype(np.int32)
    curves = table[:, len(REAL_SCALARS) :][:, :n_curves].astype(np.float32)
    passed = np.arange(epochs) < columns["epochs"][:, None]
    for place, name in enumerate(CURVES):
        piece = curves[:, place * epochs : (place + 1) * epochs]
        columns[name] = np.where(passed, piece, np.float32(np.nan))
    weights = (table[:, len(REAL_SCALARS) + n_curves :] - 0.5).astype(np.float32)
    for layer, (place, shape) in enumerate(zip(network.layer_slices, network.shapes, strict=True)):
        columns[f"weights_{layer}"] = weights[:, place].reshape(count, *shape)
    columns |= {"weights": weights, "configuration": np.arange(count)}
    for values in columns.values():
        values.flags.writeable = False
    return columns


def make_real_block(spec: Spec, index: int, block_size: int | None = None) -> Block:
    size = block_size or spec.block_size
    columns = real_rows(spec)
    start = index * size
    part = slice(start, min(start + size, spec.ensemble.count))
    arrays = {name: columns[name][part] for name in (*REAL_SCALARS, *CURVES)}
    weights = columns["weights"][part]
    rejected = rejection_histogram([0.5, 0.75])
    return Block(start, weights, arrays, len(weights) + 2, rejected, seconds=0.25)


def fill(url: Any, spec: Spec, blocks: Any = None) -> Plan:
    """Create or resume a store and write its missing blocks, or the ones given."""
    plan = create_ensemble(url, spec, dataset_hash=DATASET_HASH)
    make = make_block if spec.network.family == "binary" else make_real_block
    for index in plan.missing if blocks is None else blocks:
        block = make(spec, int(index), plan.block_size)
        write_block(plan.url, int(index), block, seed_path=[spec.ensemble.seed, 1, block.start])
    return plan
