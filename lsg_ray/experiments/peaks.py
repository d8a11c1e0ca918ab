"""Numbers of peaks with errors, and when a single one says anything.

A count does not scatter as a mean does: where no resampling changes it, its error is not 0 but not
known below what so many resamplings can show.  And a test for peaks shows that there are at least
so many: a single one may be one that hides others.  So

- the error is the root mean square change of the count in random halves of the sample (the
  delete-half jackknife: J. Shao, C. F. J. Wu, Ann. Stat. 17, 1176 (1989)), of n halves at least
  1/√n: of a change that none of them shows, nothing below a probability of 1/n is known.  Changes
  count from the whole sample: peaks that halves do not show are no certain ones.  A count is then
  two errors from the half-way point to the next one if less than one half in sixteen changes it;
- of a single peak the error is known only if two planted ones would have been seen by this very
  criterion: of equal weight and `APART` standard deviations apart, as far as clear peaks are.

Halves are drawn without replacement: repeated values of a bootstrap are peaks to any test.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lsg_ray.experiments.claim import Measured, Within
from lsg_ray.rng import Stream, generator
from lsg_ray.typing import Array, Floats

#: Random halves of a sample.
HALVES = 30
#: Distance of two planted peaks in standard deviations of the sample; of normal peaks, the density
#: half-way is then 0.27 of that at the peaks.
APART = 4.0
#: Numbers that are two or more, by two errors.
SEVERAL = Within(low=1.5)


def counted(
    count: Callable[..., float],
    *samples: Array,
    half: Callable[[Array, np.random.Generator], Array],
    note: str = "",
) -> Measured:
    """Return a count with its error over random halves of the samples; see above.

    Parameters
    ----------
    count
        Function of the samples.
    samples
        Independent of each other.
    half
        Returns a random half of one.
    note
        What a reader should know.
    """
    rng = generator(0, Stream.LANDSCAPE, 3)
    value = float(count(*samples))
    drawn = np.array([count(*(half(one, rng) for one in samples)) for _ in range(HALVES)])
    square = float(np.mean((drawn - value) ** 2))
    return Measured(value, float(np.sqrt(max(square, 1 / HALVES))), note)


def would_show_two(
    count: Callable[[Array], float],
    sample: Array,
    *,
    half: Callable[[Array, np.random.Generator], Array],
    planted: Callable[[Array, np.random.Generator], Array],
) -> bool:
    """Return whether two planted peaks are two or more by their error.

    ``planted``: returns the sample with two equal peaks in place of one.
    """
    two = planted(sample, generator(0, Stream.LANDSCAPE, 4))
    seen = counted(lambda one: min(count(one), 2.0), two, half=half)
    return SEVERAL.verdict(seen) == "reproduced"


def unknown_if_one(measured: Measured, shown: bool) -> Measured:
    """Return a number of peaks, whose error is unknown if it is one and two would not be shown."""
    if measured.value > 1 or shown:
        return measured
    text = f"two equal peaks {APART:g} standard deviations apart would not show"
    return Measured(measured.value, np.nan, f"{measured.note}; {text}".strip("; "))


def half_of(values: Array, rng: np.random.Generator) -> Array:
    """Return a random half of independent values."""
    return values[rng.permutation(len(values))[: len(values) // 2]]


def split(values: Floats, rng: np.random.Generator) -> Floats:
    """Return independent values of which a random half is moved by `APART` standard deviations."""
    moved = rng.permutation(len(values)) < len(values) // 2
    apart: Floats = values + APART * values.std() * moved
    return apart
