"""Configurations of perceptrons and committees that measures are taken of, with their patterns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import numpy as np

from lsg_ray import __version__
from lsg_ray.ensemble.chosen import as_ensemble, chosen_numbers, dataset_of
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.networks.families.committee import Arena, committee_of, n_units
from lsg_ray.registry import FAMILIES
from lsg_ray.results.checkpoints import TaskResult, run_tasks
from lsg_ray.spec import NetworkSpec
from lsg_ray.statistics.estimates import averaged
from lsg_ray.typing import (
    Count,
    Default,
    EnsembleLike,
    Flags,
    Floats,
    Integers,
    Ints,
    JsonObject,
    Positive,
    Share,
    Tasks,
)

#: Overlaps that are one, up to rounding and the tolerance of message passing.
_SAME = 1e-7
#: Number of configurations that are measured by default.
USUAL = 20


class MessageTasks(Tasks, total=False):
    """Options of local entropies by message passing, one task a reference."""

    theory: Annotated[bool, Default(True)]
    tolerance: Annotated[Positive, Default(1e-6)]
    max_sweeps: Annotated[Count, Default(500)]
    damping: Annotated[Share, Default(0.3)]
    configurations: Integers | None


class Ground(NamedTuple):
    """Architecture and patterns: what is the same for all tasks of a measure."""

    network: NetworkSpec
    arena: Arena

    @property
    def shape(self) -> tuple[int, int]:
        """Hidden units K and inputs n of each."""
        ((units, n),) = self.network.shapes
        return units, n


class Chosen(NamedTuple):
    """Chosen configurations of an ensemble.

    numbers (R,): which; weights (R, K, n): each unit of norm √n; errors (R,): wrong patterns of the
    training set; test_errors (R,): share of wrong patterns of the test set.
    """

    ensemble: Ensemble
    ground: Ground
    numbers: Ints
    weights: Floats
    errors: Ints
    test_errors: Floats

    @property
    def alpha(self) -> float:
        """Patterns per weight P/N."""
        return self.ground.arena.train.n_patterns / self.weights[0].size

    def distinct(self) -> Chosen:
        """Return those that differ: of two at an overlap of one, the first."""
        rows = np.unique(self._alike())
        names = ("numbers", "weights", "errors", "test_errors")
        return self._replace(**{name: getattr(self, name)[rows] for name in names})

    def averaged(self, table: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard error over configurations (R, ...), without those that are NaN.

        Where fewer than two different ones are left, as many trials end in one fixed point of
        message passing, the error is unknown and NaN: their spread is rounding.
        """
        mean, error = averaged(table)
        good, alike = np.isfinite(table), self._alike()
        different = sum(good[alike == row].any(axis=0).astype(int) for row in np.unique(alike))
        return mean, np.where(different >= 2, error, np.nan)

    def _alike(self) -> Ints:
        """Return for each configuration the first (R,) that it is at an overlap of one with."""
        flat = self.weights.reshape(len(self.weights), -1)
        overlap = flat @ flat.T / flat.shape[1]
        first = np.arange(len(flat))
        for row in range(len(flat)):
            earlier = [one for one in range(row) if first[one] == one]
            if earlier and overlap[row, earlier].max() >= 1 - _SAME:
                first[row] = earlier[int(overlap[row, earlier].argmax())]
        return first

    def wrong_tests(self) -> Flags:
        """Return which patterns of the test set are wrong (R, T)."""
        family = committee_of(self.ensemble.spec)
        flat = self.ensemble.take(self.numbers)["weights"]
        return family.wrong(self.ground.network, flat, self.ground.arena.test)

    def provenance(self, **more: object) -> JsonObject:
        """Return attributes of a result."""
        spec = self.ensemble.spec
        return {
            "source": spec.name,
            "spec": spec.canonical_json(),
            "spec_hash": self.ensemble.spec_hash,
            "algorithm": spec.algorithm,
            "dataset": spec.dataset.name,
            "family": spec.network.family,
            "dataset_hash": self.ensemble.header.dataset_hash,
            "n_units": self.ground.shape[0],
            "n_inputs": self.ground.shape[1],
            "n_patterns": self.ground.arena.train.n_patterns,
            "alpha": self.alpha,
            "package_version": __version__,
            **self.ensemble.time,
            **more,
        }

    def run(
        self,
        work: Callable[..., TaskResult],
        kind: type[TaskResult],
        arguments: Sequence[tuple[object, ...]],
        run: Tasks,
    ) -> TaskResult:
        """Run ``work(ground, weights, *argument)`` for each configuration; stack the results."""
        given = [(w, *own) for w, own in zip(self.weights, arguments, strict=True)]
        results = run_tasks(work, self.ground, given, kind, run["checkpoints"], run["progress"])
        return kind(*map(np.stack, zip(*results, strict=True)))


