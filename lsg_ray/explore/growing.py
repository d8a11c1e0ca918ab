"""A store that is being sampled: how far it is, how fast, and how long it still takes."""

from __future__ import annotations

from collections import deque

from lsg_ray.ensemble.reader import Ensemble

#: Seconds between two looks at a store that grows, and that a rate is a mean over.
PERIOD, WINDOW = 2.0, 60.0


class Growth:
    """What was seen of a store, and when; rates are those of the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, ensemble: Ensemble, now: float) -> None:
        """Add what a store holds now.

        Parameters
        ----------
        ensemble
            Store, opened anew.
        now
            Time in seconds, of a clock that only goes forwards.
        """
        self._seen.append((now, ensemble.n_complete))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float | None:
        """Configurations a second; None before any was added."""
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        return (last - first) / (end - start) if end > start and last > first else None

    def facts(self, ensemble: Ensemble) -> dict[str, object]:
        """Return what is shown: counts, rate, and time left, or why there is none."""
        missing = ensemble.count - ensemble.n_complete
        rate = self.rate
        if ensemble.complete:
            left = "complete"
        elif rate is None:
            left = "unknown: no configuration was added since this page looks"
        else:
            left = duration(missing / rate)
        return {
            "configurations": f"{ensemble.n_complete:,} of {ensemble.count:,}",
            "blocks": f"{len(ensemble.blocks):,} of {ensemble.header.n_blocks:,}",
            "rate": None if rate is None else f"{rate:.3g} configurations a second",
            "time left": left,
        }


def duration(seconds: float) -> str:
    """Return a time as text, to two places.

    >>> duration(42), duration(3700), duration(200_000)
    ('42 s', '1 h 1 min', '2 d 7 h')
    """
    whole = round(seconds)
    for (size, name), (inner, smaller) in (
        ((86_400, "d"), (3600, "h")), ((3600, "h"), (60, "min")), ((60, "min"), (1, "s")),
    ):  # fmt: skip
        if whole >= size:
            return f"{whole // size} {name} {whole % size // inner} {smaller}"
    return f"{whole} s"
