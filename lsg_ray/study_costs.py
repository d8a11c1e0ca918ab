"""Estimate what the steps of a study take: each is begun on a planted ensemble, and stopped.

The planted ensemble has the network and data of the run: some configurations that are sampled now,
repeated (of ±1 weights, with some signs flipped) to the number of the run, or to as many as fit
into `StudyCostConfig.bytes`.
A step runs on it with its own options until its seconds are over, and what it has reported as done
by then stands for the rest,

    seconds = t₁ + (t − t₁) (1 − s₁)/(s − s₁),

with the share s done at the last report, at time t, and s₁ at the first: what comes before the
first, such as compilation, is there once.  A step that ends in time has been measured whole.  What
is read of a step that was stopped has a stand-in: for moments, the ensemble; for a model, one of
weak random couplings.  Steps that read anything else of it are unknown.

Reports are taken to be even in time, which they are for tasks, sweeps and fields; a computation
that converges earlier than it may takes less, and one in several passes over its data, each with
reports of its own, takes more.  Seconds are those of one core.
"""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lsg_ray.cluster.progress import Style, byte_progress
from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.chunks import chunk_bytes
from lsg_ray.ensemble.reader import Ensemble, open_ensemble
from lsg_ray.ensemble.schema import arrays_of
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.errors import AcceptanceError, InputError, LsgError, SpecError, out_of_memory
from lsg_ray.networks.sampling import Sampled, prepare, sample_configurations
from lsg_ray.registry import FAMILIES
from lsg_ray.spec import Spec
from lsg_ray.spec.steps import SAMPLED, Step
from lsg_ray.stage import MODEL, MOMENTS, Stage
from lsg_ray.stages import stage_of
from lsg_ray.studies import default_study
from lsg_ray.study import compute, view_of
from lsg_ray.typing import Array, JsonObject

if TYPE_CHECKING:
    import xarray

    from lsg_ray.ising.model import IsingModel


@dataclass(frozen=True)
class StudyCostConfig:
    """Sizes of what is planted."""

    #: Bytes of a planted ensemble, in memory.
    bytes: int = 2**27
    #: Configurations of it that are sampled, at most, and share of the seconds for that.
    sampled: int = 400
    sampling_share: float = 0.2
    #: Share of the signs of repeated configurations that are flipped.
    flips: float = 0.2
    #: Standard deviations of couplings of stand-in models, times √N, and of fields, in nats: a
    #: paramagnet, in which all methods converge.
    coupling: float = 0.3
    field: float = 0.5


CONFIG = StudyCostConfig()
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class StepCost:
    """Seconds of one core that a step takes, NaN if unknown; and how that is known."""

    name: str
    stage: str
    seconds: float
    how: str

    def to_dict(self) -> JsonObject:
        """Return plain values."""
        return {"stage": self.stage, "seconds": self.seconds, "how": self.how}


class _StoppedError(BaseException):
    """The time of a step is over: nothing that handles exceptions of a stage handles this."""


def study_costs(
    spec: Spec, *, seconds: float = 20.0, style: Style = "notebook"
) -> Iterator[StepCost]:
    """Yield the cost of each step of a study, as soon as it is known.

    Parameters
    ----------
    spec
        Specification of the run; without a study, the default one is estimated.
    seconds
        Time of a core for all steps, about: what a quick one leaves is for those that follow, and
        one that reports no progress runs to its end.
    style
        Where progress of downloads is shown.

    Raises
    ------
    InputError
        Seconds that are not positive, or what cannot be sampled.
    """
    if not 0 < seconds < math.inf:
        raise InputError(f"seconds {seconds} given; it must be positive, and finite")
    planted = _Planted(spec.ensembles, seconds * CONFIG.sampling_share, style)
    steps = spec.study
    if steps is None:
        steps = default_study(planted.store(SAMPLED)).steps
    results: dict[str, xarray.Dataset] = {}
    ends = time.process_time() + seconds * (1 - CONFIG.sampling_share)
    with tempfile.TemporaryDirectory(prefix="lsg-estimate-") as folder:
        for done, (name, step) in enumerate(steps.items()):
            share = max(
                (ends - time.process_time()) / (len(steps) - done), seconds / len(steps) / 4
            )
            cost, result = _cost(name, step, planted, results, steps, share, Path(folder))
            if result is not None:
                results[name] = result
            yield cost


