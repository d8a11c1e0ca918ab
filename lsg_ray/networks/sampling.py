"""The protocol of an ensemble: trials until one is accepted (liquid-like paper, Sec. II, App. D).

Configuration i of an ensemble is the outcome of trials (i, 0), (i, 1), ...: each trains a network
by the algorithm of the specification, and the first whose accuracy reaches the threshold gives the
configuration.  All randomness of a trial comes from its address ``(seed, TRIAL, i, trial)``, so a
configuration does not depend on the block it is computed in, on workers or retries.
(Where networks are trained in stacks of `Spec.stack` configurations, these are always whole.)
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lsg_ray.datasets import Dataset
from lsg_ray.errors import AcceptanceError
from lsg_ray.networks.algorithm import Candidate, Run
from lsg_ray.registry import ALGORITHMS, FAMILIES
from lsg_ray.spec import Spec
from lsg_ray.typing import Array, Floats

#: Most trials of a configuration that are run at once.
AHEAD = 4
#: Number of snapshots that are measured together.
SNAPSHOT_BATCH = 256


class Sampled(NamedTuple):
    """Accepted configurations ``start, start + 1, ...`` and their trials.

    weights (rows, N), int8 ±1 or float32; columns, values by array of the store, and
    ``snapshots`` (rows, S, N) where the specification has them; missed, accuracies of rejected
    trials (NaN: diverged, or no solution); seconds of computing time.
    """

    start: int
    weights: Array
    columns: dict[str, Array]
    missed: Floats
    seconds: float


class Trials:
    """Trials of a block: counts them, and gives up with advice when too few are accepted."""

    def __init__(self, spec: Spec, on_trial: Callable[[bool], None] | None = None) -> None:
        self.spec = spec
        self.missed: list[float] = []
        self.losses: list[float] = []
        self.accepted = 0
        self._on_trial = on_trial or (lambda _: None)

    def accepts(self, candidate: Candidate) -> bool:
        """Return whether a candidate is accepted; an accuracy of NaN never is."""
        return bool(candidate.accuracy >= self.spec.ensemble.threshold)

    def judge(self, candidate: Candidate) -> bool:
        """Count a trial; return whether it is accepted."""
        accepted = self.accepts(candidate)
        self.losses.append(candidate.train_loss)
        if accepted:
            self.accepted += 1
        else:
            self.missed.append(candidate.accuracy)
        self._on_trial(accepted)
        limit = self.spec.ensemble.give_up_after * (self.accepted + 1)
        if len(self.missed) >= limit:
            family = FAMILIES[self.spec.network.family]
            missed, losses = np.array(self.missed), np.array(self.losses)
            raise AcceptanceError(family.advice(self.spec, self.accepted, missed, losses))
        return accepted


def prepare(spec: Spec, dataset: Dataset) -> Any:
    """Convert a data set for the trials of ``spec``; done once per run, shared by all workers.

    Raises
    ------
    InputError
        The examples do not fit the networks, or training would not fit into memory.
    """
    ALGORITHMS[spec.algorithm].check(spec, dataset)
    return FAMILIES[spec.network.family].prepare(spec, dataset)


def trainer_of(spec: Spec, arena: Any, device: str | None = None) -> Run:
    """Return the function that runs trials of ``spec``, with examples where it needs them.

    It keeps nothing of the trials that it ran, so it may serve any number of them.
    """
    return ALGORITHMS[spec.algorithm].trainer(spec, arena, device)


def sample_configurations(
    spec: Spec,
    arena: Any,
    start: int,
    rows: int,
    *,
    device: str | None = None,
    run: Run | None = None,
    on_trial: Callable[[bool], None] | None = None,
) -> Sampled:
    """Sample configurations ``start`` to ``start + rows − 1`` of the ensemble of ``spec``.

    Parameters
    ----------
    spec
        Specification of the run.
    arena
        Data from `prepare`.
    start, rows
        First configuration, and number of configurations.
    device
        Device of torch, where the algorithm uses it.
    run
        Result of `trainer_of`, where it was made before: once for many calls.
    on_trial
        Called after each trial with whether it was accepted.

    Raises
    ------
    AcceptanceError
        Fewer than one trial in ``ensemble.give_up_after`` is accepted; the message says what was
        observed and what to change.

    Notes
    -----
    Binary networks: trials × (epochs × 10 N P + draws × 2 N P_selection) flop.
    """
    began = time.perf_counter()
    family = FAMILIES[spec.network.family]
    trials = Trials(spec, on_trial)
    run = run or trainer_of(spec, arena, device)
    if spec.together > 1:
        accepted = _in_launches(spec.together, start, rows, trials, run)
    else:
        accepted = _filled(spec.stack, start, rows, trials, run)
    candidates = [candidate for _, candidate in accepted]
    weights = np.array([candidate.weights for candidate in candidates])
    columns = {
        name: np.array([candidate.columns[name] for candidate in candidates])
        for name in candidates[0].columns
    }
    measured = {}
    if not {*family.measures} <= {*columns}:
        measured = dict(family.measure(spec, arena, weights))
    if spec.snapshot_steps:
        columns |= _along_training(spec, arena, candidates)
    own = {
        "accuracy": np.array([candidate.accuracy for candidate in candidates]),
        "trial": np.array([trial for trial, _ in accepted], np.int32),
    }
    missed = np.array(trials.missed, np.float64)
    seconds = time.perf_counter() - began
    return Sampled(start, weights, {**own, **columns, **measured}, missed, seconds)


def _along_training(spec: Spec, arena: Any, candidates: Sequence[Candidate]) -> dict[str, Array]:
    """Return the snapshots of accepted trials (rows, S, N), and the measures of each."""
    family = FAMILIES[spec.network.family]
    snapshots = np.array([candidate.snapshots for candidate in candidates])
    flat = snapshots.reshape(-1, snapshots.shape[2])
    batches = [
        family.measure(spec, arena, flat[start : start + SNAPSHOT_BATCH])
        for start in range(0, len(flat), SNAPSHOT_BATCH)
    ]
    measured = {
        f"snapshot_{name}": np.concatenate([batch[name] for batch in batches])
        for name in family.measures
    }
    rows = len(snapshots)
    measured = {name: values.reshape(rows, -1) for name, values in measured.items()}
    return {"snapshots": snapshots, **measured}


def _filled(
    stack: int, start: int, rows: int, trials: Trials, run: Run
) -> list[tuple[int, Candidate]]:
    """Run trials of all stacks with these configurations; return trial and candidate of each.

    Networks of a stack share products, and some their noise, so a configuration depends on its
    stack, and stacks are always filled whole, whatever the block or the count.
    """
    accepted: dict[int, tuple[int, Candidate]] = {}
    block = range(start, start + rows)
    for first in range(start - start % stack, start + rows, stack):
        waiting, trial = list(range(first, first + stack)), 0
        while any(configuration in block for configuration in waiting):
            tried: Sequence[Candidate] = run(waiting, trial)
            for configuration, candidate in zip(waiting, tried, strict=True):
                judge = trials.judge if configuration in block else trials.accepts
                if judge(candidate):
                    accepted[configuration] = (trial, candidate)
            waiting = [configuration for configuration in waiting if configuration not in accepted]
            trial += 1
    return [accepted[configuration] for configuration in block]


def _in_launches(
    together: int, start: int, rows: int, trials: Trials, run: Run
) -> list[tuple[int, Candidate]]:
    """As `_filled`, with up to ``together`` trials of any configurations at a time.

    Where few configurations are left, up to `AHEAD` trials of each are run at once: a launch takes
    about as long with them.  Those after the first that is accepted count for nothing.
    """
    accepted: dict[int, tuple[int, Candidate]] = {}
    waiting = deque((configuration, 0) for configuration in range(start, start + rows))
    while waiting:
        first = [waiting.popleft() for _ in range(min(together, len(waiting)))]
        each = min(AHEAD, together // len(first))
        pairs = [(c, trial + n) for c, trial in first for n in range(each)]
        tried = iter(run(*map(list, zip(*pairs, strict=True))))
        for configuration, trial in first:
            candidates = list(itertools.islice(tried, each))
            for number, candidate in enumerate(candidates, trial):
                if trials.judge(candidate):
                    accepted[configuration] = (number, candidate)
                    break
            else:
                waiting.append((configuration, trial + each))
    return [accepted[configuration] for configuration in range(start, start + rows)]
