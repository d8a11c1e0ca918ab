"""The protocol of a trial: train, draw, select, accept (liquid-like paper, Sec. II and App. D).

Configuration i of an ensemble is the outcome of trials (i, 0), (i, 1), ...: each starts from its
own random fields, trains a network, draws `draws` binary configurations and keeps the best on the
selection set; the first trial that reaches the threshold gives the configuration.  All randomness
of a trial comes from its address ``(seed, TRIAL, i, trial)``, so a configuration does not depend on
the block it is computed in, on workers, threads or retries.  (With the torch engine, noise and
batches are those of its stack of `Spec.stack` configurations, which is always trained whole.)
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lsg_ray.datasets import Dataset, Examples
from lsg_ray.errors import AcceptanceError, InputError
from lsg_ray.networks import binary
from lsg_ray.networks.binary import Frozen
from lsg_ray.networks.layout import ChunkedExamples, chunk_examples, read_only
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import Spec
from lsg_ray.typing import Array, Floats, Signs, Singles


class Arena(NamedTuple):
    """What trials run on: training set, selection set, test set (laid out for `evaluate`)."""

    x: Singles
    y: NDArray[np.int32]
    selection: ChunkedExamples
    test: ChunkedExamples


class Sampled(NamedTuple):
    """Accepted configurations ``start, start + 1, ...`` and how they were found.

    weights (rows, N) int8 ±1; accuracy, loss on the selection set and test_accuracy (rows,);
    trial, epochs (rows,) int32; polarization (rows,) float32, mean |tanh(θ/2)|; fields (rows, N)
    float32 or None; missed, best accuracy of each trial that missed (NaN: diverged); seconds of
    computing.
    """

    start: int
    weights: Signs
    accuracy: Floats
    loss: Floats
    test_accuracy: Floats
    trial: NDArray[np.int32]
    epochs: NDArray[np.int32]
    polarization: Singles
    fields: Singles | None
    missed: Floats
    seconds: float


class Candidate(NamedTuple):
    """Best configuration of one trial, accepted or not."""

    weights: Signs
    accuracy: float
    fields: Singles


class Tried(Protocol):
    """What a trial ends with, of any kind of network."""

    @property
    def accuracy(self) -> float:
        """On the selection set."""


Found = TypeVar("Found", bound=Tried)


def prepare(spec: Spec, dataset: Dataset) -> Arena:
    """Lay a data set out for the trials of ``spec``; done once per run, shared by all workers."""
    if spec.network.family != "binary":
        raise InputError(
            f"network.family: {spec.network.family!r} given; for 'binary' networks only, others "
            "are prepared by prepare_solutions"
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


class Trials:
    """Counts the trials of a block; gives up when too few are accepted, with advice."""

    def __init__(
        self,
        spec: Spec,
        on_trial: Callable[[bool], None] | None,
        advise: Callable[[int, Array], str] | None = None,
    ) -> None:
        self.spec = spec
        self._advise = advise or partial(_advice, spec)
        self.missed: list[float] = []
        self.accepted = 0
        self._on_trial = on_trial or (lambda _: None)
        self._lock = threading.Lock()

    def accepts(self, candidate: Tried) -> bool:
        """Return whether a trial's outcome is accepted; NaN never is."""
        return bool(candidate.accuracy >= self.spec.ensemble.threshold)

    def judge(self, candidate: Tried) -> bool:
        """Count a trial; return whether it is accepted."""
        accepted, accuracy = self.accepts(candidate), candidate.accuracy
        with self._lock:
            if accepted:
                self.accepted += 1
            else:
                self.missed.append(accuracy)
            self._on_trial(accepted)
            limit = self.spec.ensemble.give_up_after * (self.accepted + 1)
            if len(self.missed) >= limit:
                raise AcceptanceError(self._advise(self.accepted, np.array(self.missed)))
        return accepted


def _advice(spec: Spec, accepted: int, missed: Array) -> str:
    diverged = int(np.isnan(missed).sum())
    seen = np.nan_to_num(missed)
    low, quarter, median, high, top = np.quantile(seen, [0, 0.25, 0.5, 0.75, 1])
    ensemble = spec.ensemble
    return (
        f"{accepted} of {accepted + len(missed)} trials reached "
        f"ensemble.threshold = {ensemble.threshold:g}"
        f"{f', {diverged} diverged (lower training.learning_rate)' if diverged else ''}.\n"
        f"Best accuracies of {ensemble.draws} draws on the {ensemble.selection} set, of those that "
        f"missed: min {low:.4f}, quartiles {quarter:.4f} {median:.4f} {high:.4f}, max {top:.4f}.\n"
        f"Lower ensemble.threshold (half of these trials reach {median:.4f}), train longer "
        f"(training.epochs = {spec.training.epochs}), or widen network.widths, each with another "
        f"--out, as it makes another ensemble; or raise ensemble.give_up_after."
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
        Fewer than one trial in ``ensemble.give_up_after`` reaches the threshold; the message shows
        the accuracies seen and what to change.

    Notes
    -----
    Cost: trials × (epochs × 7 N P + draws × 2 N P_selection) flop.
    """
    began = time.perf_counter()
    trials = Trials(spec, on_trial)
    if spec.training.engine == "torch":
        run = partial(run_trials, spec, arena, device=device)
        found = fill_stacks(spec.stack, start, rows, trials, run)
    else:
        found = _fill_one_by_one(spec, arena, start, rows, threads, trials)
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
        missed=np.array(trials.missed, np.float64),
        seconds=time.perf_counter() - began,
    )


def _fill_one_by_one(
    spec: Spec, arena: Arena, start: int, rows: int, threads: int, trials: Trials
) -> list[tuple[int, Candidate]]:
    def fill(configuration: int) -> tuple[int, Candidate]:
        for trial in itertools.count():
            candidate = run_trials(spec, arena, [configuration], trial)[0]
            if trials.judge(candidate):
                return trial, candidate
        raise AssertionError("unreachable")

    wanted = range(start, start + rows)
    if threads == 1:
        return [fill(configuration) for configuration in wanted]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(fill, wanted))


def fill_stacks(
    stack: int,
    start: int,
    rows: int,
    trials: Trials,
    run: Callable[[list[int], int], Sequence[Found]],
) -> list[tuple[int, Found]]:
    """Fill the whole stacks that the wanted configurations lie in, and keep what is wanted.

    Networks of a stack share products, and some their noise, so a configuration is what its stack
    makes it, whatever the block or the count.  ``run(configurations, trial)`` gives candidates.
    """
    found: dict[int, tuple[int, Found]] = {}
    wanted = range(start, start + rows)
    for first in range(start - start % stack, start + rows, stack):
        waiting, trial = list(range(first, first + stack)), 0
        while any(configuration in wanted for configuration in waiting):
            tried = run(waiting, trial)
            for configuration, candidate in zip(waiting, tried, strict=True):
                judge = trials.judge if configuration in wanted else trials.accepts
                if judge(candidate):
                    found[configuration] = (trial, candidate)
            waiting = [configuration for configuration in waiting if configuration not in found]
            trial += 1
    return [found[configuration] for configuration in wanted]


def run_trials(
    spec: Spec, arena: Arena, configurations: list[int], trial: int, device: str | None = None
) -> list[Candidate]:
    """Run trial number ``trial`` of some configurations and return the best draw of each.

    A network that diverged (fields not finite) has accuracy NaN and is never accepted.
    """
    ensemble, network = spec.ensemble, spec.network
    seeds = [seed_sequence(ensemble.seed, Stream.TRIAL, c, trial) for c in configurations]
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