class _Planted:
    """Ensembles of a run that are planted when they are read first, the last two retained."""

    def __init__(self, specs: Mapping[str, Spec], seconds: float, style: Style) -> None:
        self._specs, self._style = specs, style
        self._seconds = seconds / len(specs)
        self._stores: dict[str, Ensemble] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def share(self, name: str) -> float:
        """Return the share of the configurations of a run that are planted."""
        return self.store(name).n_rows / self._specs[name].ensemble.count

    def store(self, name: str) -> Ensemble:
        """Return a planted ensemble."""
        if name not in self._stores:
            self._stores[name] = plant(self._specs[name], self._seconds, self._style)
        return self._stores[name]


def plant(spec: Spec, seconds: float, style: Style = "quiet") -> Ensemble:
    """Return an ensemble in memory: some configurations, repeated to the number of a run.

    Where a trial takes longer than the seconds, networks are trained for one epoch, and all are
    accepted: what is measured of them takes as long.
    """
    with byte_progress(style) as on_bytes:
        dataset = load_dataset(spec.dataset, progress=on_bytes)
    arena = prepare(spec, dataset)
    row = sum(chunk_bytes(array, spec.block_size) for array in arrays_of(spec)) / spec.block_size
    count = min(spec.ensemble.count, max(int(CONFIG.bytes / row), spec.stack))
    short, sampled = _sampled(spec, arena, min(count, CONFIG.sampled), seconds)
    weights = np.concatenate([one.weights for one in sampled])
    columns = {
        name: np.concatenate([one.columns[name] for one in sampled]) for name in sampled[0].columns
    }
    url = f"memory://planted-{next(_NUMBERS)}-{time.monotonic_ns()}"
    plan = create_ensemble(
        url,
        short.replace(ensemble={"count": count, "block_size": min(spec.block_size, count)}),
        dataset_hash=dataset.content_hash,
    )
    for block in range(plan.n_blocks):
        start = block * plan.block_size
        numbers = np.arange(start, start + plan.rows(block))
        rows = numbers % len(weights)
        taken = weights[rows]
        if FAMILIES[spec.network.family].signs:
            taken = _flipped(taken, numbers >= len(weights), start)
        some: Mapping[str, Array] = {name: column[rows] for name, column in columns.items()}
        write_block(url, block, Block(start, taken, some, len(rows)))
    return open_ensemble(url)


def _flipped(weights: Array, repeated: Array, seed: int) -> Array:
    """Flip some signs of repeated configurations: no weight is frozen, and none is a copy."""
    flips = np.random.default_rng(seed).random(weights.shape) < CONFIG.flips
    return np.where(flips & repeated[:, None], -weights, weights)


def _sampled(spec: Spec, arena: Any, count: int, seconds: float) -> tuple[Spec, list[Sampled]]:
    """Sample some configurations, a stack at least, by trials of one epoch if need be."""
    try:
        brief = spec.replace(training={"epochs": 1}, ensemble={"threshold": 0.0, "snapshots": None})
        candidates = [brief, spec] if spec.training.epochs > 1 else [spec]
        if spec.times[1]:
            candidates = [spec]
    except SpecError:
        candidates = [spec]
    for one in candidates:
        found: list[Sampled] = []
        began = math.inf
        try:
            while not found or (
                len(found) * spec.stack < count and time.perf_counter() - began < seconds
            ):
                start = len(found) * spec.stack
                found.append(sample_configurations(one, arena, start, spec.stack))
                began = min(began, time.perf_counter())  # the first one compiles kernels
        except AcceptanceError:  # an algorithm that finds nothing in one epoch
            if one is candidates[-1]:
                raise
            continue
        return one, found
    raise AssertionError("there is a candidate")