def choose(
    given: EnsembleLike,
    configurations: int | Sequence[int] | None,
    *,
    for_what: str,
    sphere: bool = False,
    majority: bool = False,
    solutions: bool = False,
) -> Chosen:
    """Read configurations of an ensemble of perceptrons, committees or parity machines.

    Parameters
    ----------
    given
        `Ensemble`, a view of one, or its URL.
    configurations
        Number of configurations, from the first of the view, or their numbers; None for the first
        `USUAL` at most.
    for_what
        Name of the measure, for messages.
    sphere, majority, solutions
        Whether weights must be on the sphere, the output a majority, and all configurations
        without an error.

    Raises
    ------
    InputError
        The ensemble does not have what is needed, its data are not at hand, or the weights of a
        unit are all zero.
    """
    ensemble = as_ensemble(given, "an ensemble or the path of its store is needed")
    spec = ensemble.spec
    family = FAMILIES[spec.network.family]
    try:
        known = committee_of(spec)
    except InputError:
        raise InputError(
            f"{ensemble.url}: holds {family.about}; {for_what} is of perceptrons and committees "
            "(network.family)"
        ) from None
    if majority and known.product:
        raise InputError(
            f"{ensemble.url}: holds {family.about}, whose output is no majority; {for_what} is of "
            "perceptrons and committees"
        )
    if sphere and family.signs:
        raise InputError(
            f"{ensemble.url}: holds {family.about}; {for_what} is of weights on the sphere "
            f"(network.family: spherical-{family.name})"
        )
    numbers = chosen_numbers(ensemble, configurations, USUAL)
    if not len(numbers):
        raise InputError("configurations: none given; at least one is needed")
    flat = ensemble.take(numbers)["weights"]
    arena = _arena(ensemble)
    errors = known.errors(spec.network, flat, arena.train)
    if solutions and errors.any():
        worst = int(np.argmax(errors))
        raise InputError(
            f"{ensemble.url}: configuration {numbers[worst]} is wrong on {errors[worst]} of its "
            f"{arena.train.n_patterns} patterns; {for_what} is of solutions: choose them with "
            "--where 'errors == 0'"
        )
    tested = known.errors(spec.network, flat, arena.test) / arena.test.n_patterns
    w = flat.astype(np.float64).reshape(len(flat), *spec.network.shapes[0])
    norms = np.linalg.norm(w, axis=2, keepdims=True)
    if not norms.all():
        number = numbers[int(np.argmin(norms.min(axis=(1, 2))))]
        raise InputError(
            f"{ensemble.url}: configuration {number} has a unit whose weights are all zero, which "
            "is nowhere on the sphere; choose others (--configurations)"
        )
    w *= np.sqrt(w.shape[2]) / norms
    return Chosen(ensemble, Ground(spec.network, arena), numbers, w, errors, tested)


def _arena(ensemble: Ensemble) -> Arena:
    spec = ensemble.spec
    arena: Arena = FAMILIES[spec.network.family].prepare(spec, dataset_of(ensemble))
    return arena


def is_tree(network: NetworkSpec) -> bool:
    """Return whether hidden units have inputs of their own; a perceptron has one unit."""
    ((units, n),) = network.shapes
    return units == 1 or units * n == network.widths[0]


def machine_of(network: NetworkSpec) -> str:
    """Return the machine of the theory whose densest regions are drawn beside; empty for none."""
    units = n_units(network)
    if units == 1:
        return "perceptron"
    # Of few units it takes minutes; nine are already like infinitely many.
    return "committee-inf" if is_tree(network) and units >= 5 else ""
