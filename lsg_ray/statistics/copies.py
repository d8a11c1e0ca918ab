"""Rows that are copies of each other: not independent, so errors are those of groups.

`lsg_ray.permute` with mode ``add`` adds node-permuted copies of some configurations.  Of an average
⟨f⟩ over rows with weights w and influence function f, groups of rows being independent,

    Var = Σ_groups (Σ w f)² / (Σ w)² = [Σ w² f² + 2 Σ_pairs w w' f f'] / (Σ w)²,

pairs of rows of a group (cluster-robust; K.-Y. Liang, S. L. Zeger, Biometrika 73, 13 (1986)), times
K/(K − 1), K = (Σ w)² / Σ_groups (Σ w)²: where rows are independent, that is M/(M − 1).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.statistics.configurations import Configurations
from lsg_ray.statistics.views import Reordered
from lsg_ray.typing import Floats, Ints

Rows = Ints


class Pairs(NamedTuple):
    """Every two rows of a group: first < second, by second; and rows, groups of all."""

    first: Rows
    second: Rows
    group: Rows
    groups: int


def pairs_of_copies(source: Configurations) -> Pairs | None:
    """Return the pairs of rows that are copies; None if all rows are independent."""
    number = source.groups()
    if number is None:
        return None
    names, group = np.unique(number, return_inverse=True)
    a, b = pairs_of_groups(group).T
    by = np.argsort(b, kind="stable")
    return Pairs(a[by], b[by], group, len(names)) if len(a) else None


def pairs_of_groups(group: Rows) -> Rows:
    """Return every two rows of a group, the first before the second: (pairs, 2)."""
    order = np.argsort(group, kind="stable")
    sorted_, pairs = group[order], [np.empty((0, 2), np.int64)]
    for apart in range(1, int(np.unique(group, return_counts=True)[1].max(initial=1))):
        same = np.flatnonzero(sorted_[:-apart] == sorted_[apart:])
        pairs.append(np.stack([order[same], order[same + apart]], axis=1))
    return np.concatenate(pairs)


def draw_independent(source: Configurations, count: int | None, rng: np.random.Generator) -> Rows:
    """Return ``count`` random rows, ascending, no two of which are copies; all, if there are fewer.

    Of a configuration and its copies, each is drawn with the same probability.
    """
    number = source.groups()
    if number is None:
        count = source.n_rows if count is None else min(max(count, 0), source.n_rows)
        return np.sort(rng.choice(source.n_rows, count, replace=False))
    order = rng.permutation(source.n_rows)
    _, first = np.unique(number[order], return_index=True)
    return np.sort(order[np.sort(first)][: None if count is None else max(count, 0)])


def effective_groups(group: Rows, weights: Floats | None = None) -> float:
    """Return K = (Σ w)² / Σ_groups (Σ w)²."""
    total = np.bincount(group, weights).astype(np.float64)
    return float(total.sum() ** 2 / (total**2).sum())


def together(source: Configurations) -> tuple[Configurations, Rows | None]:
    """Return configurations with copies beside each other, and where a group begins.

    None where all rows are independent.
    """
    number = source.groups()
    if number is None:
        return source, None
    _, first, group = np.unique(number, return_index=True, return_inverse=True)
    order = np.argsort(first[group], kind="stable")  # by the first of each group
    begins = np.flatnonzero(np.diff(first[group][order], prepend=-1))
    return Reordered(source, order), begins


def refuse_itself(first: Configurations, second: Configurations) -> None:
    """Refuse a set as the other one of itself: each row would be paired with itself.

    Raises
    ------
    InputError
        Both are of one store, and begin with the same row.
    """
    same = (first.name, first.n_rows) == (second.name, second.n_rows)
    if same and np.array_equal(first.rows(0, 1), second.rows(0, 1)):
        raise InputError(
            f"{first.name} given twice; leave the second out, for pairs within one set (--other)"
        )