def _cost(
    name: str,
    step: Step,
    planted: _Planted,
    results: Mapping[str, xarray.Dataset],
    steps: Mapping[str, Step],
    seconds: float,
    folder: Path,
) -> tuple[StepCost, xarray.Dataset | None]:
    """Begin a step; return its cost, and its result if it has ended."""
    stage, clock = stage_of(step.stage), _Stopwatch(seconds)
    result, reason = None, ""
    try:
        inputs, notes = _inputs(stage, step, planted, results, steps)
        if why := stage.applies(*(value for value in inputs.values() if value is not None)):
            raise InputError(why)
        result = _run(stage, step, inputs, str(folder / f"{name}.zarr"), clock)
    except _StoppedError:
        pass
    except LsgError as error:
        reason = " ".join(str(error).split())
    except MemoryError as error:
        reason = out_of_memory(error)
    except Exception as error:  # of one step, perhaps of another package: others go on
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if reason:
        return StepCost(name, step.stage, math.nan, f"unknown: {reason}"), None
    total, how = clock.total(result is not None)
    if result is None and stage.makes == "model":
        notes.append("at most, for it may converge earlier")
    return StepCost(name, step.stage, total, ", ".join([how, *notes])), result


def _run(
    stage: Stage, step: Step, inputs: Mapping[str, object], out: str, clock: _Stopwatch
) -> xarray.Dataset:
    import dask

    with dask.config.set(scheduler="synchronous"):
        clock.start()
        return compute(
            stage, inputs, stage.options(step.options), out=out, threads=1, progress=clock.report
        )


def _inputs(
    stage: Stage,
    step: Step,
    planted: _Planted,
    results: Mapping[str, xarray.Dataset],
    steps: Mapping[str, Step],
) -> tuple[dict[str, object], list[str]]:
    """Return what a step reads, or stand-ins; and notes on these."""
    inputs: dict[str, object] = {}
    notes: list[str] = []
    for argument, source in step.inputs.items():
        kind = stage.reads[argument]
        if source is None or source in results:
            inputs[argument] = results[source] if source else None
        elif source in planted:
            inputs[argument] = view_of(planted.store(source), step.view if kind.view else {})
            if (share := planted.share(source)) < 1:
                notes.append(f"of {share:.2g} of the configurations of {source}")
        elif kind is MOMENTS:
            inputs[argument] = view_of(planted.store(SAMPLED), step.view)
        elif kind is MODEL:
            inputs[argument] = _stand_in(planted.store(SAMPLED), steps[source], notes, source)
        else:
            raise InputError(f"it reads {source}, which was not finished")
    return inputs, notes


def _stand_in(ensemble: Ensemble, fit: Step, notes: list[str], source: str) -> IsingModel:
    """Return a model of weak random couplings, for the weights that a fit has."""
    from lsg_ray.ising.model import IsingModel

    n = view_of(ensemble, {k: v for k, v in fit.view.items() if k == "part"}).n_weights
    rng = np.random.default_rng(0)
    upper = np.triu(rng.normal(0, CONFIG.coupling / np.sqrt(n), (n, n)), 1)
    notes.append(f"of a random model in place of {source}")
    return IsingModel(upper + upper.T, rng.normal(0, CONFIG.field, n))


class _Stopwatch:
    """Takes the seconds of a core at each report of a step, and stops it."""

    def __init__(self, seconds: float) -> None:
        self._limit = seconds
        self._began = self._ends = 0.0
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)
        self._passes, self._done = 0, 0.0

    def start(self) -> None:
        """Begin."""
        self._began = time.process_time()
        self._ends = self._began + self._limit

    def report(self, done: int, total: int) -> None:
        """Note what is done, and stop the step where its time is over."""
        at = (done / max(total, 1), time.process_time() - self._began)
        self._passes += done < self._done
        self._done = done
        if self._passes == 0 and done > 0:
            self._first = self._first or at
            self._last = at
        if time.process_time() > self._ends and done < total:
            raise _StoppedError

    def total(self, ended: bool) -> tuple[float, str]:
        """Return the seconds of the whole step, and how they are known."""
        passed = time.process_time() - self._began
        if ended:
            return passed, "measured whole"
        if self._first is None or self._passes:
            return math.nan, "unknown: stopped in a later pass, or before its first report"
        (share, early), (now, late) = self._first, self._last
        if now <= share:
            return late / now, f"from {now:.2g} of it"
        return early + (late - early) * (1 - share) / (now - share), f"from {now:.2g} of it"
