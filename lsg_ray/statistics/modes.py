"""How many modes a distribution has: Silverman's test.

For k = 1, 2, …, the least bandwidth h_k is found at which a normal kernel density has no more than
k modes.  k is accepted if more than ``level`` of `SAMPLES` samples from that density, rescaled to
the variance of the data, have more than k modes at h_k: then the data need not be smoothed more
than chance would (B. W. Silverman, J. R. Stat. Soc. B 43, 97 (1981)).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsg_ray.errors import InputError
from lsg_ray.rng import Stage
from lsg_ray.statistics.configurations import stream

Floats = NDArray[np.float64]

#: Samples of the smoothed density, its bins, and the level of the test.
SAMPLES, GRID, LEVEL = 200, 2048, 0.01
#: Share of the values that a mode must hold: a few in a long tail are none; and modes, at most.
LEAST_MASS, MOST = 0.02, 20
#: What is narrower than this part of the range is no mode.
RESOLUTION = 200
#: Values that are looked at, at most; of more, so many are drawn.
MAX_VALUES = 20_000


class Modes(NamedTuple):
    """Result of the test.

    Attributes
    ----------
    modes
        Their number; 0 of no values.
    p_value
        Of the hypothesis that there are no more: the share of samples that have more.  NaN where
        nothing was tested: equal values, or as many modes as can be told apart.
    bandwidth
        h of the density that has these modes, in units of the values.
    """

    modes: int
    p_value: float
    bandwidth: float


def count_modes(
    values: ArrayLike, *, level: float = LEVEL, seed: int = 0, most: int = MOST
) -> Modes:
    """Count the modes of a distribution.

    Parameters
    ----------
    values
        (n,), finite.  They are taken to be independent; of distances or overlaps of all pairs,
        which are not, take the answer with that in mind.
    level
        A number of modes is rejected if its p-value is this or less.
    seed
        Of the samples.
    most
        Modes, at most.

    Raises
    ------
    InputError
        Values that are not finite, or a level outside 0 … 1.

    Notes
    -----
    `SAMPLES` histograms of n values for each k.  A mode that holds less than a fiftieth of the
    values is not counted.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one, two = rng.gamma(4, size=1000), np.r_[rng.normal(-4, 1, 500), rng.normal(4, 1, 500)]
    >>> count_modes(one).modes, count_modes(two).modes, count_modes(np.ones(10)).modes
    (1, 2, 1)
    """
    given = np.asarray(values, np.float64).ravel()
    if not np.isfinite(given).all():
        raise InputError("values that are not finite given; modes of the others are not known")
    if not 0 < level < 1 or most < 1:
        raise InputError(f"level {level}, most {most} given; 0 < level < 1 and most from 1")
    if not len(given):
        return Modes(0, np.nan, 0.0)
    rng = stream(seed, Stage.RSB, 1 << 20)
    if len(given) > MAX_VALUES:
        given = rng.choice(given, MAX_VALUES, replace=False)
    centre, spread = given.mean(), given.std()
    if spread <= 1e-9 * max(1.0, abs(centre)):
        return Modes(1, np.nan, 0.0)
    scaled = (given - centre) / spread
    finest = np.ptp(scaled) / RESOLUTION
    limit = min(len(_modes(scaled, finest)), most)
    more = np.nan
    for k in range(1, limit):
        width = _least_width(scaled, k, finest)
        more = _share_with_more(scaled, k, width, rng)
        if more > level:
            break
    else:
        width = finest if limit == 1 else _least_width(scaled, limit, finest)
        more = np.nan
    count = len(_modes(scaled, width, LEAST_MASS))
    return Modes(count, float(more), float(width * spread))


def mode_places(values: ArrayLike, bandwidth: float) -> Floats:
    """Return where the modes of a normal kernel density of a bandwidth are.

    >>> mode_places([0.0, 0.0, 1.0, 1.0], 0.1).round(2).tolist()
    [0.0, 1.0]
    """
    given = np.asarray(values, np.float64).ravel()
    if not len(given) or not bandwidth > 0:
        return given[:1].copy() if len(given) else given
    return _modes(given, bandwidth, LEAST_MASS)


def _share_with_more(values: Floats, k: int, width: float, rng: np.random.Generator) -> float:
    """Return the share of samples from the density, of unit variance, with over k modes."""
    scale = np.sqrt(1 + width**2)
    found = 0
    for _ in range(SAMPLES):
        drawn = rng.choice(values, len(values)) + width * rng.standard_normal(len(values))
        found += len(_modes(drawn / scale, width)) > k
    return found / SAMPLES


def _least_width(values: Floats, k: int, finest: float) -> float:
    """Return the least bandwidth, to a hundredth, at which a density has at most k modes."""
    low, high = finest, float(np.ptp(values)) + finest
    if len(_modes(values, low)) <= k:
        return low
    while high > 1.01 * low:
        middle = np.sqrt(low * high)
        low, high = (low, middle) if len(_modes(values, middle)) <= k else (middle, high)
    return float(high)


def _modes(values: Floats, width: float, least_mass: float = 0.0) -> Floats:
    """Return the modes of a normal kernel density of a bandwidth, that hold so much of it."""
    from scipy.fft import irfft, rfft, rfftfreq

    low, high = values.min() - 3 * width, values.max() + 3 * width
    counts, edges = np.histogram(values, GRID, (low, high))
    bin_ = (high - low) / GRID
    # As long again with zeros, so that nothing comes in at the other end.
    smooth = np.exp(-2 * (np.pi * width / bin_ * rfftfreq(2 * GRID)) ** 2)
    density = irfft(rfft(counts.astype(np.float64), 2 * GRID) * smooth, 2 * GRID)[:GRID]
    density[density < 1e-6 * density.max()] = 0.0  # ripples of what is cut off
    rises = np.diff(density)
    top = np.flatnonzero((rises[:-1] > 0) & (rises[1:] <= 0)) + 1
    valleys = [a + int(density[a:b].argmin()) for a, b in itertools.pairwise(top.tolist())]
    mass = np.add.reduceat(density, [0, *valleys]) / density.sum()
    kept = top[mass >= least_mass] if len(top) > 1 else top
    found: Floats = (edges[kept] + edges[kept + 1]) / 2
    return found
