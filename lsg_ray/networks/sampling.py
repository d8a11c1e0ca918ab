"""The protocol of a trial: train, draw, select, accept (liquid-like paper, Sec. II and App. D).

Configuration i of an ensemble is the outcome of trials (i, 0), (i, 1), ...: each starts from its
own random fields, trains a network, draws `draws` binary configurations and keeps the best on the
selection set; the first trial that reaches the threshold gives the configuration.  All randomness
of a trial comes from its address ``(seed, TRIAL, i, trial)``, so a configuration does not depend on
the block it is computed in (numba engine), on workers, threads or retries.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsg_ray.datasets import Dataset, Examples
from lsg_ray.errors import AcceptanceError, InputError
from lsg_ray.networks import binary
from lsg_ray.networks.binary import Frozen
from lsg_ray.networks.layout import ChunkedExamples, chunk_examples, read_only
from lsg_ray.rng import Stage, seed_sequence
from lsg_ray.spec import Spec

#: Networks that the torch engine trains together, by device: fixed, as results depend on it.
STACK = {"cpu": 64, "cuda": 1024}
#: Bins of the histogram of rejected accuracies on [0, 1].
REJECTED_BINS = 200


class Arena(NamedTuple):
    """What trials run on: training set, selection set, test set (laid out for `evaluate`)."""

    x: NDArray[np.float32]
    y: NDArray[np.int32]
    selection: ChunkedExamples
    test: ChunkedExamples


class Sampled(NamedTuple):
    """Accepted configurations ``start, start + 1, ...`` and how they were found.

    weights (rows, N) int8 ±1; accuracy, loss on the selection set and test_accuracy (rows,);
    trial, epochs (rows,) int32; polarization (rows,) float32, mean |tanh(θ/2)|; fields (rows, N)
    float32 or None; trials, how many were run; rejected {bin: count}, the best accuracies of those
    that missed, in `REJECTED_BINS` bins; seconds of computing.
    """

    start: int
    weights: NDArray[np.int8]
    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]
    test_accuracy: NDArray[np.float64]
    trial: NDArray[np.int32]
    epochs: NDArray[np.int32]
    polarization: NDArray[np.float32]
    fields: NDArray[np.float32] | None
    trials: int
    rejected: dict[int, int]
    seconds: float


class Candidate(NamedTuple):
    """Best configuration of one trial, accepted or not."""

    weights: NDArray[np.int8]
    accuracy: float
    fields: NDArray[np.float32]


def prepare(spec: Spec, dataset: Dataset) -> Arena:
    """Lay a data set out for the trials of ``spec``; done once per run, shared by all workers."""
    if spec.network.family != "binary":
        raise InputError(
            f"network.family: {spec.network.family!r} given; sampling is for 'binary' networks"
        )
    sets: dict[str, Examples] = {
        "test": dataset.test,
        "train": dataset.train,
        "validation": dataset.validation,
    }
    test = chunk_examples(dataset.test.x, dataset.test.y)
    chosen = sets[spec.ensemble.selection]
    selection = test if chosen is dataset.test else chunk_examples(chosen.x, chosen.y)
    x, y = dataset.train.x, dataset.train.y
    binary.check_examples(spec.network, x, y, spec.loss)
    return Arena(read_only(x, np.float32), read_only(y, np.int32), selection, test)


class _Misses:
    """Best accuracies of rejected trials; gives up after too many in a row."""

    def __init__(self, spec: Spec, on_trial: Callable[[bool], None] | None) -> None:
        self.spec = spec
        self.on_trial = on_trial or (lambda _: None)
        self.histogram: dict[int, int] = {}
        self.trials = 0
        self._in_a_row: list[float] = []
        self._lock = threading.Lock()

    def accept(self) -> None:
        with self._lock:
            self.trials += 1
            self._in_a_row.clear()
            self.on_trial(True)

    def reject(self, accuracy: float) -> None:
        with self._lock:
            self.trials += 1
            self._in_a_row.append(accuracy)
            place = min(int(np.nan_to_num(accuracy) * REJECTED_BINS), REJECTED_BINS - 1)
            self.histogram[place] = self.histogram.get(place, 0) + 1
            self.on_trial(False)
            if len(self._in_a_row) >= self.spec.ensemble.give_up_after:
                raise AcceptanceError(_acceptance_advice(self.spec, np.array(self._in_a_row)))


def _acceptance_advice(spec: Spec, seen: NDArray) -> str:
    diverged = int(np.isnan(seen).sum())
    low, quarter, median, high, top = np.quantile(np.nan_to_num(seen), [0, 0.25, 0.5, 0.75, 1])
    ensemble = spec.ensemble
    return (
        f"{len(seen)} trials in a row missed ensemble.threshold = {ensemble.threshold:g}"
        f"{f', {diverged} of them diverged (lower training.learning_rate)' if diverged else ''}.\n"
        f"Best accuracies of {ensemble.draws} draws on the {ensemble.selection} set: "
        f"min {low:.4f}, quartiles {quarter:.4f} {median:.4f} {high:.4f}, max {top:.4f}.\n"
        f"Lower ensemble.threshold (half of these trials reach {median:.4f}), train longer "
        f"(training.epochs = {spec.training.epochs}), widen network.widths, "
        f"or raise ensemble.give_up_after. All but the last make another ensemble: give it "
        f"another --out."
    )


def sample_configurations(
    spec: Spec,
    arena: Arena,
    start: int,
    rows: int,
    *,
    threads: int = 1,
    device: str | None = None,
    on_trial: Callable[[bool], None] | None = None,
) -> Sampled:
    """Find configurations ``start`` to ``start + rows − 1`` of the ensemble of ``spec``.

    Parameters
    ----------
    spec
        The run.
    arena
        From `prepare`.
    start, rows
        Which configurations.
    threads
        Threads of the numba engine.
    device
        Of the torch engine.
    on_trial
        Told after each trial whether it was accepted.

    Raises
    ------
    AcceptanceError
        ``ensemble.give_up_after`` trials in a row missed the threshold; the message shows the
        accuracies seen and what to change.

    Notes
    -----
    Cost: trials × (epochs × 7 N P + draws × 2 N P_selection) flop.
    """
    began = time.perf_counter()
    misses = _Misses(spec, on_trial)
    if spec.training.engine == "torch":
        found = _fill_stacks(spec, arena, start, rows, device, misses)
    else:
        found = _fill_one_by_one(spec, arena, start, rows, threads, misses)
    weights = np.array([candidate.weights for _, candidate in found])
    fields = np.array([candidate.fields for _, candidate in found])
    _, loss = binary.evaluate(spec.network, weights, arena.selection, spec.loss)
    test_accuracy, _ = binary.evaluate(spec.network, weights, arena.test, spec.loss)
    return Sampled(
        start=start,
        weights=weights,
        accuracy=np.array([candidate.accuracy for _, candidate in found]),
        loss=loss,
        test_accuracy=test_accuracy,
        trial=np.array([trial for trial, _ in found], np.int32),
        epochs=np.full(rows, spec.training.epochs, np.int32),
        polarization=np.abs(np.tanh(fields / 2)).mean(axis=1, dtype=np.float64).astype(np.float32),
        fields=fields if spec.ensemble.store_fields else None,
        trials=misses.trials,
        rejected=misses.histogram,
        seconds=time.perf_counter() - began,
    )


def _fill_one_by_one(
    spec: Spec, arena: Arena, start: int, rows: int, threads: int, misses: _Misses
) -> list[tuple[int, Candidate]]:
    def fill(configuration: int) -> tuple[int, Candidate]:
        trial = 0
        while True:
            candidate = run_trials(spec, arena, [configuration], trial)[0]
            if candidate.accuracy >= spec.ensemble.threshold:
                misses.accept()
                return trial, candidate
            misses.reject(candidate.accuracy)
            trial += 1

    wanted = range(start, start + rows)
    if threads == 1:
        return [fill(configuration) for configuration in wanted]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(fill, wanted))


def _fill_stacks(
    spec: Spec, arena: Arena, start: int, rows: int, device: str | None, misses: _Misses
) -> list[tuple[int, Candidate]]:
    from lsg_ray.networks.stacked import default_device

    device = device or default_device()
    size = STACK.get(device.partition(":")[0], STACK["cpu"])
    found: dict[int, tuple[int, Candidate]] = {}
    for first in range(start, start + rows, size):
        open_ = list(range(first, min(first + size, start + rows)))
        trial = 0
        while open_:
            for configuration, candidate in zip(
                open_, run_trials(spec, arena, open_, trial, device), strict=True
            ):
                if candidate.accuracy >= spec.ensemble.threshold:
                    misses.accept()
                    found[configuration] = (trial, candidate)
                else:
                    misses.reject(candidate.accuracy)
            open_ = [configuration for configuration in open_ if configuration not in found]
            trial += 1
    return [found[configuration] for configuration in range(start, start + rows)]


def run_trials(
    spec: Spec, arena: Arena, configurations: list[int], trial: int, device: str | None = None
) -> list[Candidate]:
    """Run trial number ``trial`` of some configurations and return the best draw of each.

    A network that diverged (fields not finite) has accuracy NaN and is never accepted.
    """
    ensemble, network = spec.ensemble, spec.network
    seeds = [seed_sequence(ensemble.seed, Stage.TRIAL, c, trial) for c in configurations]
    frozen = Frozen(ensemble.frozen_parts, ensemble.frozen_field)
    trained = binary.train(
        network,
        spec.training,
        arena.x,
        arena.y,
        seeds,
        loss=spec.loss,
        frozen=frozen,
        device=device,
    )
    fixed = np.zeros(network.n_weights, bool)
    for part in ensemble.frozen_parts:
        fixed[network.parts[part]] = True
    candidates = []
    for fields, seed in zip(trained.fields, seeds, strict=True):
        finite = bool(np.isfinite(fields).all())
        usable = fields if finite else np.zeros_like(fields)
        drawn = binary.draw(usable, ensemble.draws, seed, fixed)
        accuracy, _ = binary.evaluate(network, drawn, arena.selection, spec.loss)
        best = int(np.argmax(accuracy))
        candidates.append(
            Candidate(drawn[best], float(accuracy[best]) if finite else np.nan, fields)
        )
    return candidates
