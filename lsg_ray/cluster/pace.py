"""Rate of work, and the time that is left of it, without what comes before the first step.

What is done grows in steps: a task, a trial, a block.  Before the first one, kernels are compiled
and workers start, which says nothing about the others.  The last half of the time since then counts
alone, as rates drift, but not less than four steps of each worker; and if another kernel was
compiled meanwhile, which is one gap much longer than all others, only what came after it.

Workers that begin together also finish together: their first steps come in bursts, with long gaps
between.  From the first step of one burst to that of another, at times t, whole bursts are done:

    rate = (done with the first step of the last burst - of the first one) / (t_last - t_first)

It is the same whenever one looks, while units over seconds would jump at every burst.  A burst
begins after a gap of more than half the longest one, which includes the gap since the last step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from lsg_ray.cluster.limits import available_cpus


@dataclass(frozen=True)
class PaceConfig:
    """From when on a rate is known, and from what."""

    #: Time that must pass, of that before the first step, until steps that have come so far are
    #: taken for more than a first burst; or there are so many steps of each worker.
    first_steps: float = 1.25
    more_than_burst: int = 2
    #: Share of the time since the first step that a rate is of, the last; and the steps of each
    #: worker that it is of at least: as many bursts, of which one is in part.
    recent: float = 0.5
    least: int = 4
    #: Share of the longest gap that a gap between two bursts has at least.
    gap: float = 0.5
    #: How many times as long as the second longest a gap is that is no part of the rate.
    pause: float = 8.0
    #: Largest number of steps that are remembered; beyond, every second one is forgotten.
    steps: int = 256
    #: Seconds for which a rate is not computed again.
    fresh_seconds: float = 0.1


CONFIG = PaceConfig()


class _Step(NamedTuple):
    time: float
    done: float


class _Rate(NamedTuple):
    """Units a second; and a time, with what was done by then, from which on it holds."""

    value: float
    since: float
    done: float


class Pace:
    """Rate of work, as it is seen to be done.

    Parameters
    ----------
    now
        Time in seconds at which the work begins.
    done
        Units that are done already.
    together
        Number of workers, which may take their steps together; by default one per CPU.

    Examples
    --------
    >>> pace = Pace(0.0, together=1)
    >>> pace.see(1, 60.0)
    >>> pace.rate(60.0) is None  # it cannot be known yet what comes before the first step
    True
    >>> pace.see(2, 61.0)
    >>> pace.rate(61.0), pace.left(100, 2, 61.0)
    (1.0, 98.0)
    """

    def __init__(self, now: float, done: float = 0, together: int | None = None) -> None:
        self.start, self._done = now, done
        workers = available_cpus() if together is None else max(together, 1)
        self._workers = min(workers, CONFIG.steps // (2 * CONFIG.least))
        self._steps: list[_Step] = []
        self._seen = 0
        self._known: tuple[float, _Rate | None] = (-math.inf, None)

    def see(self, done: float, now: float) -> None:
        """Note how much is done."""
        if done <= self._done:  # also what is done may be lost, and is done again
            return
        self._seen += 1
        self._steps.append(_Step(now, done))
        self._done = done
        if len(self._steps) > CONFIG.steps:
            self._steps = [*self._steps[:-1:2], self._steps[-1]]

    def rate(self, now: float) -> float | None:
        """Return units a second since the first step; None as long as it is unknown."""
        rate = self._rate(now)
        return None if rate is None else rate.value

    def left(self, total: float, done: float, now: float) -> float | None:
        """Return the seconds left, None as long as they are unknown."""
        rate = self._rate(now)
        if rate is None or math.isinf(total):
            return None
        lost = max(self._done - done, 0)
        left = rate.since + (total - rate.done + lost) / rate.value - now
        return max(left, 0.0) if total > done else 0.0

    def _rate(self, now: float) -> _Rate | None:
        at, known = self._known
        if not 0 <= now - at < CONFIG.fresh_seconds or known is None:
            known = self._computed(now)
            self._known = now, known
        return known

    def _computed(self, now: float) -> _Rate | None:
        steps = self._steps
        if len(steps) < 2:
            return None
        warm_up = steps[0].time - self.start
        few = self._seen < CONFIG.more_than_burst * self._workers
        if few and now - self.start <= CONFIG.first_steps * warm_up:
            return None
        first, even = self._first(now)
        begin, last = steps[first] if even else steps[0], steps[-1]
        end = last if even else self._last_burst(now)
        # What is late makes the rate smaller by and by: at most one more step is done by now.
        step = last.done - steps[-2].done
        most = (last.done + step - begin.done) / (now - begin.time) if now > begin.time else 0.0
        if end.time <= begin.time:
            return _Rate(most, now, last.done) if most else None
        value = (end.done - begin.done) / (end.time - begin.time)
        return _Rate(most, now, last.done) if most < value else _Rate(value, end.time, end.done)

    def _first(self, now: float) -> tuple[int, bool]:
        """Return the number of the first step that counts, and whether bursts after it do not."""
        steps, least = self._steps, CONFIG.least * self._workers
        middle = now - CONFIG.recent * (now - steps[0].time)
        first = next((n for n, step in enumerate(steps) if step.time >= middle), len(steps) - 1)
        first = max(0, min(first, len(steps) - 1 - least))
        gaps = sorted((self._gap(n), n) for n in range(first + 1, len(steps)))
        if len(gaps) > 1 and gaps[-1][0] > CONFIG.pause * gaps[-2][0]:
            after = gaps[-1][1]
            if min(after, len(steps) - after) >= CONFIG.more_than_burst * self._workers:
                return after, True
        return first, len(steps) - 1 - first >= least

    def _last_burst(self, now: float) -> _Step:
        """Return the first step of the last burst; of the first one, if there is no other."""
        steps = self._steps
        longest = max(now - steps[-1].time, *(self._gap(n) for n in range(1, len(steps))))
        begins = [n for n in range(1, len(steps)) if self._gap(n) > CONFIG.gap * longest]
        return steps[begins[-1] if begins else 0]

    def _gap(self, number: int) -> float:
        return self._steps[number].time - self._steps[number - 1].time
