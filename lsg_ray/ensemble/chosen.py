"""Configurations of an ensemble that a function measures: whole networks, some of them chosen."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from lsg_ray.arrays import as_integers
from lsg_ray.datasets import Dataset, load_dataset
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.errors import InputError
from lsg_ray.typing import EnsembleLike, Ints


def as_ensemble(given: EnsembleLike, needed: str) -> Ensemble:
    """Return an ensemble, or open that of a path or URL; ``needed`` is for messages.

    Raises
    ------
    InputError
        Something else was given.
    """
    if isinstance(given, Ensemble):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise InputError(f"{type(given).__name__} given; {needed}: lsg_ray.open_ensemble(PATH)")
    return open_ensemble(given)


def dataset_of(ensemble: Ensemble) -> Dataset:
    """Return the data set of an ensemble, from what is at hand.

    Raises
    ------
    InputError
        It is not at hand, or not the one that the ensemble was sampled on.
    """
    dataset = load_dataset(ensemble.spec.dataset, download=False)
    if ensemble.header.dataset_hash != dataset.content_hash:
        raise InputError(
            f"{ensemble.url}: sampled on other data ({ensemble.header.dataset_hash[:16]}…) than "
            f"are at hand ({dataset.content_hash[:16]}…)"
        )
    return dataset


def chosen_numbers(
    ensemble: Ensemble, configurations: int | Sequence[int] | None, default: int | None
) -> Ints:
    """Return the numbers of chosen configurations: so many, the first ones, or those of a list.

    Without a choice it is ``default`` of them, or all if there are fewer; None for all.

    Raises
    ------
    InputError
        A view of a part, too few configurations, none of a number, or one given twice.
    """
    if ensemble.is_part:
        raise InputError(f"{ensemble.url}: a view of a part given; whole networks are needed")
    there = ensemble.column("configuration")
    if configurations is not None and not isinstance(configurations, (int, np.integer)):
        numbers = as_integers(configurations, "configurations")
        if len(missing := np.setdiff1d(numbers, there)):
            raise InputError(f"configuration {missing[0]} given; {ensemble.url} does not have it")
        # Of a network that counts twice, errors over networks would be too small.
        if len(numbers) > len(np.unique(numbers)):
            repeated = next(n for n in numbers.tolist() if np.sum(numbers == n) > 1)
            raise InputError(
                f"configurations: {repeated} given twice; each counts once: leave one out"
            )
        return numbers
    if not len(there):
        raise InputError(f"{ensemble.url}: no configurations; sample first, or relax --where")
    if configurations is None:
        return there[:default]
    if not 1 <= configurations <= len(there):
        raise InputError(
            f"configurations {configurations} given; {ensemble.url} has {len(there)} to choose from"
        )
    return there[: int(configurations)]
