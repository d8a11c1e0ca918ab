"""In what two runs differ, so that a store of one is not taken for the other's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lsg_ray.ensemble.header import Header


def differences(stored: Header, new: Header) -> list[str]:
    """Name every field in which a stored run and a new one differ, one a line."""
    lines = []
    before, after = (_flat(header.spec.model_dump(mode="json")) for header in (stored, new))
    file, changed = "dataset.options.", "dataset.options.sha256"
    another_file = changed in before and changed in after and before[changed] != after[changed]
    if another_file:
        lines.append(
            f"dataset: the file has changed since: SHA-256 {after[changed][:12]}… now, "
            f"{before[changed][:12]}… in the store; put the original back"
        )
    # What is not given is left out of either.
    for path in (*before, *(path for path in after if path not in before)):
        was, now = before.get(path), after.get(path)
        if another_file and path.startswith(file):
            continue  # shape and counts follow from the file
        if path == "ensemble.count":
            if new.count < stored.count:
                lines.append(
                    f"ensemble.count: the store has {was}, the spec {now}: it can only grow"
                )
        elif path == "ensemble.block_size":
            if now not in (None, stored.block_size):
                lines.append(
                    f"ensemble.block_size: the store has {stored.block_size}, the spec {now}"
                )
        elif was != now and path != "ensemble.give_up_after":  # changes no configuration
            lines.append(f"{path}: the store has {was}, the spec {now}")
    if stored.dataset_hash != new.dataset_hash and not another_file:
        lines.append(
            f"data set: the store was sampled on {stored.dataset_hash[:16]}…, "
            f"the data at hand are {new.dataset_hash[:16]}…"
        )
    if stored.columns != new.columns and stored.derivation == new.derivation:
        was, now = (", ".join(a.name for a in h.columns or ()) for h in (stored, new))
        lines.append(f"columns: the store has {was or 'none'}, now {now or 'none'}")
    if stored.derivation != new.derivation:
        was, now = (_shown(header.derivation) for header in (stored, new))
        lines.append(f"derivation: the store's configurations are {was}, now {now}")
    return lines


def _shown(derivation: Mapping[str, Any] | None) -> str:
    if derivation is None:
        return "sampled"
    made = "imported" if derivation.get("kind") == "import" else "derived"
    return f"{made} ({json.dumps(derivation)})"


def _flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values of nested dictionaries by path, with points between."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{above}{key}.") if inner else {f"{above}{key}": value}
    return flat
