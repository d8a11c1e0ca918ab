"""Calibration of an estimate: some configurations are sampled in this process, and timed.

Where a trial takes longer than there is time, and is a descent of a fixed number of epochs that is
always accepted, shorter trials are timed instead.  The time of such a trial is bilinear in the
epochs E and the examples P (each epoch has a cost for its mini-batches and one for its test, each
trial one for its start and its end, with and without a part in P),

    t(E, P) = a + d P + c E + b E P,

so four trials, of two numbers of epochs and two of examples, have the time of the whole one.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lsg_ray.cluster.progress import Style, byte_progress
from lsg_ray.cluster.sampler import BlockDone, sample_block
from lsg_ray.datasets import Dataset, load_dataset
from lsg_ray.ensemble.writer import create_ensemble
from lsg_ray.errors import SpecError
from lsg_ray.networks.sampling import prepare
from lsg_ray.registry import ALGORITHMS
from lsg_ray.spec import DatasetSpec, Spec
from lsg_ray.typing import Floats, Progress

#: Numbers of epochs of shortened trials, and of examples, in mini-batches.
EPOCHS, BATCHES = (1, 3), (4, 16)
#: How often each of the four is timed, at least: their spread is that of the estimate.
_REPEATS = 3
#: Share of the examples below which shortened trials pay.
_SHORT = 4
#: Fields of an ensemble that the cost of a trial does not depend on.
_FREE = ("seed", "count", "block_size", "give_up_after")

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Calibration:
    """What was measured: trials, of them accepted, seconds of each block, and of writing one.

    shortened: how trials were shorter than those of the run; empty if they were not.
    """

    configurations: int
    trials: int
    accepted: int
    seconds: tuple[float, ...]
    trials_of_block: tuple[int, ...]
    write_seconds: float
    shortened: str = ""


class Data:
    """Data sets of calibrations; the last two are retained, as ensembles differ in other things."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._loaded: list[tuple[DatasetSpec, Dataset]] = []

    def arena(self, spec: Spec) -> Any:
        """Return what the networks of a specification learn and are measured on."""
        known = [dataset for given, dataset in self._loaded if given == spec.dataset]
        if not known:
            del self._loaded[:-1]
            with byte_progress(self._style) as on_bytes:
                known = [load_dataset(spec.dataset, progress=on_bytes)]
            self._loaded.append((spec.dataset, known[0]))
        return prepare(spec, known[0])


def cost_key(spec: Spec) -> str:
    """Return a text that is the same for specifications whose trials cost the same."""
    tree = spec.replace(name="cost", study=None, beside={}).tree()
    tree["ensemble"] = {k: v for k, v in tree["ensemble"].items() if k not in _FREE}
    return repr(tree)


def calibrate(
    spec: Spec, data: Data, seconds: float, progress: Progress | None = None
) -> Calibration:
    """Sample some configurations into stores in memory, and take the time.

    Until the seconds are over; of trials that cannot be shortened, two stacks at least.
    """
    clock = _Clock(seconds, progress)
    if (short := _shortened(spec)) is not None:
        found = _calibrate_shortened(spec, short, data, clock)
        if found is not None:
            return found
    return _calibrate_whole(spec, data.arena(spec), clock)


class _Clock:
    """The time of a calibration, from its first block that counts."""

    def __init__(self, seconds: float, progress: Progress | None) -> None:
        self.seconds, self._progress, self._began = seconds, progress, 0.0

    def start(self) -> None:
        self._began = time.perf_counter()

    def passed(self) -> float:
        passed = time.perf_counter() - self._began
        if self._progress is not None:
            self._progress(min(int(passed), int(self.seconds)), max(1, int(self.seconds)))
        return passed


class _Store:
    """A store in memory that blocks of one stack are sampled into."""

    def __init__(self, spec: Spec, arena: Any) -> None:
        self.rows, self._next = min(max(spec.stack, spec.together), spec.ensemble.count), 0
        count = max(self.rows, 1) * 1000
        self._spec = spec.replace(ensemble={"block_size": self.rows, "count": count})
        self._arena, self._url = arena, f"memory://estimate-{next(_NUMBERS)}-{time.monotonic_ns()}"
        create_ensemble(self._url, self._spec, dataset_hash="")

    def block(self) -> tuple[BlockDone, float]:
        """Sample a block; return what is known of it, and the seconds that writing it took."""
        began, block = time.perf_counter(), self._next
        self._next += 1
        done = sample_block(self._url, self._spec, self._arena, block, block * self.rows, self.rows)
        return done, time.perf_counter() - began - done.seconds


