"""In what two runs differ, so that a store of one is not taken for the other's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lsg_ray.ensemble.header import Header


def differences(stored: Header, given: Header) -> list[str]:
    """Name every field in which a stored run and a given one differ, one a line."""
    lines = []
    old, new = (_flat(header.spec.model_dump(mode="json")) for header in (stored, given))
    for path, was in old.items():
        now = new.get(path)
        if path == "ensemble.count":
            if now < was:
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
    if stored.dataset_hash != given.dataset_hash:
        lines.append(
            f"data set: the store was sampled on {stored.dataset_hash[:16]}…, "
            f"the data at hand are {given.dataset_hash[:16]}…"
        )
    if stored.columns != given.columns and stored.derivation == given.derivation:
        was, now = (", ".join(a.name for a in h.columns or ()) for h in (stored, given))
        lines.append(f"columns: the store has {was or 'none'}, now {now or 'none'}")
    if stored.derivation != given.derivation:
        was, now = (_shown(header.derivation) for header in (stored, given))
        lines.append(f"derivation: the store's configurations are {was}, now {now}")
    return lines


def _shown(derivation: Mapping[str, Any] | None) -> str:
    if derivation is None:
        return "sampled"
    made = "imported" if derivation.get("kind") == "import" else "derived"
    return f"{made} ({json.dumps(derivation)})"


def _flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values of nested dictionaries by path, with points between."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        inner = isinstance(value, dict)
        found |= _flat(value, f"{above}{key}.") if inner else {f"{above}{key}": value}
    return found
