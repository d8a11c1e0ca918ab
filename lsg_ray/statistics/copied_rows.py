"""Which rows of an ensemble with permuted copies (mode ``add``) are copies of which."""

from __future__ import annotations

import numpy as np

from lsg_ray.rng import Stream, generator
from lsg_ray.typing import Ints, JsonObject


def start_of_copies(rng: np.random.Generator) -> float:
    """Return where in the first stretch of rows the first is copied, or replaced: 0 to 1."""
    return float(rng.random())


def number_of_copies(n_rows: int, fraction: float) -> int:
    """Return how many of the rows get a copy, so that a fraction of all are in such pairs."""
    return round(fraction / (2 - fraction) * n_rows)


def copied_rows(n_rows: int, copies: int, phase: float, rows: Ints) -> Ints:
    """Return the rows that rows 0 … n_rows + copies − 1 are copies of: themselves, at first."""
    step = n_rows / max(copies, 1)
    copied = np.minimum(((rows - n_rows + phase) * step).astype(np.int64), n_rows - 1)
    return np.where(rows < n_rows, rows, copied)


def groups_of_derivation(derivation: JsonObject | None, rows: Ints, count: int) -> Ints:
    """Return the group of rows of a store of ``count``, by how it was derived; else the rows."""
    if derivation is None:
        return rows
    if derivation.get("kind") == "permuted" and derivation.get("mode") == "add":
        fraction = float(derivation["fraction"])
        n_rows = round(count / (1 + fraction / (2 - fraction)))
        n_rows += next(
            (d for d in (0, -1, 1) if n_rows + d + number_of_copies(n_rows + d, fraction) == count),
            0,
        )
        phase = start_of_copies(generator(int(derivation["seed"]), Stream.PERMUTE))
        rows, count = copied_rows(n_rows, count - n_rows, phase, rows), n_rows
    return groups_of_derivation(derivation.get("of"), rows, count)
