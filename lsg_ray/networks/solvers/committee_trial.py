"""One trial of a solver of perceptrons and committees: starts, batches, snapshots, and its end.

A solver is a function of a `Trial` and its options that returns an `End`; `algorithm` makes a
training algorithm of it.  Replicas are the leading axis of all arrays: y replicas of K units with n
inputs are (y, K, n), and each has patterns in an order of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel

from lsg_ray.datasets import Dataset
from lsg_ray.networks.algorithm import Algorithm, Candidate, Run
from lsg_ray.networks.families.committee import Arena, Stop, committee_of
from lsg_ray.networks.family import not_neutral
from lsg_ray.networks.replicas import Groups, Make, groups
from lsg_ray.networks.trial import Purpose, trial_generator, trial_seed
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import Spec
from lsg_ray.typing import Array, Floats, Ints

#: Families of weights on the sphere, and of ±1 weights, whose output is a majority.
SPHERICAL = ("spherical-perceptron", "spherical-committee")
BINARY = ("perceptron", "committee")
#: Those whose output is the product of the units, of each kind of weights.
SPHERICAL_PARITY, BINARY_PARITY = "spherical-parity", "parity"

#: Fields of ``training`` that these solvers do not read, as they are by default.
UNUSED = {
    "training.optimizer": "adam",
    "training.learning_rate": 0.3,
    "training.decay_steps": None,
    "training.target_loss": None,
    "training.gamma": 0.0,
    "training.engine": "numba",
    "training.stack": None,
}

Config = TypeVar("Config", bound=BaseModel)


class End(NamedTuple):
    """Where a solver ended: weights (K, n), epochs or sweeps made, and why."""

    weights: Floats
    epochs: int
    stopped: Stop


class Trial:
    """Trial number ``trial`` of a configuration: what a solver needs, and its snapshots."""

    def __init__(self, spec: Spec, arena: Arena, configuration: int, trial: int) -> None:
        self.spec, self.arena, self.address = spec, arena, (configuration, trial)
        self.family = committee_of(spec)
        self.patterns = arena.train
        self.epochs = spec.training.epochs
        (self.shape,) = spec.network.shapes
        self.seed = seed_sequence(spec.ensemble.seed, Stream.TRIAL, configuration, trial)
        self._times = set(spec.snapshot_steps)
        self._snapshots: list[Array] = []
        self.steps = 0

    def rng(self, purpose: Purpose) -> np.random.Generator:
        """Return the generator of the trial for a purpose."""
        return trial_generator(self.seed, purpose)

    @cached_property
    def _order(self) -> np.random.Generator:
        return self.rng(Purpose.ORDER)

    @property
    def batches_per_epoch(self) -> int:
        """Number of mini-batches of an epoch."""
        return -(-self.patterns.n_patterns // self.spec.training.batch(self.patterns.n_patterns))

    def starts(self, replicas: int = 1) -> Floats:
        """Return where replicas start (replicas, K, n), each at an address of its own."""
        root = trial_seed(self.seed, Purpose.START)
        below = [
            np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, replica))
            for replica in range(1, replicas)
        ]
        starts = self.family.starts(self.spec, [self.seed, *below])
        return starts.astype(np.float64).reshape(replicas, *self.shape)

    def groups(
        self, make: Make, options: BaseModel, replicas: int
    ) -> AbstractContextManager[Groups]:
        """Open the groups of replicas; see `lsg_ray.networks.replicas`."""
        return groups(make, self, options, replicas)

    def batches(self, replicas: int = 1) -> Iterator[Ints]:
        """Yield the mini-batches of an epoch, (replicas, B) rows, permuted for each replica."""
        orders = [self._order.permutation(self.patterns.n_patterns) for _ in range(replicas)]
        yield from np.array_split(np.stack(orders), self.batches_per_epoch, axis=1)

    def step(self, weights: Array) -> None:
        """Store the mean of replicas (y, K, n) before a step, where a snapshot is due."""
        if self.steps in self._times:
            self._snapshots.append(self.family.stored(weights.mean(axis=0)))
        self.steps += 1

    def sweep(self, weights: Array) -> None:
        """Count an epoch of a solver without steps; see `step`."""
        for _ in range(self.batches_per_epoch):
            self.step(weights)

    def errors(self, weights: Floats) -> Ints:
        """Return the wrong patterns L_NE (rows,) of weights (rows, K, n), as they are stored."""
        flat = np.array([self.family.stored(w) for w in weights])
        return self.family.errors(self.spec.network, flat, self.patterns)

    def candidate(self, end: End) -> Candidate:
        """Return the outcome; the snapshots after the end are as at the end."""
        accuracy, weights, columns = self.family.outcome(
            self.spec, self.arena, end.weights, end.epochs, end.stopped
        )
        if end.stopped == Stop.DIVERGED:
            accuracy = np.nan
        if not self._times:
            return Candidate(accuracy, weights, columns)
        missing = len(self.spec.snapshot_steps) - len(self._snapshots)
        snapshots = self._snapshots + [weights] * missing
        return Candidate(accuracy, weights, columns, np.array(snapshots))


def spread(weights: Floats) -> float:
    """Return the mean square distance of replicas (y, K, n) from their mean, over its square."""
    centre = weights.mean(axis=0)
    square = max(float(np.mean(centre**2)), np.finfo(float).tiny)
    return float(np.mean((weights - centre) ** 2)) / square


def epochs_only(spec: Spec) -> Iterator[str]:
    """Yield what does not fit a solver by sweeps: snapshots within a sweep."""
    if spec.ensemble.snapshots is not None and spec.times[0] == "steps":
        yield (
            f"ensemble.snapshots: steps given; {spec.algorithm} makes sweeps over all patterns: "
            "name epochs"
        )


def odd_replicas(spec: Spec) -> Iterator[str]:
    """Yield what does not fit: an even number of replicas, whose majority would tie."""
    replicas = spec.training.options.get("replicas", 7)
    if isinstance(replicas, int) and replicas % 2 == 0:
        yield f"training.options.replicas: {replicas} given; an odd number has no ties"


def algorithm(
    name: str,
    families: tuple[str, ...],
    config: type[Config],
    solve: Callable[[Trial, Config], End],
    *,
    misfits: Callable[[Spec], Iterable[str]] = lambda _: (),
    unused: Mapping[str, object] = UNUSED,
    replicas: Callable[[Config], int] | None = None,
    check: Callable[[Spec, Dataset], None] = lambda *_: None,
    warm_up: Callable[[Spec], None] | None = None,
) -> Algorithm:
    """Return the training algorithm of a solver.

    Parameters
    ----------
    name, families, config, misfits, check, warm_up
        As of `Algorithm`.
    solve
        ``solve(trial, options)``: the solver.
    unused
        Fields that must be as they are by default, since it does not read them.
    replicas
        Number of its replicas by its options, where they are in groups that may be elsewhere
        (`Trial.groups`).
    """

    def trainer(spec: Spec, arena: Any, _: str | None) -> Run:
        options = config(**spec.training.options)

        def run(configurations: Sequence[int], number: int) -> list[Candidate]:
            trials = [Trial(spec, arena, one, number) for one in configurations]
            # Weights that are no longer finite end the trial as diverged.
            with np.errstate(all="ignore"):
                return [trial.candidate(solve(trial, options)) for trial in trials]

        return run

    def all_misfits(spec: Spec) -> Iterator[str]:
        yield from not_neutral(spec, unused, f"{name} does not read it; see training.options")
        yield from misfits(spec)

    def count(spec: Spec) -> int:
        assert replicas is not None
        return replicas(config(**spec.training.options))

    return Algorithm(
        name,
        families,
        trainer,
        config=config,
        misfits=all_misfits,
        check=check,
        replicas=None if replicas is None else count,
        warm_up=warm_up,
    )
