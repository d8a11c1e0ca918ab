"""Peaks of the distances of all pairs of solutions, with errors over solutions.

All pairs are counted as if they were independent values, by `lsg_ray.statistics.modes`.  Pairs
share solutions, so that the level of that test is not that of the count; the error over halves of
the solutions (`lsg_ray.experiments.peaks`) makes up for it.

*False alarms*: of planted ensembles of one peak, 200 random weight vectors whose lengths are equal,
or scatter as normal (10 %), uniform (±20 %), lognormal (0.3) or exponential values (1 + 0.3 x), 60
each, the count is above one in 0, 0, 0, 3 and 12 %, but more than one peak by two errors in none:
the rate is below 5 % for each.  The largest of five widths of 100 vectors has none in 60, either.
One peak by two errors is found in all of the first three kinds, 70 % and 17 % of the others.

*Power*: two equal groups of vectors of equal length, with peaks 4 standard deviations apart, are
more than one peak by two errors in all of 20 ensembles of 200, 100 or 70 vectors, and in 25 % of
50; 3 standard deviations apart, in all of 200 and none of 100.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from lsg_ray.experiments.claim import Measured
from lsg_ray.experiments.peaks import APART, counted, unknown_if_one, would_show_two
from lsg_ray.experiments.spin_glass_lens.measures import half_of_pairs
from lsg_ray.statistics.gaussian import PAIR_TESTS, upper
from lsg_ray.statistics.modes import count_modes
from lsg_ray.typing import Floats


def peaks(distance: Floats) -> float:
    """Return the peaks of the distances of all pairs, taken as independent samples."""
    return float(count_modes(upper(distance), level=PAIR_TESTS.level).modes)


def in_two_groups(distance: Floats, rng: np.random.Generator) -> Floats:
    """Return distances with two equal peaks: solutions in two groups, pairs across them farther."""
    group = rng.permutation(len(distance)) < len(distance) // 2
    apart: Floats = distance + APART * upper(distance).std() * (group[:, None] != group)
    return apart


def number_of_peaks(
    choose: Callable[[Iterable[float]], float], *distances: Floats, note: str = ""
) -> Measured:
    """Return a number of peaks with its error over halves of the solutions.

    Parameters
    ----------
    choose
        Returns the number of peaks of several ensembles, ``min`` or ``max``.
    distances
        (M, M) each, of ensembles that are independent of each other.
    note
        What a reader should know.

    Returns
    -------
    Measured
        Its error is that of `lsg_ray.experiments.peaks`; unknown if an ensemble has a single peak
        where two would not show, as of fewer than about 60 solutions.

    Notes
    -----
    Up to 60 counts for each ensemble: 0.5 s of 200 solutions.
    """
    matrices = [one for one in distances if peaks(one) == 1]
    shown = all(
        would_show_two(peaks, one, half=half_of_pairs, planted=in_two_groups) for one in matrices
    )
    measured = counted(
        lambda *several: choose(map(peaks, several)), *distances, half=half_of_pairs, note=note
    )
    return unknown_if_one(measured, shown)
