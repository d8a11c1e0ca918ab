"""Are the distances of all pairs Gaussian, and how many modes have they?

Pairs share configurations, so their M(M − 1)/2 distances are not independent, and tables of
Kolmogorov's test, or of one for modes, do not hold for them: of 150 random points in many
dimensions, the former would refuse a Gaussian one time in four at a level of 5 %.  With Hoeffding's
decomposition

    d_ij = μ + a_i + a_j + e_ij,        Var d = 2σ_a² + σ_e²,

the variances follow without bias from the sums X_i = Σ_j d_ij and X = Σ_{i<j} d_ij (analysis of
variance of a half diallel: B. Griffing, Aust. J. Biol. Sci. 9, 463 (1956), method 4),

    E[MS_a] = σ_e² + (M − 2)σ_a²,   MS_a = (Σ_i X_i² − 4X²/M) / ((M − 2)(M − 1)),
    E[MS_e] = σ_e²,                 MS_e = (Σ_{i<j} d_ij² − Σ_i X_i²/(M − 2)
                                            + 2X²/((M − 1)(M − 2))) / (M(M − 3)/2).

*Gaussian*: null hypothesis are normal a_i and e_ij.  The statistic is Kolmogorov's, the largest
difference between the distribution and the Gaussian fitted to it; its p-value comes from samples of
M configurations of the null with these variances, each with a Gaussian fitted to it alike
(parametric bootstrap).

*Modes*: the pairs are cut into rounds of a tournament, in each of which every configuration plays
once.  The distances of a round are independent, so that a test for modes holds; the number of
modes is the median over rounds.  Each is tested at half the level, and by Markov's inequality the
median is too large at the stated level at most, however rounds depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.rng import Stream
from lsg_ray.statistics.configurations import stream
from lsg_ray.statistics.modes import count_modes
from lsg_ray.typing import Floats, Ints


@dataclass(frozen=True)
class PairTestConfig:
    """Settings of both tests."""

    #: Level of both tests, samples of the bootstrap, and rounds (odd, for the median).
    level: float = 0.05
    samples: int = 199
    rounds: int = 5
    #: Fewest configurations that are tested, and most; of more, a random subset is tested.
    min_configurations: int = 8
    max_configurations: int = 200


PAIR_TESTS = PairTestConfig()


class GaussianFit(NamedTuple):
    """Gaussian fitted to the distances of all pairs, and how good it is.

    Attributes
    ----------
    mean, std
        Mean and standard deviation of the pairs, in units of the distance (maximum likelihood).
    mean_stderr
        Standard error of the mean, for independent configurations, not pairs; NaN for fewer than 4.
    shared
        Share of the variance that comes with single configurations, 2σ_a²/(2σ_a² + σ_e²), 0 … 1.
    kolmogorov
        Largest difference between the distribution and the Gaussian, of the tested configurations.
    p_value
        P-value of the Gaussian; NaN where nothing was tested: fewer than 8 configurations, or
        equal distances.
    tested
        Number of configurations that were tested.
    """

    mean: float
    std: float
    mean_stderr: float
    shared: float
    kolmogorov: float
    p_value: float
    tested: int


class PairModes(NamedTuple):
    """Modes of the distribution of the distances of all pairs.

    Attributes
    ----------
    modes
        Median over rounds of the number of modes; NaN where nothing was tested.
    p_value
        P-value of the hypothesis that there are no more: twice the median over the rounds with that
        number of modes, an upper bound however the rounds depend on each other; NaN as in
        `lsg_ray.statistics.modes`.
    bandwidth
        Median over these rounds, in units of the distance.
    rounds, pairs
        Number of rounds, and of pairs in each.
    peaks
        Modes of all pairs together, as if they were independent: a description, not a test.
    """

    modes: float
    p_value: float
    bandwidth: float
    rounds: int
    pairs: int
    peaks: int


def upper(distance: Floats) -> Floats:
    """Return the distances of all pairs of a matrix (M, M), row by row: (M(M − 1)/2,)."""
    return distance[np.triu_indices(len(distance), 1)]


def fit_gaussian(
    distance: Floats, *, lattice: bool = False, samples: int = PAIR_TESTS.samples, seed: int = 0
) -> GaussianFit:
    """Fit a Gaussian to the distances of all pairs, and test it.

    Parameters
    ----------
    distance
        (M, M), symmetric.
    lattice
        Whether distances are whole numbers: then those of the null are too.
    samples
        Number of samples of the null: p-values are multiples of 1/(samples + 1).
    seed
        Seed of the samples.

    Raises
    ------
    InputError
        Not a square matrix of at least 2 configurations.

    Notes
    -----
    M² log M for each sample: 0.3 s for 199 samples of 200 configurations.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(30, 500))
    >>> fit = fit_gaussian(np.sqrt(((x[:, None] - x) ** 2).sum(axis=2)))
    >>> round(fit.mean / 1000**0.5, 2), fit.p_value > 0.05
    (1.0, True)
    """
    _check(distance)
    values = upper(distance)
    mean, std = float(values.mean()), float(values.std())
    single, pair = variances(distance)
    count = len(distance)
    error = float(np.sqrt(4 * single / count + 2 * pair / (count * (count - 1))))
    rng = stream(seed, Stream.PAIRS, 1)
    tested = _some(distance, rng)
    if count < PAIR_TESTS.min_configurations or _equal(mean, std):
        return GaussianFit(mean, std, error, np.nan, np.nan, np.nan, 0)
    single, pair = variances(tested)
    total = 2 * single + pair
    values_tested = upper(tested)
    kolmogorov = _kolmogorov(values_tested)
    larger = 0
    for _ in range(samples):
        drawn = values_tested.mean() + _null(len(tested), single, pair, rng)
        larger += _kolmogorov(np.round(drawn) if lattice else drawn) >= kolmogorov
    shared = float(2 * single / total) if total > 0 else np.nan
    p_value = (1 + larger) / (samples + 1)
    return GaussianFit(mean, std, error, shared, kolmogorov, p_value, len(tested))


def pair_modes(
    distance: Floats, *, lattice: bool = False, level: float = PAIR_TESTS.level, seed: int = 0
) -> PairModes:
    """Count the modes of the distances of all pairs, by `count_modes` over rounds.

    Parameters
    ----------
    distance, seed
        As in `fit_gaussian`.
    lattice
        Whether distances are whole numbers: then they are spread evenly over ± ½.
    level
        Level of the whole test.

    Raises
    ------
    InputError
        As `fit_gaussian`.

    Notes
    -----
    A round has M/2 pairs; milliseconds each.  Few configurations are not enough to tell modes from
    chance, so a mode that a histogram of all pairs shows, ``peaks``, need not be among them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 99)) + np.repeat([[0.0], [4.0]], 30, axis=0)
    >>> pair_modes(np.sqrt(((x[:, None] - x) ** 2).sum(axis=2))).modes
    2.0
    """
    _check(distance)
    rng = stream(seed, Stream.PAIRS, 2)
    tested_distance = _some(distance, rng)
    every = upper(tested_distance)
    few = len(distance) < PAIR_TESTS.min_configurations
    if few or _equal(float(every.mean()), float(every.std())):
        return PairModes(np.nan, np.nan, np.nan, 0, 0, 1)
    resolution = 1.0 if lattice else 0.0
    rounds = tournament(len(tested_distance), rng)[: PAIR_TESTS.rounds]
    tests = [
        count_modes(tested_distance[i, j], level=level / 2, seed=seed, resolution=resolution)
        for i, j in rounds
    ]
    modes = sorted(test.modes for test in tests)[len(tests) // 2]  # rounds are odd in number
    alike = [test for test in tests if test.modes == modes]
    tested = [test.p_value for test in alike if np.isfinite(test.p_value)]
    p_value = min(1.0, 2 * float(np.median(tested))) if tested else np.nan
    width = float(np.median([test.bandwidth for test in alike]))
    peaks = count_modes(every, level=level, seed=seed, resolution=resolution).modes
    return PairModes(float(modes), p_value, width, len(rounds), len(rounds[0][0]), peaks)


def tournament(count: int, rng: np.random.Generator) -> list[tuple[Ints, Ints]]:
    """Cut all pairs of ``count`` configurations into rounds with each in one pair at most.

    Rounds, and the pairs in them, are in random order (the circle method).

    >>> [len(a) for a, b in tournament(5, np.random.default_rng(0))]
    [2, 2, 2, 2, 2]
    """
    even = count + count % 2
    players = rng.permutation(even)
    k = np.arange(1, even // 2)
    rounds = []
    for turn in rng.permutation(even - 1).tolist():
        a = players[np.r_[even - 1, (turn + k) % (even - 1)]]
        b = players[np.r_[turn, (turn - k) % (even - 1)]]
        real = (a < count) & (b < count)  # of an odd number, one sits out
        rounds.append((a[real], b[real]))
    return rounds


def _check(distance: Floats) -> None:
    if distance.ndim != 2 or distance.shape[0] != distance.shape[1] or len(distance) < 2:
        raise InputError(
            f"distances of shape {distance.shape} given; a square matrix of at least 2 "
            "configurations is needed"
        )


def _equal(mean: float, std: float) -> bool:
    return std <= 1e-9 * abs(mean) or std == 0


def _some(distance: Floats, rng: np.random.Generator) -> Floats:
    most = PAIR_TESTS.max_configurations
    if len(distance) <= most:
        return distance
    rows = rng.choice(len(distance), most, replace=False)
    return distance[np.ix_(rows, rows)]


def variances(distance: Floats) -> tuple[float, float]:
    """Return σ_a² and σ_e², zero at least; NaN for fewer than 4 configurations."""
    count = len(distance)
    if count < 4:
        return np.nan, np.nan
    centred = distance - upper(distance).mean()
    np.fill_diagonal(centred, 0.0)
    # X is zero now.
    squares = float((centred.sum(axis=1) ** 2).sum())
    single = squares / ((count - 2) * (count - 1))
    pair = (float((centred**2).sum()) / 2 - squares / (count - 2)) / (count * (count - 3) / 2)
    return max((single - pair) / (count - 2), 0.0), max(pair, 0.0)


def _null(count: int, single: float, pair: float, rng: np.random.Generator) -> Floats:
    i, j = np.triu_indices(count, 1)
    a = np.sqrt(single) * rng.standard_normal(count)
    return a[i] + a[j] + np.sqrt(pair) * rng.standard_normal(len(i))


def _kolmogorov(values: Floats) -> float:
    """Return the largest difference between a distribution and the Gaussian of its moments."""
    from scipy.special import ndtr

    std = values.std()
    if not std > 0:
        return 1.0
    expected = ndtr(np.sort((values - values.mean()) / std))
    steps = np.arange(len(values) + 1) / len(values)
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))
