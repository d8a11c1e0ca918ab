"""Estimate what the steps of a study take: each is begun on a planted ensemble, and stopped.

The planted ensemble (`lsg_ray.planted`) has the network and data of the run, and as many
configurations, or as many as fit into memory.  Where there are fewer, M₁, than the run has, M, a
step that reads them is taken at M' = M₁/4 too, and grows on by the power that both tell,

    seconds = t (M/M₁)^p,   p = ln(t/t')/ln(M₁/M'), from 0 to 2,

or by a straight line through both, if that is more; t' is the second of two times at M': what the
first takes longer is compilation.  A step that a quarter is too large or too quick for is taken as
linear; and of a step that chooses a number of configurations, M is that number.

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

import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lsg_ray.cluster.progress import Style
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError, LsgError, out_of_memory
from lsg_ray.planted import Planted
from lsg_ray.spec import Spec
from lsg_ray.spec.steps import SAMPLED, Step
from lsg_ray.stage import MODEL, MOMENTS, REFERENCES, Stage
from lsg_ray.stages import stage_of
from lsg_ray.studies import default_study
from lsg_ray.study import compute, view_of
from lsg_ray.typing import JsonObject

if TYPE_CHECKING:
    import xarray

    from lsg_ray.ising.model import IsingModel


@dataclass(frozen=True)
class StudyCostConfig:
    """How steps are timed, and what stands in for their inputs."""

    #: Share of the seconds for sampling.
    sampling_share: float = 0.2
    #: Standard deviations of couplings of stand-in models, times √N, and of fields, in nats: a
    #: paramagnet, in which all methods converge.
    coupling: float = 0.3
    field: float = 0.5
    #: Share of a planted ensemble that a step is also taken at, and least seconds at all of it that
    #: tell how a step grows.
    smaller: float = 0.25
    least: float = 0.05
    #: How much longer than its share a step goes on that counts what is done, but not what is left.
    patience: float = 4.0


CONFIG = StudyCostConfig()


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
    planted = Planted(spec.ensembles, seconds * CONFIG.sampling_share, style)
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


def _cost(
    name: str,
    step: Step,
    planted: Planted,
    results: Mapping[str, xarray.Dataset],
    steps: Mapping[str, Step],
    seconds: float,
    folder: Path,
) -> tuple[StepCost, xarray.Dataset | None]:
    """Begin a step; return its cost, and its result if it has ended."""
    stage = stage_of(step.stage)
    result, reason = None, ""
    try:
        grows = _grows(step, planted)
        times: list[float] = []
        if grows > 1:
            inputs, _ = _inputs(stage, step, planted, results, steps, smaller=True)
            times = _smaller_times(stage, step, inputs, str(folder / f"{name}-less"), seconds)
        inputs, notes = _inputs(stage, step, planted, results, steps)
        if why := stage.applies(*(value for value in inputs.values() if value is not None)):
            raise InputError(why)
        clock = _Stopwatch(seconds)
        result = _run(stage, step, inputs, str(folder / f"{name}.zarr"), clock)
    except LsgError as error:
        reason = " ".join(str(error).split())
    except MemoryError as error:
        reason = out_of_memory(error)
    except Exception as error:  # of one step, perhaps of another package: others go on
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if reason:
        return StepCost(name, step.stage, math.nan, f"unknown: {reason}"), None
    total, how = clock.total(result is not None)
    if grows > 1:
        total, note = _grown(total, times, grows)
        notes.append(note)
    if result is None and stage.makes == "model":
        notes.append("at most, for it may converge earlier")
    return StepCost(name, step.stage, total, ", ".join([how, *notes])), result


def _grows(step: Step, planted: Planted) -> float:
    """Return how many times more configurations a run has than are planted of what a step reads."""
    times = 1.0
    for source in step.inputs.values():
        if source is None or source not in planted or planted.share(source) >= 1:
            continue
        rows = planted.store(source).n_rows
        chosen = step.options.get("configurations")
        read = min(chosen, rows / planted.share(source)) if isinstance(chosen, int) else math.inf
        times = max(times, min(read / rows, 1 / planted.share(source)))
    return times


def _smaller_times(
    stage: Stage, step: Step, inputs: Mapping[str, object], out: str, seconds: float
) -> list[float]:
    """Return the seconds of a step on fewer configurations, twice; none if it does not end."""
    times = []
    for number in range(2):
        clock = _Stopwatch(seconds / 2)
        try:
            ended = _run(stage, step, inputs, f"{out}-{number}", clock) is not None
        except LsgError:  # of so few configurations; with all, it is told
            return []
        if not ended:
            return []
        times.append(clock.total(True)[0])
    return times


def _grown(total: float, times: list[float], grows: float) -> tuple[float, str]:
    """Return the seconds of a step with more configurations, and how they are known."""
    power, linear = 1.0, 0.0
    if times and total >= CONFIG.least:
        power = math.log(total / max(times[1], 1e-9)) / -math.log(CONFIG.smaller)
        power = min(max(power, 0.0), 2.0)
        # What a step takes in any case hides how the rest grows.
        each = max(total - times[1], 0.0) / (1 - CONFIG.smaller)
        linear = total + each * (grows - 1)
    seconds = max(total * grows**power, linear)
    return seconds, f"times {seconds / max(total, 1e-9):.3g} for all configurations"


def _run(
    stage: Stage, step: Step, inputs: Mapping[str, object], out: str, clock: _Stopwatch
) -> xarray.Dataset | None:
    """Return the result of a step; None if its time was over before."""
    import dask

    options = stage.options(step.options)
    with dask.config.set(scheduler="synchronous"):
        clock.start()
        try:
            return compute(stage, inputs, options, out=out, threads=1, progress=clock.report)
        except _StoppedError:
            return None


def _inputs(
    stage: Stage,
    step: Step,
    planted: Planted,
    results: Mapping[str, xarray.Dataset],
    steps: Mapping[str, Step],
    smaller: bool = False,
) -> tuple[dict[str, object], list[str]]:
    """Return what a step reads, or stand-ins; and notes on these.

    smaller: whether only the first configurations of ensembles that are planted in part are read.
    """
    inputs: dict[str, object] = {}
    notes: list[str] = []
    for argument, source in step.inputs.items():
        kind = stage.reads[argument]
        if source is None or source in results:
            inputs[argument] = results[source] if source else None
        elif source in planted:
            store = planted.store(source)
            if smaller and planted.share(source) < 1:
                store = store.where(f"configuration < {int(CONFIG.smaller * store.n_rows)}")
            inputs[argument] = view_of(store, step.view if kind.view else {})
        elif kind in (MOMENTS, REFERENCES):
            inputs[argument] = view_of(planted.store(SAMPLED), step.view)
            notes.append(f"of the ensemble in place of {source}")
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
        """Note what is done, and stop the step where its time is over.

        A total of 0 is not known: the step may be about to end, and has some patience.
        """
        if total == 0:
            if time.process_time() > self._ends + (CONFIG.patience - 1) * self._limit:
                raise _StoppedError
            return
        at = (done / total, time.process_time() - self._began)
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
            return math.nan, f"unknown: more than {passed:.3g}, without a share that was done"
        (share, early), (now, late) = self._first, self._last
        if now <= share:
            return late / now, f"from {now:.2g} of it"
        return early + (late - early) * (1 - share) / (now - share), f"from {now:.2g} of it"
