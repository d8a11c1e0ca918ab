"""Estimate what a run takes: trials, core-hours, wall time, bytes, money; from a calibration.

Some configurations are sampled in this process, on one core, with the run's own trials, so what is
measured is what the run would do (`lsg_ray.cluster.calibration`).  With τ seconds a trial, an
acceptance p, M configurations in B blocks and n cores,

    trials = M/p,   core-seconds = M τ/p + B b,   wall = max(M τ/(p n e), B d) + last block + start,

where b is what a worker needs to write a block, d what the driver needs for one, and e
(`CostConfig.parallel_efficiency`) the share of a core's speed that a core keeps when all are busy.
No more cores are busy than there are blocks.  The interval of p is Clopper and Pearson's (95 %),
that of τ Student's, and what follows from them is given for the ends of both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np

from lsg_ray.arrays import public
from lsg_ray.cluster.calibration import Calibration, Data, calibrate, cost_key
from lsg_ray.cluster.engines import with_engine
from lsg_ray.cluster.progress import Style, progress_bar
from lsg_ray.ensemble.chunks import chunk_bytes
from lsg_ray.ensemble.header import new_header
from lsg_ray.ensemble.schema import arrays_of
from lsg_ray.errors import AcceptanceError, InputError
from lsg_ray.registry import ALGORITHMS
from lsg_ray.spec import Spec
from lsg_ray.typing import JsonObject, NonNegative, Positive


@dataclass(frozen=True)
class CostConfig:
    """What an estimate assumes and does not measure."""

    #: Share of its speed that a core keeps with all cores busy: 1.96 of two, measured.
    parallel_efficiency: float = 0.98
    #: Seconds of the driver for a block (submit, wait, count, show): 0.3 ms of its CPU, measured
    #: with 4,096 blocks in flight, and a margin.
    driver_seconds: float = 0.0005
    #: Seconds until the first worker computes: Ray, data, kernels.
    start_seconds: float = 20.0
    #: Reads for a block: the header, whether its record is there; in the end, that record.
    block_reads: int = 3
    #: Bytes of a block's record in the ledger.
    record_bytes: int = 400
    #: Dollars for a write and for a read of an object, by large clouds' lists.
    write_dollars: float = 5e-6
    read_dollars: float = 4e-7
    #: Dollars for an hour of a core, in the middle of large clouds' lists.
    on_demand_dollars: float = 0.045
    spot_dollars: float = 0.014
    #: Speed of one GPU in trials of a core, and dollars for an hour of it.
    gpu_speed: float = 25.0
    gpu_dollars: float = 2.5
    #: Numbers of cores that wall times are given for.
    cores: tuple[int, ...] = (16, 256, 4096)
    #: Confidence level of the intervals.
    confidence: float = 0.95

    @property
    def prices(self) -> dict[str, float]:
        """Dollars for an hour of a core, by name."""
        return {"on-demand": self.on_demand_dollars, "spot": self.spot_dollars}


COSTS = CostConfig()


@dataclass(frozen=True)
class Range:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Range:
        """Return all three times a factor."""
        return Range(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Wall:
    """Wall time on some cores: seconds, of which those of the driver, and dollars by price."""

    cores: int
    busy: int
    seconds: Range
    driver_seconds: float
    dollars: dict[str, float]


@dataclass(frozen=True)
class Estimate:
    """What a run will take; see `estimate`.

    seconds_per_trial, acceptance, trials, core_hours: with 95 % intervals; store_bytes: of data
    and records; store_writes, store_reads, store_dollars: requests to an object store; blocks,
    block_size; suggested_block_size: that keeps the largest number of cores busy; walls: by number
    of cores; calibration: what was measured; assumptions: what was not.
    """

    configurations: int
    blocks: int
    block_size: int
    suggested_block_size: int
    seconds_per_trial: Range
    acceptance: Range
    trials: Range
    core_hours: Range
    store_bytes: int
    store_writes: int
    store_reads: int
    store_dollars: float
    walls: tuple[Wall, ...]
    gpu_hours: float
    gpu_dollars: float
    calibration: dict[str, Any]
    assumptions: dict[str, Any]

    def to_dict(self) -> JsonObject:
        """Return plain values."""
        return asdict(self)


@public
def estimate(
    spec: Spec,
    *,
    seconds: Positive = 20.0,
    cores: Sequence[int] = COSTS.cores,
    price: NonNegative | None = None,
    style: Style = "notebook",
) -> Estimate:
    """Estimate what sampling the ensemble of ``spec`` takes.

    Parameters
    ----------
    spec
        Specification of the run.
    seconds
        Time of the calibration, about: configurations are sampled one after another on one core
        until then, two stacks at least; of long trials that are always accepted, shorter ones.
    cores
        Numbers of cores that wall times are given for.
    price
        Price of an hour of a core in dollars; by default `CostConfig.prices`.
    style
        Where progress is shown: ``auto``, ``notebook`` (in notebooks alone) or ``quiet``.

    Raises
    ------
    InputError
        Numbers out of range.
    AcceptanceError
        Nothing is accepted in the calibration: the threshold is out of reach.

    Notes
    -----
    Extrapolates from this machine: a core elsewhere is faster or slower in proportion.
    """
    (found,) = estimates({"": spec}, seconds=seconds, cores=cores, price=price, style=style)
    return found[1]


@public
def estimates(
    specs: Mapping[str, Spec],
    *,
    seconds: Positive = 20.0,
    cores: Sequence[int] = COSTS.cores,
    price: NonNegative | None = None,
    style: Style = "notebook",
) -> Iterator[tuple[str, Estimate]]:
    """Yield the estimate of each ensemble by name, as soon as it is known.

    Ensembles whose trials cost the same are calibrated once, and the others share the seconds:
    what one leaves is for those that follow.  Options and exceptions are those of `estimate`.
    """
    if not cores or min(cores) < 1:
        raise InputError(f"cores {list(cores)} given; at least 1")
    specs = {name: with_engine(spec, None, None, 0) for name, spec in specs.items()}
    for spec in specs.values():
        new_header(spec, "")
        ALGORITHMS[spec.algorithm]  # refuses what cannot be sampled before data are fetched
    prices = COSTS.prices if price is None else {"given": price}
    keys = {name: cost_key(spec) for name, spec in specs.items()}
    waiting, known, data = set(keys.values()), dict[str, Calibration](), Data(style)
    for name, spec in specs.items():
        if (key := keys[name]) not in known:
            share, began = seconds / len(waiting), time.perf_counter()
            title = f" of {name}" if len(specs) > 1 else ""
            with progress_bar(f"seconds of calibration{title}", style) as progress:
                known[key] = calibrate(spec, data, share, progress)
            waiting.remove(key)
            seconds = max(seconds - (time.perf_counter() - began), share * len(waiting))
        yield name, extrapolate(spec, known[key], cores, prices)


def extrapolate(
    spec: Spec, measured: Calibration, cores: Sequence[int], prices: dict[str, float]
) -> Estimate:
    """Return the estimate that follows from a calibration; nothing is measured here."""
    if not measured.accepted:
        raise AcceptanceError("nothing was accepted in the calibration; lower the threshold")
    count, blocks, size = spec.ensemble.count, spec.n_blocks, spec.block_size
    per_trial = _seconds_per_trial(measured)
    p = _acceptance(measured.accepted, measured.trials)
    trials = Range(count / p.value, count / p.high, count / p.low)
    overhead = blocks * measured.write_seconds
    each = zip(astuple(trials), astuple(per_trial), strict=True)
    work = Range(*(number * seconds + overhead for number, seconds in each))
    arrays = arrays_of(spec)
    data = sum(chunk_bytes(array, size) for array in arrays) + COSTS.record_bytes
    writes, reads = blocks * (len(arrays) + 1), blocks * COSTS.block_reads
    walls = tuple(_wall(n, work, blocks, prices) for n in cores)
    gpu = work.value / 3600 / COSTS.gpu_speed
    return Estimate(
        configurations=count,
        blocks=blocks,
        block_size=size,
        suggested_block_size=suggested_block_size(spec, max(cores)),
        seconds_per_trial=per_trial,
        acceptance=p,
        trials=trials,
        core_hours=work.scaled(1 / 3600),
        store_bytes=data * blocks,
        store_writes=writes,
        store_reads=reads,
        store_dollars=writes * COSTS.write_dollars + reads * COSTS.read_dollars,
        walls=walls,
        gpu_hours=gpu,
        gpu_dollars=gpu * COSTS.gpu_dollars,
        calibration={
            key: value
            for key, value in asdict(measured).items()
            if key not in ("seconds", "trials_of_block")
        }
        | {"seconds": float(sum(measured.seconds))},
        assumptions={
            "parallel_efficiency": COSTS.parallel_efficiency,
            "driver_seconds_per_block": COSTS.driver_seconds,
            "start_seconds": COSTS.start_seconds,
            "dollars_per_core_hour": dict(prices),
            "dollars_per_write": COSTS.write_dollars,
            "dollars_per_read": COSTS.read_dollars,
            "gpu_speed_in_cores": COSTS.gpu_speed,
            "dollars_per_gpu_hour": COSTS.gpu_dollars,
            "core": "of this machine",
        },
    )


def suggested_block_size(spec: Spec, cores: int) -> int:
    """Return a block size that leaves four blocks to each core, in whole stacks."""
    size = max(1, min(spec.block_size, spec.ensemble.count // (4 * cores)))
    return max(spec.stack, size // spec.stack * spec.stack)


def _seconds_per_trial(measured: Calibration) -> Range:
    """Return the mean over trials; its interval from the spread between blocks."""
    from scipy.stats import t

    seconds, trials = np.array(measured.seconds), np.array(measured.trials_of_block)
    mean = float(seconds.sum() / trials.sum())
    if len(seconds) < 2:
        return Range(mean, 0.5 * mean, 2 * mean)
    # Ratio estimator: the residuals of the blocks carry the error.
    residual = seconds - mean * trials
    error = float(residual.std(ddof=1) / trials.mean() / np.sqrt(len(seconds)))
    width = float(t.ppf(0.5 + COSTS.confidence / 2, len(seconds) - 1)) * error
    return Range(mean, max(mean - width, 0.0), mean + width)


def _acceptance(accepted: int, trials: int) -> Range:
    from scipy.stats import beta

    side = (1 - COSTS.confidence) / 2
    low = float(beta.ppf(side, accepted, trials - accepted + 1))
    high = float(beta.ppf(1 - side, accepted + 1, trials - accepted)) if trials > accepted else 1.0
    return Range(accepted / trials, low, high)


def _wall(cores: int, work: Range, blocks: int, prices: dict[str, float]) -> Wall:
    busy = min(cores, blocks)
    driver = blocks * COSTS.driver_seconds

    def seconds(total: float) -> float:
        # The last round of blocks is half empty on average, when all cores are busy.
        last = 0.5 * total / blocks if busy == cores else 0.0
        return max(total / (busy * COSTS.parallel_efficiency), driver) + last + COSTS.start_seconds

    wall = Range(*map(seconds, astuple(work)))
    dollars = {name: wall.value / 3600 * cores * price for name, price in prices.items()}
    return Wall(cores, busy, wall, driver, dollars)
