"""Transforms of examples, one pure function each; `lsg_ray.spec.DatasetSpec` defines their order.

Transforms that are fitted on the training part are in `lsg_ray.datasets.projection`.  Medians are
ranks: ties are broken by position, so that halves are equal (of an odd number, one more is +1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lsg_ray.datasets.generated import Draw, rows_of
from lsg_ray.datasets.source import Part
from lsg_ray.errors import DataError
from lsg_ray.rng import Stream, generator
from lsg_ray.typing import Array, Ints, Signs

#: Number of values of a block of features that are shuffled or ranked at a time.
_BLOCK = 1 << 23


def keep_classes(part: Part, classes: tuple[int, ...]) -> Part:
    """Return the examples of some classes, in their order; the classes become 0, 1, ….

    >>> part = Part(np.eye(3), np.array([2, 0, 1]))
    >>> keep_classes(part, (1, 2)).labels.tolist()
    [1, 0]
    """
    new_label = np.full(max(int(part.labels.max(initial=0)), *classes) + 1, -1)
    new_label[list(classes)] = np.arange(len(classes))
    renamed = new_label[part.labels]
    rows = np.flatnonzero(renamed >= 0)
    return Part(part.pixels[rows], renamed[rows].astype(part.labels.dtype))


def first_of_each_class(
    order: NDArray[np.intp], labels: Array, count: int, n_classes: int
) -> NDArray[np.intp]:
    """Return the first `count` rows of each class of an ordering, in that order.

    >>> first_of_each_class(np.arange(5), np.array([0, 0, 0, 1, 1]), 2, 2).tolist()
    [0, 1, 3, 4]

    Raises
    ------
    DataError
        A class has fewer rows.
    """
    ordered = labels[order]
    chosen = []
    for label in range(n_classes):
        rows = np.flatnonzero(ordered == label)
        if len(rows) < count:
            raise DataError(
                f"dataset.train_per_class: {count:,} given; class {label} has {len(rows):,} "
                "training examples that are not set aside"
            )
        chosen.append(rows[:count])
    return order[np.sort(np.concatenate(chosen))]


def binarize_by_median(x: Array) -> Signs:
    """Return ±1: of each example the upper half of its values is +1.

    >>> binarize_by_median(np.array([[0, 0, 5, 0], [1, 2, 3, 4]])).tolist()
    [[-1, -1, 1, 1], [-1, -1, 1, 1]]
    """
    signs = np.empty(x.shape, np.int8)
    half = x.shape[1] // 2
    for start in (starts := rows_of(x)):
        order = np.argsort(x[start : start + starts.step], axis=1, kind="stable")
        block = signs[start : start + starts.step]
        np.put_along_axis(block, order[:, :half], np.int8(-1), axis=1)
        np.put_along_axis(block, order[:, half:], np.int8(1), axis=1)
    return signs


def binarize_features_by_median(train: Array, test: Array) -> tuple[Signs, Signs]:
    """Return ±1: of each feature the upper half over the training examples is +1.

    Test values are compared with the median of the training examples: +1 if they are larger.
    """
    signs = np.empty(train.shape, np.int8)
    tested = np.empty(test.shape, np.int8)
    half = len(train) // 2
    step = max(1, _BLOCK // max(1, len(train)))
    for start in range(0, train.shape[1], step):
        columns = slice(start, start + step)
        block = train[:, columns]
        order = np.argsort(block, axis=0, kind="stable")
        ranked = np.ones(block.shape, np.int8)
        np.put_along_axis(ranked, order[:half], np.int8(-1), axis=0)
        signs[:, columns] = ranked
        median = np.median(block, axis=0)
        tested[:, columns] = np.where(test[:, columns] > median, 1, -1)
    return signs, tested


def binarize_at_zero(x: Array) -> Signs:
    """Return ±1: +1 where a value is above zero."""
    return np.where(x > 0, np.int8(1), np.int8(-1))


def shuffle_features(x: Array, seed: int, part: int) -> Array:
    """Return each feature permuted over the examples, by a permutation of its own.

    The histogram of each feature is unchanged; correlations between features, and of features
    with labels, are destroyed.

    Parameters
    ----------
    x
        Array (n, features).
    seed, part
        Random stream of the permutations: ``dataset.seed``, and 0 for training, 1 for test, 2
        for validation examples.
    """
    rng = generator(seed, Stream.DATA, Draw.SHUFFLE, part)
    shuffled = np.empty_like(x)
    step = max(1, _BLOCK // max(1, len(x)))
    for start in range(0, x.shape[1], step):
        columns = slice(start, start + step)
        shuffled[:, columns] = rng.permuted(x[:, columns], axis=0)
    return shuffled


def noisy_labels(targets: Ints, share: float, n_classes: int, seed: int, *, signs: bool) -> Ints:
    """Return labels, each replaced by another one with a probability.

    Parameters
    ----------
    targets
        Labels (n,): classes, or ±1.
    share
        Probability that a label is replaced.
    n_classes
        Number of classes; the other classes are equally probable.
    seed
        Seed of the data set, ``dataset.seed``.
    signs
        Whether labels are ±1.
    """
    rng = generator(seed, Stream.DATA, Draw.NOISE)
    replaced = rng.random(len(targets)) < share
    if signs:
        return np.where(replaced, -targets, targets)
    others = rng.integers(1, n_classes, len(targets))
    return np.where(replaced, (targets + others) % n_classes, targets)