def _calibrate_whole(spec: Spec, arena: Any, clock: _Clock) -> Calibration:
    store = _Store(spec, arena)
    store.block()  # compiles kernels; does not count
    clock.start()
    blocks: list[tuple[BlockDone, float]] = []
    seconds: list[float] = []
    while len(blocks) < 999:
        began = time.process_time()
        blocks.append(store.block())
        core, wall = time.process_time() - began, blocks[-1][0].seconds
        # What else runs here takes from the clock, and not from the time of a core; other engines
        # also wait for a GPU.
        seconds.append(min(core, wall) if spec.training.engine == "numba" else wall)
        if clock.passed() >= clock.seconds and len(blocks) >= 2:
            break
    return _of_blocks(blocks, store.rows, seconds)


def _of_blocks(
    blocks: list[tuple[BlockDone, float]], rows: int, seconds: list[float], shortened: str = ""
) -> Calibration:
    """Return a calibration of blocks: seconds of them, or of longer ones that they stand for."""
    trials = tuple(done.trials for done, _ in blocks)
    return Calibration(
        len(blocks) * rows,
        sum(trials),
        len(blocks) * rows,
        tuple(seconds),
        trials[:: len(blocks) // len(seconds)],
        float(np.median([writing for _, writing in blocks])),
        shortened,
    )


class _Short(NamedTuple):
    """Shorter trials by examples and epochs, the numbers of examples, and words for all."""

    specs: list[list[Spec]]
    examples: tuple[int, int]
    words: str


def _shortened(spec: Spec) -> _Short | None:
    """Return shorter trials that have the time of whole ones; None if there are none.

    Descents that end where a loss is reached, or are accepted by a threshold, are never shortened:
    how long they take, and how many are accepted, only whole ones tell.
    """
    algorithm, training, ensemble = ALGORITHMS[spec.algorithm], spec.training, spec.ensemble
    fixed = algorithm.in_batches and training.target_loss is None
    if not fixed or ensemble.threshold > 0 or spec.times[1]:
        return None
    batch, most = training.batch(spec.n_examples), spec.n_examples
    examples = (BATCHES[0] * batch, BATCHES[1] * batch)
    if training.epochs <= EPOCHS[1] or most < _SHORT * examples[1]:
        return None
    try:
        specs = [
            [
                spec.replace(
                    dataset={"train_examples": count},
                    training={"epochs": epochs, "batch_size": batch, "batch_fraction": None},
                    study=None,
                    beside={},
                )
                for epochs in EPOCHS
            ]
            for count in examples
        ]
    except SpecError:  # a data set of which no part is taken
        return None
    words = (
        f"{EPOCHS[0]} and {EPOCHS[1]} of {training.epochs:,} epochs, "
        f"{examples[0]:,} and {examples[1]:,} of {most:,} examples"
    )
    return _Short(specs, examples, words)


def _calibrate_shortened(
    spec: Spec, short: _Short, data: Data, clock: _Clock
) -> Calibration | None:
    """Time shorter trials; None if the time is enough for whole ones."""
    stores = [_Store(one, data.arena(one)) for row in short.specs for one in row]
    stores[0].block()  # compiles kernels; does not count
    clock.start()
    weights = bilinear(EPOCHS, short.examples, spec.training.epochs, spec.n_examples)
    blocks: list[tuple[BlockDone, float]] = []
    seconds: list[float] = []
    while len(seconds) < 100:
        times = []
        for store in stores:
            # Of a core, not of the clock: what else runs here would be multiplied.
            began = time.process_time()
            blocks.append(store.block())
            times.append(time.process_time() - began)
        seconds.append(max(float(weights @ times), max(times)))
        if 3 * seconds[0] <= clock.seconds:
            return None
        if clock.passed() >= clock.seconds and len(seconds) >= _REPEATS:
            break
    return _of_blocks(blocks, stores[0].rows, seconds, short.words)


def bilinear(epochs: tuple[int, int], examples: tuple[int, int], e: float, p: float) -> Floats:
    """Return by how much four times count in that of e epochs of p examples.

    The four are of (epochs, examples): both small, more epochs, more examples, more of both.

    >>> bilinear((1, 3), (10, 40), 1, 10).tolist()
    [1.0, 0.0, 0.0, 0.0]
    >>> t = [2 + 3 * p + 5 * e + 7 * e * p for p in (10, 40) for e in (1, 3)]
    >>> float(bilinear((1, 3), (10, 40), 50, 600) @ t) == 2 + 3 * 600 + 5 * 50 + 7 * 50 * 600
    True
    """
    u = (e - epochs[0]) / (epochs[1] - epochs[0])
    v = (p - examples[0]) / (examples[1] - examples[0])
    return np.outer([1 - v, v], [1 - u, u]).ravel()
