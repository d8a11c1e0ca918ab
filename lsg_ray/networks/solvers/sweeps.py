"""What solvers by message passing share: sweeps until the signs of the fields solve the patterns.

A solver is an iterator of total fields (K, n), first those it starts from, then those after each
sweep over all patterns, which is an epoch; where its protocol ends, it does.  Weights are the signs
of the fields, without decimation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lsg_ray.datasets import Dataset
from lsg_ray.errors import InputError
from lsg_ray.networks.algorithm import Candidate, Run
from lsg_ray.networks.factor_graph import gauged
from lsg_ray.networks.families.committee import Arena, Stop, committee_of
from lsg_ray.networks.trial import Purpose, trial_generator
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import Spec
from lsg_ray.typing import Floats, Signs

#: Largest number of bytes of messages: a worker holds those of one trial.
MAX_BYTES = 2**34
#: Makes the fields of one trial, from its random numbers.
Begin = Callable[[np.random.Generator], Iterator[Floats]]


class Search(NamedTuple):
    """Where a search has ended.

    fields (K, n); sweeps made; stopped: why; visited: fields at the times that were asked for and
    reached.
    """

    fields: Floats
    sweeps: int
    stopped: Stop
    visited: list[Floats]


def search(
    fields: Iterator[Floats],
    errors: Callable[[Floats], int],
    max_sweeps: int,
    times: Sequence[int] = (),
) -> Search:
    """Sweep until no pattern is wrong, the protocol ends, or the largest number of sweeps is made.

    Parameters
    ----------
    fields
        Of a solver; see above.
    errors
        Number of wrong patterns of weights with the signs of fields (K, n).
    max_sweeps
        Sweeps, at most.
    times
        Numbers of sweeps after which fields are stored; 0 for the start.
    """
    now = next(fields)
    visited = [now.copy()] if 0 in times else []
    sweeps, stopped = 0, Stop.EPOCHS
    while sweeps < max_sweeps:
        new = next(fields, None)
        if new is None:
            stopped = Stop.PROTOCOL
            break
        now, sweeps = new, sweeps + 1
        if sweeps in times:
            visited.append(now.copy())
        if not np.isfinite(now).all():
            stopped = Stop.DIVERGED
            break
        if errors(now) == 0:
            stopped = Stop.SOLVED
            break
    return Search(now, sweeps, stopped, visited)


def trainer_of(spec: Spec, arena: Arena, begun: Callable[[Signs, int], Begin]) -> Run:
    """Return what runs trials of a solver.

    ``begun(x, K)`` is given patterns of P, with labels absorbed, and the number of hidden units.
    """
    family = committee_of(spec)
    ((units, _),) = spec.network.shapes
    begin = begun(gauged(arena.train.x, arena.train.s), units)
    _, times = spec.times

    def errors(fields: Floats) -> int:
        flat = family.stored(fields)
        return int(family.errors(spec.network, flat[None], arena.train)[0])

    def one(configuration: int, trial: int) -> Candidate:
        seed = seed_sequence(spec.ensemble.seed, Stream.TRIAL, configuration, trial)
        fields = begin(trial_generator(seed, Purpose.INITIAL))
        end = search(fields, errors, spec.training.epochs, times)
        accuracy, weights, columns = family.outcome(
            spec, arena, end.fields, end.sweeps, end.stopped
        )
        if end.stopped == Stop.DIVERGED:
            accuracy = np.nan
        snapshots = [family.stored(fields) for fields in end.visited]
        # What comes after the end is as at the end.
        snapshots += [weights] * (len(times) - len(snapshots))
        return Candidate(accuracy, weights, columns, np.array(snapshots) if times else None)

    def run(configurations: Sequence[int], trial: int) -> list[Candidate]:
        return [one(configuration, trial) for configuration in configurations]

    return run


def misfits(spec: Spec) -> Iterator[str]:
    """Yield a line for each field that solvers by sweeps cannot serve."""
    unit, _ = spec.times
    if spec.ensemble.snapshots is not None and unit == "steps":
        yield (
            f"ensemble.snapshots: steps given; {spec.algorithm} makes sweeps over all patterns: "
            "name epochs"
        )


def check_memory(spec: Spec, dataset: Dataset) -> None:
    """Raise `InputError` where messages, 8 P N bytes, would take too much memory."""
    count, n = len(dataset.train.y), spec.network.n_weights
    need = 8 * count * n
    if need > MAX_BYTES:
        raise InputError(
            f"messages of {count:,} patterns to {n:,} weights take {need / 2**30:,.0f} GiB of "
            f"memory; at most {MAX_BYTES / 2**30:.0f}: take fewer, or training.algorithm: "
            "reinforced-amp, which keeps none"
        )
