"""What is in a store, from its ledger alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lsg_ray.ensemble.chunks import chunk_bytes
from lsg_ray.ensemble.content import MODULUS, combine
from lsg_ray.ensemble.header import Header
from lsg_ray.ensemble.ledger import Record
from lsg_ray.typing import JsonObject

#: Kinds of processors that are counted apart; more are no honest ledger's.
MAX_PROCESSOR_KINDS = 100


def describe(url: str, header: Header, records: Iterable[Record]) -> JsonObject:
    """Return a description of a store as plain JSON.

    Parameters
    ----------
    url
        The store.
    header
        Its header.
    records
        Records of its complete blocks; gone through once and not held in memory.

    Returns
    -------
    Among others ``count`` (planned) and ``rows`` (complete), ``accuracy`` (min, mean, max over
    complete rows, or None), ``acceptance`` (rows / trials), ``bytes`` of the chunks of complete
    blocks, ``bits_per_weight`` on disk, ``content_hash``, ``processors`` (blocks by the kind of
    processor that computed them; ``unknown`` where the record does not name it).
    """
    blocks = rows = trials = 0
    seconds = total = 0.0
    low, high, content = 1.0, 0.0, 0
    kinds: Counter[str] = Counter()
    for record in records:
        blocks += 1
        rows += record.rows
        trials += record.trials
        seconds += record.seconds
        if record.accuracy is not None:
            total += record.accuracy.mean * record.rows
            low, high = min(low, record.accuracy.min), max(high, record.accuracy.max)
        content += int(record.content, 16)
        kind = record.processor or "unknown"
        kinds[kind if kind in kinds or len(kinds) < MAX_PROCESSOR_KINDS else "others"] += 1
    sizes = {array.name: chunk_bytes(array, header.block_size) for array in header.arrays}
    weight_bytes = sum(size for name, size in sizes.items() if name.startswith("weights"))
    unit, times = header.spec.times
    imported = header.derivation is not None and header.derivation.get("kind") == "import"
    accuracy = {"min": low, "mean": total / rows, "max": high} if rows and low <= high else None
    return {
        "url": url,
        "name": header.spec.name,
        "dataset": header.spec.dataset.name if header.family.has_outputs else None,
        "family": header.spec.network.family,
        "widths": list(header.spec.network.widths) if header.family.has_outputs else None,
        "n_weights": header.n_weights,
        **({"snapshots": {unit: list(times)}} if times else {}),
        "count": header.count,
        "rows": rows,
        "complete": blocks == header.n_blocks,
        "blocks": header.n_blocks,
        "blocks_complete": blocks,
        "block_size": header.block_size,
        "accuracy": accuracy,
        "trials": None if imported else trials,
        "acceptance": rows / trials if trials and not imported else None,
        "seconds": seconds,
        "processors": dict(kinds),
        "bytes": sum(sizes.values()) * blocks,
        "bits_per_weight": (
            8 * weight_bytes * blocks / (rows * header.n_weights) if rows else None
        ),
        "content_hash": combine([f"{content % MODULUS:064x}"]),
        "spec_hash": header.spec_hash,
        "dataset_hash": header.dataset_hash,
        "derivation": None if header.derivation is None else dict(header.derivation),
        "format_version": header.format_version,
        "package_version": header.package_version,
        "header": "verified" if header.verified else "unverified: zarr.json has no digest",
    }
