"""Convert the labels of a file to classes 0, 1, …, C − 1.

Whole numbers 0 to C − 1 are taken as they are; others, and text, are numbered in their order.
Labels ±1 become 0 for +1 and 1 for −1, so that ``labels: parity`` restores them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsg_ray.arrays import brief
from lsg_ray.datasets.tables import LIMITS
from lsg_ray.errors import DataError
from lsg_ray.typing import Array, Ints

#: Largest number of labels in messages and specifications, and of characters of each.
MAX_NAMED, MAX_LABEL = 20, 40
#: Number of different whole-number labels that are always taken as classes.
_FEW = 20


class Classes(NamedTuple):
    """train, test: (n,) classes; values: labels by class as text, empty where they are numbers."""

    train: Ints
    test: Ints
    n_classes: int
    values: tuple[str, ...]

    def describe(self) -> str:
        """Return the mapping from labels to classes as one line of text."""
        named = [f"{value} → {index}" for index, value in enumerate(self.values[:MAX_NAMED])]
        more = ", …" if self.n_classes > MAX_NAMED else ""
        return f"labels are not 0 to {self.n_classes - 1}; classes: {', '.join(named)}{more}"


def classes_of(train: Array, test: Array, origin: str) -> Classes:
    """Number the labels of both parts.

    Raises
    ------
    DataError
        Labels are no classes: missing, infinite, real numbers, one class alone, or a class without
        training examples.
    """
    labels = np.concatenate([_plain(train, origin), _plain(test, origin)])
    distinct, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(-1).astype(np.int64)
    n_classes, n = len(distinct), len(labels)
    if n_classes < 2:
        raise DataError(
            f"{origin}: all {n:,} labels are {brief(distinct[:1])[1:-1]}; two classes are needed"
        )
    if (
        n_classes > LIMITS.classes
        or (n_classes == n and n > 2)
        or (labels.dtype.kind in "iu" and n_classes > max(_FEW, n // 2))
    ):
        raise DataError(
            f"{origin}: {n_classes:,} different labels for {n:,} examples; these are no classes "
            "(regression is not supported): name another label column, or group the values"
        )
    values: tuple[str, ...] = ()
    if labels.dtype.kind in "iu" and np.array_equal(distinct, [-1, 1]):
        numbers, distinct = 1 - numbers, distinct[::-1]
        values = ("1", "-1")
    elif labels.dtype.kind not in "iu" or not np.array_equal(distinct, np.arange(n_classes)):
        values = tuple(str(value)[:MAX_LABEL] for value in distinct[:MAX_NAMED])
    counts = np.bincount(numbers[: len(train)], minlength=n_classes)
    if not counts.all():
        empty = distinct[int(np.argmin(counts > 0))]
        raise DataError(f"{origin}: label {str(empty)[:MAX_LABEL]} has no training examples")
    return Classes(numbers[: len(train)], numbers[len(train) :], n_classes, values)


def _plain(labels: Array, origin: str) -> Array:
    """Return labels as int64, or as text."""
    kind = labels.dtype.kind
    if kind in "SU" or labels.dtype == object:
        text = np.char.strip(labels.astype(str))
        if (empty := np.flatnonzero(text == "")).size:
            raise DataError(f"{origin}: the label of row {empty[0]} is missing")
        return _numbers(text, origin)
    if kind == "f":
        with np.errstate(invalid="ignore"):
            wrong = ~np.isfinite(labels) | (labels != np.round(labels)) | (abs(labels) > 2**53)
        if wrong.any():
            row = int(np.argmax(wrong))
            if np.isfinite(labels[row]):
                raise DataError(
                    f"{origin}: the label of row {row} is {labels[row]}: real numbers are no "
                    "classes, and regression is not supported; give whole numbers or names"
                )
            raise DataError(f"{origin}: the label of row {row} is {labels[row]}; give its class")
    if kind == "u" and labels.size and int(labels.max()) > 2**62:
        raise DataError(f"{origin}: label {labels.max()} seen; at most {2**62}")
    return labels.astype(np.int64)


def _numbers(text: Array, origin: str) -> Array:
    """Return text as numbers where all of it is."""
    try:
        numbers = text.astype(np.float64)
    except ValueError:
        return text
    return _plain(numbers, origin)
