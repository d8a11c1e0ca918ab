"""How many modes a distribution has, at least: rises after falls, on all scales.

Between order statistics X_j < X_k of independent values lie m others, u_i in units of the interval.
Where the density is constant, T_jk = √(3/m) Σ (2u_i − 1) has mean 0 and variance 1; where it falls,
F is concave, F^−1 convex, and every T is smaller than that of the uniform values F(X).  So with

    Γ = √(½ log(e n/(k − j))),       κ such that max_jk (T_jk − Γ) > κ in α of uniform samples,

T_jk > Γ + κ shows a rise somewhere in (X_j, X_k), −T_jk > Γ + κ of a fall, and none of them is
mistaken but in α of the samples (L. Dümbgen, G. Walther, Ann. Stat. 36, 1758 (2008), whose
Γ is twice this: it is for scales down to one value).  k − 1 falls,
each followed by a rise on intervals that do not overlap, take k modes.  A density of k modes has 2k
stretches on which only one of the signs is a mistake; given how many values are on each, these are
independent, and mirrored, what is a mistake there is a T_jk of one uniform sample: so the number is
too large in α of the samples at most, whatever k and the density.  The usual table of the dip (of
uniform values) promises less: a flat shoulder beside a narrow peak is two modes by it five times
too often; and Silverman's test of bandwidths rejects a uniform density several times too often.

X_j are every step-th value, 100 intervals at most, and j, k two apart at least.  A rise may
begin one cell before a fall has ended, as the gap between two peaks has no values.  Had a density
its only mode in that cell, one claim would still be a mistake: the cell is no sparser than both its
neighbours.

*Power*, in percent of 1,000 samples of n values of two normal peaks of width σ at a distance and
with weights, in which two modes are found at the level 1 % (5 %):

    distance   weights   n = 100     n = 500      n = 2,000
    3 σ        50 : 50   0 (0)       2 (7)        63 (83)
    4 σ        50 : 50   6 (18)      99 (100)     100 (100)
    4 σ        80 : 20   0 (1)       5 (11)       59 (77)
    4 σ        90 : 10   0 (0)       0 (0)        0 (2)

and none at 3 σ with other weights.  So one mode means that no more are needed.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Gt, Lt
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, public
from lsg_ray.errors import InputError
from lsg_ray.rng import Stream
from lsg_ray.statistics.configurations import stream
from lsg_ray.typing import Count, Floats, NonNegative


@dataclass(frozen=True)
class ModeTestConfig:
    """Settings of the test, and of the kernel densities."""

    #: Level of the test.
    level: float = 0.01
    #: Most modes, and most intervals between the order statistics that are compared.
    max_modes: int = 20
    cells: int = 100
    #: Most values that are tested; of more, a random subset is.
    max_values: int = 20_000
    #: Differences up to this share of the largest |value| are ties, if no resolution is given.
    rounding: float = 1e-6
    #: Distinct values from which a grid is one, and not a few atoms; and its relative accuracy.
    grid_values: int = 5
    grid_error: float = 1e-3
    #: Share of a kernel density that a mode must hold to get a position.
    min_mass: float = 0.01
    #: Bins of kernel densities; and the range of the values over the smallest bandwidth.
    bins: int = 2048
    bandwidths: int = 200


MODES = ModeTestConfig()
#: Name of the test in reports.
MODE_TEST_NAME = "multiscale test"
MODE_TEST = f"{MODE_TEST_NAME}, level {MODES.level:g}"
#: max (T − Γ) of uniform values, for many of them in each of the cells (by their
#: number), exceeds these quantiles with these probabilities: 10⁵ samples of 50 a cell each.  With
#: one a cell, it is smaller.
CHANCES = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0002)
QUANTILES = {
    4: (-0.742, 0.156, 0.809, 1.166, 1.472, 1.831, 2.086, 2.314, 2.594, 2.795, 3.216),
    8: (-0.053, 0.700, 1.263, 1.581, 1.858, 2.157, 2.379, 2.589, 2.814, 2.978, 3.330),
    16: (0.459, 1.110, 1.610, 1.895, 2.144, 2.433, 2.645, 2.835, 3.074, 3.260, 3.544),
    30: (0.821, 1.408, 1.870, 2.143, 2.378, 2.654, 2.860, 3.053, 3.273, 3.443, 3.791),
    50: (1.066, 1.612, 2.045, 2.299, 2.528, 2.797, 2.984, 3.174, 3.392, 3.557, 3.887),
    70: (1.211, 1.733, 2.152, 2.402, 2.621, 2.880, 3.068, 3.242, 3.486, 3.672, 4.050),
    100: (1.348, 1.848, 2.256, 2.498, 2.715, 2.979, 3.152, 3.344, 3.548, 3.675, 4.014),
}


class Modes(NamedTuple):
    """Result of the test.

    Attributes
    ----------
    modes
        Number of modes; 0 of no values.
    p_value
        P-value of the hypothesis that there are no more, an upper bound: falls and rises as strong
        are in at most that share of the samples of any such density.  NaN where nothing was tested:
        values that are equal within the resolution.
    bandwidth
        Bandwidth of a normal kernel density that has these modes, in units of the values: of one
        mode, the least; of several, the middle of those that have them.  Where peaks are of very
        different widths, one bandwidth may not be enough.
    """

    modes: int
    p_value: float
    bandwidth: float


@public
def count_modes(
    values: ArrayLike,
    *,
    level: Annotated[float, Gt(0), Lt(1)] = MODES.level,
    seed: int = 0,
    most: Count = MODES.max_modes,
    resolution: NonNegative = 0.0,
) -> Modes:
    """Count the modes of a distribution: the fewest that it may have.

    Parameters
    ----------
    values
        (n,), finite.  They are taken to be independent; of distances or overlaps of all pairs,
        which are not, take the answer with that in mind.
    level
        Level of the test: a number of modes is rejected if its p-value is this or less; for a
        density of k modes, a larger number is reported at most that often.
    seed
        Seed of the values that are drawn of more than `ModeTestConfig.max_values`.
    most
        Largest number of modes.
    resolution
        Differences up to this, in units of the values, are ties: noise of a solver, steps of a
        grid.  Peaks closer than this are one.  At least 10⁻⁶ of the largest |value|.

    Raises
    ------
    InputError
        Values that are not finite, a level outside 0 … 1, a resolution that is negative.

    Notes
    -----
    Every value is blurred evenly by the resolution.  Values on a grid are blurred by its steps:
    by as many as the resolution holds, and by one where at least five different values
    mostly follow each other step by step.  Fewer are atoms, and each may be a mode.

    A mode that holds less than a hundredth of the values is hardly seen.  100² contrasts for
    each k: milliseconds.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one, two = rng.gamma(4, size=1000), np.r_[rng.normal(-4, 1, 500), rng.normal(4, 1, 500)]
    >>> count_modes(one).modes, count_modes(two).modes, count_modes(np.ones(10)).modes
    (1, 2, 1)
    """
    given = as_numbers(values, "values").ravel()
    if not np.isfinite(given).all():
        raise InputError("values that are not finite given; modes of the others are not known")
    if not len(given):
        return Modes(0, np.nan, 0.0)
    if len(given) > MODES.max_values:
        given = stream(seed, Stream.RSB, 1 << 20).choice(given, MODES.max_values, replace=False)
    given = np.sort(given)
    spread = float(given[-1] - given[0])
    resolution = max(resolution, MODES.rounding * float(np.abs(given[[0, -1]]).max()))
    if spread <= resolution:
        return Modes(1, np.nan, 0.0)
    width = _blur(given, resolution)
    blurred = np.sort(given + width * _even(len(given)))
    strengths, cells = _strengths(blurred, max(resolution, width), most)
    chances = [exceedance(strength, cells) for strength in strengths.tolist()]
    count = next((k for k, chance in enumerate(chances, 1) if chance > level), most)
    finest = max(spread / MODES.bandwidths, width / 2)
    return Modes(count, chances[count - 1], _bandwidth(given, count, finest))


def mode_positions(values: ArrayLike, bandwidth: float) -> Floats:
    """Return the positions of the modes of a normal kernel density of a bandwidth.

    >>> mode_positions([0.0, 0.0, 1.0, 1.0], 0.1).round(2).tolist()
    [0.0, 1.0]
    """
    given = as_numbers(values, "values").ravel()
    if not len(given) or not bandwidth > 0:
        return given[:1].copy() if len(given) else given
    return _modes(given, bandwidth)


def exceedance(strength: float, cells: int) -> float:
    """Return P(max (T − Γ) ≥ strength) of uniform values; log-linear between `QUANTILES`.

    >>> exceedance(3.152, 100), exceedance(-np.inf, 100)
    (0.01, 1.0)
    """
    if not strength > -np.inf:
        return 1.0
    known = np.log(list(QUANTILES))
    rows = np.array(list(QUANTILES.values()))
    row = [np.interp(np.log(cells), known, column) for column in rows.T]
    chances = np.log(CHANCES)
    if strength > row[-1]:  # on as over the last decade
        slope = (chances[-1] - chances[-4]) / (row[-1] - row[-4])
        return float(np.exp(chances[-1] + slope * (strength - row[-1])))
    return float(np.exp(np.interp(strength, [row[0] - 1, *row], [0.0, *chances])).round(12))


def _strengths(values: Floats, resolution: float, most: int) -> tuple[Floats, int]:
    """Return the strengths of k = 1, 2, … falls followed by rises, and the number of cells."""
    from lsg_ray.kernels import contrasts

    n = len(values)
    step = max(1, -(-(n - 1) // MODES.cells))
    cells = (n - 1) // step
    first = (n - 1 - cells * step) // 2
    nodes = np.ascontiguousarray(values[first::step][: cells + 1])
    table = np.zeros((cells + 1, cells + 1))
    contrasts.contrasts(values, first, step, cells, table)
    strengths = np.empty(most)
    # Whatever is within the resolution is one peak.
    allowed = (nodes - nodes[:, None] >= resolution).astype(np.uint8)
    penalty = np.sqrt(0.5 * np.log(math.e * cells / np.maximum(np.arange(cells + 1), 1)))
    contrasts.alternations(table, penalty, allowed, strengths)
    return strengths, cells


def _even(count: int) -> Floats:
    """Return numbers in ±½ that fill it evenly, also any few that follow each other."""
    return (np.arange(count) * ((np.sqrt(5) - 1) / 2) + 0.5) % 1 - 0.5


def _blur(values: Floats, resolution: float) -> float:
    """Return the width by which values, ascending, are blurred."""
    steps = np.diff(values)
    steps = steps[steps > MODES.grid_error * resolution]
    if not len(steps):
        return resolution
    step = float(steps.min())
    whole = np.rint(steps / step)
    if (np.abs(steps - whole * step) > MODES.grid_error * step).any():
        return resolution
    regular = 1 + len(steps) >= MODES.grid_values and 2 * np.count_nonzero(whole == 1) >= len(steps)
    ties = np.floor(resolution / step + MODES.grid_error)
    # Any few values are on a grid of which they are neighbours, but without ties it does not show.
    if ties or (regular and len(values) > len(steps) + 1):
        return float(max(ties, 1) * step)
    return resolution


def _bandwidth(values: Floats, count: int, finest: float) -> float:
    """Return a bandwidth at which a density has ``count`` modes."""
    least = _least_width(values, count, finest)
    # Of several modes, far from where one is lost and from where another comes up.
    return least if count == 1 else float(np.sqrt(least * _least_width(values, count - 1, finest)))


def _least_width(values: Floats, count: int, finest: float) -> float:
    """Return the least bandwidth, to a twentieth, of a density with at most ``count`` modes."""
    low, high = finest, float(values[-1] - values[0])
    if len(_modes(values, low)) <= count:
        return low
    while high > 1.05 * low:
        middle = np.sqrt(low * high)
        low, high = (low, middle) if len(_modes(values, middle)) <= count else (middle, high)
    return float(high)


def _modes(values: Floats, width: float) -> Floats:
    """Return the modes of a normal kernel density of a bandwidth that hold enough of it."""
    from scipy.fft import irfft, rfft, rfftfreq

    low, high = values.min() - 3 * width, values.max() + 3 * width
    bins = MODES.bins
    counts, edges = np.histogram(values, bins, (low, high))
    bin_ = (high - low) / bins
    # As long again with zeros, so that nothing comes in at the other end.
    smooth = np.exp(-2 * (np.pi * width / bin_ * rfftfreq(2 * bins)) ** 2)
    density = irfft(rfft(counts.astype(np.float64), 2 * bins) * smooth, 2 * bins)[:bins]
    density[density < 1e-6 * density.max()] = 0.0  # ripples of what is cut off
    rises = np.diff(density)
    top = np.flatnonzero((rises[:-1] > 0) & (rises[1:] <= 0)) + 1
    valleys = [a + int(density[a:b].argmin()) for a, b in itertools.pairwise(top.tolist())]
    mass = np.add.reduceat(density, [0, *valleys]) / density.sum()
    modes = top[mass >= MODES.min_mass] if len(top) > 1 else top
    return (edges[modes] + edges[modes + 1]) / 2
