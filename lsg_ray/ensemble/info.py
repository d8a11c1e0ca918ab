"""What is in a store, from its ledger alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lsg_ray.ensemble.chunks import chunk_bytes
from lsg_ray.ensemble.content import combine
from lsg_ray.ensemble.header import Header
from lsg_ray.ensemble.layout import FORMAT_VERSION
from lsg_ray.ensemble.ledger import Record


def describe(url: str, header: Header, records: Sequence[Record]) -> dict[str, Any]:
    """Return a description of a store as plain JSON.

    Parameters
    ----------
    url
        The store.
    header
        Its header.
    records
        Records of its complete blocks.

    Returns
    -------
    Among others ``count`` (planned) and ``rows`` (complete), ``accuracy`` (min, mean, max over
    complete rows, or None), ``acceptance`` (rows / trials), ``bytes`` of the chunks of complete
    blocks, ``bits_per_weight`` on disk, ``content_hash``.
    """
    rows = sum(record.rows for record in records)
    trials = sum(record.trials for record in records)
    block_bytes = [chunk_bytes(array, header.block_size) for array in header.arrays]
    weight_bytes = sum(
        size for array, size in zip(header.arrays, block_bytes, strict=True)
        if array.name.startswith("weights")
    )  # fmt: skip
    accuracy = None
    if records:
        accuracy = {
            "min": min(record.accuracy.min for record in records),
            "mean": sum(record.accuracy.mean * record.rows for record in records) / rows,
            "max": max(record.accuracy.max for record in records),
        }
    return {
        "url": url,
        "name": header.spec.name,
        "dataset": header.spec.dataset.name,
        "family": header.spec.network.family,
        "widths": list(header.spec.network.widths),
        "n_weights": header.n_weights,
        "count": header.count,
        "rows": rows,
        "complete": len(records) == header.n_blocks,
        "blocks": header.n_blocks,
        "blocks_complete": len(records),
        "block_size": header.block_size,
        "accuracy": accuracy,
        "trials": trials,
        "acceptance": rows / trials if trials else None,
        "seconds": sum(record.seconds for record in records),
        "bytes": sum(block_bytes) * len(records),
        "bits_per_weight": (
            8 * weight_bytes * len(records) / (rows * header.n_weights) if rows else None
        ),
        "content_hash": combine(record.content for record in records),
        "spec_hash": header.spec_hash,
        "dataset_hash": header.dataset_hash,
        "derivation": None if header.derivation is None else dict(header.derivation),
        "format_version": FORMAT_VERSION,
        "package_version": header.package_version,
        "header": "verified" if header.verified else "unverified: zarr.json has no digest",
    }
