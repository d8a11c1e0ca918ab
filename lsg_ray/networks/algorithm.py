"""A training algorithm: how the trials of an ensemble find their configurations.

A new one is a file in `lsg_ray.networks.solvers` with an ``ALGORITHM``, and a line in
`lsg_ray.registry.ALGORITHMS`; that of an installed package is an entry point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from lsg_ray.datasets import Dataset
from lsg_ray.spec import Spec
from lsg_ray.typing import Array


class Candidate(NamedTuple):
    """Outcome of one trial, accepted or not.

    accuracy: on the selection set; NaN (diverged, or no solution) is never accepted; weights
    (N,), int8 ±1 or float32; columns: its values by array of the store; snapshots (S, N), weights
    at the times of `Spec.times`, or None without; train_loss: after training, where it is known.
    """

    accuracy: float
    weights: Array
    columns: Mapping[str, Any]
    snapshots: Array | None = None
    train_loss: float = np.nan


#: Returns the weights (rows, N) that trials started from, of configurations and numbers of their
#: trials; the last argument returns the result of `Family.prepare`, for those that need it.
Starts = Callable[[Spec, Sequence[int], Sequence[int], Callable[[], Any]], Array]
#: Runs trial number ``trial`` of some configurations: one candidate each.
Run = Callable[[Sequence[int], int], Sequence[Candidate]]


@dataclass(frozen=True)
class Algorithm:
    """A training algorithm.

    Parameters
    ----------
    name
        Name in `training.algorithm`.
    families
        Names of the families of networks that it trains.
    trainer
        ``trainer(spec, arena, device)`` returns a function that runs trials; ``arena`` is the
        result of `Family.prepare`.  All randomness of a trial comes from
        ``seed_sequence(spec.ensemble.seed, Stream.TRIAL, configuration, trial)``.
    config
        Pydantic model of `training.options`; None if there are none.
    misfits
        Yields a line for each field of a specification that the algorithm does not support.
    stack
        Number of configurations that are trained together, at addresses 0 to stack − 1 and so on.
    check
        Raises `InputError` where a data set cannot be trained on, as for lack of memory.
    in_batches
        Whether it descends by the optimizer, rate and batches of `training`, besides its options.
    replicas
        ``replicas(spec)`` returns how many replicas a trial has, where processes may share them
        (`lsg_ray.networks.replicas`); None where they may not.
    starts
        ``starts(spec, configurations, trials, arena)`` returns the weights (rows, N) that trials
        started from; None where each draws its own, by `Family.starts`.
    warm_up
        Compiles or loads all code, once per machine; called before workers compute.
    """

    name: str
    families: tuple[str, ...]
    trainer: Callable[[Spec, Any, str | None], Run]
    config: type[BaseModel] | None = None
    misfits: Callable[[Spec], Iterable[str]] = field(default=lambda _: ())
    stack: Callable[[Spec], int] = field(default=lambda _: 1)
    check: Callable[[Spec, Dataset], None] = field(default=lambda *_: None)
    in_batches: bool = False
    replicas: Callable[[Spec], int] | None = None
    starts: Starts | None = None
    warm_up: Callable[[Spec], None] | None = None
